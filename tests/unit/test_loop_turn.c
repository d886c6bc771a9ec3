/* SPDX-License-Identifier: Apache-2.0 */
/* A courier may run one message of a loop that waits, and then has the turn alone; what it leaves to do
 * is done, in order, and in time. */
#include "common/loop.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define DEADLINE_MS 20000 /* never reached unless the test fails */
#define COURIERS    3
#define LETTERS     3000

struct fixture {
	struct loop *loop;
	/* Of the owner: a thread that had no turn would be found by the thread sanitizer. */
	size_t ran, ran_elsewhere, chores;
	size_t next[COURIERS];
	bool in_order, inside;
	pthread_t owner;
	struct loop_chore chore;
	struct loop_timer timer;
	bool fired;
	atomic_bool ended;
	void (*run)(struct message *m);
	sem_t has_run;
};

struct letter {
	struct message message; /* first */
	struct fixture *f;
	size_t courier, number;
};

static void count_chore(void *context)
{
	((struct fixture *)context)->chores++;
}

static int setup(void **state)
{
	struct fixture *f = xnew(struct fixture);

	f->loop = loop_new();
	loop_share(f->loop);
	f->in_order = true;
	sem_init(&f->has_run, 0, 0);
	f->owner = pthread_self();
	f->chore = (struct loop_chore){ .run = count_chore, .context = f };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	sem_destroy(&f->has_run);
	free(f);
	return 0;
}

static void read_letter(struct message *m)
{
	struct letter *l = (struct letter *)m;
	struct fixture *f = l->f;

	f->in_order = f->in_order && !f->inside && l->number == f->next[l->courier];
	f->inside = true;
	f->next[l->courier]++;
	f->ran++;
	f->ran_elsewhere += !pthread_equal(pthread_self(), f->owner);
	loop_chore_start(f->loop, &f->chore);
	f->inside = false;
	free(l);
}

static struct letter *letter_new(struct fixture *f, size_t courier, size_t number)
{
	struct letter *l = xnew(struct letter);

	*l = (struct letter){
		.message.run = read_letter, .f = f, .courier = courier, .number = number
	};
	return l;
}

struct courier {
	pthread_t thread;
	struct fixture *f;
	size_t number;
};

/* Every third is posted. */
static void *carry(void *context)
{
	const struct courier *c = context;

	for (size_t i = 0; i < LETTERS; i++) {
		struct letter *l = letter_new(c->f, c->number, i);

		if (i % 3 == 0)
			loop_post(c->f->loop, &l->message);
		else
			loop_deliver(c->f->loop, &l->message);
	}
	return NULL;
}

static bool all_ran(void *context)
{
	return ((struct fixture *)context)->ran == COURIERS * (size_t)LETTERS;
}

/* Each letter runs once, none inside another, and those of a courier in the order in which it brought
 * them, posted or delivered. */
static void test_one_at_a_time_in_order(void **state)
{
	struct fixture *f = *state;
	struct courier couriers[COURIERS];

	for (size_t i = 0; i < COURIERS; i++) {
		couriers[i] = (struct courier){ .f = f, .number = i };
		assert_int_equal(pthread_create(&couriers[i].thread, NULL, carry, &couriers[i]), 0);
	}
	assert_true(loop_run_until(f->loop, DEADLINE_MS, all_ran, f));
	for (size_t i = 0; i < COURIERS; i++)
		pthread_join(couriers[i].thread, NULL);
	assert_true(f->in_order);
	assert_true(f->chores > 0);
}

static void *deliver_one(void *context)
{
	struct fixture *f = context;

	loop_deliver(f->loop, &letter_new(f, 0, f->next[0])->message);
	return NULL;
}

static bool has_run(void *context)
{
	return ((struct fixture *)context)->ran > 0;
}

/* While the owner has the turn, a courier waits for nothing: its message is posted. */
static void test_posted_while_the_owner_works(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, deliver_one, f), 0);
	pthread_join(thread, NULL);
	assert_int_equal(f->ran, 0);
	assert_true(loop_run_until(f->loop, DEADLINE_MS, has_run, f));
	assert_int_equal(f->ran_elsewhere, 0);
}

/* Brings one letter after the other, each when the one before has run. */
static void *deliver_one_by_one(void *context)
{
	struct fixture *f = context;

	while (!atomic_load(&f->ended)) {
		struct letter *l = letter_new(f, 0, 0);

		l->message.run = f->run;
		loop_deliver(f->loop, &l->message);
		sem_wait(&f->has_run);
	}
	return NULL;
}

