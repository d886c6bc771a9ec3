/* SPDX-License-Identifier: Apache-2.0 */
/* What people change about migrations by hand, as the core sees it: who is asked, what is kept, and that
 * each setting knows where it comes from. */
#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const web1[] = { "web1" };

/* The settings of options, as coordinator.yaml would have set the downtime. */
static struct core_world *start(void)
{
	struct core_world *world = core_world_new();

	world->fleet->options.settings.max_downtime_ms = 300;
	world->fleet->options.settings.from[SETTING_MAX_DOWNTIME] = ORIGIN_FILE;
	world->fleet->options.settings.progress_timeout_ms = 150000;
	core_world_host(world, "host1", 4096, web1, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_forget(world);
	return world;
}

static void tune(struct core_world *world, const char *kind, const char *name, struct tuning tuning,
                 bool forget)
{
	struct event event = { .kind = EVENT_TUNE, .request = 7 };

	event.tune.kind = kind;
	event.tune.name = name;
	event.tune.by = "root";
	event.tune.tuning = tuning;
	event.tune.forget = forget;
	core_world_step(world, &event);
}

static const struct tuning faster = { .bandwidth_given = true };
static const struct tuning longer = { .max_downtime_given = true, .max_downtime_ms = 900 };

static void expect_error(struct core_world *world, enum error_code code, const char *text)
{
	const struct reply *reply = core_world_reply(world);

	assert_int_equal(reply->kind, REPLY_FAILED);
	if (reply->error.code != code || !strstr(reply->error.text, text))
		fail_msg("%s: %s", error_code_name(reply->error.code), reply->error.text);
}

static bool was_told(const struct fleet *fleet, const char *subject, const char *text)
{
	for (size_t i = 0; i < fleet->n_events; i++) {
		const struct event_record *e = fleet_get_event(fleet, i);

		if (strcmp(e->subject, subject) == 0 && strstr(e->text, text))
			return true;
	}
	return false;
}

/* A migration that runs is changed by its source agent: it is asked, its answer is given on, and what
 * it reports goes into the record with the origin. */
static void test_running(void **state)
{
	struct core_world *world = start();
	struct event outcome = { .kind = EVENT_TUNE_OUTCOME };
	struct tuned_value value = { "bandwidthPerMigration", "8 MiB/s = 67.1 Mbit/s", "no limit" };
	struct attempt_report report;
	const struct migration *m;
	struct action *action;

	(void)state;
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_forget(world);
	tune(world, "vm", "web1", faster, false);
	action = core_world_find(world, ACTION_TUNE);
	assert_non_null(action);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	assert_string_equal(action->tune.source, "host1");
	assert_string_equal(action->tune.by, "root");
	assert_true(action->tune.tuning.bandwidth_given);
	assert_int_equal(action->tune.attempt.epoch, world->fleet->epoch);

	report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	report.bandwidth_tuned = true;
	report.bandwidth_bytes_per_s = 0;
	outcome.request = action->tune.request;
	outcome.tuned.migration = 1;
	outcome.tuned.outcome = CALL_ANSWERED;
	outcome.tuned.values = &value;
	outcome.tuned.n_values = 1;
	outcome.tuned.note = "host2 is not asked again";
	outcome.tuned.report = &report;
	core_world_step(world, &outcome);
	assert_int_equal(core_world_reply(world)->kind, REPLY_TUNE);
	assert_true(core_world_reply(world)->changed);
	assert_string_equal(core_world_reply(world)->values[0].after, "no limit");
	assert_string_equal(core_world_reply(world)->text, "host2 is not asked again");
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.settings.from[SETTING_BANDWIDTH], ORIGIN_TUNED);
	assert_int_equal(m->kept.settings.from[SETTING_MAX_DOWNTIME], ORIGIN_FILE);
	core_world_free(world);
}

