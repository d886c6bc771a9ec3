/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: lines that nobody can change unseen, and nothing in them that a terminal obeys. */
#include "proto/audit/audit.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/agent.pb-c.h"
#include "proto/audit/audit_file.h"
#include "proto/audit/audit_read.h"
#include "proto/audit/audit_repeat.h"
#include "proto/audit/audit_text.h"
#include "proto/audit/audited.h"
#include "proto/coordinator.pb-c.h"
#include "proto/methods.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], path[96];

static int setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_audit.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/audit.log", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	for (unsigned n = 1; n < 100; n++) {
		_cleanup_free_ char *name = xasprintf("%s.%u", path, n);

		unlink(name);
	}
	return rmdir(directory);
}

static struct audit *start(uint64_t rotate_bytes, unsigned keep, size_t queue_lines)
{
	return audit_start(&(struct audit_options){ .path = path,
	                                            .self = "agent host1",
	                                            .rotate_bytes = rotate_bytes,
	                                            .keep = keep,
	                                            .queue_lines = queue_lines });
}

static void write_call(struct audit *a, const char *who)
{
	audit_write(a, &(struct audit_record){ .role = "operator",
	                                       .name = who,
	                                       .address = "10.0.0.9:4000",
	                                       .method = "drover.v1.Coordinator/Drain",
	                                       .object = "\"node\":\"host1\"",
	                                       .outcome = "OK" });
}

static void write_refusal(struct audit *a, const char *address)
{
	audit_write(a, &(struct audit_record){ .refused = true,
	                                       .address = address,
	                                       .outcome = "NOT_LET_IN",
	                                       .reason = "the peer does not speak TLS 1.3" });
}

static struct audit_verdict verify(void)
{
	struct audit_verdict verdict;
	struct error err;

	if (audit_read(path, NULL, NULL, &verdict, &err) < 0)
		fail_msg("%s", err.text);
	return verdict;
}

static char *read_log(void)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = xcalloc(1, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	return text;
}

static void write_log(const char *text, size_t bytes)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, bytes), bytes);
}

static void write_three(void)
{
	struct audit *a = start(0, 0, 0);

	write_call(a, "ann");
	write_call(a, "bob");
	write_call(a, "cem");
	audit_stop(a);
}

/* What is written is there after the end, in order, and the chain holds over a restart. */
static void test_chain_over_restart(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit_verdict v;

	(void)state;
	write_three();
	write_three();
	v = verify();
	assert_int_equal(v.bad_line, 0);
	assert_int_equal(v.lines, 6);
	assert_int_equal(v.first_seq, 1);
	assert_int_equal(v.last.seq, 6);
	text = read_log();
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
	write_three();
	text = read_log();
	at = strstr(text, "bob");
	at[1] = 'u';
	write_log(text, strlen(text));
	v = verify();
	assert_int_equal(v.bad_line, 2);
	assert_string_equal(v.bad_path, path);
	assert_non_null(strstr(v.problem.text, "it was changed"));
}

/* A removed line is found, where the next one stands. */
static void test_removed_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit_verdict v;
	char *second, *third;

	(void)state;
	write_three();
	text = read_log();
	second = strchr(text, '\n') + 1;
	third = strchr(second, '\n') + 1;
	memmove(second, third, strlen(third) + 1);
	write_log(text, strlen(text));
	v = verify();
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
	write_three();
	text = read_log();
	at = strchr(text, '\n');
	assert_int_equal(audit_line_check(text, (size_t)(at - text), &first, prev, &err), 0);
	end = strchr(at + 1, '\n') + 1;
	(void)audit_line_make(&first, "\"who\":\"nobody\"", line, &second);
	forged = xasprintf("%.*s\n%s%s", (int)(at - text), text, line, end);
	write_log(forged, strlen(forged));
	v = verify();
	assert_int_equal(v.bad_line, 3);
	assert_non_null(strstr(v.problem.text, "that was replaced"));
}

/* Wherever a crash cuts the last line, it is recovered, told, and the chain goes on. */
static void test_torn_line(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t bytes, begin;

	(void)state;
	write_three();
	text = read_log();
	bytes = strlen(text);
	begin = (size_t)(strstr(text, "{\"seq\":3") - text);
	for (size_t cut = begin + 1; cut < bytes; cut += 7) {
		_cleanup_free_ char *after = NULL;
		struct audit_verdict v;

		write_log(text, cut);
		assert_int_equal(verify().torn_bytes, cut - begin);
		audit_stop(start(0, 0, 0));
		v = verify();
		assert_int_equal(v.bad_line, 0);
		assert_int_equal(v.torn_bytes, 0);
		assert_int_equal(v.last.seq, 3);
		after = read_log();
		assert_non_null(strstr(after, "\"kind\":\"recovered\""));
	}
}

