/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. Threads as fibers: what the linker puts in the place of pthread_create and its like
 * (--wrap). Mutexes stay as they are: a fiber gives up the processor only where a thread would sleep,
 * and nobody sleeps with a lock held but in pthread_cond_wait, which gives it back. */
#include "tests/sim/world/world.h"

#include "common/alloc.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)1024 * 1024)
#else
#define STACK_BYTES ((size_t)256 * 1024)
#endif

struct fiber {
	ucontext_t context;
	void *stack;
	struct process *process; /* borrowed */
	void *(*run)(void *argument);
	void *argument;
	uint64_t wakes;       /* wake-ups for an earlier park count no more */
	pthread_cond_t *cond; /* waits for it */
	struct fiber *joiner;
	bool finished;
	struct fiber *next;
};

struct stack {
	struct stack *next;
};

static ucontext_t scheduler;
static struct fiber *current, *fibers;
static struct stack *spare;
#ifdef __SANITIZE_ADDRESS__
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;
#endif

/* The lowest page is closed, so that an overflow is a fault; a spare stack's link is above it. */
#define GUARD_BYTES 4096

static void *take_stack(void)
{
	char *stack;

	if (spare) {
		stack = (char *)spare - GUARD_BYTES;
		spare = spare->next;
	} else {
		stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		assert(stack != MAP_FAILED);
		mprotect(stack, GUARD_BYTES, PROT_NONE);
	}
	return stack;
}

static void give_stack(struct fiber *f)
{
	struct stack *s;

	if (!f->stack)
		return;
#ifdef __SANITIZE_ADDRESS__
	/* A fiber that was killed leaves the marks of its frames. */
	__asan_unpoison_memory_region((char *)f->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
#endif
	s = (struct stack *)((char *)f->stack + GUARD_BYTES);
	s->next = spare;
	spare = s;
	f->stack = NULL;
}

struct fiber *fiber_current(void)
{
	return current;
}

struct process *process_current(void)
{
	return current ? current->process : NULL;
}

/* --- switching --- */

static void enter_fiber(struct fiber *f)
{
	current = f;
	f->wakes++;
#ifdef __SANITIZE_ADDRESS__
	void *fake;

	__sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
#endif
	swapcontext(&scheduler, &f->context);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
	current = NULL;
	if (f->finished)
		give_stack(f);
}

static void leave_fiber(struct fiber *f)
{
#ifdef __SANITIZE_ADDRESS__
	void *fake;

	__sanitizer_start_switch_fiber(f->finished ? NULL : &fake, scheduler_stack,
	                               scheduler_stack_bytes);
#endif
	swapcontext(&f->context, &scheduler);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

static void fiber_main(void)
{
	struct fiber *f = current;

#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_bytes);
#endif
	f->run(f->argument);
	f->finished = true;
	if (f->joiner)
		fiber_wake(f->joiner, 1);
	leave_fiber(f);
	abort();
}

bool fiber_resume(struct fiber *f, uint64_t wake)
{
	if (f->finished || wake != f->wakes)
		return false;
	enter_fiber(f);
	return true;
}

void fiber_park(uint64_t until_us)
{
	struct fiber *f = current;
	uint64_t now_us = world_now_us();

	assert(f);
	if (until_us != WORLD_NEVER)
		world_after_wake(until_us > now_us ? until_us - now_us : 1, f, f->wakes,
		                 f->process);
	leave_fiber(f);
}

void fiber_wake(struct fiber *f, uint64_t after_us)
{
	world_after_wake(after_us, f, f->wakes, f->process);
}

void fiber_sleep(uint64_t us)
{
	uint64_t until_us = world_now_us() + us;

	while (world_now_us() < until_us)
		fiber_park(until_us);
}

static struct fiber *fiber_new(struct process *p, void *(*run)(void *argument), void *argument)
{
	struct fiber *f = xnew(struct fiber);

	f->process = p;
	f->run = run;
	f->argument = argument;
	f->stack = take_stack();
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK_BYTES;
	f->context.uc_link = NULL;
	makecontext(&f->context, fiber_main, 0);
	f->next = fibers;
	fibers = f;
	fiber_wake(f, world_draw_latency_us());
	return f;
}

void process_start(struct process *p, void *(*run)(void *argument), void *argument)
{
	fiber_new(p, run, argument);
}

/* The structs stay until the world ends: wake-ups that are still queued name them. */
void fibers_forget(const struct process *p)
{
	for (struct fiber *f = fibers; f; f = f->next) {
		if (f->process == p) {
			f->finished = true;
			f->cond = NULL;
			give_stack(f);
		}
	}
}

void fibers_end(void)
{
	for (struct fiber *f = fibers, *next; f; f = next) {
		next = f->next;
		give_stack(f);
		free(f);
	}
	fibers = NULL;
}

/* --- what the linker puts in the place of the C library's --- */

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
ssize_t __wrap_getrandom(void *ret, size_t bytes, unsigned int flags);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument)
{
	(void)attributes;
	assert(current);
	*ret = (pthread_t)fiber_new(current->process, run, argument);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
	struct fiber *f = (struct fiber *)thread;

	(void)ret;
	while (!f->finished) {
		f->joiner = current;
		fiber_park(WORLD_NEVER);
	}
	return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
	struct fiber *f = current;

	assert(f);
	f->cond = cond;
	pthread_mutex_unlock(lock);
	fiber_park(WORLD_NEVER);
	f->cond = NULL;
	pthread_mutex_lock(lock);
	return 0;
}

/* Also for a signal all are woken: which one is first is drawn, and the others look and wait on. */
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	for (struct fiber *f = fibers; f; f = f->next) {
		if (f->cond == cond && !f->finished)
			fiber_wake(f, world_draw_latency_us());
	}
	return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	return __wrap_pthread_cond_broadcast(cond);
}

/* Displayed time begins in 2026. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	uint64_t now_us = world_now_us();

	ret->tv_sec = (time_t)(now_us / 1000000) + (clock == CLOCK_REALTIME ? 1767225600 : 0);
	ret->tv_nsec = (long)(now_us % 1000000) * 1000;
	return 0;
}

ssize_t __wrap_getrandom(void *ret, size_t bytes, unsigned int flags)
{
	uint8_t *to = ret;

	(void)flags;
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)world_random();
	return (ssize_t)bytes;
}
