/* SPDX-License-Identifier: Apache-2.0 */
/* The instance of some drains. Theory: drain_plan.h. */
#include "coordinator/core/drain/drain_plan.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain/drain_classes.h"
#include "coordinator/core/drain/drain_plan_words.h"
#include "coordinator/core/drain/drain_policies.h"
#include "coordinator/core/drain/drain_turns.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/planner/planner.h"

#include <stdlib.h>
#include <string.h>

/* Of a running drain each event plans anew; a dry run may take a moment. */
#define DRAFT_EFFORT PLANNER_EFFORT
/* Who has no place by the plan before is sought one by all means so often: that may take a moment, too. */
#define SEEK_MS 10000

/* --- hosts --- */

static int compare_names(const void *a, const void *b)
{
	const struct plan_node *const *x = a, *const *y = b;

	return strcmp((*x)->node->kept.name, (*y)->node->kept.name);
}

static uint32_t least(uint32_t cap, uint32_t own)
{
	return own && own < cap ? own : cap;
}

static void add_host(struct drain_problem *p, uint32_t h)
{
	const struct plan_node *from = &p->plan->nodes[h];
	const struct node *node = from->node;

	p->in.hosts[h] = (struct instance_host){
		.free_bytes = { from->headroom_bytes },
		.capacity_bytes = host_state_limit_bytes(&node->host),
		.slots_out = least(p->fleet->options.caps.outbound, node->host.slots_out_max),
		.slots_in = least(p->fleet->options.caps.inbound, node->host.slots_in_max),
		.open = from->takes == PLAN_FITS && node->host.port_pool,
	};
	drain_classes_fill_host(p, h);
}

/* Of hosts alike the first by name is taken: so two coordinators agree, and people expect it. */
static void number_hosts(struct drain_problem *p)
{
	const struct plan_node **order = xcalloc(p->plan->count + 1, sizeof(*order));

	for (size_t h = 0; h < p->plan->count; h++)
		order[h] = &p->plan->nodes[h];
	qsort(order, p->plan->count, sizeof(*order), compare_names);
	for (uint32_t i = 0; i < p->plan->count; i++)
		p->in.hosts[order[i] - p->plan->nodes].key = i;
	free(order);
}

/* --- guests --- */

/* The only destination it may have; NONE: any. That of a migration of it that was asked for with one
 * counts, too: a plan that is carried out is made of such. */
static uint32_t find_pin(const struct drain_problem *p, const struct drain_vm *dv,
                         const struct vm *vm)
{
	const struct migration *m = vm->migration;
	const char *name = m && m->kept.state == MIGRATION_PLANNED ? m->kept.wanted_target
	                                                           : dv->pin;
	const struct node *node = name[0] ? fleet_find_node(p->fleet, name) : NULL;

	return node ? (uint32_t)node->plan_index : INSTANCE_NONE;
}

/* Where the plan before has put it. */
static uint32_t find_hint(const struct drain_problem *p, const struct drain_vm *dv)
{
	const struct node *node = dv->planned[0] ? fleet_find_node(p->fleet, dv->planned) : NULL;

	return node ? (uint32_t)node->plan_index : INSTANCE_NONE;
}

static void add_guest(struct drain_problem *p, struct drain *drain, struct drain_vm *dv)
{
	const struct vm *vm = fleet_find_vm(p->fleet, dv->uuid);
	const struct sighting *home = vm && vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	uint32_t from = home ? (uint32_t)vm->node->plan_index : INSTANCE_NONE;
	uint32_t parallel = launch_get_parallel(p->fleet, drain);
	struct instance_vm *guest;

	if (from == INSTANCE_NONE)
		return;
	if (parallel < p->in.hosts[from].slots_out)
		p->in.hosts[from].slots_out = parallel;
	p->guests[p->in.n_vms] = dv;
	p->who[p->in.n_vms] = vm;
	guest = &p->in.vms[p->in.n_vms++];
	*guest = (struct instance_vm){
		/* Of those alike the one that is listed first goes first. */
		.key = p->in.n_vms - 1,        .role = INSTANCE_LEAVES,  .home = from,
		.target = find_pin(p, dv, vm), .hint = find_hint(p, dv),
	};
	drain_classes_fill_guest(p, drain, dv, vm, guest);
}

