/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are shut down for a drain: only by name, last, asked and never ended, whatever restarts. */
#include "tests/unit/power_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct drain *drain_of(struct core_world *world)
{
	return fleet_find_drain(world->fleet, 1);
}

/* A guest to be shut down is asked when all that move have left, and not before; off, it counts as
 * stopped, and the drain is complete when its host lists nobody. */
static void test_last(void **state)
{
	struct core_world *world = power_world();

	(void)state;
	power_drain(world, "db1", NULL);
	core_world_confirm_mark(world, 2);
	core_world_wait(world, 30);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_WAITING);
	assert_true(power_says(power_guest(world, "db1")->reason, "shut down last"));
	assert_int_equal(power_guest(world, "web1")->state, DRAIN_VM_MOVING);
	power_arrive(world, "web1");
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_RUNNING);
	power_answer(world, ACTION_SHUT_DOWN, CALL_ANSWERED, ERROR_NONE, "");
	core_world_wait(world, 30);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	power_see(world, "shutoff");
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPED);
	assert_true(power_says(power_guest(world, "db1")->reason, "undrain host1 --bring-back"));
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 0);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_COMPLETED);
	/* It was never anybody's to move. */
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	core_world_free(world);
}

/* Only the host's own word makes it off: an agent that says that it was asked makes nothing so, nor does
 * a list that cannot be relied upon. */
static void test_evidence(void **state)
{
	struct core_world *world = power_asked();

	(void)state;
	core_world_wait(world, 20);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
	core_world_lose(world, "host1");
	core_world_wait(world, 20);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_ASKED);
	core_world_free(world);
}

/* One that ignores it is blocked after its time, with what to do, is asked again each time that passes,
 * and the drain goes on by itself once it is off after all. */
static void test_ignores(void **state)
{
	struct core_world *world = power_asked();
	const struct drain_vm *dv;

	(void)state;
	core_world_wait(world, 290);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
	core_world_wait(world, 15);
	dv = power_guest(world, "db1");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	assert_true(power_says(dv->reason, "was asked to shut down 5 min ago"));
	assert_true(power_says(dv->reason, "virsh console db1 on host1"));
	assert_true(power_says(dv->reason, "drover cancel drain/1"));
	assert_int_equal(drain_of(world)->kept.state, DRAIN_BLOCKED);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 2);
	assert_int_equal(core_world_find(world, ACTION_SHUT_DOWN)->power.number, 2);
	power_answer(world, ACTION_SHUT_DOWN, CALL_ANSWERED, ERROR_NONE, "");
	core_world_wait(world, 1000);
	assert_in_range(core_world_count(world, ACTION_SHUT_DOWN), 3, 5);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_BLOCKED);
	power_see(world, "shutoff");
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 0);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_COMPLETED);
	core_world_free(world);
}

static struct error ask_error(struct core_world *world)
{
	const struct reply *reply = core_world_reply(world);

	assert_int_equal(reply->kind, REPLY_FAILED);
	assert_null(world->fleet->drains);
	return reply->error;
}

/* Refused, and nothing is changed: a name that is not there, whatever it stands for elsewhere; and guests
 * that would not be there afterwards, or would not stay off. */
static void test_refusals(void **state)
{
	static const char *const unknown[] = { "all", "*", "db", "db1*", "" };
	struct core_world *world = power_world();
	struct vm_state vm = power_vm("db1");
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		power_drain(world, unknown[i], NULL);
		err = ask_error(world);
		assert_int_equal(err.code, ERROR_NOT_FOUND);
		assert_true(power_says(err.text, "only by their name or uuid"));
	}
	/* One that is known does not help one that is not. */
	power_drain(world, "db1", "db2");
	assert_int_equal(ask_error(world).code, ERROR_NOT_FOUND);
	vm.persistent = false;
	core_world_see(world, "host1", &vm);
	power_drain(world, "db1", NULL);
	err = ask_error(world);
	assert_int_equal(err.code, ERROR_REFUSED);
	assert_true(power_says(err.text, "definition is lost"));
	vm.persistent = true;
	text_copy(vm.no_shutdown, sizeof(vm.no_shutdown), "its on_poweroff is \"restart\"");
	core_world_see(world, "host1", &vm);
	power_drain(world, "db1", NULL);
	err = ask_error(world);
	assert_int_equal(err.code, ERROR_REFUSED);
	assert_true(power_says(err.text, "on_poweroff"));
	core_world_free(world);
}