/* A whole last line that was changed stays, is told, and what follows is a chain again. */
static void test_damaged_last_line(void **state)
{
	_cleanup_free_ char *text = NULL, *after = NULL;
	struct audit_verdict v;

	(void)state;
	write_three();
	text = read_log();
	strstr(text, "cem")[0] = 'x';
	write_log(text, strlen(text));
	audit_stop(start(0, 0, 0));
	v = verify();
	assert_int_equal(v.bad_line, 3);
	after = read_log();
	assert_non_null(strstr(after, "xem"));
	assert_non_null(strstr(after, "\"kind\":\"damaged\",\"after_seq\":2"));
}

/* Files are rotated by size, the chain goes through all that are kept, and no more are kept. */
static void test_rotation(void **state)
{
	_cleanup_free_ char *third = xasprintf("%s.3", path), *fourth = xasprintf("%s.4", path);
	struct audit *a = start(4096, 3, 0);
	struct audit_verdict v;
	struct stat st;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		write_call(a, "ann");
	audit_stop(a);
	v = verify();
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
	_cleanup_free_ char *older = xasprintf("%s.1", path);
	struct audit_verdict v;

	(void)state;
	write_three();
	assert_int_equal(rename(path, older), 0);
	write_three();
	v = verify();
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
	assert_int_equal(mkdir(path, 0700), 0); /* in the way of the file */
	a = start(0, 0, 0);
	write_call(a, "ann");
	write_call(a, "bob");
	audit_flush(a);
	audit_get_counts(a, &counts);
	assert_int_equal(counts.written, 0);
	assert_int_equal(counts.lost, 2);
	assert_int_equal(rmdir(path), 0);
	/* It is tried again by itself. */
	for (unsigned i = 0; i < 3000 && counts.written == 0; i++) {
		(void)poll(NULL, 0, 10);
		audit_get_counts(a, &counts);
	}
	write_call(a, "cem");
	audit_stop(a);
	v = verify();
	assert_int_equal(v.bad_line, 0);
	assert_int_equal(v.lost, 2);
	text = read_log();
	assert_non_null(strstr(text, "\"kind\":\"lost\",\"lines\":2"));
	assert_non_null(strstr(text, "\"who\":\"cem\""));
}

/* A full queue loses lines and counts them exactly; refusals leave half of it to calls. */
static void test_full_queue(void **state)
{
	struct audit *a = start(0, 0, 8);
	struct audit_counts counts;
	struct audit_verdict v;

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		write_call(a, "ann");
	audit_flush(a);
	audit_get_counts(a, &counts);
	audit_stop(a);
	v = verify();
	assert_int_equal(v.bad_line, 0);
	assert_true(v.lines >= 8);
	/* Every line is there or was counted; the counts themselves are lines, too. */
	assert_true(counts.lost + v.lines >= 5000);
	assert_true(v.lost <= counts.lost);
}

/* Of one address some refusals are lines, the others a number; another address is not hidden. */
static void test_repeated_refusals(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit *a = start(0, 0, 0);
	struct audit_counts counts;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		_cleanup_free_ char *address = xasprintf("10.0.0.66:%zu", 1000 + i);

		write_refusal(a, address);
	}
	write_refusal(a, "10.0.0.67:1");
	audit_get_counts(a, &counts);
	assert_int_equal(counts.repeated, 1000 - AUDIT_REPEAT_BURST);
	audit_stop(a);
	assert_int_equal(verify().lines, AUDIT_REPEAT_BURST + 2);
	text = read_log();
	assert_non_null(strstr(text, "\"kind\":\"refused-again\",\"address\":\"10.0.0.66\","
	                             "\"times\":995"));
	assert_non_null(strstr(text, "10.0.0.67:1"));
}

/* Who is refused a thousand times the same hides nothing else: not what it called besides, and not that
 * it was cut off or what it claimed (hostile.bats F66 and F71 did not find theirs). */
static void test_repeated_refusals_hide_no_other(void **state)
{
	struct audit *a = start(0, 0, 0);
	struct audit_record r = { .refused = true,
		                  .address = "10.0.0.66:1000",
		                  .method = "drover.v1.Coordinator/Drain",
		                  .outcome = "PERMISSION_DENIED" };
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		audit_write(a, &r);
	r.about = "others' guest";
	audit_write(a, &r);
	audit_write(a, &r);
	r.about = NULL;
	r.method = "drover.v1.Agent/StartMigration";
	audit_write(a, &r);
	r.method = NULL;
	r.outcome = "CUT_OFF";
	audit_write(a, &r);
	audit_stop(a);
	/* And one line that counts what is left. */
	assert_int_equal(verify().lines, AUDIT_REPEAT_BURST + 4);
	text = read_log();
	assert_non_null(strstr(text, "StartMigration"));
	assert_non_null(strstr(text, "CUT_OFF"));
	assert_non_null(strstr(text, "\"times\":996"));
}