/* A lost answer is told as what it is; that the change was made is learnt from the next report. */
static void test_lost_answer(void **state)
{
	struct core_world *world = start();
	struct event outcome = { .kind = EVENT_TUNE_OUTCOME, .request = 7 };
	struct event event = { .kind = EVENT_ATTEMPT };
	struct attempt_report report;
	const struct migration *m;

	(void)state;
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	tune(world, "migration", "1", longer, false);
	outcome.tuned.migration = 1;
	outcome.tuned.outcome = CALL_UNKNOWN;
	outcome.tuned.note = "";
	core_world_forget(world);
	core_world_step(world, &outcome);
	expect_error(world, ERROR_UNKNOWN_OUTCOME, "drover explain migration/1");
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.settings.max_downtime_ms, 300);

	report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	report.max_downtime_tuned = true;
	report.max_downtime_ms = 900;
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	assert_int_equal(m->kept.settings.max_downtime_ms, 900);
	assert_int_equal(m->kept.settings.from[SETTING_MAX_DOWNTIME], ORIGIN_TUNED);
	core_world_free(world);
}

/* What cannot be is refused before anybody is asked, with the reason. */
static void test_refusals(void **state)
{
	struct core_world *world = start();
	struct tuning both = { .post_copy = true, .pause = true };

	(void)state;
	tune(world, "vm", "web1", (struct tuning){ 0 }, false);
	expect_error(world, ERROR_INVALID, "nothing is to be changed");
	tune(world, "vm", "web1", both, false);
	expect_error(world, ERROR_INVALID, "exclude each other");
	tune(world, "vm", "web1",
	     (struct tuning){ .max_downtime_given = true, .max_downtime_ms = 2000001 }, false);
	expect_error(world, ERROR_INVALID, "1 ms to 2000 s");
	tune(world, "vm", "web1", (struct tuning){ .pause = true }, false);
	expect_error(world, ERROR_REFUSED, "is not being moved");
	tune(world, "vm", "web9", faster, false);
	expect_error(world, ERROR_NOT_FOUND, "web9");
	tune(world, "migration", "1", faster, false);
	expect_error(world, ERROR_NOT_FOUND, "migration/1");
	tune(world, "drain", "1", faster, false);
	expect_error(world, ERROR_INVALID, "a migration or a vm");
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_report(world, 1, MIGRATION_DONE, NULL);
	tune(world, "migration", "1", faster, false);
	expect_error(world, ERROR_REFUSED, "is over (done)");
	assert_int_equal(core_world_count(world, ACTION_TUNE), 0);
	core_world_free(world);
}

/* A source that cannot be reached is not waited for: nothing was changed, and that is said. */
static void test_silent_source(void **state)
{
	struct core_world *world = start();

	(void)state;
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_lose(world, "host1");
	core_world_forget(world);
	tune(world, "vm", "web1", faster, false);
	expect_error(world, ERROR_UNREACHABLE, "nothing was changed");
	assert_int_equal(core_world_count(world, ACTION_TUNE), 0);
	core_world_free(world);
}

/* What is asked for of a guest that does not move is kept, used by its next migration, and gone when
 * that is done; what is asked for with the migration itself wins. */