/* A guest cannot be left and be shut down. */
static void test_left_and_shut_down(void **state)
{
	struct core_world *world = power_world();
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct vm_state vm = power_vm("db1");
	char *left[] = { (char *)"db1" }, *off[] = { vm.uuid };
	struct names leave = { .items = left, .count = 1 },
		     shut_down = { .items = off, .count = 1 };

	(void)state;
	event.drain.node = "host1";
	event.drain.leave = &leave;
	event.drain.shut_down = &shut_down;
	event.drain.reason = "";
	core_world_step(world, &event);
	assert_true(power_says(ask_error(world).text, "left running and to be shut down"));
	core_world_free(world);
}

/* Nobody is asked before the wish, the permission of its host and the order itself are durable. */
static void test_persist_then_act(void **state)
{
	struct core_world *world = power_world();
	const struct vm_state web1 = power_vm("web1");

	(void)state;
	core_world_see(world, "host2", &web1);
	core_world_unsee(world, "host1", "web1");
	world->store_slowly = true;
	power_drain(world, "db1", NULL);
	core_world_wait(world, 3);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
	core_world_store(world);
	core_world_wait(world, 3);
	core_world_store(world);
	/* Its agent does not know the drain yet. */
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
	assert_int_equal(core_world_find(world, ACTION_SET_DRAIN_MARK)->mark.mark.shut_down.count,
	                 1);
	core_world_confirm_mark(world, 1);
	core_world_store(world);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	core_world_free(world);
}

/* After a restart the same order goes to the same agent, which knows whether it has had it; to an agent
 * that has started anew nothing goes before its time, for the one before may have asked. */
static void test_restart(void **state)
{
	const struct vm_state db1 = power_vm("db1");

	(void)state;
	for (uint8_t boot = 1; boot <= 2; boot++) {
		struct core_world *world = power_restart(power_asked());

		assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
		power_host(world, "host1", boot, &db1, 1);
		power_host(world, "host2", 2, NULL, 0);
		power_host(world, "host3", 3, NULL, 0);
		core_world_confirm_mark(world, 1);
		core_world_wait(world, 5);
		if (boot == 1) {
			assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
			assert_int_equal(core_world_find(world, ACTION_SHUT_DOWN)->power.number, 1);
		} else {
			assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
			assert_true(power_says(power_guest(world, "db1")->reason, "is not known"));
			core_world_wait(world, 300);
			assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
			assert_int_equal(core_world_find(world, ACTION_SHUT_DOWN)->power.number, 2);
		}
		core_world_free(world);
	}
}

/* What went down while nobody led is seen, and not asked again. */
static void test_off_meanwhile(void **state)
{
	struct core_world *world = power_restart(power_asked());
	struct vm_state db1 = power_vm("db1");

	(void)state;
	text_copy(db1.state, sizeof(db1.state), "shutoff");
	power_host(world, "host1", 1, &db1, 1);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 3);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	core_world_confirm_mark(world, 0);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_COMPLETED);
	core_world_free(world);
}

/* An answer that is lost is not known, and the same order goes once more; a refusal blocks, with the
 * agent's words, and a new order goes after a while. */
static void test_outcomes(void **state)
{
	struct core_world *world = power_world();

	(void)state;
	power_drain(world, "db1", NULL);
	core_world_confirm_mark(world, 2);
	power_arrive(world, "web1");
	core_world_wait(world, 6);
	power_answer(world, ACTION_SHUT_DOWN, CALL_UNKNOWN, ERROR_TIMEOUT, "no answer");
	core_world_wait(world, 1);
	assert_true(power_says(power_guest(world, "db1")->reason, "is not known"));
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 2);
	assert_int_equal(core_world_find(world, ACTION_SHUT_DOWN)->power.number, 1);
	power_answer(world, ACTION_SHUT_DOWN, CALL_REFUSED, ERROR_REFUSED, "nobody has named it");
	core_world_wait(world, 1);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_BLOCKED);
	assert_true(power_says(power_guest(world, "db1")->reason, "nobody has named it"));
	core_world_wait(world, 31);
	assert_int_equal(core_world_find(world, ACTION_SHUT_DOWN)->power.number, 2);
	core_world_free(world);
}

