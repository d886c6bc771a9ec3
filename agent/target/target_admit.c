/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the destination: measure on a courier, judge and take in one step on the owner,
 * write it down, start the tunnel, answer. See target_admit.h. Owner thread. */
#include "agent/target/target_admit.h"

#include "agent/failpoints.h"
#include "agent/fence.h"
#include "agent/kernel/admission.h"
#include "agent/link/probe.h"
#include "agent/storage/storage_proof_wire.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/path_message.h"
#include "proto/transfer_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void unwanted(void *context)
{
	((struct admit *)context)->in = NULL;
}

static void admit_free(struct admit *a)
{
	vm_description_deinit(&a->vm);
	free(a);
}

void target_admit_fail(struct admit *a, const struct error *err)
{
	if (a->in)
		mesh_fail_error(a->in, err);
	admit_free(a);
}

void target_admit_reply(struct admit *a)
{
	Drover__V1__AdmitReply r = DROVER__V1__ADMIT_REPLY__INIT;
	const struct inbound *inbound = inbound_find(a->agent, &a->name);

	if (a->in) {
		r.admitted = a->admitted;
		r.checks = wire_checks_new(a->checks.items, a->checks.count);
		r.n_checks = a->checks.count;
		r.guard = (Drover__V1__Guard)a->guard;
		r.migration_address = a->agent->settings->migration_address;
		r.memory_port = a->reserved_port ? a->reserved_port : a->port.free_port;
		r.tunnel_address = (char *)(inbound ? inbound->tunnel_address : "");
		r.lease_ttl_ms = a->lease_ttl_ms;
		r.bandwidth_share_bytes_per_s = a->share_bytes_per_s;
		r.vm = wire_description_new(&a->vm);
		target_copy_fill_reply(&a->copy, &a->vm, a->disks, &r);
		mesh_reply(a->in, &r.base);
		target_copy_free_reply(&r);
		wire_free(r.vm);
		for (size_t i = 0; i < r.n_checks; i++)
			wire_free(r.checks[i]);
		free(r.checks);
	}
	admit_free(a);
}

static void fill_versions(const char *agent, const char *libvirt, const char *hypervisor,
                          struct versions *ret)
{
	snprintf(ret->agent, sizeof(ret->agent), "%s", agent);
	snprintf(ret->libvirt, sizeof(ret->libvirt), "%s", libvirt);
	snprintf(ret->hypervisor, sizeof(ret->hypervisor), "%s", hypervisor);
}

/* --- owner: judge and take in one step --- */

static void judge(struct admit *a)
{
	struct agent *agent = a->agent;
	const struct reservation *own = reservations_find(agent->reservations, &a->name);
	char problem[256];
	struct guard_input guard = {
		.vm = &a->vm,
		.disks = a->disks,
		.source_lock_manager = a->lock_manager,
		.own_lock_manager = a->facts.lock_manager,
		.lockspace = &a->lockspace,
		.two_step_pause_limit_ms = agent->settings->max_two_step_pause_ms,
		.max_downtime_ms = a->max_downtime_ms,
		.two_step_forbidden = a->post_copy,
		.waived = a->no_guard,
		.copies_disks = a->copy.needed,
	};
	struct admission_input in = {
		.vm = &a->vm,
		.source_node = a->source_node,
		.node = agent->settings->node,
		.available_bytes = a->facts.memory_available_bytes,
		.cpu = a->cpu,
		.machine = a->machine,
		.capabilities = a->capabilities,
		.capabilities_known = a->capabilities_known,
		.vcpus = target_count_vcpus(agent, a->facts.cpus),
		.source_versions = a->source_versions,
		.firmware = a->firmware,
		.places = a->places,
		.port = a->port,
		.hugepages = a->hugepages,
		.hugepages_promised_bytes = reservations_get_pages(agent->reservations,
		                                                   a->vm.hugepage_bytes),
		.memory_problem = problem,
		.round_trip = a->round_trip,
		.round_trip_limit_ms = agent->settings->max_round_trip_ms,
		.guard_waived = a->no_guard,
		.unsafe = a->unsafe,
		.disks = a->disks,
		.networks = a->networks,
		.conflict = a->conflict,
		.cordoned = agent->drain_mark.cordoned,
		.draining = agent->drain_mark.draining,
		.maintenance = agent->drain_mark.maintenance,
		.node_reason = agent->drain_mark.reason,
		.incoming_allowed = !agent->safe_mode && !agent->stopping,
		.tls_required = a->tls,
		.post_copy = a->post_copy,
		.unprivileged_userfaultfd = a->facts.unprivileged_userfaultfd,
		.qemu_user = a->facts.qemu_user,
		.tls_ready = a->tls_ready,
		.already_reserved = own != NULL,
		.reserved_port = own ? own->port : 0,
		.reserved_disk_port = own ? own->disk_port : 0,
		.reserved_bytes_per_s = own ? own->bandwidth_bytes_per_s : 0,
	};

	fill_versions(DROVER_VERSION, a->facts.libvirt_version, a->facts.hypervisor_version,
	              &in.versions);
	memcpy(in.capabilities_why, a->capabilities_why, sizeof(in.capabilities_why));
	memcpy(in.cpu_why, a->cpu_why, sizeof(in.cpu_why));
	memcpy(in.tls_problem, a->tls_problem, sizeof(in.tls_problem));
	a->guard = guard_choose(&guard, &in.guard_check);
	in.guard = a->guard;
	target_describe_problem(agent, problem, sizeof(problem));
	target_copy_judge(&a->copy, agent, &in);
	target_look_at_link(agent, a->limit_bytes_per_s, &in.link);
	in.link.path = a->path;
	paths_complete(agent, &in.link.path);
	reservations_get_totals(agent->reservations, &in.memory);
	reservations_get_leases(agent->reservations, &in.leases);
	admission_judge(&in, &a->checks);
	a->admitted = admission_passes(&a->checks);
	a->share_bytes_per_s = own ? own->bandwidth_bytes_per_s : admission_bandwidth_share(&in);
}

