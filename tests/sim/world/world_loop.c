/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. The twins of common/loop.c and common/log.c. A loop runs one message or timer and then
 * lets the others go on, so that a process may die or be stopped between any two of them. */
#include "common/loop.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/timers.h"
#include "tests/sim/world/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

struct loop {
	struct message *first, **last;
	struct timers timers;
	struct loop_chore *chores;
	struct fiber *owner; /* while it waits */
	bool stop;
};

struct loop *loop_new(void)
{
	struct loop *loop = xnew(struct loop);

	loop->last = &loop->first;
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	timers_deinit(&loop->timers);
	free(loop);
}

void loop_post(struct loop *loop, struct message *m)
{
	assert(m->run);
	m->next = NULL;
	*loop->last = m;
	loop->last = &m->next;
	if (loop->owner)
		fiber_wake(loop->owner, world_draw_latency_us());
}

/* A simulated process has one thread. */
void loop_share(struct loop *loop)
{
	(void)loop;
}

void loop_deliver(struct loop *loop, struct message *m)
{
	loop_post(loop, m);
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
	if (loop->owner)
		fiber_wake(loop->owner, 1);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (timer->due_ms)
		timers_remove(&loop->timers, timer);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms)
{
	uint64_t now_ms = clock_now_ms();

	assert(timer->fire);
	loop_timer_stop(loop, timer);
	timer->due_ms = delay_ms < UINT64_MAX - now_ms ? now_ms + delay_ms : UINT64_MAX;
	timers_add(&loop->timers, timer);
}

void loop_chore_start(struct loop *loop, struct loop_chore *chore)
{
	assert(chore->run);
	if (!chore->waiting)
		DL_APPEND(loop->chores, chore);
	chore->waiting = true;
}

void loop_chore_stop(struct loop *loop, struct loop_chore *chore)
{
	if (chore->waiting)
		DL_DELETE(loop->chores, chore);
	chore->waiting = false;
}

static void run_chores(struct loop *loop)
{
	while (loop->chores) {
		struct loop_chore *chore = loop->chores;

		loop_chore_stop(loop, chore);
		chore->run(chore->context);
	}
}

static void run_message(struct loop *loop)
{
	struct message *m = loop->first;

	loop->first = m->next;
	if (!loop->first)
		loop->last = &loop->first;
	m->run(m);
}

static void run_timer(struct loop *loop)
{
	struct loop_timer *timer = timers_find_first(&loop->timers);

	timers_remove(&loop->timers, timer);
	timer->fire(timer->context);
}

static void run_once(struct loop *loop, uint64_t until_us)
{
	const struct loop_timer *first = timers_find_first(&loop->timers);
	bool due = first && first->due_ms <= clock_now_ms();

	run_chores(loop);
	loop->owner = fiber_current();
	if (loop->first && !(due && world_chance(300))) {
		run_message(loop);
		run_chores(loop);
		fiber_park(world_now_us() + 1 + world_draw(20));
	} else if (due) {
		run_timer(loop);
		run_chores(loop);
		fiber_park(world_now_us() + 1 + world_draw(20));
	} else {
		uint64_t wait_us = first && first->due_ms < WORLD_NEVER / 1000
		                           ? first->due_ms * 1000
		                           : WORLD_NEVER;

		fiber_park(wait_us < until_us ? wait_us : until_us);
	}
	loop->owner = NULL;
}

void loop_run(struct loop *loop)
{
	while (!loop->stop)
		run_once(loop, WORLD_NEVER);
	loop->stop = false;
}

bool loop_run_until(struct loop *loop, uint64_t budget_ms, bool (*done)(void *context),
                    void *context)
{
	uint64_t until_us = world_now_us() + budget_ms * 1000;

	for (;;) {
		if (done && done(context))
			return true;
		if (world_now_us() >= until_us || loop->stop)
			return false;
		run_once(loop, until_us);
	}
}

/* There are no descriptors and no signals in this world. */
int loop_watch_fd(struct loop *loop, int fd, uint32_t epoll_events,
                  void (*ready)(uint32_t events, void *context), void *context, struct error *err)
{
	(void)loop;
	(void)epoll_events;
	(void)ready;
	(void)context;
	return error_set(err, ERROR_UNSUPPORTED, "descriptor %d in a simulated world", fd);
}

void loop_unwatch_fd(struct loop *loop, int fd)
{
	(void)loop;
	(void)fd;
	abort();
}

void loop_watch_signal(struct loop *loop, int signal_number, void (*handle)(int, void *),
                       void *context)
{
	(void)loop;
	(void)signal_number;
	(void)handle;
	(void)context;
	abort();
}

/* --- log --- */

bool world_trace;

static void __attribute__((format(printf, 2, 0)))
print_line(const char *who, const char *format, va_list arguments)
{
	uint64_t ms = world_now_us() / 1000 - 1000000;

	printf("%6llu.%03llu %-8s ", (unsigned long long)(ms / 1000),
	       (unsigned long long)(ms % 1000), who);
	vprintf(format, arguments);
	putchar('\n');
}

void world_say(const char *format, ...)
{
	va_list arguments;

	if (!world_trace)
		return;
	va_start(arguments, format);
	print_line("*", format, arguments);
	va_end(arguments);
}

void log_open(const char *who, enum log_level level)
{
	(void)who;
	(void)level;
}

void log_write(enum log_level level, const char *format, ...)
{
	struct process *p = process_current();
	va_list arguments;

	if (!world_trace || level == LOG_LEVEL_DEBUG)
		return;
	va_start(arguments, format);
	print_line(p ? p->name : "*", format, arguments);
	va_end(arguments);
}
