/* SPDX-License-Identifier: Apache-2.0 */
/* See cluster.h. Each process is the daemon's own main in short: loop, start, run. */
#include "tests/sim/cluster.h"

#include "common/alloc.h"
#include "tests/scratch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cluster cluster;
enum cluster_bug cluster_bug;

const char *cluster_bug_name(enum cluster_bug bug)
{
	static const char *const names[CLUSTER_BUGS] = {
		[BUG_NONE] = "none",
		[BUG_COMMIT_EARLY] = "commit-early",
		[BUG_TRUST_CALL] = "trust-call",
		[BUG_FAIL_ON_SILENCE] = "fail-on-silence",
		[BUG_FORGET_JOURNAL] = "forget-journal",
		[BUG_FORGET_LEASE] = "forget-lease",
		[BUG_BOOK_TWICE] = "book-twice",
	};

	return names[bug];
}

void cluster_violated(const char *format, ...)
{
	va_list arguments;

	if (cluster.violation[0])
		return;
	va_start(arguments, format);
	vsnprintf(cluster.violation, sizeof(cluster.violation), format, arguments);
	va_end(arguments);
	world_say("VIOLATION: %s", cluster.violation);
}

struct cluster_guest *cluster_find_guest(const char *uuid)
{
	for (size_t i = 0; i < cluster.n_guests; i++) {
		if (strcmp(cluster.guests[i].uuid, uuid) == 0)
			return &cluster.guests[i];
	}
	return NULL;
}

const char *cluster_get_name(const char *uuid)
{
	const struct cluster_guest *g = cluster_find_guest(uuid);

	return g ? g->name : "a stranger";
}

struct fake_copy *cluster_find_copy(const struct cluster_host *h, const char *uuid)
{
	return fake_host_find_copy_locked(fake_world_get_host_locked(cluster.world, h->name), uuid);
}

uint64_t cluster_get_memory(const char *uuid)
{
	const struct vm_description *d =
		&fake_world_get_guest_locked(cluster.world, uuid)->description;

	return d->summary.memory_bytes + d->overhead_bytes;
}

/* --- tunnels: the fake hypervisor needs none --- */

static int pretend_spawn(const struct tunnel_options *o, struct tunnel *ret,
                         struct tunnel_status *ret_status, struct error *err)
{
	(void)err;
	fiber_sleep(1000 + world_draw(30000));
	memset(ret_status, 0, sizeof(*ret_status));
	ret_status->port = 40123;
	ret_status->state = TUNNEL_LISTENING;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->status_path, sizeof(ret->status_path), "%s", o->status_path);
	return 0;
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
	(void)err;
	fiber_sleep(1000 + world_draw(30000));
	return 0;
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
	return 0; /* what the network then does to the move is the hypervisor's */
}

static const struct tunnel_ops tunnels = {
	.probe = pretend_probe,
	.spawn = pretend_spawn,
	.read_status = pretend_status,
	.stop = pretend_stop,
	.control_socket = fake_socket,
};

/* --- agents --- */

static void *agent_main(void *argument)
{
	static const struct mesh_options plain = { 0 };
	struct cluster_host *h = argument;
	struct agent_options o = {
		.settings = &h->settings,
		.loop = loop_new(),
		.tunnels = &tunnels,
		.mesh_override = &plain,
	};
	struct agent *agent;
	struct error err;

	o.hypervisor = h->hypervisor = cluster_hands_new(h);
	if (agent_start(&o, &agent, &err) < 0) {
		cluster_violated("agent %s does not start: %s", h->name, err.text);
		return NULL;
	}
	h->agent = agent;
	loop_run(o.loop);
	return NULL;
}

void cluster_start_agent(struct cluster_host *h)
{
	char name[32];

	snprintf(name, sizeof(name), "%s", h->name);
	h->process = process_new(name, h->number);
	process_start(h->process, agent_main, h);
}

void cluster_crash_agent(struct cluster_host *h)
{
	if (!h->process)
		return;
	process_kill(h->process);
	h->process = NULL;
	h->agent = NULL;
	h->crashes++;
	cluster_hands_drop(h);
}