static void run_one_by_one(struct fixture *f, void (*run)(struct message *m),
                           bool (*done)(void *context))
{
	uint64_t begin_ms;
	pthread_t thread;

	f->run = run;
	begin_ms = clock_now_ms();
	assert_int_equal(pthread_create(&thread, NULL, deliver_one_by_one, f), 0);
	assert_true(loop_run_until(f->loop, DEADLINE_MS, done, f));
	/* At the deadline it would wake in any case. */
	assert_in_range(clock_now_ms() - begin_ms, 0, DEADLINE_MS - 1);
	atomic_store(&f->ended, true);
	sem_post(&f->has_run);
	pthread_join(thread, NULL);
}

static void note_where(struct message *m)
{
	struct fixture *f = ((struct letter *)m)->f;

	f->ran++;
	loop_chore_start(f->loop, &f->chore);
	if (pthread_equal(pthread_self(), f->owner))
		sem_post(&f->has_run);
	else
		f->ran_elsewhere++; /* the last one: nothing else wakes the loop */
	free(m);
}

static bool ran_elsewhere(void *context)
{
	return ((struct fixture *)context)->ran_elsewhere > 0;
}

/* A loop that waits for nothing lets the courier do it, and whoever waits for what the courier did is
 * told at once. */
static void test_courier_takes_the_turn(void **state)
{
	struct fixture *f = *state;

	run_one_by_one(f, note_where, ran_elsewhere);
	assert_true(f->chores > 0 && f->chores <= f->ran);
}

static bool ran_often(void *context)
{
	return ((struct fixture *)context)->ran == 300;
}

/* A loop that is not shared runs everything on its own thread. */
static void test_not_shared(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	f->loop = loop_new();
	run_one_by_one(f, note_where, ran_often);
	assert_int_equal(f->ran_elsewhere, 0);
}

static void fire(void *context)
{
	((struct fixture *)context)->fired = true;
}

static bool has_fired(void *context)
{
	return ((struct fixture *)context)->fired;
}

static void arm_elsewhere(struct message *m)
{
	struct fixture *f = ((struct letter *)m)->f;

	if (!pthread_equal(pthread_self(), f->owner) && !f->timer.fire) {
		f->timer = (struct loop_timer){ .fire = fire, .context = f };
		loop_timer_start(f->loop, &f->timer, 5);
	} else if (!f->timer.fire) {
		sem_post(&f->has_run);
	}
	free(m);
}

/* A timer that a courier's turn has armed fires, though the loop went to wait for nothing. */
static void test_timer_of_a_courier(void **state)
{
	struct fixture *f = *state;

	run_one_by_one(f, arm_elsewhere, has_fired);
	assert_true(f->fired);
}

static void stop_here(struct message *m)
{
	struct fixture *f = ((struct letter *)m)->f;

	f->ran_elsewhere += !pthread_equal(pthread_self(), f->owner);
	loop_stop(f->loop);
	free(m);
}

static void *deliver_stop_and_letter(void *context)
{
	struct fixture *f = context;
	struct letter *l = letter_new(f, 0, 0);

	l->message.run = stop_here;
	loop_deliver(f->loop, &l->message);
	loop_deliver(f->loop, &letter_new(f, 0, 0)->message);
	return NULL;
}

/* After a stop nothing runs in a courier either: it waits for the next run. */
static void test_nothing_after_a_stop(void **state)
{
	struct fixture *f = *state;

	while (f->ran_elsewhere == 0) {
		pthread_t thread;

		f->ran = 0;
		assert_int_equal(pthread_create(&thread, NULL, deliver_stop_and_letter, f), 0);
		loop_run(f->loop);
		pthread_join(thread, NULL);
		/* Both posted are one batch, whose second runs, too. */
		assert_true(f->ran_elsewhere == 0 || f->ran == 0);
		assert_true(loop_run_until(f->loop, DEADLINE_MS, has_run, f));
	}
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_one_at_a_time_in_order),
		LOOP_TEST(test_posted_while_the_owner_works),
		LOOP_TEST(test_courier_takes_the_turn),
		LOOP_TEST(test_not_shared),
		LOOP_TEST(test_timer_of_a_courier),
		LOOP_TEST(test_nothing_after_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
