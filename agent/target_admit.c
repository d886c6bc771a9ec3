/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the destination: measure on a courier, judge and take in one step on the owner,
 * write it down, start the tunnel, answer. See target.h. */
#include "agent/target.h"

#include "agent/failpoints.h"
#include "agent/fence.h"
#include "agent/hugepages.h"
#include "agent/kernel/admission.h"
#include "agent/storage/storage_proof_wire.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest pause that a two-step commit may announce before admission refuses it; above it a
 * guest needs a lock manager. Its text says what to expect. */
#define TWO_STEP_PAUSE_LIMIT_MS 30000

struct admit {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	bool dry_run, tls;
	uint64_t lease_ttl_ms;
	char source_node[128];
	char source_address[64];
	uint64_t limit_bytes_per_s;
	char lock_manager[32];

	/* The guest, as sent. */
	struct attempt_name name;
	struct vm_description vm;
	struct storage_proof proofs[VM_DISKS_MAX];
	struct storage_proof lockspace_proof;

	/* Copies of the owner's, for the courier. */
	struct port_pool pool;
	uint16_t leased_ports[PORTS_MAX];
	size_t n_leased_ports;

	/* Measured. */
	struct host_facts facts;
	struct check cpu, machine;
	struct storage_finding disks[VM_DISKS_MAX];
	struct storage_finding lockspace;
	struct network_finding networks[VM_INTERFACES_MAX];
	struct port_survey port;
	struct hugepage_finding hugepages;
	struct round_trip round_trip;
	struct conflict_finding conflict;
	char cpu_why[160];
	bool tls_ready;
	char tls_problem[160];

	/* Judged. */
	struct check_list checks;
	enum guard guard;
	bool admitted;
	uint16_t reserved_port;
	uint64_t share_bytes_per_s;

	/* Made. */
	struct tunnel tunnel;
	struct tunnel_status tunnel_status;
	char directory[VM_PATH_BYTES];
	int tunnel_rc;
	struct error tunnel_error;
};

static void unwanted(void *context)
{
	((struct admit *)context)->in = NULL;
}

static void admit_free(struct admit *a)
{
	vm_description_deinit(&a->vm);
	free(a);
}

static void fail(struct admit *a, const struct error *err)
{
	if (a->in)
		mesh_fail_error(a->in, err);
	admit_free(a);
}

static void reply(struct admit *a)
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
		mesh_reply(a->in, &r.base);
		wire_free(r.vm);
		for (size_t i = 0; i < r.n_checks; i++)
			wire_free(r.checks[i]);
		free(r.checks);
	}
	admit_free(a);
}

/* --- courier: look at everything --- */

static bool port_is_leased(uint16_t port, void *context)
{
	const struct admit *a = context;

	for (size_t i = 0; i < a->n_leased_ports; i++) {
		if (a->leased_ports[i] == port)
			return true;
	}
	return false;
}

static void look_for_conflicts(struct admit *a, struct hypervisor *h)
{
	struct vm_list list = { 0 };
	struct error err;

	if (h->ops->list(h, &list, &err) < 0) {
		snprintf(a->conflict.why, sizeof(a->conflict.why), "%.150s", err.text);
		return;
	}
	a->conflict.measured = true;
	for (size_t i = 0; i < list.count; i++) {
		const struct vm_summary *vm = &list.items[i];

		if (strcmp(vm->uuid, a->vm.summary.uuid) == 0) {
			a->conflict.uuid_active = vm->active;
			a->conflict.uuid_inactive = !vm->active;
		} else if (strcmp(vm->name, a->vm.summary.name) == 0) {
			a->conflict.name_taken = true;
			memcpy(a->conflict.name_uuid, vm->uuid, sizeof(a->conflict.name_uuid));
		}
	}
	vm_list_deinit(&list);
}

