/* SPDX-License-Identifier: Apache-2.0 */
/* A move that is prepared ahead of its slot: nothing of the guest is touched until the second order comes, and
 * whatever comes instead, nothing is left of it: see agent/source/source_hold.c and tests/sim/agents.h. */
#include "agent/hypervisor/hypervisor_fake_world.h"
#include "agent/source/source.h"
#include "agent/wire.h"
#include "tests/sim/agents_story.h"

#include "common/alloc.h"
#include "common/units.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RESERVED DROVER__V1__MIGRATION_STATE__RESERVED

static const struct fake_guest_settings web = { .name = "web", .memory_bytes = 64 * MIB };
static const struct fake_guest_settings kept = { .name = "kept",
	                                         .memory_bytes = 64 * MIB,
	                                         .persistent = true };
static const struct fake_guest_settings slow1 = { .name = "slow1", .memory_bytes = 512 * MIB };
static const struct fake_guest_settings slow2 = { .name = "slow2", .memory_bytes = 512 * MIB };

static struct source_attempt *attempt(struct agents *t)
{
	return t->agents[0] ? source_find_vm(t->agents[0], t->uuid) : NULL;
}

/* What libvirt was asked to move. */
static unsigned count_moves(struct agents *t)
{
	unsigned n = 0;

	pthread_mutex_lock(&t->world->lock);
	for (const struct fake_move *m = t->world->moves; m; m = m->next)
		n++;
	pthread_mutex_unlock(&t->world->lock);
	return n;
}

static bool is_prepared(void *context)
{
	struct source_attempt *a = attempt(context);

	return a && a->stage == SOURCE_PREPARED &&
	       ((struct agents *)context)->report.waits_for_slot;
}

static bool nothing_left(void *context)
{
	struct agents *t = context;

	return t->report.tombstoned && agents_leases(t, 1) == 0 && agents_leftovers(t) == 0;
}

/* The guest runs where it was, nothing of the move is left anywhere, and it can begin anew. */
static void expect_given_back(struct agents *t)
{
	assert_true(agents_until(t, nothing_left, t));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	t->hold = false;
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
}

static struct agents *prepare(void)
{
	struct agents *t = agents_new(&(struct agents_options){ .lock_manager = true });

	agents_add_guest(t, &web);
	t->hold = true;
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_until(t, is_prepared, t));
	assert_int_equal(t->report.state, RESERVED);
	assert_int_equal(agents_leases(t, 1), 1);
	assert_int_equal(source_count_slots(t->agents[0]), 0);
	return t;
}

static uint64_t duration_of(struct agents *t)
{
	Drover__V1__AttemptReport *r = source_report_new(t->agents[0]->attempts);
	uint64_t ms = r->duration_ms;

	wire_free(r);
	return ms;
}

/* What it waited is no part of its duration, also by the word of the agent after this one. */
static void expect_same_duration_after_restart(struct agents *t)
{
	uint64_t before_ms = duration_of(t);

	assert_true(t->agents[0]->attempts->stage_ms[SOURCE_PREPARED] > 0);
	agents_kill(t, 0);
	agents_start(t, 0);
	assert_int_equal(duration_of(t), before_ms);
}

/* Ready, with its room reserved, and it waits; libvirt is asked when the order comes without "hold". */
static void test_let_go(void **state)
{
	struct agents *t = prepare();

	(void)state;
	agents_order_again(t); /* the same on hold: repeating it changes nothing */
	assert_true(t->accepted);
	assert_int_equal(attempt(t)->stage, SOURCE_PREPARED);
	assert_int_equal(count_moves(t), 0);
	agents_let_pass(t, 20);
	t->hold = false;
	agents_order_again(t);
	assert_true(t->accepted);
	assert_int_equal(source_count_slots(t->agents[0]), 1);
	assert_true(agents_wait(t, DONE));
	assert_false(t->report.waits_for_slot);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_order_again(t);
	t->hold = true;
	agents_order_again(t);
	assert_int_equal(t->report.state, DONE);
	expect_same_duration_after_restart(t);
	agents_free(t);
}

