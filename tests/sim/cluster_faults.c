/* SPDX-License-Identifier: Apache-2.0 */
/* See cluster.h. Chance as the enemy: every few hundred milliseconds something breaks, and most of it
 * is whole again later. Beside it an operator asks for drains and moves. */
#include "tests/sim/cluster.h"

#include "common/alloc.h"
#include "proto/coordinator.pb-c.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAL_US     (2000000 + world_draw(25000000))
#define MS          ((uint64_t)1000)
#define S           ((uint64_t)1000000)
#define LINK_NORMAL (125 * 1000 * 1000)

static struct cluster_host *any_host(void)
{
	return &cluster.hosts[world_draw(CLUSTER_HOSTS)];
}

static struct cluster_guest *any_guest(void)
{
	return &cluster.guests[world_draw(cluster.n_guests)];
}

/* --- processes --- */

static void agent_again(void *context)
{
	struct cluster_host *h = context;

	if (!h->process)
		cluster_start_agent(h);
}

static void crash_agent(void)
{
	struct cluster_host *h = any_host();

	if (!h->process)
		return;
	world_say("agent %s is killed", h->name);
	cluster_crash_agent(h);
	world_after(100 * MS + world_draw(8 * S), agent_again, h);
}

static void pause_agent(void)
{
	struct cluster_host *h = any_host();
	uint64_t us = world_draw(45 * S);

	if (!h->process)
		return;
	world_say("agent %s is stopped for %llu ms", h->name, (unsigned long long)us / 1000);
	process_pause(h->process, us);
}

static void leader_again(void *context)
{
	leader_start_again(*(unsigned *)context);
}

static unsigned any_leader(void)
{
	return (unsigned)world_draw(LEADERS);
}

static void crash_leader(void)
{
	static unsigned numbers[LEADERS] = { 0, 1 };
	unsigned i = any_leader();

	if (!leader_is_alive(i))
		return;
	world_say("coordinator c%u is killed", i + 1);
	leader_crash(i);
	world_after(100 * MS + world_draw(8 * S), leader_again, &numbers[i]);
}

/* The old one stands still, does not know that it was replaced, and goes on later. */
static void replace_leader(void)
{
	unsigned old = any_leader();

	if (!leader_is_alive(old) || leader_is_alive(!old))
		return;
	world_say("coordinator c%u stands still, the other takes over", old + 1);
	if (world_chance(700))
		leader_pause(old, world_draw(30 * S));
	leader_start(!old);
}

/* --- networks --- */

struct cut {
	unsigned a, b;
};

static void mend(void *context)
{
	struct cut *cut = context;

	net_cut(cut->a, cut->b, false);
	free(cut);
}

static void cut_network(void)
{
	unsigned all = CLUSTER_HOSTS + LEADERS;
	struct cut *cut = xnew(struct cut);

	cut->a = (unsigned)world_draw(all);
	cut->b = (unsigned)((cut->a + 1 + world_draw(all - 1)) % all);
	world_say("nothing passes between machines %u and %u", cut->a, cut->b);
	net_cut(cut->a, cut->b, true);
	world_after(HEAL_US, mend, cut);
}

static void mend_migration_network(void *context)
{
	fake_world_set_link(cluster.world, ((struct cluster_host *)context)->name, LINK_NORMAL);
}

static void cut_migration_network(void)
{
	struct cluster_host *h = any_host();

	world_say("the migration network of %s is %s", h->name, "dead");
	fake_world_set_link(cluster.world, h->name, 0);
	world_after(HEAL_US, mend_migration_network, h);
}

static void mend_control(void *context)
{
	fake_world_set_control(cluster.world, ((struct cluster_host *)context)->name, true);
}

static void cut_control(void)
{
	struct cluster_host *h = any_host();

	world_say("no tunnel reaches %s", h->name);
	fake_world_set_control(cluster.world, h->name, false);
	world_after(HEAL_US, mend_control, h);
}

/* --- hypervisors --- */

static void libvirtd_again(void *context)
{
	fake_world_set_libvirtd(cluster.world, ((struct cluster_host *)context)->name,
	                        FAKE_LIBVIRTD_UP);
}

static void stop_libvirtd(void)
{
	struct cluster_host *h = any_host();
	bool hung = world_chance(500);

	world_say("libvirtd of %s is %s", h->name, hung ? "hung" : "killed");
	fake_world_set_libvirtd(cluster.world, h->name,
	                        hung ? FAKE_LIBVIRTD_HUNG : FAKE_LIBVIRTD_DOWN);
	world_after(200 * MS + world_draw(12 * S), libvirtd_again, h);
}

