/* SPDX-License-Identifier: Apache-2.0 */
/* Every report that an agent can send, in every state a migration can be in: what may be concluded,
 * and above all what may not. */
#include "coordinator/core/step.h"

#include "common/alloc.h"
#include "coordinator/core/move/attempts.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

/* Where the hosts' lists have the guest when the report comes. */
enum place { AT_SOURCE, AT_TARGET, AT_BOTH, NOWHERE, SOURCE_SILENT, TARGET_SILENT, PLACES };

struct situation {
	enum migration_state before; /* RESERVED: nothing was heard of the attempt yet */
	enum migration_state said;
	bool tombstoned, cancelled, of_drain, later;
	enum check_verdict verdict; /* CHECK_UNSPECIFIED: no checks */
	enum error_code code;
	enum place place;
};

static struct core_world *world_in(const struct situation *s)
{
	struct core_world *world = core_world_new();
	struct event event = { .kind = EVENT_CANCEL, .request = 5 };
	struct vm_state vm = core_world_vm("web1", 256);

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	if (s->of_drain) {
		core_world_drain(world, "host1");
		core_world_confirm_mark(world, 1);
	} else {
		core_world_migrate(world, "web1", "host2");
	}
	if (s->before != MIGRATION_RESERVED)
		core_world_report(world, 1, s->before, NULL);
	if (s->cancelled) {
		event.cancel.kind = "migration";
		event.cancel.name = "1";
		core_world_step(world, &event);
	}
	if (s->place == AT_TARGET || s->place == AT_BOTH)
		core_world_see(world, "host2", &vm);
	if (s->place == AT_TARGET || s->place == NOWHERE)
		core_world_unsee(world, "host1", "web1");
	if (s->place == SOURCE_SILENT)
		core_world_lose(world, "host1");
	if (s->place == TARGET_SILENT)
		core_world_lose(world, "host2");
	core_world_forget(world);
	return world;
}

static void send(struct core_world *world, const struct situation *s)
{
	struct attempt_report report = core_world_attempt(world, 1, s->said);
	struct check check = { .verdict = s->verdict };
	struct event event = { .kind = EVENT_ATTEMPT };

	report.tombstoned = s->tombstoned;
	report.error_code = s->code;
	report.duration_ms = 5000;
	if (s->later)
		report.attempt.number++;
	if (s->code != ERROR_NONE)
		text_copy(report.reason, sizeof(report.reason), "the agent says why");
	text_copy(check.id, sizeof(check.id), "memory");
	if (s->verdict != CHECK_UNSPECIFIED)
		checks_add(&report.checks, &check);
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	attempt_report_deinit(&report);
}

static bool is_end(const struct situation *s)
{
	return s->tombstoned || migration_state_is_final(s->said);
}

static void judge(struct core_world *world, const struct situation *s, uint32_t attempt)
{
	const struct migration *m = fleet_find_migration(world->fleet, 1);
	bool same_attempt = m->kept.holds_slot && m->kept.attempt.number == attempt + s->later;

	/* The slot is freed by the end of the attempt, and by nothing else. */
	assert_int_equal(same_attempt, !is_end(s));
	if (!is_end(s))
		assert_false(migration_state_is_final(m->kept.state));
	/* Nothing is done but what was done, or what both lists show. */
	if (m->kept.state == MIGRATION_DONE)
		assert_true(s->said == MIGRATION_DONE ||
		            (s->said == MIGRATION_CANCELLED && s->place == AT_TARGET));
	if (s->said == MIGRATION_DONE)
		assert_int_equal(m->kept.state, MIGRATION_DONE);
	if (m->kept.state == MIGRATION_FAILED || m->kept.state == MIGRATION_CANCELLED)
		assert_true(m->kept.reason[0] != '\0');
	if (m->kept.state == MIGRATION_CANCELLED)
		assert_true(s->cancelled || s->said == MIGRATION_CANCELLED ||
		            /* It was planned anew, and nothing is there any more to be moved. */
		            s->place == AT_TARGET || s->place == NOWHERE);
	/* What an agent achieved is not taken back by later words of it. */
	if (s->before == MIGRATION_SWITCHING && s->said == MIGRATION_RUNNING && !is_end(s))
		assert_int_equal(m->kept.state, MIGRATION_SWITCHING);
}

/* All reports in all states, with and without a tombstone, a cancel, failed checks, errors, and the
 * guest in every place: slots, ends and reasons are right each time. */
