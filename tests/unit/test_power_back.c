/* SPDX-License-Identifier: Apache-2.0 */
/* The way back on of guests that were shut down for a drain: once, there, and only if nobody has them. */
#include "tests/unit/power_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* It is started once, by the agent of its host, when that knows that it takes guests again; when the host
 * lists it, that is the end of it. */
static void test_starts_again(void **state)
{
	struct core_world *world = power_off();
	struct action *action;

	(void)state;
	core_world_bring_back(world, false);
	assert_true(power_planned(world, "db1")->starts);
	assert_int_equal(power_planned(world, "db1")->state, DRAIN_VM_STARTING);
	assert_int_equal(power_planned(world, "web1")->state, DRAIN_VM_MOVING);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	action = core_world_find(world, ACTION_START_GUEST);
	assert_string_equal(action->power.node, "host1");
	assert_int_equal(action->power.number, 2);
	power_answer(world, ACTION_START_GUEST, CALL_ANSWERED, ERROR_NONE, "");
	power_see(world, "running");
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OVER);
	assert_true(power_says(power_guest(world, "db1")->reason, "runs on host1 again"));
	/* And it is nobody's any more: off again, it stays so. */
	power_see(world, "shutoff");
	core_world_wait(world, 6);
	core_world_bring_back(world, false);
	assert_int_equal(power_planned(world, "db1")->state, DRAIN_VM_LEFT);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	core_world_free(world);
}

/* Whoever runs it elsewhere has it. */
static void test_runs_elsewhere(void **state)
{
	struct core_world *world = power_off();
	const struct vm_state db1 = power_vm("db1");

	(void)state;
	core_world_see(world, "host3", &db1);
	core_world_bring_back(world, false);
	assert_int_equal(power_planned(world, "db1")->state, DRAIN_VM_LEFT);
	assert_true(power_says(power_planned(world, "db1")->reason, "on host3"));
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	core_world_free(world);
}

/* While one host cannot be asked nobody knows that it does not run there. */
static void test_silent_host(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	core_world_lose(world, "host3");
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	assert_true(power_says(power_guest(world, "db1")->reason, "drover fence host3"));
	power_host(world, "host3", 3, NULL, 0);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	core_world_free(world);
}

/* A host that refuses ends the wish, with its words; asked again, it is a new order. */
static void test_refused(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	power_answer(world, ACTION_START_GUEST, CALL_REFUSED, ERROR_NO_SPACE, "16 MiB free");
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	assert_true(power_says(power_guest(world, "db1")->reason, "16 MiB free"));
	core_world_bring_back(world, false);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 2);
	assert_int_equal(core_world_find(world, ACTION_START_GUEST)->power.number, 3);
	/* Busy is no no. */
	power_answer(world, ACTION_START_GUEST, CALL_REFUSED, ERROR_BUSY, "it is being moved");
	core_world_wait(world, 12);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 3);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_STARTING);
	core_world_free(world);
}

/* An answer that is lost: the same order to the same agent. Lost with the agent: nobody tries his luck,
 * the list says that it is off, and that is told. */
static void test_lost_answer(void **state)
{
	struct core_world *world = power_off();
	struct vm_state db1 = power_vm("db1");

	(void)state;
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	power_answer(world, ACTION_START_GUEST, CALL_UNKNOWN, ERROR_TIMEOUT, "no answer");
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 2);
	assert_int_equal(core_world_find(world, ACTION_START_GUEST)->power.number, 2);
	power_answer(world, ACTION_START_GUEST, CALL_UNKNOWN, ERROR_TIMEOUT, "no answer");
	core_world_lose(world, "host1");
	text_copy(db1.state, sizeof(db1.state), "shutoff");
	power_host(world, "host1", 99, &db1, 1);
	core_world_wait(world, 12);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 2);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	assert_true(power_says(power_guest(world, "db1")->reason, "is not known"));
	core_world_free(world);
}

/* An order that may not have arrived is no leave to give it again while a host cannot be asked: somebody
 * may have started the guest there since. */
static void test_again_while_silent(void **state)
{
	struct core_world *world = power_off();
	struct vm_state db1 = power_vm("db1");

	(void)state;
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	core_world_lose(world, "host3");
	power_answer(world, ACTION_START_GUEST, CALL_UNKNOWN, ERROR_TIMEOUT, "no answer");
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_STARTING);
	assert_true(power_says(power_guest(world, "db1")->reason, "drover fence host3"));
	power_host(world, "host3", 3, &db1, 1);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OVER);
	assert_true(power_says(power_guest(world, "db1")->reason, "on host3"));
	core_world_free(world);
}

/* Nor does a busy agent get a new one then. */
static void test_busy_while_silent(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	core_world_lose(world, "host3");
	power_answer(world, ACTION_START_GUEST, CALL_REFUSED, ERROR_BUSY, "it is being moved");
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	power_host(world, "host3", 3, NULL, 0);
	core_world_wait(world, 12);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 2);
	core_world_free(world);
}

/* A host that was declared dead starts nobody, though it answers: its guests may have been started
 * elsewhere, by its operator's leave. */
static void test_fenced_home(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	core_world_bring_back(world, false);
	fleet_find_node(world->fleet, "host1")->kept.fenced = true;
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	core_world_free(world);
}

/* A restart in the middle of it: to the same agent the same order. */
static void test_restart(void **state)
{
	struct core_world *world = power_off();
	struct vm_state db1 = power_vm("db1");

	(void)state;
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	world = power_restart(world);
	text_copy(db1.state, sizeof(db1.state), "shutoff");
	power_host(world, "host1", 1, &db1, 1);
	power_host(world, "host2", 2, NULL, 0);
	power_host(world, "host3", 3, NULL, 0);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	assert_int_equal(core_world_find(world, ACTION_START_GUEST)->power.number, 2);
	core_world_free(world);
}

/* Started by somebody during the maintenance, and shut down again: that is somebody's, and stays. */
static void test_somebodys(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	power_see(world, "running");
	core_world_wait(world, 6);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OVER);
	power_see(world, "shutoff");
	core_world_wait(world, 6);
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 12);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	assert_true(power_says(power_planned(world, "db1")->reason, "somebody's doing"));
	core_world_free(world);
}

/* A dry run starts nobody, says who would be, and how much room they need. */
static void test_dry_run(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	core_world_bring_back(world, true);
	core_world_wait(world, 12);
	assert_int_equal(power_planned(world, "db1")->state, DRAIN_VM_WAITING);
	assert_true(power_planned(world, "db1")->starts);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	core_world_figures(world, "host1", 256, 0);
	core_world_bring_back(world, true);
	core_world_wait(world, 12);
	assert_int_equal(power_planned(world, "db1")->state, DRAIN_VM_BLOCKED);
	assert_true(power_says(power_planned(world, "db1")->reason, "host1 has 192 MiB free"));
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	core_world_free(world);
}

/* A host that is closed again first starts nobody. */
static void test_closed_again(void **state)
{
	struct core_world *world = power_off();

	(void)state;
	core_world_bring_back(world, false);
	core_world_cordon(world, "host1");
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	core_world_free(world);
}

int run_power_back(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_again),      cmocka_unit_test(test_runs_elsewhere),
		cmocka_unit_test(test_silent_host),       cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lost_answer),       cmocka_unit_test(test_restart),
		cmocka_unit_test(test_somebodys),         cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_closed_again),      cmocka_unit_test(test_again_while_silent),
		cmocka_unit_test(test_busy_while_silent), cmocka_unit_test(test_fenced_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
