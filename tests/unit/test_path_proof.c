/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a migration uses the migration network, from made-up counters: the times and figures are the
 * test's. */
#include "agent/link/path_proof.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A source with the migration interface mi0 and the management interface mg0, and one migration. */
struct run {
	struct path_proof proof;
	struct path_reading now;
};

static void begin(struct run *r)
{
	*r = (struct run){ .now = { .at_ms = 50000, .measured = true, .connections = 1, .n = 2 } };
	r->now.counts[0] = (struct path_count){ .name = "mi0", .migration = true, .counted = true };
	r->now.counts[1] = (struct path_count){ .name = "mg0", .counted = true };
	path_proof_update(&r->proof, &r->now);
}

static void carry(struct path_count *c, uint64_t bytes)
{
	c->payload_bytes += bytes;
	c->memory_bytes += bytes;
	c->wire_bytes += bytes + bytes / 20;
}

/* In a second QEMU sends @sent bytes, of which mi0 and mg0 carry so many. */
static void second(struct run *r, uint64_t sent, uint64_t mi0, uint64_t mg0)
{
	r->now.at_ms += 1000;
	r->now.qemu_bytes += sent;
	carry(&r->now.counts[0], mi0);
	carry(&r->now.counts[1], mg0);
	path_proof_update(&r->proof, &r->now);
}

static void seconds(struct run *r, unsigned n, uint64_t sent, uint64_t mi0, uint64_t mg0)
{
	for (unsigned i = 0; i < n; i++)
		second(r, sent, mi0, mg0);
}

