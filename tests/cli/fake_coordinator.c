/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator for the tests of the command line: the real mesh, with stories that are written down here
 * and answers that are always the same (fake_answers.c, fake_policies.c). What it is asked for decides how
 * the story goes:
 *
 *	host1   is emptied                        web1    moves
 *	host2   has build7, which cannot move     stuck   fails
 *	host3   takes for ever                    pinned  is refused
 *	host4   loses its watcher on the way, and has db1, which is off since it was drained
 *	sealed  is not for the caller             anything else is not there
 *
 * Usage: fake_coordinator URL [CA CERTIFICATE KEY]. Prints "ready PORT", then one line for each
 * request that tests look for.
 * A story goes on only while somebody watches it, so no test depends on how fast it is.
 */
#include "common/alloc.h"
#include "common/loop.h"
#include "common/units.h"
#include "proto/coordinator.pb-c.h"
#include "proto/mesh/mesh.h"
#include "proto/mesh/reflection.h"
#include "tests/cli/fake_answers.h"
#include "tests/cli/fake_policies.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS      30
#define CHANGES_MAX  64
#define WATCHERS_MAX 8
#define STEPS        6
#define DROP_AT_STEP 3

struct recorded {
	uint64_t revision, drain, migration;
	uint8_t *packed;
	size_t bytes;
};

struct watcher {
	struct mesh_incoming *in; /* NULL = free */
	uint64_t drain, migration;
};

static struct {
	struct loop *loop;
	struct mesh *mesh;
	struct loop_timer timer;
	struct recorded changes[CHANGES_MAX];
	size_t n_changes;
	struct watcher watchers[WATCHERS_MAX];
	unsigned step;   /* of the one story that runs */
	uint64_t drain;  /* its drain, 0 = none */
	uint64_t single; /* or its migration */
	bool dropped;
} fake;

#define S(text) ((char *)(text))

/* --- changes --- */

static void send_recorded(struct mesh_incoming *in, const struct recorded *r)
{
	Drover__V1__Change *change = drover__v1__change__unpack(NULL, r->bytes, r->packed);

	mesh_send(in, &change->base);
	drover__v1__change__free_unpacked(change, NULL);
}

static void record(Drover__V1__Change *change, bool tell)
{
	struct recorded *r = &fake.changes[fake.n_changes];

	if (fake.n_changes == CHANGES_MAX)
		abort();
	*r = (struct recorded){ ++fake.n_changes, fake.drain, fake.single };
	change->revision = r->revision;
	r->bytes = drover__v1__change__get_packed_size(change);
	r->packed = xmalloc(r->bytes + 1);
	drover__v1__change__pack(change, r->packed);
	for (size_t i = 0; tell && i < WATCHERS_MAX; i++) {
		if (fake.watchers[i].in)
			send_recorded(fake.watchers[i].in, r);
	}
}

static void tell_migration(uint64_t number, const char *name, Drover__V1__MigrationState state,
                           uint32_t percent, bool tell)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;
	Drover__V1__Migration m = DROVER__V1__MIGRATION__INIT;
	Drover__V1__AttemptReport report = DROVER__V1__ATTEMPT_REPORT__INIT;
	Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
	Drover__V1__Check check = DROVER__V1__CHECK__INIT, *checks[] = { &check };

	check.id = S("memory");
	check.verdict = DROVER__V1__CHECK__VERDICT__PASS;
	progress.percent = percent;
	progress.iteration = 1;
	report.progress = &progress;
	report.guard = DROVER__V1__GUARD__GUARD_IMAGE_LOCK;
	report.checks = checks;
	report.n_checks = 1;
	report.state = state;
	report.duration_ms = 1200;
	report.downtime_ms = 41;
	report.transferred_bytes = 280 * MIB;
	m.number = number;
	m.vm_name = S(name);
	m.source = S("host1");
	m.target = S("host2");
	m.state = state;
	m.attempt_number = 1;
	m.drain_number = fake.drain;
	m.report = &report;
	if (state == DROVER__V1__MIGRATION_STATE__FAILED)
		m.reason = S("the migration network is down");
	change.object_case = DROVER__V1__CHANGE__OBJECT_MIGRATION;
	change.migration = &m;
	record(&change, tell);
}

