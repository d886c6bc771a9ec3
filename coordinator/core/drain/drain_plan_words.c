/* SPDX-License-Identifier: Apache-2.0 */
/* See drain_plan_words.h. */
#include "coordinator/core/drain/drain_plan_words.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain/drain_classes.h"
#include "coordinator/core/drain/drain_policies.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/power/power.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const proof_names[] = {
	[PROOF_NONE] = "none",   [PROOF_ALONE] = "alone", [PROOF_SUM] = "sum",
	[PROOF_COUNT] = "count", [PROOF_APART] = "apart", [PROOF_SEARCHED] = "searched",
	[PROOF_CYCLE] = "cycle",
};
static_assert(ARRAY_SIZE(proof_names) == PROOF_KINDS, "a proof without a name");

const char *drain_proof_name(uint32_t proof)
{
	assert(proof < PROOF_KINDS);
	return proof_names[proof];
}

static const char *name_of(const struct drain_problem *p, uint32_t host)
{
	return p->plan->nodes[host].node->kept.name;
}

/* "the emptiest of 3 that have room: 12 GiB left there" */
static void say_why(const struct drain_problem *p, const struct room *room, uint32_t v, uint32_t to,
                    uint64_t left_bytes)
{
	struct drain_vm *dv = p->guests[v];
	char amount[UNITS_TEXT_BYTES];
	uint32_t fit = 0;

	for (uint32_t h = 0; h < p->in.n_hosts; h++)
		fit += room_check(room, v, h, NULL) == ROOM_FITS;
	dv->could = fit;
	dv->left_bytes = left_bytes;
	units_format_bytes(left_bytes, amount);
	if (fit == 1)
		snprintf(dv->why, sizeof(dv->why), "the only one that could take it; %s left there",
		         amount);
	else
		snprintf(dv->why, sizeof(dv->why),
		         "of %u that could take it %s is best by when it is done with what comes "
		         "in, and by how full it gets; %s left there",
		         fit, name_of(p, to), amount);
}

static void explain_moves(const struct drain_problem *p, const struct planner_plan *plan)
{
	struct room room;

	room_init(&room, &p->in, true);
	for (uint32_t m = 0; m < plan->schedule.n_moves; m++) {
		uint32_t v = plan->schedule.moves[m].vm, to = plan->placement.targets[v];
		uint64_t left_bytes, need = p->in.vms[v].need_bytes;

		if (!p->guests[v])
			continue;
		left_bytes = room.free_bytes[to][0];
		say_why(p, &room, v, to, left_bytes > need ? left_bytes - need : 0);
		if (plan->schedule.moves[m].n_after) {
			size_t used = strlen(p->guests[v]->why);

			snprintf(p->guests[v]->why + used, sizeof(p->guests[v]->why) - used,
			         "; after %u that leave there", plan->schedule.moves[m].n_after);
		}
		if (left_bytes >= need)
			room_take(&room, v, to);
	}
	room_deinit(&room);
}

#define AMOUNT_BYTES (2 * UNITS_TEXT_BYTES + 16)

/* "4 vCPUs", "3 GiB", "1 GiB in pages of 2 MiB" */
static const char *format_amount(const struct drain_problem *p, const struct proof *proof,
                                 uint64_t amount, char ret_text[static AMOUNT_BYTES])
{
	char bytes[UNITS_TEXT_BYTES], page[UNITS_TEXT_BYTES];

	if (proof->resource == PROOF_VCPUS)
		snprintf(ret_text, AMOUNT_BYTES, "%" PRIu64 " vCPUs", amount);
	else if (proof->resource)
		snprintf(ret_text, AMOUNT_BYTES, "%s in pages of %s",
		         units_format_bytes(amount, bytes),
		         units_format_bytes(drain_classes_get_page(p, proof->resource), page));
	else
		units_format_bytes(amount, ret_text);
	return ret_text;
}