static void test_every_report_in_every_state(void **state)
{
	static const enum migration_state befores[] = { MIGRATION_RESERVED, MIGRATION_RUNNING,
		                                        MIGRATION_SWITCHING, MIGRATION_UNRESOLVED };
	static const enum check_verdict verdicts[] = { CHECK_UNSPECIFIED, CHECK_FAIL, CHECK_BLOCK };
	static const enum error_code codes[] = { ERROR_NONE, ERROR_STALE, ERROR_HYPERVISOR };
	unsigned tried = 0;

	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(befores); b++)
		for (unsigned said = 0; said < MIGRATION_STATES; said++)
			for (unsigned flags = 0; flags < 16; flags++)
				for (size_t v = 0; v < ARRAY_SIZE(verdicts); v++)
					for (size_t c = 0; c < ARRAY_SIZE(codes); c++)
						for (unsigned place = 0; place < PLACES; place++) {
							struct situation s = {
								.before = befores[b],
								.said = (enum migration_state)said,
								.tombstoned = flags & 1,
								.cancelled = flags & 2,
								.of_drain = flags & 4,
								.later = flags & 8,
								.verdict = verdicts[v],
								.code = codes[c],
								.place = (enum place)place
							};
							struct core_world *world;
							uint32_t attempt;

							/* What the place and the later number change does not hang on the checks. */
							if ((s.later || place != AT_SOURCE) &&
							    (v > 0 || c > 0))
								continue;
							world = world_in(&s);
							/* Its drain's guest is gone: the migration is not there to be reported on. */
							if (fleet_find_migration(world->fleet, 1)
							            ->kept.holds_slot) {
								attempt = fleet_find_migration(
										  world->fleet, 1)
								                  ->kept.attempt
								                  .number;
								send(world, &s);
								judge(world, &s, attempt);
								tried++;
							}
							core_world_free(world);
						}
	assert_true(tried > 4000);
}

/* A report of a destination, of another host's guest, without a guest, or of an attempt that is over
 * creates nothing and changes nothing. */
static void test_reports_that_concern_nobody(void **state)
{
	struct core_world *world = core_world_new();
	struct attempt_report report = { .state = MIGRATION_RUNNING };
	struct event event = { .kind = EVENT_ATTEMPT };

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	memset(report.attempt.operation.bytes, 7, sizeof(report.attempt.operation.bytes));
	report.attempt.number = 1;
	report.attempt.epoch = 1;
	text_copy(report.vm_uuid, sizeof(report.vm_uuid), core_world_vm("web1", 1).uuid);
	text_copy(report.vm_name, sizeof(report.vm_name), "web1");
	text_copy(report.source, sizeof(report.source), "host1");
	text_copy(report.target, sizeof(report.target), "host2");
	event.attempt.report = &report;

	event.attempt.node = "host2"; /* the destination's own word */
	core_world_step(world, &event);
	event.attempt.node = "host1";
	report.state = MIGRATION_DONE;
	core_world_step(world, &event);
	report.state = MIGRATION_RUNNING;
	report.target[0] = '\0';
	core_world_step(world, &event);
	text_copy(report.target, sizeof(report.target), "host2");
	report.vm_uuid[0] = '\0';
	core_world_step(world, &event);
	assert_null(world->fleet->migrations);

	/* One that runs is adopted, whoever ordered it; a second one of the same guest is not. */
	text_copy(report.vm_uuid, sizeof(report.vm_uuid), core_world_vm("web1", 1).uuid);
	core_world_step(world, &event);
	assert_int_equal(HASH_CNT(hh, world->fleet->migrations), 1);
	assert_true(fleet_find_migration(world->fleet, 1)->kept.holds_slot);
	report.attempt.operation.bytes[0]++;
	core_world_step(world, &event);
	assert_int_equal(HASH_CNT(hh, world->fleet->migrations), 1);
	core_world_free(world);
}

/* A migration that only waits gives way to one that an agent says is under way. */
static void test_planned_gives_way_to_what_runs(void **state)
{
	struct core_world *world = core_world_new();
	struct attempt_report report = { .state = MIGRATION_RUNNING };
	struct event event = { .kind = EVENT_ATTEMPT };

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_figures(world, "host2", 4096, 3900); /* no room now: it waits */
	core_world_migrate(world, "web1", "");
	if (!world->fleet->migrations) {
		core_world_free(world);
		fail_msg("nothing waits");
		return;
	}
	memset(report.attempt.operation.bytes, 7, sizeof(report.attempt.operation.bytes));
	report.attempt.number = 1;
	report.attempt.epoch = 1;
	text_copy(report.vm_uuid, sizeof(report.vm_uuid), core_world_vm("web1", 1).uuid);
	text_copy(report.vm_name, sizeof(report.vm_name), "web1");
	text_copy(report.source, sizeof(report.source), "host1");
	text_copy(report.target, sizeof(report.target), "host2");
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.state, MIGRATION_CANCELLED);
	assert_int_equal(fleet_find_migration(world->fleet, 2)->kept.state, MIGRATION_RUNNING);
	core_world_free(world);
}