struct drain {
	Drover__V1__Drain drain;
	Drover__V1__DrainVm vm[2];
	Drover__V1__DrainVm *vms[2];
};

static bool shut_down; /* build7, as the latest request has named it */

static void drain_fill(struct drain *d, uint64_t number, const char *state)
{
	static const char *const nodes[] = { "", "host1", "host2", "host3", "host4" };
	bool over = strcmp(state, "completed") == 0 || strcmp(state, "partly") == 0;

	drover__v1__drain__init(&d->drain);
	for (size_t i = 0; i < 2; i++) {
		drover__v1__drain_vm__init(&d->vm[i]);
		d->vm[i].uuid = d->vm[i].name = S(i == 0 ? "web1" : "build7");
		d->vm[i].state = S(over ? "moved" : i == 0 ? "moving" : "waiting");
		d->vm[i].migration_number = i == 0 || over ? number * 10 + i : 0;
		d->vm[i].memory_bytes = 256 * MIB;
		d->vm[i].target = S("host2");
		d->vms[i] = &d->vm[i];
	}
	if (strcmp(state, "partly") == 0) {
		d->vm[1].state = S("left");
		d->vm[1].migration_number = 0;
		d->vm[1].reason = S("allowed by --leave");
	}
	if (shut_down) {
		d->vm[1].state = S(over ? "stopped" : "waiting");
		d->vm[1].power = S(over ? "off" : "allowed");
		d->vm[1].target = S("");
		d->vm[1].migration_number = 0;
		d->vm[1].reason = S(over ? "shut down as asked" : "waits: is shut down last");
		d->drain.shutdown_timeout_ms = 600000;
	}
	d->drain.number = number;
	d->drain.node = S(nodes[number]);
	d->drain.state = S(state);
	d->drain.vms = d->vms;
	d->drain.n_vms = 2;
	d->drain.bytes_total = 512 * MIB;
	d->drain.bytes_done = over ? 512 * MIB : 0;
	d->drain.elapsed_ms = 2000;
	d->drain.eta_ms = 3000;
	d->drain.eta_known = !over;
	d->drain.parallel = 2;
}

static void tell_drain(const char *state, bool tell)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;
	struct drain d;

	drain_fill(&d, fake.drain, state);
	change.object_case = DROVER__V1__CHANGE__OBJECT_DRAIN;
	change.drain = &d.drain;
	record(&change, tell);
}

static void step_drain(bool tell)
{
	bool partly = fake.drain == 2, endless = fake.drain == 3;
	uint64_t first = fake.drain * 10;

	switch (fake.step) {
	case 1:
		tell_migration(first, "web1", DROVER__V1__MIGRATION_STATE__RUNNING, 10, tell);
		break;
	case 2:
		tell_migration(first, "web1", DROVER__V1__MIGRATION_STATE__RUNNING, 60, tell);
		break;
	case 3:
		if (!endless)
			tell_migration(first, "web1", DROVER__V1__MIGRATION_STATE__DONE, 100, tell);
		break;
	case 4:
		if (!endless && !partly)
			tell_migration(first + 1, "build7", DROVER__V1__MIGRATION_STATE__DONE, 100,
			               tell);
		break;
	case 5:
		if (!endless)
			tell_drain(partly && !shut_down ? "partly" : "completed", tell);
		break;
	}
}

static bool is_watched(void)
{
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		if (fake.watchers[i].in)
			return true;
	}
	return false;
}

static void drop_watchers(void)
{
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		struct mesh_incoming *in = fake.watchers[i].in;

		fake.watchers[i].in = NULL;
		if (in)
			mesh_connection_close(mesh_incoming_get_connection(in));
	}
}

static void tick(void *context)
{
	(void)context;
	if (fake.step < STEPS && is_watched()) {
		/* What happens while nobody is connected is to be told afterwards. */
		bool drop = fake.drain == 4 && fake.step == DROP_AT_STEP && !fake.dropped;

		if (fake.drain)
			step_drain(!drop);
		else if (fake.step == 2)
			tell_migration(fake.single, fake.single == 21 ? "web1" : "stuck",
			               fake.single == 21 ? DROVER__V1__MIGRATION_STATE__DONE
			                                 : DROVER__V1__MIGRATION_STATE__FAILED,
			               100, true);
		fake.step++;
		if (drop) {
			fake.dropped = true;
			drop_watchers();
		}
	}
	loop_timer_start(fake.loop, &fake.timer, STEP_MS);
}

