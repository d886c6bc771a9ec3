/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of errands when their pool ends: an orderly end carries all of them out. */
#include "common/courier.h"

#include "common/alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ERRANDS 5

struct fixture {
	struct loop *loop;
	struct courier_pool *pool;
	pthread_mutex_t gate; /* held: the first errand does not end */
	pthread_barrier_t begun;
	size_t n_worked; /* courier's; read when it has ended */
	size_t n_done;
};

struct task {
	struct errand errand;
	struct fixture *f;
	bool first;
};

static void work(struct errand *e)
{
	struct fixture *f = ((struct task *)e)->f;

	if (((struct task *)e)->first) {
		pthread_barrier_wait(&f->begun);
		pthread_mutex_lock(&f->gate);
		pthread_mutex_unlock(&f->gate);
	}
	f->n_worked++;
}

static void done(struct errand *e)
{
	((struct task *)e)->f->n_done++;
	free(e);
}

static int setup(void **state)
{
	struct fixture *f = xnew(struct fixture);

	f->loop = loop_new();
	f->pool = courier_pool_new(f->loop, 1);
	pthread_mutex_init(&f->gate, NULL);
	pthread_barrier_init(&f->begun, NULL, 2);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	pthread_barrier_destroy(&f->begun);
	pthread_mutex_destroy(&f->gate);
	free(f);
	return 0;
}

/* The first is under way and cannot end, the others wait behind it. */
static void send_all(struct fixture *f)
{
	pthread_mutex_lock(&f->gate);
	for (size_t i = 0; i < ERRANDS; i++) {
		struct task *t = xnew(struct task);

		t->errand.work = work;
		t->errand.done = done;
		t->f = f;
		t->first = i == 0;
		courier_send(f->pool, &t->errand);
	}
	pthread_barrier_wait(&f->begun);
}

static bool all_done(void *context)
{
	return ((struct fixture *)context)->n_done == ERRANDS;
}

/* An orderly end carries out what waits, in its order, and the loop hears of it. */
static void test_finish(void **state)
{
	struct fixture *f = *state;

	send_all(f);
	pthread_mutex_unlock(&f->gate);
	courier_pool_finish(f->pool);
	assert_int_equal(f->n_worked, ERRANDS);
	assert_true(loop_run_until(f->loop, 20000, all_done, f));
}

/* One that hangs is waited for so long, and then left; once it is home the pool ends, and what waited is
 * dropped. */
static void test_not_for_ever(void **state)
{
	struct fixture *f = *state;

	send_all(f);
	assert_false(courier_pool_free_within(f->pool, 30));
	assert_false(courier_pool_free_within(f->pool, 0));
	pthread_mutex_unlock(&f->gate);
	assert_true(courier_pool_free_within(f->pool, 20000));
	assert_int_equal(f->n_worked, 1);
	assert_true(courier_pool_free_within(NULL, 0));
}

/* One that is finished while nothing waits ends, too. */
static void test_finish_idle(void **state)
{
	struct fixture *f = *state;

	courier_pool_finish(f->pool);
	assert_int_equal(f->n_worked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_finish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finish_idle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
