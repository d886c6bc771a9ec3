/* SPDX-License-Identifier: Apache-2.0 */
/* See agent.h. Here: start and stop, libvirt's events, the tick of a second.
 *
 * Order of the start: journal, inventory, adoption of what is under way, and the mesh last, so that
 * nobody can ask before we know what we are in the middle of. Stopping is the other way round. */
#include "agent/agent.h"

#include "agent/fence.h"
#include "agent/garbage/garbage.h"
#include "agent/garbage/tunnel_records.h"
#include "agent/host/guest_traffic.h"
#include "agent/host/offers.h"
#include "agent/host/power.h"
#include "agent/host/start_block.h"
#include "agent/link/migration_link.h"
#include "agent/link/probe.h"
#include "agent/mark.h"
#include "agent/source/source.h"
#include "agent/target/target.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/epoch.h"
#include "common/log.h"
#include "proto/audit/audit.h"
#include "proto/mesh/reflection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COURIERS 4 /* short questions at a time */
/* Of an orderly stop, for short questions that libvirt does not answer. */
#define STOP_WAIT_MS         5000
#define RELIST_SECONDS       5
#define KERNEL_FACTS_SECONDS 60

const struct tunnel_ops tunnel_processes = {
	.spawn = tunnel_spawn,
	.read_status = tunnel_read_status,
	.stop = tunnel_stop,
	.probe = migration_link_probe,
	.cut = migration_link_cut,
};

int agent_see_epoch(struct agent *agent, uint64_t epoch, struct error *err)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_EPOCH, .epoch = epoch };

	if (epoch > EPOCH_MAX)
		return error_set(err, ERROR_INVALID,
		                 "epoch %llu is no coordinator's: they count their starts, and the "
		                 "highest is %llu",
		                 (unsigned long long)epoch, (unsigned long long)EPOCH_MAX);
	if (epoch < agent->highest_epoch || epoch == 0)
		return error_set(
			err, ERROR_STALE,
			"epoch %llu is over: %s has obeyed epoch %llu; another coordinator "
			"leads now",
			(unsigned long long)epoch, agent->settings->node,
			(unsigned long long)agent->highest_epoch);
	if (epoch > agent->highest_epoch) {
		agent->highest_epoch = epoch;
		reservations_see_epoch(agent->reservations, epoch);
		/* In order before anything that this epoch asks to be written. */
		journal_keeper_write(agent->journal, &w, NULL, NULL);
	}
	return 0;
}

int agent_check_speaker(const struct mesh_incoming *in, const char *node, struct error *err)
{
	const struct mesh_identity *who = mesh_incoming_get_identity(in);

	if (who->role == MESH_ROLE_AGENT && strcmp(who->name, node) != 0)
		return error_set(err, ERROR_PERMISSION,
		                 "agent %s speaks for %s; an agent speaks for its own node only",
		                 who->name, node);
	return 0;
}

/* --- libvirt --- */

struct hypervisor_message {
	struct message message;
	struct agent *agent;
	struct hypervisor_event event;
};

static void vm_changed(const struct inventory_vm *vm, void *context)
{
	watchers_vm(context, vm);
}

/* Something new is known of how it writes. */
static void vm_measured(const char *uuid, void *context)
{
	struct agent *agent = context;
	const struct inventory_vm *vm = inventory_find(&agent->inventory, uuid);

	if (vm && !agent->stopping)
		watchers_vm(agent, vm);
}

/* A move of ours, from its order to its last word. */
static bool vm_moves(const char *uuid, void *context)
{
	return source_find_vm(context, uuid) != NULL;
}

static void vm_gone(const char *uuid, void *context)
{
	watchers_vm_gone(context, uuid);
}

static void inventory_settled(void *context)
{
	struct agent *agent = context;

	target_guests_listed(agent);
	power_guests_listed(agent);
	mark_guests_listed(agent);
	if (agent->inventory_was_valid != agent->inventory.valid) {
		agent->inventory_was_valid = agent->inventory.valid;
		if (!agent->inventory.valid)
			log_warning("libvirt: %s", agent->inventory.problem.text);
		watchers_reset(agent);
	} else {
		watchers_host(agent);
	}
}

static void handle_event(struct agent *agent, const struct hypervisor_event *e)
{
	switch (e->kind) {
	case HYPERVISOR_CONNECTED:
		log_info("connected to libvirt");
		inventory_refresh(&agent->inventory);
		break;
	case HYPERVISOR_DISCONNECTED:
		inventory_lost(&agent->inventory, &e->error);
		break;
	case HYPERVISOR_VM_CHANGED:
		inventory_refresh(&agent->inventory);
		if (e->runs)
			target_guest_runs(agent, e->uuid);
		source_vm_event(agent, e);
		break;
	case HYPERVISOR_ITERATION:
	case HYPERVISOR_JOB_COMPLETED:
		source_vm_event(agent, e);
		break;
	}
}

