/* SPDX-License-Identifier: Apache-2.0 */
/* See leaders.h. Each is the daemon's own main in short: store, loop, start, run. */
#include "tests/sim/leaders.h"

#include "common/alloc.h"
#include "coordinator/coordinator.h"
#include "tests/sim/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAINS_MAX 1024

struct leader {
	unsigned number, host;
	char name[16], url[32];
	struct coordinator_settings settings;
	struct process *process; /* NULL: does not run */
	struct coordinator *coordinator;
	bool wanted;
};

static struct leader leaders[LEADERS];
static struct store_memory_disk *store;
static bool completed[DRAINS_MAX];
static void (*violated)(const char *format, ...);

static void again(void *context)
{
	leader_start_again(((struct leader *)context)->number);
}

static void bury(void *context)
{
	struct leader *l = context;

	leader_crash(l->number);
	world_after(1000000 + world_draw(2000000), again, l);
}

static void *leader_main(void *argument)
{
	static const struct mesh_options plain = { 0 };
	struct leader *l = argument;
	struct store_contents contents = { 0 };
	struct coordinator_options o = {
		.settings = &l->settings,
		.settings_path = "simulated",
		.loop = loop_new(),
		.contents = &contents,
		.mesh_override = &plain,
	};
	struct coordinator *coordinator;
	struct error err;

	store_memory_disk_unlock(store);
	if (store_memory_open(store, &o.store, &err) < 0 ||
	    store_load(o.store, &contents, &err) < 0 ||
	    coordinator_start(&o, &coordinator, &err) < 0) {
		violated("coordinator %s does not start: %s", l->name, err.text);
		return NULL;
	}
	store_contents_deinit(&contents);
	l->coordinator = coordinator;
	loop_run(o.loop);
	world_say("coordinator %s ends: %s", l->name, coordinator->fatal.text);
	l->coordinator = NULL;
	world_after(1, bury, l);
	fiber_park(WORLD_NEVER);
	return NULL;
}

const char *leader_url(unsigned i)
{
	return leaders[i].url;
}

bool leader_is_alive(unsigned i)
{
	return leaders[i].process;
}

void leader_start(unsigned i)
{
	struct leader *l = &leaders[i];

	l->wanted = true;
	if (l->process)
		return;
	l->process = process_new(l->name, l->host);
	process_start(l->process, leader_main, l);
}

void leader_start_again(unsigned i)
{
	if (leaders[i].wanted)
		leader_start(i);
}

void leader_crash(unsigned i)
{
	struct leader *l = &leaders[i];

	if (!l->process)
		return;
	process_kill(l->process);
	l->process = NULL;
	l->coordinator = NULL;
}

void leader_pause(unsigned i, uint64_t us)
{
	if (leaders[i].process)
		process_pause(leaders[i].process, us);
}

void leader_retire(unsigned i)
{
	leaders[i].wanted = false;
	leader_crash(i);
}

void leaders_begin(unsigned first_host, void (*when_violated)(const char *format, ...))
{
	memset(leaders, 0, sizeof(leaders));
	memset(completed, 0, sizeof(completed));
	violated = when_violated;
	store = store_memory_disk_new();
	for (unsigned i = 0; i < LEADERS; i++) {
		struct leader *l = &leaders[i];
		struct coordinator_settings *s = &l->settings;

		l->number = i;
		l->host = first_host + i;
		snprintf(l->name, sizeof(l->name), "c%u", i + 1);
		snprintf(l->url, sizeof(l->url), "inproc://c%u", i + 1);
		s->name = xstrdup(l->name);
		s->cluster = xstrdup("sim");
		s->listen.items[s->listen.count++] = xstrdup(l->url);
		s->migrations_per_cluster = 5;
		s->outbound_per_node = 2;
		s->preparing_per_node = 1;
		s->inbound_per_node = 2;
		s->completion_timeout_per_gib_ms = 800000;
		s->progress_timeout_ms = 150000;
		s->max_downtime_ms = 300;
	}
}

void leaders_end(void)
{
	for (unsigned i = 0; i < LEADERS; i++) {
		leader_retire(i);
		coordinator_settings_deinit(&leaders[i].settings);
	}
}

/* NULL if none runs. */
static const struct fleet *find_leader(void)
{
	const struct fleet *best = NULL;

	for (unsigned i = 0; i < LEADERS; i++) {
		const struct fleet *f = leaders[i].coordinator ? leaders[i].coordinator->fleet
		                                               : NULL;

		if (f && !f->stopped && (!best || f->epoch > best->epoch))
			best = f;
	}
	return best;
}

bool leaders_find_unsettled(bool (*lost)(const char *uuid), char *ret, size_t bytes)
{
	const struct fleet *f = find_leader();

	if (!f || !f->loaded) {
		snprintf(ret, bytes, "no coordinator leads");
		return true;
	}
	for (struct migration *m = f->active; m; m = m->next_active) {
		/* One that waits for a place says so, and is looked at for ever (I4). */
		if (m->kept.state == MIGRATION_PLANNED && m->kept.reason[0])
			continue;
		if (m->kept.state == MIGRATION_UNRESOLVED && lost(m->kept.vm_uuid))
			continue;
		snprintf(ret, bytes, "migration/%llu of %s is %s: %s",
		         (unsigned long long)m->kept.number, m->kept.vm_name,
		         migration_state_name(m->kept.state), m->kept.reason);
		return true;
	}
	return false;
}

const char *leaders_next_completed(void)
{
	const struct fleet *f = find_leader();

	for (struct drain *d = f ? f->drains : NULL; d; d = d->hh.next) {
		if (d->kept.state != DRAIN_COMPLETED || d->kept.number >= DRAINS_MAX ||
		    completed[d->kept.number])
			continue;
		completed[d->kept.number] = true;
		return d->kept.node;
	}
	return NULL;
}