/* Every method's refusal is a kind of its own, and there is room for all of them. */
static void test_kinds_of_refusals(void **state)
{
	struct audit_repeat *r = xnew(struct audit_repeat);
	const struct method *methods;
	size_t n, written = 0;

	(void)state;
	methods = method_get_all(&n);
	assert_true(n > AUDIT_REPEAT_BURST && n < AUDIT_REPEAT_KINDS);
	for (size_t i = 0; i < n * 10; i++)
		written += audit_repeat_may_write(r, "10.0.0.66:1000", methods[i % n].name, 1000);
	assert_int_equal(written, n);
	/* What nobody has room for is not remembered either. */
	for (size_t i = 0; i < 1000; i++) {
		_cleanup_free_ char *kind = xasprintf("%zu", i);

		written += audit_repeat_may_write(r, "10.0.0.66:1000", kind, 1000);
	}
	assert_int_equal(written, AUDIT_REPEAT_KINDS);
	free(r);
}

/* However much noise an address makes, what somebody there was denied is still a line. */
static void test_noise_hides_nothing(void **state)
{
	struct audit *a = start(0, 0, 0);
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		audit_write(a, &(struct audit_record){ .refused = true,
		                                       .noise = true,
		                                       .address = "10.0.0.66:1000",
		                                       .outcome = "NOT_LET_IN" });
	write_refusal(a, "10.0.0.66:1001");
	/* Nor does noise of one kind hide another kind; methods that a peer makes up are none. */
	for (size_t i = 0; i < 100; i++) {
		_cleanup_free_ char *method = xasprintf("made.up.%zu", i);

		audit_write(a, &(struct audit_record){ .refused = true,
		                                       .noise = true,
		                                       .address = "10.0.0.66:1000",
		                                       .method = method,
		                                       .outcome = "UNIMPLEMENTED" });
	}
	audit_stop(a);
	assert_int_equal(verify().lines, AUDIT_REPEAT_BURST + 3);
	text = read_log();
	assert_non_null(strstr(text, "10.0.0.66:1001"));
	assert_non_null(strstr(text, "made.up.0"));
	assert_non_null(strstr(text, "\"times\":1094"));
}

/* A flood from more addresses than are remembered is still counted. */
static void test_many_addresses(void **state)
{
	struct audit_repeat *r = xnew(struct audit_repeat);
	char address[AUDIT_REPEAT_ADDRESS_BYTES];
	uint64_t written = 0, counted = 0, count;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		_cleanup_free_ char *from = xasprintf("10.1.%u.%u:5", i / 250, i % 250);

		written += audit_repeat_may_write(r, from, NULL, 1000);
	}
	while (audit_repeat_take(r, 1000, true, address, &count)) {
		assert_string_equal(address, "other addresses");
		counted += count;
	}
	assert_int_equal(written, AUDIT_REPEAT_ADDRESSES + AUDIT_REPEAT_BURST);
	assert_int_equal(written + counted, 3000);
	free(r);
}

/* After its time an address is written again. */
static void test_repeat_forgets(void **state)
{
	struct audit_repeat *r = xnew(struct audit_repeat);
	char address[AUDIT_REPEAT_ADDRESS_BYTES];
	uint64_t count;

	(void)state;
	for (unsigned i = 0; i < AUDIT_REPEAT_BURST; i++)
		assert_true(audit_repeat_may_write(r, "[fe80::1]:77", NULL, 0));
	assert_false(audit_repeat_may_write(r, "[fe80::1]:78", NULL, AUDIT_REPEAT_MS - 1));
	assert_false(audit_repeat_take(r, AUDIT_REPEAT_MS - 1, false, address, &count));
	assert_true(audit_repeat_take(r, AUDIT_REPEAT_MS, false, address, &count));
	assert_string_equal(address, "[fe80::1]");
	assert_int_equal(count, 1);
	assert_true(audit_repeat_may_write(r, "[fe80::1]:79", NULL, AUDIT_REPEAT_MS + 1));
	free(r);
}

