/* SPDX-License-Identifier: Apache-2.0 */
/* See refusals.h. */
#include "coordinator/core/move/refusals.h"

#include "common/alloc.h"
#include "coordinator/core/move/denials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Checks whose answer is another one when room appears, a move ends or an operator opens the host. */
static const char *const passing[] = { "memory", "vcpus",     "hugepages", "slot",
	                               "port",   "bandwidth", "node",      "latency",
	                               "state",  "blockers",  "guest" };

static bool passes_by_itself(const struct check *check)
{
	for (size_t i = 0; i < ARRAY_SIZE(passing); i++) {
		if (strcmp(check->id, passing[i]) == 0)
			return true;
	}
	return strncmp(check->id, "guest/", 6) == 0;
}

static bool fails(const struct check *check)
{
	return check->verdict >= CHECK_FAIL;
}

bool refusals_are_lasting(const struct checks *checks)
{
	for (size_t i = 0; i < checks->count; i++) {
		if (fails(&checks->items[i]) && !passes_by_itself(&checks->items[i]))
			return true;
	}
	return false;
}

static struct refusal *find(const struct vm *vm, const char *target)
{
	struct refusal *refusal;

	LL_FOREACH (vm->refusals, refusal) {
		if (strcmp(refusal->target, target) == 0)
			return refusal;
	}
	return NULL;
}

const struct refusal *refusals_find_known(const struct vm *vm, const struct node *node,
                                          uint64_t now_ms)
{
	const struct refusal *refusal = find(vm, node->kept.name);

	return refusal && refusal->lasting && now_ms < refusal->known_ms ? refusal : NULL;
}

bool refusals_are_of_room(const struct vm *vm, const struct node *node)
{
	const struct refusal *refusal = find(vm, node->kept.name);

	return refusal && !refusal->lasting && !refusal->fault;
}

/* Only the destination knows whether it has room for a copy and the image is one that can be copied; it says
 * so in what it advises (agent/kernel/admission_disks.c). */
bool refusals_offer_copy(const struct check *check)
{
	return strncmp(check->id, "disk/", 5) == 0 && strstr(check->remedy, "--copy-disks");
}

bool refusals_yield_to_copy(const struct refusal *refusal)
{
	bool offered = false;

	for (size_t i = 0; i < refusal->checks.count; i++) {
		const struct check *check = &refusal->checks.items[i];

		if (!fails(check) || passes_by_itself(check))
			continue;
		if (!refusals_offer_copy(check))
			return false;
		offered = true;
	}
	return offered;
}

void refusals_describe(const struct refusal *refusal, char *ret_text)
{
	const struct check *worst = checks_find_worst(&refusal->checks, CHECK_FAIL);
	size_t used;

	text_copy(ret_text, REASON_BYTES, refusal->why);
	for (size_t i = 0; worst && i < refusal->checks.count; i++) {
		const struct check *check = &refusal->checks.items[i];

		used = strlen(ret_text);
		if (fails(check) && check != worst)
			snprintf(ret_text + used, REASON_BYTES - used, "; %s: %.120s", check->id,
			         check->measured);
	}
}

void refusals_tell_remedy(const struct refusal *refusal, char *ret_text)
{
	size_t used = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < refusal->checks.count && used < REASON_BYTES; i++) {
		const struct check *check = &refusal->checks.items[i];

		if (fails(check) && !passes_by_itself(check) && check->remedy[0])
			used += (size_t)snprintf(ret_text + used, REASON_BYTES - used,
			                         "%s%s: %.190s", used ? ", and " : "", check->id,
			                         check->remedy);
	}
}

void refusals_note(struct vm *vm, const struct node *node, const struct checks *checks,
                   const char *why, uint64_t now_ms)
{
	struct refusal *refusal = find(vm, node->kept.name);

	if (!refusals_are_lasting(checks))
		return;
	if (!refusal) {
		refusal = xnew(struct refusal);
		text_copy(refusal->target, sizeof(refusal->target), node->kept.name);
		LL_PREPEND(vm->refusals, refusal);
	}
	checks_deinit(&refusal->checks);
	checks_copy(&refusal->checks, checks);
	text_copy(refusal->why, sizeof(refusal->why), why);
	refusal->fault = false;
	refusal->lasting = true;
	refusal->known_ms = now_ms + DENIAL_MS;
}

static void drop(struct vm *vm, struct refusal *refusal)
{
	LL_DELETE(vm->refusals, refusal);
	checks_deinit(&refusal->checks);
	free(refusal);
}

void refusals_forget_disks(struct vm *vm)
{
	struct refusal *refusal, *next;

	LL_FOREACH_SAFE (vm->refusals, refusal, next) {
		if (refusals_yield_to_copy(refusal))
			drop(vm, refusal);
	}
}

void refusals_see_answer(struct vm *vm, const char *target, bool admitted, uint64_t now_ms)
{
	struct refusal *refusal = find(vm, target);

	vm->asked_ms = now_ms;
	/* That it would take it is no news of one that it took, and failed at. */
	if (refusal && admitted && !refusal->fault)
		drop(vm, refusal);
}

bool refusals_were_asked(const struct vm *vm, uint64_t now_ms)
{
	return vm->asked_ms && now_ms - vm->asked_ms < DENIAL_MS;
}