static void add_running(struct drain_problem *p, const struct migration *m)
{
	const struct node *source = fleet_find_node(p->fleet, m->kept.source);
	const struct node *target = fleet_find_node(p->fleet, m->kept.target);

	if (!m->kept.holds_slot || !source || !target || source == target)
		return;
	p->who[p->in.n_vms] = fleet_find_vm(p->fleet, m->kept.vm_uuid);
	p->in.vms[p->in.n_vms] = (struct instance_vm){
		.key = p->in.n_vms,
		.role = INSTANCE_RUNNING,
		.home = (uint32_t)source->plan_index,
		.target = (uint32_t)target->plan_index,
		.hint = INSTANCE_NONE,
		.switched = m->kept.state == MIGRATION_SWITCHING,
	};
	drain_classes_fill_running(p, m, &p->in.vms[p->in.n_vms]);
	p->in.n_vms++;
}

static void make_problem(struct drain_problem *p, struct drain *const *drains, size_t count)
{
	uint32_t most = (uint32_t)p->fleet->n_active;

	for (size_t d = 0; d < count; d++)
		most += (uint32_t)drains[d]->n_vms;
	most += drain_policies_count(p->fleet);
	instance_init(&p->in, (uint32_t)p->plan->count, most);
	p->guests = xcalloc((size_t)most + 1, sizeof(struct drain_vm *));
	drain_classes_init(p);
	p->who = xcalloc((size_t)most + 1, sizeof(struct vm *));
	p->in.slots = p->fleet->options.caps.cluster;
	p->in.n_vms = 0;
	for (uint32_t h = 0; h < p->plan->count; h++)
		add_host(p, h);
	number_hosts(p);
	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < drains[d]->n_vms; i++) {
			if (drains[d]->vms[i].wants)
				add_guest(p, drains[d], &drains[d]->vms[i]);
		}
	}
	for (const struct migration *m = p->fleet->active; m && p->in.n_vms < most;
	     m = m->next_active)
		add_running(p, m);
	drain_policies_add(p);
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

/* Of drains that are under way; what a draft may spend is for who makes it to say. */
static bool wants_seeking(const struct drain *drain, const struct drain_vm *dv, uint64_t now_ms)
{
	return drain->kept.state != DRAIN_PLANNED && dv->wants && !dv->planned[0] &&
	       (!dv->sought_ms || now_ms - dv->sought_ms >= SEEK_MS);
}

/* Forgets the plan before. Returns whether somebody has none, and it is time to look for one again. */
static bool clear_plan(struct drain *const *drains, size_t count, uint64_t now_ms)
{
	bool seek = false;

	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < drains[d]->n_vms; i++)
			seek = seek || wants_seeking(drains[d], &drains[d]->vms[i], now_ms);
	}
	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < drains[d]->n_vms; i++) {
			struct drain_vm *dv = &drains[d]->vms[i];

			if (seek && dv->wants)
				dv->sought_ms = now_ms;
			dv->order = 0;
			dv->planned[0] = dv->turn_why[0] = '\0';
		}
	}
	return seek;
}

void drain_plan_make(struct fleet *fleet, struct drain *const *drains, size_t count,
                     const struct plan *plan, bool explain)
{
	struct drain_problem p = { .fleet = fleet, .plan = plan };
	struct planner_options options = { .seed = 1,
		                           .effort = explain ? DRAFT_EFFORT : 0,
		                           /* As agents hand out the link, or TCP does. */
		                           .rates = fleet->options.settings.shortest_first
		                                            ? SCHEDULE_SHORTEST
		                                            : SCHEDULE_FAIR };
	struct planner_plan answer;

	/* The plan before is part of the problem: as hints. */
	make_problem(&p, drains, count);
	options.seek = clear_plan(drains, count, change_now(fleet));
	planner_make(&p.in, &options, &answer);
	take_plan(&p, &answer);
	if (explain) {
		drain_plan_explain(&p, &answer);
		drain_turns_explain(&p, &answer, &drains[0]->bound);
	}
	planner_plan_deinit(&answer);
	instance_deinit(&p.in);
	drain_policies_deinit(&p);
	free(p.guests);
	drain_classes_deinit(&p);
	free(p.who);
}