static void fill_agent_settings(struct cluster_host *h)
{
	struct agent_settings *s = &h->settings;

	s->node = xstrdup(h->name);
	s->cluster = xstrdup("sim");
	s->run_dir = xasprintf("%s/run-%s", cluster.directory, h->name);
	s->state_dir = xasprintf("%s/state-%s", cluster.directory, h->name);
	s->listen = xasprintf("inproc://%s", h->name);
	for (unsigned i = 0; i < LEADERS; i++)
		s->coordinators.items[s->coordinators.count++] = xstrdup(leader_url(i));
	s->migration_address = xstrdup("127.0.0.1");
	s->migration_interface = xstrdup("lo");
	s->port_first = 26152;
	s->port_last = 26153;
}

/* --- the world --- */

/* The fake hypervisors' time is this world's. While nothing moves there and nobody waits, seldom. */
static void advance(void *context)
{
	uint64_t ms = 500;

	if (cluster.world->moves)
		ms = FAKE_STEP_MS * (1 + world_draw(5));
	for (const struct fake_host *h = cluster.world->hosts; h && ms == 500; h = h->next) {
		if (h->libvirtd != FAKE_LIBVIRTD_UP)
			ms = 100;
	}
	fake_world_advance(cluster.world, ms);
	world_after(ms * 1000, advance, context);
}

static void add_guests(void)
{
	static const uint64_t sizes_mib[] = { 64, 128, 256, 512 };

	cluster.n_guests = 2 + world_draw(CLUSTER_GUESTS - 1);
	for (size_t i = 0; i < cluster.n_guests; i++) {
		struct cluster_guest *g = &cluster.guests[i];
		struct fake_guest_settings s = {
			.name = g->name,
			.memory_bytes = sizes_mib[world_draw(4)] << 20,
			.persistent = world_chance(600),
			.autostart = world_chance(200),
			.dirty_bytes_per_s = world_draw(3) * 5000000,
		};

		snprintf(g->name, sizeof(g->name), "vm%zu", i + 1);
		s.autostart = s.autostart && s.persistent;
		fake_world_add_guest(cluster.world, cluster.hosts[i % CLUSTER_HOSTS].name, &s,
		                     g->uuid);
	}
}

/* Room is scarce: what the fullest host has now, and a guest more or none. */
static void set_capacities(void)
{
	uint64_t used[CLUSTER_HOSTS] = { 0 }, most = 0, spare = world_draw(768) << 20;

	for (size_t i = 0; i < cluster.n_guests; i++) {
		uint64_t *here = &used[i % CLUSTER_HOSTS];

		*here += cluster_get_memory(cluster.guests[i].uuid);
		most = *here > most ? *here : most;
	}
	for (size_t i = 0; i < CLUSTER_HOSTS; i++)
		cluster.hosts[i].settings.memory_capacity_bytes = most + spare;
}

void cluster_begin(uint64_t seed, bool faults)
{
	world_begin(seed);
	memset(&cluster, 0, sizeof(cluster));
	cluster.seed = seed;
	cluster.faults = faults;
	disk_forgets = cluster_bug == BUG_FORGET_JOURNAL;
	snprintf(cluster.directory, sizeof(cluster.directory), "/tmp/drover-sim-XXXXXX");
	if (!mkdtemp(cluster.directory))
		abort();
	cluster.world = fake_world_new();
	leaders_begin(CLUSTER_HOSTS, cluster_violated);
	for (unsigned i = 0; i < CLUSTER_HOSTS; i++) {
		struct cluster_host *h = &cluster.hosts[i];

		snprintf(h->name, sizeof(h->name), "host%u", i + 1);
		h->number = i;
		fill_agent_settings(h);
		fake_world_add_host(cluster.world,
		                    &(struct fake_host_settings){ .name = h->name,
		                                                  .memory_bytes = 4ULL << 30,
		                                                  .keepalive_timeout_ms = 15000 });
	}
	add_guests();
	set_capacities();
	cluster_check_begin();
	world_after(1, advance, NULL);
	leader_start(0);
	for (unsigned i = 0; i < CLUSTER_HOSTS; i++)
		cluster_start_agent(&cluster.hosts[i]);
	cluster_faults_start();
}

void cluster_end(void)
{
	leaders_end();
	for (unsigned i = 0; i < CLUSTER_HOSTS; i++) {
		cluster_crash_agent(&cluster.hosts[i]);
		agent_settings_deinit(&cluster.hosts[i].settings);
	}
	cluster_hands_end();
	fake_world_free(cluster.world);
	scratch_remove(cluster.directory);
	world_end();
}
