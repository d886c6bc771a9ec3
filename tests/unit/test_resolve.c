/* SPDX-License-Identifier: Apache-2.0 */
/* The judge of how a migration ended: every cell of its table, and over all combinations of all
 * inputs the rules that no cell may break. */
#include "agent/kernel/resolve.h"

#include "common/alloc.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static_assert(SOURCE_VIEWS == 7, "a new source view needs a row in expected[]");
static_assert(TARGET_VIEWS == 8, "a new target view needs a column in expected[]");
static_assert(JOB_VIEWS == 3, "a new job view needs its assertions");
static_assert(GUARDS == 4, "a new guard needs its assertions");
static_assert(RESOLUTIONS == 21, "a new resolution needs its assertions");

/* As people say it: "without a job / with one", for an image lock, an own copy, pre-copy, a guest
 * that ran before, and no deadline passed. */
/* clang-format off */
static const struct {
	enum source_view source;
	const char *by_target[TARGET_VIEWS][2];
} expected[] = {
	/*                unreachable                    absent                     shutoff                    incoming                paused                     running, receiving, broken */
	{ SOURCE_UNREACHABLE, {
	  { "unknown", "unknown" },             { "unknown", "unknown" },    { "unknown", "unknown" },    { "unknown", "unknown" },   { "unknown", "unknown" },         { "there-unconfirmed", "there-unconfirmed" },
	  { "unknown", "unknown" }, { "unknown", "unknown" } } },
	{ SOURCE_RUNNING, {
	  { "failed-unconfirmed", "wait" },     { "failed", "wait" },        { "failed", "wait" },        { "abort-target", "wait" }, { "abort-target", "wait" },       { "split-brain", "wait" },
	  { "split-brain", "wait" }, { "split-brain", "wait" } } },
	{ SOURCE_PAUSED, {
	  { "failed-unconfirmed", "wait" },     { "failed", "wait" },        { "failed", "wait" },        { "wait", "wait" },         { "wait", "wait" },               { "hold", "wait" },
	  { "hold", "wait" }, { "hold", "wait" } } },
	{ SOURCE_SWITCHING, {
	  { "wait", "wait" },                   { "resume-source", "wait" }, { "resume-source", "wait" }, { "wait", "wait" },         { "wait", "wait" },               { "destroy-source", "wait" },
	  { "wait", "wait" }, { "recover-postcopy", "recover-postcopy" } } },
	{ SOURCE_POSTCOPY_FAILED, {
	  { "wait", "wait" },                   { "lost-postcopy", "lost-postcopy" }, { "lost-postcopy", "lost-postcopy" }, { "hold", "wait" }, { "recover-postcopy", "recover-postcopy" }, { "recover-postcopy", "recover-postcopy" },
	  { "recover-postcopy", "recover-postcopy" }, { "recover-postcopy", "recover-postcopy" } } },
	{ SOURCE_GONE, {
	  { "done-unconfirmed", "done-unconfirmed" }, { "lost", "wait" },    { "lost", "wait" },          { "wait", "wait" },         { "done", "done" },               { "done", "done" },
	  { "wait", "wait" }, { "lost-half", "lost-half" } } },
	{ SOURCE_STOPPED, {
	  { "wait", "wait" },                   { "stopped", "wait" },       { "stopped", "wait" },       { "wait", "wait" },         { "hold", "wait" },               { "done", "done" },
	  { "wait", "wait" }, { "lost-half", "lost-half" } } },
};
/* clang-format on */

static struct resolve_input plain(enum source_view source, enum target_view target,
                                  enum job_view job)
{
	return (struct resolve_input){ .source = source,
		                       .target = target,
		                       .job = job,
		                       .guard = GUARD_IMAGE_LOCK,
		                       .target_is_ours = true };
}

/* Each pair of views has one answer with a job and one without; a job that cannot be seen counts as
 * one that runs, but for two running guests. */
