/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of libvirt's job statistics: rates, and the three limits. */
#include "agent/source/convergence.h"

#include "common/alloc.h"
#include "common/units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEP_MS 500

static const struct convergence_limits limits = {
	.completion_timeout_ms_per_gib = 800000,
	.progress_timeout_ms = 150000,
	.max_downtime_ms = 300,
};

static struct convergence c;
static struct convergence_progress progress;
static struct error why;
static uint64_t now_ms;

static void begin(void)
{
	now_ms = 1000;
	error_clear(&why);
	convergence_init(&c, &limits, now_ms);
}

static enum convergence_verdict feed(uint32_t iteration, uint64_t sent_mib, uint64_t left_mib,
                                     uint64_t rate_mib, uint64_t dirty_mib)
{
	struct vm_job job = {
		.active = true,
		.iteration = iteration,
		.memory_total_bytes = 1024 * MIB,
		.memory_processed_bytes = sent_mib * MIB,
		.memory_remaining_bytes = left_mib * MIB,
		.transfer_bytes_per_s = rate_mib * MIB,
		.dirty_bytes_per_s = dirty_mib * MIB,
	};

	now_ms += STEP_MS;
	return convergence_step(&c, &job, now_ms, &progress, &why);
}

/* libvirt's rate stays at its last value when the network is dead; the bytes tell. */
static void test_stall(void **state)
{
	enum convergence_verdict verdict = CONVERGENCE_GO_ON;
	uint64_t dead_ms;

	(void)state;
	begin();
	feed(1, 100, 924, 100, 0);
	dead_ms = now_ms;
	while (verdict == CONVERGENCE_GO_ON && now_ms < dead_ms + 10 * CONVERGENCE_STALL_MS)
		verdict = feed(1, 100, 924, 100, 0);
	assert_int_equal(verdict, CONVERGENCE_ABORT_STALLED);
	assert_int_equal(now_ms - dead_ms, CONVERGENCE_STALL_MS);
	assert_non_null(strstr(why.text, "no byte moved"));
	assert_non_null(strstr(why.text, "924 MiB"));
}

/* Preparation is no stall: libvirt reports nothing before the first pass. */
static void test_preparation(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < 2 * CONVERGENCE_STALL_MS / STEP_MS; i++)
		assert_int_equal(feed(0, 0, 0, 0, 0), CONVERGENCE_GO_ON);
}

/* Bytes flow for ever, but no pass gets smaller: oscillation is not progress, and neither is that what
 * remains falls within each pass. */
static void test_no_progress(void **state)
{
	enum convergence_verdict verdict = CONVERGENCE_GO_ON;
	unsigned i;

	(void)state;
	begin();
	for (i = 0; i < 1000 && verdict == CONVERGENCE_GO_ON; i++)
		verdict = feed(2 + i / 7, 100 + 50 * i, 350 + (i / 7 % 3) - 50 * (i % 7), 100, 120);
	assert_int_equal(verdict, CONVERGENCE_ABORT_NO_PROGRESS);
	/* The first pass that is seen whole is the second one, of 3.5 s. */
	assert_in_range(now_ms, 150000, 158000);
	assert_non_null(strstr(why.text, "did not converge"));
	assert_non_null(strstr(why.text, "Mbit/s"));
}

/* A guest whose passes swing between large and small ones makes no progress after the smallest. */
static void test_swinging_passes(void **state)
{
	static const uint64_t sizes_mib[] = { 900, 300, 700, 310, 900, 295 };
	enum convergence_verdict verdict = CONVERGENCE_GO_ON;
	unsigned i;

	(void)state;
	begin();
	for (i = 0; i < 2000 && verdict == CONVERGENCE_GO_ON; i++) {
		uint64_t size_mib = sizes_mib[i / 5 % ARRAY_SIZE(sizes_mib)];

		verdict = feed(2 + i / 5, 100 + 50 * i, size_mib - 50 * (i % 5), 100, 120);
	}
	assert_int_equal(verdict, CONVERGENCE_ABORT_NO_PROGRESS);
	assert_in_range(now_ms, 150000, 165000);
}

/* A pass that is smaller than all before is progress however long it lasts: a large guest on a slow link
 * is not given up while it converges. */
static void test_long_passes(void **state)
{
	uint64_t sent_mib = 0;

	(void)state;
	begin();
	convergence_init(&c, &(struct convergence_limits){ .progress_timeout_ms = 150000 }, now_ms);
	for (uint64_t left = 800; left > 0; left--)
		assert_int_equal(feed(1, ++sent_mib, left, 2, 1), CONVERGENCE_GO_ON);
	/* 200 s, then 170 s: as long as what it had to send is less. */
	for (uint64_t left = 400; left > 0; left--)
		assert_int_equal(feed(2, ++sent_mib, left, 2, 1), CONVERGENCE_GO_ON);
	for (uint64_t left = 340; left > 0; left--)
		assert_int_equal(feed(3, ++sent_mib, left, 2, 1), CONVERGENCE_GO_ON);
	/* The next is as large as that one: 150 s later it is known to lead nowhere. */
	for (uint64_t left = 340; left > 340 - 298; left--)
		assert_int_equal(feed(4, ++sent_mib, left, 2, 1), CONVERGENCE_GO_ON);
	assert_int_equal(feed(4, ++sent_mib, 41, 2, 1), CONVERGENCE_GO_ON);
	assert_int_equal(feed(4, ++sent_mib, 40, 2, 1), CONVERGENCE_ABORT_NO_PROGRESS);
	/* More bandwidth, or an operator's hand: what is gained counts from then. */
	convergence_begin_anew(&c, now_ms);
	assert_int_equal(feed(4, ++sent_mib, 39, 2, 1), CONVERGENCE_GO_ON);
}

