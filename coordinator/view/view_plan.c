/* SPDX-License-Identifier: Apache-2.0 */
/* See view.h. A dry run that is kept, as it was shown. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/core/power/power.h"

#include <string.h>

Drover__V1__PlanBound *view_bound_new(const struct plan_bound *bound)
{
	Drover__V1__PlanBound *m;

	if (!bound->planned_ms)
		return NULL;
	m = xnew(Drover__V1__PlanBound);
	drover__v1__plan_bound__init(m);
	m->planned_ms = bound->planned_ms;
	m->least_ms = bound->least_ms;
	m->capped_ms = bound->capped_ms;
	m->critical = xstrdup(plan_critical_name(bound->critical));
	m->node = xstrdup(bound->node);
	m->vm = xstrdup(bound->vm);
	return m;
}

/* One without a destination is shut down. */
static Drover__V1__DrainVm *move_new(const struct kept_move *move,
                                     const struct migration_settings *settings)
{
	Drover__V1__DrainVm *m = xnew(Drover__V1__DrainVm);

	drover__v1__drain_vm__init(m);
	m->uuid = xstrdup(move->uuid);
	m->name = xstrdup(move->name);
	m->node = xstrdup(move->node);
	m->state = xstrdup(drain_vm_state_name(DRAIN_VM_WAITING));
	m->target = xstrdup(move->target);
	m->power = xstrdup(move->target[0] ? "" : shutdown_phase_name(SHUTDOWN_ALLOWED));
	m->memory_bytes = move->memory_bytes;
	m->order = move->order;
	m->start_ms = move->start_ms;
	m->end_ms = move->end_ms;
	m->eta_ms = move->end_ms > move->start_ms ? move->end_ms - move->start_ms : 0;
	m->could = move->could;
	m->left_bytes = move->left_bytes;
	m->why = xstrdup(move->why);
	m->turn_why = xstrdup(move->turn_why);
	m->guard = (Drover__V1__Guard)move->guard;
	if (move->target[0])
		m->prediction = view_prediction_new(&move->prediction, settings);
	return m;
}

static Drover__V1__Drain *drain_new(const struct fleet *fleet, const struct kept_plan *plan)
{
	struct migration_settings settings = fleet->options.settings;
	Drover__V1__Drain *m = xnew(Drover__V1__Drain);

	drover__v1__drain__init(m);
	launch_take_drain(&settings, &plan->record);
	m->node = xstrdup(plan->record.node);
	m->state = xstrdup(drain_state_name(DRAIN_PLANNED));
	m->eta_ms = plan->eta_ms;
	m->eta_known = true;
	m->eta_low_ms = plan->eta_low_ms;
	m->eta_high_ms = plan->eta_high_ms;
	m->bytes_total = plan->bytes;
	m->bound = view_bound_new(&plan->bound);
	m->leave = xcalloc(plan->record.leave.count + 1, sizeof(*m->leave));
	for (size_t i = 0; i < plan->record.leave.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, plan->record.leave.items[i]);

		m->leave[m->n_leave++] = xstrdup(vm ? vm->name : plan->record.leave.items[i]);
	}
	m->shut_down = xcalloc(plan->record.n_shutdowns + 1, sizeof(*m->shut_down));
	for (size_t i = 0; i < plan->record.n_shutdowns; i++)
		m->shut_down[m->n_shut_down++] = xstrdup(plan->record.shutdowns[i].name);
	if (plan->record.n_shutdowns)
		m->shutdown_timeout_ms = power_get_timeout(fleet, &plan->record);
	m->vms = xcalloc(plan->count + 1, sizeof(*m->vms));
	for (size_t i = 0; i < plan->count; i++)
		m->vms[m->n_vms++] = move_new(&plan->moves[i], &settings);
	return m;
}

Drover__V1__Plan *view_plan_new(const struct fleet *fleet, const struct kept_plan *plan,
                                const struct names *changes)
{
	Drover__V1__Plan *m = xnew(Drover__V1__Plan);

	drover__v1__plan__init(m);
	m->id = xstrdup(plan->id);
	m->made_wall_ms = plan->made_wall_ms;
	m->drain = drain_new(fleet, plan);
	m->holds = changes->count == 0;
	m->leave_unmovable = plan->record.leave_unmovable;
	m->changes = xcalloc(changes->count + 1, sizeof(*m->changes));
	for (size_t i = 0; i < changes->count; i++)
		m->changes[m->n_changes++] = xstrdup(changes->items[i]);
	return m;
}
