/* SPDX-License-Identifier: Apache-2.0 */
/* A world in which production code runs on a virtual clock, in one thread, as one seed has it.
 *
 *	production code -- pthread_*, clock_gettime, getrandom --> world_threads.c   (linker's --wrap)
 *	                -- loop.h, log.h -----------------------> world_loop.c      (twins: linked
 *	                -- transport_inproc --------------------> world_net.c        instead of the
 *	                -- journal.h ---------------------------> world_disk.c       real ones)
 *
 * Every thread of the code under test becomes a fiber, every wake-up an event in one queue, and all
 * that is uncertain (delays, order, ids) is drawn from one generator. So a seed is a whole history:
 * the same seed runs the same way again, to the last event.
 *
 * A process is a group of fibers which dies at once: it is then simply never run again, as after
 * kill -9. What it had allocated is not freed, so there is no leak check over a world.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_NEVER UINT64_MAX

struct process {
	char name[32];
	unsigned host; /* which machine, for the network */
	bool dead;
	uint64_t paused_until_us; /* SIGSTOP; what is due meanwhile happens then */
	struct process *next;
};

void world_begin(uint64_t seed);
void world_end(void);

uint64_t world_now_us(void);
uint64_t world_random(void);
/* 0 ... n - 1 */
uint64_t world_draw(uint64_t n);
bool world_chance(unsigned per_mille);

/* A history in one number: equal for equal runs. */
uint64_t world_fingerprint(void);
uint64_t world_count_events(void);

/* Runs the next event; false when there is none. */
bool world_step(void);

/* Calls @run(context) after @delay_us, on the scheduler's own stack: it must not wait. */
void world_after(uint64_t delay_us, void (*run)(void *context), void *context);

struct process *process_new(const char *name, unsigned host);
/* NULL: the world itself runs. */
struct process *process_current(void);
/* The first fiber of @p. */
void process_start(struct process *p, void *(*run)(void *argument), void *argument);
/* Never runs again; its connections break and its disk keeps what was synced. */
void process_kill(struct process *p);
void process_pause(struct process *p, uint64_t us);

/* --- fibers, for the twins --- */

struct fiber;
struct fiber *fiber_current(void); /* NULL: the scheduler */
/* Until woken, or that time has come; may return early. */
void fiber_park(uint64_t until_us);
void fiber_wake(struct fiber *f, uint64_t after_us);
void fiber_sleep(uint64_t us);
/* How long it takes until a thread that could run does. */
uint64_t world_draw_latency_us(void);

/* The scheduler's half, in world_threads.c. */
bool fiber_resume(struct fiber *f, uint64_t wake); /* whether it was still wanted */
void fibers_forget(const struct process *p);
void fibers_end(void);
void world_after_wake(uint64_t delay_us, struct fiber *f, uint64_t wake, struct process *p);

/* --- log --- */

/* Whether lines of the code under test are printed, with the world's time. */
extern bool world_trace;
void world_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- network: world_net.c --- */

#define NET_HOSTS 16

struct net_faults {
	unsigned slow_per_mille;  /* a delivery takes up to 1 s */
	unsigned reset_per_mille; /* a delivery breaks its connection instead */
};

extern struct net_faults net_faults;

/* Between these hosts nothing arrives; connections stay, half-open, and what was sent comes later. */
void net_cut(unsigned a, unsigned b, bool cut);
void net_heal(void);
void net_process_died(const struct process *p);
void net_end(void);

/* --- disk: world_disk.c --- */

struct disk_faults {
	unsigned slow_per_mille;   /* an fsync takes up to 2 s */
	unsigned broken_per_mille; /* an fsync fails */
};

extern struct disk_faults disk_faults;
/* Says that records are written, and keeps none: a planted mistake. */
extern bool disk_forgets;

void disk_set_full(unsigned host, bool full);
void disk_process_died(const struct process *p);
void disk_end(void);
