/* SPDX-License-Identifier: Apache-2.0 */
/* An operator's word that a host is dead: when it is taken, what it frees, what it settles, and what
 * becomes of the host that comes back. */
#include "common/alloc.h"
#include "common/epoch.h"
#include "coordinator/core/fence.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

static struct node *node(struct core_world *world, const char *name)
{
	return fleet_find_node(world->fleet, name);
}

static struct migration *migration(struct core_world *world, uint64_t number)
{
	struct migration *m = fleet_find_migration(world->fleet, number);

	assert_non_null(m);
	return m;
}

static const struct reply *fence(struct core_world *world, const char *name, const char *reason,
                                 bool dry_run)
{
	struct event event = { .kind = EVENT_FENCE, .request = 9 };

	event.fence.node = name;
	event.fence.reason = reason;
	event.fence.by = "root";
	event.fence.dry_run = dry_run;
	core_world_step(world, &event);
	return core_world_reply(world);
}

/* web1 moves from host1 to host2; host3 watches. */
static struct core_world *moving(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_forget(world);
	return world;
}

static void silence(struct core_world *world, const char *name)
{
	core_world_lose(world, name);
	core_world_wait(world, FENCE_SILENT_MS / 1000 + 1);
	core_world_forget(world);
}

static struct core_world *dead_source(void)
{
	struct core_world *world = moving();

	silence(world, "host1");
	assert_true(fence(world, "host1", "it burns", false)->changed);
	core_world_wait(world, 1);
	return world;
}

static size_t told(const struct core_world *world, const char *to, const char *of)
{
	size_t count = 0;

	for (size_t i = 0; i < world->seen.count; i++) {
		const struct action *a = &world->seen.items[i];

		count += a->kind == ACTION_SET_FENCE && strcmp(a->fence.node, to) == 0 &&
		         strcmp(a->fence.fence.node, of) == 0;
	}
	return count;
}

/* What @who answers about guests of host1: NULL = it has no lease of any. */
static void answer(struct core_world *world, const char *who, const struct fenced_guest *guest)
{
	struct event event = { .kind = EVENT_FENCE_OUTCOME };

	event.fence_outcome.node = who;
	event.fence_outcome.fenced = "host1";
	event.fence_outcome.fence_epoch = node(world, "host1")->kept.fence_epoch;
	event.fence_outcome.outcome = CALL_ANSWERED;
	event.fence_outcome.guests = guest;
	event.fence_outcome.n_guests = guest ? 1 : 0;
	core_world_step(world, &event);
}

static struct fenced_guest of_first(struct core_world *world, bool here, bool settled)
{
	return (struct fenced_guest){ .attempt = migration(world, 1)->kept.attempt,
		                      .here = here,
		                      .settled = settled };
}

/* A host whose agent speaks is not dead, and one that was just heard may not be: the refusal says how
 * long ago that was. */
static void test_refused_while_it_may_live(void **state)
{
	struct core_world *world = moving();
	const struct reply *reply = fence(world, "host1", "it burns", false);

	(void)state;
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "its agent is connected"));
	core_world_lose(world, "host1");
	core_world_wait(world, 5);
	reply = fence(world, "host1", "it burns", false);
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "last heard 5"));
	assert_non_null(strstr(reply->refusal, "30"));
	assert_false(node(world, "host1")->kept.fenced);
	assert_true(migration(world, 1)->kept.holds_slot);
	core_world_free(world);
}

/* A coordinator that was just started has heard nothing: its own age counts, not "never". */
static void test_refused_by_a_new_coordinator(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	core_world_lose(world, "host1");
	node(world, "host1")->last_seen_ms = 0;
	assert_true(fence(world, "host1", "it burns", false)->refused);
	core_world_wait(world, 31);
	assert_false(fence(world, "host1", "it burns", false)->refused);
	core_world_free(world);
}

/* A dry run says what the word allows, guest and migration by name, and changes nothing. */
static void test_dry_run_explains(void **state)
{
	struct core_world *world = moving();
	const struct reply *reply;
	uint64_t epoch = world->fleet->epoch;
	char all[4096] = "";

	(void)state;
	silence(world, "host1");
	reply = fence(world, "host1", "", true);
	assert_false(reply->refused);
	assert_false(reply->changed);
	for (size_t i = 0; i < reply->effects.count; i++)
		strncat(all, reply->effects.items[i], sizeof(all) - strlen(all) - 1);
	assert_non_null(strstr(all, "web1"));
	assert_non_null(strstr(all, "migration/1"));
	assert_non_null(strstr(all, "run twice"));
	assert_false(node(world, "host1")->kept.fenced);
	assert_int_equal(world->fleet->epoch, epoch);
	assert_int_equal(core_world_count(world, ACTION_SET_FENCE), 0);
	core_world_free(world);
}

