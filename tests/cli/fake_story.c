/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/cli/fake_story.h. */
#include "tests/cli/fake_story.h"

#include "common/alloc.h"
#include "common/units.h"
#include "tests/cli/fake_words.h"

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
	struct loop_timer timer;
	struct recorded changes[CHANGES_MAX];
	size_t n_changes;
	struct watcher watchers[WATCHERS_MAX];
	unsigned step;   /* of the one story that runs */
	uint64_t drain;  /* its drain, 0 = none */
	uint64_t single; /* or its migration */
	bool dropped;
} fake;

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

bool fake_shut_down;

void fake_drain_fill(struct fake_drain *d, uint64_t number, const char *state)
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
	if (fake_shut_down) {
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

void fake_blocker_fill(Drover__V1__Check *blocker)
{
	blocker->id = S("vm/build7");
	blocker->verdict = DROVER__V1__CHECK__VERDICT__BLOCK;
	blocker->reason = S("HostDeviceNotLiveMigratable");
	blocker->measured = S("PCI 0000:3b:00.0");
	blocker->remedy = S("--leave build7, or --shutdown build7");
}

static void tell_drain(const char *state, bool tell)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;
	struct fake_drain d;

	fake_drain_fill(&d, fake.drain, state);
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
			tell_drain(partly && !fake_shut_down ? "partly" : "completed", tell);
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

static void watcher_gone(void *context)
{
	struct watcher *w = context;

	w->in = NULL;
	fake_say("unwatched");
}

void fake_watch(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
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
	fake_say(line);
}

void fake_story_drain(uint64_t number)
{
	if (fake.drain == number)
		return;
	fake.drain = number;
	fake.single = 0;
	fake.step = 1;
	tell_drain("running", true);
}

void fake_story_move(uint64_t number, const char *name)
{
	fake.drain = 0;
	fake.single = number;
	fake.step = 1;
	tell_migration(number, name, DROVER__V1__MIGRATION_STATE__RUNNING, 5, true);
}

void fake_story_start(struct loop *loop)
{
	fake.loop = loop;
	fake.timer = (struct loop_timer){ .fire = tick };
	loop_timer_start(fake.loop, &fake.timer, STEP_MS);
}

void fake_story_stop(void)
{
	loop_timer_stop(fake.loop, &fake.timer);
	for (size_t i = 0; i < fake.n_changes; i++)
		free(fake.changes[i].packed);
}