static void test_kept_for_the_next(void **state)
{
	struct core_world *world = start();
	struct event migrate = { .kind = EVENT_MIGRATE, .request = 3 };
	struct tuning limits = { .bandwidth_given = true,
		                 .bandwidth_bytes_per_s = 8 * MIB,
		                 .max_downtime_given = true,
		                 .max_downtime_ms = 900 };
	const struct migration_settings *s;
	const struct vm *vm;

	(void)state;
	tune(world, "vm", "web1", limits, false);
	assert_int_equal(core_world_reply(world)->kind, REPLY_TUNE);
	assert_int_equal(core_world_reply(world)->n_values, 2);
	assert_string_equal(core_world_reply(world)->values[0].after, "8 MiB/s = 67.1 Mbit/s");
	assert_non_null(strstr(core_world_reply(world)->text, "kept for its next migration"));
	assert_true(was_told(world->fleet, "vm/web1",
	                     "root: bandwidthPerMigration no limit -> 8 MiB/s"));
	vm = fleet_find_vm(world->fleet, core_world_vm("web1", 256).uuid);
	assert_true(vm->kept.bandwidth_given);

	migrate.migrate.vm = "web1";
	migrate.migrate.target = "host2";
	migrate.migrate.by = "root";
	migrate.migrate.max_downtime_ms = 50;
	core_world_step(world, &migrate);
	s = &fleet_find_migration(world->fleet, 1)->kept.settings;
	assert_int_equal(s->bandwidth_bytes_per_s, 8 * MIB);
	assert_int_equal(s->from[SETTING_BANDWIDTH], ORIGIN_VM);
	assert_int_equal(s->max_downtime_ms, 50);
	assert_int_equal(s->from[SETTING_MAX_DOWNTIME], ORIGIN_REQUEST);
	assert_int_equal(s->from[SETTING_PROGRESS_TIMEOUT], ORIGIN_BUILT_IN);
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	assert_true(vm->kept.bandwidth_given);
	core_world_report(world, 1, MIGRATION_DONE, NULL);
	assert_false(vm->kept.bandwidth_given);
	core_world_free(world);
}

/* It can be dropped, and a coordinator that starts again still has it. */
static void test_kept_in_the_store(void **state)
{
	struct vm_record kept = { .max_downtime_given = true, .max_downtime_ms = 900 };
	struct store_contents contents = { .epoch = 3, .vms = &kept, .n_vms = 1 };
	struct vm_state web = core_world_vm("web1", 256);
	struct core_world *world;
	const struct vm *vm;

	(void)state;
	text_copy(kept.uuid, sizeof(kept.uuid), web.uuid);
	text_copy(kept.name, sizeof(kept.name), "web1");
	world = core_world_load(&contents);
	core_world_host(world, "host1", 4096, web1, 1);
	vm = fleet_find_vm(world->fleet, web.uuid);
	assert_int_equal(vm->kept.max_downtime_ms, 900);
	tune(world, "vm", "web1", (struct tuning){ 0 }, true);
	assert_int_equal(core_world_reply(world)->kind, REPLY_TUNE);
	assert_false(vm->kept.max_downtime_given);
	assert_non_null(strstr(core_world_reply(world)->text, "nothing is kept"));
	core_world_free(world);
}

/* A drain's limits are its migrations', with the drain as their origin, and are in the mark that the
 * drained host keeps. */
static void test_drain(void **state)
{
	struct core_world *world = start();
	struct event drain = { .kind = EVENT_DRAIN, .request = 4 };
	struct names none = { 0 };
	const struct migration_settings *s;
	struct action *mark;

	(void)state;
	drain.drain.node = "host1";
	drain.drain.leave = &none;
	drain.drain.reason = "";
	drain.drain.max_downtime_ms = 700;
	drain.drain.completion_timeout_ms_per_gib = 60000;
	drain.drain.progress_timeout_ms = 30000;
	drain.drain.strategy.ladder = LADDER_POST_COPY;
	core_world_step(world, &drain);
	mark = core_world_find(world, ACTION_SET_DRAIN_MARK);
	assert_int_equal(mark->mark.mark.max_downtime_ms, 700);
	assert_int_equal(mark->mark.mark.completion_timeout_ms_per_gib, 60000);
	assert_int_equal(mark->mark.mark.progress_timeout_ms, 30000);
	core_world_confirm_mark(world, 1);
	s = &core_world_find(world, ACTION_START)->call.settings;
	assert_int_equal(s->max_downtime_ms, 700);
	assert_int_equal(s->completion_timeout_ms_per_gib, 60000);
	assert_int_equal(s->progress_timeout_ms, 30000);
	assert_int_equal(s->from[SETTING_LADDER], ORIGIN_DRAIN);
	assert_int_equal(s->from[SETTING_COMPLETION_TIMEOUT], ORIGIN_DRAIN);
	assert_int_equal(s->from[SETTING_BANDWIDTH], ORIGIN_BUILT_IN);
	core_world_free(world);
}

