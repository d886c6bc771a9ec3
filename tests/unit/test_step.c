/* SPDX-License-Identifier: Apache-2.0 */
/* Persist, then act, then confirm: what the core asks for, and when. */
#include "coordinator/core/step.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

static struct core_world *two_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_forget(world);
	return world;
}

static void outcome(struct core_world *world, enum event_kind kind, enum call_outcome how,
                    bool accepted, const struct attempt_report *report)
{
	struct event event = { .kind = kind };

	event.call.migration = 1;
	event.call.attempt_number = fleet_find_migration(world->fleet, 1)->kept.attempt.number;
	event.call.outcome = how;
	event.call.accepted = accepted;
	event.call.report = report;
	text_copy(event.call.error.text, sizeof(event.call.error.text), "the edge says why");
	core_world_step(world, &event);
}

static struct migration *first(struct core_world *world)
{
	struct migration *m = fleet_find_migration(world->fleet, 1);

	assert_non_null(m);
	return m;
}

/* No START before the transaction that took its slot is stored, and no reply either. */
static void test_start_waits_for_the_store(void **state)
{
	struct core_world *world = two_hosts();

	(void)state;
	world->store_slowly = true;
	core_world_migrate(world, "web1", "");
	assert_int_equal(first(world)->kept.state, MIGRATION_RESERVED);
	core_world_wait(world, 3);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	core_world_store(world);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_int_equal(core_world_reply(world)->migration, 1);
	core_world_free(world);
}

/* The write that takes the slot says so, with the caps to be judged in its transaction. */
static void test_slot_is_taken_in_the_batch(void **state)
{
	struct core_world *world = two_hosts();
	const struct batch *batch;
	bool takes = false;

	(void)state;
	core_world_migrate(world, "web1", "");
	batch = world->seen.items[0].store;
	assert_int_equal(world->seen.items[0].kind, ACTION_STORE);
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->puts[i].kind != PUT_MIGRATION)
			continue;
		takes = batch->puts[i].takes_slot && batch->puts[i].migration.holds_slot;
		assert_int_equal(batch->puts[i].caps.cluster, 5);
	}
	assert_true(takes);
	assert_int_equal(batch->epoch, 1);
	core_world_free(world);
}

/* A start whose outcome is unknown is asked about, never repeated. */
static void test_unknown_outcome_is_probed(void **state)
{
	struct core_world *world = two_hosts();

	(void)state;
	core_world_migrate(world, "web1", "");
	outcome(world, EVENT_START_OUTCOME, CALL_UNKNOWN, false, NULL);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_int_equal(core_world_count(world, ACTION_PROBE), 1);
	assert_true(first(world)->kept.holds_slot);

	/* Unanswered, it is asked again; the slot stays taken. */
	outcome(world, EVENT_PROBE_OUTCOME, CALL_UNKNOWN, false, NULL);
	core_world_wait(world, 16);
	assert_true(core_world_count(world, ACTION_PROBE) >= 2);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_true(first(world)->kept.holds_slot);
	core_world_free(world);
}

/* A tombstone frees the slot, and the next attempt has a number of its own. */
static void test_tombstone_leads_to_a_new_attempt(void **state)
{
	struct core_world *world = two_hosts();
	struct attempt_report report;

	(void)state;
	core_world_migrate(world, "web1", "");
	outcome(world, EVENT_START_OUTCOME, CALL_UNKNOWN, false, NULL);
	core_world_wait(world, 6);
	report = core_world_attempt(world, 1, MIGRATION_CANCELLED);
	outcome(world, EVENT_PROBE_OUTCOME, CALL_ANSWERED, false, &report);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(core_world_find(world, ACTION_START)->call.attempt.number, 2);
	core_world_free(world);
}

