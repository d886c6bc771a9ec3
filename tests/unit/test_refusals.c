/* SPDX-License-Identifier: Apache-2.0 */
/* What destinations have refused one guest: what clears it, what does not, and what is said of it. */
#include "coordinator/core/move/refusals.h"

#include "coordinator/core/capacity/capacity.h"
#include "coordinator/core/drain/drain_command.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/plan/plan.h"
#include "tests/unit/drain_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COPIES                                                                                  \
	"drover migrate web1 --copy-disks copies it (8 GiB; there is room here), or share the " \
	"storage"
#define MOUNT      "mount the same storage at the same path on both hosts, or choose another destination"
#define REMEDY_MAX 5

/* As drain_world has it, with guests that may be shut down. */
static struct core_world *world_new(size_t guests)
{
	struct core_world *world = drain_world_new(guests);

	for (size_t i = 0; i < guests; i++) {
		struct vm_state vm = core_world_vm(drain_world_names[i], 256);

		vm.persistent = true;
		core_world_see(world, "host1", &vm);
	}
	return world;
}

static void ask(struct core_world *world, bool dry_run)
{
	struct event e = { .kind = EVENT_DRAIN, .request = 7 };

	e.drain.node = "host1";
	e.drain.reason = "";
	e.drain.dry_run = dry_run;
	core_world_forget(world);
	core_world_step(world, &e);
}

static struct check failing(const char *id, const char *measured, const char *remedy)
{
	struct check check = { .verdict = CHECK_FAIL };

	text_copy(check.id, sizeof(check.id), id);
	text_copy(check.measured, sizeof(check.measured), measured);
	text_copy(check.required, sizeof(check.required), "the same storage as at the source");
	text_copy(check.remedy, sizeof(check.remedy), remedy);
	return check;
}

/* Each question that is asked is answered, until nobody is asked any more. No check: it is admitted. */
static void answer(struct core_world *world, const struct check *checks, size_t count)
{
	for (uint64_t asked = 1; asked <= world->fleet->next_preview; asked++) {
		struct checks all = { .items = (struct check *)checks, .count = count };
		struct event e = { .kind = EVENT_PREVIEW_OUTCOME };

		e.preview.preview = asked;
		e.preview.outcome = CALL_ANSWERED;
		e.preview.checks = &all;
		e.preview.admitted = count == 0;
		core_world_step(world, &e);
	}
}

static struct capacity_answer ask_capacity(struct core_world *world, struct capacity *c)
{
	const struct node *node = fleet_find_node(world->fleet, "host1");

	capacity_init(c, world->fleet, world->now_ms, CAPACITY_STEPS);
	c->wall_ms = 42; /* as core_world has it */
	return capacity_ask_drain(c, &node, 1);
}

static bool has_remedy(struct core_world *world, enum capacity_help kind, const char *text)
{
	struct capacity_remedy *remedies;
	struct capacity c;
	struct capacity_answer a = ask_capacity(world, &c);
	size_t n = capacity_find_remedies(&c, &a, REMEDY_MAX, &remedies);
	bool found = false;

	for (size_t i = 0; i < n; i++)
		found |= remedies[i].kind == kind && strstr(remedies[i].text, text);
	free(remedies);
	capacity_answer_deinit(&a);
	capacity_deinit(&c);
	return found;
}

/* A guest whose disk no other host sees: no memory freed anywhere lets it go, and copying its disk does. Before
 * anybody was asked, that is said. */
static void test_memory_clears_no_disk(void **state)
{
	struct core_world *world = world_new(2);
	struct check disk = failing("disk/vda", "missing here: /local/web1.img", COPIES);
	const struct drain_vm *dv = NULL;
	const struct reply *reply;
	struct capacity_answer a;
	struct capacity c;

	(void)state;
	a = ask_capacity(world, &c);
	assert_int_equal(a.verdict, PACKING_YES);
	assert_int_equal(a.n_unasked, 2);
	capacity_answer_deinit(&a);
	capacity_deinit(&c);

	ask(world, true);
	answer(world, &disk, 1);
	reply = core_world_reply(world);
	assert_non_null(reply->plan);
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		dv = &reply->plan->vms[i];
		assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
		assert_null(strstr(dv->helps, "more room"));
		assert_non_null(strstr(dv->helps, "--copy-disks"));
		assert_non_null(strstr(dv->helps, "--leave web"));
		assert_non_null(strstr(dv->helps, "--shutdown web"));
	}

	/* Room appears, and the time to try again comes: the disk is where it was. */
	core_world_figures(world, "host2", 8192, 0);
	core_world_wait(world, 300);
	a = ask_capacity(world, &c);
	assert_int_equal(a.verdict, PACKING_NO);
	assert_int_equal(a.n_unasked, 0);
	assert_int_equal(a.n_places, 2);
	assert_non_null(strstr(a.places[0].reason, "disk/vda: missing here: /local/web1.img"));
	capacity_answer_deinit(&a);
	capacity_deinit(&c);
	assert_false(has_remedy(world, CAPACITY_FREE, ""));
	assert_true(has_remedy(world, CAPACITY_COPY, "drover drain host1 --copy-disks"));

	/* After an hour nobody knows it any more. */
	for (unsigned minute = 0; minute < DENIAL_MS / 60000; minute++) {
		core_world_wait(world, 60);
		core_world_forget(world); /* all that it did is of no interest, and much */
	}
	a = ask_capacity(world, &c);
	assert_int_equal(a.verdict, PACKING_YES);
	assert_int_equal(a.n_unasked, 2);
	capacity_answer_deinit(&a);
	capacity_deinit(&c);
	core_world_free(world);
}