/* An order to go on that overtakes the preparation: there is nothing to wait for then. */
static void test_let_go_early(void **state)
{
	struct agents *t = agents_new(&(struct agents_options){ .lock_manager = true });

	(void)state;
	agents_add_guest(t, &web);
	t->hold = true;
	agents_order(t);
	t->hold = false;
	agents_order_again(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	agents_free(t);
}

static void test_cancelled(void **state)
{
	struct agents *t = prepare();

	(void)state;
	agents_cancel(t);
	assert_true(agents_wait(t, CANCELLED));
	expect_given_back(t);
	agents_free(t);
}

/* Its coordinator says nothing more: it gives back by itself, and an order that comes too late is answered
 * with the end. */
static void test_waits_too_long(void **state)
{
	struct agents *t = prepare();
	struct source_attempt *a = attempt(t);

	(void)state;
	assert_true(a->timer.due_ms);
	loop_timer_start(t->loop, &a->timer, 0);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_CANCELLED);
	t->hold = false;
	agents_order_again(t);
	assert_int_equal(t->report.state, FAILED);
	expect_given_back(t);
	agents_free(t);
}

/* An agent after it knows that it had no slot: it is over, and was never under way. */
static void test_agent_dies(void **state)
{
	struct agents *t = prepare();

	(void)state;
	agents_kill(t, 0);
	agents_start(t, 0);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_CANCELLED);
	assert_int_equal(count_moves(t), 0);
	expect_given_back(t);
	agents_free(t);
}

static void add_memory(struct vm_description *d)
{
	d->summary.memory_bytes *= 2;
}

static void plug_disk(struct vm_description *d)
{
	static const struct vm_disk plugged = {
		.target = "vdz", .type = "file", .device = "disk", .source = "/srv/z.img"
	};

	d->disks[d->n_disks++] = plugged;
}

static void plug_interface(struct vm_description *d)
{
	d->n_interfaces++;
}

static void take_snapshot(struct vm_description *d)
{
	static const struct check snapshot = { .id = "guest/snapshots",
		                               .verdict = CHECK_BLOCK,
		                               .measured = "1 snapshot" };

	d->blockers.items[d->blockers.count++] = snapshot;
}

static void fail_disk(struct vm_description *d)
{
	snprintf(d->disk_error, sizeof(d->disk_error), "vda: I/O error");
}

/* What was plugged while it waited was judged by nobody, so it is not sent: above all, no disk is that
 * nobody has proved to be the same there. */