/* While another guest has no place, one that is named stays on: it would be off for nothing. */
static void test_not_in_vain(void **state)
{
	struct core_world *world = power_world();

	(void)state;
	core_world_figures(world, "host2", 128, 0);
	core_world_figures(world, "host3", 4096, 4032);
	power_drain(world, "db1", NULL);
	core_world_confirm_mark(world, 2);
	core_world_wait(world, 60);
	assert_int_equal(power_guest(world, "web1")->state, DRAIN_VM_BLOCKED);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_BLOCKED);
	assert_true(power_says(power_guest(world, "db1")->reason, "web1 has not left"));
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
	core_world_free(world);
}

/* One that is paused would not hear it: it is not asked, and is said to be in the way. */
static void test_paused(void **state)
{
	struct core_world *world = power_world();

	(void)state;
	power_see(world, "paused");
	power_drain(world, "db1", NULL);
	core_world_confirm_mark(world, 2);
	power_arrive(world, "web1");
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 0);
	assert_true(power_says(power_guest(world, "db1")->reason, "virsh resume db1 on host1"));
	power_see(world, "running");
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	core_world_free(world);
}

/* Started by somebody while the drain goes on, it is asked again: its time begins anew. */
static void test_started_meanwhile(void **state)
{
	struct core_world *world = power_asked();

	(void)state;
	power_see(world, "shutoff");
	power_see(world, "running");
	core_world_confirm_mark(world, 1); /* it was asked whether it is empty */
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 2);
	assert_int_equal(core_world_find(world, ACTION_SHUT_DOWN)->power.number, 2);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
	core_world_free(world);
}

/* One that cannot move, and is named: it is shut down, though all such guests may stay. */
static void test_unmovable(void **state)
{
	struct core_world *world = power_world();
	struct event event = { .kind = EVENT_DRAIN, .request = 7, .drain.leave_unmovable = true };
	struct check block = { .verdict = CHECK_BLOCK, .id = "guest/hostdev" };
	struct vm_state vm = power_vm("db1");
	char *items[] = { (char *)"db1" };
	struct names none = { 0 }, shut_down = { .items = items, .count = 1 };

	(void)state;
	checks_add(&vm.blockers, &block);
	core_world_see(world, "host1", &vm);
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.shut_down = &shut_down;
	event.drain.reason = "";
	core_world_step(world, &event);
	core_world_confirm_mark(world, 2);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_WAITING);
	power_arrive(world, "web1");
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	checks_deinit(&vm.blockers);
	core_world_free(world);
}

/* A cancelled drain asks nobody any more; who goes down all the same is known, and can be started. */
static void test_cancelled(void **state)
{
	struct core_world *world = power_asked();
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };

	(void)state;
	event.node.node = "host1";
	event.node.reason = "";
	core_world_step(world, &event);
	core_world_wait(world, 1000);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	power_see(world, "shutoff");
	core_world_wait(world, 6);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OFF);
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->off.count, 1);
	assert_string_equal(core_world_reply(world)->off.items[0], "db1");
	core_world_free(world);
}

/* Hours later it goes down for its own reasons: nobody but its owner starts it. */
static void test_cancelled_long_ago(void **state)
{
	struct core_world *world = power_asked();
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };

	(void)state;
	event.node.node = "host1";
	event.node.reason = "";
	core_world_step(world, &event);
	core_world_wait(world, POWER_OURS_MS / 1000 + 60);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OVER);
	power_see(world, "shutoff");
	core_world_wait(world, 6);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_OVER);
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->off.count, 0);
	core_world_free(world);
}