static void look_at_devices(struct admit *a, struct hypervisor *h)
{
	for (size_t i = 0; i < a->vm.n_disks; i++)
		storage_proof_verify(&a->vm.disks[i], &a->proofs[i], &a->disks[i]);
	for (size_t i = 0; i < a->vm.n_interfaces; i++) {
		const struct vm_interface *nic = &a->vm.interfaces[i];
		struct network_finding *found = &a->networks[i];
		struct error err;

		found->needed = admission_interface_needs_network(nic);
		if (!found->needed)
			continue;
		if (h->ops->has_network(h, nic->type, nic->source, &found->present, &err) < 0)
			snprintf(found->why, sizeof(found->why), "%.150s", err.text);
		else
			found->measured = true;
	}
}

/* QEMU reads these at each migration. What it finds wrong in them comes as libvirt's error; that they
 * are there at all is seen here. */
static void look_for_tls(struct admit *a)
{
	static const char *const files[] = { "ca-cert.pem", "server-cert.pem", "server-key.pem" };
	char path[VM_PATH_BYTES + 32];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", a->facts.migration_tls_dir, files[i]);
		if (access(path, R_OK) < 0) {
			snprintf(a->tls_problem, sizeof(a->tls_problem), "%.120s: %s", path,
			         strerror(errno));
			return;
		}
	}
	a->tls_ready = true;
}

static void survey_ports(struct errand *e)
{
	struct admit *a = (struct admit *)e;

	a->port = (struct port_survey){ 0 };
	ports_survey(&a->pool, a->agent->settings->migration_address, port_is_leased, a, &a->port);
}

static void measure(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	struct hypervisor *h = a->agent->hypervisor; /* its operations are for any thread */
	struct error err;

	if (h->ops->host_facts(h, &a->facts, &err) < 0)
		a->facts = (struct host_facts){ 0 };
	if (h->ops->compare_cpu(h, &a->vm, &a->cpu, &a->machine, &err) < 0) {
		a->cpu = a->machine = (struct check){ 0 };
		snprintf(a->cpu_why, sizeof(a->cpu_why), "%.150s", err.text);
	}
	look_at_devices(a, h);
	look_for_conflicts(a, h);
	survey_ports(e);
	round_trip_measure(a->source_address, a->agent->settings->migration_address,
	                   a->agent->settings->migration_interface, &a->round_trip);
	if (a->vm.hugepage_bytes)
		hugepages_measure("", a->vm.hugepage_bytes, &a->hugepages);
	if (a->facts.lockspace[0] && a->lockspace_proof.method != STORAGE_UNPROVED)
		storage_proof_verify_directory(a->facts.lockspace, &a->lockspace_proof,
		                               &a->lockspace);
	if (a->tls)
		look_for_tls(a);
}

/* --- owner: judge and take in one step --- */

static void start_tunnel(struct admit *a);

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
		.two_step_pause_limit_ms = TWO_STEP_PAUSE_LIMIT_MS,
	};
	struct admission_input in = {
		.vm = &a->vm,
		.source_node = a->source_node,
		.node = agent->settings->node,
		.available_bytes = a->facts.memory_available_bytes,
		.cpu = a->cpu,
		.machine = a->machine,
		.port = a->port,
		.hugepages = a->hugepages,
		.hugepages_promised_bytes = reservations_get_pages(agent->reservations,
		                                                   a->vm.hugepage_bytes),
		.memory_problem = problem,
		.round_trip = a->round_trip,
		.round_trip_limit_ms = agent->settings->max_round_trip_ms,
		.disks = a->disks,
		.networks = a->networks,
		.conflict = a->conflict,
		.cordoned = agent->drain_mark.cordoned,
		.draining = agent->drain_mark.draining,
		.node_reason = agent->drain_mark.reason,
		.incoming_allowed = !agent->safe_mode && !agent->stopping,
		.tls_required = a->tls,
		.tls_ready = a->tls_ready,
		.already_reserved = own != NULL,
		.reserved_port = own ? own->port : 0,
		.reserved_bytes_per_s = own ? own->bandwidth_bytes_per_s : 0,
	};

	memcpy(in.cpu_why, a->cpu_why, sizeof(in.cpu_why));
	memcpy(in.tls_problem, a->tls_problem, sizeof(in.tls_problem));
	a->guard = guard_choose(&guard, &in.guard_check);
	in.guard = a->guard;
	target_describe_problem(agent, problem, sizeof(problem));
	target_look_at_link(agent, a->limit_bytes_per_s, &in.link);
	reservations_get_totals(agent->reservations, &in.memory);
	reservations_get_leases(agent->reservations, &in.leases);
	admission_judge(&in, &a->checks);
	a->admitted = admission_passes(&a->checks);
	a->share_bytes_per_s = own ? own->bandwidth_bytes_per_s : admission_bandwidth_share(&in);
}

