/* SPDX-License-Identifier: Apache-2.0 */
/* See view.h. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/power/power.h"
#include "proto/fit_message.h"
#include "proto/transfer_message.h"

#include <stdlib.h>
#include <string.h>

#define NEW_MESSAGE(variable, type, init)       \
	type *variable = xmalloc(sizeof(type)); \
	init(variable)

void view_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

static void set_id(ProtobufCBinaryData *to, const struct id *id)
{
	to->data = xmemdup(id->bytes, ID_BYTES);
	to->len = ID_BYTES;
}

Drover__V1__Check *view_check_new(const struct check *c)
{
	NEW_MESSAGE(m, Drover__V1__Check, drover__v1__check__init);

	m->id = xstrdup(c->id);
	m->verdict = (Drover__V1__Check__Verdict)c->verdict;
	m->measured = xstrdup(c->measured);
	m->required = xstrdup(c->required);
	m->remedy = xstrdup(c->remedy);
	m->reason = xstrdup(c->reason);
	return m;
}

Drover__V1__Check **view_checks_new(const struct checks *checks)
{
	Drover__V1__Check **array = xcalloc(checks->count, sizeof(*array));

	for (size_t i = 0; i < checks->count; i++)
		array[i] = view_check_new(&checks->items[i]);
	return array;
}

static Drover__V1__InterfaceRate *rate_new(const struct interface_rate *from)
{
	NEW_MESSAGE(m, Drover__V1__InterfaceRate, drover__v1__interface_rate__init);

	m->name = xstrdup(from->name);
	m->rx_bytes_per_s = from->rx_bytes_per_s;
	m->tx_bytes_per_s = from->tx_bytes_per_s;
	m->rx_packets_per_s = from->rx_packets_per_s;
	m->tx_packets_per_s = from->tx_packets_per_s;
	m->migration_rx_bytes_per_s = from->migration_rx_bytes_per_s;
	m->migration_tx_bytes_per_s = from->migration_tx_bytes_per_s;
	m->unregistered_bytes_per_s = from->unregistered_bytes_per_s;
	m->link_bytes_per_s = from->link_bytes_per_s;
	m->source = xstrdup(from->source);
	m->why = xstrdup(from->why);
	return m;
}

static Drover__V1__Attempt *attempt_new(const struct attempt *a)
{
	NEW_MESSAGE(m, Drover__V1__Attempt, drover__v1__attempt__init);

	set_id(&m->operation_id, &a->operation);
	m->number = a->number;
	m->epoch = a->epoch;
	return m;
}

static Drover__V1__Lease *lease_new(const struct lease *l)
{
	NEW_MESSAGE(m, Drover__V1__Lease, drover__v1__lease__init);

	m->attempt = attempt_new(&l->attempt);
	m->vm_uuid = xstrdup(l->vm_uuid);
	m->vm_name = xstrdup(l->vm_name);
	m->source_node = xstrdup(l->source);
	m->memory_bytes = l->memory_bytes;
	m->page_bytes = l->page_bytes;
	m->bandwidth_bytes_per_s = l->bandwidth_bytes_per_s;
	m->port = l->port;
	m->disk_port = l->disk_port;
	m->disk_bytes = l->disk_bytes;
	m->since_wall_ms = l->since_wall_ms;
	m->expires_ms = l->expires_ms;
	m->in_use = l->in_use;
	return m;
}

/* "a=1,b=2" as a list. */
static char **list_new(const char *labels, size_t *ret_count)
{
	char **list = xcalloc(LABELS_BYTES / 2, sizeof(*list));
	size_t count = 0;

	while (*labels) {
		size_t length = strcspn(labels, ",");

		list[count++] = xasprintf("%.*s", (int)length, labels);
		labels += length + (labels[length] == ',');
	}
	*ret_count = count;
	return list;
}

