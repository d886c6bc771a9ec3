/* SPDX-License-Identifier: Apache-2.0 */
/* What arrived against what had left: the guest itself, its clock, its source, and what is kept of it. */
#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/verification_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A guest that arrived as it had left passes every check, though its taps have other names. */
static void test_same(void **state)
{
	static const char *const ids[] = { "state",
		                           "identity",
		                           "definition",
		                           "vcpus",
		                           "memory",
		                           "disk/vda",
		                           "disk/vda[1]",
		                           "disk/sda",
		                           "network/52:54:00:00:00:01",
		                           "network/52:54:00:00:00:02" };
	struct arrival *a = verification_arrive();

	(void)state;
	assert_null(verification_differs(a));
	assert_int_equal(a->result.checks.count, ARRAY_SIZE(ids));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_string_equal(a->result.checks.items[i].id, ids[i]);
	assert_int_equal(verification_count_passed(&a->result.checks), ARRAY_SIZE(ids));
	/* It has no agent: that its clock was not asked is told, and counts for nothing. */
	assert_string_equal(a->result.not_verified,
	                    "the guest's clock: the guest has no agent to ask");
	free(a);
}

/* What a guest does is compared with what it did: paused by a person it arrives paused. */
static void test_state(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->found.summary.state = VM_PAUSED;
	strcpy(a->found.summary.reason, "I/O error");
	verification_expect(a, "state", "paused (I/O error)");

	a = verification_arrive();
	a->in.paused = true;
	a->found.summary.state = VM_PAUSED;
	assert_null(verification_differs(a));
	free(a);

	a = verification_arrive();
	a->in.paused = true;
	verification_expect(a, "state", "running");
}

/* One that is not there any more is one failed check, and nothing is said of its devices. */
static void test_gone(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->in.found = NULL;
	verification_expect(a, "state", "not active on host2");
}

/* Name and UUID are its identity; vCPUs and memory are what it had. */
static void test_identity_and_sizes(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	strcpy(a->found.summary.name, "wab");
	verification_expect(a, "identity", "wab");
	a = verification_arrive();
	a->found.summary.uuid[0] = 'f';
	verification_expect(a, "identity", "f0000000");
	a = verification_arrive();
	a->found.summary.vcpus = 1;
	verification_expect(a, "vcpus", "1 of at most 4");
	a = verification_arrive();
	a->found.vcpus_maximum = 2;
	verification_expect(a, "vcpus", "2 of at most 2");
	a = verification_arrive();
	a->found.summary.memory_bytes = 128 * MIB;
	verification_expect(a, "memory", "128 MiB");
}

/* The definition and autostart went along, by what the source had before it switched autostart off for
 * the move; a transient guest stays one. */
static void test_definition(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->left.summary.autostart = false;
	assert_null(verification_differs(a));
	free(a);
	a = verification_arrive();
	a->found.summary.autostart = false;
	verification_expect(a, "definition", "defined, autostart off");
	a = verification_arrive();
	a->found.summary.persistent = false;
	verification_expect(a, "definition", "transient");
	a = verification_arrive();
	a->in.persistent = a->in.autostart = false;
	a->found.summary.autostart = false;
	verification_expect(a, "definition", "defined, autostart off");
	a = verification_arrive();
	a->in.autostart = false;
	verification_expect(a, "definition", "autostart on");
	/* One without a definition has no autostart, whatever a mark of it says. */
	a = verification_arrive();
	a->in.persistent = a->found.summary.persistent = false;
	assert_null(verification_differs(a));
	assert_string_equal(a->result.checks.items[2].measured, "transient: without a definition");
	free(a);
}

/* A clock that is off is a warning; an agent that is silent is no difference, but told. */
static void test_clock(void **state)
{
	struct arrival *a = verification_arrive();
	const struct check *c;

	(void)state;
	a->found.agent_channel = VM_AGENT_CONNECTED;
	a->devices.clock = VM_CLOCK_KNOWN;
	a->devices.clock_ahead_ms = -120;
	assert_null(verification_differs(a));
	assert_string_equal(a->result.checks.items[10].id, "clock");
	assert_string_equal(a->result.checks.items[10].measured, "120 ms behind");
	assert_string_equal(a->result.not_verified, "");

	a->devices.clock_ahead_ms = 3600000;
	c = verification_differs(a);
	assert_non_null(c);
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_string_equal(c->id, "clock");

	a->devices.clock = VM_CLOCK_SILENT;
	strcpy(a->devices.clock_why, "Guest agent is not responding");
	assert_null(verification_differs(a));
	assert_string_equal(a->result.not_verified,
	                    "the guest's clock: Guest agent is not responding");

	a->devices.clock = VM_CLOCK_NOT_ASKED;
	a->found.agent_channel = VM_AGENT_DISCONNECTED;
	assert_null(verification_differs(a));
	assert_string_equal(a->result.not_verified,
	                    "the guest's clock: the guest's agent is not connected");
	free(a);
}

