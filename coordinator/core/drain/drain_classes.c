/* SPDX-License-Identifier: Apache-2.0 */
/* See drain_classes.h. */
#include "coordinator/core/drain/drain_classes.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/fleet_path.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/plan/classes.h"
#include "coordinator/core/predict/predict.h"

#include <stdlib.h>
#include <string.h>

/* Of a link for memory, as plan.c has it. */
#define LINK_SHARE 0.9
/* A tenth of a slower one is too little for an agent to hold anybody at (agent/kernel/lanes.h). */
#define LANES_LEAST_BYTES_PER_S ((uint64_t)10 << 20)

struct drain_classes {
	struct classes classes;
	uint32_t *of; /* owned; of each of them: the instance's class, 0: not yet */
	uint32_t n_of;
	uint64_t page_bytes[INSTANCE_POOLS]; /* of pool 1 and up; 0 = not used yet */
	double *in_bytes_per_s; /* owned; per host: the best way to it that is believed; 0 = none */
	const struct node *asked; /* the last source whose ways were looked at */
};

void drain_classes_init(struct drain_problem *p)
{
	p->classes = xnew(struct drain_classes);
	classes_init(&p->classes->classes, p->plan, change_now(p->fleet));
	p->classes->in_bytes_per_s = xcalloc(p->plan->count + 1, sizeof(double));
}

void drain_classes_deinit(struct drain_problem *p)
{
	classes_deinit(&p->classes->classes);
	free(p->classes->of);
	free(p->classes->in_bytes_per_s);
	free(p->classes);
	p->classes = NULL;
}

/* --- classes --- */

static uint32_t forbid(struct drain_problem *p, uint32_t id, uint32_t host)
{
	if (!id)
		id = instance_add_class(&p->in);
	instance_forbid(&p->in, id, host);
	return id;
}

/* The class in the instance's own numbers. */
static uint32_t get_class(struct drain_problem *p, const struct vm *vm)
{
	struct drain_classes *c = p->classes;
	uint32_t id = classes_get(&c->classes, vm);

	if (!id)
		return 0;
	if (id >= c->n_of) {
		c->of = xreallocarray(c->of, 2 * (size_t)id, sizeof(*c->of));
		memset(c->of + c->n_of, 0, (2 * (size_t)id - c->n_of) * sizeof(*c->of));
		c->n_of = 2 * id;
	}
	if (c->of[id])
		return c->of[id];
	for (uint32_t h = 0; h < p->plan->count; h++) {
		if (!classes_allow(&c->classes, id, h))
			c->of[id] = forbid(p, c->of[id], h);
	}
	return c->of[id];
}

/* --- huge pages --- */

/* The planner counts three sizes; a fourth in one plan is judged for each guest alone, by its class. */
static unsigned find_pool(struct drain_problem *p, uint64_t page_bytes)
{
	struct drain_classes *c = p->classes;

	for (unsigned pool = 1; pool < INSTANCE_POOLS; pool++) {
		if (c->page_bytes[pool] == page_bytes)
			return pool;
		if (c->page_bytes[pool])
			continue;
		c->page_bytes[pool] = page_bytes;
		for (uint32_t h = 0; h < p->plan->count; h++) {
			uint64_t room = plan_get_page_room(&p->plan->nodes[h], page_bytes);

			p->in.hosts[h].free_bytes[pool] = room < PLAN_PAGES_UNKNOWN
			                                          ? room
			                                          : PLAN_PAGES_UNKNOWN;
		}
		return pool;
	}
	return 0;
}

uint64_t drain_classes_get_page(const struct drain_problem *p, unsigned pool)
{
	return p->classes->page_bytes[pool];
}

static uint32_t forbid_small_pools(struct drain_problem *p, const struct plan_need *need,
                                   uint32_t class_id)
{
	uint32_t id = 0;

	for (uint32_t h = 0; h < p->plan->count; h++) {
		if (!instance_allows(&p->in, class_id, h) ||
		    plan_get_page_room(&p->plan->nodes[h], need->page_bytes) < need->huge_bytes)
			id = forbid(p, id, h);
	}
	return id ? id : class_id;
}