static Drover__V1__HostState *host_new(const struct fleet *fleet, const struct node *node,
                                       uint64_t now_ms)
{
	const struct host_state *h = &node->host;
	NEW_MESSAGE(m, Drover__V1__HostState, drover__v1__host_state__init);

	m->node = xstrdup(node->kept.name);
	m->agent_version = xstrdup(h->agent_version);
	set_id(&m->boot_id, &h->boot_id);
	m->migration_address = xstrdup(h->migration_address);
	m->mesh_address = xstrdup(h->mesh_address);
	m->memory_capacity_bytes = h->memory_capacity_bytes;
	m->memory_reserve_bytes = h->memory_reserve_bytes;
	m->memory_guests_bytes = h->memory_guests_bytes;
	m->memory_reserved_bytes = h->memory_reserved_bytes;
	m->cpus = h->cpus;
	m->libvirt_version = xstrdup(h->libvirt_version);
	m->hypervisor_version = xstrdup(h->hypervisor_version);
	m->libvirt_connected = h->libvirt_connected;
	m->libvirt_problem = xstrdup(h->libvirt_problem);
	m->agent_problem = xstrdup(h->agent_problem);
	m->port_pool = h->port_pool;
	m->ports_in_use = h->ports_in_use;
	m->slots_in = h->slots_in;
	m->slots_out = h->slots_out;
	m->memory_overcommit_percent = h->memory_overcommit_percent;
	m->memory_physical_bytes = h->memory_physical_bytes;
	m->suspect = xstrdup(h->suspect);
	m->pressure = xstrdup(now_ms < node->pressured_until_ms ? h->pressure : "");
	m->pressure_ms = now_ms < node->pressured_until_ms ? node->pressured_until_ms - now_ms : 0;
	m->slots_in_max = h->slots_in_max;
	m->slots_out_max = h->slots_out_max;
	m->preparing_max = h->preparing_max;
	m->link_promised_bytes_per_s = h->link_promised_bytes_per_s;
	m->labels = list_new(h->labels, &m->n_labels);
	m->leases = xcalloc(h->n_leases, sizeof(*m->leases));
	for (size_t i = 0; i < h->n_leases; i++)
		m->leases[m->n_leases++] = lease_new(&h->leases[i]);
	m->interfaces = xcalloc(h->n_interfaces, sizeof(*m->interfaces));
	for (size_t i = 0; i < h->n_interfaces; i++)
		m->interfaces[m->n_interfaces++] = rate_new(&h->interfaces[i]);
	view_fill_paths(fleet, node, now_ms, m);
	if (h->rooms.known)
		m->rooms = fit_message_rooms_new(&h->rooms);
	return m;
}

Drover__V1__Node *view_node_new(const struct fleet *fleet, const struct node *node, uint64_t now_ms)
{
	char labels[LABELS_BYTES];
	NEW_MESSAGE(m, Drover__V1__Node, drover__v1__node__init);

	m->name = xstrdup(node->kept.name);
	m->state = xstrdup(node_state_name(node->state));
	m->reason = xstrdup(node->reason);
	m->host = host_new(fleet, node, now_ms);
	m->last_seen_ms = node->last_seen_ms ? now_ms - node->last_seen_ms : 0;
	m->vms = (uint32_t)node->active_vms;
	m->migrations_in = node->migrations_in;
	m->migrations_out = node->migrations_out;
	m->known = node->known;
	m->revision = node->revision;
	m->fenced = node->kept.fenced;
	if (node->kept.fenced) {
		m->fenced_by = xstrdup(node->kept.fenced_by);
		m->fenced_reason = xstrdup(node->kept.fenced_reason);
		m->fenced_wall_ms = node->kept.fenced_wall_ms;
	}
	node_get_labels(node, labels);
	m->labels = list_new(labels, &m->n_labels);
	m->given_labels = list_new(node->kept.labels, &m->n_given_labels);
	return m;
}

static Drover__V1__VmState *vm_state_new(const struct vm_state *s)
{
	NEW_MESSAGE(m, Drover__V1__VmState, drover__v1__vm_state__init);

	m->uuid = xstrdup(s->uuid);
	m->name = xstrdup(s->name);
	m->state = xstrdup(s->state);
	m->reason = xstrdup(s->reason);
	m->memory_bytes = s->memory_bytes;
	m->overhead_bytes = s->overhead_bytes;
	m->vcpus = s->vcpus;
	m->persistent = s->persistent;
	m->autostart = s->autostart;
	m->migrating_out = s->migrating_out;
	m->foreign_job = s->foreign_job;
	m->blockers = view_checks_new(&s->blockers);
	m->n_blockers = s->blockers.count;
	m->no_shutdown = xstrdup(s->no_shutdown);
	if (s->needs.known)
		m->needs = fit_message_needs_new(&s->needs);
	return m;
}

static void fill_policies(const struct fleet *fleet, const struct vm *vm, Drover__V1__Vm *m)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	m->policies = xcalloc(count, sizeof(*m->policies));
	for (size_t i = 0; i < count; i++)
		m->policies[m->n_policies++] = xstrdup(policies[i]->kept.name);
}