static void run_event(struct message *m)
{
	struct hypervisor_message *h = (struct hypervisor_message *)m;

	if (!h->agent->stopping)
		handle_event(h->agent, &h->event);
	free(h);
}

/* Courier thread. */
static void hypervisor_event(const struct hypervisor_event *e, void *context)
{
	struct agent *agent = context;
	struct hypervisor_message *h = xnew(struct hypervisor_message);

	h->message.run = run_event;
	h->agent = agent;
	h->event = *e;
	loop_post(agent->loop, &h->message);
}

/* --- host facts --- */

struct facts_errand {
	struct errand errand;
	struct agent *agent;
	struct host_facts facts;
	int rc;
	struct error error;
};

static void facts_work(struct errand *e)
{
	struct facts_errand *f = (struct facts_errand *)e;

	f->rc = f->agent->hypervisor->ops->host_facts(f->agent->hypervisor, &f->facts, &f->error);
}

static void facts_done(struct errand *e)
{
	struct facts_errand *f = (struct facts_errand *)e;

	if (f->rc == 0) {
		if (!f->agent->facts_known)
			f->agent->oom_kills_at_start = f->facts.oom_kills;
		f->agent->facts = f->facts;
		f->agent->facts_known = true;
	}
	target_judge_figures(f->agent, &f->facts, f->rc < 0 ? &f->error : NULL);
	free(f);
}

static void ask_facts(struct agent *agent)
{
	struct facts_errand *f = xnew(struct facts_errand);

	f->errand.work = facts_work;
	f->errand.done = facts_done;
	f->agent = agent;
	courier_send(agent->couriers, &f->errand);
}

/* --- the second --- */

void agent_read_traffic(struct agent *agent)
{
	struct traffic_sample *sample;
	struct error err;

	if (!agent->traffic)
		return;
	sample = xnew(struct traffic_sample);
	if (traffic_read(agent->traffic, sample, &err) == 0)
		bandwidth_update(&agent->bandwidth, sample);
	else if (agent->seconds % 60 == 0)
		log_warning("traffic counters: %s", err.text);
	free(sample);
}

static void second(void *context)
{
	struct agent *agent = context;

	loop_timer_start(agent->loop, &agent->second, 1000);
	agent->seconds++;
	agent_read_traffic(agent);
	source_traffic_tick(agent);
	guest_traffic_tick(&agent->inventory, agent->traffic, clock_now_ns());
	paths_tick(agent);
	target_tick(agent);
	target_settle_fenced(agent);
	start_block_update(agent);
	dirty_rates_tick(agent->dirty_rates, &agent->inventory, vm_moves, agent, clock_now_ms());
	if (agent->seconds % RELIST_SECONDS == 0)
		inventory_refresh(&agent->inventory);
	if (!agent->facts_known || agent->seconds % KERNEL_FACTS_SECONDS == 0)
		ask_facts(agent);
	offers_tick(agent);
	watchers_host(agent);
}

/* --- start and stop --- */

static void connected(struct mesh_connection *c, void *context)
{
	struct agent *agent = context;

	if (mesh_connection_get_identity(c)->role == MESH_ROLE_COORDINATOR)
		coordinators_connected(agent, c);
}

static void disconnected(struct mesh_connection *c, const struct error *why, void *context)
{
	const struct mesh_identity *who = mesh_connection_get_identity(c);
	struct agent *agent = context;

	if (who->role == MESH_ROLE_COORDINATOR && !agent->draining && !agent->stopping &&
	    !coordinators_find_connection(agent))
		log_warning("coordinator %s is gone: %s", who->name, why->text);
}

static int make_directories(const struct agent_settings *s, struct error *err)
{
	const char *const below[] = { "", "/attempts", "/inbound" };

	for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
		char *path = xasprintf("%s%s", s->run_dir, below[i]);

		if (mkdir(path, 0755) < 0 && errno != EEXIST) {
			error_set_errno(err, ERROR_SYSTEM, errno, "creating %s (run_dir)", path);
			free(path);
			return -ERROR_SYSTEM;
		}
		free(path);
	}
	if (mkdir(s->state_dir, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_SYSTEM, errno, "creating %s (state_dir)",
		                       s->state_dir);
	return 0;
}

/* What a real device says of its link, in bytes per second. Virtual ones (veth, tap, virtio: no
 * device below, or no sense in its figure) claim 10 Gbit/s whatever the truth is: 0, unknown. */