/* --- the service --- */

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static void fail(struct mesh_incoming *in, enum error_code code, const char *text)
{
	struct error err;

	error_set(&err, code, "%s", text);
	mesh_fail_error(in, &err);
}

/* --- a rolling operation: what it drains is empty at once --- */

static bool rolled[5]; /* host1 is 1 */
static char label[5][64];

static unsigned host_number(const char *name)
{
	return (unsigned)(name[4] - '0');
}

static void fill_blocker(Drover__V1__Check *blocker)
{
	blocker->id = S("vm/build7");
	blocker->verdict = DROVER__V1__CHECK__VERDICT__BLOCK;
	blocker->reason = S("HostDeviceNotLiveMigratable");
	blocker->measured = S("PCI 0000:3b:00.0");
	blocker->remedy = S("--leave build7, or --shutdown build7");
}

/* host2 keeps a guest, and host4 is being drained already, or, asked beforehand, has one that cannot move. Of those to be shut down u2 is transient. */
static void drain_for_roll(struct mesh_incoming *in, const Drover__V1__DrainRequest *request)
{
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Check blocker = DROVER__V1__CHECK__INIT, *blockers[] = { &blocker };
	const char *first = request->n_nodes ? request->nodes[0] : request->node;
	struct drain d;

	for (size_t i = 0; i < request->n_shut_down; i++)
		printf("%s %s shuts down %s within %llu ms\n",
		       request->dry_run ? "dry run:" : "drain:", request->node,
		       request->shut_down[i], (unsigned long long)request->shutdown_timeout_ms);
	fflush(stdout);
	if (request->n_shut_down && strcmp(request->shut_down[0], "u2") == 0) {
		fail(in, ERROR_REFUSED, "guest fleeting is transient");
		return;
	}
	shut_down = request->n_shut_down > 0;
	if (request->dry_run) {
		drain_fill(&d, host_number(first), "planned");
		d.vm[0].node = S(first);
		d.vm[1].node = request->n_nodes > 1 ? request->nodes[1] : S(first);
		reply.drain = &d.drain;
		if (strcmp(first, "host4") == 0) {
			fill_blocker(&blocker);
			reply.refused = true;
			reply.blockers = blockers;
			reply.n_blockers = 1;
		}
		mesh_reply(in, &reply.base);
		return;
	}
	reply.already = strcmp(request->node, "host4") == 0 ||
	                (request->node[0] && rolled[host_number(request->node)]);
	if (request->node[0])
		rolled[host_number(request->node)] = true;
	for (size_t i = 0; i < request->n_nodes; i++)
		rolled[host_number(request->nodes[i])] = true;
	drain_fill(&d, 1, "completed");
	reply.drain = &d.drain;
	mesh_reply(in, &reply.base);
}

static void handle_drains(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ListRequest *request = (const Drover__V1__ListRequest *)m;
	Drover__V1__DrainList list = DROVER__V1__DRAIN_LIST__INIT;
	char runs[64];
	struct drain d;
	Drover__V1__Drain *items[] = { &d.drain };

	(void)context;
	list.drains = items;
	/* Only a rolling operation names a host, and the way back of db1. */
	if (request->node[0]) {
		drain_fill(&d, host_number(request->node), "completed");
		d.vm[1].uuid = d.vm[1].name = S("db1");
		d.vm[1].state = S("stopped");
		d.vm[1].power = S("over");
		snprintf(runs, sizeof(runs), "was shut down, and runs on %s again", request->node);
		d.vm[1].reason = runs;
		list.n_drains = 1;
	}
	mesh_reply(in, &list.base);
}

static void handle_migrations(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ListRequest *request = (const Drover__V1__ListRequest *)m;
	Drover__V1__MigrationList list = DROVER__V1__MIGRATION_LIST__INIT;
	struct error err;

	(void)context;
	if (strcmp(request->node, "host3") == 0) {
		error_set(&err, ERROR_STORE, "the store cannot be read");
		mesh_fail_error(in, &err);
	} else {
		mesh_reply(in, &list.base);
	}
}

/* db1 was shut down for the drain of that host; asked to bring back, it starts, and then runs. On host3
 * there is no room for it after a rolling operation. */