static void test_every_cell(void **state)
{
	static const enum target_view order[] = { TARGET_UNREACHABLE, TARGET_ABSENT, TARGET_SHUTOFF,
		                                  TARGET_INCOMING,    TARGET_PAUSED, TARGET_RUNNING,
		                                  TARGET_RECEIVING,   TARGET_BROKEN };

	(void)state;
	static_assert(ARRAY_SIZE(expected) == SOURCE_VIEWS, "every source view has a row");
	static_assert(ARRAY_SIZE(order) == TARGET_VIEWS, "every target view has a column");
	for (size_t s = 0; s < ARRAY_SIZE(expected); s++) {
		for (size_t t = 0; t < TARGET_VIEWS; t++) {
			struct resolve_input in = plain(expected[s].source, order[t], JOB_NONE);
			const char *with_job = expected[s].by_target[t][1];

			assert_string_equal(resolution_name(resolve(&in)),
			                    expected[s].by_target[t][0]);
			in.job = JOB_RUNNING;
			assert_string_equal(resolution_name(resolve(&in)), with_job);
			in.job = JOB_UNKNOWN;
			if (in.source == SOURCE_RUNNING && order[t] >= TARGET_RUNNING)
				with_job = "split-brain";
			assert_string_equal(resolution_name(resolve(&in)), with_job);
		}
	}
}