static void test_another_guest_by_now(void **state)
{
	static const struct {
		void (*change)(struct vm_description *d);
		const char *said;
	} changes[] = {
		{ add_memory, "its memory" },         { plug_disk, "its disks" },
		{ plug_interface, "its interfaces" }, { take_snapshot, "1 snapshot" },
		{ fail_disk, "a disk of it fails" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct agents *t = prepare();

		fake_world_change_guest(t->world, t->uuid, changes[i].change);
		t->hold = false;
		agents_order_again(t);
		assert_true(t->accepted);
		assert_true(agents_wait(t, FAILED));
		assert_int_equal(t->report.error_code, ERROR_CANCELLED);
		assert_non_null(strstr(t->report.reason, changes[i].said));
		assert_int_equal(count_moves(t), 0);
		assert_true(agents_until(t, nothing_left, t));
		assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
		if (changes[i].change == add_memory)
			expect_given_back(t);
		agents_free(t);
	}
}

/* Of one that does not run it was not judged whether it may go. */
static void test_paused_by_now(void **state)
{
	struct agents *t = prepare();

	(void)state;
	fake_world_fail_disk(t->world, "host1", t->uuid);
	t->hold = false;
	agents_order_again(t);
	assert_true(agents_wait(t, FAILED));
	assert_non_null(strstr(t->report.reason, "it is paused"));
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	agents_free(t);
}

/* As by virsh destroy and virsh start; the source has heard of it. */
static void start_anew(struct agents *t)
{
	struct hypervisor *h = t->hypervisors[0];
	struct error err;

	assert_int_equal(h->ops->destroy(h, t->uuid, &err), 0);
	assert_int_equal(h->ops->start(h, t->uuid, &err), 0);
	fake_world_settle(t->world);
}

static bool is_started_anew_once_described(void *context)
{
	struct source_attempt *a = attempt(context);

	if (!a || a->stage < SOURCE_ADMITTING)
		return false;
	assert_true(a->stage < SOURCE_MOVING);
	start_anew(context);
	return true;
}

/* A list of guests that is begun from now on. */
static uint64_t wanted_reading;

static bool is_listed_anew(void *context)
{
	return ((struct agents *)context)->agents[0]->inventory.readings >= wanted_reading;
}

static void list_anew(struct agents *t)
{
	struct inventory *inv = &t->agents[0]->inventory;

	wanted_reading = inv->readings + (inv->reading ? 2 : 1);
	inventory_refresh(inv);
	assert_true(agents_until(t, is_listed_anew, t));
}

/* The guest ends while its move is prepared, and is started again at once: it is not the one that was judged.
 * Nor may its end be taken for one during the move: with a two-step commit it would stay paused over there. */
static void test_started_anew(void **state)
{
	(void)state;
	for (int held = 0; held < 2; held++) {
		struct agents *t = agents_new(NULL);

		agents_add_guest(t, &kept);
		t->hold = held;
		agents_order(t);
		assert_true(t->accepted);
		if (held) {
			assert_true(agents_until(t, is_prepared, t));
			start_anew(t);
			t->hold = false;
			agents_order_again(t);
		} else {
			assert_true(agents_until(t, is_started_anew_once_described, t));
		}
		assert_true(agents_wait(t, FAILED));
		assert_int_equal(t->report.error_code, ERROR_CANCELLED);
		assert_non_null(strstr(t->report.reason, "it has ended"));
		assert_int_equal(count_moves(t), 0);
		list_anew(t);
		expect_given_back(t);
		agents_free(t);
	}
}

struct virsh {
	struct agents *t;
	struct error error;
};

static void *migrate_by_hand(void *context)
{
	struct virsh *v = context;
	struct hypervisor *h = v->t->hypervisors[0];
	struct migrate_request request = { .uuid = v->t->uuid,
		                           .control_socket = "/fake/host2",
		                           .max_downtime_ms = 300 };

	(void)h->ops->migrate(h, &request, &v->error);
	return NULL;
}

static bool one_moves(void *context)
{
	return count_moves(context) == 1;
}

/* Somebody migrates it by virsh meanwhile. Its job is none of ours: whatever becomes of it, the guest would be
 * looked for where we wanted to have it. */
static void test_moved_by_hand(void **state)
{
	struct agents *t = agents_new(&(struct agents_options){ .lock_manager = true });
	struct hypervisor *h = t->hypervisors[0];
	struct virsh v = { .t = t };
	pthread_t thread;

	(void)state;
	fake_world_set_link(t->world, "host1", 4 * MIB);
	agents_add_guest(t, &slow1);
	t->hold = true;
	agents_order(t);
	assert_true(agents_until(t, is_prepared, t));
	assert_int_equal(pthread_create(&thread, NULL, migrate_by_hand, &v), 0);
	assert_true(agents_until(t, one_moves, t));
	t->hold = false;
	agents_order_again(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_CANCELLED);
	assert_non_null(strstr(t->report.reason, "somebody else migrates it"));
	assert_int_equal(count_moves(t), 1);
	assert_int_equal(h->ops->abort_job(h, t->uuid, &v.error), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fake_world_set_link(t->world, "host1", 1000 * MIB);
	list_anew(t);
	expect_given_back(t);
	agents_free(t);
}

static bool moves_under_way(void *context)
{
	return count_moves(context) == 2;
}

/* The source's own cap is a second fence: a third is prepared beside two that move, and not let go. */
static void test_own_cap(void **state)
{
	struct agents *t = agents_new(&(struct agents_options){ .lock_manager = true });

	(void)state;
	t->settings[1].parallel_inbound = 3;
	t->settings[1].port_last = t->settings[1].port_first + 2;
	agents_kill(t, 1);
	agents_start(t, 1);
	fake_world_set_link(t->world, "host1", 16 * MIB);
	agents_add_guest(t, &slow1);
	agents_order(t);
	agents_add_guest(t, &slow2);
	agents_order(t);
	assert_true(agents_until(t, moves_under_way, t));
	agents_add_guest(t, &web);
	agents_order(t);
	assert_false(t->accepted);
	t->hold = true;
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_until(t, is_prepared, t));
	t->hold = false;
	agents_order_again(t);
	assert_int_not_equal(t->status, MESH_OK);
	assert_int_equal(t->error.code, ERROR_BUSY);
	assert_int_equal(attempt(t)->stage, SOURCE_PREPARED);
	assert_true(moves_under_way(t));
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_let_go),
		cmocka_unit_test(test_let_go_early),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_waits_too_long),
		cmocka_unit_test(test_agent_dies),
		cmocka_unit_test(test_own_cap),
		cmocka_unit_test(test_another_guest_by_now),
		cmocka_unit_test(test_paused_by_now),
		cmocka_unit_test(test_started_anew),
		cmocka_unit_test(test_moved_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
