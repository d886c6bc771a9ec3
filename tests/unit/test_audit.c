/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log is lines that nobody can change unseen, over restarts, crashes, rotation and full disks. */
#include "proto/audit/audit.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/audit/audit_file.h"
#include "tests/unit/audit_world.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What is written is there after the end, in order, and the chain holds over a restart. */
static void test_chain_over_restart(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit_verdict v;

	(void)state;
	audit_world_write_three();
	audit_world_write_three();
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 0);
	assert_int_equal(v.lines, 6);
	assert_int_equal(v.first_seq, 1);
	assert_int_equal(v.last.seq, 6);
	text = audit_world_read();
	assert_non_null(strstr(text, "\"kind\":\"call\",\"role\":\"operator\",\"who\":\"ann\""));
	assert_non_null(strstr(text, "\"object\":{\"node\":\"host1\"}"));
}

/* One changed character in any line is found, in that line. */
static void test_changed_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit_verdict v;
	char *at;

	(void)state;
	audit_world_write_three();
	text = audit_world_read();
	at = strstr(text, "bob");
	at[1] = 'u';
	audit_world_put(text, strlen(text));
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 2);
	assert_string_equal(v.bad_path, audit_world_path);
	assert_non_null(strstr(v.problem.text, "it was changed"));
}

/* A removed line is found, where the next one stands. */
static void test_removed_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit_verdict v;
	char *second, *third;

	(void)state;
	audit_world_write_three();
	text = audit_world_read();
	second = strchr(text, '\n') + 1;
	third = strchr(second, '\n') + 1;
	memmove(second, third, strlen(third) + 1);
	audit_world_put(text, strlen(text));
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 2);
	assert_non_null(strstr(v.problem.text, "lines were removed"));
}

/* A line that was made anew with its own right hash does not fit what comes after it. */
static void test_replaced_line(void **state)
{
	_cleanup_free_ char *text = NULL, *forged = NULL;
	struct audit_chain first, second;
	char prev[AUDIT_HASH_BYTES], line[AUDIT_LINE_BYTES];
	struct audit_verdict v;
	struct error err;
	char *at, *end;

	(void)state;
	audit_world_write_three();
	text = audit_world_read();
	at = strchr(text, '\n');
	assert_int_equal(audit_line_check(text, (size_t)(at - text), &first, prev, &err), 0);
	end = strchr(at + 1, '\n') + 1;
	(void)audit_line_make(&first, "\"who\":\"nobody\"", line, &second);
	forged = xasprintf("%.*s\n%s%s", (int)(at - text), text, line, end);
	audit_world_put(forged, strlen(forged));
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 3);
	assert_non_null(strstr(v.problem.text, "that was replaced"));
}

/* Wherever a crash cuts the last line, it is recovered, told, and the chain goes on. */
static void test_torn_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t bytes, begin;

	(void)state;
	audit_world_write_three();
	text = audit_world_read();
	bytes = strlen(text);
	begin = (size_t)(strstr(text, "{\"seq\":3") - text);
	for (size_t cut = begin + 1; cut < bytes; cut += 7) {
		_cleanup_free_ char *after = NULL;
		struct audit_verdict v;

		audit_world_put(text, cut);
		assert_int_equal(audit_world_verify().torn_bytes, cut - begin);
		audit_stop(audit_world_start(0, 0, 0));
		v = audit_world_verify();
		assert_int_equal(v.bad_line, 0);
		assert_int_equal(v.torn_bytes, 0);
		assert_int_equal(v.last.seq, 3);
		after = audit_world_read();
		assert_non_null(strstr(after, "\"kind\":\"recovered\""));
	}
}

/* A whole last line that was changed stays, is told, and what follows is a chain again. */
static void test_damaged_last_line(void **state)
{
	_cleanup_free_ char *text = NULL, *after = NULL;
	struct audit_verdict v;

	(void)state;
	audit_world_write_three();
	text = audit_world_read();
	strstr(text, "cem")[0] = 'x';
	audit_world_put(text, strlen(text));
	audit_stop(audit_world_start(0, 0, 0));
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 3);
	after = audit_world_read();
	assert_non_null(strstr(after, "xem"));
	assert_non_null(strstr(after, "\"kind\":\"damaged\",\"after_seq\":2"));
}