static uint64_t device_speed(const char *interface)
{
	char path[128], driver[256] = "";
	FILE *file;
	long megabits = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/driver", interface);
	n = readlink(path, driver, sizeof(driver) - 1);
	if (n < 0 || strstr(driver, "virtio"))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%s/speed", interface);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%ld", &megabits) != 1 || megabits < 0)
		megabits = 0;
	fclose(file);
	return (uint64_t)megabits * 1000000 / 8;
}

/* What goes over these proves nothing of the migration network, but shows what goes elsewhere. */
static void watch_interface(struct agent *agent, const char *name)
{
	const struct error *limit;
	struct error err;

	if (traffic_watch_interface(agent->traffic, name, &err) < 0) {
		log_warning("no bandwidth is measured on %s: %s", name, err.text);
		return;
	}
	limit = traffic_find_limit(agent->traffic, name);
	/* What is so for all was said once. */
	if (limit && limit->code != ERROR_NONE &&
	    traffic_get_limit(agent->traffic)->code == ERROR_NONE)
		log_warning("%s is not measured by eBPF at its best: %s", name, limit->text);
}

static void open_traffic(struct agent *agent)
{
	const struct agent_settings *s = agent->settings;
	/* One beside them is for probes (probe_port). */
	struct traffic_options options = {
		.port_low = (uint16_t)(s->port_last < UINT16_MAX ? s->port_first
		                                                 : s->port_first - 1),
		.port_high = (uint16_t)(s->port_last < UINT16_MAX ? s->port_last + 1
		                                                  : s->port_last),
	};
	const struct error *limit;
	struct error err;

	agent->link_bytes_per_s = s->link_bytes_per_s;
	if (!agent->link_bytes_per_s)
		agent->link_bytes_per_s = device_speed(s->migration_interface);
	if (traffic_open(&options, &agent->traffic, &err) < 0) {
		log_warning("no bandwidth is measured: %s", err.text);
		agent->traffic = NULL;
		return;
	}
	limit = traffic_get_limit(agent->traffic);
	if (limit->code != ERROR_NONE)
		log_warning("links are counted by the kernel's own counters (rtnl), migrations not "
		            "apart: %s",
		            limit->text);
	watch_interface(agent, s->migration_interface);
	for (size_t i = 0; i < s->interfaces.count; i++)
		watch_interface(agent, s->interfaces.items[i]);
}

static int open_journal(struct agent *agent, struct journal_state *past, struct error *err)
{
	char *path = xasprintf("%s/agent.journal", agent->settings->state_dir);
	struct journal_report report;
	char aside[VM_PATH_BYTES];
	int rc = journal_keeper_open(agent->loop, path, &agent->journal, past, &report, err);

	if (rc < 0) {
		free(path);
		return rc;
	}
	if (report.dropped_bytes)
		log_info("journal: %zu bytes of a record cut short by a crash were dropped",
		         report.dropped_bytes);
	if (report.quarantined)
		log_error("journal: %s; the damaged file was set aside as %s", report.damage,
		          report.quarantine_path);
	/* A restart alone must not forget that something was forgotten. */
	agent->safe_mode = journal_find_quarantined(path, aside, sizeof(aside));
	free(path);
	if (agent->safe_mode) {
		error_set(&agent->problem, ERROR_REFUSED,
		          "only observes, because its journal was damaged: wait until no guest of "
		          "%s is moving, look that each runs once, then remove %s and restart the "
		          "agent",
		          agent->settings->node, aside);
		log_error("this agent %s", agent->problem.text);
	}
	return 0;
}

static int open_mesh(struct agent *agent, const struct agent_options *options, struct error *err)
{
	static const struct mesh_service *const services[] = { &agent_service,
		                                               &agent_health_service,
		                                               &reflection_service, NULL };
	const struct agent_settings *s = agent->settings;
	struct mesh_options mesh = { 0 };

	if (options->mesh_override)
		mesh = *options->mesh_override;
	serving_fill_mesh(&s->serving, !options->mesh_override, &mesh);
	mesh.loop = agent->loop;
	mesh.role = MESH_ROLE_AGENT;
	mesh.name = s->node;
	mesh.cluster = s->cluster;
	mesh.services = services;
	mesh.service_context = agent;
	mesh.connected = connected;
	mesh.disconnected = disconnected;
	mesh.context = agent;
	if (options->audit)
		agent->audit = serving_start_audit(&s->serving, "agent", s->node);
	mesh.audit = agent->audit;
	agent->mesh = mesh_new(&mesh, err);
	if (!agent->mesh)
		return -(int)err->code;
	return mesh_listen(agent->mesh, s->listen, err);
}