/* What depends on more than the two views: guard, deadline, whose copy it is, how the guest was. */
static void test_refinements(void **state)
{
	/* clang-format off */
	static const struct {
		struct resolve_input in;
		const char *expected;
	} rows[] = {
#define IN(s, t, j, g, ...) { SOURCE_##s, TARGET_##t, JOB_##j, GUARD_##g, __VA_ARGS__ }
		/* Two-step: the source is proved gone, the paused copy is resumed, job or not. */
		{ IN(GONE, PAUSED, NONE, TWO_STEP, true), "commit-target" },
		{ IN(GONE, PAUSED, RUNNING, TWO_STEP, true), "commit-target" },
		{ IN(GONE, PAUSED, UNKNOWN, TWO_STEP, true), "commit-target" },
		/* A guest that was paused before arrives paused and stays so. */
		{ IN(GONE, PAUSED, NONE, TWO_STEP, true, .paused_before = true), "done" },
		/* Somebody else's copy is not resumed, not destroyed, and nothing is for its sake. */
		{ IN(GONE, PAUSED, NONE, TWO_STEP, false), "hold" },
		{ IN(RUNNING, PAUSED, NONE, TWO_STEP, false), "hold" },
		{ IN(RUNNING, INCOMING, NONE, IMAGE_LOCK, false), "hold" },
		{ IN(SWITCHING, RUNNING, NONE, IMAGE_LOCK, false), "hold" },
		{ IN(RUNNING, RUNNING, NONE, IMAGE_LOCK, false), "split-brain" },
		{ IN(GONE, RUNNING, NONE, IMAGE_LOCK, false), "done" },
		/* Unreachable: only a lock lets the source be tried, and only after waiting. */
		{ IN(SWITCHING, UNREACHABLE, NONE, IMAGE_LOCK, true), "wait" },
		{ IN(SWITCHING, UNREACHABLE, NONE, IMAGE_LOCK, true, .deadline_passed = true), "resume-source" },
		{ IN(SWITCHING, UNREACHABLE, NONE, LOCK_MANAGER, true, .deadline_passed = true), "resume-source" },
		{ IN(SWITCHING, UNREACHABLE, NONE, TWO_STEP, true, .deadline_passed = true), "hold" },
		{ IN(SWITCHING, UNREACHABLE, NONE, NONE, true, .deadline_passed = true), "hold" },
		{ IN(SWITCHING, UNREACHABLE, RUNNING, IMAGE_LOCK, true, .deadline_passed = true), "wait" },
		/* A leftover that never runs but by our order is no reason to keep the guest paused. */
		{ IN(SWITCHING, PAUSED, NONE, TWO_STEP, true), "wait" },
		{ IN(SWITCHING, PAUSED, NONE, TWO_STEP, true, .deadline_passed = true), "resume-source" },
		{ IN(SWITCHING, PAUSED, NONE, TWO_STEP, false, .deadline_passed = true), "hold" },
		{ IN(SWITCHING, PAUSED, NONE, IMAGE_LOCK, true, .deadline_passed = true), "hold" },
		{ IN(SWITCHING, INCOMING, NONE, TWO_STEP, true, .deadline_passed = true), "resume-source" },
		{ IN(SWITCHING, INCOMING, NONE, IMAGE_LOCK, false, .deadline_passed = true), "resume-source" },
		{ IN(SWITCHING, INCOMING, NONE, NONE, true, .deadline_passed = true), "hold" },
		/* Two-step, started over there by somebody: libvirt's job here must not resume it. */
		{ IN(SWITCHING, RUNNING, RUNNING, TWO_STEP, true), "destroy-source" },
		{ IN(SWITCHING, RUNNING, RUNNING, TWO_STEP, false), "hold" },
		{ IN(SWITCHING, RUNNING, UNKNOWN, TWO_STEP, true), "wait" },
		/* Two that run, and a job that does not end. */
		{ IN(RUNNING, RUNNING, RUNNING, IMAGE_LOCK, true, .deadline_passed = true), "split-brain" },
		/* Gone, and no end over there. */
		{ IN(GONE, INCOMING, NONE, IMAGE_LOCK, true, .deadline_passed = true), "lost-pending" },
		{ IN(GONE, ABSENT, RUNNING, IMAGE_LOCK, true, .deadline_passed = true), "lost" },
		/* Post-copy: neither half is resumed or removed, and a lost half is said to be lost. */
		{ IN(SWITCHING, ABSENT, NONE, NONE, true, .postcopy = true), "lost-postcopy" },
		{ IN(SWITCHING, UNREACHABLE, NONE, IMAGE_LOCK, true, .postcopy = true, .deadline_passed = true), "hold" },
		{ IN(SWITCHING, RUNNING, NONE, IMAGE_LOCK, true, .postcopy = true), "wait" },
		{ IN(SWITCHING, RUNNING, NONE, IMAGE_LOCK, true, .postcopy = true, .deadline_passed = true), "hold" },
		{ IN(RUNNING, INCOMING, NONE, IMAGE_LOCK, true, .postcopy = true), "hold" },
		{ IN(GONE, RUNNING, NONE, IMAGE_LOCK, true, .postcopy = true), "done" },
		{ IN(GONE, PAUSED, NONE, IMAGE_LOCK, true, .postcopy = true), "hold" },
		/* Its source's QEMU died: what runs there lacks the rest, and is no success. */
		{ IN(GONE, RECEIVING, NONE, IMAGE_LOCK, true, .postcopy = true), "wait" },
		{ IN(GONE, RECEIVING, NONE, IMAGE_LOCK, true, .postcopy = true, .deadline_passed = true), "lost-half" },
		{ IN(STOPPED, BROKEN, NONE, IMAGE_LOCK, true, .postcopy = true), "lost-half" },
		/* Paused by us so that it converges: resumed where a switchover would be, and never
		 * destroyed; a person's pause is kept. */
		{ IN(PAUSED, ABSENT, NONE, TWO_STEP, true, .paused_by_us = true), "resume-source" },
		{ IN(PAUSED, SHUTOFF, NONE, NONE, true, .paused_by_us = true), "resume-source" },
		{ IN(PAUSED, ABSENT, NONE, TWO_STEP, true), "failed" },
		{ IN(PAUSED, ABSENT, RUNNING, IMAGE_LOCK, true, .paused_by_us = true), "wait" },
		{ IN(PAUSED, INCOMING, NONE, IMAGE_LOCK, true, .paused_by_us = true), "wait" },
		{ IN(PAUSED, INCOMING, NONE, IMAGE_LOCK, true, .paused_by_us = true, .deadline_passed = true), "resume-source" },
		{ IN(PAUSED, PAUSED, NONE, TWO_STEP, true, .paused_by_us = true, .deadline_passed = true), "resume-source" },
		{ IN(PAUSED, UNREACHABLE, NONE, TWO_STEP, true, .paused_by_us = true, .deadline_passed = true), "hold" },
		{ IN(PAUSED, RUNNING, NONE, IMAGE_LOCK, true, .paused_by_us = true), "hold" },
		{ IN(PAUSED, ABSENT, NONE, IMAGE_LOCK, true, .paused_by_us = true, .postcopy = true), "lost-postcopy" },
		{ IN(GONE, PAUSED, NONE, TWO_STEP, true, .paused_by_us = true), "commit-target" },
		/* What ran over there has gone on: the source is a past that must not. */
		{ IN(SWITCHING, ABSENT, NONE, IMAGE_LOCK, true, .target_has_run = true), "ran-there" },
		{ IN(SWITCHING, SHUTOFF, NONE, LOCK_MANAGER, true, .target_has_run = true), "ran-there" },
		{ IN(SWITCHING, ABSENT, RUNNING, IMAGE_LOCK, true, .target_has_run = true), "wait" },
		{ IN(SWITCHING, PAUSED, NONE, TWO_STEP, true, .target_has_run = true, .deadline_passed = true), "hold" },
		{ IN(SWITCHING, RUNNING, NONE, IMAGE_LOCK, true, .target_has_run = true), "destroy-source" },
		{ IN(PAUSED, ABSENT, NONE, IMAGE_LOCK, true, .target_has_run = true, .paused_by_us = true), "ran-there" },
		{ IN(PAUSED, ABSENT, NONE, NONE, true, .target_has_run = true), "failed" },
		{ IN(RUNNING, PAUSED, NONE, NONE, true, .target_has_run = true), "hold" },
		{ IN(RUNNING, ABSENT, NONE, NONE, true, .target_has_run = true), "failed" },
		{ IN(GONE, ABSENT, NONE, TWO_STEP, true, .target_has_run = true), "done" },
		{ IN(GONE, SHUTOFF, NONE, TWO_STEP, true, .target_has_run = true), "done" },
		{ IN(GONE, PAUSED, NONE, TWO_STEP, true, .target_has_run = true), "done" },
		{ IN(STOPPED, ABSENT, NONE, IMAGE_LOCK, true, .target_has_run = true), "done" },
		/* What went on here and ended is not gone to a copy from before. */
		{ IN(GONE, PAUSED, NONE, TWO_STEP, true, .source_went_on = true), "ended-here" },
		{ IN(STOPPED, PAUSED, NONE, TWO_STEP, true, .source_went_on = true), "ended-here" },
		{ IN(GONE, PAUSED, RUNNING, TWO_STEP, true, .source_went_on = true), "wait" },
		{ IN(GONE, ABSENT, NONE, TWO_STEP, true, .source_went_on = true), "stopped" },
		{ IN(GONE, RUNNING, NONE, TWO_STEP, true, .source_went_on = true), "done" },
		{ IN(RUNNING, PAUSED, NONE, TWO_STEP, true, .source_went_on = true), "abort-target" },
		{ IN(GONE, PAUSED, NONE, TWO_STEP, true, .source_went_on = true, .target_has_run = true), "done" },
		/* Nothing may be destroyed for a paused source: an operator decides. */
		{ IN(PAUSED, INCOMING, NONE, IMAGE_LOCK, true, .deadline_passed = true), "hold" },
		{ IN(STOPPED, INCOMING, NONE, IMAGE_LOCK, true, .deadline_passed = true), "hold" },
		/* A running job is waited for, however long. */
		{ IN(RUNNING, INCOMING, RUNNING, IMAGE_LOCK, true, .deadline_passed = true), "wait" },
		{ IN(SWITCHING, PAUSED, RUNNING, TWO_STEP, true, .deadline_passed = true), "wait" },
#undef IN
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = resolution_name(resolve(&rows[i].in));

		if (strcmp(got, rows[i].expected) != 0)
			fail_msg("row %zu: %s, not %s", i, got, rows[i].expected);
	}
}

