/* SPDX-License-Identifier: Apache-2.0 */
/* See courier.h. */
#include "common/courier.h"

#include "common/alloc.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct courier_pool {
	struct loop *loop; /* borrowed; loop_post is for any thread */
	unsigned n_threads;
	pthread_t *threads;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct errand *first, **last; /* under lock */
	bool stopping;                /* under lock: take nothing more */
	bool finishing;               /* under lock: end when nothing waits */
	unsigned n_left;              /* under lock: threads that take nothing more */
	pthread_cond_t left;          /* by the clock that cannot be set */
};

static void bring_home(struct message *m)
{
	struct errand *e = (struct errand *)m;

	e->done(e);
}

static void *courier_thread(void *argument)
{
	struct courier_pool *pool = argument;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct errand *e;

		while (!pool->first && !pool->stopping && !pool->finishing)
			pthread_cond_wait(&pool->changed, &pool->lock);
		if (pool->stopping || !pool->first)
			break;
		e = pool->first;
		pool->first = e->next;
		if (!pool->first)
			pool->last = &pool->first;
		pthread_mutex_unlock(&pool->lock);

		e->work(e);
		e->message.run = bring_home;
		loop_post(pool->loop, &e->message);

		pthread_mutex_lock(&pool->lock);
	}
	pool->n_left++;
	pthread_cond_signal(&pool->left);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct courier_pool *courier_pool_new(struct loop *loop, unsigned threads)
{
	struct courier_pool *pool = xnew(struct courier_pool);
	pthread_condattr_t monotonic;
	sigset_t all, before;

	pool->loop = loop;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->left, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pool->threads = xcalloc(threads, sizeof(*pool->threads));

	/* Signals are the owner's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; pool->n_threads < threads; pool->n_threads++) {
		int rc = pthread_create(&pool->threads[pool->n_threads], NULL, courier_thread,
		                        pool);

		assert(rc == 0);
		(void)rc;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pool;
}

static void end_pool(struct courier_pool *pool, bool finish)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->finishing = finish;
	pool->stopping = !finish;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);

	for (struct errand *e = pool->first, *next; e; e = next) {
		next = e->next;
		free(e);
	}
	pthread_cond_destroy(&pool->changed);
	pthread_cond_destroy(&pool->left);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

void courier_pool_free(struct courier_pool *pool)
{
	end_pool(pool, false);
}

bool courier_pool_free_within(struct courier_pool *pool, uint64_t wait_ms)
{
	struct timespec until;
	bool all;

	if (!pool)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(wait_ms / 1000);
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->changed);
	while (pool->n_left < pool->n_threads &&
	       pthread_cond_timedwait(&pool->left, &pool->lock, &until) == 0)
		;
	all = pool->n_left == pool->n_threads;
	pthread_mutex_unlock(&pool->lock);
	if (all)
		end_pool(pool, false);
	return all;
}

void courier_pool_finish(struct courier_pool *pool)
{
	end_pool(pool, true);
}

void courier_send(struct courier_pool *pool, struct errand *e)
{
	assert(e->work && e->done);
	if (!pool) {
		free(e);
		return;
	}
	e->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = e;
	pool->last = &e->next;
	pthread_cond_signal(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
}
