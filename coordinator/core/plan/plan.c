/* SPDX-License-Identifier: Apache-2.0 */
/* Placement and estimates. Theory: plan.h. */
#include "coordinator/core/plan/plan_private.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/fleet_path.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/policy/policy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum plan_refusal plan_judge_host(const struct node *node, uint64_t now_ms)
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

void plan_deinit(struct plan *plan)
{
	free(plan->nodes);
	*plan = (struct plan){ 0 };
}

uint32_t plan_count_ports(const struct vm *vm, bool copy_disks)
{
	return copy_disks && vm->copies != COPIES_NONE ? 2 : 1;
}

uint32_t plan_count_ports_held(const struct migration *m)
{
	return m->kept.report.progress.disk_total_bytes || m->kept.settings.copy_disks ? 2 : 1;
}

static bool copies_disks(const struct fleet *fleet, const struct vm *vm)
{
	const struct drain *drain;

	if (vm->migration)
		return vm->migration->kept.settings.copy_disks;
	if (fleet->draft)
		return fleet->draft->kept.copy_disks;
	drain = vm->node ? fleet_find_node_drain(fleet, vm->node) : NULL;
	return drain ? drain->kept.copy_disks : fleet->options.settings.copy_disks;
}

void plan_get_need(const struct fleet *fleet, const struct vm *vm, struct plan_need *ret)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	const struct vm_state *state = home ? &home->state : NULL;

	*ret = (struct plan_need){ .ports = plan_count_ports(vm, copies_disks(fleet, vm)) };
	if (!state)
		return;
	ret->bytes = vm_state_need_bytes(state);
	ret->vcpus = state->vcpus;
	ret->page_bytes = state->needs.hugepage_bytes;
	ret->huge_bytes = ret->page_bytes ? state->memory_bytes : 0;
}

uint64_t plan_get_page_room(const struct plan_node *p, uint64_t page_bytes)
{
	const struct host_rooms *rooms = &p->node->host.rooms;
	uint64_t bytes = host_state_room_pages(&p->node->host, page_bytes);

	for (size_t i = 0; bytes != UINT64_MAX && i < rooms->n_pools; i++) {
		if (rooms->pools[i].page_bytes == page_bytes)
			return subtract(bytes, p->pages_asked_bytes[i]);
	}
	return bytes;
}

/* Not counted in its host's own figures yet, or taken in this plan. */
void plan_take(struct plan_node *p, const struct plan_need *need)
{
	const struct host_rooms *rooms = &p->node->host.rooms;

	p->headroom_bytes = subtract(p->headroom_bytes, need->bytes);
	if (p->vcpu_room != UINT64_MAX)
		p->vcpu_room = subtract(p->vcpu_room, need->vcpus);
	for (size_t i = 0; need->page_bytes && i < rooms->n_pools; i++) {
		if (rooms->pools[i].page_bytes == need->page_bytes)
			p->pages_asked_bytes[i] += need->huge_bytes;
	}
}

static void add_migration(struct plan *plan, const struct fleet *fleet, const struct migration *m)
{
	const struct node *target = m->kept.holds_slot ? fleet_find_node(fleet, m->kept.target)
	                                               : NULL;
	const struct vm *vm = target ? fleet_find_vm(fleet, m->kept.vm_uuid) : NULL;
	struct plan_node *p = target ? &plan->nodes[target->plan_index] : NULL;
	struct plan_need need = { 0 };

	if (!p)
		return;
	p->ports += plan_count_ports_held(m);
	if (m->seen_by_target)
		return;
	if (vm)
		plan_get_need(fleet, vm, &need);
	need.bytes = m->kept.need_bytes;
	plan_take(p, &need);
}

void plan_init(struct plan *plan, const struct fleet *fleet, uint64_t now_ms)
{
	size_t i = 0;

	plan->count = HASH_COUNT(fleet->nodes);
	plan->nodes = xcalloc(plan->count + 1, sizeof(*plan->nodes));
	for (struct node *node = fleet->nodes; node; node = node->hh.next) {
		node->plan_index = i;
		plan->nodes[i++] = (struct plan_node){
			.node = node,
			.headroom_bytes = host_state_room_bytes(&node->host),
			.vcpu_room = host_state_room_vcpus(&node->host),
			.inbound = node->migrations_in,
			.takes = plan_judge_host(node, now_ms),
		};
	}
	for (const struct migration *m = fleet->active; m; m = m->next_active)
		add_migration(plan, fleet, m);
}

