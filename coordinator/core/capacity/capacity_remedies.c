/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity.h: what turns a no into a yes. Each step is tried in numbers before it is named: a host opened,
 * memory freed, disks copied, what a host has refused put right, a guest left or shut down. What clears one
 * check of a destination is no remedy while another one of it still says no. */
#include "coordinator/core/capacity/capacity_private.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/drain/drain_command.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/power/power.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool would_fit(struct capacity *c, const struct capacity_answer *answer,
                      const struct extra *extra)
{
	size_t *rooms = xcalloc(answer->n_guests + 1, sizeof(*rooms));
	bool fits = capacity_solve(c, answer, extra, 0, rooms).verdict == PACKING_YES;

	free(rooms);
	return fits;
}

/* --- as commands --- */

static const struct drain *find_drain(const struct capacity *c,
                                      const struct capacity_answer *answer)
{
	uint64_t number = answer->n_nodes == 1 ? answer->nodes[0]->kept.drain_number : 0;

	return number ? fleet_find_drain(c->fleet, number) : NULL;
}

/* What is asked for of a drain besides; one that is under way has to be asked for again. */
static void tell_option(const struct capacity *c, const struct capacity_answer *answer,
                        const char *what, const char *option, char *ret_text)
{
	const struct drain *drain = find_drain(c, answer);
	_cleanup_free_ char *again = NULL;
	size_t used = (size_t)snprintf(ret_text, REASON_BYTES, "%s: ", what);

	if (drain) {
		again = drain_command(c->fleet, drain->kept.node, &drain->kept, 1,
		                      c->wall_ms ? c->wall_ms : UINT64_MAX);
		snprintf(ret_text + used, REASON_BYTES - used,
		         "drover cancel drain/%" PRIu64 ", then %s %s", drain->kept.number, again,
		         option);
		return;
	}
	used += (size_t)snprintf(ret_text + used, REASON_BYTES - used, "drover drain");
	for (size_t i = 0; i < answer->n_nodes && used < REASON_BYTES; i++)
		used += (size_t)snprintf(ret_text + used, REASON_BYTES - used, " %s",
		                         answer->nodes[i]->kept.name);
	if (used < REASON_BYTES)
		snprintf(ret_text + used, REASON_BYTES - used, " %s", option);
}

/* --- hosts --- */

/* What to do so that @p takes guests. */
static void tell_opening(const struct plan_node *p, char *text)
{
	const char *name = p->node->kept.name;

	switch (p->takes) {
	case PLAN_CORDONED:
		snprintf(text, REASON_BYTES, "uncordon %s", name);
		break;
	case PLAN_DRAINING:
	case PLAN_MAINTENANCE:
		snprintf(text, REASON_BYTES, "undrain %s", name);
		break;
	case PLAN_UNREACHABLE:
		snprintf(text, REASON_BYTES, "bring %s back: it cannot be reached", name);
		break;
	case PLAN_NO_INVENTORY:
		snprintf(text, REASON_BYTES, "start libvirt on %s again", name);
		break;
	case PLAN_PRESSURED:
		snprintf(text, REASON_BYTES, "wait until %s takes guests again: %.300s", name,
		         p->node->host.pressure);
		break;
	default:
		snprintf(text, REASON_BYTES, "let %s take guests: see drover explain node/%s", name,
		         name);
		break;
	}
}

static struct capacity_remedy remedy(enum capacity_help kind, const struct node *node,
                                     uint64_t bytes)
{
	struct capacity_remedy r = { .kind = kind, .bytes = bytes };

	if (node)
		text_copy(r.node, sizeof(r.node), node->kept.name);
	return r;
}

/* Found with copies of disks: that is to be asked for as well. */
static void add_copy(bool copy, struct capacity_remedy *r)
{
	size_t used = strlen(r->text);

	if (copy)
		snprintf(r->text + used, REASON_BYTES - used,
		         ", and have disks copied: --copy-disks");
}

/* Of a guest that was refused somewhere for more than room it is no small matter whether others take it. */
static void add_doubt(const struct capacity *c, const struct capacity_answer *answer,
                      struct capacity_remedy *r)
{
	size_t used = strlen(r->text);
	bool refused = false;

	for (const struct refusal *o = answer->guest ? answer->guest->refusals : NULL; o;
	     o = o->next)
		refused = refused || (o->lasting && c->now_ms < o->known_ms);
	if (refused)
		snprintf(r->text + used, REASON_BYTES - used,
		         "; whether it takes %.60s otherwise was not asked: drover explain "
		         "vm/%.60s",
		         answer->guest->name, answer->guest->name);
}