/* One guest of two is refused everywhere: it may be left, or shut down; what the host asks for is told; and the
 * drain under way is asked for again as it was. */
static void test_what_is_asked_for(void **state)
{
	struct core_world *world = world_new(1);
	struct check both[2] = { failing("memory", "1 GiB free", "free memory"),
		                 failing("disk/vda", "another device", MOUNT) };
	char text[REASON_BYTES];

	(void)state;
	ask(world, true);
	answer(world, both, 2);
	assert_false(has_remedy(world, CAPACITY_COPY, ""));
	assert_false(has_remedy(world, CAPACITY_FREE, ""));
	assert_true(has_remedy(world, CAPACITY_CHECK, "disk/vda: " MOUNT));
	assert_true(has_remedy(world, CAPACITY_LEAVE, "drover drain host1 --leave web1"));
	assert_true(has_remedy(world, CAPACITY_SHUTDOWN, "drover drain host1 --shutdown web1"));
	refusals_describe(fleet_find_vm(world->fleet, core_world_vm("web1", 256).uuid)->refusals,
	                  text);
	assert_non_null(strstr(text, "memory: 1 GiB free"));
	assert_non_null(strstr(text, "disk/vda: another device"));

	ask(world, false);
	assert_true(has_remedy(world, CAPACITY_LEAVE,
	                       "drover cancel drain/1, then drover drain host1 --leave web1"));
	core_world_free(world);
}

/* A refusal for want of memory is another matter: it is cleared by memory. */
static void test_memory_clears_memory(void **state)
{
	struct core_world *world = world_new(1);
	struct check memory = failing("memory", "1 GiB free", "");
	struct capacity_answer a;
	struct capacity c;

	(void)state;
	core_world_figures(world, "host2", 4096, 512);
	ask(world, true);
	answer(world, &memory, 1);
	a = ask_capacity(world, &c);
	assert_int_equal(a.verdict, PACKING_NO);
	capacity_answer_deinit(&a);
	capacity_deinit(&c);
	assert_true(has_remedy(world, CAPACITY_FREE, "free 1 MiB on host2"));
	core_world_wait(world, 20);
	a = ask_capacity(world, &c);
	assert_int_equal(a.verdict, PACKING_YES);
	capacity_answer_deinit(&a);
	capacity_deinit(&c);
	core_world_free(world);
}

/* Who was refused and is admitted when asked again has been put right. */
static void test_asked_again(void **state)
{
	struct core_world *world = world_new(1);
	struct check disk = failing("disk/vda", "missing here", COPIES);
	struct capacity_answer a;
	struct capacity c;

	(void)state;
	ask(world, true);
	answer(world, &disk, 1);
	core_world_wait(world, 60);
	ask(world, true);
	answer(world, NULL, 0);
	a = ask_capacity(world, &c);
	assert_int_equal(a.verdict, PACKING_YES);
	assert_int_equal(a.n_unasked, 0);
	capacity_answer_deinit(&a);
	capacity_deinit(&c);
	core_world_free(world);
}