void plan_ignore_policies(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		plan->nodes[i].any_policy = true;
}

static uint64_t memory_of(const struct vm *vm)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;

	return home ? home->state.memory_bytes : 0;
}

const struct refusal *plan_find_refusal(const struct vm *vm, const struct node *node,
                                        uint64_t now_ms)
{
	for (const struct refusal *r = vm->refusals; r; r = r->next) {
		if (strcmp(r->target, node->kept.name) == 0)
			return now_ms < r->again_ms && (r->fault || r->lasting ||
			                                r->room_sequence == node->room_sequence)
			               ? r
			               : NULL;
	}
	return NULL;
}

uint32_t plan_get_inbound_cap(const struct fleet *fleet, const struct node *node)
{
	uint32_t own = node->host.slots_in_max;

	return own && own < fleet->options.caps.inbound ? own : fleet->options.caps.inbound;
}

enum plan_refusal plan_judge_kind(const struct node *node, const struct vm *vm, char *ret_text)
{
	static const enum plan_refusal refusals[] = {
		[FIT_YES] = PLAN_FITS,           [FIT_NO_MACHINE] = PLAN_NO_MACHINE,
		[FIT_VCPUS] = PLAN_NO_VCPUS,     [FIT_CPU] = PLAN_OTHER_CPU,
		[FIT_NETWORK] = PLAN_NO_NETWORK,
	};
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;

	static_assert(ARRAY_SIZE(refusals) == FITS, "a rule without a refusal");
	if (!home || !home->state.needs.known)
		return PLAN_FITS;
	return refusals[fit_judge(&home->state.needs, vm->node->host.offers, node->host.offers,
	                          ret_text)];
}

static const struct check *find_denial(const struct node *node, const struct vm *vm,
                                       uint64_t now_ms)
{
	const struct sighting *home = node->denials && vm->node ? fleet_find_sighting(vm, vm->node)
	                                                        : NULL;

	return home ? denials_find(node, home, now_ms) : NULL;
}

static bool is_listed(const struct node *node, const struct vm *vm)
{
	const struct sighting *there = fleet_find_sighting(vm, node);

	return there && vm_state_is_active(&there->state);
}

bool plan_only_refused(const struct node *node, const struct vm *vm, uint64_t now_ms)
{
	return !is_listed(node, vm) && !find_denial(node, vm, now_ms) &&
	       plan_judge_kind(node, vm, NULL) == PLAN_FITS;
}

enum plan_refusal plan_judge_pair(const struct node *node, const struct vm *vm, uint64_t now_ms)
{
	const struct check *said;

	if (is_listed(node, vm))
		return PLAN_LISTS_IT;
	if (plan_find_refusal(vm, node, now_ms))
		return PLAN_REFUSED;
	said = find_denial(node, vm, now_ms);
	if (!said)
		return PLAN_FITS;
	return strcmp(said->id, "machine") == 0 ? PLAN_NO_MACHINE : PLAN_OTHER_CPU;
}

enum plan_refusal plan_judge_class(const struct node *node, const struct vm *vm, uint64_t now_ms,
                                   char *ret_text)
{
	enum plan_refusal why = plan_judge_pair(node, vm, now_ms);
	const struct check *said;

	if (why == PLAN_FITS)
		return plan_judge_kind(node, vm, ret_text);
	said = why != PLAN_LISTS_IT && why != PLAN_REFUSED ? find_denial(node, vm, now_ms) : NULL;
	if (said && ret_text)
		snprintf(ret_text, FIT_TEXT_BYTES,
		         "refused a guest of the same host, CPU and machine type: %.20s: %.180s",
		         said->id, said->measured);
	return why;
}

static enum plan_refusal judge_room(const struct plan_node *p, const struct plan_need *need)
{
	if (p->headroom_bytes < need->bytes)
		return PLAN_NO_MEMORY;
	if (need->page_bytes && plan_get_page_room(p, need->page_bytes) < need->huge_bytes)
		return PLAN_NO_PAGES;
	return p->vcpu_room < need->vcpus ? PLAN_NO_VCPUS : PLAN_FITS;
}

static enum plan_refusal judge_slots(const struct fleet *fleet, const struct plan_node *p,
                                     const struct plan_need *need, bool ignore_slots)
{
	if (ignore_slots)
		return p->node->host.port_pool >= need->ports ? PLAN_FITS : PLAN_NO_PORTS;
	if (p->inbound >= plan_get_inbound_cap(fleet, p->node))
		return PLAN_NO_INBOUND;
	return p->ports + need->ports > p->node->host.port_pool ? PLAN_NO_PORTS : PLAN_FITS;
}

