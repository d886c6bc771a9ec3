/* SPDX-License-Identifier: Apache-2.0 */
/* See agents.h. */
#include "tests/sim/agents.h"

#include "agent/wire.h"
#include "common/alloc.h"
#include "proto/coordinator.pb-c.h"
#include "tests/scratch.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Above the 15 s after which an outcome that stays unclear is reported as such. */
#define PATIENCE_MS 40000

static const char *const names[AGENTS] = { "host1", "host2" };

/* --- pretended tunnels --- */

static atomic_bool stay;

static int pretend_spawn(const struct tunnel_options *o, struct tunnel *ret,
                         struct tunnel_status *ret_status, struct error *err)
{
	int fd = open(o->status_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;

	memset(ret_status, 0, sizeof(*ret_status));
	ret_status->port = 40123;
	ret_status->state = TUNNEL_LISTENING;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->status_path, sizeof(ret->status_path), "%s", o->status_path);
	/* By it a tunnel is found again that nobody remembers. */
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "%s", o->status_path);
	rc = tunnel_status_write(fd, ret_status, err);
	close(fd);
	return rc;
}

static int pretend_status(const struct tunnel *t, struct tunnel_status *ret_status,
                          struct error *err)
{
	(void)t;
	(void)err;
	memset(ret_status, 0, sizeof(*ret_status));
	ret_status->state = TUNNEL_LINKED;
	return 0;
}

static int pretend_stop(const struct tunnel *t, uint64_t grace_ms, struct error *err)
{
	(void)t;
	(void)grace_ms;
	if (atomic_load(&stay))
		return error_set(err, ERROR_SYSTEM, "the tunnel cannot be stopped");
	return 0;
}

void agents_set_tunnels_stay(bool on)
{
	atomic_store(&stay, on);
}

static void fake_socket(const char *target_node, char *ret, size_t bytes)
{
	snprintf(ret, bytes, "/fake/%s", target_node);
}

static int pretend_probe(const char *from, const char *to, uint16_t port, struct error *err)
{
	(void)from;
	(void)to;
	(void)port;
	(void)err;
	return 0;
}

static int pretend_cut(const char *address, uint16_t port, unsigned *ret_cut, struct error *err)
{
	(void)address;
	(void)port;
	(void)err;
	*ret_cut = 0;
	return 0;
}

static const struct tunnel_ops pretended = {
	.probe = pretend_probe,
	.cut = pretend_cut,
	.spawn = pretend_spawn,
	.read_status = pretend_status,
	.stop = pretend_stop,
	.control_socket = fake_socket,
};

/* --- the stand-in coordinator --- */

static size_t index_of(const char *node)
{
	return strcmp(node, names[0]) == 0 ? 0 : 1;
}

static void take_verification(struct agents_report *to, const Drover__V1__AttemptReport *r)
{
	to->n_verification = r->n_verification;
	to->n_verified = 0;
	to->differences[0] = '\0';
	snprintf(to->not_verified, sizeof(to->not_verified), "%s", r->not_verified);
	for (size_t i = 0; i < r->n_verification; i++) {
		const Drover__V1__Check *c = r->verification[i];
		size_t used = strlen(to->differences);

		if (c->verdict == DROVER__V1__CHECK__VERDICT__PASS)
			to->n_verified++;
		else
			snprintf(to->differences + used, sizeof(to->differences) - used,
			         "%s: %s, required %s\n", c->id, c->measured, c->required);
	}
}

