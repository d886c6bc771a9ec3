/* SPDX-License-Identifier: Apache-2.0 */
/* See facts_read.h. */
#include "coordinator/facts_read.h"

#include "common/alloc.h"
#include "common/host_memory.h"
#include "common/units.h"
#include "proto/fit_message.h"
#include "proto/path_message.h"

#include <stdlib.h>
#include <string.h>

/* 64 TiB per guest: far over what there is, and no sum of them overflows. A host's: host_memory.h. */
#define GUEST_BYTES_MAX (64 * 1024 * GIB)
/* QEMU samples for a minute at most. */
#define WINDOW_MAX_S 60
/* More interfaces than an agent watches. */
#define INTERFACES_MAX 64
/* A host that ran out of memory is shut out for minutes, whatever it says. */
#define PRESSURE_MOST_MS       3600000
#define LEAVE_MAX              4096
#define FENCES_MAX             4096
#define FENCED_GUESTS_MAX      4096
#define LEFTOVERS_MAX          64
#define DECISIONS_MAX          64
#define LEASES_MAX             256
#define PATHS_MAX              256
#define GUESTS_MAX             4096
#define GUEST_INTERFACES_MAX   8192
#define OVERCOMMIT_MAX_PERCENT 1000
#define REPORT_CHECKS_MAX      256

static int take_name(char *to, size_t bytes, const char *from, const char *what, struct error *err)
{
	if (strlen(from) >= bytes)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%s is %zu bytes long, at most %zu are taken", what, strlen(from),
		                 bytes - 1);
	text_copy(to, bytes, from);
	return 0;
}

int facts_read_checks(Drover__V1__Check *const *from, size_t count, struct checks *ret,
                      struct error *err)
{
	struct checks checks = { 0 };