int agent_start(const struct agent_options *options, struct agent **ret, struct error *err)
{
	struct agent *agent = xnew(struct agent);
	const struct agent_settings *s = options->settings;
	struct journal_state past = { 0 };
	struct inventory_callbacks callbacks = { .changed = vm_changed,
		                                 .gone = vm_gone,
		                                 .settled = inventory_settled,
		                                 .context = agent };
	int rc;

	agent->settings = s;
	agent->loop = options->loop;
	agent->hypervisor = options->hypervisor;
	agent->tunnels = options->tunnels ? options->tunnels : &tunnel_processes;
	agent->boot_id = id_new();
	*ret = NULL;
	rc = make_directories(s, err);
	if (rc == 0)
		rc = open_journal(agent, &past, err);
	if (rc < 0) {
		free(agent);
		return rc;
	}
	*ret = agent;
	agent->highest_epoch = past.epoch;
	agent->drain_mark = past.drain_mark;
	fences_copy(&agent->fences, &past.fences);
	agent->couriers = courier_pool_new(agent->loop, COURIERS);
	inventory_init(&agent->inventory, agent->hypervisor, agent->couriers, &callbacks);
	agent->offers = offers_new();
	agent->dirty_rates = dirty_rates_new(agent->hypervisor, agent->loop, vm_measured, agent);
	agent->reservations = reservations_new(&(struct reservations_limits){
		.capacity_bytes = s->memory_capacity_bytes,
		.reserve_bytes = s->memory_reserve_bytes,
		.overcommit_percent = s->memory_overcommit_percent,
		.slots = (uint32_t)s->parallel_inbound,
	});
	reservations_see_epoch(agent->reservations, past.epoch);
	open_traffic(agent);
	agent->connections = connections_new();
	agent->paths = paths_new();
	agent->probes = probes_new(agent);

	rc = open_mesh(agent, options, err);
	if (rc == 0)
		rc = agent->hypervisor->ops->watch(agent->hypervisor, hypervisor_event, agent, err);
	if (rc < 0) {
		journal_state_deinit(&past);
		return rc;
	}
	target_adopt(agent, &past);
	source_adopt(agent, &past);
	source_take_fences(agent);
	tunnel_records_forget(agent, &past);
	start_block_update(agent);
	journal_state_deinit(&past);

	agent->second.fire = second;
	agent->second.context = agent;
	loop_timer_start(agent->loop, &agent->second, 0);
	coordinators_start(agent);
	if (!options->mesh_override)
		credentials_start(agent);
	return 0;
}

void agent_drain(struct agent *agent, void (*drained)(void *context), void *context)
{
	agent->draining = true;
	mesh_drain(agent->mesh, AGENT_DRAIN_MS, drained, context);
}

void agent_leave(struct agent *agent)
{
	start_block_stop(agent);
	audit_flush(agent->audit);
}

/* What is under way is left where it is: nothing new begins, what couriers bring home is thrown away,
 * and the next agent looks for itself. So everybody who could still call back is waited for, and finds
 * attempts that do not go on. The mesh goes first: it tells each question in the couriers' queues
 * that nobody waits for its answer any more, as long as that question is there to be told. */
bool agent_stop(struct agent *agent)
{
	bool home;

	if (!agent)
		return true;
	agent->stopping = true;
	loop_timer_stop(agent->loop, &agent->second);
	credentials_stop(agent);
	source_freeze(agent);
	garbage_freeze(agent);
	probe_yield(agent);
	if (agent->mesh) {
		coordinators_stop(agent);
		peers_stop(agent);
		mesh_free(agent->mesh);
		agent->mesh = NULL;
	}
	audit_stop(agent->audit);
	agent->audit = NULL;
	home = courier_pool_free_within(agent->couriers, STOP_WAIT_MS);
	agent->couriers = NULL;
	power_stop(agent);
	probes_stop(agent);
	agent->inventory.couriers = NULL;
	journal_keeper_close(agent->journal);
	agent->journal = NULL;
	/* Last: a QEMU that hangs holds it. */
	if (!dirty_rates_stop(agent->dirty_rates) || !home) {
		log_warning("%s: not waited for",
		            home ? "a guest's QEMU has not answered how much it writes"
		                 : "libvirt has not answered");
		return false;
	}
	/* What it has told by now comes to an agent that stops, in the loop's last round; nothing comes later. */
	agent->hypervisor->ops->hush(agent->hypervisor);
	(void)loop_run_until(agent->loop, 2 * PEERS_POLL_MS, NULL, NULL);
	credentials_free(agent);
	traffic_close(agent->traffic);
	connections_free(agent->connections);
	probes_free(agent->probes);
	paths_free(agent->paths);
	source_stop(agent);
	target_stop(agent);
	fence_stop(agent);
	garbage_stop(agent);
	start_block_stop(agent);
	power_free(agent);
	watchers_stop(agent);
	dirty_rates_free(agent->dirty_rates);
	offers_free(agent->offers);
	inventory_deinit(&agent->inventory);
	reservations_free(agent->reservations);
	free(agent);
	return true;
}