/* "no destination: ..." for those that could be somewhere if the others were not. */
static void say_counted(const struct drain_problem *p, const struct proof *proof, char *reason,
                        char *helps)
{
	char needed[AMOUNT_BYTES], there[AMOUNT_BYTES], missing[AMOUNT_BYTES];

	switch (proof->kind) {
	case PROOF_SUM:
		snprintf(reason, REASON_BYTES,
		         "no destination: the guests that can only go there need %s, and there is "
		         "room for %s",
		         format_amount(p, proof, proof->needed, needed),
		         format_amount(p, proof, proof->available, there));
		snprintf(helps, REASON_BYTES, "%s more room, or --leave for as much",
		         format_amount(p, proof, proof->missing, missing));
		break;
	case PROOF_COUNT:
		snprintf(reason, REASON_BYTES,
		         "no destination: %" PRIu64 " guests need %s or more each, and there are "
		         "places for %" PRIu64 " such",
		         proof->needed, format_amount(p, proof, proof->least, needed),
		         proof->available);
		snprintf(helps, REASON_BYTES, "a host with %s free, or --leave for %" PRIu64,
		         needed, proof->missing);
		break;
	case PROOF_SEARCHED:
		snprintf(reason, REASON_BYTES,
		         "no destination: all ways to place the %u guests were tried, and none has "
		         "room for all",
		         p->in.n_vms);
		snprintf(helps, REASON_BYTES, "more room, or --leave for a guest");
		break;
	case PROOF_CYCLE:
		snprintf(reason, REASON_BYTES,
		         "no destination: %u guests wait for each other's room, and no host has "
		         "room for any of them meanwhile",
		         proof->n_with);
		snprintf(helps, REASON_BYTES, "room for one of them on any other host");
		break;
	default:
		snprintf(reason, REASON_BYTES,
		         "no destination was found beside the others; that there is none is not "
		         "proved");
		snprintf(helps, REASON_BYTES, "more room, or --leave for a guest");
		break;
	}
}

static void append(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(char *text, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	if (used)
		used += (size_t)snprintf(text + used, REASON_BYTES - used, "; or ");
	if (used >= REASON_BYTES)
		return;
	va_start(args, format);
	vsnprintf(text + used, REASON_BYTES - used, format, args);
	va_end(args);
}

/* What those that have refused it would take it with; and who may stay. */
static void say_cures(const struct drain_problem *p, const struct vm *vm, char *helps)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	uint64_t now_ms = change_now(p->fleet);
	const struct refusal *copied = NULL, *other = NULL;
	char text[REASON_BYTES] = "";

	for (uint32_t h = 0; h < p->in.n_hosts; h++) {
		const struct refusal *r = refusals_find_known(vm, p->plan->nodes[h].node, now_ms);

		if (!r || !p->in.hosts[h].open)
			continue;
		if (refusals_yield_to_copy(r))
			copied = copied ? copied : r;
		else
			other = other ? other : r;
	}
	if (copied)
		append(helps, "its disks copied to %s, which has room for them: --copy-disks",
		       copied->target);
	else if (other)
		refusals_tell_remedy(other, text);
	else
		return;
	if (!copied && text[0])
		append(helps, "for %s: %.300s", other->target, text);
	append(helps, "--leave %.60s", vm->name);
	if (home && !power_finds_obstacle(home, text))
		append(helps, "--shutdown %.60s", vm->name);
}

static void explain_blocked(const struct drain_problem *p, const struct proof *proof)
{
	struct drain_vm *dv = p->guests[proof->vm];
	const struct vm *vm = dv ? fleet_find_vm(p->fleet, dv->uuid) : NULL;
	char text[REASON_BYTES], missing[AMOUNT_BYTES];

	if (!vm)
		return;
	dv->proof = (uint32_t)proof->kind;
	if (proof->kind != PROOF_ALONE) {
		say_counted(p, proof, dv->reason, dv->helps);
		drain_policies_explain(p, proof, vm, dv);
		return;
	}
	/* What each host lacks is said with its name. */
	plan_explain_none(p->plan, p->fleet, vm, change_now(p->fleet), text);
	snprintf(dv->reason, sizeof(dv->reason), "no destination: %.*s", REASON_BYTES - 32, text);
	if (proof->host != INSTANCE_NONE)
		snprintf(dv->helps, sizeof(dv->helps), "%s more room on %s",
		         format_amount(p, proof, proof->missing, missing), name_of(p, proof->host));
	say_cures(p, vm, dv->helps);
	drain_policies_explain(p, proof, vm, dv);
}

void drain_plan_explain(const struct drain_problem *problem, const struct planner_plan *plan)
{
	explain_moves(problem, plan);
	for (uint32_t i = 0; i < plan->n_proofs; i++)
		explain_blocked(problem, &plan->proofs[i]);
}