static void handle_undrain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__NodeRequest *request = (const Drover__V1__NodeRequest *)m;
	Drover__V1__NodeReply reply = DROVER__V1__NODE_REPLY__INIT;
	Drover__V1__Drain back = DROVER__V1__DRAIN__INIT;
	Drover__V1__DrainVm vm = DROVER__V1__DRAIN_VM__INIT, *vms[] = { &vm };
	char *off[] = { S("db1") };

	(void)context;
	reply.changed = true;
	vm.uuid = vm.name = S("db1");
	vm.starts = true;
	vm.shut_down_by = host_number(request->node);
	vm.memory_bytes = 256 * MIB;
	vm.target = request->node;
	vm.state = S(request->dry_run ? "waiting" : "starting");
	vm.reason = S("was shut down there, and starts again");
	if (strcmp(request->node, "host3") == 0 && rolled[3]) {
		vm.state = S("blocked");
		vm.reason = S("host3 has 100 MiB free, and it needs 320 MiB");
	}
	back.number = host_number(request->node);
	back.node = request->node;
	back.vms = vms;
	back.n_vms = 1;
	if (request->bring_back) {
		reply.back = &back;
	} else {
		reply.off = off;
		reply.n_off = 1;
	}
	mesh_reply(in, &reply.base);
}

static void handle_label(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__LabelRequest *request = (const Drover__V1__LabelRequest *)m;
	Drover__V1__NodeReply reply = DROVER__V1__NODE_REPLY__INIT;

	(void)context;
	printf("label %s %s\n", request->node, request->changes[0]);
	fflush(stdout);
	if (strncmp(request->changes[0], "roll/", 5) == 0)
		snprintf(label[host_number(request->node)], sizeof(label[0]), "%s",
		         strchr(request->changes[0], '=') ? request->changes[0] : "");
	mesh_reply(in, &reply.base);
}

static void handle_drain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__DrainRequest *request = (const Drover__V1__DrainRequest *)m;
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Check blocker = DROVER__V1__CHECK__INIT, *blockers[] = { &blocker };
	Drover__V1__Prediction endless = DROVER__V1__PREDICTION__INIT;
	struct drain d;

	(void)context;
	if (strcmp(request->node, "sealed") == 0) {
		fail(in, ERROR_PERMISSION, "viewer uid 1000 may not call Drain");
		return;
	}
	if (request->selector[0]) {
		drain_fill(&d, 1, "planned");
		reply.drain = &d.drain;
		reply.note = S("1 node has never been heard: host5");
		mesh_reply(in, &reply.base);
		return;
	}
	if (strncmp(request->reason, "roll/", 5) == 0) {
		drain_for_roll(in, request);
		return;
	}
	if (strncmp(request->node, "host", 4) != 0 || request->node[4] < '1' ||
	    request->node[4] > '4' || request->node[5]) {
		fail(in, ERROR_NOT_FOUND, "there is no such node");
		return;
	}
	if (request->n_shut_down && strcmp(request->shut_down[0], "build7") != 0) {
		fail(in, ERROR_NOT_FOUND, "host2 has no guest like that to shut down");
		return;
	}
	if (strcmp(request->node, "host4") == 0 && request->n_leave && !request->dry_run) {
		fail(in, ERROR_REFUSED,
		     "host4 is being drained already, and this was not asked for then: --leave "
		     "db1; "
		     "nothing was changed. To have it so: drover cancel drain/4");
		return;
	}
	shut_down = request->n_shut_down > 0;
	drain_fill(&d, (uint64_t)(request->node[4] - '0'), "running");
	reply.drain = &d.drain;
	if (request->dry_run && (shut_down || request->n_leave))
		reply.plan_id = S("5f1d9c02a77be340");
	if (request->dry_run && shut_down)
		d.vm[1].reason = S("is asked when the others have left, and given 10 min");
	if (request->dry_run && strcmp(request->reason, "no room") == 0) {
		d.vm[1].state = S("blocked");
		d.vm[1].target = reply.plan_id = S("");
	}
	/* Its build is foretold to be given up. */
	if (request->dry_run && d.drain.number == 1 && request->by_wall_ms) {
		endless.end = endless.low_end = endless.high_end =
			DROVER__V1__PREDICTION__END__GIVES_UP;
		endless.certain = true;
		endless.expected_ms = endless.low_ms = endless.high_ms = 152000;
		d.vm[1].state = S("waiting");
		d.vm[1].prediction = &endless;
		d.drain.by_wall_ms = request->by_wall_ms;
		d.drain.deadline = S("has no end in sight: build7 does not converge");
	}
	if (shut_down)
		printf("shut down %s within %llu ms\n", request->shut_down[0],
		       (unsigned long long)request->shutdown_timeout_ms);
	fflush(stdout);
	if (d.drain.number == 2 && !request->leave_unmovable && request->n_leave == 0 &&
	    !shut_down) {
		fill_blocker(&blocker);
		d.vm[1].state = S("blocked");
		d.vm[1].target = S("");
		d.vm[1].reason = blocker.measured;
		reply.refused = true;
		reply.blockers = blockers;
		reply.n_blockers = 1;
	} else if (!request->dry_run && fake.drain != d.drain.number) {
		fake.drain = d.drain.number;
		fake.single = 0;
		fake.step = 1;
		tell_drain("running", true);
	}
	mesh_reply(in, &reply.base);
}

