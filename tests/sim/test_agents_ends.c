/* SPDX-License-Identifier: Apache-2.0 */
/* How moves end that other hands interfere with: persons, the guest itself, an agent's death at an
 * awkward moment. What may be left behind, and what must not be said. See tests/sim/agents.h. */
#include "tests/sim/agents_story.h"

#include "agent/source/source.h"
#include "common/log.h"
#include "common/units.h"
#include "proto/health.rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void suspend(struct agents *t, size_t i)
{
	struct hypervisor *h = t->hypervisors[i];
	struct error err;

	assert_int_equal(h->ops->suspend(h, t->uuid, &err), 0);
	fake_world_settle(t->world);
}

/* A guest with a disk that a lock manager guards. */
static void add_locked_guest(struct agents *t, bool persistent)
{
	struct fake_guest_settings guest = agents_small;

	guest.image_lock = true;
	guest.persistent = persistent;
	guest.autostart = persistent;
	agents_add_guest_with_disk(t, &guest);
}

/* A guest that a person paused arrives paused: nobody but that person lets it run again. */
static void test_paused_before(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	suspend(t, 0);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	agents_finish(t);
}

/* Also when it is paused in mid-copy. */
static void test_paused_meanwhile(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	suspend(t, 0);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	agents_finish(t);
}

/* And when the agent that knew it was paused is not the one that ends the move. */
static void test_paused_before_restart(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	suspend(t, 0);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 0);
	agents_start(t, 0);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	agents_finish(t);
}

/* The rest of a persistent guest that drover had to remove at its source takes its definition along:
 * with autostart, a reboot of that host would start a second one. */
static void test_no_definition_is_left(void **state)
{
	struct agents_options o = { .lock_manager = true };
	struct agents *t = agents_new(&o);

	(void)state;
	add_locked_guest(t, true);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_FINISH_REPLY);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	agents_finish(t);
}

static struct vm_summary look_at(struct agents *t, size_t i)
{
	struct vm_summary vm = { 0 };
	struct error err;

	(void)t->hypervisors[i]->ops->find(t->hypervisors[i], t->uuid, &vm, &err);
	return vm;
}

/* While a guest with autostart moves, its old host would not start it again after a reboot; at its
 * new host it starts with that. */
static void f21_autostart_moves_along(void **state)
{
	struct agents *t = agents_new(&(struct agents_options){ 0 });
	struct fake_guest_settings guest = agents_large;

	(void)state;
	guest.persistent = guest.autostart = true;
	agents_add_guest(t, &guest);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	assert_false(look_at(t, 0).autostart);
	assert_true(agents_wait(t, DONE));
	assert_false(look_at(t, 0).persistent);
	assert_true(look_at(t, 1).autostart);
	agents_finish(t);
}

/* A guest that stays is as it was: defined and with its autostart, also when the agent that switched
 * it off has died in between; nothing is defined at the destination. */
static void f22_autostart_stays_with_the_guest(void **state)
{
	(void)state;
	for (int killed = 0; killed <= 1; killed++) {
		struct agents *t = agents_new(&(struct agents_options){ 0 });
		struct fake_guest_settings guest = agents_large;

		guest.persistent = guest.autostart = true;
		agents_add_guest(t, &guest);
		agents_order(t);
		assert_true(agents_wait_moving(t));
		if (killed) {
			agents_kill(t, 0);
			agents_start(t, 0);
		}
		agents_cancel(t);
		assert_true(agents_wait(t, CANCELLED));
		assert_true(look_at(t, 0).persistent);
		assert_true(look_at(t, 0).autostart);
		assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
		agents_finish(t);
	}
}

/* What is said of a guest's end names whose doing it was. */
static void expect_end(struct agents *t, const char *words)
{
	assert_true(agents_wait(t, FAILED));
	if (!strstr(t->report.reason, words))
		fail_msg("no \"%s\" in: %s", words, t->report.reason);
	assert_non_null(strstr(t->report.reason, "drover starts nothing"));
	agents_finish(t);
}