Drover__V1__Vm *view_vm_new(const struct fleet *fleet, const struct vm *vm)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : vm->sightings;
	size_t n = 0;
	NEW_MESSAGE(m, Drover__V1__Vm, drover__v1__vm__init);

	m->uuid = xstrdup(vm->uuid);
	m->name = xstrdup(vm->name);
	m->node = xstrdup(vm->node ? vm->node->kept.name : "");
	if (home) {
		m->state = vm_state_new(&home->state);
		/* What an agent that is away has told is history. */
		if (home->node->attached)
			m->state->traffic = view_traffic_new(&home->node->host, vm->uuid);
		m->state->memory_use = view_memory_use_new(vm, clock_now_ms());
	}
	m->movable = vm->movable;
	m->why_not = xstrdup(vm->why_not);
	m->migration_number = vm->migration ? vm->migration->kept.number : 0;
	for (const struct sighting *s = vm->sightings; s; s = s->next_vm)
		n++;
	m->seen_on = xcalloc(n, sizeof(*m->seen_on));
	for (const struct sighting *s = vm->sightings; s; s = s->next_vm)
		m->seen_on[m->n_seen_on++] = xstrdup(s->node->kept.name);
	fill_policies(fleet, vm, m);
	m->revision = vm->revision;
	return m;
}

static Drover__V1__Connection *connection_new(const struct connection *c)
{
	Drover__V1__Connection *m;

	if (!c->connections)
		return NULL;
	m = xnew(Drover__V1__Connection);
	drover__v1__connection__init(m);
	m->connections = c->connections;
	m->bytes_per_s = c->bytes_per_s;
	m->rtt_us = c->rtt_us;
	m->min_rtt_us = c->min_rtt_us;
	m->resent_ppm = c->resent_ppm;
	m->limited_by = xstrdup(c->limited_by);
	m->usual_bytes_per_s = c->usual_bytes_per_s;
	m->collapsed = c->collapsed;
	return m;
}

static Drover__V1__Hold *hold_new(const struct progress *p)
{
	Drover__V1__Hold *m;

	if (!p->hold_bytes_per_s)
		return NULL;
	m = xnew(Drover__V1__Hold);
	drover__v1__hold__init(m);
	m->first_vm = xstrdup(p->hold_for);
	m->bytes_per_s = p->hold_bytes_per_s;
	m->left_ms = p->hold_left_ms;
	return m;
}

static Drover__V1__Progress *progress_new(const struct progress *p)
{
	NEW_MESSAGE(m, Drover__V1__Progress, drover__v1__progress__init);

	m->elapsed_ms = p->elapsed_ms;
	m->memory_total_bytes = p->memory_total_bytes;
	m->memory_processed_bytes = p->memory_processed_bytes;
	m->memory_remaining_bytes = p->memory_remaining_bytes;
	m->transfer_bytes_per_s = p->transfer_bytes_per_s;
	m->dirty_bytes_per_s = p->dirty_bytes_per_s;
	m->iteration = p->iteration;
	m->expected_downtime_ms = p->expected_downtime_ms;
	m->eta_ms = p->eta_ms;
	m->eta_known = p->eta_known;
	m->end = (Drover__V1__Prediction__End)p->end;
	m->later_why = xstrdup(p->later_why);
	m->percent = p->percent;
	m->rate_source = xstrdup(p->rate_source);
	m->connection = connection_new(&p->connection);
	m->hold = hold_new(p);
	return m;
}

static Drover__V1__StageTimes *times_new(const struct stage_times *t)
{
	NEW_MESSAGE(m, Drover__V1__StageTimes, drover__v1__stage_times__init);

	m->describing_ms = t->describing_ms;
	m->admitting_ms = t->admitting_ms;
	m->linking_ms = t->linking_ms;
	m->moving_ms = t->moving_ms;
	m->prepared_ms = t->prepared_ms;
	m->resolving_ms = t->resolving_ms;
	m->cleaning_ms = t->cleaning_ms;
	return m;
}

static Drover__V1__Remnant *remnant_new(const struct remnant *r)
{
	NEW_MESSAGE(m, Drover__V1__Remnant, drover__v1__remnant__init);

	m->thing = xstrdup(r->thing);
	m->node = xstrdup(r->node);
	m->verdict = (Drover__V1__Remnant__Verdict)r->verdict;
	m->text = xstrdup(r->text);
	m->remedy = xstrdup(r->remedy);
	return m;
}

