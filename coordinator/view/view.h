/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet as the messages that tools, dashboards and balancers read. Owner thread.
 *
 * Each _new gives a heap message that the caller ends with view_free.
 */
#pragma once

#include "coordinator/core/fleet.h"
#include "proto/coordinator.pb-c.h"

Drover__V1__Node *view_node_new(const struct fleet *fleet, const struct node *node,
                                uint64_t now_ms);
Drover__V1__Vm *view_vm_new(const struct fleet *fleet, const struct vm *vm);
Drover__V1__Migration *view_migration_new(const struct migration *m);
/* From the store: no revision, not active. */
Drover__V1__Migration *view_migration_record_new(const struct migration_record *kept);
Drover__V1__MigrationSettings *view_settings_message_new(const struct migration_settings *settings);
/* The part of the settings that says what may be done about a guest that does not converge. */
void view_fill_strategy(const struct strategy *from, Drover__V1__MigrationSettings *to);
Drover__V1__Drain *view_drain_new(const struct fleet *fleet, const struct drain *drain,
                                  uint64_t wall_ms);
/* NULL: nothing moves. */
Drover__V1__PlanBound *view_bound_new(const struct plan_bound *bound);
struct kept_plan;
/* @changes: what is not as it was. */
Drover__V1__Plan *view_plan_new(const struct fleet *fleet, const struct kept_plan *plan,
                                const struct names *changes);
Drover__V1__Event *view_event_new(const struct event_record *event);
Drover__V1__Check *view_check_new(const struct check *check);
Drover__V1__Check **view_checks_new(const struct checks *checks);
/* The settings of a migration, and those with which the next one of @vm would begin, if nobody asked for
 * anything else. The number of them; each and *@ret to be freed (or owned by a message). */
size_t view_settings_new(const struct migration_record *record, Drover__V1__Setting ***ret);
size_t view_next_settings_new(const struct fleet *fleet, const struct vm *vm,
                              Drover__V1__Setting ***ret);
/* The ways from @node that its agent has looked at, with what their destinations say. */
void view_fill_paths(const struct fleet *fleet, const struct node *node, uint64_t now_ms,
                     Drover__V1__HostState *m);
/* What the interfaces of that guest carry, as its host tells; NULL if it does not. */
Drover__V1__GuestTraffic *view_traffic_new(const struct host_state *host, const char *vm_uuid);
/* Where @vm is, what of its memory is in use, how it writes, and from which bandwidth it converges. */
void view_add_vm_lines(const struct fleet *fleet, const struct vm *vm, uint64_t now_ms,
                       Drover__V1__Explanation *m);
/* What its interfaces carry, in sentences. */
void view_add_traffic_lines(const struct vm *vm, Drover__V1__Explanation *m);
/* Which interfaces of a host are not counted at their best, and why, in sentences. */
void view_add_counting_lines(const struct node *node, Drover__V1__Explanation *m);
Drover__V1__Setting *view_setting_new(const char *name, const char *value, const char *from);

void view_free(void *message);

/* NULL: nothing was measured yet. */
Drover__V1__MemoryUse *view_memory_use_new(const struct vm *vm, uint64_t now_ms);
/* NULL: there is none. What helps is said for what @settings permit. */
Drover__V1__Prediction *view_prediction_new(const struct prediction *p,
                                            const struct migration_settings *settings);
/* And what it does not rest on. @m, @vm: NULL is fine. */
void view_prediction_doubt(Drover__V1__Prediction *m, const struct vm *vm,
                           const struct prediction *p, uint64_t now_ms);
/* What @vm waits for, if it does, as lines of an explanation. */
void view_add_waiting_lines(const struct fleet *fleet, const struct vm *vm,
                            Drover__V1__Explanation *to);
