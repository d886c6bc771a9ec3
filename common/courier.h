/* SPDX-License-Identifier: Apache-2.0 */
/* Couriers: threads that do one blocking thing and bring the result home.
 *
 *	owner                     courier thread                 owner
 *	courier_send(pool, e) --> e->work(e)  -- loop_post -->   e->done(e)
 *
 * An errand embeds struct errand first, carries its own question and answer, and touches no state of
 * the owner in work(). Errands of one pool run in the order sent, as many at a time as the pool has
 * threads; one that hangs (a hung libvirtd) is seen by the owner as an answer that does not come,
 * never as an owner that hangs.
 */
#pragma once

#include "common/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct errand {
	struct message message;         /* private */
	void (*work)(struct errand *e); /* courier thread */
	void (*done)(struct errand *e); /* owner thread; frees the errand */
	struct errand *next;            /* private */
};

struct courier_pool;

struct courier_pool *courier_pool_new(struct loop *loop, unsigned threads);

/* Lets running errands finish and frees those that wait, without done(). Call before the loop and
 * whatever work() uses go away. */
void courier_pool_free(struct courier_pool *pool);

/* The same, but no longer than that. False: one is still under way. Then nothing of the pool may be freed, nor
 * what work() uses; it can be called again. */
bool courier_pool_free_within(struct courier_pool *pool, uint64_t wait_ms);

/* The same, but those that wait run, too: for what an orderly stop must not lose, and what cannot hang
 * for longer than that stop may take. Their done() runs if the loop does once more. */
void courier_pool_finish(struct courier_pool *pool);

/* Takes @e, which is heap memory: an errand dropped at shutdown is freed with free(). So is one that
 * is sent to no pool, because the owner is stopping. */
void courier_send(struct courier_pool *pool, struct errand *e);