/* A guest that a person ends in mid-copy has ended by a person's hand, whether libvirt keeps its
 * definition or forgets it. */
static void f12_destroyed_by_hand(void **state)
{
	(void)state;
	for (int persistent = 0; persistent <= 1; persistent++) {
		struct fake_guest_settings guest = agents_large;
		struct agents *t = agents_new(NULL);
		struct hypervisor *h = t->hypervisors[0];
		struct error err;

		guest.persistent = persistent;
		agents_add_guest(t, &guest);
		agents_order(t);
		assert_true(agents_wait_moving(t));
		assert_int_equal(h->ops->destroy(h, t->uuid, &err), 0);
		expect_end(t, "somebody's hand");
	}
}

/* A guest that powers off in mid-copy has powered off: no crash, and nobody's hand. */
static void f11_powers_off(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	fake_world_power_off_guest(t->world, "host1", t->uuid);
	expect_end(t, "powered off");
}

/* A guest that nobody can find stays unresolved, until an operator says that this is all. */
static void test_lost_and_cancelled(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_SUCCESS_LOST);
	agents_order(t);
	assert_true(agents_wait(t, UNRESOLVED));
	agents_cancel(t);
	assert_true(agents_wait(t, FAILED));
	assert_non_null(strstr(t->report.reason, "neither"));
	agents_finish(t);
}

static bool is_cleaning(void *context)
{
	struct agents *t = context;

	return t->agents[0]->attempts && t->agents[0]->attempts->stage == SOURCE_CLEANING;
}

static bool is_releasing(void *context)
{
	struct agents *t = context;

	return is_cleaning(t) && !t->agents[0]->attempts->tunnel_made;
}

/* What was decided is not forgotten: an agent that dies while it cleans up after a move has moved
 * the guest all the same. */