static void take_report(struct agents *t, const Drover__V1__AttemptReport *r)
{
	struct agents_report *to = &t->report;

	if (!r->attempt || r->attempt->operation_id.len != ID_BYTES ||
	    memcmp(r->attempt->operation_id.data, t->operation.bytes, ID_BYTES) != 0)
		return;
	to->state = r->state;
	snprintf(to->reason, sizeof(to->reason), "%s", r->reason);
	to->error_code = r->error_code;
	to->tombstoned = r->tombstoned;
	to->waits_for_slot = r->waits_for_slot;
	to->guard = r->guard;
	to->alarm = r->alarm;
	to->downtime_ms = r->downtime_ms;
	to->n_checks = r->n_checks;
	snprintf(to->note, sizeof(to->note), "%s", r->n_notes ? r->notes[0] : "");
	to->n_decisions = r->n_decisions;
	to->decisions[0] = '\0';
	for (size_t i = 0; i < r->n_decisions; i++) {
		size_t used = strlen(to->decisions);

		snprintf(to->decisions + used, sizeof(to->decisions) - used, "%s\n",
		         r->decisions[i]);
	}
	to->n_remnants = r->n_remnants;
	to->n_open = 0;
	to->remnants[0] = '\0';
	for (size_t i = 0; i < r->n_remnants; i++) {
		static const char *const verdicts[] = { "not-looked", "gone", "left" };
		const Drover__V1__Remnant *one = r->remnants[i];
		size_t used = strlen(to->remnants);

		to->n_open += one->verdict != DROVER__V1__REMNANT__VERDICT__GONE;
		snprintf(to->remnants + used, sizeof(to->remnants) - used, "%s %s %s %s; %s\n",
		         one->thing, one->node, verdicts[one->verdict], one->text, one->remedy);
	}
	take_verification(to, r);
	if (r->disk_total_bytes > to->disk_total_bytes)
		to->disk_total_bytes = r->disk_total_bytes;
	to->count++;
	to->bandwidth_tuned = r->bandwidth_tuned;
	to->bandwidth_bytes_per_s = r->bandwidth_bytes_per_s;
	to->max_downtime_tuned = r->max_downtime_tuned;
	to->max_downtime_ms = r->max_downtime_ms;
	to->held_ms = r->held_ms;
	to->hold_for[0] = '\0';
	if (r->progress && r->progress->hold) {
		to->hold_left_ms = r->progress->hold->left_ms;
		snprintf(to->hold_for, sizeof(to->hold_for), "%s", r->progress->hold->first_vm);
	}
	if (r->progress) {
		to->iteration = r->progress->iteration;
		to->percent_fell |= r->progress->percent < to->percent;
		to->percent = r->progress->percent;
	}
}

struct watching {
	struct agents *t;
	size_t i;
};

static struct watching watchings[AGENTS];

static void take_event(const ProtobufCMessage *m, void *context)
{
	const Drover__V1__AgentEvent *e = (const Drover__V1__AgentEvent *)m;
	struct watching *w = context;

	if (e->event_case == DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT) {
		for (size_t i = 0; i < e->snapshot->n_attempts; i++)
			take_report(w->t, e->snapshot->attempts[i]);
		w->t->watched[w->i] |= e->snapshot->inventory_valid;
	} else if (e->event_case == DROVER__V1__AGENT_EVENT__EVENT_ATTEMPT) {
		take_report(w->t, e->attempt);
	}
}

static void watch_done(const struct mesh_result *result, void *context)
{
	(void)result;
	(void)context;
}

static void handle_attach(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__AttachRequest *r = (const Drover__V1__AttachRequest *)m;
	Drover__V1__AttachReply reply = DROVER__V1__ATTACH_REPLY__INIT;
	Drover__V1__AgentWatchRequest watch = DROVER__V1__AGENT_WATCH_REQUEST__INIT;
	struct mesh_connection *c = mesh_incoming_get_connection(in);
	struct agents *t = context;
	size_t i = index_of(r->node);

	t->connections[i] = c;
	reply.epoch = t->epoch;
	reply.cluster = (char *)"test";
	mesh_reply(in, &reply.base);
	watch.epoch = t->epoch;
	watchings[i] = (struct watching){ t, i };
	mesh_call_stream(c, "drover.v1.Agent/Watch", &watch.base, 0, take_event, watch_done,
	                 &watchings[i]);
}

static const struct mesh_handler handlers[] = { { "Attach", handle_attach } };
static const struct mesh_service service = {
	.descriptor = &drover__v1__coordinator__descriptor,
	.handlers = handlers,
	.n_handlers = 1,
};
static const struct mesh_service *const services[] = { &service, NULL };

static void disconnected(struct mesh_connection *c, const struct error *why, void *context)
{
	struct agents *t = context;

	(void)why;
	for (size_t i = 0; i < AGENTS; i++) {
		if (t->connections[i] == c) {
			t->connections[i] = NULL;
			t->watched[i] = false;
		}
	}
}