/* What surely was never sent frees the slot at once; the guest is tried again a little later. */
static void test_not_sent_frees_the_slot(void **state)
{
	struct core_world *world = two_hosts();

	(void)state;
	core_world_migrate(world, "web1", "");
	outcome(world, EVENT_START_OUTCOME, CALL_NOT_SENT, false, NULL);
	assert_false(first(world)->kept.holds_slot);
	assert_int_equal(first(world)->kept.state, MIGRATION_PLANNED);
	assert_int_equal(world->fleet->slots_held, 0);
	core_world_wait(world, 8);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* Silence makes a running migration unresolved, never failed, and only its source's word ends it. */
static void test_silence_is_not_failure(void **state)
{
	struct core_world *world = two_hosts();
	struct vm_state web1 = core_world_vm("web1", 256);

	(void)state;
	core_world_migrate(world, "web1", "");
	outcome(world, EVENT_START_OUTCOME, CALL_ANSWERED, true, NULL);
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_lose(world, "host1");
	core_world_wait(world, 30);
	assert_int_equal(first(world)->kept.state, MIGRATION_UNRESOLVED);
	assert_true(first(world)->kept.holds_slot);

	/* Even seen running on the other side it waits for the source. */
	core_world_see(world, "host2", &web1);
	core_world_wait(world, 600);
	assert_int_equal(first(world)->kept.state, MIGRATION_UNRESOLVED);
	assert_non_null(strstr(first(world)->kept.reason, "host2 lists the guest running"));

	core_world_host(world, "host1", 4096, one, 0);
	assert_true(core_world_count(world, ACTION_PROBE) >= 1);
	core_world_report(world, 1, MIGRATION_DONE, NULL);
	assert_int_equal(first(world)->kept.state, MIGRATION_DONE);
	assert_int_equal(world->fleet->slots_held, 0);
	core_world_free(world);
}

/* An agent can speak of its own attempts only: a destination cannot end a migration. */
static void test_only_the_source_is_believed(void **state)
{
	struct core_world *world = two_hosts();
	struct event event = { .kind = EVENT_ATTEMPT };
	struct attempt_report report;

	(void)state;
	core_world_migrate(world, "web1", "");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	report = core_world_attempt(world, 1, MIGRATION_DONE);
	event.attempt.node = "host2";
	event.attempt.report = &report;
	core_world_step(world, &event);
	assert_int_equal(first(world)->kept.state, MIGRATION_RUNNING);
	text_copy(report.source, sizeof(report.source), "host2");
	core_world_step(world, &event);
	assert_int_equal(first(world)->kept.state, MIGRATION_RUNNING);
	core_world_free(world);
}

/* News of an earlier attempt changes nothing of the present one. */
static void test_old_attempt_is_ignored(void **state)
{
	struct core_world *world = two_hosts();
	struct event event = { .kind = EVENT_ATTEMPT };
	struct attempt_report old;

	(void)state;
	core_world_migrate(world, "web1", "");
	old = core_world_attempt(world, 1, MIGRATION_FAILED);
	outcome(world, EVENT_START_OUTCOME, CALL_NOT_SENT, false, NULL);
	core_world_wait(world, 8);
	assert_int_equal(first(world)->kept.attempt.number, 2);
	event.attempt.node = "host1";
	event.attempt.report = &old;
	core_world_step(world, &event);
	assert_int_equal(first(world)->kept.state, MIGRATION_RESERVED);
	core_world_free(world);
}

/* A coordinator that starts again asks about what it finds, and starts nothing of it. */
static void test_restart_probes(void **state)
{
	struct core_world *before = two_hosts();
	struct core_world *after;
	struct store_contents contents = { .epoch = 1, .last_migration_number = 1 };
	struct event event = { .kind = EVENT_LOADED, .loaded = &contents };
	struct core_options options;

	(void)state;
	core_world_migrate(before, "web1", "");
	contents.migrations = &first(before)->kept;
	contents.n_migrations = 1;

	after = core_world_new();
	options = after->fleet->options;
	fleet_free(after->fleet);
	after->fleet = fleet_new(&options);
	core_world_step(after, &event);
	assert_int_equal(after->fleet->epoch, 2);
	assert_int_equal(after->fleet->slots_held, 1);
	core_world_host(after, "host1", 4096, one, 1);
	core_world_host(after, "host2", 4096, NULL, 0);
	core_world_wait(after, 4);
	assert_int_equal(core_world_count(after, ACTION_START), 0);
	assert_int_equal(core_world_count(after, ACTION_PROBE), 1);
	assert_int_equal(core_world_find(after, ACTION_PROBE)->call.attempt.epoch, 2);
	core_world_report(after, 1, MIGRATION_RUNNING, NULL);
	assert_int_equal(first(after)->kept.state, MIGRATION_RUNNING);
	core_world_free(after);
	core_world_free(before);
}

/* The new epoch is stored before anybody is answered, and is above all that agents have seen. */
static void test_epoch(void **state)
{
	struct core_world *world = core_world_new();
	struct event attach = { .kind = EVENT_ATTACH, .request = 5 };

	(void)state;
	assert_int_equal(world->fleet->epoch, 1);
	world->store_slowly = true;
	attach.attach.node = "host1";
	attach.attach.mesh_address = attach.attach.agent_version = "";
	attach.attach.highest_epoch = 40;
	core_world_step(world, &attach);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	assert_int_equal(world->seen.items[0].store->epoch, 1);
	assert_int_equal(world->seen.items[0].store->new_epoch, 41);
	core_world_store(world);
	assert_int_equal(core_world_reply(world)->kind, REPLY_ATTACH);
	assert_int_equal(core_world_reply(world)->epoch, 41);
	core_world_free(world);
}

/* A store that fails stops everything: nothing is asked for any more, and requests are refused. */
static void test_store_failure_stops(void **state)
{
	struct core_world *world = two_hosts();
	struct event failed = { .kind = EVENT_STORE_FAILED };

	(void)state;
	world->store_slowly = true;
	core_world_migrate(world, "web1", "");
	error_set(&failed.store_failed.error, ERROR_STORE, "disk full");
	core_world_step(world, &failed);
	assert_string_equal(core_world_find(world, ACTION_STOP)->stop.text, "disk full");
	core_world_forget(world);
	core_world_store(world);
	core_world_wait(world, 10);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	core_world_drain(world, "host1");
	assert_int_equal(core_world_reply(world)->kind, REPLY_FAILED);
	core_world_free(world);
}

/* Cancelling before anything was sent needs no agent; later it is asked until the attempt is over. */
static void test_cancel(void **state)
{
	struct core_world *world = two_hosts();
	struct event cancel = { .kind = EVENT_CANCEL, .request = 3 };

	(void)state;
	cancel.cancel.kind = "vm";
	cancel.cancel.name = "web1";
	core_world_migrate(world, "web1", "");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_step(world, &cancel);
	assert_true(core_world_reply(world)->changed);
	assert_int_equal(core_world_count(world, ACTION_CANCEL), 1);
	outcome(world, EVENT_CANCEL_OUTCOME, CALL_UNKNOWN, false, NULL);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_CANCEL), 2);
	core_world_report(world, 1, MIGRATION_CANCELLED, NULL);
	assert_int_equal(first(world)->kept.state, MIGRATION_CANCELLED);
	assert_int_equal(world->fleet->slots_held, 0);
	cancel.cancel.kind = "migration";
	cancel.cancel.name = "1";
	core_world_step(world, &cancel);
	assert_false(core_world_reply(world)->changed);
	core_world_free(world);
}