static void test_killed_while_cleaning(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	assert_true(agents_until(t, is_releasing, t));
	agents_kill(t, 0);
	agents_start(t, 0);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

/* A destination that was away when its reservation should have been given back hears of it later:
 * else port and tunnel would be in use as long as the guest lives there. */
static void test_release_is_repeated(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	assert_true(agents_until(t, is_cleaning, t));
	agents_kill(t, 1);
	assert_true(agents_wait(t, DONE));
	agents_start(t, 1);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

static bool has_ended(void *context)
{
	struct agents *t = context;

	return t->report.tombstoned;
}

/* Cancelled at any moment of its beginnings, a move leaves nothing, here or there. */
static void test_cancel_early(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	for (uint64_t ms = 0; ms <= 120; ms += 4) {
		agents_order(t);
		assert_true(t->accepted);
		agents_let_pass(t, ms);
		agents_cancel(t);
		assert_true(agents_until(t, has_ended, t));
		assert_int_equal(t->report.state, CANCELLED);
		assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
		assert_true(agents_until(t, agents_is_clean, t));
	}
	agents_finish(t);
}

static bool is_answered(void *context)
{
	return ((struct agents *)context)->answered;
}

struct health {
	struct agents *t;
	int state;
	char reason[256];
};

static void health_answered(const struct mesh_result *result, const Drover__V1__HealthReply *reply,
                            void *context)
{
	struct health *h = context;

	h->t->answered = true;
	h->t->status = result->status;
	h->state = reply ? (int)reply->state : -1;
	snprintf(h->reason, sizeof(h->reason), "%s",
	         reply && reply->n_reasons ? reply->reasons[0] : "");
}

static bool health_is(void *context)
{
	struct health *h = context;
	Drover__V1__HealthRequest request = DROVER__V1__HEALTH_REQUEST__INIT;
	int wanted = h->state;

	h->t->answered = false;
	health_call_check(h->t->connections[0], &request, 5000, health_answered, h);
	assert_true(agents_until(h->t, is_answered, h->t));
	assert_int_equal(h->t->status, MESH_OK);
	if (h->state == wanted)
		return true;
	h->state = wanted;
	return false;
}

/* An agent serves while it has libvirt; without, it says so. */
static void test_health(void **state)
{
	struct agents *t = agents_new(NULL);
	struct health h = { .t = t, .state = DROVER__V1__HEALTH_REPLY__STATE__SERVING };

	(void)state;
	agents_add_guest(t, &agents_large);
	while (!health_is(&h))
		agents_let_pass(t, 20);
	assert_string_equal(h.reason, "");
	fake_world_set_libvirtd(t->world, "host1", FAKE_LIBVIRTD_DOWN);
	h.state = DROVER__V1__HEALTH_REPLY__STATE__NOT_SERVING;
	while (!health_is(&h))
		agents_let_pass(t, 20);
	assert_non_null(strstr(h.reason, "libvirt on host1 does not answer"));
	fake_world_set_libvirtd(t->world, "host1", FAKE_LIBVIRTD_UP);
	agents_finish(t);
}

static void mark_answered(const struct mesh_result *result, void *context)
{
	const Drover__V1__SetDrainMarkReply *r = (const Drover__V1__SetDrainMarkReply *)
	                                                 result->message;
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
	t->active_vms = r ? r->active_vms : UINT32_MAX;
}

/* The count of guests that a drain's mark is answered with is taken after the mark: a guest that the
 * agent has not heard of yet is in it. */
static void test_count_after_mark(void **state)
{
	Drover__V1__SetDrainMarkRequest request = DROVER__V1__SET_DRAIN_MARK_REQUEST__INIT;
	Drover__V1__DrainMark mark = DROVER__V1__DRAIN_MARK__INIT;
	struct agents *t = agents_new(NULL);

	(void)state;
	mark.epoch = t->epoch;
	mark.draining = mark.cordoned = true;
	request.mark = &mark;
	fake_world_add_guest(t->world, "host1", &agents_small, t->uuid);
	mesh_call(t->connections[0], "drover.v1.Agent/SetDrainMark", &request.base, 5000,
	          mark_answered, t);
	t->answered = false;
	assert_true(agents_until(t, is_answered, t));
	assert_int_equal(t->status, MESH_OK);
	assert_int_equal(t->active_vms, 1);
	agents_finish(t);
}

static void ignore(const struct mesh_result *result, void *context)
{
	(void)result;
	(void)context;
}

/* An agent that is stopped with questions in its queues forgets them without a trace. */
static void test_stopped_while_asked(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	/* Every courier waits, and the rest of the questions with them. */
	fake_world_set_libvirtd(t->world, "host1", FAKE_LIBVIRTD_HUNG);
	for (unsigned i = 0; i < 40; i++) {
		Drover__V1__PreviewRequest request = DROVER__V1__PREVIEW_REQUEST__INIT;

		request.vm_uuid = t->uuid;
		request.target_node = t->settings[1].node;
		request.target_address = t->settings[1].listen;
		request.epoch = t->epoch;
		mesh_call(t->connections[0], "drover.v1.Agent/Preview", &request.base, 5000, ignore,
		          t);
	}
	t->operation = id_new();
	agents_probe(t); /* is answered after all of them were heard */
	agents_kill(t, 0);
	fake_world_set_libvirtd(t->world, "host1", FAKE_LIBVIRTD_UP);
	agents_start(t, 0);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paused_before),
		cmocka_unit_test(test_paused_meanwhile),
		cmocka_unit_test(test_paused_before_restart),
		cmocka_unit_test(test_no_definition_is_left),
		cmocka_unit_test(f21_autostart_moves_along),
		cmocka_unit_test(f22_autostart_stays_with_the_guest),
		cmocka_unit_test(f12_destroyed_by_hand),
		cmocka_unit_test(f11_powers_off),
		cmocka_unit_test(test_lost_and_cancelled),
		cmocka_unit_test(test_killed_while_cleaning),
		cmocka_unit_test(test_release_is_repeated),
		cmocka_unit_test(test_cancel_early),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_stopped_while_asked),
		cmocka_unit_test(test_count_after_mark),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