static size_t find_openings(struct capacity *c, const struct capacity_answer *answer, bool copy,
                            size_t most, struct capacity_remedy *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < c->plan.count && n < most && c->steps; i++) {
		const struct plan_node *p = &c->plan.nodes[i];
		struct extra extra = { .node = i, .bytes = p->headroom_bytes, .copy = copy };

		if (c->in_set[i] || p->takes == PLAN_FITS || p->takes == PLAN_SUSPECT ||
		    !would_fit(c, answer, &extra))
			continue;
		ret[n] = remedy(CAPACITY_OPEN, p->node, 0);
		tell_opening(p, ret[n].text);
		add_copy(copy, &ret[n]);
		add_doubt(c, answer, &ret[n++]);
	}
	return n;
}

/* The least to free on one host, in whole MiB; 0 = not even all that the guests need helps. */
static uint64_t find_least(struct capacity *c, const struct capacity_answer *answer, bool copy,
                           size_t node)
{
	struct extra extra = { .node = node, .copy = copy };
	uint64_t low = 0, high = answer->need_bytes / MIB + 1;

	extra.bytes = high * MIB;
	if (!would_fit(c, answer, &extra))
		return 0;
	while (low + 1 < high) {
		uint64_t middle = low + (high - low) / 2;

		extra.bytes = middle * MIB;
		if (would_fit(c, answer, &extra))
			high = middle;
		else
			low = middle;
	}
	return high * MIB;
}