/* --- set up and take down --- */

bool agents_until(struct agents *t, bool (*done)(void *), void *context)
{
	return loop_run_until(t->loop, PATIENCE_MS, done, context);
}

static bool all_watched(void *context)
{
	struct agents *t = context;

	for (size_t i = 0; i < AGENTS; i++) {
		if (t->agents[i] && !t->watched[i])
			return false;
	}
	return true;
}

void agents_start(struct agents *t, size_t i)
{
	static const struct mesh_options plain = { 0 };
	struct agent_options o = {
		.settings = &t->settings[i],
		.loop = t->loop,
		.tunnels = &pretended,
		.mesh_override = &plain,
	};
	struct error err;

	t->hypervisors[i] = hypervisor_fake_new(t->world, names[i]);
	o.hypervisor = t->hypervisors[i];
	if (agent_start(&o, &t->agents[i], &err) < 0) {
		fprintf(stderr, "agent %s: %s\n", names[i], err.text);
		abort();
	}
	if (!agents_until(t, all_watched, t))
		abort();
}

void agents_kill(struct agents *t, size_t i)
{
	fake_world_drop_callers(t->world, names[i]);
	if (!agent_stop(t->agents[i]))
		abort();
	t->agents[i] = NULL;
	t->hypervisors[i]->ops->free(t->hypervisors[i]);
	t->hypervisors[i] = NULL;
}

static void fill_settings(struct agents *t, size_t i, const struct agents_options *o)
{
	struct agent_settings *s = &t->settings[i];
	char *coordinator = xasprintf("inproc://coordinator%s", t->directory);

	s->node = xstrdup(names[i]);
	s->cluster = xstrdup("test");
	s->run_dir = xasprintf("%s/run-%s", t->directory, names[i]);
	s->state_dir = xasprintf("%s/state-%s", t->directory, names[i]);
	s->listen = xasprintf("inproc://%s%s", names[i], t->directory);
	s->coordinators.items[s->coordinators.count++] = coordinator;
	s->memory_capacity_bytes = i == 1 && o->target_memory_bytes ? o->target_memory_bytes
	                                                            : (uint64_t)4 << 30;
	s->migration_address = xstrdup("127.0.0.1");
	s->migration_interface = xstrdup("lo");
	/* Below the ephemeral ports, and not those of a real libvirt on this machine. */
	s->port_first = 26152;
	s->port_last = 26153;
	s->parallel_inbound = 2;
	s->parallel_outbound = 2;
	s->max_round_trip_ms = 150;
}

struct agents *agents_new(const struct agents_options *o)
{
	static const struct agents_options none;
	struct agents *t = xnew(struct agents);
	struct mesh_options mesh = {
		.role = MESH_ROLE_COORDINATOR,
		.name = "c1",
		.cluster = "test",
		.services = services,
		.service_context = t,
		.disconnected = disconnected,
		.context = t,
	};
	char *url, *lockspace;
	struct error err;

	o = o ? o : &none;
	snprintf(t->directory, sizeof(t->directory), "/tmp/drover-agents-XXXXXX");
	if (!mkdtemp(t->directory))
		abort();
	t->epoch = 1;
	t->loop = loop_new();
	t->world = fake_world_new();
	lockspace = xasprintf("%s/lockspace", t->directory);
	mkdir(lockspace, 0700);
	for (size_t i = 0; i < AGENTS; i++) {
		struct fake_host_settings host = { 0 };

		if (i == 1)
			host = o->target;
		host.name = names[i];
		host.lock_manager = o->lock_manager ? "lockd" : "";
		host.lockspace = o->lock_manager ? lockspace : "";
		host.keepalive_timeout_ms = AGENTS_KEEPALIVE_MS;
		fake_world_add_host(t->world, &host);
		fill_settings(t, i, o);
	}
	free(lockspace);
	/* A move of 256 MiB at 1 Gbit/s takes two seconds of the world, and one of ours. */
	fake_world_run(t->world, 2);

