/* SPDX-License-Identifier: Apache-2.0 */
/* Moves that an operator changes while they run, with two real agents: what takes effect, what is written
 * down, what is refused and why, and that a ladder leaves alone what a person has set. */
#include "tests/sim/agents_story.h"

#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_copying(void *context)
{
	struct agents *t = context;
	struct vm_job job;
	struct error err;

	return t->hypervisors[0]->ops->job(t->hypervisors[0], t->uuid, &job, &err) == 0 &&
	       job.active && job.iteration > 1;
}

static bool is_seen(void *context)
{
	return ((struct agents *)context)->report.iteration > 0;
}

/* In the copy, and the agent knows it. */
static void order(struct agents *t)
{
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_until_looking(t, is_copying));
	assert_true(agents_until(t, is_seen, t));
}

static void expect_text(const char *text, const char *wanted)
{
	if (!strstr(text, wanted))
		fail_msg("no \"%s\" in:\n%s", wanted, text);
}

static void tune(struct agents *t, Drover__V1__Tuning tuning)
{
	agents_tune(t, &tuning);
}

static void expect_tuned(const struct agents *t)
{
	if (t->status != MESH_OK)
		fail_msg("status %d: %s", (int)t->status, t->error.text);
}

static Drover__V1__Tuning bandwidth(uint64_t bytes_per_s)
{
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;

	tuning.bandwidth_given = true;
	tuning.bandwidth_bytes_per_s = bytes_per_s;
	return tuning;
}

static Drover__V1__Tuning downtime(uint64_t ms)
{
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;

	tuning.max_downtime_given = true;
	tuning.max_downtime_ms = ms;
	return tuning;
}

static Drover__V1__Tuning post_copy(void)
{
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;

	tuning.post_copy = true;
	return tuning;
}

static Drover__V1__Tuning pause_now(void)
{
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;

	tuning.pause = true;
	return tuning;
}

static void expect_refused(struct agents *t, enum mesh_status status, const char *why)
{
	if (t->status != status)
		fail_msg("status %d, not %d: %s%s", (int)t->status, (int)status, t->error.text,
		         t->tuned);
	expect_text(t->error.text, why);
}

/* A guest that would never fit into its downtime arrives when it is given more, at once; old and new
 * value and who asked are written down. */
static void test_downtime(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ 0 }, true);

	(void)state;
	order(t);
	tune(t, downtime(2000));
	expect_tuned(t);
	assert_string_equal(t->tuned, "maxDowntime 300 ms -> 2.0 s; ");
	assert_true(t->report.max_downtime_tuned);
	assert_int_equal(t->report.max_downtime_ms, 2000);
	assert_false(t->report.bandwidth_tuned);
	agents_expect_arrived(t);
	assert_int_equal(t->report.n_decisions, 1);
	expect_text(t->report.decisions, "root: maxDowntime 300 ms -> 2.0 s");
	agents_finish(t);
}

/* A move's bandwidth can be taken off; both units are told, and that whole MiB/s is what there is. */
static void test_bandwidth(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ 0 }, true);

	(void)state;
	t->bandwidth_bytes_per_s = 16 * MIB;
	t->max_downtime_ms = 1500;
	order(t);
	tune(t, bandwidth(20000000));
	expect_tuned(t);
	expect_text(t->tuned,
	            "bandwidthPerMigration 16 MiB/s = 134 Mbit/s -> 19 MiB/s = 159 Mbit/s");
	expect_text(t->tuned, "libvirt takes whole MiB/s");
	assert_int_equal(t->report.bandwidth_bytes_per_s, 19 * MIB);
	/* The same again changes nothing, and says so. */
	tune(t, bandwidth(19 * MIB));
	expect_tuned(t);
	assert_string_equal(t->tuned, "");
	assert_int_equal(t->report.n_decisions, 1);

	tune(t, bandwidth(0));
	expect_text(t->tuned, "-> no limit");
	expect_text(t->tuned, "host2 has promised a share of its link");
	agents_expect_arrived(t);
	assert_int_equal(t->report.n_decisions, 2);
	agents_finish(t);
}

/* A pause by an operator finishes the move now; the guest runs on where it arrives. */
static void test_pause(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ 0 }, true);

	(void)state;
	order(t);
	tune(t, pause_now());
	expect_tuned(t);
	assert_string_equal(t->tuned, "mode pre-copy -> paused until it is moved; ");
	agents_expect_arrived(t);
	expect_text(t->report.decisions, "root: mode pre-copy -> paused until it is moved");
	agents_finish(t);
}

/* Post-copy now, where it was permitted when the move began: the guest is there at once. */
static void test_post_copy(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                true);

	(void)state;
	order(t);
	tune(t, post_copy());
	expect_tuned(t);
	assert_string_equal(t->tuned, "mode pre-copy -> post-copy; ");
	tune(t, bandwidth(MIB));
	assert_int_not_equal(t->status, MESH_OK);
	agents_expect_arrived(t);
	assert_int_equal(t->report.n_decisions, 1);
	agents_finish(t);
}