/* A command that is asked for again has all that it had. */
static void test_whole_command(void **state)
{
	struct core_world *world = drain_world_new(2);
	struct vm_state web1 = core_world_vm("web1", 256), web2 = core_world_vm("web2", 256);
	char *leave[] = { web1.uuid };
	struct drain_record r = { .leave = { .items = leave, .count = 1 },
		                  .parallel = 2,
		                  .bandwidth_bytes_per_s = 125000000,
		                  .max_downtime_ms = 500,
		                  .completion_timeout_ms_per_gib = 90000,
		                  .shutdown_timeout_ms = 600000,
		                  .copy_disks = true,
		                  .leave_unmovable = true,
		                  .by_wall_ms = 1000 * 1000,
		                  .strategy = { .ladder = LADDER_POST_COPY,
		                                .forbid_auto_converge = true },
		                  .reason = "new 'fans'" };
	char *text;

	(void)state;
	drain_record_add_shutdown(&r, web2.uuid, "web2");
	text = drain_command(world->fleet, "host1 host2", &r, 1, 910 * 1000);
	assert_string_equal(
		text, "drover drain host1 host2 --leave web1 --shutdown web2 --shutdown-timeout "
		      "10m --unmovable leave --copy-disks --parallel 2 --bandwidth 1000Mbit/s "
		      "--max-downtime 500ms --completion-timeout 90s --ladder post-copy "
		      "--no-auto-converge --by 90s --reason 'new '\\''fans'\\'''");
	free(text);
	free(r.shutdowns);
	core_world_free(world);
}

/* A drain that is cancelled has nobody who waits: neither at once nor when a move is over. */
static void test_cancelled_waits_for_nobody(void **state)
{
	struct core_world *world = drain_world_new(3);
	struct event e = { .kind = EVENT_CANCEL, .request = 9 };
	struct drain *drain;
	size_t moving = 0, left = 0;

	(void)state;
	ask(world, false);
	core_world_wait(world, 2);
	drain = drain_world_drain(world);
	e.cancel.kind = "drain";
	e.cancel.name = "1";
	core_world_step(world, &e);
	assert_int_equal(drain->kept.state, DRAIN_CANCELLED);
	for (size_t i = 0; i < drain->n_vms; i++) {
		moving += drain->vms[i].state == DRAIN_VM_MOVING;
		left += drain->vms[i].state == DRAIN_VM_LEFT;
		if (drain->vms[i].state == DRAIN_VM_LEFT)
			assert_string_equal(drain->vms[i].reason, "stays: the drain was cancelled");
	}
	assert_int_equal(moving + left, 3);
	assert_int_equal(left, 1);
	assert_int_equal(drain->kept.left_count, 1);
	assert_string_equal(drain->status, "0 moved, 1 left, 2 moving still");
	core_world_report(world, 1, MIGRATION_CANCELLED, NULL);
	for (size_t i = 0; i < drain->n_vms; i++)
		assert_int_not_equal(drain->vms[i].state, DRAIN_VM_WAITING);
	assert_int_equal(drain->kept.left_count, 2);
	core_world_free(world);
}

/* A deadline is an hour of a clock on the wall: what is left of it is asked for again, and nothing of one that
 * has passed. */
static void test_a_command_again_keeps_its_deadline(void **state)
{
	struct core_world *world = world_new(1);
	struct check disk = failing("disk/vda", "another device", MOUNT);

	(void)state;
	ask(world, true);
	answer(world, &disk, 1);
	ask(world, false);
	drain_world_drain(world)->kept.by_wall_ms = 90042;
	assert_true(has_remedy(world, CAPACITY_LEAVE, "drover drain host1 --by 90s --leave web1"));
	drain_world_drain(world)->kept.by_wall_ms = 41;
	assert_true(has_remedy(world, CAPACITY_LEAVE, "drover drain host1 --leave web1"));
	core_world_free(world);
}

/* That a destination would take a guest says nothing of why its move there failed. */
static void test_a_yes_is_no_cure_of_a_fault(void **state)
{
	struct core_world *world = world_new(1);
	struct event e = { .kind = EVENT_EXPLAIN_VM, .request = 9 };
	struct vm *vm = fleet_find_vm(world->fleet, core_world_vm("web1", 256).uuid);
	const struct node *host2 = fleet_find_node(world->fleet, "host2");
	struct attempt_report report;
	struct event failed = { .kind = EVENT_ATTEMPT };

	(void)state;
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	report = core_world_attempt(world, 1, MIGRATION_FAILED);
	report.error_code = ERROR_NO_SPACE;
	failed.attempt.node = "host1";
	failed.attempt.report = &report;
	core_world_step(world, &failed);
	assert_int_equal(plan_judge_pair(host2, vm, world->now_ms), PLAN_REFUSED);

	e.explain.vm = "web1";
	e.explain.node = "";
	core_world_step(world, &e);
	answer(world, NULL, 0);
	assert_int_equal(plan_judge_pair(host2, vm, world->now_ms), PLAN_REFUSED);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_clears_no_disk),
		cmocka_unit_test(test_what_is_asked_for),
		cmocka_unit_test(test_memory_clears_memory),
		cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_whole_command),
		cmocka_unit_test(test_a_command_again_keeps_its_deadline),
		cmocka_unit_test(test_a_yes_is_no_cure_of_a_fault),
		cmocka_unit_test(test_cancelled_waits_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