static bool has_few_ports(const struct drain_problem *p, uint32_t ports)
{
	for (uint32_t h = 0; h < p->plan->count; h++) {
		if (p->in.hosts[h].open && p->in.hosts[h].ports < ports)
			return true;
	}
	return false;
}

/* A host with one port never takes a guest whose disks are copied: two would be in use at once. */
static uint32_t forbid_few_ports(struct drain_problem *p, uint32_t ports, uint32_t class_id)
{
	uint32_t id = 0;

	for (uint32_t h = 0; h < p->plan->count; h++) {
		if (!instance_allows(&p->in, class_id, h) || p->in.hosts[h].ports < ports)
			id = forbid(p, id, h);
	}
	return id ? id : class_id;
}

/* --- rates --- */

static double get_link(const struct node *node)
{
	uint64_t most = 0;

	for (size_t i = 0; i < node->host.n_interfaces; i++) {
		if (node->host.interfaces[i].link_bytes_per_s > most)
			most = node->host.interfaces[i].link_bytes_per_s;
	}
	return most ? (double)most * LINK_SHARE : (double)PLAN_DEFAULT_BYTES_PER_S;
}

/* What is known of the ways from @node, to the hosts that it has looked at: the best of them is what leaves
 * it at most, and each what comes in there from it. A way that is not believed says nothing. */
static bool look_at_paths(struct drain_problem *p, const struct node *node)
{
	uint64_t now_ms = change_now(p->fleet), most = 0;
	double *in = p->classes->in_bytes_per_s;

	if (p->classes->asked == node)
		return false;
	p->classes->asked = node;
	for (size_t i = 0; i < node->host.n_paths; i++) {
		const struct node *target = fleet_find_node(p->fleet, node->host.paths[i].node);
		uint64_t rate = target && target != node
		                        ? fleet_get_path_payload(node, target, now_ms)
		                        : 0;

		if (!rate)
			continue;
		most = rate > most ? rate : most;
		if ((double)rate > in[target->plan_index]) {
			in[target->plan_index] = (double)rate;
			p->in.hosts[target->plan_index].in_bytes_per_s = (double)rate;
		}
	}
	if (most)
		p->in.hosts[node->plan_index].out_bytes_per_s = (double)most;
	p->in.hosts[node->plan_index].lanes = most >= LANES_LEAST_BYTES_PER_S;
	return most > 0;
}

static bool is_known_by_path(const struct drain_problem *p, const struct node *node)
{
	for (size_t i = 0; i < node->host.n_paths; i++) {
		const struct node *target = fleet_find_node(p->fleet, node->host.paths[i].node);

		if (target && p->classes->in_bytes_per_s[target->plan_index] > 0)
			return true;
	}
	return false;
}

/* --- hosts and guests --- */

void drain_classes_fill_host(const struct drain_problem *p, uint32_t h)
{
	const struct plan_node *from = &p->plan->nodes[h];
	struct instance_host *host = &p->in.hosts[h];
	double link = get_link(from->node);
	uint64_t measured = from->node->measured_bytes_per_s;

	host->vcpu_room = from->vcpu_room;
	host->ports = from->node->host.port_pool;
	/* Until its ways are looked at: whose ways are not measured leaves them to TCP. */
	host->lanes = false;
	host->in_bytes_per_s = link;
	host->out_bytes_per_s = measured && (double)measured < link ? (double)measured : link;
}

/* The same as core/predict/predict.c rests on, in the planner's terms: what is sent while the first pass takes its
 * time is written to again at that rate, and shrinks as it is sent. */