/* Requests that name nothing that exists get an error and change nothing. */
static void test_bad_requests(void **state)
{
	struct core_world *world = two_hosts();
	struct event cancel = { .kind = EVENT_CANCEL, .request = 3 };
	uint64_t revision = world->fleet->revision;

	(void)state;
	core_world_drain(world, "host9");
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	core_world_migrate(world, "nobody", "");
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	core_world_migrate(world, "web1", "host9");
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	core_world_migrate(world, "web1", "host1");
	assert_true(core_world_reply(world)->refused);
	cancel.cancel.kind = "drain";
	cancel.cancel.name = "-1";
	core_world_step(world, &cancel);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_INVALID);
	cancel.cancel.name = "99999999999999999999999";
	core_world_step(world, &cancel);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_INVALID);
	cancel.cancel.kind = "weather";
	core_world_step(world, &cancel);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_INVALID);
	assert_int_equal(world->fleet->revision, revision);
	assert_int_equal(core_world_count(world, ACTION_STORE), 0);
	core_world_free(world);
}

/* Asking twice with one request id is asking once. */
static void test_request_id(void **state)
{
	struct core_world *world = two_hosts();
	struct event event = { .kind = EVENT_MIGRATE, .request = 8 };

	(void)state;
	event.migrate.vm = "web1";
	event.migrate.target = "";
	event.migrate.request_id.bytes[3] = 9;
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->migration, 1);
	assert_false(core_world_reply(world)->already);
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->migration, 1);
	assert_true(core_world_reply(world)->already);
	assert_int_equal(world->fleet->last_migration_number, 1);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_waits_for_the_store),
		cmocka_unit_test(test_slot_is_taken_in_the_batch),
		cmocka_unit_test(test_unknown_outcome_is_probed),
		cmocka_unit_test(test_tombstone_leads_to_a_new_attempt),
		cmocka_unit_test(test_not_sent_frees_the_slot),
		cmocka_unit_test(test_silence_is_not_failure),
		cmocka_unit_test(test_only_the_source_is_believed),
		cmocka_unit_test(test_old_attempt_is_ignored),
		cmocka_unit_test(test_restart_probes),
		cmocka_unit_test(test_epoch),
		cmocka_unit_test(test_store_failure_stops),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_request_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