/* By a hard policy, unless somebody has said of its migration that it is to go all the same. */
static bool is_barred(const struct fleet *fleet, const struct plan_node *p, const struct vm *vm,
                      char *ret_text)
{
	return fleet->policies && !p->any_policy &&
	       !(vm->migration && vm->migration->kept.settings.ignore_policies) &&
	       policy_find_bar(fleet, vm, p->node, ret_text);
}

/* Of what is in the way for good it is said before what is in the way today. */
enum plan_refusal plan_judge_need(const struct fleet *fleet, const struct plan_node *p,
                                  const struct vm *vm, const struct plan_need *need,
                                  bool ignore_slots, uint64_t now_ms, char *ret_text)
{
	enum plan_refusal why;

	if (p->node == vm->node)
		return PLAN_IS_SOURCE;
	if (p->takes != PLAN_FITS)
		return p->takes;
	why = plan_judge_class(p->node, vm, now_ms, ret_text);
	if (why == PLAN_FITS && is_barred(fleet, p, vm, ret_text))
		return PLAN_POLICY;
	if (why == PLAN_FITS)
		why = judge_room(p, need);
	return why == PLAN_FITS ? judge_slots(fleet, p, need, ignore_slots) : why;
}

/* The cheap questions first: a pick asks them of every node for every guest. */
static bool fits(const struct fleet *fleet, const struct plan_node *p, const struct vm *vm,
                 const struct plan_need *need, bool ignore_slots, uint64_t now_ms)
{
	return p->node != vm->node && p->takes == PLAN_FITS && judge_room(p, need) == PLAN_FITS &&
	       judge_slots(fleet, p, need, ignore_slots) == PLAN_FITS &&
	       plan_judge_class(p->node, vm, now_ms, NULL) == PLAN_FITS &&
	       !is_barred(fleet, p, vm, NULL);
}

enum plan_refusal plan_judge(const struct fleet *fleet, const struct plan_node *node,
                             const struct vm *vm, bool ignore_slots, uint64_t now_ms,
                             char *ret_text)
{
	struct plan_need need;

	plan_get_need(fleet, vm, &need);
	if (ret_text)
		return plan_describe(fleet, node, vm, &need, ignore_slots, now_ms, ret_text);
	return plan_judge_need(fleet, node, vm, &need, ignore_slots, now_ms, NULL);
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

/* By wishes, then by room. @broken: of each, NULL: there are none. */
static bool is_preferred(const uint32_t *broken, const struct plan_node *p,
                         const struct plan_node *best)
{
	if (!best)
		return true;
	if (broken && broken[p->node->plan_index] != broken[best->node->plan_index])
		return broken[p->node->plan_index] < broken[best->node->plan_index];
	return is_better(p, best);
}

struct plan_node *plan_pick_target(struct plan *plan, const struct fleet *fleet,
                                   const struct vm *vm, const char *only, bool ignore_slots,
                                   uint64_t now_ms, char *ret_reason)
{
	struct plan_node *best = NULL;
	struct plan_need need;
	uint32_t *broken = fleet->policies ? policy_list_broken(fleet, vm) : NULL;

	plan_get_need(fleet, vm, &need);
	for (size_t i = 0; i < plan->count; i++) {
		struct plan_node *p = &plan->nodes[i];

		if (only && strcmp(only, p->node->kept.name) != 0)
			continue;
		if (is_preferred(broken, p, best) &&
		    fits(fleet, p, vm, &need, ignore_slots, now_ms))
			best = p;
	}
	free(broken);
	if (!best) {
		plan_explain(plan, fleet, vm, only, ignore_slots, now_ms, ret_reason);
		return NULL;
	}
	plan_take(best, &need);
	best->inbound++;
	best->ports += need.ports;
	best->inbound_finish_ms += plan_estimate_to_ms(vm->node, best->node, memory_of(vm), 0,
	                                               now_ms);
	return best;
}

bool plan_could_ever_fit(const struct fleet *fleet, const struct vm *vm, char *ret_reason)
{
	uint64_t largest = 0, need;
	struct plan_need whole;
	const char *name = NULL;
	char amount[UNITS_TEXT_BYTES], limit[UNITS_TEXT_BYTES];

	plan_get_need(fleet, vm, &whole);
	need = whole.bytes;
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