/* Every outcome of every call, for the attempt that is meant and for others: only what surely never
 * left frees the slot. */
static void test_every_outcome(void **state)
{
	static const enum event_kind kinds[] = { EVENT_START_OUTCOME, EVENT_PROBE_OUTCOME,
		                                 EVENT_CANCEL_OUTCOME };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (int how = CALL_ANSWERED; how <= CALL_UNKNOWN; how++)
			for (unsigned flags = 0; flags < 16; flags++) {
				struct situation s = { .before = flags & 1 ? MIGRATION_RUNNING
					                                   : MIGRATION_RESERVED };
				struct core_world *world = world_in(&s);
				struct attempt_report report = core_world_attempt(
					world, 1, MIGRATION_RUNNING);
				struct event event = { .kind = kinds[k] };
				const struct migration *m = fleet_find_migration(world->fleet, 1);

				event.call.migration = 1;
				event.call.attempt_number = m->kept.attempt.number + !!(flags & 8);
				event.call.outcome = (enum call_outcome)how;
				event.call.accepted = flags & 2;
				event.call.report = flags & 4 ? &report : NULL;
				text_copy(event.call.error.text, sizeof(event.call.error.text),
				          "why");
				core_world_step(world, &event);
				assert_int_equal(m->kept.holds_slot,
				                 !(kinds[k] == EVENT_START_OUTCOME &&
				                   how == CALL_NOT_SENT && !(flags & 1) &&
				                   !(flags & 8)));
				attempt_report_deinit(&report);
				core_world_free(world);
			}
}

/* A source that falls silent at any moment leaves its slot taken; back again, it is asked. */
static void test_silence_frees_nothing(void **state)
{
	static const enum migration_state befores[] = { MIGRATION_RESERVED, MIGRATION_RUNNING,
		                                        MIGRATION_SWITCHING };

	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(befores); b++)
		for (int seen = 0; seen <= 1; seen++) {
			struct situation s = { .before = befores[b] };
			struct core_world *world = world_in(&s);
			struct event event = { .kind = EVENT_START_OUTCOME };
			struct vm_state vm = core_world_vm("web1", 256);

			event.call.migration = 1;
			event.call.attempt_number = 1;
			event.call.outcome = CALL_UNKNOWN;
			core_world_step(world, &event);
			core_world_lose(world, "host1");
			if (seen)
				core_world_see(world, "host2", &vm);
			core_world_wait(world, 60);
			assert_true(fleet_find_migration(world->fleet, 1)->kept.holds_slot);
			assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.state,
			                 MIGRATION_UNRESOLVED);
			assert_int_equal(core_world_count(world, ACTION_PROBE), 0);
			core_world_host(world, "host1", 4096, one, 1);
			core_world_wait(world, 2);
			assert_true(core_world_count(world, ACTION_PROBE) > 0);
			core_world_free(world);
		}
}

/* A migration that waits is given up when what it waits for is wanted no more: the guest has ended, or
 * is cancelled; each is said. */
static void test_waiting_in_vain(void **state)
{
	(void)state;
	for (int cancelled = 0; cancelled <= 1; cancelled++) {
		struct core_world *world = core_world_new();
		struct event event = { .kind = EVENT_CANCEL, .request = 5 };
		const struct migration *m;

		core_world_host(world, "host1", 4096, one, 1);
		core_world_host(world, "host2", 4096, NULL, 0);
		core_world_figures(world, "host2", 4096, 3900);
		core_world_migrate(world, "web1", "");
		m = fleet_find_migration(world->fleet, 1);
		assert_non_null(m);
		assert_int_equal(m->kept.state, MIGRATION_PLANNED);
		event.cancel.kind = "vm";
		event.cancel.name = "web1";
		if (cancelled)
			core_world_step(world, &event);
		else
			core_world_unsee(world, "host1", "web1");
		core_world_wait(world, 2);
		assert_int_equal(m->kept.state, MIGRATION_CANCELLED);
		assert_true(m->kept.reason[0] != '\0');
		core_world_free(world);
	}
}