static void images_made(int rc, const struct error *err, void *context)
{
	struct admit *a = context;
	struct error why;

	if (rc == 0) {
		target_admit_start_tunnel(a);
		return;
	}
	why = *err;
	error_context(&why, "copying disks to %s", a->agent->settings->node);
	inbound_end(a->agent, &a->name);
	target_admit_fail(a, &why);
}

static void taken_in_journal(int rc, const struct error *err, void *context)
{
	struct admit *a = context;

	FAILPOINT(target_after_take_journaled);
	if (rc < 0) {
		struct error why = *err;

		(void)reservations_release(a->agent->reservations, &a->name);
		error_context(&why, "the reservation could not be made durable");
		target_admit_fail(a, &why);
		return;
	}
	if (a->copy.needed)
		target_copy_make(&a->copy, a->agent, &a->name, &a->vm, a->disks, images_made, a);
	else
		target_admit_start_tunnel(a);
}

static int take(struct admit *a, struct error *err)
{
	struct reservation want = { .attempt = a->name };
	struct journal_write w = { .kind = JOURNAL_WRITE_TAKEN };
	const struct reservation *got;

	if (fences_cover(&a->agent->fences, a->source_node, a->name.epoch))
		return error_set(err, ERROR_STALE, "%s was declared dead meanwhile",
		                 a->source_node);
	if (target_is_acting_on(a->agent, a->vm.summary.uuid) ||
	    target_is_settling(a->agent, a->vm.summary.uuid))
		return error_set(err, ERROR_BUSY,
		                 "the end of an earlier attempt of %s is still under way on %s",
		                 a->vm.summary.name, a->agent->settings->node);
	memcpy(want.vm_uuid, a->vm.summary.uuid, sizeof(want.vm_uuid));
	memcpy(want.vm_name, a->vm.summary.name, sizeof(want.vm_name));
	snprintf(want.source_node, sizeof(want.source_node), "%s", a->source_node);
	snprintf(want.source_address, sizeof(want.source_address), "%s", a->source_address);
	want.memory_bytes = admission_memory_needed(&a->vm);
	want.port = a->port.free_port;
	target_copy_reserve(&a->copy, &a->vm, a->disks, a->port.second_free_port, &want);
	want.ttl_ms = a->lease_ttl_ms;
	want.guard = a->guard;
	want.arrives_paused = a->vm.summary.state == VM_PAUSED;
	want.arrives_autostart = a->vm.summary.autostart && a->vm.summary.persistent;
	want.vcpus = a->vm.summary.vcpus;
	want.page_bytes = a->vm.hugepage_bytes;
	want.bandwidth_bytes_per_s = a->share_bytes_per_s;
	probe_yield(a->agent);
	want.taken_wall_ms = clock_wall_ms();
	if (reservations_take(a->agent->reservations, &want, clock_now_ms(), &got, err) < 0)
		return -(int)err->code;
	a->reserved_port = got->port;
	a->copy.port = got->disk_port;
	a->lease_ttl_ms = got->ttl_ms;
	w.taken = *got;
	FAILPOINT(target_before_take_journaled);
	journal_keeper_write(a->agent->journal, &w, taken_in_journal, a);
	return 0;
}