/* What the cluster permits can be forbidden for one migration, also where a ladder of that name permits
 * it: then its steps are taken and the measure is not. No ladder can be asked for as well. */
static void test_forbidden(void **state)
{
	struct core_world *world = start();
	struct event migrate = { .kind = EVENT_MIGRATE, .request = 3 };
	struct strategy *cluster = &world->fleet->options.settings.strategy;
	const struct migration_settings *s;

	(void)state;
	*cluster = (struct strategy){ .ladder = LADDER_POST_COPY, .allow_disruption = true };
	migrate.migrate.vm = "web1";
	migrate.migrate.target = "host2";
	migrate.migrate.by = "root";
	migrate.migrate.strategy.forbid_post_copy = true;
	migrate.migrate.strategy.forbid_disruption = true;
	core_world_step(world, &migrate);
	s = &fleet_find_migration(world->fleet, 1)->kept.settings;
	assert_int_equal(s->strategy.ladder, LADDER_MINIMAL_DOWNTIME);
	assert_int_equal(s->from[SETTING_LADDER], ORIGIN_REQUEST);
	assert_false(strategy_permits_post_copy(&s->strategy));
	assert_false(strategy_permits_pause(&s->strategy));
	assert_int_equal(s->from[SETTING_DISRUPTION], ORIGIN_REQUEST);
	assert_int_equal(s->from[SETTING_AUTO_CONVERGE], ORIGIN_BUILT_IN);
	/* What is sent and stored is what is in effect. */
	assert_int_equal(strategy_pack(&s->strategy), LADDER_MINIMAL_DOWNTIME);
	core_world_free(world);

	world = start();
	world->fleet->options.settings.strategy.ladder = LADDER_POST_COPY;
	migrate.migrate.strategy = (struct strategy){ .plain = true };
	core_world_step(world, &migrate);
	s = &fleet_find_migration(world->fleet, 1)->kept.settings;
	assert_int_equal(strategy_pack(&s->strategy), 0);
	assert_int_equal(s->from[SETTING_LADDER], ORIGIN_REQUEST);
	core_world_free(world);
}

static const struct reply *ask_to_move(struct core_world *world, struct transfer transfer,
                                       struct strategy strategy)
{
	struct event migrate = { .kind = EVENT_MIGRATE, .request = 3 };

	migrate.migrate.vm = "web1";
	migrate.migrate.target = "host2";
	migrate.migrate.by = "root";
	migrate.migrate.transfer = transfer;
	migrate.migrate.strategy = strategy;
	core_world_step(world, &migrate);
	return core_world_reply(world);
}

/* Several connections and post-copy never meet: asked for together they are refused, and so is the one
 * where the cluster has the other; but post-copy for this one migration goes before the cluster's usual
 * way, and that is said to come from the same request. */