	if (count > REPORT_CHECKS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu checks", count);
	for (size_t i = 0; i < count; i++) {
		struct check c = { 0 };

		if (from[i]->verdict <= DROVER__V1__CHECK__VERDICT__UNSPECIFIED ||
		    from[i]->verdict > DROVER__V1__CHECK__VERDICT__BLOCK) {
			checks_deinit(&checks);
			return error_set(err, ERROR_INVALID,
			                 "check %.60s has the unknown verdict %d", from[i]->id,
			                 (int)from[i]->verdict);
		}
		c.verdict = (enum check_verdict)from[i]->verdict;
		text_copy(c.id, sizeof(c.id), from[i]->id);
		text_copy(c.measured, sizeof(c.measured), from[i]->measured);
		text_copy(c.required, sizeof(c.required), from[i]->required);
		text_copy(c.remedy, sizeof(c.remedy), from[i]->remedy);
		text_copy(c.reason, sizeof(c.reason), from[i]->reason);
		checks_add(&checks, &c);
	}
	*ret = checks;
	return 0;
}

/* Figures that cannot be are left out: then they are not known. */
static void read_memory_use(const Drover__V1__MemoryUse *from, uint64_t memory_bytes,
                            struct memory_used *ret)
{
	if (!from)
		return;
	if (from->touched_bytes <= memory_bytes)
		ret->touched_bytes = from->touched_bytes;
	text_copy(ret->problem, sizeof(ret->problem), from->problem);
	for (size_t i = 0; i < from->n_windows && ret->n_windows < MEMORY_WINDOWS; i++) {
		const Drover__V1__MemoryUse__Window *w = from->windows[i];

		if (!w->seconds || w->seconds > WINDOW_MAX_S || !w->samples ||
		    w->bytes > GUEST_BYTES_MAX || w->error_bytes > GUEST_BYTES_MAX)
			continue;
		ret->windows[ret->n_windows++] = (struct memory_window){
			.seconds = w->seconds,
			.samples = w->samples,
			.bytes = w->bytes,
			.error_bytes = w->error_bytes,
			.age_ms = w->age_ms,
		};
	}
}

int facts_read_vm(const Drover__V1__VmState *from, struct vm_state *ret, struct error *err)
{
	struct vm_state vm = { 0 };

	if (strlen(from->uuid) != VM_UUID_BYTES - 1)
		return error_set(err, ERROR_INVALID, "\"%.64s\" is not a UUID", from->uuid);
	if (from->memory_bytes > GUEST_BYTES_MAX || from->overhead_bytes > GUEST_BYTES_MAX)
		return error_set(err, ERROR_INVALID, "guest %.64s has %llu bytes of memory",
		                 from->name, (unsigned long long)from->memory_bytes);
	if (take_name(vm.name, sizeof(vm.name), from->name, "a guest's name", err) < 0 ||
	    facts_read_checks(from->blockers, from->n_blockers, &vm.blockers, err) < 0)
		return -(int)err->code;
	text_copy(vm.uuid, sizeof(vm.uuid), from->uuid);
	text_copy(vm.state, sizeof(vm.state), from->state);
	text_copy(vm.reason, sizeof(vm.reason), from->reason);
	vm.memory_bytes = from->memory_bytes;
	vm.overhead_bytes = from->overhead_bytes;
	vm.vcpus = from->vcpus;
	vm.persistent = from->persistent;
	vm.autostart = from->autostart;
	vm.migrating_out = from->migrating_out;
	vm.foreign_job = from->foreign_job;
	text_copy(vm.no_shutdown, sizeof(vm.no_shutdown), from->no_shutdown);
	read_memory_use(from->memory_use, from->memory_bytes, &vm.memory_use);
	fit_message_read_needs(from->needs, &vm.needs);
	*ret = vm;
	return 0;
}

static void read_rate(const Drover__V1__InterfaceRate *from, struct interface_rate *to)
{
	text_copy(to->name, sizeof(to->name), from->name);
	to->rx_bytes_per_s = from->rx_bytes_per_s;
	to->tx_bytes_per_s = from->tx_bytes_per_s;
	to->rx_packets_per_s = from->rx_packets_per_s;
	to->tx_packets_per_s = from->tx_packets_per_s;
	to->migration_rx_bytes_per_s = from->migration_rx_bytes_per_s;
	to->migration_tx_bytes_per_s = from->migration_tx_bytes_per_s;
	to->unregistered_bytes_per_s = from->unregistered_bytes_per_s;
	to->link_bytes_per_s = from->link_bytes_per_s;
	text_copy(to->source, sizeof(to->source), from->source);
	text_copy(to->why, sizeof(to->why), from->why);
}

static void read_guest_interface(const Drover__V1__GuestInterface *from,
                                 struct guest_interface_rate *to)
{
	text_copy(to->device, sizeof(to->device), from->device);
	text_copy(to->type, sizeof(to->type), from->type);
	to->rx_bytes_per_s = from->rx_bytes_per_s;
	to->tx_bytes_per_s = from->tx_bytes_per_s;
	to->rx_packets_per_s = from->rx_packets_per_s;
	to->tx_packets_per_s = from->tx_packets_per_s;
	text_copy(to->source, sizeof(to->source), from->source);
	text_copy(to->why, sizeof(to->why), from->why);
}

int facts_read_mark(const Drover__V1__DrainMark *from, struct drain_mark *ret, struct error *err)
{
	struct drain_mark mark = { 0 };

	if (from->drain_id.len &&
	    id_from_bytes(from->drain_id.data, from->drain_id.len, &mark.drain_id) < 0)
		return error_set(err, ERROR_INVALID, "a drain id has 16 bytes, not %zu",
		                 from->drain_id.len);
	if (from->n_leave > LEAVE_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu guests to leave", from->n_leave);
	if (from->n_shut_down > LEAVE_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu guests to shut down",
		                 from->n_shut_down);
	mark.epoch = from->epoch;
	mark.draining = from->draining;
	mark.cordoned = from->cordoned;
	mark.maintenance = from->maintenance;
	mark.leave_unmovable = from->leave_unmovable;
	mark.copy_disks = from->copy_disks;
	/* What a later version permitted and this one does not know is not permitted. */
	if (strategy_unpack(from->strategy, &mark.strategy) < 0)
		mark.strategy = (struct strategy){ 0 };
	mark.parallel = from->parallel;
	mark.bandwidth_bytes_per_s = from->bandwidth_bytes_per_s;
	mark.max_downtime_ms = from->max_downtime_ms;
	mark.completion_timeout_ms_per_gib = from->completion_timeout_ms_per_gib;
	mark.progress_timeout_ms = from->progress_timeout_ms;
	text_copy(mark.reason, sizeof(mark.reason), from->reason);
	for (size_t i = 0; i < from->n_leave; i++)
		names_add(&mark.leave, from->leave[i]);
	for (size_t i = 0; i < from->n_shut_down; i++)
		names_add(&mark.shut_down, from->shut_down[i]);
	mark.shutdown_timeout_ms = from->shutdown_timeout_ms;
	*ret = mark;
	return 0;
}

static int read_fences(Drover__V1__FenceMark *const *from, size_t count, struct host_state *to,
                       struct error *err)
{
	if (count > FENCES_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu fences", count);
	to->fences = xcalloc(count, sizeof(*to->fences));
	for (size_t i = 0; i < count; i++) {
		if (take_name(to->fences[i].node, sizeof(to->fences[i].node), from[i]->node,
		              "a fenced node's name", err) < 0)
			return -(int)err->code;
		to->fences[i].epoch = from[i]->epoch;
	}
	to->n_fences = count;
	return 0;
}

static int read_attempt(const Drover__V1__Attempt *from, struct attempt *to, struct error *err)
{
	if (!from ||
	    id_from_bytes(from->operation_id.data, from->operation_id.len, &to->operation) < 0)
		return error_set(err, ERROR_INVALID, "a report without a valid attempt");
	to->number = from->number;
	to->epoch = from->epoch;
	return 0;
}

/* Figures that make no sense are not taken over; who reports them is heard all the same, because a
 * host that is drained must be seen. */
static void read_memory(const Drover__V1__HostState *from, struct host_state *to)
{
	struct host_memory m = { .physical_bytes = from->memory_physical_bytes,
		                 .capacity_bytes = from->memory_capacity_bytes,
		                 .reserve_bytes = from->memory_reserve_bytes,
		                 .guests_bytes = from->memory_guests_bytes,
		                 .reserved_bytes = from->memory_reserved_bytes };
	char why[HOST_MEMORY_TEXT_BYTES];

	text_copy(to->suspect, sizeof(to->suspect), from->suspect);
	if (!host_memory_makes_sense(&m, why)) {
		text_copy(to->suspect, sizeof(to->suspect), why);
		return;
	}
	if (from->memory_overcommit_percent > OVERCOMMIT_MAX_PERCENT) {
		text_copy(to->suspect, sizeof(to->suspect),
		          "it overcommits its memory more than ten times");
		return;
	}
	to->memory_physical_bytes = m.physical_bytes;
	to->memory_capacity_bytes = m.capacity_bytes;
	to->memory_reserve_bytes = m.reserve_bytes;
	to->memory_guests_bytes = m.guests_bytes;
	to->memory_reserved_bytes = m.reserved_bytes;
	to->memory_overcommit_percent = from->memory_overcommit_percent;
}

static int read_lease(const Drover__V1__Lease *from, struct lease *ret, struct error *err)
{
	struct lease l = { .memory_bytes = from->memory_bytes,
		           .page_bytes = from->page_bytes,
		           .bandwidth_bytes_per_s = from->bandwidth_bytes_per_s,
		           .port = from->port,
		           .disk_port = from->disk_port,
		           .disk_bytes = from->disk_bytes,
		           .since_wall_ms = from->since_wall_ms,
		           .expires_ms = from->expires_ms,
		           .in_use = from->in_use };

	if (read_attempt(from->attempt, &l.attempt, err) < 0 ||
	    take_name(l.vm_uuid, sizeof(l.vm_uuid), from->vm_uuid, "a UUID", err) < 0 ||
	    take_name(l.vm_name, sizeof(l.vm_name), from->vm_name, "a guest's name", err) < 0 ||
	    take_name(l.source, sizeof(l.source), from->source_node, "a node's name", err) < 0)
		return -(int)err->code;
	*ret = l;
	return 0;
}

static int read_leases(const Drover__V1__HostState *from, struct host_state *to, struct error *err)
{
	if (from->n_leases > LEASES_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu leases", from->n_leases);
	to->leases = xcalloc(from->n_leases, sizeof(*to->leases));
	for (size_t i = 0; i < from->n_leases; i++) {
		if (read_lease(from->leases[i], &to->leases[i], err) < 0) {
			free(to->leases);
			to->leases = NULL;
			return -(int)err->code;
		}
	}
	to->n_leases = from->n_leases;
	return 0;
}

/* A path with a name that cannot be is no reason not to hear the host. */
static void read_paths(const Drover__V1__HostState *from, struct host_state *to)
{
	size_t n = from->n_paths < PATHS_MAX ? from->n_paths : PATHS_MAX;

	to->paths = xcalloc(n, sizeof(*to->paths));
	for (size_t i = 0; i < n; i++) {
		struct path_state *p = &to->paths[to->n_paths];

		if (strlen(from->paths[i]->node) >= sizeof(p->node))
			continue;
		text_copy(p->node, sizeof(p->node), from->paths[i]->node);
		path_message_read(from->paths[i], &p->estimate);
		to->n_paths++;
	}
	to->other_known = from->other_traffic_known;
	to->other_rx_bytes_per_s = from->other_rx_bytes_per_s;
	to->other_tx_bytes_per_s = from->other_tx_bytes_per_s;
}

/* What is too much of it is left out: nothing is decided by it. */
static void read_guest_traffic(const Drover__V1__HostState *from, struct host_state *to)
{
	size_t n = from->n_guest_traffic < GUESTS_MAX ? from->n_guest_traffic : GUESTS_MAX;
	size_t n_interfaces = 0;

	for (size_t i = 0; i < n; i++)
		n_interfaces += from->guest_traffic[i]->n_interfaces;
	if (n_interfaces > GUEST_INTERFACES_MAX)
		return;
	to->guest_traffic = xcalloc(n, sizeof(*to->guest_traffic));
	to->guest_interfaces = xcalloc(n_interfaces, sizeof(*to->guest_interfaces));
	for (size_t i = 0; i < n; i++) {
		const Drover__V1__GuestTraffic *guest = from->guest_traffic[i];
		struct guest_traffic *t = &to->guest_traffic[to->n_guest_traffic++];

		text_copy(t->vm_uuid, sizeof(t->vm_uuid), guest->vm_uuid);
		t->first = to->n_guest_interfaces;
		t->count = guest->n_interfaces;
		for (size_t k = 0; k < guest->n_interfaces; k++)
			read_guest_interface(guest->interfaces[k],
			                     &to->guest_interfaces[to->n_guest_interfaces++]);
	}
}

/* Its agent has checked them; what this coordinator does not take for one is none. */
static void read_labels(const Drover__V1__HostState *from, struct host_state *to)
{
	struct error ignored;
	bool changed;

	for (size_t i = 0; i < from->n_labels; i++) {
		if (label_check(from->labels[i], &ignored) == 0)
			(void)labels_change(to->labels, from->labels[i], &changed, &ignored);
	}
}

int facts_read_host(const Drover__V1__HostState *from, struct host_state *ret, struct error *err)
{
	struct host_state h = { 0 };

	if (!from)
		return error_set(err, ERROR_INVALID, "the state of the host is missing");
	if (from->n_interfaces > INTERFACES_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu interfaces", from->n_interfaces);
	if (from->boot_id.len &&
	    id_from_bytes(from->boot_id.data, from->boot_id.len, &h.boot_id) < 0)
		return error_set(err, ERROR_INVALID, "a boot id has 16 bytes, not %zu",
		                 from->boot_id.len);
	if (take_name(h.mesh_address, sizeof(h.mesh_address), from->mesh_address, "a mesh address",
	              err) < 0 ||
	    take_name(h.migration_address, sizeof(h.migration_address), from->migration_address,
	              "a migration address", err) < 0)
		return -(int)err->code;
	text_copy(h.agent_version, sizeof(h.agent_version), from->agent_version);
	read_memory(from, &h);
	h.cpus = from->cpus;
	text_copy(h.libvirt_version, sizeof(h.libvirt_version), from->libvirt_version);
	text_copy(h.hypervisor_version, sizeof(h.hypervisor_version), from->hypervisor_version);
	h.libvirt_connected = from->libvirt_connected;
	text_copy(h.libvirt_problem, sizeof(h.libvirt_problem), from->libvirt_problem);
	text_copy(h.agent_problem, sizeof(h.agent_problem), from->agent_problem);
	h.port_pool = from->port_pool;
	h.ports_in_use = from->ports_in_use;
	h.slots_in = from->slots_in;
	h.slots_out = from->slots_out;
	text_copy(h.pressure, sizeof(h.pressure), from->pressure);
	h.pressure_ms = from->pressure_ms < PRESSURE_MOST_MS ? from->pressure_ms : PRESSURE_MOST_MS;
	h.slots_in_max = from->slots_in_max;
	h.slots_out_max = from->slots_out_max;
	h.preparing_max = from->preparing_max;
	h.link_promised_bytes_per_s = from->link_promised_bytes_per_s;
	if (read_leases(from, &h, err) < 0)
		return -(int)err->code;
	read_labels(from, &h);
	h.interfaces = xcalloc(from->n_interfaces, sizeof(*h.interfaces));
	for (size_t i = 0; i < from->n_interfaces; i++)
		read_rate(from->interfaces[i], &h.interfaces[h.n_interfaces++]);
	read_paths(from, &h);
	read_guest_traffic(from, &h);
	fit_message_read_rooms(from->rooms, from->cpus, &h.rooms);
	h.offers = fit_message_read_offers(from->offers);
	if (from->drain_mark && facts_read_mark(from->drain_mark, &h.mark, err) < 0) {
		host_state_deinit(&h);
		return -(int)err->code;
	}
	h.mark_told = from->drain_mark != NULL;
	if (read_fences(from->fences, from->n_fences, &h, err) < 0) {
		host_state_deinit(&h);
		return -(int)err->code;
	}
	*ret = h;
	return 0;
}

static void read_connection(const Drover__V1__Connection *from, struct connection *to)
{
	if (!from)
		return;
	to->connections = from->connections;
	to->bytes_per_s = from->bytes_per_s;
	to->rtt_us = from->rtt_us;
	to->min_rtt_us = from->min_rtt_us;
	to->resent_ppm = from->resent_ppm;
	text_copy(to->limited_by, sizeof(to->limited_by), from->limited_by);
	to->usual_bytes_per_s = from->usual_bytes_per_s;
	to->collapsed = from->collapsed;
}

static void read_progress(const Drover__V1__Progress *from, struct progress *to)
{
	if (!from)
		return;
	to->elapsed_ms = from->elapsed_ms;
	to->memory_total_bytes = from->memory_total_bytes;
	to->memory_processed_bytes = from->memory_processed_bytes;
	to->memory_remaining_bytes = from->memory_remaining_bytes;
	to->transfer_bytes_per_s = from->transfer_bytes_per_s;
	to->dirty_bytes_per_s = from->dirty_bytes_per_s;
	to->iteration = from->iteration;
	to->expected_downtime_ms = from->expected_downtime_ms;
	to->eta_ms = from->eta_ms;
	to->eta_known = from->eta_known;
	if ((unsigned int)from->end < PREDICTION_ENDS)
		to->end = (enum prediction_end)from->end;
	text_copy(to->later_why, sizeof(to->later_why), from->later_why);
	to->percent = from->percent > 100 ? 100 : from->percent;
	text_copy(to->rate_source, sizeof(to->rate_source), from->rate_source);
	read_connection(from->connection, &to->connection);
	if (!from->hold)
		return;
	to->hold_bytes_per_s = from->hold->bytes_per_s;
	to->hold_left_ms = from->hold->left_ms;
	text_copy(to->hold_for, sizeof(to->hold_for), from->hold->first_vm);
}

/* A verdict of a later version says nothing to this one. */
static void read_path(const Drover__V1__PathProof *from, struct path_proof *to)
{
	if (!from)
		return;
	to->verdict = (unsigned)from->verdict < PATH_VERDICTS ? (enum path_verdict)from->verdict
	                                                      : PATH_UNKNOWN;
	to->deviated = from->deviated;
	text_copy(to->text, sizeof(to->text), from->text);
	for (size_t i = 0; i < from->n_interfaces && to->n < PATH_PROOF_INTERFACES; i++) {
		const Drover__V1__PathInterface *one = from->interfaces[i];
		struct path_interface *kept = &to->interfaces[to->n++];

		text_copy(kept->name, sizeof(kept->name), one->name);
		kept->migration = one->migration;
		kept->wire_bytes = one->wire_bytes;
		kept->bytes_per_s = one->bytes_per_s;
		kept->percent = one->percent > 100 ? 100 : one->percent;
	}
}

/* A verdict of a later version says nothing to this one. */
static void read_remnants(const Drover__V1__AttemptReport *from, struct remnants *to)
{
	to->items = xcalloc(from->n_remnants, sizeof(*to->items));
	to->count = from->n_remnants;
	for (size_t i = 0; i < from->n_remnants; i++) {
		const Drover__V1__Remnant *m = from->remnants[i];
		struct remnant *r = &to->items[i];

		r->verdict = (unsigned)m->verdict < REMNANT_VERDICTS
		                     ? (enum remnant_verdict)m->verdict
		                     : REMNANT_NOT_LOOKED;
		text_copy(r->thing, sizeof(r->thing), m->thing);
		text_copy(r->node, sizeof(r->node), m->node);
		text_copy(r->text, sizeof(r->text), m->text);
		text_copy(r->remedy, sizeof(r->remedy), m->remedy);
	}
}

int facts_read_report(const Drover__V1__AttemptReport *from, struct attempt_report *ret,
                      struct error *err)
{
	struct attempt_report r = { 0 };

	if (!from)
		return error_set(err, ERROR_INVALID, "the report is missing");
	if ((unsigned)from->state >= MIGRATION_STATES ||
	    from->state == DROVER__V1__MIGRATION_STATE__MIGRATION_STATE_UNSPECIFIED ||
	    (unsigned)from->guard > GUARD_TWO_STEP)
		return error_set(err, ERROR_INVALID, "a report with state %d and guard %d",
		                 (int)from->state, (int)from->guard);
	if (from->n_leftovers > LEFTOVERS_MAX || from->n_notes > LEFTOVERS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu leftovers and %zu notes",
		                 from->n_leftovers, from->n_notes);
	if (from->n_remnants > REMNANTS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu remnants", from->n_remnants);
	if (from->n_decisions > DECISIONS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu decisions", from->n_decisions);
	if (read_attempt(from->attempt, &r.attempt, err) < 0 ||
	    take_name(r.vm_uuid, sizeof(r.vm_uuid), from->vm_uuid, "a UUID", err) < 0 ||
	    take_name(r.vm_name, sizeof(r.vm_name), from->vm_name, "a guest's name", err) < 0 ||
	    take_name(r.source, sizeof(r.source), from->source_node, "a node's name", err) < 0 ||
	    take_name(r.target, sizeof(r.target), from->target_node, "a node's name", err) < 0 ||
	    facts_read_checks(from->checks, from->n_checks, &r.checks, err) < 0)
		return -(int)err->code;
	read_remnants(from, &r.remnants);
	read_path(from->path, &r.path);
	if (facts_read_checks(from->verification, from->n_verification, &r.verification, err) < 0) {
		checks_deinit(&r.checks);
		return -(int)err->code;
	}
	text_copy(r.not_verified, sizeof(r.not_verified), from->not_verified);
	r.state = (enum migration_state)from->state;
	text_copy(r.reason, sizeof(r.reason), from->reason);
	r.error_code = from->error_code;
	r.guard = (enum guard)from->guard;
	read_progress(from->progress, &r.progress);
	r.duration_ms = from->duration_ms;
	if (from->times)
		r.times = (struct stage_times){
			.describing_ms = from->times->describing_ms,
			.admitting_ms = from->times->admitting_ms,
			.linking_ms = from->times->linking_ms,
			.moving_ms = from->times->moving_ms,
			.resolving_ms = from->times->resolving_ms,
			.cleaning_ms = from->times->cleaning_ms,
			.prepared_ms = from->times->prepared_ms,
		};
	r.held_ms = from->held_ms;
	r.downtime_ms = from->downtime_ms;
	r.transferred_bytes = from->transferred_bytes;
	r.wire_bytes = from->wire_bytes;
	r.tombstoned = from->tombstoned;
	r.waits_for_slot = from->waits_for_slot;
	r.memory_verified = from->memory_verified;
	r.alarm = from->alarm;
	r.bandwidth_tuned = from->bandwidth_tuned;
	r.bandwidth_bytes_per_s = from->bandwidth_bytes_per_s;
	r.max_downtime_tuned = from->max_downtime_tuned;
	r.max_downtime_ms = from->max_downtime_ms;
	for (size_t i = 0; i < from->n_leftovers; i++)
		names_add(&r.leftovers, from->leftovers[i]);
	for (size_t i = 0; i < from->n_notes; i++)
		names_add(&r.notes, from->notes[i]);
	for (size_t i = 0; i < from->n_decisions; i++)
		names_add(&r.decisions, from->decisions[i]);
	r.progress.disk_total_bytes = from->disk_total_bytes;
	r.progress.disk_processed_bytes = from->disk_processed_bytes;
	r.progress.disk_remaining_bytes = from->disk_remaining_bytes;
	*ret = r;
	return 0;
}

int facts_read_fenced(const Drover__V1__SetFenceReply *from, struct fenced_guest **ret,
                      size_t *ret_count, struct error *err)
{
	struct fenced_guest *guests;

	if (from->n_guests > FENCED_GUESTS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu guests of a fenced node",
		                 from->n_guests);
	guests = xcalloc(from->n_guests, sizeof(*guests));
	for (size_t i = 0; i < from->n_guests; i++) {
		const Drover__V1__FencedGuest *g = from->guests[i];

		if (read_attempt(g->attempt, &guests[i].attempt, err) < 0) {
			free(guests);
			return -(int)err->code;
		}
		guests[i].here = g->presence == DROVER__V1__INSPECT_REPLY__PRESENCE__RUNNING_HERE ||
		                 g->presence == DROVER__V1__INSPECT_REPLY__PRESENCE__PAUSED;
		guests[i].settled = g->settled;
		guests[i].has_run = g->has_run;
		text_copy(guests[i].text, sizeof(guests[i].text), g->text);
	}
	*ret = guests;
	*ret_count = from->n_guests;
	return 0;
}