static void taken_in_journal(int rc, const struct error *err, void *context)
{
	struct admit *a = context;

	FAILPOINT(target_after_take_journaled);
	if (rc < 0) {
		struct error why = *err;

		(void)reservations_release(a->agent->reservations, &a->name);
		error_context(&why, "the reservation could not be made durable");
		fail(a, &why);
		return;
	}
	start_tunnel(a);
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
	want.memory_bytes = admission_memory_needed(&a->vm);
	want.port = a->port.free_port;
	want.ttl_ms = a->lease_ttl_ms;
	want.guard = a->guard;
	want.arrives_paused = a->vm.summary.state == VM_PAUSED;
	want.arrives_autostart = a->vm.summary.autostart && a->vm.summary.persistent;
	want.page_bytes = a->vm.hugepage_bytes;
	want.bandwidth_bytes_per_s = a->share_bytes_per_s;
	want.taken_wall_ms = clock_wall_ms();
	if (reservations_take(a->agent->reservations, &want, clock_now_ms(), &got, err) < 0)
		return -(int)err->code;
	a->reserved_port = got->port;
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
	for (size_t i = 0; i < count && a->n_leased_ports < ARRAY_SIZE(a->leased_ports); i++)
		a->leased_ports[a->n_leased_ports++] = all[i].port;
}

/* Another admission may have taken the port that was found free, while we measured. Each time that
 * happens one more is leased, so this ends. */
static bool port_was_taken(struct admit *a)
{
	if (!a->port.free_port || !reservations_has_port(a->agent->reservations, a->port.free_port))
		return false;
	copy_leased_ports(a);
	a->errand.work = survey_ports;
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
			fail(a, &err);
			return;
		}
		a->admitted = true;
		a->guard = inbound->guard;
		a->reserved_port = held->port;
		reply(a);
		return;
	}
	if (port_was_taken(a))
		return;
	judge(a);
	if (!a->admitted || a->dry_run) {
		reply(a);
		return;
	}
	if (take(a, &err) < 0)
		fail(a, &err);
	else
		watchers_host(a->agent);
}

/* --- the tunnel --- */

/* Where other agents reach us, on another port; owned by the caller. */
static char *listen_address(const struct agent_settings *s, uint32_t port)
{
	const char *host = strstr(s->listen, "://");
	const char *colon;

	host = host ? host + 3 : s->listen;
	colon = strrchr(host, ':');
	return xasprintf("%.*s:%u", (int)(colon ? colon - host : (long)strlen(host)), host, port);
}

static void tunnel_work(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	const struct agent_settings *s = a->agent->settings; /* constant after the start */
	char *expect = xasprintf("agent/%s", a->source_node);
	char *status_path = xasprintf("%s/status", a->directory);
	char *log_path = xasprintf("%s/tunnel.log", a->directory);
	char *listen;
	struct tunnel_options o = {
		.side = TUNNEL_TARGET,
		.attempt = a->name,
		.cluster = s->cluster,
		.expect = expect,
		.ca_path = s->tls_ca,
		.cert_path = s->tls_certificate,
		.key_path = s->tls_key,
		.status_path = status_path,
		.connect_unix = s->libvirt_socket,
		.log_path = log_path,
	};

	listen = listen_address(s, 0);
	o.listen = listen;
	if (mkdir(a->directory, 0700) < 0 && errno != EEXIST)
		a->tunnel_rc = error_set_errno(&a->tunnel_error, ERROR_SYSTEM, errno, "creating %s",
		                               a->directory);
	else
		a->tunnel_rc = FAILPOINT_ERROR(target_before_tunnel_made, &a->tunnel_error);
	if (a->tunnel_rc == 0)
		a->tunnel_rc = a->agent->tunnels->spawn(&o, &a->tunnel, &a->tunnel_status,
		                                        &a->tunnel_error);
	FAILPOINT(target_after_tunnel_made);
	free(expect);
	free(status_path);
	free(log_path);
	free(listen);
}