/* A guest that writes to the same pages again and again, as QEMU moves it: it looks for what was written when so
 * much is left that it would fit into the pause, and that is the next pass. */
struct sender {
	double hot_mib, link_mib_per_s, fits_mib;
	double counted; /* of what is sent: less than all where pages are zeros */
	double left_mib, sent_mib;
	uint32_t iteration, seed;
};

static void send(struct sender *s, double mib)
{
	while (mib > 0) {
		double part = fmin(s->left_mib - s->fits_mib, mib);

		mib -= part;
		s->left_mib -= part;
		s->sent_mib += part * s->counted;
		if (s->left_mib > s->fits_mib)
			continue;
		s->iteration++;
		s->left_mib = s->hot_mib;
	}
}

/* It is looked at each half a second, and up to a fiftieth later. */
static enum convergence_verdict feed_sender(struct sender *s)
{
	struct vm_job job = { .active = true, .memory_total_bytes = 1024 * MIB };
	uint64_t ms;

	if (!s->iteration) {
		s->iteration = 2;
		s->left_mib = s->hot_mib;
		s->sent_mib = 1024;
	}
	s->seed = s->seed * 1103515245 + 12345;
	ms = STEP_MS + (s->seed >> 16) % (STEP_MS / 50);
	send(s, s->link_mib_per_s * (double)ms / 1000);
	now_ms += ms;
	job.iteration = s->iteration;
	job.memory_processed_bytes = (uint64_t)(s->sent_mib * MIB);
	job.memory_remaining_bytes = (uint64_t)(s->left_mib * MIB);
	job.transfer_bytes_per_s = (uint64_t)(s->link_mib_per_s * s->counted * MIB);
	job.dirty_bytes_per_s = (uint64_t)(s->link_mib_per_s * MIB);
	return convergence_step(&c, &job, now_ms, &progress, &why);
}

/* All passes are the same, and shorter than what is between two readings, or a little longer: of each another part
 * is seen, now and then less than ever before. That is no progress. */
static void test_same_short_passes(void **state)
{
	static const struct sender senders[] = {
		{ .hot_mib = 5, .link_mib_per_s = 50, .counted = 1 },
		{ .hot_mib = 22, .link_mib_per_s = 50, .counted = 1 },
		{ .hot_mib = 70, .link_mib_per_s = 50, .counted = 1 },
		/* By a little too much for the 300 ms; and twice as much. */
		{ .hot_mib = 16, .link_mib_per_s = 50, .fits_mib = 14.5, .counted = 1 },
		{ .hot_mib = 29, .link_mib_per_s = 50, .fits_mib = 14.5, .counted = 1 },
		{ .hot_mib = 22, .link_mib_per_s = 50, .counted = 0.9 },
	};

	(void)state;
	for (size_t i = 0; i < 20 * ARRAY_SIZE(senders); i++) {
		enum convergence_verdict verdict = CONVERGENCE_GO_ON;
		struct sender sender = senders[i / 20];

		begin();
		sender.seed = (uint32_t)i;
		while (verdict == CONVERGENCE_GO_ON)
			verdict = feed_sender(&sender);
		assert_int_equal(verdict, CONVERGENCE_ABORT_NO_PROGRESS);
		assert_in_range(now_ms, 150000, 156000);
	}
}