static void copy_leased_ports(struct admit *a)
{
	size_t count;
	const struct reservation *all = reservations_get_all(a->agent->reservations, &count);

	a->n_leased_ports = 0;
	for (size_t i = 0; i < count; i++) {
		a->leased_ports[a->n_leased_ports++] = all[i].port;
		if (all[i].disk_port)
			a->leased_ports[a->n_leased_ports++] = all[i].disk_port;
	}
}

/* Another admission may have taken the port that was found free, while we measured. Each time that
 * happens one more is leased, so this ends. */
static bool port_was_taken(struct admit *a)
{
	const struct reservations *books = a->agent->reservations;

	if (!reservations_has_port(books, a->port.free_port) &&
	    !(a->copy.needed && reservations_has_port(books, a->port.second_free_port)))
		return false;
	copy_leased_ports(a);
	a->errand.work = target_admit_survey_ports;
	courier_send(a->agent->couriers, &a->errand);
	return true;
}

static void measured(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	struct inbound *inbound = inbound_find(a->agent, &a->name);
	struct error err;

	if (inbound && inbound->tunnel_made && !a->dry_run &&
	    reservations_find(a->agent->reservations, &a->name)) {
		const struct reservation *held;

		/* Asked before: the same answer, renewed. */
		judge(a);
		if (reservations_renew(a->agent->reservations, &a->name, clock_now_ms(), &held,
		                       &err) < 0) {
			target_admit_fail(a, &err);
			return;
		}
		a->admitted = true;
		a->guard = inbound->guard;
		a->reserved_port = held->port;
		a->copy.port = held->disk_port;
		target_admit_reply(a);
		return;
	}
	if (port_was_taken(a))
		return;
	judge(a);
	if (!a->admitted || a->dry_run) {
		target_admit_reply(a);
		return;
	}
	if (take(a, &err) < 0)
		target_admit_fail(a, &err);
	else
		watchers_host(a->agent);
}

/* --- the question --- */

static int read_request(struct admit *a, const Drover__V1__AdmitRequest *r, struct error *err)
{
	if (wire_description_read(r->vm, &a->vm, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < a->vm.n_disks; i++) {
		if (storage_proof_read(r->vm->disks[i]->proof, &a->proofs[i], err) < 0)
			return error_context(err, "disk %s", a->vm.disks[i].target);
	}
	if (r->lockspace && storage_proof_read(r->lockspace, &a->lockspace_proof, err) < 0)
		return error_context(err, "lockspace");
	if (strlen(r->lock_manager) >= sizeof(a->lock_manager))
		return error_set(err, ERROR_INVALID, "lock manager \"%.64s\"", r->lock_manager);
	snprintf(a->lock_manager, sizeof(a->lock_manager), "%s", r->lock_manager);
	if (strlen(r->source_address) >= sizeof(a->source_address))
		return error_set(err, ERROR_INVALID, "source address \"%.64s\"", r->source_address);
	snprintf(a->source_address, sizeof(a->source_address), "%s", r->source_address);
	if (transfer_message_read(r->transfer, &a->copy.transfer, err) < 0 ||
	    wire_migration_tls_read(r->migration_tls, &a->source_tls, err) < 0)
		return -(int)err->code;
	fill_versions(r->agent_version, r->libvirt_version, r->hypervisor_version,
	              &a->source_versions);
	return 0;
}

void target_admit(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__AdmitRequest *request)
{
	struct admit *a = xnew(struct admit);
	struct error err;

	a->agent = agent;
	if (target_check_source(agent, in, request->attempt, request->source_node, &a->name, &err) <
	            0 ||
	    agent_see_epoch(agent, a->name.epoch, &err) < 0 || read_request(a, request, &err) < 0) {
		mesh_fail_error(in, &err);
		admit_free(a);
		return;
	}
	a->in = in;
	a->dry_run = request->dry_run;
	a->tls = request->tls;
	a->copy.wanted = request->copy_disks;
	a->no_guard = request->no_guard;
	a->unsafe = request->unsafe;
	a->max_downtime_ms = request->max_downtime_ms;
	a->post_copy = request->post_copy;
	a->lease_ttl_ms = request->lease_ttl_ms;
	a->limit_bytes_per_s = request->bandwidth_bytes_per_s;
	path_message_read(request->path, &a->path);
	snprintf(a->source_node, sizeof(a->source_node), "%s", request->source_node);
	a->pool = (struct port_pool){ .first = (uint16_t)agent->settings->port_first,
		                      .last = (uint16_t)agent->settings->port_last };
	copy_leased_ports(a);
	a->errand.work = target_admit_measure;
	a->errand.done = measured;
	mesh_incoming_on_cancel(in, unwanted, a);
	courier_send(agent->couriers, &a->errand);
}
