/* SPDX-License-Identifier: Apache-2.0 */
/* The loop runs what is due, once, in order, on its own thread, and ends when told to. */
#include "common/loop.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000 /* never reached unless the test fails */

struct fixture {
	struct loop *loop;
	char order[16]; /* letters of what ran */
	size_t ran;
	size_t want;
	struct loop_timer a, b, c;
	struct loop_chore chore;
	int pipes[2][2];
	pthread_t thread;
};

static int setup(void **state)
{
	struct fixture *f = xnew(struct fixture);

	f->loop = loop_new();
	for (size_t i = 0; i < ARRAY_SIZE(f->pipes); i++)
		assert_int_equal(pipe(f->pipes[i]), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	for (size_t i = 0; i < ARRAY_SIZE(f->pipes); i++) {
		close(f->pipes[i][0]);
		close(f->pipes[i][1]);
	}
	free(f);
	return 0;
}

static void note(struct fixture *f, char letter)
{
	assert_true(f->ran + 1 < sizeof(f->order));
	f->order[f->ran++] = letter;
}

static void note_a(void *context)
{
	note(context, 'a');
}

static void note_b(void *context)
{
	note(context, 'b');
}

static void note_c(void *context)
{
	note(context, 'c');
}

static bool ran_enough(void *context)
{
	struct fixture *f = context;

	return f->ran >= f->want;
}

static void run_until_ran(struct fixture *f, size_t want)
{
	f->want = want;
	assert_true(loop_run_until(f->loop, DEADLINE_MS, ran_enough, f));
}

/* ---- timers ---- */

/* Timers fire in the order of their time, not of their start; equals in the order of their start. */
static void test_timers_in_order(void **state)
{
	struct fixture *f = *state;

	f->a = (struct loop_timer){ .fire = note_a, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	f->c = (struct loop_timer){ .fire = note_c, .context = f };
	loop_timer_start(f->loop, &f->c, 20);
	loop_timer_start(f->loop, &f->a, 1);
	loop_timer_start(f->loop, &f->b, 10);
	run_until_ran(f, 3);
	assert_string_equal(f->order, "abc");
}

/* A timer never fires early. */
static void test_timer_is_not_early(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ms = clock_now_ms();

	f->a = (struct loop_timer){ .fire = note_a, .context = f };
	loop_timer_start(f->loop, &f->a, 30);
	run_until_ran(f, 1);
	assert_true(clock_now_ms() - start_ms >= 30);
}

/* A stopped timer does not fire, one that is armed again fires once, at its new time, and stopping
 * one that is not armed is harmless. */
static void test_timer_stop_and_restart(void **state)
{
	struct fixture *f = *state;

	f->a = (struct loop_timer){ .fire = note_a, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	f->c = (struct loop_timer){ .fire = note_c, .context = f };
	loop_timer_stop(f->loop, &f->a);
	loop_timer_start(f->loop, &f->a, 0);
	loop_timer_stop(f->loop, &f->a);
	loop_timer_start(f->loop, &f->b, 0);
	loop_timer_start(f->loop, &f->b, 10);
	loop_timer_start(f->loop, &f->c, 1);
	run_until_ran(f, 2);
	assert_string_equal(f->order, "cb");
	assert_false(loop_run_until(f->loop, 0, NULL, NULL));
	assert_int_equal(f->ran, 2);
}

/* A time-out "for ever" is not in the past. */
static void test_timer_far_away(void **state)
{
	struct fixture *f = *state;

	f->a = (struct loop_timer){ .fire = note_a, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	loop_timer_start(f->loop, &f->a, UINT64_MAX);
	loop_timer_start(f->loop, &f->b, 5);
	run_until_ran(f, 1);
	assert_string_equal(f->order, "b");
	loop_timer_stop(f->loop, &f->a);
}

static void again(void *context)
{
	struct fixture *f = context;

	loop_timer_start(f->loop, &f->a, 0);
}

/* A timer that arms itself for "now" for ever does not keep the others from running. */
static void test_timer_cannot_starve(void **state)
{
	struct fixture *f = *state;

	f->a = (struct loop_timer){ .fire = again, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	loop_timer_start(f->loop, &f->a, 0);
	loop_timer_start(f->loop, &f->b, 3);
	run_until_ran(f, 1);
	loop_timer_stop(f->loop, &f->a);
}

static void stop_c(void *context)
{
	struct fixture *f = context;

	note(f, 'a');
	loop_timer_stop(f->loop, &f->c);
}

/* A timer can stop another one that is due in the same round. */
static void test_timer_stops_another(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ms = clock_now_ms();

	f->a = (struct loop_timer){ .fire = stop_c, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	f->c = (struct loop_timer){ .fire = note_c, .context = f };
	loop_timer_start(f->loop, &f->a, 1);
	loop_timer_start(f->loop, &f->c, 1);
	loop_timer_start(f->loop, &f->b, 2);
	while (clock_now_ms() - start_ms < 3)
		;
	run_until_ran(f, 2);
	assert_string_equal(f->order, "ab");
}

/* ---- descriptors ---- */

static void read_one(uint32_t events, void *context)
{
	struct fixture *f = context;
	char letter;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(f->pipes[0][0], &letter, 1), 1);
	note(f, letter);
}

/* A watched descriptor calls back while it is readable; an unwatched one does not. */
static void test_watch_fd(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_watch_fd(f->loop, f->pipes[0][0], EPOLLIN, read_one, f, NULL), 0);
	assert_int_equal(write(f->pipes[0][1], "xyz", 3), 3);
	run_until_ran(f, 2);
	loop_unwatch_fd(f->loop, f->pipes[0][0]);
	assert_false(loop_run_until(f->loop, 0, NULL, NULL));
	assert_string_equal(f->order, "xy");
}

/* What cannot be watched is refused with the descriptor's number, and a second watch, too. */
static void test_watch_fd_refused(void **state)
{
	struct fixture *f = *state;
	struct error err;

	assert_int_equal(loop_watch_fd(f->loop, -1, EPOLLIN, read_one, f, &err), -ERROR_SYSTEM);
	assert_string_equal(err.text, "watching descriptor -1: Bad file descriptor");
	assert_int_equal(loop_watch_fd(f->loop, f->pipes[0][0], EPOLLIN, read_one, f, NULL), 0);
	assert_int_equal(loop_watch_fd(f->loop, f->pipes[0][0], EPOLLIN, read_one, f, &err),
	                 -ERROR_SYSTEM);
}

static void unwatch_both(uint32_t events, void *context)
{
	struct fixture *f = context;

	(void)events;
	note(f, 'u');
	loop_unwatch_fd(f->loop, f->pipes[0][0]);
	loop_unwatch_fd(f->loop, f->pipes[1][0]);
}

/* A callback may unwatch itself and a neighbour whose event is in the same batch: the neighbour is
 * not called any more. */
static void test_unwatch_in_the_batch(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
			loop_watch_fd(f->loop, f->pipes[i][0], EPOLLIN, unwatch_both, f, NULL), 0);
		assert_int_equal(write(f->pipes[i][1], "x", 1), 1);
	}
	run_until_ran(f, 1);
	assert_false(loop_run_until(f->loop, 0, NULL, NULL));
	assert_string_equal(f->order, "u");
}

/* ---- messages, signals, the end ---- */

struct letter {
	struct message message;
	struct fixture *fixture;
	char letter;
};

static void run_letter(struct message *m)
{
	struct letter *l = (struct letter *)m;

	note(l->fixture, l->letter);
	free(l);
}

static void post_letter(struct fixture *f, char letter)
{
	struct letter *l = xnew(struct letter);

	*l = (struct letter){ .message.run = run_letter, .fixture = f, .letter = letter };
	loop_post(f->loop, &l->message);
}

static void *post_three(void *context)
{
	post_letter(context, 'x');
	post_letter(context, 'y');
	post_letter(context, 'z');
	return NULL;
}

/* What another thread posts runs on the loop, in order. */
static void test_post(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pthread_create(&f->thread, NULL, post_three, f), 0);
	run_until_ran(f, 3);
	pthread_join(f->thread, NULL);
	assert_string_equal(f->order, "xyz");
}

/* A message that was not run when the loop went away is freed (seen by the leak checker). */
static void test_free_with_messages(void **state)
{
	post_letter(*state, 'x');
}

static void handle_signal(int number, void *context)
{
	note(context, number == SIGUSR1 ? '1' : '2');
}

/* A signal becomes a callback on the loop, each kind its own. */
static void test_signals(void **state)
{
	struct fixture *f = *state;

	loop_watch_signal(f->loop, SIGUSR1, handle_signal, f);
	loop_watch_signal(f->loop, SIGUSR2, handle_signal, f);
	assert_int_equal(kill(getpid(), SIGUSR2), 0);
	run_until_ran(f, 1);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	run_until_ran(f, 2);
	assert_string_equal(f->order, "21");
}

static void *stop_loop(void *context)
{
	struct fixture *f = context;

	loop_stop(f->loop);
	return NULL;
}

/* Another thread ends the loop, even where it waits for nothing. */
static void test_stop_from_a_thread(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pthread_create(&f->thread, NULL, stop_loop, f), 0);
	loop_run(f->loop);
	pthread_join(f->thread, NULL);
}