/* Without a reason nobody is declared dead. */
static void test_reason_is_required(void **state)
{
	struct core_world *world = moving();

	(void)state;
	silence(world, "host1");
	assert_int_equal(fence(world, "host1", "", false)->error.code, ERROR_INVALID);
	assert_false(node(world, "host1")->kept.fenced);
	core_world_free(world);
}

/* Nothing is freed and nobody is told before the word and the new epoch are durable; then the slot is
 * free, the migration unresolved, and every other host is told. */
static void test_frees_slots_once_stored(void **state)
{
	struct core_world *world = moving();
	uint64_t epoch = world->fleet->epoch;

	(void)state;
	silence(world, "host1");
	world->store_slowly = true;
	core_world_forget(world);
	{
		struct event event = { .kind = EVENT_FENCE, .request = 9 };

		event.fence.node = "host1";
		event.fence.reason = "it burns";
		event.fence.by = "root";
		core_world_step(world, &event);
	}
	core_world_wait(world, 3);
	assert_true(migration(world, 1)->kept.holds_slot);
	assert_int_equal(core_world_count(world, ACTION_SET_FENCE), 0);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	core_world_store(world);
	world->store_slowly = false;
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 1);
	assert_int_equal(world->fleet->epoch, epoch + 1);
	assert_int_equal(node(world, "host1")->kept.fence_epoch, epoch);
	assert_int_equal(node(world, "host1")->state, NODE_FENCED);
	assert_false(migration(world, 1)->kept.holds_slot);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_UNRESOLVED);
	assert_int_equal(world->fleet->slots_held, 0);
	assert_int_equal(told(world, "host2", "host1"), 1);
	assert_int_equal(told(world, "host3", "host1"), 1);
	assert_int_equal(told(world, "host1", "host1"), 0);
	core_world_free(world);
}

/* The destination has it: done. */
static void test_done_where_the_destination_has_it(void **state)
{
	struct core_world *world = dead_source();
	struct fenced_guest guest = of_first(world, true, true);

	(void)state;
	answer(world, "host2", &guest);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_DONE);
	assert_non_null(strstr(migration(world, 1)->kept.reason, "declared dead"));
	core_world_free(world);
}

/* The destination has nothing: the guest ended with its host, and drover starts nothing. */
static void test_failed_where_it_has_nothing(void **state)
{
	struct core_world *world = dead_source();
	struct fenced_guest guest = of_first(world, false, true);

	(void)state;
	answer(world, "host2", &guest);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_FAILED);
	core_world_wait(world, 30);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	core_world_free(world);
}

/* The destination had it, and has it no more: it moved, and what came then is no loss of this move. */
static void test_done_where_it_has_run(void **state)
{
	struct core_world *world = dead_source();
	struct fenced_guest guest = of_first(world, false, true);

	(void)state;
	guest.has_run = true;
	answer(world, "host2", &guest);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_DONE);
	assert_non_null(strstr(migration(world, 1)->kept.reason, "moved on"));
	core_world_free(world);
}

/* What cannot be settled yet stays unresolved with the destination's reason, and is asked again. */
static void test_asks_until_it_is_settled(void **state)
{
	struct core_world *world = dead_source();
	struct fenced_guest guest = of_first(world, false, false);
	size_t before = told(world, "host2", "host1");

	(void)state;
	text_copy(guest.text, sizeof(guest.text), "libvirt on host2 does not answer");
	answer(world, "host2", &guest);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_UNRESOLVED);
	assert_string_equal(migration(world, 1)->kept.reason, guest.text);
	core_world_wait(world, 5);
	assert_true(told(world, "host2", "host1") > before);
	guest.settled = guest.here = true;
	answer(world, "host2", &guest);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_DONE);
	core_world_free(world);
}

/* No lease there any more: its source had settled it before it died. The destination's list decides. */
static void test_list_decides_without_a_lease(void **state)
{
	struct core_world *world = dead_source();
	struct vm_state vm = core_world_vm("web1", 256);

	(void)state;
	core_world_see(world, "host2", &vm);
	answer(world, "host2", NULL);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_DONE);
	assert_string_equal(fleet_find_vm(world->fleet, vm.uuid)->node->kept.name, "host2");
	core_world_free(world);
}