static void handle_migrate(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__MigrateRequest *request = (const Drover__V1__MigrateRequest *)m;
	Drover__V1__MigrateReply reply = DROVER__V1__MIGRATE_REPLY__INIT;
	Drover__V1__Migration migration = DROVER__V1__MIGRATION__INIT;
	Drover__V1__Check check = DROVER__V1__CHECK__INIT, *checks[] = { &check };
	bool web = strcmp(request->vm, "web1") == 0, stuck = strcmp(request->vm, "stuck") == 0;
	Drover__V1__Prediction prediction = DROVER__V1__PREDICTION__INIT;

	(void)context;
	if (strcmp(request->vm, "pinned") == 0) {
		check.id = S("memory");
		check.verdict = DROVER__V1__CHECK__VERDICT__FAIL;
		check.measured = S("100 MiB free");
		check.required = S("320 MiB");
		check.remedy = S("move something off host2 first");
		reply.refused = true;
		reply.refusal = S("no node can take it");
		reply.checks = checks;
		reply.n_checks = 1;
	} else if (web && request->dry_run) {
		fake_dry_migrate(in, request->target);
		return;
	} else if (request->dry_run && strcmp(request->vm, "busy") == 0) {
		/* Samples that permit both: given up after a minute, or there in six seconds. */
		migration.vm_name = request->vm;
		migration.target = S("host2");
		prediction.end = prediction.high_end = DROVER__V1__PREDICTION__END__GIVES_UP;
		prediction.low_end = DROVER__V1__PREDICTION__END__CONVERGES;
		prediction.expected_ms = 60300;
		prediction.low_ms = 5600;
		prediction.high_ms = 69100;
		prediction.high_known = true;
		reply.migration = &migration;
		reply.prediction = &prediction;
		reply.eta_ms = prediction.expected_ms;
	} else if (web || stuck) {
		migration.number = web ? 21 : 22;
		migration.vm_name = request->vm;
		reply.migration = &migration;
		fake.drain = 0;
		fake.single = migration.number;
		fake.step = 1;
		tell_migration(migration.number, request->vm, DROVER__V1__MIGRATION_STATE__RUNNING,
		               5, true);
	} else {
		fail(in, ERROR_NOT_FOUND, "there is no such guest");
		return;
	}
	mesh_reply(in, &reply.base);
}

static void watcher_gone(void *context)
{
	struct watcher *w = context;

	w->in = NULL;
	say("unwatched");
}

static void handle_watch(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__WatchRequest *request = (const Drover__V1__WatchRequest *)m;
	Drover__V1__Change caught_up = DROVER__V1__CHANGE__INIT;
	struct watcher *w = fake.watchers;
	char line[80];

	(void)context;
	while (w->in && w < &fake.watchers[WATCHERS_MAX - 1])
		w++;
	*w = (struct watcher){ in, request->drain_number, request->migration_number };
	for (size_t i = 0; i < fake.n_changes; i++) {
		const struct recorded *r = &fake.changes[i];

		if (r->revision > request->since_revision && r->drain == w->drain &&
		    r->migration == w->migration)
			send_recorded(in, r);
	}
	caught_up.caught_up = true;
	caught_up.revision = fake.n_changes;
	mesh_send(in, &caught_up.base);
	mesh_incoming_on_cancel(in, watcher_gone, w);
	snprintf(line, sizeof(line), "watch since=%llu of=%zu",
	         (unsigned long long)request->since_revision, fake.n_changes);
	say(line);
}