	mesh.loop = t->loop;
	t->coordinator = mesh_new(&mesh, &err);
	url = xasprintf("inproc://coordinator%s", t->directory);
	if (!t->coordinator || mesh_listen(t->coordinator, url, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	free(url);
	for (size_t i = 0; i < AGENTS; i++)
		agents_start(t, i);
	return t;
}

void agents_free(struct agents *t)
{
	for (size_t i = 0; i < AGENTS; i++) {
		if (t->agents[i])
			agents_kill(t, i);
	}
	mesh_free(t->coordinator);
	fake_world_free(t->world);
	loop_free(t->loop);
	for (size_t i = 0; i < AGENTS; i++)
		agent_settings_deinit(&t->settings[i]);
	scratch_remove(t->directory);
	free(t);
}

void agents_add_guest(struct agents *t, const struct fake_guest_settings *settings)
{
	fake_world_add_guest(t->world, names[0], settings, t->uuid);
	fake_world_settle(t->world);
}

/* --- orders --- */

static bool is_answered(void *context)
{
	return ((struct agents *)context)->answered;
}

static void start_answered(const struct mesh_result *result, void *context)
{
	const Drover__V1__StartMigrationReply *r = (const Drover__V1__StartMigrationReply *)
	                                                   result->message;
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
	t->error = result->error;
	t->accepted = r && r->accepted;
	if (r)
		take_report(t, r->report);
}

static void report_answered(const struct mesh_result *result, void *context)
{
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
	t->error = result->error;
	if (result->message)
		take_report(t, (const Drover__V1__AttemptReport *)result->message);
}

static bool source_knows_guest(void *context)
{
	struct agents *t = context;
	const struct inventory_vm *vm = inventory_find(&t->agents[0]->inventory, t->uuid);

	return vm && vm->summary.active;
}

void agents_order_again(struct agents *t)
{
	Drover__V1__StartMigrationRequest request = DROVER__V1__START_MIGRATION_REQUEST__INIT;
	Drover__V1__MigrationSettings settings = DROVER__V1__MIGRATION_SETTINGS__INIT;
	struct attempt_name name = { .operation = t->operation, .number = 1, .epoch = t->epoch };

	settings.max_downtime_ms = t->max_downtime_ms ? t->max_downtime_ms : 300;
	settings.completion_timeout_ms_per_gib = t->completion_timeout_ms_per_gib
	                                                 ? t->completion_timeout_ms_per_gib
	                                                 : 800000;
	settings.ladder = (Drover__V1__Ladder)t->strategy.ladder;
	settings.allow_auto_converge = t->strategy.allow_auto_converge;
	settings.allow_post_copy = t->strategy.allow_post_copy;
	settings.allow_workload_disruption = t->strategy.allow_disruption;
	settings.progress_timeout_ms = t->progress_timeout_ms ? t->progress_timeout_ms : 150000;
	settings.bandwidth_bytes_per_s = t->bandwidth_bytes_per_s;
	settings.copy_disks = t->copy_disks;
	settings.shortest_first = t->shortest_first;
	settings.no_guard = t->no_guard;
	request.attempt = wire_attempt_new(&name);
	request.vm_uuid = t->uuid;
	request.target_node = (char *)names[1];
	request.target_address = t->settings[1].listen;
	request.settings = &settings;
	request.hold = t->hold;
	t->answered = false;
	mesh_call(t->connections[0], "drover.v1.Agent/StartMigration", &request.base, 10000,
	          start_answered, t);
	wire_free(request.attempt);
	if (!agents_until(t, is_answered, t))
		abort();
}

void agents_order(struct agents *t)
{
	t->operation = id_new();
	memset(&t->report, 0, sizeof(t->report));
	if (!agents_until(t, source_knows_guest, t))
		abort();
	agents_order_again(t);
}

static void ask(struct agents *t, const char *method)
{
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;
	struct attempt_name name = { .operation = t->operation, .number = 1, .epoch = t->epoch };

	request.attempt = wire_attempt_new(&name);
	request.vm_uuid = t->uuid;
	request.source_node = (char *)names[0];
	t->answered = false;
	mesh_call(t->connections[0], method, &request.base, 10000, report_answered, t);
	wire_free(request.attempt);
	if (!agents_until(t, is_answered, t))
		abort();
}

void agents_probe(struct agents *t)
{
	ask(t, "drover.v1.Agent/ProbeAttempt");
}

void agents_cancel(struct agents *t)
{
	ask(t, "drover.v1.Agent/CancelMigration");
}

static void tune_answered(const struct mesh_result *result, void *context)
{
	const Drover__V1__TuneMigrationReply *r = (const Drover__V1__TuneMigrationReply *)
	                                                  result->message;
	struct agents *t = context;
	size_t n = 0;

	t->answered = true;
	t->status = result->status;
	t->error = result->error;
	t->tuned[0] = '\0';
	for (size_t i = 0; r && i < r->n_values; i++)
		n += (size_t)snprintf(t->tuned + n, sizeof(t->tuned) - n, "%s %s -> %s; ",
		                      r->values[i]->name, r->values[i]->before,
		                      r->values[i]->after);
	for (size_t i = 0; r && i < r->n_notes; i++)
		n += (size_t)snprintf(t->tuned + n, sizeof(t->tuned) - n, "%s", r->notes[i]);
	if (r)
		take_report(t, r->report);
}

void agents_tune(struct agents *t, const Drover__V1__Tuning *tuning)
{
	Drover__V1__TuneMigrationRequest request = DROVER__V1__TUNE_MIGRATION_REQUEST__INIT;
	struct attempt_name name = { .operation = t->operation, .number = 1, .epoch = t->epoch };
	Drover__V1__Tuning copy = *tuning;

	request.attempt = wire_attempt_new(&name);
	request.tuning = &copy;
	request.by = (char *)"root";
	t->answered = false;
	mesh_call(t->connections[0], "drover.v1.Agent/TuneMigration", &request.base, 10000,
	          tune_answered, t);
	wire_free(request.attempt);
	if (!agents_until(t, is_answered, t))
		abort();
}

struct waiting {
	struct agents *t;
	Drover__V1__MigrationState state;
};

static bool has_state(void *context)
{
	const struct waiting *w = context;

	return w->t->report.count && w->t->report.state == w->state;
}

bool agents_wait(struct agents *t, Drover__V1__MigrationState state)
{
	struct waiting w = { t, state };

	return agents_until(t, has_state, &w);
}

static bool is_moving(void *context)
{
	struct agents *t = context;
	struct vm_job job;
	struct error err;

	return t->hypervisors[0]->ops->job(t->hypervisors[0], t->uuid, &job, &err) == 0 &&
	       job.active && job.memory_processed_bytes > 0;
}

static void look_again(void *context)
{
	(void)context; /* only wakes the loop */
}

bool agents_until_looking(struct agents *t, bool (*done)(void *))
{
	struct loop_timer timer = { .fire = look_again };
	bool seen = false;

	for (unsigned i = 0; i < PATIENCE_MS / 20 && !seen; i++) {
		loop_timer_start(t->loop, &timer, 20);
		seen = loop_run_until(t->loop, 20, done, t);
	}
	loop_timer_stop(t->loop, &timer);
	return seen;
}

bool agents_wait_moving(struct agents *t)
{
	return agents_until_looking(t, is_moving);
}

/* --- evidence --- */

enum vm_run_state agents_state_on(struct agents *t, size_t i)
{
	struct hypervisor *h = hypervisor_fake_new(t->world, names[i]);
	struct vm_summary vm;
	struct error err;
	int rc = h->ops->find(h, t->uuid, &vm, &err);

	h->ops->free(h);
	return rc == 0 ? vm.state : VM_UNKNOWN;
}

size_t agents_leases(struct agents *t, size_t i)
{
	size_t count;

	(void)reservations_get_all(t->agents[i]->reservations, &count);
	return count;
}

const struct reservation *agents_lease(struct agents *t, size_t i)
{
	return reservations_find_vm(t->agents[i]->reservations, t->uuid);
}

size_t agents_leftovers(struct agents *t)
{
	static const char *const below[] = { "attempts", "inbound" };
	size_t count = 0;

	for (size_t i = 0; i < 2 * AGENTS; i++) {
		char *path = xasprintf("%s/%s", t->settings[i / 2].run_dir, below[i % 2]);
		DIR *dir = opendir(path);
		const struct dirent *entry;

		while (dir && (entry = readdir(dir)))
			count += entry->d_name[0] != '.';
		if (dir)
			closedir(dir);
		free(path);
	}
	return count;
}