/* What comes from anybody else to this port is counted as unregistered, and seen. */
static void expect_its_bytes(struct admit *a, struct inbound *inbound)
{
	struct error err;

	if (!a->agent->traffic)
		return;
	if (traffic_endpoint_parse(a->source_address, a->reserved_port, false, &inbound->endpoint,
	                           &err) < 0 ||
	    traffic_register(a->agent->traffic, &inbound->endpoint, &err) < 0)
		log_warning("%s: its bytes are not counted: %s", a->vm.summary.name, err.text);
	else
		inbound->endpoint_registered = true;
}

static void tunnel_started(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	struct agent *agent = a->agent;
	struct inbound *inbound;
	struct journal_write w = { .kind = JOURNAL_WRITE_MADE };
	char *address;

	if (a->tunnel_rc < 0) {
		struct error why = a->tunnel_error;

		error_context(&why, "the tunnel on %s", agent->settings->node);
		inbound_get(agent, &a->name); /* its directory may be there */
		inbound_end(agent, &a->name);
		fail(a, &why);
		return;
	}
	inbound = inbound_get(agent, &a->name);
	inbound->guard = a->guard;
	inbound->oom_kills = a->facts.oom_kills;
	inbound->oom_kills_known = true;
	inbound->tunnel = a->tunnel;
	inbound->tunnel_made = true;
	memcpy(inbound->directory, a->directory, sizeof(inbound->directory));
	address = listen_address(agent->settings, a->tunnel_status.port);
	snprintf(inbound->tunnel_address, sizeof(inbound->tunnel_address), "%s", address);
	free(address);
	w.thing.attempt = a->name;
	w.thing.kind = JOURNAL_TUNNEL;
	w.thing.pid = (uint32_t)a->tunnel.pid;
	w.thing.start_ticks = a->tunnel.start_ticks;
	snprintf(w.thing.path, sizeof(w.thing.path), "%s", a->tunnel.status_path);
	journal_keeper_write(agent->journal, &w, NULL, NULL);
	if (!reservations_find(agent->reservations, &a->name)) {
		struct error why;

		/* Released while its tunnel was being started. */
		error_set(&why, ERROR_STALE, "the attempt has ended on %s", agent->settings->node);
		inbound_end(agent, &a->name);
		fail(a, &why);
		return;
	}
	expect_its_bytes(a, inbound);
	log_info("admitted %s from %s: port %u, guard %s", a->vm.summary.name, a->source_node,
	         a->reserved_port, guard_name(a->guard));
	FAILPOINT(target_before_admit_reply);
	reply(a);
}

static void start_tunnel(struct admit *a)
{
	char text[ATTEMPT_TEXT_BYTES];

	snprintf(a->directory, sizeof(a->directory), "%s/inbound/%s", a->agent->settings->run_dir,
	         attempt_name_format(&a->name, text));
	a->errand.work = tunnel_work;
	a->errand.done = tunnel_started;
	courier_send(a->agent->couriers, &a->errand);
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
	a->lease_ttl_ms = request->lease_ttl_ms;
	a->limit_bytes_per_s = request->bandwidth_bytes_per_s;
	snprintf(a->source_node, sizeof(a->source_node), "%s", request->source_node);
	a->pool = (struct port_pool){ .first = (uint16_t)agent->settings->port_first,
		                      .last = (uint16_t)agent->settings->port_last };
	copy_leased_ports(a);
	a->errand.work = measure;
	a->errand.done = measured;
	mesh_incoming_on_cancel(in, unwanted, a);
	courier_send(agent->couriers, &a->errand);
}
