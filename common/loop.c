/* SPDX-License-Identifier: Apache-2.0 */
/* See loop.h. Watches live in a list and are freed only between two epoll rounds, because a callback
 * may unwatch a descriptor whose event is already in the batch being handled.
 *
 * The turn is a flag under a lock and no lock itself, for it goes from thread to thread. Only the
 * loop's thread waits for it; a courier that does not get it posts. */
#include "common/loop.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/timers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utlist.h>

#define SIGNALS_MAX 8
#define IDLE_MS     60000 /* nothing depends on it: every reason to wake has its own descriptor */

struct watch {
	int fd; /* -1: unwatched, to be freed */
	void (*ready)(uint32_t events, void *context);
	void *context;
	struct watch *next;
};

struct loop {
	int epoll_fd;
	int signal_fd;
	sigset_t signals;
	struct {
		int number;
		void (*handle)(int, void *);
		void *context;
	} handlers[SIGNALS_MAX];
	size_t n_handlers;
	struct mailbox *mailbox;
	struct timers timers;
	uint64_t firing_ms; /* what is due by then fires now; 0 = not firing */
	struct loop_chore *chores;
	struct watch *watches;
	bool watches_dirty;
	atomic_bool stop;
	bool (*done)(void *context); /* what loop_run_until waits for, while it runs */
	void *done_context;
	uint64_t wakes_ms; /* when it wakes by itself */
	pthread_mutex_t turn_lock;
	pthread_cond_t turn_free;
	bool turn_taken; /* under turn_lock */
	atomic_bool shared;
};

static void mailbox_ready(uint32_t events, void *context)
{
	struct loop *loop = context;

	(void)events;
	mailbox_run(loop->mailbox);
}

struct loop *loop_new(void)
{
	struct loop *loop = xnew(struct loop);
	int rc;

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	assert(loop->epoll_fd >= 0);
	loop->signal_fd = -1;
	sigemptyset(&loop->signals);
	loop->mailbox = mailbox_new();
	pthread_mutex_init(&loop->turn_lock, NULL);
	pthread_cond_init(&loop->turn_free, NULL);
	loop->turn_taken = true;
	rc = loop_watch_fd(loop, mailbox_get_fd(loop->mailbox), EPOLLIN, mailbox_ready, loop, NULL);
	assert(rc == 0);
	(void)rc;
	return loop;
}

static void free_unwatched(struct loop *loop, bool all)
{
	for (struct watch **at = &loop->watches; *at;) {
		struct watch *w = *at;

		if (w->fd >= 0 && !all) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
	loop->watches_dirty = false;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	mailbox_free(loop->mailbox);
	pthread_cond_destroy(&loop->turn_free);
	pthread_mutex_destroy(&loop->turn_lock);
	timers_deinit(&loop->timers);
	free_unwatched(loop, true);
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	close(loop->epoll_fd);
	free(loop);
}

int loop_watch_fd(struct loop *loop, int fd, uint32_t epoll_events,
                  void (*ready)(uint32_t events, void *context), void *context, struct error *err)
{
	struct watch *w = xnew(struct watch);
	struct epoll_event event = { .events = epoll_events, .data.ptr = w };

	*w = (struct watch){ .fd = fd, .ready = ready, .context = context };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int saved = errno;

		free(w);
		return error_set_errno(err, ERROR_SYSTEM, saved, "watching descriptor %d", fd);
	}
	w->next = loop->watches;
	loop->watches = w;
	return 0;
}

void loop_unwatch_fd(struct loop *loop, int fd)
{
	for (struct watch *w = loop->watches; w; w = w->next) {
		if (w->fd != fd)
			continue;
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		w->fd = -1;
		loop->watches_dirty = true;
		return;
	}
	assert(!"unwatching a descriptor that is not watched");
}