/* F78: no name brings anything but printable ASCII into the log, however it is made. */
static void f78_hostile_names(void **state)
{
	/* As bytes: the analyzer takes it for a trick against readers of this file. */
	static const char right_to_left[] = { (char)0xe2, (char)0x80, (char)0xae, 0 };
	static const char *const names[] = {
		"\x1b[2J",          "\xc2\x9b\x33\x31m", "a\nb\"c\\d", right_to_left, "\xff\xfe",
		"\xf0\x9f\x98\x80", "\xed\xa0\x80",      "\x7f",       "\xe2\x82"
	};
	static const char *const escaped[] = {
		"\"n\":\"\\u001b[2J\"",
		"\"n\":\"\\u009b31m\"",
		"\"n\":\"a\\u000ab\\\"c\\\\d\"",
		"\"n\":\"\\u202e\"",
		"\"n\":\"\\ufffd\\ufffd\"",
		"\"n\":\"\\ud83d\\ude00\"",
		NULL,
		"\"n\":\"\\u007f\"",
		"\"n\":\"\\ufffd\\ufffd\"",
	};
	struct audit_text t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		audit_text_init(&t);
		audit_text_add(&t, "n", names[i]);
		for (size_t b = 0; b < t.bytes; b++)
			assert_in_range(t.data[b], 0x20, 0x7e);
		if (escaped[i])
			assert_string_equal(t.data, escaped[i]);
	}
}

/* However long the values, a line has room, says that it was cut, and verifies. */
static void test_long_values(void **state)
{
	_cleanup_free_ char *text = NULL;
	char longest[4000];
	struct audit *a = start(0, 0, 0);

	(void)state;
	memset(longest, 1, sizeof(longest) - 1); /* six characters each when escaped */
	longest[sizeof(longest) - 1] = '\0';
	audit_write(a, &(struct audit_record){ .role = longest,
	                                       .name = longest,
	                                       .address = longest,
	                                       .method = longest,
	                                       .outcome = longest,
	                                       .reason = longest });
	audit_stop(a);
	assert_int_equal(verify().bad_line, 0);
	assert_int_equal(verify().lines, 1);
	text = read_log();
	assert_non_null(strstr(text, ",\"cut\":true,\"hash\":"));
}

/* Of a request stand there its object and its identifiers; of a reply what came of it. */
static void test_what_of_messages(void **state)
{
	Drover__V1__DrainRequest drain = DROVER__V1__DRAIN_REQUEST__INIT;
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Drain made = DROVER__V1__DRAIN__INIT;
	uint8_t id[16] = { 0xab, 0x01 };
	struct audit_text t;

	(void)state;
	drain.node = (char *)"host1";
	drain.reason = (char *)"new disk";
	drain.request_id.data = id;
	drain.request_id.len = sizeof(id);
	audit_text_init(&t);
	audited_request(&drain.base, &t);
	assert_string_equal(t.data, "\"node\":\"host1\",\"reason\":\"new disk\","
	                            "\"request_id\":\"ab010000000000000000000000000000\"");
	made.number = 7;
	reply.drain = &made;
	audit_text_init(&t);
	assert_false(audited_reply(&reply.base, &t));
	assert_non_null(strstr(t.data, "\"drain\":{\"number\":7"));
	reply.drain = NULL;
	reply.refused = true;
	audit_text_init(&t);
	assert_true(audited_reply(&reply.base, &t));
	assert_string_equal(t.data, "\"refused\":true");
}

/* Who only looks is not in the log; every other method is, also one that is not known yet. */
static void test_which_methods(void **state)
{
	(void)state;
	assert_true(audited_method("drover.v1.Coordinator/Drain"));
	assert_true(audited_method("drover.v1.Coordinator/Fence"));
	assert_true(audited_method("drover.v1.Agent/StartMigration"));
	assert_true(audited_method("drover.v1.Agent/ProbeAttempt"));
	assert_true(audited_method("drover.v1.Agent/MadeTomorrow"));
	assert_false(audited_method("drover.v1.Coordinator/GetStatus"));
	assert_false(audited_method("drover.v1.Agent/RenewLease"));
}

/* Two writers would make two chains of one file: the second stays out, and says so by its counts. */
static void test_two_writers(void **state)
{
	struct audit *a = start(0, 0, 0), *b;
	struct audit_counts counts;

	(void)state;
	write_call(a, "ann");
	audit_flush(a);
	b = start(0, 0, 0);
	write_call(b, "bob");
	audit_flush(b);
	audit_get_counts(b, &counts);
	assert_int_equal(counts.lost, 1);
	audit_stop(b);
	audit_stop(a);
	assert_int_equal(verify().lines, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chain_over_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_last_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash_in_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unwritable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repeated_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repeated_refusals_hide_no_other, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_noise_hides_nothing, setup, teardown),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_repeat_forgets),
		cmocka_unit_test(test_kinds_of_refusals),
		cmocka_unit_test(f78_hostile_names),
		cmocka_unit_test_setup_teardown(test_long_values, setup, teardown),
		cmocka_unit_test(test_what_of_messages),
		cmocka_unit_test(test_which_methods),
		cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