/* NULL: nothing is known of it. */
static Drover__V1__PathProof *path_new(const struct path_proof *from)
{
	Drover__V1__PathProof *m;

	if (!from->text[0])
		return NULL;
	m = xmalloc(sizeof(*m));
	drover__v1__path_proof__init(m);
	m->verdict = (Drover__V1__PathProof__Verdict)from->verdict;
	m->deviated = from->deviated;
	m->text = xstrdup(from->text);
	m->interfaces = xcalloc(from->n, sizeof(*m->interfaces));
	for (size_t i = 0; i < from->n; i++) {
		NEW_MESSAGE(one, Drover__V1__PathInterface, drover__v1__path_interface__init);

		one->name = xstrdup(from->interfaces[i].name);
		one->migration = from->interfaces[i].migration;
		one->wire_bytes = from->interfaces[i].wire_bytes;
		one->bytes_per_s = from->interfaces[i].bytes_per_s;
		one->percent = from->interfaces[i].percent;
		m->interfaces[m->n_interfaces++] = one;
	}
	return m;
}

static Drover__V1__AttemptReport *report_new(const struct attempt_report *r)
{
	NEW_MESSAGE(m, Drover__V1__AttemptReport, drover__v1__attempt_report__init);

	m->attempt = attempt_new(&r->attempt);
	m->vm_uuid = xstrdup(r->vm_uuid);
	m->vm_name = xstrdup(r->vm_name);
	m->source_node = xstrdup(r->source);
	m->target_node = xstrdup(r->target);
	m->state = (Drover__V1__MigrationState)r->state;
	m->reason = xstrdup(r->reason);
	m->error_code = r->error_code;
	m->checks = view_checks_new(&r->checks);
	m->n_checks = r->checks.count;
	m->guard = (Drover__V1__Guard)r->guard;
	m->progress = progress_new(&r->progress);
	m->duration_ms = r->duration_ms;
	m->times = times_new(&r->times);
	m->downtime_ms = r->downtime_ms;
	m->transferred_bytes = r->transferred_bytes;
	m->wire_bytes = r->wire_bytes;
	m->path = path_new(&r->path);
	m->held_ms = r->held_ms;
	m->tombstoned = r->tombstoned;
	m->waits_for_slot = r->waits_for_slot;
	m->memory_verified = r->memory_verified;
	m->alarm = r->alarm;
	m->disk_total_bytes = r->progress.disk_total_bytes;
	m->disk_processed_bytes = r->progress.disk_processed_bytes;
	m->disk_remaining_bytes = r->progress.disk_remaining_bytes;
	m->notes = xcalloc(r->notes.count, sizeof(*m->notes));
	for (size_t i = 0; i < r->notes.count; i++)
		m->notes[m->n_notes++] = xstrdup(r->notes.items[i]);
	m->decisions = xcalloc(r->decisions.count, sizeof(*m->decisions));
	for (size_t i = 0; i < r->decisions.count; i++)
		m->decisions[m->n_decisions++] = xstrdup(r->decisions.items[i]);
	m->remnants = xcalloc(r->remnants.count, sizeof(*m->remnants));
	for (size_t i = 0; i < r->remnants.count; i++)
		m->remnants[m->n_remnants++] = remnant_new(&r->remnants.items[i]);
	m->verification = view_checks_new(&r->verification);
	m->n_verification = r->verification.count;
	m->not_verified = xstrdup(r->not_verified);
	m->leftovers = xcalloc(r->leftovers.count, sizeof(*m->leftovers));
	for (size_t i = 0; i < r->leftovers.count; i++)
		m->leftovers[m->n_leftovers++] = xstrdup(r->leftovers.items[i]);
	return m;
}

void view_fill_strategy(const struct strategy *from, Drover__V1__MigrationSettings *to)
{
	to->ladder = (Drover__V1__Ladder)from->ladder;
	to->allow_auto_converge = from->allow_auto_converge;
	to->allow_post_copy = from->allow_post_copy;
	to->allow_workload_disruption = from->allow_disruption;
}

Drover__V1__MigrationSettings *view_settings_message_new(const struct migration_settings *s)
{
	NEW_MESSAGE(m, Drover__V1__MigrationSettings, drover__v1__migration_settings__init);

	m->bandwidth_bytes_per_s = s->bandwidth_bytes_per_s;
	m->max_downtime_ms = s->max_downtime_ms;
	m->completion_timeout_ms_per_gib = s->completion_timeout_ms_per_gib;
	m->progress_timeout_ms = s->progress_timeout_ms;
	m->tls = s->tls;
	m->no_guard = s->no_guard;
	m->unsafe = s->unsafe;
	m->copy_disks = s->copy_disks;
	m->stop_off_network = s->stop_off_network;
	m->shortest_first = s->shortest_first;
	m->transfer = transfer_message_new(&s->transfer);
	view_fill_strategy(&s->strategy, m);
	return m;
}

