/* SPDX-License-Identifier: Apache-2.0 */
/* A host dies for good in the middle of a move, and an operator says so: what its partner does with
 * what it has, and what the host does that comes back after all. See tests/sim/agents.h. */
#include "tests/sim/agents_story.h"

#include "agent/source/source.h"
#include "common/alloc.h"
#include "common/epoch.h"
#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct answer {
	struct agents *t;
	bool here, settled;
	size_t n_guests;
};

static bool is_answered(void *context)
{
	return ((struct agents *)context)->answered;
}

static void fence_answered(const struct mesh_result *result, void *context)
{
	const Drover__V1__SetFenceReply *r = (const Drover__V1__SetFenceReply *)result->message;
	struct answer *a = context;

	a->t->answered = true;
	a->t->status = result->status;
	a->t->error = result->error;
	a->n_guests = r ? r->n_guests : 0;
	a->settled = a->n_guests == 1 && r->guests[0]->settled;
	a->here = a->n_guests == 1 &&
	          r->guests[0]->presence == DROVER__V1__INSPECT_REPLY__PRESENCE__RUNNING_HERE;
}

static struct answer fence(struct agents *t, size_t whom, const char *node, uint64_t fence_epoch,
                           uint64_t epoch)
{
	Drover__V1__SetFenceRequest request = DROVER__V1__SET_FENCE_REQUEST__INIT;
	Drover__V1__FenceMark mark = DROVER__V1__FENCE_MARK__INIT;
	struct answer a = { .t = t };

	mark.node = (char *)node;
	mark.epoch = fence_epoch;
	request.fence = &mark;
	request.epoch = epoch;
	t->answered = false;
	mesh_call(t->connections[whom], "drover.v1.Agent/SetFence", &request.base, 5000,
	          fence_answered, &a);
	assert_true(agents_until(t, is_answered, t));
	return a;
}

/* The coordinator's way: a new epoch begins, and the former one is what the fence speaks of. */
static void declare_dead(struct agents *t, size_t whom, const char *node)
{
	(void)fence(t, whom, node, t->epoch, t->epoch + 1);
	assert_int_equal(t->status, MESH_OK);
	t->epoch++;
}

static bool has_no_lease(void *context)
{
	return agents_leases(context, 1) == 0;
}

static bool is_paused_there(void *context)
{
	return agents_state_on(context, 1) == VM_PAUSED;
}

static bool is_not_there(void *context)
{
	return agents_state_on(context, 1) == VM_UNKNOWN;
}

/* The source agent dies in mid-copy; libvirt finishes the move by itself, and nobody commits it. */
static struct agents *paused_for_ever(void)
{
	struct agents *t = agents_new(NULL);

	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 0);
	assert_true(agents_until(t, is_paused_there, t));
	return t;
}

static void finish(struct agents *t)
{
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

/* Without the operator's word a two-step copy stays paused, and its lease stays; with it the copy is
 * resumed, for its source is gone, and lease, port and tunnel are gone too. */
static void test_two_step_is_committed(void **state)
{
	struct agents *t = paused_for_ever();
	struct answer a;

	(void)state;
	agents_let_pass(t, 2500);
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	assert_int_equal(agents_leases(t, 1), 1);

	declare_dead(t, 1, "host1");
	assert_true(agents_until(t, agents_runs_there, t));
	assert_true(agents_until(t, has_no_lease, t));
	a = fence(t, 1, "host1", t->epoch - 1, t->epoch);
	assert_int_equal(a.n_guests, 1);
	assert_true(a.settled && a.here);
	finish(t);
}

/* A guest that a person paused before the move stays paused, wherever it is now. */
static void test_persons_pause_stays(void **state)
{
	struct agents *t = agents_new(NULL);
	struct error err;

	(void)state;
	agents_add_guest(t, &agents_large);
	assert_int_equal(t->hypervisors[0]->ops->suspend(t->hypervisors[0], t->uuid, &err), 0);
	fake_world_settle(t->world);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 0);
	assert_true(agents_until(t, is_paused_there, t));
	declare_dead(t, 1, "host1");
	assert_true(agents_until(t, has_no_lease, t));
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	agents_free(t);
}

/* What the next agent of the destination knows is enough: guard and fence are in its journal. */
static void test_destination_agent_restarted(void **state)
{
	struct agents *t = paused_for_ever();

	(void)state;
	agents_kill(t, 1);
	agents_start(t, 1);
	declare_dead(t, 1, "host1");
	assert_true(agents_until(t, agents_runs_there, t));
	assert_true(agents_until(t, has_no_lease, t));
	agents_kill(t, 1);
	agents_start(t, 1);
	assert_true(fences_cover(&t->agents[1]->fences, "host1", t->epoch - 1));
	assert_false(fences_cover(&t->agents[1]->fences, "host1", t->epoch));
	finish(t);
}

/* The whole host dies in mid-copy: the incomplete copy goes with the control connection, and then the
 * lease. */
static void test_incomplete_copy(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 0);
	fake_world_kill_guest(t->world, "host1", t->uuid);
	fake_world_set_libvirtd(t->world, "host1", FAKE_LIBVIRTD_DOWN);
	declare_dead(t, 1, "host1");
	assert_true(agents_until(t, is_not_there, t));
	assert_true(agents_until(t, has_no_lease, t));
	agents_free(t);
}

/* The destination dies: its source waits for it without end, until it hears that it is dead. */
static void test_dead_destination(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 1);
	fake_world_set_libvirtd(t->world, "host2", FAKE_LIBVIRTD_DOWN);
	declare_dead(t, 0, "host2");
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	finish(t);
}

static bool has_ended(void *context)
{
	return ((struct agents *)context)->report.tombstoned;
}