/* The dry run says what would happen, and its plan is no permission: named again or refused. */
static void test_plan(void **state)
{
	struct core_world *world = power_world();
	struct event event = { .kind = EVENT_DRAIN, .request = 7, .drain.dry_run = true };
	char *items[] = { (char *)"db1" }, plan_id[PLAN_ID_BYTES];
	struct names none = { 0 }, shut_down = { .items = items, .count = 1 };
	const struct reply *reply;
	const struct drain_vm *dv;

	(void)state;
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.shut_down = &shut_down;
	event.drain.reason = "";
	core_world_step(world, &event);
	core_world_wait(world, 12); /* nobody answers the questions about web1 */
	reply = core_world_reply(world);
	dv = power_planned(world, "db1");
	assert_true(dv->shuts);
	assert_int_equal(dv->state, DRAIN_VM_WAITING);
	assert_true(power_says(dv->reason, "given 5 min"));
	assert_true(reply->plan->eta_ms >= 300000);
	assert_null(world->fleet->drains);
	text_copy(plan_id, sizeof(plan_id), reply->plan->plan_id);
	assert_true(plan_id[0]);
	event.drain.dry_run = false;
	event.drain.plan_id = plan_id;
	event.drain.shut_down = &none;
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->refused);
	assert_true(power_says(core_world_reply(world)->refusal, "--shutdown db1"));
	assert_null(world->fleet->drains);
	/* Left now, and shut down then: the command that is named has it as it is asked for now. */
	event.drain.leave = &shut_down;
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->refused);
	assert_true(power_says(core_world_reply(world)->refusal,
	                       "db1 was to be shut down, and now would be left: left as asked"));
	assert_true(power_says(core_world_reply(world)->refusal, "drain host1 --leave db1 --dry"));
	event.drain.leave = &none;
	event.drain.shut_down = &shut_down;
	core_world_step(world, &event);
	assert_int_equal(drain_of(world)->kept.n_shutdowns, 1);
	core_world_free(world);
}

/* The other way round: one that the plan left. The command that is named can be given. */
static void test_plan_that_left_it(void **state)
{
	struct core_world *world = power_world();
	struct event event = { .kind = EVENT_DRAIN, .request = 7, .drain.dry_run = true };
	char *items[] = { (char *)"db1" }, plan_id[PLAN_ID_BYTES];
	struct names none = { 0 }, named = { .items = items, .count = 1 };

	(void)state;
	event.drain.node = "host1";
	event.drain.leave = &named;
	event.drain.shut_down = &none;
	event.drain.reason = "";
	core_world_step(world, &event);
	core_world_wait(world, 12);
	text_copy(plan_id, sizeof(plan_id), core_world_reply(world)->plan->plan_id);
	event.drain.dry_run = false;
	event.drain.plan_id = plan_id;
	event.drain.leave = &none;
	event.drain.shut_down = &named;
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->refused);
	assert_true(
		power_says(core_world_reply(world)->refusal, "drain host1 --shutdown db1 --dry"));
	core_world_free(world);
}

/* A coordinator whose store is lost has the permission from the host that is drained, and only it. */
static void test_adopted(void **state)
{
	struct core_world *world = core_world_new();
	struct vm_state db1 = power_vm("db1");
	char *items[] = { db1.uuid };
	struct drain_mark mark = { .draining = true,
		                   .cordoned = true,
		                   .shut_down = { .items = items, .count = 1 },
		                   .shutdown_timeout_ms = 60000 };
	struct event attach = { .kind = EVENT_ATTACH, .request = 1 };
	struct event snapshot = { .kind = EVENT_SNAPSHOT };
	struct host_state host = { .libvirt_connected = true };

	(void)state;
	mark.drain_id.bytes[0] = 9;
	attach.attach.node = "host1";
	attach.attach.mesh_address = "tcp://10.0.0.1:7788";
	attach.attach.agent_version = "test";
	core_world_step(world, &attach);
	snapshot.snapshot.node = "host1";
	snapshot.snapshot.host = &host;
	snapshot.snapshot.vms = &db1;
	snapshot.snapshot.n_vms = 1;
	snapshot.snapshot.inventory_valid = true;
	snapshot.snapshot.mark = &mark;
	core_world_step(world, &snapshot);
	core_world_wait(world, 1);
	assert_int_equal(power_shutdown(world)->phase, SHUTDOWN_ASKED);
	assert_string_equal(power_shutdown(world)->name, "db1");
	assert_int_equal(drain_of(world)->kept.shutdown_timeout_ms, 60000);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last),
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_ignores),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_left_and_shut_down),
		cmocka_unit_test(test_persist_then_act),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_off_meanwhile),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_not_in_vain),
		cmocka_unit_test(test_paused),
		cmocka_unit_test(test_started_meanwhile),
		cmocka_unit_test(test_unmovable),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_cancelled_long_ago),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_plan_that_left_it),
		cmocka_unit_test(test_adopted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + run_power_back();
}
