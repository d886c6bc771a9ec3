/* SPDX-License-Identifier: Apache-2.0 */
/* The world: a clock that jumps from one event to the next, in an order that the seed decides. */
#include "tests/sim/sim.h"

#include "common/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct sim_item {
	uint64_t at_ms;
	uint64_t number; /* of equal times the first one first */
	void (*run)(struct sim *sim, void *data);
	void *data;
};

/* xorshift64*: the same everywhere, unlike rand(). */
uint64_t sim_random(struct sim *sim, uint64_t below)
{
	sim->random ^= sim->random >> 12;
	sim->random ^= sim->random << 25;
	sim->random ^= sim->random >> 27;
	return below ? (sim->random * 2685821657736338717ULL >> 11) % below : 0;
}

bool sim_chance(struct sim *sim, unsigned per_mille)
{
	return per_mille && sim_random(sim, 1000) < per_mille;
}

uint64_t sim_delay(struct sim *sim, uint64_t least_ms, uint64_t most_ms)
{
	return sim->fixed_delays ? least_ms : least_ms + sim_random(sim, most_ms - least_ms + 1);
}

static struct id next_id(void *context)
{
	struct sim *sim = context;
	struct id id;

	for (size_t i = 0; i < ID_BYTES; i++)
		id.bytes[i] = (uint8_t)sim_random(sim, 256);
	return id;
}

struct sim *sim_new(uint64_t seed, const struct sim_faults *faults)
{
	struct sim *sim = xnew(struct sim);

	sim->seed = seed;
	sim->random = seed * 0x9e3779b97f4a7c15ULL + 1;
	if (faults)
		sim->faults = *faults;
	sim->fixed_delays = !faults;
	sim->now_ms = 1000;
	sim->disk = store_memory_disk_new();
	text_copy(sim->options.cluster, sizeof(sim->options.cluster), "sim");
	sim->options.next_id = next_id;
	sim->options.next_id_context = sim;
	sim->options.event_ring = 64;
	sim->options.finished_kept = 20;
	return sim;
}

void sim_free(struct sim *sim)
{
	if (sim->fleet)
		sim_coordinator_crash(sim);
	for (size_t i = 0; i < sim->n_queue; i++)
		free(sim->queue[i].data);
	free(sim->queue);
	for (size_t i = 0; i < sim->n_attempts; i++) {
		checks_deinit(&sim->attempts[i]->checks);
		free(sim->attempts[i]);
	}
	free(sim->attempts);
	for (int i = 0; i < sim->n_hosts; i++)
		drain_mark_deinit(&sim->hosts[i].mark);
	free(sim->started);
	reply_free(sim->last_reply);
	store_memory_disk_free(sim->disk);
	free(sim);
}

int sim_add_host(struct sim *sim, const char *name, uint64_t capacity_bytes)
{
	struct sim_host *host = &sim->hosts[sim->n_hosts];

	assert(sim->n_hosts < SIM_HOSTS_MAX);
	text_copy(host->name, sizeof(host->name), name);
	host->capacity_bytes = capacity_bytes;
	host->alive = true;
	return sim->n_hosts++;
}

int sim_add_vm(struct sim *sim, const char *name, int host, uint64_t memory_bytes)
{
	struct sim_vm *vm = &sim->vms[sim->n_vms];

	assert(sim->n_vms < SIM_VMS_MAX);
	snprintf(vm->uuid, sizeof(vm->uuid), "00000000-0000-4000-8000-%012d", sim->n_vms + 1);
	text_copy(vm->name, sizeof(vm->name), name);
	vm->memory_bytes = memory_bytes;
	vm->host = host;
	vm->incoming = -1;
	return sim->n_vms++;
}

/* --- the queue --- */

static bool is_before(const struct sim_item *a, const struct sim_item *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void swap(struct sim_item *a, struct sim_item *b)
{
	struct sim_item t = *a;

	*a = *b;
	*b = t;
}

void sim_after(struct sim *sim, uint64_t delay_ms, void (*run)(struct sim *, void *), void *data)
{
	size_t i = sim->n_queue++;

	if (i == sim->queue_capacity) {
		sim->queue_capacity = i ? 2 * i : 64;
		sim->queue = xreallocarray(sim->queue, sim->queue_capacity, sizeof(*sim->queue));
	}
	sim->queue[i] = (struct sim_item){
		.at_ms = sim->now_ms + delay_ms, .number = sim->n_items++, .run = run, .data = data
	};
	for (; i && is_before(&sim->queue[i], &sim->queue[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&sim->queue[i], &sim->queue[(i - 1) / 2]);
}

static struct sim_item take_first(struct sim *sim)
{
	struct sim_item first = sim->queue[0];
	size_t i = 0, child;

	sim->queue[0] = sim->queue[--sim->n_queue];
	while ((child = 2 * i + 1) < sim->n_queue) {
		if (child + 1 < sim->n_queue &&
		    is_before(&sim->queue[child + 1], &sim->queue[child]))
			child++;
		if (!is_before(&sim->queue[child], &sim->queue[i]))
			break;
		swap(&sim->queue[i], &sim->queue[child]);
		i = child;
	}
	return first;
}

bool sim_run(struct sim *sim, uint64_t ms, bool (*done)(struct sim *))
{
	uint64_t until_ms = sim->now_ms + ms;

	while (sim->n_queue && sim->queue[0].at_ms <= until_ms && !sim->broken) {
		struct sim_item item = take_first(sim);

		sim->now_ms = item.at_ms;
		sim->n_events++;
		item.run(sim, item.data);
		sim_check(sim);
		if (done && !sim->broken && done(sim))
			return true;
	}
	if (!sim->broken)
		sim->now_ms = until_ms;
	return false;
}

void sim_trace(struct sim *sim, const char *who, const char *format, ...)
{
	va_list args;

	if (!sim->trace)
		return;
	fprintf(sim->trace, "[%7" PRIu64 "] %-11s ", sim->now_ms - 1000, who);
	va_start(args, format);
	vfprintf(sim->trace, format, args);
	va_end(args);
	fputc('\n', sim->trace);
}
