/* SPDX-License-Identifier: Apache-2.0 */
/* What a drain or a move is answered before anything moves: refusals that change nothing, dry runs, and
 * questions about one guest. */
#include "coordinator/core/drain/drain.h"

#include "tests/unit/drain_world.h"
#include "tests/unit/policy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Larger than every other host: refused beforehand, and nothing has changed. */
static void test_too_large_is_refused(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct vm_state huge = core_world_vm("huge", 8000);
	const struct reply *reply;
	uint64_t revision;

	(void)state;
	core_world_see(world, "host1", &huge);
	core_world_forget(world);
	revision = world->fleet->revision;
	core_world_drain(world, "host1");
	reply = core_world_reply(world);
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "huge cannot move"));
	assert_non_null(strstr(reply->refusal, "--leave huge"));
	assert_non_null(strstr(reply->refusal, "--unmovable leave"));
	assert_int_equal(reply->checks.count, 1);
	assert_string_equal(reply->checks.items[0].id, "vm/huge");
	assert_int_equal(world->fleet->revision, revision);
	assert_int_equal(core_world_count(world, ACTION_STORE), 0);
	core_world_free(world);
}

/* With leave_unmovable the rest goes, and the drain ends "partly". */
static void test_leave_unmovable(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct vm_state huge = core_world_vm("huge", 8000);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };

	(void)state;
	core_world_see(world, "host1", &huge);
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.reason = "";
	event.drain.leave_unmovable = true;
	core_world_step(world, &event);
	assert_int_equal(drain_world_guest(world, "huge")->state, DRAIN_VM_LEFT);
	core_world_arrive(world, 1);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 1);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_PARTLY);
	assert_int_equal(drain_world_drain(world)->kept.left_count, 1);
	core_world_free(world);
}

/* A guest to leave that the node does not have is a typing error: refused, nothing changed. */
static void test_leave_must_exist(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names leave = { 0 };

	(void)state;
	names_add(&leave, "wbe1");
	event.drain.node = "host1";
	event.drain.leave = &leave;
	event.drain.reason = "";
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	assert_null(fleet_find_drain(world->fleet, 1));
	names_deinit(&leave);
	core_world_free(world);
}

/* Draining a draining node is the same drain. */
static void test_already(void **state)
{
	struct core_world *world = drain_world_new(1);

	(void)state;
	core_world_drain(world, "host1");
	assert_false(core_world_reply(world)->already);
	core_world_drain(world, "host1");
	assert_true(core_world_reply(world)->already);
	assert_int_equal(core_world_reply(world)->drain, 1);
	assert_int_equal(world->fleet->last_drain_number, 1);
	core_world_free(world);
}

/* ... but not when it asks for something else: that is refused by name, and nothing changes (F65: the last
 * request that was accepted holds). */
static void test_already_otherwise(void **state)
{
	struct core_world *world = drain_world_new(2);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names stay = { 0 }, off = { 0 };
	const struct error *err;
	uint64_t revision;

	(void)state;
	names_add(&stay, "web1");
	event.drain.node = "host1";
	event.drain.leave = &stay;
	event.drain.reason = "";
	event.drain.parallel = 1;
	core_world_step(world, &event);
	assert_false(core_world_reply(world)->already);
	/* The same, or less: it is that drain. When it should be over changes nothing that it does. */
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->already);
	event.drain.by_wall_ms = 1000000;
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->already);
	core_world_drain(world, "host1");
	assert_true(core_world_reply(world)->already);
	/* More, or other. */
	revision = world->fleet->revision;
	names_add(&stay, "web2");
	names_add(&off, "web2");
	event.drain.shut_down = &off;
	event.drain.parallel = 2;
	event.drain.copy_disks = true;
	core_world_step(world, &event);
	err = &core_world_reply(world)->error;
	assert_int_equal(err->code, ERROR_REFUSED);
	assert_non_null(strstr(err->text, "host1 is being drained already, and this was not asked "
	                                  "for then: --leave web2, --shutdown web2, --parallel, "
	                                  "--copy-disks; nothing was changed"));
	assert_non_null(strstr(err->text, "drover cancel drain/1"));
	assert_int_equal(world->fleet->revision, revision);
	assert_int_equal(world->fleet->last_drain_number, 1);
	assert_int_equal(drain_world_drain(world)->kept.leave.count, 1);
	assert_int_equal(drain_world_drain(world)->kept.parallel, 1);
	names_deinit(&stay);
	names_deinit(&off);
	core_world_free(world);
}

