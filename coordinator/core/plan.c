/* SPDX-License-Identifier: Apache-2.0 */
/* Placement and estimates. Theory: plan.h. */
#include "coordinator/core/plan.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/fleet_path.h"
#include "coordinator/core/inventory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A refusal names this many hosts, then "and 17 more". */
#define NAMED_MAX 5

static uint64_t subtract(uint64_t from, uint64_t bytes)
{
	return from > bytes ? from - bytes : 0;
}

uint64_t plan_get_headroom(const struct fleet *fleet, const struct node *node)
{
	uint64_t asked = 0;

	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		if (m->kept.holds_slot && !m->seen_by_target &&
		    strcmp(m->kept.target, node->kept.name) == 0)
			asked += m->kept.need_bytes;
	}
	return subtract(host_state_room_bytes(&node->host), asked);
}

static enum plan_refusal judge_node(const struct node *node, uint64_t now_ms)
{
	if (node->set_aside)
		return PLAN_TOGETHER;
	switch (node->state) {
	case NODE_UNREACHABLE:
	case NODE_FENCED:
		return PLAN_UNREACHABLE;
	case NODE_DRAINING:
		return PLAN_DRAINING;
	case NODE_MAINTENANCE:
		return PLAN_MAINTENANCE;
	case NODE_CORDONED:
		return PLAN_CORDONED;
	default:
		break;
	}
	if (!node_is_heard(node, now_ms))
		return PLAN_UNREACHABLE;
	if (node->mark_known && node->mark.cordoned)
		return PLAN_MARKED;
	if (node->host.suspect[0])
		return PLAN_SUSPECT;
	if (now_ms < node->pressured_until_ms)
		return PLAN_PRESSURED;
	if (!node_is_sure(node, now_ms))
		return PLAN_NO_INVENTORY;
	return node->host.agent_problem[0] ? PLAN_OBSERVES : PLAN_FITS;
}

void plan_init(struct plan *plan, const struct fleet *fleet, uint64_t now_ms)
{
	size_t i = 0;

	plan->count = HASH_COUNT(fleet->nodes);
	plan->nodes = xcalloc(plan->count + 1, sizeof(*plan->nodes));
	for (struct node *node = fleet->nodes; node; node = node->hh.next) {
		node->room_bytes_asked = 0;
		plan->nodes[i++] = (struct plan_node){ .node = node,
			                               .inbound = node->migrations_in,
			                               .takes = judge_node(node, now_ms) };
	}
	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		struct node *target = m->kept.holds_slot ? fleet_find_node(fleet, m->kept.target)
		                                         : NULL;

		if (target && !m->seen_by_target)
			target->room_bytes_asked += m->kept.need_bytes;
	}
	for (i = 0; i < plan->count; i++) {
		const struct node *node = plan->nodes[i].node;

		plan->nodes[i].headroom_bytes = subtract(host_state_room_bytes(&node->host),
		                                         node->room_bytes_asked);
	}
}

void plan_deinit(struct plan *plan)
{
	free(plan->nodes);
	*plan = (struct plan){ 0 };
}

static uint64_t need_of(const struct vm *vm)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;

	return home ? vm_state_need_bytes(&home->state) : 0;
}

static uint64_t memory_of(const struct vm *vm)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;

	return home ? home->state.memory_bytes : 0;
}

static const struct refusal *find_refusal(const struct vm *vm, const struct node *node,
                                          uint64_t now_ms)
{
	for (const struct refusal *r = vm->refusals; r; r = r->next) {
		if (strcmp(r->target, node->kept.name) == 0)
			return now_ms < r->again_ms &&
			                       (r->fault || r->room_sequence == node->room_sequence)
			               ? r
			               : NULL;
	}
	return NULL;
}

static const char *const words[] = {
	[PLAN_FITS] = "fits",
	[PLAN_IS_SOURCE] = "is where it runs",
	[PLAN_UNREACHABLE] = "unreachable",
	[PLAN_NO_INVENTORY] = "without libvirt",
	[PLAN_OBSERVES] = "only observing",
	[PLAN_CORDONED] = "cordoned",
	[PLAN_DRAINING] = "draining",
	[PLAN_MAINTENANCE] = "in maintenance",
	[PLAN_NO_MEMORY] = "short of memory",
	[PLAN_NO_INBOUND] = "inbound slots in use",
	[PLAN_NO_PORTS] = "migration ports in use",
	[PLAN_REFUSED] = "refused",
	[PLAN_LISTS_IT] = "lists an active guest of this uuid already",
	[PLAN_SUSPECT] = "suspect",
	[PLAN_MARKED] = "is being told that it takes guests again",
	[PLAN_TOGETHER] = "would be drained together with it",
	[PLAN_PRESSURED] = "out of memory",
};
static_assert(ARRAY_SIZE(words) == PLAN_REFUSALS, "a refusal without a word");