/* The host that comes back finds its old attempt in its journal. Its partner does not listen to it;
 * told that it was declared dead, it gives up without an act, and takes new orders. */
static void test_source_comes_back(void **state)
{
	struct agents *t = paused_for_ever();

	(void)state;
	declare_dead(t, 1, "host1");
	assert_true(agents_until(t, agents_runs_there, t));
	assert_true(agents_until(t, has_no_lease, t));
	agents_start(t, 0);
	agents_let_pass(t, 1500);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	(void)fence(t, 0, "host1", t->epoch - 1, t->epoch);
	assert_int_equal(t->status, MESH_OK);
	assert_true(agents_until(t, has_ended, t));
	assert_int_equal(t->report.state, FAILED);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	/* What is ordered now is not what the fence speaks of. */
	agents_add_guest(t, &(struct fake_guest_settings){ .name = "web" });
	agents_order(t);
	assert_true(agents_wait(t, DROVER__V1__MIGRATION_STATE__DONE));
	finish(t);
}

/* A destination that comes back has nothing of the guest, and frees what it kept for it; one with a
 * paused copy leaves that to a person, for its source has decided without it. */
static void test_destination_comes_back(void **state)
{
	struct agents *t = paused_for_ever();

	(void)state;
	declare_dead(t, 1, "host2");
	agents_let_pass(t, 2500);
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	assert_int_equal(agents_leases(t, 1), 1);
	fake_world_kill_guest(t->world, "host2", t->uuid);
	assert_true(agents_until(t, has_no_lease, t));
	agents_free(t);
}

/* Nonsense is refused: a fence of the present epoch would end what is ordered next, an epoch that no
 * coordinator had would end every coordinator, and a former coordinator declares nobody dead. */
static void test_refused(void **state)
{
	struct agents *t = agents_new(NULL);
	static const uint64_t bad[][2] = {
		{ 0, 5 }, { 5, 5 }, { 6, 5 }, { EPOCH_MAX, UINT64_MAX }, { 3, EPOCH_MAX + 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)fence(t, 1, "host1", bad[i][0], bad[i][1]);
		assert_int_equal(t->status, MESH_INVALID_ARGUMENT);
		assert_int_equal(t->agents[1]->fences.count, 0);
	}
	assert_int_equal(t->agents[1]->highest_epoch, t->epoch);
	(void)fence(t, 1, "", 1, 2);
	assert_int_equal(t->status, MESH_INVALID_ARGUMENT);
	(void)fence(t, 1, "host3", 8, 9);
	assert_int_equal(t->status, MESH_OK);
	(void)fence(t, 1, "host1", 1, 2);
	assert_int_not_equal(t->status, MESH_OK);
	assert_false(fences_cover(&t->agents[1]->fences, "host1", 1));
	t->epoch = 9;
	agents_free(t);
}

/* --- the file that libvirt's hook reads --- */

static void mark_answered(const struct mesh_result *result, void *context)
{
	struct agents *t = context;

	t->answered = true;
	t->status = result->status;
}

static void set_mark(struct agents *t, bool draining, bool maintenance)
{
	Drover__V1__SetDrainMarkRequest request = DROVER__V1__SET_DRAIN_MARK_REQUEST__INIT;
	Drover__V1__DrainMark mark = DROVER__V1__DRAIN_MARK__INIT;
	char *leave[] = { (char *)"build7" };

	mark.epoch = t->epoch;
	mark.draining = draining;
	mark.maintenance = maintenance;
	mark.reason = (char *)"new\nmemory";
	mark.leave = leave;
	mark.n_leave = draining ? 1 : 0;
	request.mark = &mark;
	t->answered = false;
	mesh_call(t->connections[0], "drover.v1.Agent/SetDrainMark", &request.base, 5000,
	          mark_answered, t);
	assert_true(agents_until(t, is_answered, t));
	assert_int_equal(t->status, MESH_OK);
}

static void read_block(const struct agents *t, char *ret, size_t bytes)
{
	char *path = xasprintf("%s/no-starts", t->settings[0].run_dir);
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(ret, 1, bytes - 1, file) : 0;

	ret[n] = '\0';
	if (file)
		fclose(file);
	free(path);
}

/* F62: the file is there when the mark is confirmed, names who may start, says why in one line, stays
 * through maintenance, goes when that is over, and goes with an agent that is stopped, also with one that does
 * not wait for what moves. */
static void f62_starts_are_blocked_while_drained(void **state)
{
	struct agents *t = agents_new(NULL);
	char text[1024];

	(void)state;
	read_block(t, text, sizeof(text));
	assert_string_equal(text, "");
	set_mark(t, true, false);
	read_block(t, text, sizeof(text));
	assert_string_equal(text, "host host1\nwhy it is being drained: new memory\nmay build7\n");
	set_mark(t, false, true);
	read_block(t, text, sizeof(text));
	assert_string_equal(text, "host host1\nwhy it is in maintenance, emptied by a drain: new "
	                          "memory\n");
	agents_kill(t, 0);
	read_block(t, text, sizeof(text));
	assert_string_equal(text, "");
	agents_start(t, 0);
	read_block(t, text, sizeof(text));
	assert_string_not_equal(text, "");
	agent_leave(t->agents[0]);
	read_block(t, text, sizeof(text));
	assert_string_equal(text, "");
	set_mark(t, false, false);
	read_block(t, text, sizeof(text));
	assert_string_equal(text, "");
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_step_is_committed),
		cmocka_unit_test(test_persons_pause_stays),
		cmocka_unit_test(test_destination_agent_restarted),
		cmocka_unit_test(test_incomplete_copy),
		cmocka_unit_test(test_dead_destination),
		cmocka_unit_test(test_source_comes_back),
		cmocka_unit_test(test_destination_comes_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(f62_starts_are_blocked_while_drained),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
