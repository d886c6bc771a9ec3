/* SPDX-License-Identifier: Apache-2.0 */
/* See store_thread.h. */
#include "coordinator/store/store_thread.h"

#include "common/alloc.h"
#include "coordinator/failpoints.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct queued {
	struct batch *batch; /* owned */
	struct queued *next;
};

struct store_thread {
	struct loop *loop;
	struct store *store; /* the thread's, from start to stop */
	void (*stored)(uint64_t ticket, void *context);
	void (*failed)(uint64_t ticket, const struct error *why, void *context);
	void *context;
	pthread_t thread;
	size_t brought; /* owner thread only: outcomes that have come home */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct queued *first, **last; /* under lock */
	bool stopping;                /* under lock */
	size_t posted;                /* under lock */
};

struct outcome {
	struct message message;
	struct store_thread *thread;
	uint64_t ticket;
	struct error error; /* code ERROR_NONE: stored */
};

static void bring_outcome(struct message *m)
{
	struct outcome *o = (struct outcome *)m;
	struct store_thread *t = o->thread;

	t->brought++;
	if (!t->stopping && o->error.code == ERROR_NONE) /* stopping is set by this thread */
		t->stored(o->ticket, t->context);
	else if (!t->stopping)
		t->failed(o->ticket, &o->error, t->context);
	free(o);
}

static struct queued *wait_for_batch(struct store_thread *t)
{
	struct queued *q;

	pthread_mutex_lock(&t->lock);
	while (!t->first && !t->stopping)
		pthread_cond_wait(&t->changed, &t->lock);
	q = t->first;
	if (q) {
		t->first = q->next;
		if (!t->first)
			t->last = &t->first;
	}
	pthread_mutex_unlock(&t->lock);
	return q;
}

static void *store_main(void *argument)
{
	struct store_thread *t = argument;
	bool broken = false;
	struct queued *q;

	while ((q = wait_for_batch(t))) {
		if (!broken) {
			struct outcome *o = xnew(struct outcome);

			o->message.run = bring_outcome;
			o->thread = t;
			o->ticket = q->batch->ticket;
			if (failpoints_before_stored(q->batch, &o->error) < 0 ||
			    store_write(t->store, q->batch, &o->error) < 0) {
				assert(o->error.code != ERROR_NONE);
				broken = true;
			} else {
				failpoints_after_stored(q->batch);
			}
			pthread_mutex_lock(&t->lock);
			t->posted++;
			pthread_mutex_unlock(&t->lock);
			loop_post(t->loop, &o->message);
		}
		batch_free(q->batch);
		free(q);
	}
	return NULL;
}

struct store_thread *store_thread_start(
	struct loop *loop, struct store *store, void (*stored)(uint64_t ticket, void *context),
	void (*failed)(uint64_t ticket, const struct error *why, void *context), void *context)
{
	struct store_thread *t = xnew(struct store_thread);
	sigset_t all, before;
	int rc;

	t->loop = loop;
	t->store = store;
	t->stored = stored;
	t->failed = failed;
	t->context = context;
	t->last = &t->first;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&t->thread, NULL, store_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert(rc == 0);
	(void)rc;
	return t;
}

void store_thread_write(struct store_thread *t, struct batch *batch)
{
	struct queued *q = xnew(struct queued);

	q->batch = batch;
	pthread_mutex_lock(&t->lock);
	*t->last = q;
	t->last = &q->next;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static bool all_brought(void *context)
{
	const struct store_thread *t = context;

	return t->brought == t->posted;
}

void store_thread_stop(struct store_thread *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	/* What the thread has posted lies in the mailbox, and points to us. */
	(void)loop_run_until(t->loop, UINT64_MAX, all_brought, t);
	store_close(t->store);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