/* The host's own agent refuses what is over its cap: then it is not asked. */
static uint32_t inbound_cap(const struct fleet *fleet, const struct node *node)
{
	uint32_t own = node->host.slots_in_max;

	return own && own < fleet->options.caps.inbound ? own : fleet->options.caps.inbound;
}

static void describe(enum plan_refusal why, const struct fleet *fleet, const struct plan_node *p,
                     const struct vm *vm, uint64_t now_ms, char *ret_text)
{
	const char *name = p->node->kept.name;
	const struct refusal *refusal;
	char amount[UNITS_TEXT_BYTES];

	switch (why) {
	case PLAN_NO_MEMORY:
		snprintf(ret_text, REASON_BYTES, "%s %s short of memory", name,
		         units_format_bytes(need_of(vm) - p->headroom_bytes, amount));
		break;
	case PLAN_NO_INBOUND:
		snprintf(ret_text, REASON_BYTES, "%u of %u inbound slots of %s in use", p->inbound,
		         inbound_cap(fleet, p->node), name);
		break;
	case PLAN_NO_PORTS:
		snprintf(ret_text, REASON_BYTES, "%u of %u migration ports of %s in use",
		         p->inbound, p->node->host.port_pool, name);
		break;
	case PLAN_SUSPECT:
		snprintf(ret_text, REASON_BYTES, "%s is suspect: %.400s", name,
		         p->node->host.suspect);
		break;
	case PLAN_PRESSURED:
		snprintf(ret_text, REASON_BYTES, "%s takes no guest for another %s: %.400s", name,
		         units_format_duration(p->node->pressured_until_ms - now_ms, amount),
		         p->node->host.pressure);
		break;
	case PLAN_REFUSED:
		refusal = find_refusal(vm, p->node, now_ms);
		snprintf(ret_text, REASON_BYTES, "%s", refusal ? refusal->why : words[why]);
		break;
	default:
		snprintf(ret_text, REASON_BYTES, "%s %s", name, words[why]);
		break;
	}
}

/* The cheap questions first: a pick asks them of every node for every guest. */
static enum plan_refusal judge(const struct fleet *fleet, const struct plan_node *p,
                               const struct vm *vm, uint64_t need_bytes, bool ignore_slots,
                               uint64_t now_ms)
{
	const struct sighting *there;

	if (p->node == vm->node)
		return PLAN_IS_SOURCE;
	if (p->takes != PLAN_FITS)
		return p->takes;
	if (p->headroom_bytes < need_bytes)
		return PLAN_NO_MEMORY;
	there = fleet_find_sighting(vm, p->node);
	if (there && vm_state_is_active(&there->state))
		return PLAN_LISTS_IT;
	if (find_refusal(vm, p->node, now_ms))
		return PLAN_REFUSED;
	if (ignore_slots)
		return p->node->host.port_pool ? PLAN_FITS : PLAN_NO_PORTS;
	if (p->inbound >= inbound_cap(fleet, p->node))
		return PLAN_NO_INBOUND;
	if (p->inbound >= p->node->host.port_pool)
		return PLAN_NO_PORTS;
	return PLAN_FITS;
}

enum plan_refusal plan_judge(const struct fleet *fleet, const struct plan_node *node,
                             const struct vm *vm, bool ignore_slots, uint64_t now_ms,
                             char *ret_text)
{
	enum plan_refusal why = judge(fleet, node, vm, need_of(vm), ignore_slots, now_ms);

	if (ret_text)
		describe(why, fleet, node, vm, now_ms, ret_text);
	return why;
}

static void append(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(char *text, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, REASON_BYTES - used, format, args);
	va_end(args);
}

/* "no destination: host2 312 MiB short of memory, host3 cordoned" */
static void explain_none(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                         const char *only, bool ignore_slots, uint64_t now_ms, char *ret_reason)
{
	size_t named = 0, more = 0;
	char text[REASON_BYTES];

	ret_reason[0] = '\0';
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_node *p = &plan->nodes[i];
		enum plan_refusal why = judge(fleet, p, vm, need_of(vm), ignore_slots, now_ms);

		if (why == PLAN_FITS || why == PLAN_IS_SOURCE ||
		    (only && strcmp(only, p->node->kept.name) != 0))
			continue;
		if (named == NAMED_MAX || strlen(ret_reason) > REASON_BYTES / 2) {
			more++;
			continue;
		}
		describe(why, fleet, p, vm, now_ms, text);
		append(ret_reason, "%s%s", named++ ? ", " : "", text);
	}
	if (more)
		append(ret_reason, ", and %zu more", more);
	if (!named)
		append(ret_reason, "there is no other node");
}

void plan_explain_none(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                       uint64_t now_ms, char *ret_reason)
{
	explain_none(plan, fleet, vm, NULL, true, now_ms, ret_reason);
}

/* The emptier one afterwards; of those alike the one whose inbound work ends first; then by name,
 * so that two runs agree. */