static void test_parallel_and_post_copy(void **state)
{
	struct transfer parallel = { .connections = 4 };
	struct strategy post_copy = { .allow_post_copy = true };
	struct strategy ladder = { .ladder = LADDER_POST_COPY };
	const struct migration_settings *s;
	struct core_world *world = start();
	const struct reply *r = ask_to_move(world, parallel, post_copy);
	char text[SETTING_TEXT_BYTES];

	(void)state;
	assert_int_equal(r->error.code, ERROR_INVALID);
	assert_non_null(strstr(r->error.text, "exclude each other"));
	assert_null(fleet_find_migration(world->fleet, 1));
	core_world_free(world);

	world = start();
	world->fleet->options.settings.strategy = post_copy;
	r = ask_to_move(world, parallel, (struct strategy){ 0 });
	assert_int_equal(r->error.code, ERROR_INVALID);
	core_world_free(world);

	world = start();
	world->fleet->options.settings.transfer.connections = 4;
	world->fleet->options.settings.transfer.compression = COMPRESSION_MT;
	world->fleet->options.settings.from[SETTING_CONNECTIONS] = ORIGIN_FILE;
	ask_to_move(world, (struct transfer){ 0 }, ladder);
	s = &fleet_find_migration(world->fleet, 1)->kept.settings;
	assert_int_equal(s->transfer.connections, 1);
	assert_int_equal(s->from[SETTING_CONNECTIONS], ORIGIN_REQUEST);
	assert_int_equal(s->transfer.compression, COMPRESSION_NONE);
	core_world_free(world);

	world = start();
	ask_to_move(world, parallel, (struct strategy){ 0 });
	s = &fleet_find_migration(world->fleet, 1)->kept.settings;
	assert_string_equal(setting_format(s, SETTING_CONNECTIONS, text), "4");
	assert_string_equal(setting_format(s, SETTING_COMPRESSION, text), "none");
	assert_int_equal(s->from[SETTING_CONNECTIONS], ORIGIN_REQUEST);
	core_world_free(world);
}

/* An administrator's word for storage that is not proved is in the history, with the name. */
static void test_unsafe_is_told(void **state)
{
	struct core_world *world = start();
	struct event migrate = { .kind = EVENT_MIGRATE, .request = 3 };

	(void)state;
	migrate.migrate.vm = "web1";
	migrate.migrate.target = "host2";
	migrate.migrate.by = "ann";
	migrate.migrate.unsafe = true;
	core_world_step(world, &migrate);
	assert_true(fleet_find_migration(world->fleet, 1)->kept.settings.unsafe);
	assert_true(was_told(world->fleet, "migration/1", "web1: ann says that its storage"));
	core_world_free(world);
}

/* Origins are stored as one number; what a later version has stored is not taken for something else. */
static void test_origins(void **state)
{
	struct migration_settings s = { 0 }, back = { 0 };
	char text[SETTING_TEXT_BYTES];

	(void)state;
	for (unsigned i = 0; i < SETTINGS; i++)
		s.from[i] = (uint8_t)((i + 1) % ORIGINS);
	origins_unpack(origins_pack(&s), &back);
	assert_memory_equal(s.from, back.from, sizeof(s.from));
	origins_unpack(0xf, &back);
	assert_int_equal(back.from[0], ORIGIN_BUILT_IN);
	s.strategy.ladder = LADDER_POST_COPY;
	assert_string_equal(setting_format(&s, SETTING_POST_COPY, text),
	                    "no, but the ladder post-copy permits it");
	setting_take(&s, SETTING_POST_COPY, true, ORIGIN_REQUEST);
	assert_string_equal(setting_format(&s, SETTING_POST_COPY, text), "yes");
	setting_take(&s, SETTING_COMPLETION_TIMEOUT, 150000, ORIGIN_REQUEST);
	assert_string_equal(setting_format(&s, SETTING_COMPLETION_TIMEOUT, text),
	                    "2 min 30 s per GiB");
	/* What only one place can set has an origin, too. */
	s.tls = true;
	assert_string_equal(setting_format(&s, SETTING_TLS, text), "yes");
	assert_string_equal(setting_name(SETTING_TLS), "tls");
	setting_take_given(&s, SETTING_NO_GUARD, false, ORIGIN_REQUEST);
	assert_int_not_equal(s.from[SETTING_NO_GUARD], ORIGIN_REQUEST);
	setting_take_given(&s, SETTING_NO_GUARD, true, ORIGIN_REQUEST);
	assert_int_equal(s.from[SETTING_NO_GUARD], ORIGIN_REQUEST);
	assert_string_equal(setting_format(&s, SETTING_NO_GUARD, text), "yes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_lost_answer),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_silent_source),
		cmocka_unit_test(test_kept_for_the_next),
		cmocka_unit_test(test_kept_in_the_store),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_parallel_and_post_copy),
		cmocka_unit_test(test_unsafe_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