static void handle_nodes(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	static const char *const names[] = { "host1", "host2", "host3", "host4" };
	Drover__V1__NodeList list = DROVER__V1__NODE_LIST__INIT;
	Drover__V1__Node nodes[ARRAY_SIZE(names)], *items[ARRAY_SIZE(names)];
	Drover__V1__HostState host = DROVER__V1__HOST_STATE__INIT;
	char *labels[ARRAY_SIZE(names)];

	(void)context;
	if (((const Drover__V1__ListRequest *)m)->selector[0])
		list.note = S("1 node has never been heard: host5");
	host.libvirt_connected = true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		drover__v1__node__init(&nodes[i]);
		nodes[i].name = S(names[i]);
		nodes[i].state = S(rolled[i + 1] ? "maintenance" : "ready");
		nodes[i].vms = i == 1;
		nodes[i].host = &host;
		labels[i] = label[i + 1];
		nodes[i].given_labels = &labels[i];
		nodes[i].n_given_labels = labels[i][0] != '\0';
		items[i] = &nodes[i];
	}
	list.nodes = items;
	list.n_nodes = ARRAY_SIZE(names);
	mesh_reply(in, &list.base);
}

static const struct mesh_handler handlers[] = {
	{ "GetCapacity", fake_capacity },
	{ "Place", fake_place },
	{ "Export", fake_export },
	{ "Drain", handle_drain },
	{ "Migrate", handle_migrate },
	{ "Watch", handle_watch },
	{ "ListNodes", handle_nodes },
	{ "ListVms", fake_vms },
	{ "Cordon", fake_cordon },
	{ "GetStatus", fake_status },
	{ "Explain", fake_explain },
	{ "Cancel", fake_cancel },
	{ "ListEvents", fake_events },
	{ "Tune", fake_tune },
	{ "CollectGarbage", fake_garbage },
	{ "ListDrains", handle_drains },
	{ "Label", handle_label },
	{ "Undrain", handle_undrain },
	{ "ListMigrations", handle_migrations },
	{ "SetPolicy", fake_set_policy },
	{ "RemovePolicy", fake_remove_policy },
	{ "ListPolicies", fake_list_policies },
};

static void stop(int signal_number, void *context)
{
	(void)signal_number;
	loop_stop(context);
}

int main(int argc, char **argv)
{
	static const struct mesh_service service = {
		.descriptor = &drover__v1__coordinator__descriptor,
		.handlers = handlers,
		.n_handlers = ARRAY_SIZE(handlers),
	};
	static const struct mesh_service *const services[] = { &service, &reflection_service,
		                                               NULL };
	struct mesh_options options = { .role = MESH_ROLE_COORDINATOR, .services = services };
	struct error err = { 0 };

	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: fake_coordinator URL [CA CERTIFICATE KEY]\n");
		return 2;
	}
	if (argc == 5) {
		options.tls_ca = argv[2];
		options.tls_certificate = argv[3];
		options.tls_key = argv[4];
	} else {
		options.name = "c1";
	}
	options.loop = fake.loop = loop_new();
	loop_watch_signal(fake.loop, SIGTERM, stop, fake.loop);
	fake.mesh = mesh_new(&options, &err);
	if (!fake.mesh || mesh_listen(fake.mesh, argv[1], &err) < 0) {
		fprintf(stderr, "fake_coordinator: %s\n", err.text);
		return 1;
	}
	fake.timer = (struct loop_timer){ .fire = tick };
	loop_timer_start(fake.loop, &fake.timer, STEP_MS);
	printf("ready %u\n", mesh_get_port(fake.mesh, argv[1]));
	fflush(stdout);
	loop_run(fake.loop);
	mesh_free(fake.mesh);
	loop_timer_stop(fake.loop, &fake.timer);
	loop_free(fake.loop);
	for (size_t i = 0; i < fake.n_changes; i++)
		free(fake.changes[i].packed);
	return 0;
}
