/* SPDX-License-Identifier: Apache-2.0 */
/* The instance of some drains. Theory: drain_plan.h. */
#include "coordinator/core/drain_plan.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain_plan_words.h"
#include "coordinator/core/launch.h"
#include "coordinator/planner/planner.h"

#include <stdlib.h>
#include <string.h>

/* Of a running drain each event plans anew; a dry run may take a moment. */
#define DRAFT_EFFORT PLANNER_EFFORT

/* --- hosts --- */

struct place_of {
	const struct node *node;
	uint32_t index;
};

static int compare_places(const void *a, const void *b)
{
	const struct place_of *x = a, *y = b;

	return x->node < y->node ? -1 : x->node > y->node;
}

static int compare_names(const void *a, const void *b)
{
	const struct place_of *x = a, *y = b;

	return strcmp(x->node->kept.name, y->node->kept.name);
}

static uint32_t find_index(const struct drain_problem *p, const struct node *node)
{
	size_t low = 0, high = p->plan->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (p->places[middle].node == node)
			return p->places[middle].index;
		if (p->places[middle].node < node)
			low = middle + 1;
		else
			high = middle;
	}
	return INSTANCE_NONE;
}

static double get_link(const struct node *node)
{
	uint64_t most = 0;

	for (size_t i = 0; i < node->host.n_interfaces; i++) {
		if (node->host.interfaces[i].link_bytes_per_s > most)
			most = node->host.interfaces[i].link_bytes_per_s;
	}
	return most ? (double)most * 0.9 : (double)PLAN_DEFAULT_BYTES_PER_S;
}

static uint32_t least(uint32_t cap, uint32_t own)
{
	return own && own < cap ? own : cap;
}

static void add_host(struct drain_problem *p, uint32_t h)
{
	const struct plan_node *from = &p->plan->nodes[h];
	const struct node *node = from->node;
	struct instance_host *host = &p->in.hosts[h];
	double link = get_link(node), out = link;

	if (node->measured_bytes_per_s && (double)node->measured_bytes_per_s < link)
		out = (double)node->measured_bytes_per_s;
	*host = (struct instance_host){
		.free_bytes = { from->headroom_bytes },
		.capacity_bytes = host_state_limit_bytes(&node->host),
		.vcpu_room = UINT64_MAX,
		.out_bytes_per_s = out,
		.in_bytes_per_s = link,
		.slots_out = least(p->fleet->options.caps.outbound, node->host.slots_out_max),
		.slots_in = least(p->fleet->options.caps.inbound, node->host.slots_in_max),
		.ports = node->host.port_pool,
		.open = from->takes == PLAN_FITS && node->host.port_pool,
	};
	p->places[h] = (struct place_of){ .node = node, .index = h };
}

/* --- guests --- */

static bool is_plain(const struct vm *vm)
{
	return !vm->refusals && (!vm->sightings || !vm->sightings->next_vm);
}

/* Hosts that have refused it or list it are none for it. Most guests have no such hosts. */
static uint32_t make_class(struct drain_problem *p, const struct vm *vm)
{
	uint32_t id = 0;

	if (is_plain(vm))
		return 0;
	for (uint32_t h = 0; h < p->plan->count; h++) {
		enum plan_refusal why = plan_judge(p->fleet, &p->plan->nodes[h], vm, true,
		                                   change_now(p->fleet), NULL);

		if (why != PLAN_REFUSED && why != PLAN_LISTS_IT)
			continue;
		if (!id)
			id = instance_add_class(&p->in);
		instance_forbid(&p->in, id, h);
	}
	return id;
}

/* The only destination it may have; NONE: any. That of a migration of it that was asked for with one
 * counts, too: a plan that is carried out is made of such. */
static uint32_t find_pin(const struct drain_problem *p, const struct drain_vm *dv,
                         const struct vm *vm)
{
	const struct migration *m = vm->migration;
	const char *name = m && m->kept.state == MIGRATION_PLANNED ? m->kept.wanted_target
	                                                           : dv->pin;
	const struct node *node = name[0] ? fleet_find_node(p->fleet, name) : NULL;

	return node ? find_index(p, node) : INSTANCE_NONE;
}

