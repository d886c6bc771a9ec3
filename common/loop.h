/* SPDX-License-Identifier: Apache-2.0 */
/* The owner thread's loop: plain epoll over a mailbox, timers, signals and file descriptors.
 *
 *	mailbox eventfd ---+
 *	timerfd -----------+--> epoll --> callbacks, one at a time, on the thread that runs the loop
 *	signalfd ----------+
 *	any other fd ------+
 *
 * Everything here but loop_post and loop_stop is for the owner thread only. Callbacks must not
 * block: what blocks belongs to a courier that posts its result.
 */
#pragma once

#include "common/error.h"
#include "common/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* Aborts when the kernel refuses the descriptors: nothing works without them. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Runs until loop_stop. Blocks. */
void loop_run(struct loop *loop);

/* Any thread: makes loop_run return after the current callback. */
void loop_stop(struct loop *loop);

/* Runs callbacks for at most @budget_ms, or until @done returns true. For tests and for tools that
 * wait for one answer. Returns whether @done did. */
bool loop_run_until(struct loop *loop, uint64_t budget_ms, bool (*done)(void *context),
                    void *context);

/* Any thread: @m runs on the owner thread. See mailbox.h. */
void loop_post(struct loop *loop, struct message *m);

/* A timer is embedded in what it belongs to and armed any number of times. */
struct loop_timer {
	void (*fire)(void *context);
	void *context;
	/* private */
	uint64_t due_ms; /* clock_now_ms scale; 0 = not armed */
	uint64_t number; /* of this start */
	size_t place;    /* among the armed ones */
};

/* (Re)arms @timer to fire once in @delay_ms. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* What several callbacks of one turn add to, and what is cheaper done once: at the turn's end, before
 * the loop waits again. Embedded in what it belongs to. */
struct loop_chore {
	void (*run)(void *context);
	void *context;
	/* private */
	bool waiting;
	struct loop_chore *prev, *next;
};

/* Runs @chore at the end of this turn; once, however often it is asked for. */
void loop_chore_start(struct loop *loop, struct loop_chore *chore);
void loop_chore_stop(struct loop *loop, struct loop_chore *chore);

/* Calls @ready(events, context) while @fd is ready for @epoll_events. The fd stays the caller's. */
int loop_watch_fd(struct loop *loop, int fd, uint32_t epoll_events,
                  void (*ready)(uint32_t events, void *context), void *context, struct error *err);
void loop_unwatch_fd(struct loop *loop, int fd);

/* Blocks @signal_number for the process' later threads too, and calls @handle on the loop instead.
 * Call before any thread is started. */
void loop_watch_signal(struct loop *loop, int signal_number, void (*handle)(int, void *),
                       void *context);