static bool is_better(const struct plan_node *a, const struct plan_node *b)
{
	if (a->headroom_bytes != b->headroom_bytes)
		return a->headroom_bytes > b->headroom_bytes;
	if (a->inbound_finish_ms != b->inbound_finish_ms)
		return a->inbound_finish_ms < b->inbound_finish_ms;
	return strcmp(a->node->kept.name, b->node->kept.name) < 0;
}

struct plan_node *plan_pick_target(struct plan *plan, const struct fleet *fleet,
                                   const struct vm *vm, const char *only, bool ignore_slots,
                                   uint64_t now_ms, char *ret_reason)
{
	struct plan_node *best = NULL;
	uint64_t need = need_of(vm);

	for (size_t i = 0; i < plan->count; i++) {
		struct plan_node *p = &plan->nodes[i];

		if (only && strcmp(only, p->node->kept.name) != 0)
			continue;
		if ((!best || is_better(p, best)) &&
		    judge(fleet, p, vm, need, ignore_slots, now_ms) == PLAN_FITS)
			best = p;
	}
	if (!best) {
		explain_none(plan, fleet, vm, only, ignore_slots, now_ms, ret_reason);
		return NULL;
	}
	best->headroom_bytes = subtract(best->headroom_bytes, need);
	best->inbound++;
	best->inbound_finish_ms += plan_estimate_to_ms(vm->node, best->node, memory_of(vm), 0,
	                                               now_ms);
	return best;
}

bool plan_could_ever_fit(const struct fleet *fleet, const struct vm *vm, char *ret_reason)
{
	uint64_t largest = 0, need = need_of(vm);
	const char *name = NULL;
	char amount[UNITS_TEXT_BYTES], limit[UNITS_TEXT_BYTES];

	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		const struct host_state *host = &node->host;
		uint64_t room = host_state_limit_bytes(host);

		if (node == vm->node || node->set_aside)
			continue;
		/* It has not reported yet: nobody knows what it holds. */
		if (!host->memory_capacity_bytes)
			return true;
		if (!name || room > largest) {
			largest = room;
			name = node->kept.name;
		}
	}
	if (name && largest >= need)
		return true;
	if (!name)
		snprintf(ret_reason, REASON_BYTES, "there is no other node");
	else
		snprintf(ret_reason, REASON_BYTES,
		         "it needs %s and %s, the largest other node, holds %s even when empty",
		         units_format_bytes(need, amount), name,
		         units_format_bytes(largest, limit));
	return false;
}

/* @path_bytes_per_s: what is available on it for what is moved, 0 = not known. It says nothing of how
 * fast the hosts are, and what they did say of that nothing of the traffic of today: the smaller counts. */
static uint64_t estimate(const struct node *source, uint64_t path_bytes_per_s,
                         uint64_t memory_bytes, uint64_t bandwidth_bytes_per_s)
{
	uint64_t rate = path_bytes_per_s;

	if (source) {
		rate = path_narrower(rate, source->measured_bytes_per_s);
		for (size_t i = 0; !rate && i < source->host.n_interfaces; i++)
			rate = source->host.interfaces[i].link_bytes_per_s * 9 / 10;
	}
	if (!rate)
		rate = PLAN_DEFAULT_BYTES_PER_S;
	if (bandwidth_bytes_per_s && bandwidth_bytes_per_s < rate)
		rate = bandwidth_bytes_per_s;
	/* Measured rates have the overhead inside. */
	return memory_bytes / (rate / 1000 + 1) +
	       (source && source->measured_bytes_per_s ? 0 : PLAN_OVERHEAD_MS);
}

uint64_t plan_estimate_ms(const struct node *source, uint64_t memory_bytes,
                          uint64_t bandwidth_bytes_per_s)
{
	return estimate(source, 0, memory_bytes, bandwidth_bytes_per_s);
}

uint64_t plan_estimate_to_ms(const struct node *source, const struct node *target,
                             uint64_t memory_bytes, uint64_t bandwidth_bytes_per_s, uint64_t now_ms)
{
	uint64_t path = source && target ? fleet_get_path_payload(source, target, now_ms) : 0;

	return estimate(source, path, memory_bytes, bandwidth_bytes_per_s);
}

uint64_t plan_schedule_ms(const uint64_t *durations_ms, size_t count, uint32_t slots)
{
	uint64_t *free_ms, last = 0;

	if (!slots)
		slots = 1;
	free_ms = xcalloc(slots, sizeof(*free_ms));
	for (size_t i = 0; i < count; i++) {
		size_t first = 0;

		for (size_t s = 1; s < slots; s++) {
			if (free_ms[s] < free_ms[first])
				first = s;
		}
		free_ms[first] += durations_ms[i];
		if (free_ms[first] > last)
			last = free_ms[first];
	}
	free(free_ms);
	return last;
}