static void add_guest(struct drain_problem *p, struct drain *drain, struct drain_vm *dv)
{
	const struct vm *vm = fleet_find_vm(p->fleet, dv->uuid);
	const struct sighting *home = vm && vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	uint32_t from = home ? find_index(p, vm->node) : INSTANCE_NONE;
	uint32_t parallel = launch_get_parallel(p->fleet, drain);
	struct instance_vm *guest;
	uint64_t limit = drain->kept.bandwidth_bytes_per_s;

	if (from == INSTANCE_NONE)
		return;
	if (!limit)
		limit = p->fleet->options.settings.bandwidth_bytes_per_s;
	if (parallel < p->in.hosts[from].slots_out)
		p->in.hosts[from].slots_out = parallel;
	p->guests[p->in.n_vms] = dv;
	guest = &p->in.vms[p->in.n_vms++];
	*guest = (struct instance_vm){
		/* Of those alike the one that is listed first goes first. */
		.key = p->in.n_vms - 1,
		.role = INSTANCE_LEAVES,
		.home = from,
		.target = find_pin(p, dv, vm),
		.need_bytes = vm_state_need_bytes(&home->state),
		.ports = 1,
		.vcpus = home->state.vcpus,
		.class_id = make_class(p, vm),
		.work_bytes = (double)dv->memory_bytes,
		.limit_bytes_per_s = (double)limit,
		/* Measured rates have the overhead inside. */
		.overhead_s = vm->node->measured_bytes_per_s ? 0 : PLAN_OVERHEAD_MS / 1000.0,
	};
}

static void add_running(struct drain_problem *p, const struct migration *m)
{
	const struct node *source = fleet_find_node(p->fleet, m->kept.source);
	const struct node *target = fleet_find_node(p->fleet, m->kept.target);
	uint32_t from = source ? find_index(p, source) : INSTANCE_NONE;
	uint32_t to = target ? find_index(p, target) : INSTANCE_NONE;
	uint32_t percent = m->kept.report.progress.percent;

	if (!m->kept.holds_slot || from == INSTANCE_NONE || to == INSTANCE_NONE || from == to)
		return;
	p->in.vms[p->in.n_vms] = (struct instance_vm){
		.key = p->in.n_vms,
		.role = INSTANCE_RUNNING,
		.home = from,
		.target = to,
		.need_bytes = m->kept.need_bytes,
		.ports = 1,
		.work_bytes = (double)m->kept.memory_bytes / 100 *
		              (percent < 100 ? 100 - percent : 1),
		.limit_bytes_per_s = (double)m->kept.settings.bandwidth_bytes_per_s,
		.switched = m->kept.state == MIGRATION_SWITCHING,
	};
	p->in.n_vms++;
}

static void make_problem(struct drain_problem *p, struct drain *const *drains, size_t count)
{
	uint32_t most = (uint32_t)p->fleet->n_active;

	for (size_t d = 0; d < count; d++)
		most += (uint32_t)drains[d]->n_vms;
	instance_init(&p->in, (uint32_t)p->plan->count, most);
	p->guests = xcalloc((size_t)most + 1, sizeof(struct drain_vm *));
	p->places = xcalloc(p->plan->count + 1, sizeof(*p->places));
	p->in.slots = p->fleet->options.caps.cluster;
	p->in.n_vms = 0;
	for (uint32_t h = 0; h < p->plan->count; h++)
		add_host(p, h);
	/* Of hosts alike the first by name is taken: so two coordinators agree, and people expect it. */
	qsort(p->places, p->plan->count, sizeof(*p->places), compare_names);
	for (uint32_t i = 0; i < p->plan->count; i++)
		p->in.hosts[p->places[i].index].key = i;
	qsort(p->places, p->plan->count, sizeof(*p->places), compare_places);
	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < drains[d]->n_vms; i++) {
			if (drains[d]->vms[i].wants)
				add_guest(p, drains[d], &drains[d]->vms[i]);
		}
	}
	for (const struct migration *m = p->fleet->active; m && p->in.n_vms < most;
	     m = m->next_active)
		add_running(p, m);
	instance_index(&p->in);
}

static void take_plan(const struct drain_problem *p, const struct planner_plan *plan)
{
	uint32_t order = 0;

	for (uint32_t m = 0; m < plan->schedule.n_moves; m++) {
		const struct schedule_move *move = &plan->schedule.moves[m];
		struct drain_vm *dv = p->guests[move->vm];

		if (!dv || dv->order)
			continue;
		dv->order = ++order;
		text_copy(dv->planned, sizeof(dv->planned),
		          p->plan->nodes[plan->placement.targets[move->vm]].node->kept.name);
	}
}

void drain_plan_make(struct fleet *fleet, struct drain *const *drains, size_t count,
                     const struct plan *plan, bool explain)
{
	struct drain_problem p = { .fleet = fleet, .plan = plan };
	struct planner_options options = { .seed = 1,
		                           .effort = explain ? DRAFT_EFFORT : 0,
		                           .rates = SCHEDULE_FAIR };
	struct planner_plan answer;

	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < drains[d]->n_vms; i++) {
			drains[d]->vms[i].order = 0;
			drains[d]->vms[i].planned[0] = '\0';
		}
	}
	make_problem(&p, drains, count);
	planner_make(&p.in, &options, &answer);
	take_plan(&p, &answer);
	if (explain)
		drain_plan_explain(&p, &answer);
	planner_plan_deinit(&answer);
	instance_deinit(&p.in);
	free(p.guests);
	free(p.places);
}