/* Short ones that get smaller by a sixth every two minutes: seen though none of them is seen whole. */
static void test_shrinking_short_passes(void **state)
{
	static const struct sender senders[] = {
		{ .hot_mib = 24, .link_mib_per_s = 50, .counted = 1 },
		{ .hot_mib = 49, .link_mib_per_s = 50, .fits_mib = 14.5, .counted = 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(senders); i++) {
		struct sender sender = senders[i];

		begin();
		for (unsigned two_minutes = 0; two_minutes < 5; two_minutes++) {
			while (now_ms < 1000 + 120000 * (two_minutes + 1))
				assert_int_equal(feed_sender(&sender), CONVERGENCE_GO_ON);
			sender.hot_mib *= 5.0 / 6;
		}
	}
}

/* The end of a pass was pages of zeros, of which nothing is counted: how large the next one is was seen, and one
 * that is smaller than that is progress. */
static void test_zeros(void **state)
{
	uint64_t sent_mib = 900;

	(void)state;
	begin();
	convergence_init(&c, &(struct convergence_limits){ .progress_timeout_ms = 150000 }, now_ms);
	for (uint64_t left = 900; left > 600; left--)
		assert_int_equal(feed(2, ++sent_mib, left, 2, 1), CONVERGENCE_GO_ON);
	for (uint64_t left = 800; left > 0; left -= 4)
		assert_int_equal(feed(3, sent_mib += 4, left, 8, 1), CONVERGENCE_GO_ON);
	for (uint64_t left = 700; left > 300; left--)
		assert_int_equal(feed(4, ++sent_mib, left, 2, 1), CONVERGENCE_GO_ON);
}

/* The whole may take no longer than allowed for its size; a guest under one GiB has that of one. */
static void test_completion(void **state)
{
	static const struct convergence_limits short_limits = {
		.completion_timeout_ms_per_gib = 10000,
	};
	enum convergence_verdict verdict = CONVERGENCE_GO_ON;
	unsigned i;

	(void)state;
	begin();
	convergence_init(&c, &short_limits, now_ms);
	for (i = 0; i < 100 && verdict == CONVERGENCE_GO_ON; i++)
		verdict = feed(1, i + 1, 1024 - i, 2, 0);
	assert_int_equal(verdict, CONVERGENCE_ABORT_TIMEOUT);
	assert_int_equal(now_ms, 1000 + 10000);
	assert_non_null(strstr(why.text, "completionTimeoutPerGiB"));
}

static enum convergence_verdict feed_disks(uint64_t sent_mib, uint64_t left_mib)
{
	struct vm_job job = {
		.active = true,
		.disk_total_bytes = (sent_mib + left_mib) * MIB,
		.disk_processed_bytes = sent_mib * MIB,
		.disk_remaining_bytes = left_mib * MIB,
	};

	now_ms += STEP_MS;
	return convergence_step(&c, &job, now_ms, &progress, &why);
}

static void begin_with_disks(void)
{
	struct convergence_limits with_memory = limits;

	with_memory.memory_bytes = 1024 * MIB;
	begin();
	convergence_init(&c, &with_memory, now_ms);
}

/* While disks are copied libvirt tells no rate: it is that of the bytes. */
static void test_disks(void **state)
{
	(void)state;
	begin_with_disks();
	for (unsigned i = 1; i <= 20; i++)
		assert_int_equal(feed_disks(50 * i, 4096 - 50 * i), CONVERGENCE_GO_ON);
	/* 50 MiB in half a second. */
	assert_in_range(progress.transfer_bytes_per_s, 99 * MIB, 101 * MIB);
}

/* From the disks to the memory is no step back and no stall: what remains is known anew, and the disks'
 * figures may go or stay. */
static void test_disks_then_memory(void **state)
{
	(void)state;
	begin_with_disks();
	for (unsigned i = 1; i <= 40; i++)
		feed_disks(100 * i, 4000 - 100 * i);
	/* More memory than was thought: as with video RAM; and for longer than the progress limit. */
	for (unsigned i = 1; i <= 310; i++)
		assert_int_equal(feed(1, i, 1100 - i, 2, 0), CONVERGENCE_GO_ON);
	assert_in_range(progress.transfer_bytes_per_s, MIB, 3 * MIB);
}

/* A dead network is seen in the disks' bytes, too. */
static void test_disks_stall(void **state)
{
	enum convergence_verdict verdict = CONVERGENCE_GO_ON;
	uint64_t dead_ms;

	(void)state;
	begin_with_disks();
	feed_disks(100, 900);
	dead_ms = now_ms;
	while (verdict == CONVERGENCE_GO_ON && now_ms < dead_ms + 10 * CONVERGENCE_STALL_MS)
		verdict = feed_disks(100, 900);
	assert_int_equal(verdict, CONVERGENCE_ABORT_STALLED);
	assert_int_equal(now_ms - dead_ms, CONVERGENCE_STALL_MS);
	assert_non_null(strstr(why.text, "1.9 GiB left"));
}

/* The time for the whole counts disks and memory from the beginning. */
static void test_disks_completion(void **state)
{
	struct convergence_limits short_limits = { .completion_timeout_ms_per_gib = 10000,
		                                   .memory_bytes = 1024 * MIB };
	enum convergence_verdict verdict = CONVERGENCE_GO_ON;

	(void)state;
	begin();
	convergence_init(&c, &short_limits, now_ms);
	for (unsigned i = 0; i < 1000 && verdict == CONVERGENCE_GO_ON; i++)
		verdict = feed_disks(i + 1, 2047 - i);
	assert_int_equal(verdict, CONVERGENCE_ABORT_TIMEOUT);
	assert_int_equal(now_ms, 1000 + 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_preparation),
		cmocka_unit_test(test_no_progress),
		cmocka_unit_test(test_swinging_passes),
		cmocka_unit_test(test_long_passes),
		cmocka_unit_test(test_same_short_passes),
		cmocka_unit_test(test_shrinking_short_passes),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_completion),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_disks_then_memory),
		cmocka_unit_test(test_disks_stall),
		cmocka_unit_test(test_disks_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