/* At its source nothing may be left of it, not even a name. */
static void test_source(void **state)
{
	struct vm_summary vm = {
		.name = "web", .state = VM_SHUTOFF, .persistent = true, .autostart = true
	};
	struct check c;

	(void)state;
	verification_judge_source("host1", NULL, NULL, &c);
	assert_int_equal(c.verdict, CHECK_PASS);
	verification_judge_source("host1", &vm, NULL, &c);
	assert_int_equal(c.verdict, CHECK_FAIL);
	assert_string_equal(c.measured, "it is shutoff there, defined, autostart on");
	verification_judge_source("host1", NULL, "libvirt is away", &c);
	assert_int_equal(c.verdict, CHECK_FAIL);
	assert_string_equal(c.measured, "not measured: libvirt is away");
}

/* What the journal keeps is what was judged, whatever stands in a guest's names and paths. */
static void test_text(void **state)
{
	struct arrival *a = verification_arrive();
	struct verification *back = xnew(struct verification);
	char text[VERIFICATION_TEXT_BYTES];

	(void)state;
	a->found.summary.memory_bytes = 128 * MIB;
	strcpy(a->left.disks[0].source, "/srv/a\tb\nc");
	strcpy(a->found.disks[0].source, "/srv/a\tb\nc");
	(void)verification_differs(a);
	verification_format(&a->result, text, sizeof(text));
	verification_parse(text, back);
	assert_string_equal(back->not_verified, a->result.not_verified);
	assert_int_equal(back->checks.count, a->result.checks.count);
	assert_int_equal(verification_count_passed(&back->checks),
	                 verification_count_passed(&a->result.checks));
	/* What differs comes first. */
	assert_string_equal(back->checks.items[0].id, "memory");
	assert_int_equal(back->checks.items[0].verdict, CHECK_FAIL);
	assert_string_equal(back->checks.items[0].measured, "128 MiB");
	assert_string_equal(back->checks.items[0].required, "256 MiB");
	assert_true(back->checks.items[0].remedy[0] != '\0');
	assert_string_equal(back->checks.items[1].id, "state");
	free(back);
	free(a);
}

/* With more than there is room for, what differs is kept, and how many more there were is said. */
static void test_text_is_cut(void **state)
{
	struct arrival *a = verification_arrive();
	struct verification *back = xnew(struct verification);
	char text[1200];
	const struct check *last;

	(void)state;
	a->found.summary.memory_bytes = 128 * MIB;
	(void)verification_differs(a);
	verification_format(&a->result, text, 700);
	verification_parse(text, back);
	assert_string_equal(back->checks.items[0].id, "memory");
	last = &back->checks.items[back->checks.count - 1];
	assert_string_equal(last->id, "others");
	assert_int_equal(last->verdict, CHECK_PASS);
	assert_int_equal(back->checks.count - 1 + (size_t)atoi(last->measured),
	                 a->result.checks.count);
	free(back);
	free(a);
}

/* A text that is damaged gives what is whole in it. */
static void test_text_damaged(void **state)
{
	struct verification *v = xnew(struct verification);

	(void)state;
	verification_parse("", v);
	assert_int_equal(v->checks.count, 0);
	verification_parse("why\nmemory\t3\tx\ty\nstate\t9\ta\tb\tc\nstate\t0\ta\tb\tc\n"
	                   "state\t11\ta\tb\tc\nstate\t1\ta\tb\tc\n\t\t\t\t",
	                   v);
	assert_string_equal(v->not_verified, "why");
	assert_int_equal(v->checks.count, 1);
	assert_string_equal(v->checks.items[0].id, "state");
	assert_string_equal(v->checks.items[0].remedy, "c");
	free(v);
}

/* More lines than a list has room for: the first ones, and nothing behind the list. */
static void test_text_of_too_many(void **state)
{
	struct verification *v = xnew(struct verification);
	char text[CHECKS_MAX * 16 + 64] = "";

	(void)state;
	for (int i = 0; i < CHECKS_MAX + 4; i++)
		sprintf(text + strlen(text), "\nc%d\t1\t\t\t", i);
	verification_parse(text, v);
	assert_int_equal(v->checks.count, CHECKS_MAX);
	assert_string_equal(v->checks.items[CHECKS_MAX - 1].id, "c95");
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_identity_and_sizes),
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_is_cut),
		cmocka_unit_test(test_text_damaged),
		cmocka_unit_test(test_text_of_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