/* A stop that came before the run is not lost, and ends one run only. */
static void test_stop_before_the_run(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop);
	loop_run(f->loop);
	post_letter(f, 'x');
	run_until_ran(f, 1);
}

static void stop_here(void *context)
{
	struct fixture *f = context;

	note(f, 's');
	loop_stop(f->loop);
}

/* After a stop no further callback of the round runs; it waits for the next run. */
static void test_stop_ends_the_round(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ms = clock_now_ms();

	f->a = (struct loop_timer){ .fire = stop_here, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	loop_timer_start(f->loop, &f->a, 1);
	loop_timer_start(f->loop, &f->b, 2);
	while (clock_now_ms() - start_ms < 3)
		;
	loop_run(f->loop);
	assert_string_equal(f->order, "s");
	run_until_ran(f, 2);
	assert_string_equal(f->order, "sb");
}

static bool never(void *unused)
{
	(void)unused;
	return false;
}

/* Waiting ends with the budget, and says that it was in vain. */
static void test_budget(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ms = clock_now_ms();

	assert_false(loop_run_until(f->loop, 20, never, NULL));
	assert_true(clock_now_ms() - start_ms >= 20);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- chores ---- */

static void ask_for_c(void *context)
{
	struct fixture *f = context;

	loop_chore_start(f->loop, &f->chore);
	note(f, 'a');
	loop_chore_start(f->loop, &f->chore);
}

/* A chore runs once in the turn that asked for it, however often it did, after all the others; and not
 * if it was stopped. */
static void test_chore(void **state)
{
	struct fixture *f = *state;

	f->chore = (struct loop_chore){ .run = note_c, .context = f };
	f->a = (struct loop_timer){ .fire = ask_for_c, .context = f };
	f->b = (struct loop_timer){ .fire = note_b, .context = f };
	loop_timer_start(f->loop, &f->a, 0);
	loop_timer_start(f->loop, &f->b, 0);
	run_until_ran(f, 3);
	assert_string_equal(f->order, "abc");

	loop_chore_start(f->loop, &f->chore);
	loop_chore_stop(f->loop, &f->chore);
	loop_timer_start(f->loop, &f->b, 0);
	run_until_ran(f, 4);
	assert_string_equal(f->order, "abcb");

	/* Also one that was asked for before the loop ran. */
	loop_chore_start(f->loop, &f->chore);
	run_until_ran(f, 5);
	assert_string_equal(f->order, "abcbc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_timers_in_order),
		LOOP_TEST(test_timer_is_not_early),
		LOOP_TEST(test_timer_stop_and_restart),
		LOOP_TEST(test_timer_far_away),
		LOOP_TEST(test_timer_cannot_starve),
		LOOP_TEST(test_timer_stops_another),
		LOOP_TEST(test_watch_fd),
		LOOP_TEST(test_watch_fd_refused),
		LOOP_TEST(test_unwatch_in_the_batch),
		LOOP_TEST(test_post),
		LOOP_TEST(test_free_with_messages),
		LOOP_TEST(test_signals),
		LOOP_TEST(test_stop_from_a_thread),
		LOOP_TEST(test_stop_before_the_run),
		LOOP_TEST(test_stop_ends_the_round),
		LOOP_TEST(test_budget),
		LOOP_TEST(test_chore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