Drover__V1__Migration *view_migration_record_new(const struct migration_record *k)
{
	NEW_MESSAGE(m, Drover__V1__Migration, drover__v1__migration__init);

	m->number = k->number;
	set_id(&m->operation_id, &k->attempt.operation);
	m->vm_uuid = xstrdup(k->vm_uuid);
	m->vm_name = xstrdup(k->vm_name);
	m->source = xstrdup(k->source);
	m->target = xstrdup(k->target);
	m->state = (Drover__V1__MigrationState)k->state;
	m->phase = xstrdup(migration_phase_name(k->state));
	m->reason = xstrdup(k->reason);
	m->drain_number = k->drain_number;
	m->back_of = k->back_of;
	m->attempt_number = k->attempt.number;
	if (k->report.attempt.number)
		m->report = report_new(&k->report);
	m->created_wall_ms = k->created_wall_ms;
	m->ended_wall_ms = k->ended_wall_ms;
	m->cancel_requested = k->cancel_requested;
	m->settings = view_settings_message_new(&k->settings);
	m->prediction = view_prediction_new(&k->prediction, &k->settings);
	return m;
}

Drover__V1__Migration *view_migration_new(const struct migration *from)
{
	Drover__V1__Migration *m = view_migration_record_new(&from->kept);

	m->revision = from->revision;
	return m;
}

/* Of one that waits for a slot it is known when it has the link. */
static bool is_in_lane(const struct drain_vm *vm)
{
	return vm->state == DRAIN_VM_WAITING && vm->alone_ms && vm->end_ms > vm->begin_ms;
}

/* The interval, around the time that is told. */
static struct prediction prediction_in_lane(const struct drain_vm *vm)
{
	struct prediction p = vm->prediction;
	double by = p.expected_ms && is_in_lane(vm)
	                    ? (double)(vm->end_ms - vm->begin_ms) / (double)p.expected_ms
	                    : 1;

	p.expected_ms = (uint64_t)((double)p.expected_ms * by);
	p.low_ms = (uint64_t)((double)p.low_ms * by);
	p.high_ms = (uint64_t)((double)p.high_ms * by);
	return p;
}

static Drover__V1__DrainVm *drain_vm_new(const struct fleet *fleet, const struct drain *drain,
                                         const struct drain_vm *vm)
{
	struct migration_settings settings = fleet->options.settings;
	const struct shutdown *s;
	struct prediction prediction = prediction_in_lane(vm);
	NEW_MESSAGE(m, Drover__V1__DrainVm, drover__v1__drain_vm__init);

	m->uuid = xstrdup(vm->uuid);
	m->name = xstrdup(vm->name);
	m->node = xstrdup(vm->node);
	m->late = vm->late;
	m->end_ms = vm->end_ms;
	m->order = vm->order;
	m->start_ms = vm->order || vm->shuts ? drain_vm_start_ms(vm) : 0;
	m->why = xstrdup(vm->why);
	m->could = vm->could;
	m->left_bytes = vm->left_bytes;
	m->turn_why = xstrdup(vm->turn_why);
	m->helps = xstrdup(vm->helps);
	m->against_policy = xstrdup(vm->against);
	m->proof = xstrdup(vm->helps[0] || vm->proof ? drain_proof_name(vm->proof) : "");
	m->state = xstrdup(drain_vm_state_name(vm->state));
	m->target = xstrdup(vm->target);
	m->reason = xstrdup(vm->reason);
	m->migration_number = vm->migration_number;
	m->memory_bytes = vm->memory_bytes;
	m->eta_ms = is_in_lane(vm) ? vm->end_ms - vm->begin_ms : vm->eta_ms;
	m->checks = view_checks_new(&vm->checks);
	m->n_checks = vm->checks.count;
	m->guard = (Drover__V1__Guard)vm->guard;
	s = vm->shuts ? drain_record_find_shutdown(&drain->kept, vm->uuid) : NULL;
	m->power = xstrdup(s ? shutdown_phase_name(s->phase) : "");
	m->asked_wall_ms = s ? s->asked_wall_ms : 0;
	m->starts = vm->starts;
	m->shut_down_by = vm->shut_down_by;
	if (!vm->shuts && !vm->starts &&
	    (vm->state == DRAIN_VM_WAITING || vm->state == DRAIN_VM_MOVING)) {
		launch_take_drain(&settings, &drain->kept);
		m->prediction = view_prediction_new(&prediction, &settings);
		view_prediction_doubt(m->prediction, fleet_find_vm(fleet, vm->uuid), &prediction,
		                      clock_now_ms());
	}
	return m;
}

