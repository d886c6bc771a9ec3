/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. Time, chance, the queue of events, and processes.
 *
 * The queue is a binary heap by time and then by order of arrival. An event is either a fiber to be
 * woken or a function of the world's own. Virtual time stands still while code runs, and moves on by
 * at least a microsecond from event to event. */
#include "tests/sim/world/world.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint64_t due_us, order;
	struct fiber *fiber; /* or NULL: run(context) */
	uint64_t wake;
	struct process *process;
	void (*run)(void *context);
	void *context;
};

static struct {
	uint64_t now_us, random, order, events, fingerprint;
	struct entry *heap;
	size_t count, room;
	struct process *processes;
} world;

void world_begin(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	world.random = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
	/* Not 0, which means "never" in many fields. */
	world.now_us = 1000 * 1000000;
	world.fingerprint = 14695981039346656037u;
}

void world_end(void)
{
	fibers_end();
	net_end();
	disk_end();
	for (struct process *p = world.processes, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	free(world.heap);
	memset(&world, 0, sizeof(world));
}

uint64_t world_now_us(void)
{
	return world.now_us;
}

/* splitmix64 */
uint64_t world_random(void)
{
	uint64_t z = world.random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t world_draw(uint64_t n)
{
	return world_random() % n;
}

bool world_chance(unsigned per_mille)
{
	return per_mille && world_draw(1000) < per_mille;
}

uint64_t world_draw_latency_us(void)
{
	return world_chance(20) ? 1 + world_draw(20000) : 1 + world_draw(300);
}

uint64_t world_fingerprint(void)
{
	return world.fingerprint ^ world.random;
}

uint64_t world_count_events(void)
{
	return world.events;
}

/* --- the queue --- */

static bool is_before(const struct entry *a, const struct entry *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void push(struct entry e)
{
	size_t at = world.count++;

	if (world.count > world.room) {
		world.room = world.room ? 2 * world.room : 256;
		world.heap = xreallocarray(world.heap, world.room, sizeof(e));
	}
	e.order = ++world.order;
	while (at && is_before(&e, &world.heap[(at - 1) / 2])) {
		world.heap[at] = world.heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	world.heap[at] = e;
}

static struct entry pop(void)
{
	struct entry first = world.heap[0], last = world.heap[--world.count];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= world.count)
			break;
		if (child + 1 < world.count &&
		    is_before(&world.heap[child + 1], &world.heap[child]))
			child++;
		if (is_before(&last, &world.heap[child]))
			break;
		world.heap[at] = world.heap[child];
		at = child;
	}
	if (world.count)
		world.heap[at] = last;
	return first;
}

void world_after(uint64_t delay_us, void (*run)(void *context), void *context)
{
	push((struct entry){ .due_us = world.now_us + delay_us, .run = run, .context = context });
}

void world_after_wake(uint64_t delay_us, struct fiber *f, uint64_t wake, struct process *p)
{
	push((struct entry){
		.due_us = world.now_us + delay_us, .fiber = f, .wake = wake, .process = p });
}

bool world_step(void)
{
	struct entry e;

	if (!world.count)
		return false;
	e = pop();
	if (e.due_us > world.now_us)
		world.now_us = e.due_us;
	if (e.fiber) {
		if (e.process->dead)
			return true;
		if (e.process->paused_until_us > world.now_us) {
			e.due_us = e.process->paused_until_us;
			push(e);
			return true;
		}
		if (fiber_resume(e.fiber, e.wake))
			world.events++;
	} else {
		e.run(e.context);
		world.events++;
	}
	world.fingerprint = (world.fingerprint ^ world.now_us ^ world.events) * 1099511628211u;
	return true;
}

/* --- processes --- */

struct process *process_new(const char *name, unsigned host)
{
	struct process *p = xnew(struct process);

	assert(host < NET_HOSTS);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->host = host;
	p->next = world.processes;
	world.processes = p;
	return p;
}

void process_kill(struct process *p)
{
	assert(p != process_current());
	if (p->dead)
		return;
	p->dead = true;
	fibers_forget(p);
	net_process_died(p);
	disk_process_died(p);
}

void process_pause(struct process *p, uint64_t us)
{
	p->paused_until_us = world.now_us + us;
}