/* Both are dead: nobody is left to ask. */
static void test_failed_when_both_are_dead(void **state)
{
	struct core_world *world = dead_source();

	(void)state;
	silence(world, "host2");
	(void)fence(world, "host2", "it burns too", false);
	core_world_wait(world, 2);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_FAILED);
	core_world_free(world);
}

/* A dead destination: its living source is told, and only its report ends the attempt. */
static void test_dead_destination(void **state)
{
	struct core_world *world = moving();

	(void)state;
	silence(world, "host2");
	(void)fence(world, "host2", "it burns", false);
	core_world_wait(world, 1);
	assert_int_equal(told(world, "host1", "host2"), 1);
	assert_true(migration(world, 1)->kept.holds_slot);
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	assert_false(migration(world, 1)->kept.holds_slot);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_FAILED);
	core_world_free(world);
}

/* The drain of a dead host ends, and says that it was not confirmed; that of another, which waited for
 * the slots of the dead one, goes on. */
static void test_drains(void **state)
{
	static const char *const many[] = { "a1", "a2" };
	static const char *const others[] = { "b1" };
	struct core_world *world = core_world_new();
	struct drain *first, *second;

	(void)state;
	core_world_host(world, "host1", 4096, many, 2);
	core_world_host(world, "host2", 400, others, 1); /* no room for more */
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_drain(world, "host1");
	core_world_drain(world, "host2");
	core_world_wait(world, 2);
	first = fleet_find_drain(world->fleet, 1);
	second = fleet_find_drain(world->fleet, 2);
	/* host3 takes two at a time, and host1 has both slots. */
	assert_int_equal(node(world, "host3")->migrations_in, 2);
	assert_int_equal(node(world, "host2")->migrations_out, 0);
	silence(world, "host1");
	assert_int_equal(node(world, "host2")->migrations_out, 0);
	(void)fence(world, "host1", "it burns", false);
	core_world_wait(world, 2);
	assert_int_equal(first->kept.state, DRAIN_CANCELLED);
	assert_non_null(strstr(first->status, "declared dead"));
	assert_int_equal(second->kept.state, DRAIN_RUNNING);
	assert_int_equal(node(world, "host2")->migrations_out, 1);
	core_world_free(world);
}

static void come_back(struct core_world *world, const char *name)
{
	static const struct checks none;
	struct host_state host = { .libvirt_connected = true,
		                   .memory_capacity_bytes = (uint64_t)4 << 30 };
	struct vm_state vm = core_world_vm("web1", 256);
	struct event attach = { .kind = EVENT_ATTACH, .request = 3 };
	struct event snapshot = { .kind = EVENT_SNAPSHOT };

	(void)none;
	attach.attach.node = name;
	attach.attach.mesh_address = "tcp://10.0.0.1:7788";
	attach.attach.agent_version = "test";
	attach.attach.boot_id.bytes[0] = 77;
	core_world_step(world, &attach);
	snapshot.snapshot.node = name;
	snapshot.snapshot.host = &host;
	snapshot.snapshot.vms = &vm;
	snapshot.snapshot.n_vms = 1;
	snapshot.snapshot.inventory_valid = true;
	core_world_step(world, &snapshot);
}

/* A host that is back is told that its old attempts are over before anything else, takes no guests,
 * and a guest that runs there and elsewhere is frozen at once. */
static void test_comes_back(void **state)
{
	struct core_world *world = dead_source();
	struct fenced_guest guest = of_first(world, true, true);
	struct vm_state vm = core_world_vm("web1", 256);

	(void)state;
	core_world_see(world, "host2", &vm);
	answer(world, "host2", &guest);
	core_world_forget(world);
	come_back(world, "host1");
	assert_false(node(world, "host1")->kept.fenced);
	assert_true(node(world, "host1")->kept.cordoned);
	assert_int_equal(told(world, "host1", "host1"), 1);
	assert_true(fleet_find_vm(world->fleet, vm.uuid)->twice);
	assert_false(fleet_find_vm(world->fleet, vm.uuid)->movable);
	/* Its word on the old attempt is not listened to any more. */
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	assert_int_equal(migration(world, 1)->kept.state, MIGRATION_DONE);
	core_world_free(world);
}