Drover__V1__Drain *view_drain_new(const struct fleet *fleet, const struct drain *drain,
                                  uint64_t wall_ms)
{
	const struct drain_record *k = &drain->kept;
	uint64_t until_ms = k->ended_wall_ms ? k->ended_wall_ms : wall_ms;
	NEW_MESSAGE(m, Drover__V1__Drain, drover__v1__drain__init);

	m->number = k->number;
	set_id(&m->drain_id, &k->id);
	m->node = xstrdup(k->node);
	m->state = xstrdup(drain_state_name(k->state));
	m->reason = xstrdup(drain->status[0] ? drain->status : k->reason);
	m->vms = xcalloc(drain->n_vms, sizeof(*m->vms));
	for (size_t i = 0; i < drain->n_vms; i++)
		m->vms[m->n_vms++] = drain_vm_new(fleet, drain, &drain->vms[i]);
	m->created_wall_ms = k->created_wall_ms;
	m->ended_wall_ms = k->ended_wall_ms;
	m->elapsed_ms = k->created_wall_ms && until_ms > k->created_wall_ms
	                        ? until_ms - k->created_wall_ms
	                        : 0;
	m->eta_ms = drain->eta_ms;
	m->eta_known = drain->eta_known;
	m->eta_low_ms = drain->eta_low_ms;
	m->eta_high_ms = drain->eta_high_ms;
	m->bytes_total = drain->bytes_total;
	m->bytes_done = drain->bytes_done;
	m->leave = xcalloc(k->leave.count, sizeof(*m->leave));
	for (size_t i = 0; i < k->leave.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, k->leave.items[i]);

		m->leave[m->n_leave++] = xstrdup(vm ? vm->name : k->leave.items[i]);
	}
	m->shut_down = xcalloc(k->n_shutdowns, sizeof(*m->shut_down));
	for (size_t i = 0; i < k->n_shutdowns; i++)
		m->shut_down[m->n_shut_down++] = xstrdup(k->shutdowns[i].name);
	if (k->n_shutdowns)
		m->shutdown_timeout_ms = power_get_timeout(fleet, k);
	m->revision = drain->revision;
	m->parallel = k->parallel ? k->parallel : fleet->options.caps.outbound;
	m->copy_disks = k->copy_disks;
	m->bound = view_bound_new(&drain->bound);
	m->by_wall_ms = k->by_wall_ms;
	m->late_ms = drain->deadline.late_ms;
	m->latest_start_wall_ms = drain->deadline.latest_start_wall_ms;
	m->deadline = xstrdup(drain->deadline.text);
	m->deadline_helps = xcalloc(drain->deadline.helps.count, sizeof(*m->deadline_helps));
	for (size_t i = 0; i < drain->deadline.helps.count; i++)
		m->deadline_helps[m->n_deadline_helps++] = xstrdup(drain->deadline.helps.items[i]);
	m->together = xcalloc(HASH_COUNT(fleet->drains) + 1, sizeof(*m->together));
	for (const struct drain *other = fleet->drains; k->set_number && other;
	     other = other->hh.next) {
		if (other->kept.set_number == k->set_number)
			m->together[m->n_together++] = other->kept.number;
	}
	return m;
}

Drover__V1__Event *view_event_new(const struct event_record *event)
{
	NEW_MESSAGE(m, Drover__V1__Event, drover__v1__event__init);

	m->revision = event->revision;
	m->wall_ms = event->wall_ms;
	m->severity = xstrdup(severity_name(event->severity));
	m->subject = xstrdup(event->subject);
	m->text = xstrdup(event->text);
	return m;
}

Drover__V1__Setting *view_setting_new(const char *name, const char *value, const char *from)
{
	NEW_MESSAGE(m, Drover__V1__Setting, drover__v1__setting__init);

	m->name = xstrdup(name);
	m->value = xstrdup(value);
	m->from = xstrdup(from);
	return m;
}