static void each_combination(void (*assert_rules)(const struct resolve_input *in))
{
	for (int s = 0; s < SOURCE_VIEWS; s++)
		for (int t = 0; t < TARGET_VIEWS; t++)
			for (int j = 0; j < JOB_VIEWS; j++)
				for (int g = 0; g < GUARDS; g++)
					for (unsigned int bits = 0; bits < 128; bits++) {
						struct resolve_input in = {
							(enum source_view)s,
							(enum target_view)t,
							(enum job_view)j,
							(enum guard)g,
							bits & 1,
							bits & 2,
							bits & 4,
							bits & 8,
							bits & 16,
							bits & 32,
							bits & 64,
						};

						assert_rules(&in);
					}
}

static void assert_rules_of_resolve(const struct resolve_input *in)
{
	enum resolution r = resolve(in);

	assert_in_range(r, 0, RESOLUTIONS - 1);

	/* What it asks to destroy may be destroyed. */
	if (r == RESOLVE_ABORT_TARGET)
		assert_true(may_destroy(DESTROY_TARGET_SIDE, in, false));
	if (r == RESOLVE_DESTROY_SOURCE)
		assert_true(may_destroy(DESTROY_SOURCE_SIDE, in, false));

	/* I1: two that run are a split brain or a moment in a job, and nothing else. */
	if (in->source == SOURCE_RUNNING && in->target >= TARGET_RUNNING)
		assert_true(r == RESOLVE_SPLIT_BRAIN ||
		            (r == RESOLVE_WAIT && in->job == JOB_RUNNING));
	/* I1: the destination is started only after the source was seen gone. */
	if (r == RESOLVE_COMMIT_TARGET)
		assert_true(!in->target_has_run && !in->source_went_on &&
		            in->source == SOURCE_GONE && in->target == TARGET_PAUSED &&
		            in->target_is_ours && in->guard == GUARD_TWO_STEP && !in->postcopy);
	/* I1: the source is resumed only if the destination is proved not to run, or a lock proves
	 * it in the act, or only we could start it. */
	if (r == RESOLVE_RESUME_SOURCE) {
		assert_false(in->target_has_run);
		assert_true(in->source == SOURCE_SWITCHING ||
		            (in->source == SOURCE_PAUSED && in->paused_by_us));
		assert_int_equal(in->job, JOB_NONE);
		assert_false(in->postcopy);
		assert_true(in->target == TARGET_ABSENT || in->target == TARGET_SHUTOFF ||
		            guard_is_lock(in->guard) ||
		            (in->guard == GUARD_TWO_STEP && in->target_is_ours &&
		             (in->target == TARGET_INCOMING || in->target == TARGET_PAUSED)));
	}
	/* I8: what does not answer never makes a move done, failed or lost. */
	if (in->source == SOURCE_UNREACHABLE)
		assert_true(r == RESOLVE_UNKNOWN || r == RESOLVE_THERE_UNCONFIRMED);
	if (in->target == TARGET_UNREACHABLE)
		assert_true(r != RESOLVE_DONE && r != RESOLVE_FAILED && r != RESOLVE_LOST &&
		            r != RESOLVE_LOST_POSTCOPY && r != RESOLVE_STOPPED);
	/* I10 */
	if (in->postcopy)
		assert_true(r != RESOLVE_ABORT_TARGET && r != RESOLVE_DESTROY_SOURCE &&
		            r != RESOLVE_COMMIT_TARGET && r != RESOLVE_RESUME_SOURCE);
	/* Done means there and not here; failed means here and not there. */
	if (r == RESOLVE_DONE)
		assert_true((in->source == SOURCE_GONE || in->source == SOURCE_STOPPED) &&
		            (in->target == TARGET_RUNNING || in->target == TARGET_PAUSED ||
		             in->target_has_run));
	if (r == RESOLVE_FAILED)
		assert_true((in->source == SOURCE_RUNNING || in->source == SOURCE_PAUSED) &&
		            (in->target == TARGET_ABSENT || in->target == TARGET_SHUTOFF));
	/* That it ran over there matters to a source that is paused, to what is destroyed, and to
	 * nothing else. */
	if (r == RESOLVE_RAN_THERE)
		assert_true(in->target_has_run && in->source != SOURCE_GONE);
	/* What is over is nobody's alarm, and what runs twice is one. */
	assert_false(resolution_is_final(r) && resolution_is_alarming(r));
	if (r == RESOLVE_SPLIT_BRAIN)
		assert_true(resolution_is_alarming(r));
	/* No job is interrupted by a verdict. */
	if (in->job == JOB_RUNNING && in->source != SOURCE_GONE && in->source != SOURCE_STOPPED)
		assert_false(resolution_is_final(r));
}