static void break_move(void)
{
	static const enum fake_fault kinds[] = { FAKE_FAULT_PREPARE,      FAKE_FAULT_TARGET_DIES,
		                                 FAKE_FAULT_SOURCE_DIES,  FAKE_FAULT_FINISH_REPLY,
		                                 FAKE_FAULT_FINISH_REPLY, FAKE_FAULT_SUCCESS_LOST };
	struct cluster_guest *g = any_guest();
	enum fake_fault kind = kinds[world_draw(ARRAY_SIZE(kinds))];

	world_say("the next move of %s has fault %d", g->name, (int)kind);
	if (kind == FAKE_FAULT_SOURCE_DIES || kind == FAKE_FAULT_SUCCESS_LOST) {
		g->touched_us = world_now_us();
		g->killed = true;
	}
	fake_world_inject(cluster.world, g->uuid, kind);
}

/* --- people --- */

static void switch_off_guest(void)
{
	struct cluster_guest *g = any_guest();
	struct cluster_host *h = any_host();
	struct fake_copy *copy = cluster_find_copy(h, g->uuid);

	if (!copy || copy->state == VM_SHUTOFF)
		return;
	world_say("somebody kills the QEMU of %s on %s", g->name, h->name);
	g->touched_us = world_now_us();
	g->killed = true;
	fake_world_kill_guest(cluster.world, h->name, g->uuid);
}

static void suspend_guest(void)
{
	struct cluster_guest *g = any_guest();
	struct cluster_host *h = any_host();
	struct fake_copy *copy = cluster_find_copy(h, g->uuid);

	if (!copy || copy->state != VM_RUNNING || copy->host->libvirtd != FAKE_LIBVIRTD_UP)
		return;
	world_say("somebody suspends %s on %s", g->name, h->name);
	g->touched_us = world_now_us();
	g->paused_by_hand = true;
	fake_copy_set_locked(cluster.world, copy, VM_PAUSED, VM_PAUSE_USER, "user");
}

static void disk_room_again(void *context)
{
	disk_set_full(((struct cluster_host *)context)->number, false);
}

static void fill_disk(void)
{
	struct cluster_host *h = any_host();

	world_say("the disk of %s is full", h->name);
	disk_set_full(h->number, true);
	world_after(HEAL_US, disk_room_again, h);
}

/* A guest started by hand needs half of the host. */
static void eat_memory(void)
{
	static unsigned number;
	struct cluster_host *h = any_host();
	char name[32];

	if (h->eaten)
		return;
	h->eaten = true;
	world_say("somebody starts a guest of 1 GiB on %s", h->name);
	snprintf(name, sizeof(name), "stranger%u-%s", number, h->name);
	fake_world_add_guest(
		cluster.world, h->name,
		&(struct fake_guest_settings){ .name = name, .memory_bytes = 1ULL << 30 }, NULL);
}

/* --- the dice --- */

static const struct {
	void (*happen)(void);
	unsigned weight;
} faults[] = {
	{ crash_agent, 12 },     { pause_agent, 6 },   { crash_leader, 6 },
	{ replace_leader, 4 },   { cut_network, 10 },  { cut_migration_network, 6 },
	{ cut_control, 8 },      { stop_libvirtd, 8 }, { break_move, 14 },
	{ switch_off_guest, 2 }, { suspend_guest, 3 }, { fill_disk, 3 },
};

static void fault(void *context)
{
	unsigned total = 0, at;

	(void)context;
	if (cluster.quiet)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		total += faults[i].weight;
	at = (unsigned)world_draw(total);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (at < faults[i].weight) {
			cluster.faults_made++;
			faults[i].happen();
			break;
		}
		at -= faults[i].weight;
	}
	world_after(200 * MS + world_draw(5 * S), fault, NULL);
}

/* --- the operator --- */

struct operator
{
	struct loop *loop;
	struct mesh *mesh;
	struct mesh_dialer *dialers[LEADERS];
	struct loop_timer timer;
};

static struct operator operator_state;

static void answered(const struct mesh_result *result, void *context)
{
	(void)context;
	if (result->status != MESH_OK)
		world_say("the operator hears: %s", result->error.text);
}

static void ask_drain(struct mesh_connection *c, const char *node)
{
	Drover__V1__DrainRequest r = DROVER__V1__DRAIN_REQUEST__INIT;
	struct id id = id_new();

	world_say("operator: drain %s", node);
	r.node = (char *)node;
	r.reason = (char *)"simulated";
	r.request_id.data = id.bytes;
	r.request_id.len = ID_BYTES;
	mesh_call(c, "drover.v1.Coordinator/Drain", &r.base, 10000, answered, NULL);
}