static void fill_writes(const struct drain_problem *p, const struct drain *drain,
                        const struct vm *vm, struct instance_vm *guest)
{
	struct migration_settings settings = p->fleet->options.settings;
	const struct sighting *home = fleet_find_sighting(vm, vm->node);
	double first_s, alone = p->in.hosts[guest->home].out_bytes_per_s;

	/* A guest that stands still writes nothing. */
	if (!vm->writes.known || !home || strcmp(home->state.state, "paused") == 0)
		return;
	launch_take_drain(&settings, &drain->kept);
	if (settings.bandwidth_bytes_per_s && (double)settings.bandwidth_bytes_per_s < alone)
		alone = (double)settings.bandwidth_bytes_per_s;
	first_s = guest->work_bytes / (alone > 1 ? alone : 1);
	if (first_s > 0)
		guest->dirty_bytes_per_s = dirty_curve_at(&vm->writes, first_s) / first_s;
}

void drain_classes_fill_guest(struct drain_problem *p, const struct drain *drain,
                              const struct drain_vm *dv, const struct vm *vm,
                              struct instance_vm *guest)
{
	uint64_t limit = drain->kept.bandwidth_bytes_per_s;
	uint64_t touched = vm->memory_use.touched_bytes;
	struct plan_need need;
	bool by_path;

	plan_get_need(p->fleet, vm, &need);
	guest->need_bytes = need.bytes;
	guest->vcpus = need.vcpus;
	guest->ports = (uint8_t)plan_count_ports(vm, drain->kept.copy_disks);
	guest->class_id = get_class(p, vm);
	if (need.page_bytes) {
		guest->pool = (uint8_t)find_pool(p, need.page_bytes);
		if (guest->pool) {
			/* Admission counts the whole as memory, too. */
			guest->overhead_bytes = need.bytes;
			guest->need_bytes = need.huge_bytes;
		} else {
			guest->class_id = forbid_small_pools(p, &need, guest->class_id);
		}
	}
	if (guest->ports > 1 && has_few_ports(p, guest->ports))
		guest->class_id = forbid_few_ports(p, guest->ports, guest->class_id);
	by_path = look_at_paths(p, vm->node) || is_known_by_path(p, vm->node);
	guest->work_bytes = (double)(touched && touched < dv->memory_bytes ? touched
	                                                                   : dv->memory_bytes) +
	                    (double)dv->copied_bytes;
	if (!limit)
		limit = p->fleet->options.settings.bandwidth_bytes_per_s;
	guest->limit_bytes_per_s = (double)limit;
	/* Rates that come from the history of its host have the overhead inside. */
	guest->overhead_s = !by_path && vm->node->measured_bytes_per_s ? 0
	                                                               : PLAN_OVERHEAD_MS / 1000.0;
	if (guest->overhead_s > 0 && p->fleet->options.caps.preparing &&
	    vm->node->host.preparing_max)
		guest->prepare_s = PLAN_PREPARE_MS / 1000.0;
	fill_writes(p, drain, vm, guest);
}

void drain_classes_fill_running(struct drain_problem *p, const struct migration *m,
                                struct instance_vm *guest)
{
	const struct vm *vm = fleet_find_vm(p->fleet, m->kept.vm_uuid);
	const struct progress *progress = &m->kept.report.progress;
	uint32_t percent = progress->percent;
	struct plan_need need = { 0 };

	if (vm)
		plan_get_need(p->fleet, vm, &need);
	/* What it holds at its source is free when it has left; at its destination it is counted. */
	guest->need_bytes = m->kept.need_bytes;
	guest->vcpus = need.vcpus;
	if (need.page_bytes)
		guest->pool = (uint8_t)find_pool(p, need.page_bytes);
	if (guest->pool) {
		guest->overhead_bytes = m->kept.need_bytes;
		guest->need_bytes = need.huge_bytes;
	}
	guest->ports = (uint8_t)plan_count_ports_held(m);
	guest->limit_bytes_per_s = (double)m->kept.settings.bandwidth_bytes_per_s;
	guest->work_bytes = (double)m->kept.memory_bytes / 100 *
	                    (percent < 100 ? 100 - percent : 1);
}
