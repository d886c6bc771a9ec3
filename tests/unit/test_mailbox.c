/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever couriers do, the owner sees each message once and in order. */
#include "common/mailbox.h"

#include "common/alloc.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define POSTERS  4
#define MESSAGES 5000

struct counter {
	struct mailbox *box;
	size_t run[POSTERS]; /* how many of each poster ran, which is the next number expected */
	size_t dropped;
	bool out_of_order;
};

struct numbered {
	struct message message;
	struct counter *counter;
	size_t poster, number;
	bool post_again;
};

static void run_numbered(struct message *m)
{
	struct numbered *n = (struct numbered *)m;

	if (n->number != n->counter->run[n->poster])
		n->counter->out_of_order = true;
	n->counter->run[n->poster]++;
	if (n->post_again) {
		n->post_again = false;
		n->number++;
		mailbox_post(n->counter->box, m);
		return;
	}
	free(n);
}

static void drop_numbered(struct message *m)
{
	((struct numbered *)m)->counter->dropped++;
	free(m);
}

static struct numbered *numbered_new(struct counter *counter, size_t poster, size_t number)
{
	struct numbered *n = xnew(struct numbered);

	*n = (struct numbered){ .message = { .run = run_numbered, .drop = drop_numbered },
		                .counter = counter,
		                .poster = poster,
		                .number = number };
	return n;
}

static bool is_readable(const struct mailbox *box)
{
	struct pollfd p = { .fd = mailbox_get_fd(box), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

struct poster {
	struct counter *counter;
	size_t index;
};

static void *post_many(void *argument)
{
	struct poster *poster = argument;

	for (size_t i = 0; i < MESSAGES; i++)
		mailbox_post(poster->counter->box,
		             &numbered_new(poster->counter, poster->index, i)->message);
	return NULL;
}

/* Nothing that several threads post is lost, and each poster's messages keep their order. */
static void test_many_posters(void **state)
{
	struct counter counter = { .box = mailbox_new() };
	struct poster posters[POSTERS];
	pthread_t threads[POSTERS];
	size_t total = 0;

	(void)state;
	for (size_t i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ &counter, i };
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
	}
	/* Woken by the descriptor alone: a lost wakeup ends in the poll's time-out. */
	while (total < (size_t)POSTERS * MESSAGES) {
		struct pollfd p = { .fd = mailbox_get_fd(counter.box), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 30000), 1);
		total += mailbox_run(counter.box);
	}
	for (size_t i = 0; i < POSTERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(counter.run[i], MESSAGES);
	}
	assert_false(counter.out_of_order);
	assert_int_equal(mailbox_run(counter.box), 0);
	mailbox_free(counter.box);
}

/* The descriptor is readable while there is something in the box, and only then. */
static void test_readable_while_not_empty(void **state)
{
	struct counter counter = { .box = mailbox_new() };

	(void)state;
	assert_false(is_readable(counter.box));
	mailbox_post(counter.box, &numbered_new(&counter, 0, 0)->message);
	mailbox_post(counter.box, &numbered_new(&counter, 0, 1)->message);
	assert_true(is_readable(counter.box));
	assert_int_equal(mailbox_run(counter.box), 2);
	assert_false(is_readable(counter.box));
	mailbox_free(counter.box);
}

/* A message that posts another waits its turn: the chain cannot keep the loop from other work. */
static void test_chain_waits_for_the_next_round(void **state)
{
	struct counter counter = { .box = mailbox_new() };
	struct numbered *first = numbered_new(&counter, 0, 0);

	(void)state;
	first->post_again = true;
	mailbox_post(counter.box, &first->message);
	assert_int_equal(mailbox_run(counter.box), 1);
	assert_true(is_readable(counter.box));
	assert_int_equal(mailbox_run(counter.box), 1);
	assert_int_equal(counter.run[0], 2);
	mailbox_free(counter.box);
}

/* A box that is closed drops what it still holds, by the message's own way or by free(). */
static void test_closing_drops(void **state)
{
	struct counter counter = { .box = mailbox_new() };
	struct numbered *plain = numbered_new(&counter, 0, 0);

	(void)state;
	plain->message.drop = NULL;
	mailbox_post(counter.box, &numbered_new(&counter, 0, 0)->message);
	mailbox_post(counter.box, &plain->message);
	mailbox_free(counter.box);
	assert_int_equal(counter.dropped, 1);
	assert_int_equal(counter.run[0], 0);
	mailbox_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_posters),
		cmocka_unit_test(test_readable_while_not_empty),
		cmocka_unit_test(test_chain_waits_for_the_next_round),
		cmocka_unit_test(test_closing_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