/* Files are rotated by size, the chain goes through all that are kept, and no more are kept. */
static void test_rotation(void **state)
{
	_cleanup_free_ char *third = xasprintf("%s.3", audit_world_path),
			    *fourth = xasprintf("%s.4", audit_world_path);
	struct audit *a = audit_world_start(4096, 3, 0);
	struct audit_verdict v;
	struct stat st;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		audit_world_call(a, "ann");
	audit_stop(a);
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 0);
	assert_int_equal(v.last.seq, 100);
	assert_int_equal(v.lines, v.last.seq - v.first_seq + 1);
	assert_int_equal(stat(third, &st), 0);
	assert_true(st.st_size <= 4096);
	assert_int_equal(stat(fourth, &st), -1);
}

/* After a rotation and before the first line of the new file, the chain is taken from the old. */
static void test_crash_in_rotation(void **state)
{
	_cleanup_free_ char *older = xasprintf("%s.1", audit_world_path);
	struct audit_verdict v;

	(void)state;
	audit_world_write_three();
	assert_int_equal(rename(audit_world_path, older), 0);
	audit_world_write_three();
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 0);
	assert_int_equal(v.last.seq, 6);
}

/* A disk that cannot be written holds nothing up; what is missing is counted and told later. */
static void test_unwritable(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit_counts counts;
	struct audit_verdict v;
	struct audit *a;

	(void)state;
	assert_int_equal(mkdir(audit_world_path, 0700), 0); /* in the way of the file */
	a = audit_world_start(0, 0, 0);
	audit_world_call(a, "ann");
	audit_world_call(a, "bob");
	audit_flush(a);
	audit_get_counts(a, &counts);
	assert_int_equal(counts.written, 0);
	assert_int_equal(counts.lost, 2);
	assert_int_equal(rmdir(audit_world_path), 0);
	/* It is tried again by itself. */
	for (unsigned i = 0; i < 3000 && counts.written == 0; i++) {
		(void)poll(NULL, 0, 10);
		audit_get_counts(a, &counts);
	}
	audit_world_call(a, "cem");
	audit_stop(a);
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 0);
	assert_int_equal(v.lost, 2);
	text = audit_world_read();
	assert_non_null(strstr(text, "\"kind\":\"lost\",\"lines\":2"));
	assert_non_null(strstr(text, "\"who\":\"cem\""));
}

/* A full queue loses lines and counts them exactly; refusals leave half of it to calls. */
static void test_full_queue(void **state)
{
	struct audit *a = audit_world_start(0, 0, 8);
	struct audit_counts counts;
	struct audit_verdict v;

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		audit_world_call(a, "ann");
	audit_flush(a);
	audit_get_counts(a, &counts);
	audit_stop(a);
	v = audit_world_verify();
	assert_int_equal(v.bad_line, 0);
	assert_true(v.lines >= 8);
	/* Every line is there or was counted; the counts themselves are lines, too. */
	assert_true(counts.lost + v.lines >= 5000);
	assert_true(v.lost <= counts.lost);
}

/* Two writers would make two chains of one file: the second stays out, and says so by its counts. */
static void test_two_writers(void **state)
{
	struct audit *a = audit_world_start(0, 0, 0), *b;
	struct audit_counts counts;

	(void)state;
	audit_world_call(a, "ann");
	audit_flush(a);
	b = audit_world_start(0, 0, 0);
	audit_world_call(b, "bob");
	audit_flush(b);
	audit_get_counts(b, &counts);
	assert_int_equal(counts.lost, 1);
	audit_stop(b);
	audit_stop(a);
	assert_int_equal(audit_world_verify().lines, 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, audit_world_setup, audit_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_chain_over_restart), T(test_changed_line),      T(test_removed_line),
		T(test_replaced_line),      T(test_torn_line),         T(test_damaged_last_line),
		T(test_rotation),           T(test_crash_in_rotation), T(test_unwritable),
		T(test_full_queue),         T(test_two_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
