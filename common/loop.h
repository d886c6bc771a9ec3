/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's loop: plain epoll over a mailbox, timers, signals and file descriptors.
 *
 *	mailbox eventfd ---+
 *	timerfd -----------+--> epoll --> callbacks, one at a time, on the thread that runs the loop
 *	signalfd ----------+
 *	any other fd ------+
 *
 * Everything here but loop_post, loop_deliver and loop_stop is for the owner only: whoever has the
 * turn. The thread that made the loop has it, and whoever runs it, but for the time in which the loop
 * waits in epoll. If the loop is shared, a courier may take it then for one message (loop_deliver),
 * which saves the waking of a thread. One at a time has it, so what belongs to the owner needs no lock;
 * where "owner thread" is said, that one is meant. Callbacks must not block: what blocks belongs to a
 * courier that posts its result.
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

/* Lets couriers take the turn. For daemons: callbacks then run on threads that may have any signal
 * blocked, so nothing may depend on which thread it is; who lives by SIGPIPE, as commands do, does. */
void loop_share(struct loop *loop);

/* Runs until loop_stop. Blocks. */
void loop_run(struct loop *loop);

/* Any thread: makes loop_run return after the current callback. */
void loop_stop(struct loop *loop);

/* Runs callbacks for at most @budget_ms, or until @done returns true. For tests and for tools that
 * wait for one answer. Returns whether @done did. */
bool loop_run_until(struct loop *loop, uint64_t budget_ms, bool (*done)(void *context),
                    void *context);

/* Any thread: @m runs when the owner comes to it. See mailbox.h. */
void loop_post(struct loop *loop, struct message *m);

/* As loop_post; but if the loop is shared and waits, and nothing is in its mailbox, @m and the chores of its turn run
 * in here, on the caller's thread. The caller holds no lock that a callback takes, and is nothing that
 * a callback waits for. */
void loop_deliver(struct loop *loop, struct message *m);

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