/* Over all 86,016 combinations no resolution breaks an invariant. */
static void test_rules_hold_everywhere(void **state)
{
	(void)state;
	each_combination(assert_rules_of_resolve);
}

static void assert_rules_of_destroy(const struct resolve_input *in)
{
	bool source_alone = in->target == TARGET_ABSENT || in->target == TARGET_SHUTOFF;
	bool target_alone = in->source == SOURCE_GONE || in->source == SOURCE_STOPPED;
	bool halves = in->postcopy || in->source == SOURCE_POSTCOPY_FAILED;

	/* I7 a, word for word, and nothing else without an operator. */
	assert_int_equal(may_destroy(DESTROY_TARGET_SIDE, in, false),
	                 in->source == SOURCE_RUNNING && in->job == JOB_NONE &&
	                         in->target_is_ours && !in->postcopy && !in->target_has_run &&
	                         (in->target == TARGET_INCOMING || in->target == TARGET_PAUSED));
	/* I7 b. */
	assert_int_equal(may_destroy(DESTROY_SOURCE_SIDE, in, false),
	                 in->source == SOURCE_SWITCHING && in->target == TARGET_RUNNING &&
	                         in->target_is_ours && !in->postcopy &&
	                         (in->job == JOB_NONE ||
	                          (in->job == JOB_RUNNING && in->guard == GUARD_TWO_STEP)));
	/* I7 c, but I10: not even an operator destroys half a guest while the other half lives. */
	assert_int_equal(may_destroy(DESTROY_SOURCE_SIDE, in, true), !halves || source_alone);
	assert_int_equal(may_destroy(DESTROY_TARGET_SIDE, in, true), !halves || target_alone);
	/* What is undefined was not active, and the guest lives at the destination. */
	if (may_undefine_source(in)) {
		assert_true(target_alone && in->job == JOB_NONE);
		assert_true(in->target_is_ours && !in->postcopy);
		assert_true(in->target == TARGET_RUNNING ||
		            (in->target == TARGET_SHUTOFF && in->target_has_run) ||
		            (in->target == TARGET_PAUSED && in->paused_before &&
		             in->source == SOURCE_GONE));
	}
}