static void test_proved(void **state)
{
	/* Bytes that were seen on the migration interface prove the path, with rate and share; before
	 * the first of them nothing is known. */
	struct run r;

	(void)state;
	begin(&r);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	assert_string_equal(r.proof.text, "not measured yet");
	second(&r, 100, 100, 0);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	second(&r, 100 * MIB, 100 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	assert_false(r.proof.deviated);
	assert_string_equal(r.proof.text, "mi0 carries it at 100 MiB/s = 839 Mbit/s");
	assert_int_equal(r.proof.n, 1);
	assert_string_equal(r.proof.interfaces[0].name, "mi0");
	assert_true(r.proof.interfaces[0].migration);
	assert_int_equal(r.proof.interfaces[0].percent, 100);
	assert_int_equal(r.proof.interfaces[0].bytes_per_s, 105 * MIB);
	assert_int_equal(r.proof.interfaces[0].wire_bytes, 105 + 105 * MIB);
}

static void test_elsewhere(void **state)
{
	/* What another interface carries instead is named with its rate, after two seconds. */
	struct run r;

	(void)state;
	begin(&r);
	second(&r, 100 * MIB, 0, 100 * MIB);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	second(&r, 100 * MIB, MIB, 99 * MIB);
	assert_int_equal(r.proof.verdict, PATH_ELSEWHERE);
	assert_true(r.proof.deviated);
	assert_string_equal(r.proof.text, "it goes over mg0 at 104 MiB/s = 872 Mbit/s, and mi0 "
	                                  "carries 1 MiB/s = 8.4 Mbit/s of it");
	assert_int_equal(r.proof.n, 2);
	assert_string_equal(r.proof.interfaces[1].name, "mg0");
	assert_int_equal(r.proof.interfaces[1].percent, 100);
	assert_int_equal(r.proof.interfaces[0].percent, 0);
}

static void test_elsewhere_without_qemu(void **state)
{
	/* Of disks QEMU's own count says nothing; that they go elsewhere is seen all the same. */
	struct run r;

	(void)state;
	begin(&r);
	for (int i = 0; i < 2; i++) {
		r.now.at_ms += 1000;
		r.now.counts[1].payload_bytes += 10 * MIB;
		r.now.counts[1].wire_bytes += 11 * MIB;
		path_proof_update(&r.proof, &r.now);
	}
	assert_int_equal(r.proof.verdict, PATH_ELSEWHERE);
	assert_non_null(strstr(r.proof.text, "mi0 carries nothing of it"));
}

static void test_switch_in_the_middle(void **state)
{
	/* A route that changes in the middle is noticed as well; one that comes back is proved again after
	 * three seconds, and what happened stays known. */
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 6, 10 * MIB, 10 * MIB, 0);
	seconds(&r, 2, 10 * MIB, 0, 10 * MIB);
	assert_int_equal(r.proof.verdict, PATH_ELSEWHERE);
	assert_int_equal(r.proof.interfaces[0].percent, 75);
	assert_int_equal(r.proof.interfaces[1].percent, 25);
	seconds(&r, 2, 10 * MIB, 10 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_ELSEWHERE);
	/* Nothing is sent: no evidence for either. */
	seconds(&r, 5, 0, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_ELSEWHERE);
	second(&r, 10 * MIB, 10 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	assert_true(r.proof.deviated);
}

static void test_blinded_in_the_middle(void **state)
{
	/* While the counters are no evidence nothing deviates, however long; when they are again, it is
	 * proved anew, and what passed unseen is not held against it. */
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 3, 100 * MIB, 100 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	second(&r, 100 * MIB, 10 * MIB, 0);
	r.now.counts[0].counted = false;
	seconds(&r, 20, 100 * MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	r.now.counts[0].counted = true;
	second(&r, 100 * MIB, 0, 0);
	seconds(&r, 4, 100 * MIB, 100 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	assert_false(r.proof.deviated);
}

static void test_one_window_is_none(void **state)
{
	/* One second of it, or little of it, is no deviation. */
	struct run r;

	(void)state;
	begin(&r);
	for (int i = 0; i < 10; i++) {
		second(&r, 10 * MIB, 0, 10 * MIB);
		second(&r, 10 * MIB, 10 * MIB, 0);
	}
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	begin(&r);
	seconds(&r, 60, PATH_PROOF_LEAST_BYTES - 1, 0, PATH_PROOF_LEAST_BYTES - 1);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	assert_false(r.proof.deviated);
}

static void test_layers_of_one_path(void **state)
{
	/* A member of the bond that the migration network is on sees the same bytes: that is the path. */
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 30, 100 * MIB, 100 * MIB, 100 * MIB);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	assert_int_equal(r.proof.interfaces[0].percent, 100);
	assert_int_equal(r.proof.interfaces[1].percent, 100);
	/* One of two members has half. */
	seconds(&r, 30, 100 * MIB, 100 * MIB, 50 * MIB);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
}

static void test_missing(void **state)
{
	/* What QEMU sends and no watched interface carries is missed after three seconds, and the
	 * kernel's route is named. */
	struct run r;

	(void)state;
	begin(&r);
	r.now.route = "br9";
	seconds(&r, 2, 100 * MIB, MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	second(&r, 100 * MIB, MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_MISSING);
	assert_true(r.proof.deviated);
	assert_string_equal(
		r.proof.text,
		"QEMU sends 100 MiB/s = 839 Mbit/s, and mi0 carries 1 MiB/s = 8.4 Mbit/s "
		"of it: the kernel's route for it is over br9, which is not watched");
	r.now.route = "mi0";
	second(&r, 100 * MIB, 0, 0);
	assert_non_null(strstr(r.proof.text,
	                       "mi0 carries nothing of it: the kernel's route for it is "
	                       "over mi0"));
	assert_null(strstr(r.proof.text, "not watched"));
	r.now.route = "";
	second(&r, 100 * MIB, 0, 0);
	assert_non_null(strstr(r.proof.text, "the interface that it takes is not watched"));
	r.now.route = NULL;
	second(&r, 100 * MIB, 0, 0);
	assert_non_null(strstr(r.proof.text, "the interface that it takes is not watched"));
}

static void test_buffers(void **state)
{
	/* A network that stands still is not one that is avoided: what lies in the send buffers is late,
	 * of each connection. */
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 8, MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	seconds(&r, 100, 0, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	/* It goes on, and the buffers become empty: nothing is owed any more. */
	second(&r, MIB, 9 * MIB, 0);
	seconds(&r, 8, MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);

	begin(&r);
	r.now.connections = 4;
	seconds(&r, 32, MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	seconds(&r, 4, MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_MISSING);

	begin(&r);
	r.now.connections = 0;
	seconds(&r, 12, MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_MISSING);
}

static void test_more_than_qemu_says(void **state)
{
	/* TLS and what is sent again make more of it than QEMU counts; that pays for nothing later. */
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 100, 100 * MIB, 102 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	seconds(&r, 3, 100 * MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_MISSING);
}

static void test_not_measured(void **state)
{
	/* Without eBPF, while another program blinds it, or without a watched migration interface, the path
	 * is unknown and says why; after that it begins anew. */
	struct run r;

	(void)state;
	begin(&r);
	r.now.counts[0].counted = false;
	seconds(&r, 10, 100 * MIB, 0, 100 * MIB);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	assert_string_equal(r.proof.text,
	                    "not measured: mi0 is not counted by eBPF, which alone tells "
	                    "migrations apart");
	assert_false(path_proof_must_stop(&r.proof, true, false));
	r.now.counts[0].counted = true;
	second(&r, 100 * MIB, 100 * MIB, 0);
	assert_string_equal(r.proof.text, "not measured yet");
	second(&r, 100 * MIB, 100 * MIB, 0);
	assert_int_equal(r.proof.verdict, PATH_PROVED);
	r.now.measured = false;
	second(&r, 100 * MIB, 0, 100 * MIB);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	r.now.measured = true;
	r.now.n = 0;
	second(&r, 100 * MIB, 0, 100 * MIB);
	assert_non_null(strstr(r.proof.text, "the migration interface is not counted"));
}

static void test_windows(void **state)
{
	/* A short window is joined with the next; one in which a counter went back says nothing; an
	 * interface that appears counts from 0. */
	struct run r;

	(void)state;
	begin(&r);
	r.now.at_ms += PATH_PROOF_WINDOW_MIN_MS - 1;
	carry(&r.now.counts[0], MIB);
	path_proof_update(&r.proof, &r.now);
	assert_int_equal(r.proof.verdict, PATH_UNKNOWN);
	second(&r, MIB, MIB, 0);
	assert_int_equal(r.proof.interfaces[0].wire_bytes, 2 * (MIB + MIB / 20));
	r.now.counts[0] = (struct path_count){ .name = "mi0", .migration = true, .counted = true };
	r.now.at_ms += 1000;
	path_proof_update(&r.proof, &r.now);
	assert_int_equal(r.proof.interfaces[0].wire_bytes, 2 * (MIB + MIB / 20));
	r.now.n = 3;
	r.now.counts[2] = (struct path_count){ .name = "mg1", .counted = true };
	carry(&r.now.counts[2], 40 * MIB);
	second(&r, 40 * MIB, 0, 0);
	carry(&r.now.counts[2], 40 * MIB);
	second(&r, 40 * MIB, 0, 0);
	assert_int_equal(r.proof.verdict, PATH_ELSEWHERE);
	assert_string_equal(r.proof.interfaces[1].name, "mg1");
}

static void test_stop(void **state)
{
	/* A migration is stopped only for a deviation, only if policy says so, and never once the guest is on
	 * its way over. */
	static const struct {
		enum path_verdict verdict;
		bool policy, switched, stops;
	} rows[] = {
		{ PATH_UNKNOWN, true, false, false },    { PATH_PROVED, true, false, false },
		{ PATH_ELSEWHERE, true, false, true },   { PATH_MISSING, true, false, true },
		{ PATH_ELSEWHERE, false, false, false }, { PATH_MISSING, false, false, false },
		{ PATH_ELSEWHERE, true, true, false },   { PATH_MISSING, true, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct path_proof proof = { .verdict = rows[i].verdict };

		assert_int_equal(path_proof_must_stop(&proof, rows[i].policy, rows[i].switched),
		                 rows[i].stops);
	}
	assert_string_equal(path_verdict_name(PATH_UNKNOWN), "unknown");
	assert_string_equal(path_verdict_name(PATH_MISSING), "missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proved),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_elsewhere_without_qemu),
		cmocka_unit_test(test_switch_in_the_middle),
		cmocka_unit_test(test_one_window_is_none),
		cmocka_unit_test(test_blinded_in_the_middle),
		cmocka_unit_test(test_layers_of_one_path),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_more_than_qemu_says),
		cmocka_unit_test(test_not_measured),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