/* The host's own cap holds where it is lower than the cluster's. */
static void test_host_has_a_cap_of_its_own(void **state)
{
	static const char *const two[] = { "web1", "web2" };
	struct core_world *world = core_world_new();
	struct host_state host = { .libvirt_connected = true,
		                   .port_pool = 2,
		                   .memory_capacity_bytes = (uint64_t)4096 << 20,
		                   .memory_guests_bytes = (uint64_t)544 << 20,
		                   .slots_out_max = 1 };
	struct event event = { .kind = EVENT_HOST };

	(void)state;
	core_world_host(world, "host1", 4096, two, 2);
	core_world_host(world, "host2", 4096, NULL, 0);
	event.host.node = "host1";
	event.host.host = &host;
	core_world_step(world, &event);
	core_world_migrate(world, "web1", "host2");
	core_world_migrate(world, "web2", "host2");
	assert_true(fleet_find_migration(world->fleet, 1)->kept.holds_slot);
	assert_false(fleet_find_migration(world->fleet, 2)->kept.holds_slot);
	assert_string_equal(fleet_find_migration(world->fleet, 2)->kept.reason,
	                    "waits: 1 of 1 outbound slots of host1 in use");
	core_world_free(world);
}

/* Each failure of a guest, and each refusal of a host, makes the next try later, up to a limit. */
static void test_backing_off(void **state)
{
	struct core_world *world = core_world_new();
	const struct check room = { .id = "memory", .verdict = CHECK_FAIL };
	struct vm *vm;
	uint64_t before = 0;

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	vm = fleet_find_vm(world->fleet, core_world_vm("web1", 1).uuid);
	assert_non_null(vm);
	for (unsigned i = 0; i < 12; i++) {
		uint64_t wait_ms;

		core_world_migrate(world, "web1", "host2");
		core_world_report(world, i + 1, MIGRATION_RUNNING, NULL);
		core_world_report(world, i + 1, MIGRATION_FAILED, NULL);
		wait_ms = vm->retry_ms - world->now_ms;
		assert_true(wait_ms >= before && wait_ms <= 600000);
		before = wait_ms;
	}
	assert_int_equal(before, 600000);

	/* A host that refuses is left alone for two minutes at most. */
	core_world_migrate(world, "web1", "host2");
	for (unsigned i = 0; i < 8; i++) {
		if (!fleet_find_migration(world->fleet, 13)->kept.holds_slot)
			core_world_wait(world, 130);
		if (!fleet_find_migration(world->fleet, 13) ||
		    !fleet_find_migration(world->fleet, 13)->kept.holds_slot)
			break;
		core_world_report(world, 13, MIGRATION_FAILED, &room);
		assert_non_null(vm->refusals);
		assert_true(vm->refusals->again_ms <= world->now_ms + 120000);
	}
	/* The history has the refusal with its figures, once. */
	assert_int_equal(core_world_count_told(world, "web1: host2 refused: memory"), 1);
	core_world_free(world);
}

/* After the end its source may look once more for what was left: that is taken in, stored and told, and
 * nothing else of a report that comes so late; one that looked for nothing takes nothing back. */
static void test_late_remnants(void **state)
{
	struct situation s = { .before = MIGRATION_RUNNING, .said = MIGRATION_DONE };
	struct core_world *world = world_in(&s);
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);
	struct remnant lease = { "lease", "host2", REMNANT_NOT_LOOKED, "silent", "" };
	const struct migration *m = fleet_find_migration(world->fleet, 1);
	uint64_t revision;

	(void)state;
	report.remnants = (struct remnants){ &lease, 1 };
	core_world_tell(world, &report);
	assert_int_equal(m->kept.state, MIGRATION_DONE);
	assert_int_equal(m->kept.report.remnants.count, 1);
	revision = m->revision;

	report.state = MIGRATION_FAILED;
	report.remnants.count = 0;
	core_world_tell(world, &report);
	assert_int_equal(m->revision, revision);
	assert_int_equal(m->kept.report.remnants.count, 1);

	report.remnants.count = 1;
	lease.verdict = REMNANT_GONE;
	core_world_tell(world, &report);
	assert_int_equal(m->kept.state, MIGRATION_DONE);
	assert_int_equal(m->kept.report.remnants.items[0].verdict, REMNANT_GONE);
	assert_true(m->revision > revision);
	revision = m->revision;

	/* The same again, or of another attempt, is no news. */
	core_world_tell(world, &report);
	report.attempt.number++;
	lease.verdict = REMNANT_LEFT;
	core_world_tell(world, &report);
	assert_int_equal(m->revision, revision);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_remnants),
		cmocka_unit_test(test_every_report_in_every_state),
		cmocka_unit_test(test_reports_that_concern_nobody),
		cmocka_unit_test(test_planned_gives_way_to_what_runs),
		cmocka_unit_test(test_every_outcome),
		cmocka_unit_test(test_silence_frees_nothing),
		cmocka_unit_test(test_waiting_in_vain),
		cmocka_unit_test(test_host_has_a_cap_of_its_own),
		cmocka_unit_test(test_backing_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