/* A dry run asks each planned destination and answers with the plan; nothing is stored. */
static void test_dry_run(void **state)
{
	struct core_world *world = drain_world_new(2);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };
	struct checks checks = { 0 };
	struct check pass = { .id = "memory", .verdict = CHECK_PASS };
	const struct drain *plan;

	(void)state;
	checks_add(&checks, &pass);
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 2);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	for (uint64_t preview = 1; preview <= 2; preview++) {
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };

		answer.preview.preview = preview;
		answer.preview.admitted = true;
		answer.preview.checks = &checks;
		answer.preview.guard = GUARD_LOCK_MANAGER;
		core_world_step(world, &answer);
	}
	plan = core_world_reply(world)->plan;
	assert_int_equal(plan->kept.state, DRAIN_PLANNED);
	assert_int_equal(plan->n_vms, 2);
	/* Spread over both, as each takes what leaves the most room. */
	assert_string_not_equal(plan->vms[0].target, plan->vms[1].target);
	assert_int_equal(plan->vms[0].checks.count, 1);
	assert_int_equal(plan->vms[0].guard, GUARD_LOCK_MANAGER);
	assert_true(plan->eta_ms > 0);
	assert_int_equal(core_world_count(world, ACTION_STORE), 0);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_READY);
	checks_deinit(&checks);
	core_world_free(world);
}

/* A dry run whose questions are not answered ends after ten seconds and says so. */
static void test_dry_run_has_a_deadline(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };

	(void)state;
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_step(world, &event);
	core_world_wait(world, 9);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	core_world_wait(world, 1);
	assert_string_equal(core_world_reply(world)->plan->vms[0].reason,
	                    "its agent has not answered in time");
	core_world_free(world);
}

/* A node that is being drained takes no guest, and the command that changes that is named: uncordon would
 * be refused. */
static void test_no_guest_into_a_drain(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	core_world_host(world, "host2", 4096, drain_world_names, 1);
	core_world_drain(world, "host1");
	core_world_migrate(world, drain_world_names[0], "host1");
	assert_int_equal(core_world_reply(world)->error.code, ERROR_REFUSED);
	assert_non_null(strstr(core_world_reply(world)->error.text, "drover undrain host1"));
	core_world_free(world);
}

/* Whether web1 could go to @node ("": anywhere) while host3 is cordoned; the one host that is asked says that
 * it would take it. */
static const struct reply *explain(struct core_world *world, const char *node, const char *asked)
{
	struct event event = { .kind = EVENT_EXPLAIN_VM, .request = 9 };
	struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
	struct checks checks = { 0 };
	const struct action *question;

	core_world_cordon(world, "host3");
	event.explain.vm = "web1";
	event.explain.node = node;
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 1);
	question = core_world_find(world, ACTION_PREVIEW);
	assert_string_equal(question->preview.target, asked);
	answer.preview.preview = question->preview.preview;
	answer.preview.admitted = true;
	answer.preview.checks = &checks;
	core_world_step(world, &answer);
	return core_world_reply(world);
}

/* Explaining a guest asks every host that could take it, and tells of the others why not. */
static void test_explain(void **state)
{
	struct core_world *world = drain_world_new(1);
	const struct reply *reply;

	(void)state;
	reply = explain(world, "", "host2");
	assert_int_equal(reply->kind, REPLY_EXPLAIN);
	assert_int_equal(reply->n_targets, 2);
	assert_string_equal(reply->targets[0].node, "host2");
	assert_true(reply->targets[0].fits);
	assert_string_equal(reply->targets[1].reason, "host3 cordoned");
	assert_false(reply->targets[1].asked);
	core_world_free(world);
}

/* A dry run that copies disks asks as if it did, and its estimate counts their bytes at the same rate. */
static void test_dry_run_counts_disks(void **state)
{
	uint64_t eta_ms[2];

	(void)state;
	for (size_t copied = 0; copied < 2; copied++) {
		struct core_world *world = drain_world_new(1);
		struct event event = { .kind = EVENT_MIGRATE, .request = 9 };
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
		struct checks checks = { 0 };
		const struct action *asked;

		event.migrate.vm = "web1";
		event.migrate.target = "host2";
		event.migrate.dry_run = true;
		event.migrate.copy_disks = copied;
		event.migrate.bandwidth_bytes_per_s = 1 << 20;
		core_world_step(world, &event);
		asked = core_world_find(world, ACTION_PREVIEW);
		assert_non_null(asked);
		assert_int_equal(asked->preview.copy_disks, copied);
		answer.preview.preview = asked->preview.preview;
		answer.preview.admitted = true;
		answer.preview.checks = &checks;
		answer.preview.copied_bytes = copied ? (uint64_t)512 << 20 : 0;
		core_world_step(world, &answer);
		eta_ms[copied] = core_world_reply(world)->eta_ms;
		core_world_free(world);
	}
	assert_in_range(eta_ms[1] - eta_ms[0], 500000, 530000);
}