static void ask_undrain(struct mesh_connection *c, const char *node)
{
	Drover__V1__NodeRequest r = DROVER__V1__NODE_REQUEST__INIT;

	world_say("operator: undrain %s", node);
	r.node = (char *)node;
	mesh_call(c, "drover.v1.Coordinator/Undrain", &r.base, 10000, answered, NULL);
}

static void ask_migrate(struct mesh_connection *c, const char *vm)
{
	Drover__V1__MigrateRequest r = DROVER__V1__MIGRATE_REQUEST__INIT;
	struct id id = id_new();

	world_say("operator: migrate %s", vm);
	r.vm = (char *)vm;
	r.request_id.data = id.bytes;
	r.request_id.len = ID_BYTES;
	mesh_call(c, "drover.v1.Coordinator/Migrate", &r.base, 10000, answered, NULL);
}

static void ask_cancel(struct mesh_connection *c, const char *vm)
{
	Drover__V1__CancelRequest r = DROVER__V1__CANCEL_REQUEST__INIT;

	world_say("operator: cancel what moves %s", vm);
	r.kind = (char *)"vm";
	r.name = (char *)vm;
	mesh_call(c, "drover.v1.Coordinator/Cancel", &r.base, 10000, answered, NULL);
}

static void act(void *context)
{
	struct operator* o = context;
	struct mesh_connection *c = NULL;
	uint64_t what = world_draw(100);

	for (size_t i = 0; i < LEADERS && !c; i++)
		c = mesh_dialer_find_connection(o->dialers[i]);
	loop_timer_start(o->loop, &o->timer, cluster.quiet ? 5000 : 1000 + world_draw(8000));
	if (!c)
		return;
	/* At the end nothing new is asked, and drained hosts are given back, so that all can end. */
	if (cluster.quiet) {
		if (what < 50)
			ask_undrain(c, any_host()->name);
	} else if (what < 40) {
		ask_migrate(c, any_guest()->name);
	} else if (what < 70) {
		ask_drain(c, any_host()->name);
	} else if (what < 92) {
		ask_undrain(c, any_host()->name);
	} else {
		ask_cancel(c, any_guest()->name);
	}
}

static void *operator_main(void *argument)
{
	struct operator* o = argument;
	struct mesh_options options = { .role = MESH_ROLE_ADMIN,
		                        .name = "operator",
		                        .cluster = "sim" };
	struct error err;

	options.loop = o->loop = loop_new();
	o->mesh = mesh_new(&options, &err);
	assert(o->mesh);
	for (unsigned i = 0; i < LEADERS; i++)
		o->dialers[i] = mesh_dial(o->mesh, leader_url(i), MESH_ROLE_COORDINATOR, NULL);
	o->timer.fire = act;
	o->timer.context = o;
	loop_timer_start(o->loop, &o->timer, 5000);
	loop_run(o->loop);
	return NULL;
}

/* --- from when to when --- */

static void begin(void *context)
{
	(void)context;
	net_faults.slow_per_mille = (unsigned)world_draw(60);
	net_faults.reset_per_mille = (unsigned)world_draw(6);
	disk_faults.slow_per_mille = (unsigned)world_draw(60);
	fault(NULL);
}

void cluster_faults_start(void)
{
	operator_state = (struct operator){ 0 };
	process_start(process_new("operator", CLUSTER_HOSTS + LEADERS), operator_main,
	              &operator_state);
	if (cluster.faults && world_chance(300))
		eat_memory();
	if (cluster.faults)
		world_after(5 * S, begin, NULL);
}

void cluster_faults_stop(void)
{
	world_say("--- no more faults ---");
	cluster.quiet = true;
	net_faults = (struct net_faults){ 0 };
	disk_faults = (struct disk_faults){ 0 };
	net_heal();
	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		struct cluster_host *h = &cluster.hosts[i];

		mend_migration_network(h);
		mend_control(h);
		libvirtd_again(h);
		disk_room_again(h);
		if (h->process)
			h->process->paused_until_us = 0;
		else
			cluster_start_agent(h);
	}
	for (size_t i = 0; i < cluster.n_guests; i++)
		fake_world_inject(cluster.world, cluster.guests[i].uuid, FAKE_FAULT_NONE);
	/* One coordinator remains. */
	leader_retire(1);
	leader_pause(0, 0);
	leader_start(0);
}
