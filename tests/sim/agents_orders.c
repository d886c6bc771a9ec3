/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of two agents ask of them, wait for and look at: orders by the stand-in for the coordinator,
 * and evidence on the hosts. See agents.h. */
#include "agent/wire.h"
#include "common/alloc.h"
#include "tests/sim/agents_inner.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		agents_take_report(t, r->report);
}

static void report_answered(const struct mesh_result *result, void *context)
{
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
	t->error = result->error;
	if (result->message)
		agents_take_report(t, (const Drover__V1__AttemptReport *)result->message);
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
	request.target_node = (char *)agents_names[1];
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
	request.source_node = (char *)agents_names[0];
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
		agents_take_report(t, r->report);
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

	for (unsigned i = 0; i < AGENTS_PATIENCE_MS / 20 && !seen; i++) {
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
	struct hypervisor *h = hypervisor_fake_new(t->world, agents_names[i]);
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