/* Post-copy that was not permitted, or that the guard excludes, is refused with what to do. */
static void test_post_copy_refused(void **state)
{
	Drover__V1__Tuning both = post_copy();
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ 0 }, true);

	(void)state;
	order(t);
	tune(t, post_copy());
	expect_refused(t, MESH_FAILED_PRECONDITION, "--allow-post-copy");
	both.pause = true;
	tune(t, both);
	expect_refused(t, MESH_INVALID_ARGUMENT, "exclude each other");
	tune(t, (Drover__V1__Tuning)DROVER__V1__TUNING__INIT);
	expect_refused(t, MESH_INVALID_ARGUMENT, "nothing is to be changed");
	tune(t, downtime(2000001));
	expect_refused(t, MESH_INVALID_ARGUMENT, "1 ms to 2000 s");
	tune(t, downtime(0));
	expect_refused(t, MESH_INVALID_ARGUMENT, "1 ms to 2000 s");
	assert_int_equal(t->report.n_decisions, 0);
	tune(t, downtime(2000));
	agents_expect_arrived(t);
	agents_finish(t);

	t = agents_begin(&agents_wild, (struct strategy){ 0 }, false);
	order(t);
	tune(t, post_copy());
	expect_refused(t, MESH_FAILED_PRECONDITION, "two-step commit");
	tune(t, downtime(2000));
	agents_expect_arrived(t);
	agents_finish(t);
}

/* What is over, what has not begun to copy, and what nobody knows cannot be changed. */
static void test_phases(void **state)
{
	struct agents *t = agents_begin(&agents_calm, (struct strategy){ 0 }, true);

	(void)state;
	agents_order(t);
	tune(t, bandwidth(MIB));
	expect_refused(t, MESH_FAILED_PRECONDITION, "does not copy yet");
	agents_expect_arrived(t);
	tune(t, bandwidth(MIB));
	expect_refused(t, MESH_FAILED_PRECONDITION, "past its switchover");
	t->operation = id_new();
	tune(t, bandwidth(MIB));
	expect_refused(t, MESH_NOT_FOUND, "does not know this attempt");
	assert_int_equal(t->report.n_decisions, 0);
	agents_finish(t);
}

/* A ladder takes no step with a downtime that an operator has set, and gives up at that one. */
static void test_ladder_leaves_it_alone(void **state)
{
	struct agents *t = agents_begin(
		&agents_wild, (struct strategy){ .ladder = LADDER_MINIMAL_DOWNTIME }, true);

	(void)state;
	t->max_downtime_ms = 500;
	order(t);
	tune(t, downtime(150));
	expect_tuned(t);
	assert_true(agents_wait(t, FAILED));
	expect_text(t->report.reason, "did not converge at the 150 ms");
	if (strstr(strstr(t->report.decisions, "root:"), "raised"))
		fail_msg("raised all the same:\n%s", t->report.decisions);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* A downtime that is given as it is already is the operator's from then on: the ladder leaves it. */
static void test_same_downtime(void **state)
{
	struct agents *t = agents_begin(
		&agents_wild, (struct strategy){ .ladder = LADDER_MINIMAL_DOWNTIME }, true);
	Drover__V1__Tuning tuning = bandwidth(31 * MIB);

	(void)state;
	t->max_downtime_ms = 500;
	order(t);
	tuning.max_downtime_given = true;
	tuning.max_downtime_ms = 100;
	tune(t, tuning);
	expect_tuned(t);
	assert_string_equal(t->tuned, "bandwidthPerMigration no limit -> 31 MiB/s = 260 Mbit/s; ");
	assert_true(t->report.max_downtime_tuned);
	assert_true(agents_wait(t, FAILED));
	expect_text(t->report.reason, "did not converge at the 100 ms");
	agents_finish(t);
}

/* An agent that died after it had written a change down, and before it was made, makes it when it is
 * back. */
static void test_agent_killed(void **state)
{
	struct agents *t = agents_begin(
		&agents_wild, (struct strategy){ .ladder = LADDER_MINIMAL_DOWNTIME }, true);
	struct error err;

	(void)state;
	t->max_downtime_ms = 200;
	order(t);
	tune(t, downtime(2000));
	expect_tuned(t);
	/* As if libvirt had not been asked. */
	assert_int_equal(
		t->hypervisors[0]->ops->set_max_downtime(t->hypervisors[0], t->uuid, 50, &err), 0);
	agents_kill(t, 0);
	memset(&t->report, 0, sizeof(t->report));
	agents_start(t, 0);
	agents_expect_arrived(t);
	assert_true(t->report.max_downtime_tuned);
	assert_int_equal(t->report.max_downtime_ms, 2000);
	expect_text(t->report.decisions, "root: maxDowntime");
	agents_finish(t);
}

/* The time without progress that is allowed is one move's own: a guest that swings is given up when it
 * is over, however many bytes flow. */
static void test_progress_timeout(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ 0 }, true);

	(void)state;
	t->progress_timeout_ms = 4000;
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	expect_text(t->report.reason, "progressTimeout");
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_downtime),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_post_copy),
		cmocka_unit_test(test_post_copy_refused),
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_ladder_leaves_it_alone),
		cmocka_unit_test(test_same_downtime),
		cmocka_unit_test(test_agent_killed),
		cmocka_unit_test(test_progress_timeout),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