/* An attempt that the store does not know is not adopted if a fence covers it. */
static void test_old_attempts_are_not_adopted(void **state)
{
	struct core_world *world = dead_source();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	struct event event = { .kind = EVENT_ATTEMPT };

	(void)state;
	answer(world, "host2", NULL);
	come_back(world, "host1");
	report.attempt.operation.bytes[3] ^= 0xff;
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	assert_int_equal(world->fleet->slots_held, 0);
	report.attempt.epoch = world->fleet->epoch;
	core_world_step(world, &event);
	assert_int_equal(world->fleet->slots_held, 1);
	core_world_free(world);
}

/* Unfence takes the word back for the future only: what was settled stays so. */
static void test_unfence(void **state)
{
	struct core_world *world = dead_source();
	struct event event = { .kind = EVENT_UNFENCE, .request = 4 };

	(void)state;
	event.fence.node = "host1";
	event.fence.reason = "";
	event.fence.by = "root";
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->changed);
	assert_int_equal(node(world, "host1")->state, NODE_UNREACHABLE);
	assert_true(node(world, "host1")->kept.cordoned);
	assert_int_equal(world->fleet->slots_held, 0);
	core_world_step(world, &event);
	assert_false(core_world_reply(world)->changed);
	core_world_free(world);
}

/* --- epochs --- */

static void attach_with_epoch(struct core_world *world, const char *name, uint64_t epoch)
{
	struct event attach = { .kind = EVENT_ATTACH, .request = 5 };

	attach.attach.node = name;
	attach.attach.mesh_address = "tcp://10.0.0.9:7788";
	attach.attach.agent_version = "test";
	attach.attach.highest_epoch = epoch;
	core_world_step(world, &attach);
}

/* An agent that claims an epoch which no coordinator had is not followed (its successor would be 0),
 * not taken in, and shown; the largest credible leap is followed. */
static void test_absurd_epochs(void **state)
{
	static const uint64_t absurd[] = { UINT64_MAX, UINT64_MAX - 1, EPOCH_MAX,
		                           EPOCH_LEAP_MAX + 100 };
	struct core_world *world = core_world_new();
	uint64_t epoch;

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	epoch = world->fleet->epoch;
	for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		attach_with_epoch(world, "host9", absurd[i]);
		assert_int_equal(core_world_reply(world)->kind, REPLY_FAILED);
		assert_int_equal(world->fleet->epoch, epoch);
		assert_int_equal(node(world, "host9")->state, NODE_UNREACHABLE);
		assert_non_null(strstr(node(world, "host9")->reason, "claims"));
		assert_false(node(world, "host9")->attached);
	}
	attach_with_epoch(world, "host9", epoch + EPOCH_LEAP_MAX);
	assert_int_equal(core_world_reply(world)->kind, REPLY_ATTACH);
	assert_int_equal(world->fleet->epoch, epoch + EPOCH_LEAP_MAX + 1);
	assert_string_equal(node(world, "host9")->suspect, "");
	core_world_free(world);
}

/* An epoch that an agent has from us, by an order or through another agent, is no other life's. */
static void test_own_epochs_are_known(void **state)
{
	struct core_world *world = moving();
	uint64_t epoch;

	(void)state;
	attach_with_epoch(world, "host3", world->fleet->epoch + 4);
	core_world_wait(world, 1);
	core_world_migrate(world, "web1", "");
	epoch = world->fleet->epoch;
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	core_world_wait(world, 60);
	core_world_migrate(world, "web1", "host2");
	core_world_wait(world, 2);
	assert_true(core_world_count(world, ACTION_START) > 0);
	attach_with_epoch(world, "host2", epoch);
	assert_int_equal(world->fleet->epoch, epoch);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_while_it_may_live),
		cmocka_unit_test(test_refused_by_a_new_coordinator),
		cmocka_unit_test(test_dry_run_explains),
		cmocka_unit_test(test_reason_is_required),
		cmocka_unit_test(test_frees_slots_once_stored),
		cmocka_unit_test(test_done_where_the_destination_has_it),
		cmocka_unit_test(test_failed_where_it_has_nothing),
		cmocka_unit_test(test_done_where_it_has_run),
		cmocka_unit_test(test_asks_until_it_is_settled),
		cmocka_unit_test(test_list_decides_without_a_lease),
		cmocka_unit_test(test_failed_when_both_are_dead),
		cmocka_unit_test(test_dead_destination),
		cmocka_unit_test(test_drains),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_old_attempts_are_not_adopted),
		cmocka_unit_test(test_unfence),
		cmocka_unit_test(test_absurd_epochs),
		cmocka_unit_test(test_own_epochs_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