/* Permission to destroy is exactly what the invariants say, in all combinations. */
static void test_may_destroy(void **state)
{
	(void)state;
	each_combination(assert_rules_of_destroy);
}

/* libvirt's states become views; what cannot be asked or makes no sense is unreachable, never
 * absent. */
static void test_views(void **state)
{
	struct vm_summary vm = { .state = VM_RUNNING };

	(void)state;
	assert_int_equal(source_view_from(false, true, &vm), SOURCE_UNREACHABLE);
	assert_int_equal(source_view_from(true, false, NULL), SOURCE_GONE);
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_RUNNING);
	assert_int_equal(target_view_from(false, false, NULL), TARGET_UNREACHABLE);
	assert_int_equal(target_view_from(true, false, NULL), TARGET_ABSENT);
	assert_int_equal(target_view_from(true, true, &vm), TARGET_RUNNING);

	vm.postcopy = VM_POSTCOPY_RECEIVING;
	assert_int_equal(target_view_from(true, true, &vm), TARGET_RECEIVING);
	vm.postcopy = VM_POSTCOPY_BROKEN;
	assert_int_equal(target_view_from(true, true, &vm), TARGET_BROKEN);

	for (int reason = 0; reason < VM_PAUSE_REASONS; reason++) {
		vm = (struct vm_summary){ .state = VM_PAUSED,
			                  .pause_reason = (enum vm_pause_reason)reason };
		assert_int_equal(source_view_from(true, true, &vm),
		                 reason == VM_PAUSE_MIGRATION         ? SOURCE_SWITCHING
		                 : reason == VM_PAUSE_POSTCOPY_FAILED ? SOURCE_POSTCOPY_FAILED
		                                                      : SOURCE_PAUSED);
		assert_int_equal(target_view_from(true, true, &vm),
		                 reason == VM_PAUSE_MIGRATION ? TARGET_INCOMING : TARGET_PAUSED);
	}
	vm = (struct vm_summary){ .state = VM_SHUTOFF, .reason = "migrated" };
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_GONE);
	assert_int_equal(target_view_from(true, true, &vm), TARGET_SHUTOFF);
	strcpy(vm.reason, "shutdown");
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_STOPPED);
	vm.state = VM_CRASHED;
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_STOPPED);
	vm.state = VM_INCOMING;
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_UNREACHABLE);
	assert_int_equal(target_view_from(true, true, &vm), TARGET_INCOMING);
	vm.postcopy = VM_POSTCOPY_BROKEN;
	assert_int_equal(target_view_from(true, true, &vm), TARGET_BROKEN);
	/* A state that an agent of another version knows is none that anything is concluded from. */
	vm.state = VM_RUN_STATES;
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_UNREACHABLE);
	assert_int_equal(target_view_from(true, true, &vm), TARGET_UNREACHABLE);
	vm.state = (enum vm_run_state)99;
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_UNREACHABLE);
	assert_int_equal(target_view_from(true, true, &vm), TARGET_UNREACHABLE);
	vm.state = VM_UNKNOWN;
	assert_int_equal(source_view_from(true, true, &vm), SOURCE_UNREACHABLE);
	assert_int_equal(target_view_from(true, true, &vm), TARGET_UNREACHABLE);
}

/* Every resolution has its own word and a sentence. */
static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < RESOLUTIONS; i++) {
		assert_non_null(resolution_name((enum resolution)i));
		assert_true(strlen(resolution_sentence((enum resolution)i)) > 10);
		for (int other = 0; other < i; other++)
			assert_string_not_equal(resolution_name((enum resolution)i),
			                        resolution_name((enum resolution)other));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_refinements),
		cmocka_unit_test(test_rules_hold_everywhere),
		cmocka_unit_test(test_may_destroy),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