static void signal_ready(uint32_t events, void *context)
{
	struct loop *loop = context;
	struct signalfd_siginfo info;

	(void)events;
	while (read(loop->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		for (size_t i = 0; i < loop->n_handlers; i++) {
			if (loop->handlers[i].number == (int)info.ssi_signo)
				loop->handlers[i].handle((int)info.ssi_signo,
				                         loop->handlers[i].context);
		}
	}
}

void loop_watch_signal(struct loop *loop, int signal_number, void (*handle)(int, void *),
                       void *context)
{
	bool first = loop->signal_fd < 0;
	int rc;

	assert(loop->n_handlers < SIGNALS_MAX);
	loop->handlers[loop->n_handlers].number = signal_number;
	loop->handlers[loop->n_handlers].handle = handle;
	loop->handlers[loop->n_handlers].context = context;
	loop->n_handlers++;

	sigaddset(&loop->signals, signal_number);
	pthread_sigmask(SIG_BLOCK, &loop->signals, NULL);
	loop->signal_fd = signalfd(loop->signal_fd, &loop->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	assert(loop->signal_fd >= 0);
	if (first) {
		rc = loop_watch_fd(loop, loop->signal_fd, EPOLLIN, signal_ready, loop, NULL);
		assert(rc == 0);
		(void)rc;
	}
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
	if (timer->due_ms <= loop->firing_ms)
		timer->due_ms = loop->firing_ms + 1;
	timers_add(&loop->timers, timer);
}

/* Fires what is due at @now_ms. A timer that re-arms itself for "now" waits for the next round, so
 * it cannot keep the others from running. */
static void fire_due(struct loop *loop, uint64_t now_ms)
{
	struct loop_timer *timer = timers_find_first(&loop->timers);

	loop->firing_ms = now_ms;
	while (timer && timer->due_ms <= now_ms && !atomic_load(&loop->stop)) {
		timers_remove(&loop->timers, timer);
		timer->fire(timer->context);
		timer = timers_find_first(&loop->timers);
	}
	loop->firing_ms = 0;
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

/* --- the turn --- */

static void give_turn(struct loop *loop)
{
	pthread_mutex_lock(&loop->turn_lock);
	loop->turn_taken = false;
	pthread_cond_signal(&loop->turn_free);
	pthread_mutex_unlock(&loop->turn_lock);
}

static void wait_for_turn(struct loop *loop)
{
	pthread_mutex_lock(&loop->turn_lock);
	while (loop->turn_taken)
		pthread_cond_wait(&loop->turn_free, &loop->turn_lock);
	loop->turn_taken = true;
	pthread_mutex_unlock(&loop->turn_lock);
}

void loop_share(struct loop *loop)
{
	atomic_store(&loop->shared, true);
}

static bool try_turn(struct loop *loop)
{
	bool taken;

	if (!atomic_load(&loop->shared))
		return false;
	pthread_mutex_lock(&loop->turn_lock);
	taken = loop->turn_taken;
	loop->turn_taken = true;
	pthread_mutex_unlock(&loop->turn_lock);
	return !taken;
}

static void wake(struct message *m)
{
	free(m);
}

static void post_wake(struct loop *loop)
{
	struct message *m = xnew(struct message);

	m->run = wake;
	mailbox_post(loop->mailbox, m);
}

/* What the turn of a courier left to do that the loop does not wake for by itself. */
static bool must_wake(struct loop *loop)
{
	const struct loop_timer *first = timers_find_first(&loop->timers);

	return (first && first->due_ms < loop->wakes_ms) ||
	       (loop->done && loop->done(loop->done_context));
}

void loop_deliver(struct loop *loop, struct message *m)
{
	if (!try_turn(loop)) {
		mailbox_post(loop->mailbox, m);
		return;
	}
	/* What was posted before comes before: a stop, too. */
	if (mailbox_is_empty(loop->mailbox)) {
		m->run(m);
		run_chores(loop);
		if (must_wake(loop))
			post_wake(loop);
	} else {
		mailbox_post(loop->mailbox, m);
	}
	give_turn(loop);
}

static void run_once(struct loop *loop, uint64_t wait_ms)
{
	struct epoll_event events[32];
	uint64_t timeout_ms = wait_ms < IDLE_MS ? wait_ms : IDLE_MS;
	const struct loop_timer *first;
	int n;

	/* Those of whoever came before the loop ran. */
	run_chores(loop);
	first = timers_find_first(&loop->timers);
	if (first) {
		uint64_t now_ms = clock_now_ms();
		uint64_t left_ms = first->due_ms > now_ms ? first->due_ms - now_ms : 0;

		if (left_ms < timeout_ms)
			timeout_ms = left_ms;
	}
	loop->wakes_ms = clock_now_ms() + timeout_ms;
	give_turn(loop);
	n = epoll_wait(loop->epoll_fd, events, ARRAY_SIZE(events), (int)timeout_ms);
	assert(n >= 0 || errno == EINTR);
	wait_for_turn(loop);

	for (int i = 0; i < n && !atomic_load(&loop->stop); i++) {
		struct watch *w = events[i].data.ptr;

		if (w->fd >= 0)
			w->ready(events[i].events, w->context);
	}
	fire_due(loop, clock_now_ms());
	run_chores(loop);
	if (loop->watches_dirty)
		free_unwatched(loop, false);
}

/* Whether loop_stop was called. The request is used up here and not when a run begins: it may come
 * from another thread before that. */
static bool take_stop(struct loop *loop)
{
	return atomic_exchange(&loop->stop, false);
}

void loop_run(struct loop *loop)
{
	while (!take_stop(loop))
		run_once(loop, IDLE_MS);
}

bool loop_run_until(struct loop *loop, uint64_t budget_ms, bool (*done)(void *context),
                    void *context)
{
	uint64_t start_ms = clock_now_ms(), spent_ms = 0;
	bool is_done;

	loop->done = done;
	loop->done_context = context;
	while (!(is_done = done && done(context)) && spent_ms < budget_ms && !take_stop(loop)) {
		run_once(loop, budget_ms - spent_ms);
		spent_ms = clock_now_ms() - start_ms;
	}
	loop->done = NULL;
	return is_done;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	post_wake(loop);
}

void loop_post(struct loop *loop, struct message *m)
{
	mailbox_post(loop->mailbox, m);
}