static int compare_remedies(const void *a, const void *b)
{
	const struct capacity_remedy *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Hosts at which freeing memory, or putting right what they refuse, is looked into. */
#define LOOKED_MAX 4

static size_t find_freeings(struct capacity *c, const struct capacity_answer *answer, bool copy,
                            size_t most, struct capacity_remedy *ret)
{
	char amount[UNITS_TEXT_BYTES];
	size_t n = 0, looked = 0;

	for (size_t i = 0; i < c->n_takers && n < most && looked < LOOKED_MAX && c->steps; i++) {
		const struct plan_node *p = &c->plan.nodes[c->takers[i]];
		uint64_t limit = host_state_limit_bytes(&p->node->host), bytes;

		if (c->in_set[c->takers[i]])
			continue;
		looked++;
		bytes = find_least(c, answer, copy, c->takers[i]);
		/* More than the host has when it is empty is no advice. */
		if (!bytes || p->headroom_bytes + bytes > limit)
			continue;
		ret[n] = remedy(CAPACITY_FREE, p->node, bytes);
		snprintf(ret[n].text, REASON_BYTES, "free %s on %s",
		         units_format_bytes(bytes, amount), p->node->kept.name);
		add_copy(copy, &ret[n]);
		add_doubt(c, answer, &ret[n++]);
	}
	return n;
}

/* --- what was refused --- */

static bool yields_to_copy(const struct capacity *c, const struct capacity_answer *answer)
{
	for (size_t g = 0; g < answer->n_guests; g++) {
		for (const struct refusal *r = answer->guests[g].vm->refusals; r; r = r->next) {
			if (r->lasting && c->now_ms < r->known_ms && refusals_yield_to_copy(r))
				return true;
		}
	}
	return false;
}

static size_t find_copies(struct capacity *c, const struct capacity_answer *answer,
                          struct capacity_remedy *ret)
{
	struct extra extra = { .node = SIZE_MAX, .copy = true };

	if (!c->steps || !would_fit(c, answer, &extra))
		return 0;
	ret[0] = remedy(CAPACITY_COPY, NULL, 0);
	tell_option(c, answer, "have the disks copied that are not shared", "--copy-disks",
	            ret[0].text);
	return 1;
}

/* What a destination asked for when it refused the guest that has no place. */
static size_t find_cures(struct capacity *c, const struct capacity_answer *answer, size_t most,
                         struct capacity_remedy *ret)
{
	size_t n = 0, looked = 0;

	for (size_t i = 0; i < c->n_takers && n < most && looked < LOOKED_MAX && c->steps; i++) {
		struct extra extra = { .node = c->takers[i], .lifted = true };
		const struct plan_node *p = &c->plan.nodes[c->takers[i]];
		const struct refusal *r = answer->guest ? refusals_find_known(answer->guest,
		                                                              p->node, c->now_ms)
		                                        : NULL;
		char what[REASON_BYTES];

		if (!r || c->in_set[c->takers[i]])
			continue;
		looked++;
		refusals_tell_remedy(r, what);
		if (!what[0] || !would_fit(c, answer, &extra))
			continue;
		ret[n] = remedy(CAPACITY_CHECK, p->node, 0);
		snprintf(ret[n++].text, REASON_BYTES, "for %.60s to go to %.60s, %.380s",
		         answer->guest->name, p->node->kept.name, what);
	}
	return n;
}

/* --- guests --- */

/* Of a guest that cannot move: what its own check says. */
static size_t find_own(const struct capacity_answer *answer, struct capacity_remedy *ret)
{
	const struct vm *vm = answer->guest;
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	const struct check *worst = home ? checks_find_worst(&home->state.blockers, CHECK_FAIL)
	                                 : NULL;

	ret[0] = (struct capacity_remedy){ .kind = CAPACITY_GUEST };
	if (vm->node)
		text_copy(ret[0].node, sizeof(ret[0].node), vm->node->kept.name);
	if (worst && worst->remedy[0])
		snprintf(ret[0].text, REASON_BYTES, "%.60s: %.400s", vm->name, worst->remedy);
	else
		snprintf(ret[0].text, REASON_BYTES, "leave %.60s where it is: --leave %.60s",
		         vm->name, vm->name);
	return 1;
}

/* The others find a place without it. */
static bool would_fit_without(struct capacity *c, const struct capacity_answer *answer)
{
	struct capacity_answer rest = *answer;
	bool fits;

	rest.guests = xcalloc(answer->n_guests + 1, sizeof(*rest.guests));
	rest.n_guests = 0;
	for (size_t g = 0; g < answer->n_guests; g++) {
		if (answer->guests[g].vm != answer->guest)
			rest.guests[rest.n_guests++] = answer->guests[g];
	}
	fits = would_fit(c, &rest, NULL);
	free(rest.guests);
	return fits;
}

static size_t find_exceptions(struct capacity *c, const struct capacity_answer *answer, size_t most,
                              struct capacity_remedy *ret)
{
	const struct vm *vm = answer->guest;
	const struct sighting *home = vm && vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	char what[VM_NAME_BYTES + 32], option[VM_NAME_BYTES + 32], why[REASON_BYTES];
	size_t n = 0;

	if (!home || !most || !c->steps || !would_fit_without(c, answer))
		return 0;
	ret[n] = remedy(CAPACITY_LEAVE, vm->node, 0);
	snprintf(what, sizeof(what), "leave %.60s running there", vm->name);
	snprintf(option, sizeof(option), "--leave %s", vm->name);
	tell_option(c, answer, what, option, ret[n++].text);
	if (n == most || power_finds_obstacle(home, why))
		return n;
	ret[n] = remedy(CAPACITY_SHUTDOWN, vm->node, 0);
	snprintf(what, sizeof(what), "have %.60s shut down", vm->name);
	snprintf(option, sizeof(option), "--shutdown %s", vm->name);
	tell_option(c, answer, what, option, ret[n++].text);
	return n;
}

/* --- all of it --- */

static size_t find_steps(struct capacity *c, const struct capacity_answer *answer, size_t most,
                         struct capacity_remedy *found)
{
	size_t n = find_openings(c, answer, false, most, found);
	bool yields = yields_to_copy(c, answer);

	if (yields && n < most)
		n += find_copies(c, answer, found + n);
	n += find_freeings(c, answer, false, most - n, found + n);
	/* Two steps, where one is not enough. */
	if (yields && n == 0)
		n += find_openings(c, answer, true, most, found);
	if (yields && n == 0)
		n += find_freeings(c, answer, true, most, found);
	n += find_cures(c, answer, most - n, found + n);
	return n + find_exceptions(c, answer, most - n, found + n);
}

size_t capacity_find_remedies(struct capacity *c, const struct capacity_answer *answer, size_t most,
                              struct capacity_remedy **ret)
{
	struct capacity_remedy *found = xcalloc(most + 1, sizeof(*found));
	size_t n = 0;

	if (answer->verdict == PACKING_NO && answer->unmovable) {
		n = find_own(answer, found);
	} else if (answer->verdict == PACKING_NO && answer->proof.proof != PACKING_NO_PROOF) {
		capacity_mark_set(c, answer->nodes, answer->n_nodes, true);
		n = find_steps(c, answer, most, found);
		capacity_mark_set(c, answer->nodes, answer->n_nodes, false);
		qsort(found, n, sizeof(*found), compare_remedies);
	}
	*ret = found;
	return n;
}