/* Every host that is asked for web1 says yes, but @refusing: a name, "" or "all". */
static const struct reply *dry_migrate(struct core_world *world, const char *refusing)
{
	struct event event = { .kind = EVENT_MIGRATE, .request = 9 };
	size_t asked = 0;

	event.migrate.vm = "web1";
	event.migrate.target = "";
	event.migrate.dry_run = true;
	core_world_forget(world);
	core_world_step(world, &event);
	for (size_t i = 0; i < world->seen.count; i++) {
		const struct action *question = &world->seen.items[i];
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
		struct checks checks = { 0 };

		if (question->kind != ACTION_PREVIEW)
			continue;
		asked++;
		answer.preview.preview = question->preview.preview;
		answer.preview.admitted = strcmp(refusing, "all") != 0 &&
		                          strcmp(refusing, question->preview.target) != 0;
		answer.preview.checks = &checks;
		core_world_step(world, &answer);
	}
	assert_true(asked > 0);
	return core_world_reply(world);
}

/* What the dry run names is where the move then goes. */
static void expect_choice(struct core_world *world, const char *node, const char *why,
                          const char *why_not)
{
	const struct reply *reply = dry_migrate(world, "");

	assert_string_equal(reply->target, node);
	assert_string_equal(reply->targets[0].reason, why);
	assert_string_equal(reply->targets[1].reason, why_not);
	core_world_forget(world);
	core_world_migrate(world, "web1", "");
	assert_string_equal(core_world_find(world, ACTION_START)->call.target, node);
	core_world_free(world);
}

static void test_dry_run_chooses_as_the_move(void **state)
{
	struct core_world *world = drain_world_new(1);

	(void)state;
	expect_choice(world, "host2", "of 2 that can take it none keeps more memory free: 3.7 GiB",
	              "host3 would keep as much free; of equals the first by name is taken");
	world = drain_world_new(1);
	core_world_figures(world, "host2", 3000, 0);
	expect_choice(world, "host3", "of 2 that can take it none keeps more memory free: 3.7 GiB",
	              "host2 would keep 2.6 GiB of memory free");
	/* Less room, but no wish against it. */
	world = drain_world_new(1);
	core_world_figures(world, "host3", 3000, 0);
	policy_must(world, "ssd", POLICY_ON, true, "web1", "host3");
	expect_choice(world, "host3",
	              "of 2 that can take it none breaks fewer wishes; 2.6 GiB of memory stay "
	              "free there",
	              "host2: policy ssd wants it on host3; host3 would take it (a wish)");
}

/* Who has refused is passed over, and says so; where all have, each does. */
static void test_dry_run_after_refusals(void **state)
{
	struct core_world *world = drain_world_new(1);
	const struct reply *reply = dry_migrate(world, "host2");

	(void)state;
	assert_string_equal(reply->target, "host3");
	assert_false(reply->refused);
	assert_string_equal(reply->targets[0].reason,
	                    "no other node can take it; 3.7 GiB of memory stay free there");
	assert_string_equal(reply->targets[1].reason, "host2 refused without a reason");
	reply = dry_migrate(world, "all");
	assert_true(reply->refused);
	assert_string_equal(reply->refusal, "host2 refused without a reason");
	assert_string_equal(reply->targets[1].reason, "host3 refused without a reason");
	core_world_free(world);
}

/* Asked about one node, it is asked although it is cordoned: all that stands in the way is known at
 * once, and whatever it says it is no destination now. */
static void test_why_not(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct event event = { .kind = EVENT_EXPLAIN_VM, .request = 9 };
	const struct reply *reply;

	(void)state;
	reply = explain(world, "host3", "host3");
	assert_int_equal(reply->n_targets, 1);
	assert_true(reply->targets[0].asked);
	assert_false(reply->targets[0].fits);
	assert_string_equal(reply->targets[0].reason, "host3 cordoned");

	event.explain.vm = "web1";
	event.explain.node = "host1";
	core_world_step(world, &event);
	reply = core_world_reply(world);
	assert_int_equal(reply->n_targets, 0);
	assert_string_equal(reply->text, "web1 is on host1 already");

	event.explain.node = "host9";
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	core_world_free(world);
}

/* A guest asked to go where there is no room waits five minutes for it, then fails and says why. */
static void test_migrate_waits_for_room(void **state)
{
	struct core_world *world = drain_world_new(1);
	const struct migration *m;

	(void)state;
	core_world_figures(world, "host2", 200, 0);
	core_world_migrate(world, "web1", "host2");
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.state, MIGRATION_PLANNED);
	assert_string_equal(m->kept.reason, "no destination: host2 136 MiB short of memory");
	core_world_wait(world, 290);
	assert_int_equal(m->kept.state, MIGRATION_PLANNED);
	core_world_wait(world, 20);
	assert_int_equal(m->kept.state, MIGRATION_FAILED);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_large_is_refused),
		cmocka_unit_test(test_leave_unmovable),
		cmocka_unit_test(test_leave_must_exist),
		cmocka_unit_test(test_already),
		cmocka_unit_test(test_already_otherwise),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_dry_run_counts_disks),
		cmocka_unit_test(test_dry_run_chooses_as_the_move),
		cmocka_unit_test(test_dry_run_after_refusals),
		cmocka_unit_test(test_dry_run_has_a_deadline),
		cmocka_unit_test(test_no_guest_into_a_drain),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_why_not),
		cmocka_unit_test(test_migrate_waits_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
