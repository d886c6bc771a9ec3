/* SPDX-License-Identifier: Apache-2.0 */
/* What a destination has refused is known from then on, for all whom it says the same of: the dry run goes
 * round it, asks again, and says what each host has said. */
#include "coordinator/core/move/denials.h"

#include "coordinator/core/capacity/capacity.h"
#include "coordinator/core/drain/drain.h"
#include "tests/unit/offers_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A destination that refused a guest for its CPU has refused all guests of that CPU, until it says that it
 * has changed. */
static void test_denials(void **state)
{
	struct check cpu = { .id = "cpu",
		             .verdict = CHECK_FAIL,
		             .measured = "missing: avx512f",
		             .required = "every CPU feature that the guest sees" };
	struct vm_state a = offers_guest("web", 512), b = offers_guest("b", 512);
	struct vm_state c = offers_guest("c", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ 0 }, &a);
	struct checks checks = { .items = &cpu, .count = 1 };

	(void)state;
	c.needs.digest = 8;
	core_world_see(world, "host1", &b);
	core_world_see(world, "host1", &c);
	denials_learn(fleet_find_node(world->fleet, "host2"), fleet_find_vm(world->fleet, b.uuid),
	              &checks, world->now_ms);
	offers_expect_blocked(
		world, "host2 has refused a guest of the same host, CPU and machine type: cpu: "
		       "missing: avx512f");
	assert_string_equal(reply_guest(core_world_reply(world), "c")->target, "host2");
	offers_tell(world, "host2", &(struct offers){ .signature = "cpu C" });
	assert_string_equal(reply_guest(offers_ask(world), "web")->target, "host2");
	core_world_free(world);
}

/* A digest is the word of the host that has the guest: what came of it on a destination shuts out no guest
 * of another host, whoever errs or lies. */
static void i12_denials_are_of_one_home(void **state)
{
	struct check cpu = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512" };
	struct checks checks = { .items = &cpu, .count = 1 };
	struct vm_state a = offers_guest("web", 512), b = offers_guest("b", 512);
	struct vm_state c = offers_guest("c", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ 0 }, &a);
	struct node *node = fleet_find_node(world->fleet, "host2");
	struct vm *there, *same;

	(void)state;
	offers_add_host(world, "host3", &(struct offers){ 0 });
	core_world_see(world, "host1", &b);
	core_world_see(world, "host3", &c);
	same = fleet_find_vm(world->fleet, b.uuid);
	there = fleet_find_vm(world->fleet, c.uuid);
	denials_learn(node, fleet_find_vm(world->fleet, a.uuid), &checks, world->now_ms);
	assert_non_null(denials_find(node, fleet_find_sighting(same, same->node), world->now_ms));
	assert_null(denials_find(node, fleet_find_sighting(there, there->node), world->now_ms));
	/* Nor does one that passes there take back what was said of the others. */
	cpu.verdict = CHECK_PASS;
	denials_learn(node, there, &checks, world->now_ms);
	assert_non_null(denials_find(node, fleet_find_sighting(same, same->node), world->now_ms));
	core_world_free(world);
}

/* ... in plans and answers, too: of guests alike on two hosts the one that was refused is refused, in whatever
 * order they are looked at, and the other one is not. */
static void i12_denials_make_classes(void **state)
{
	struct check cpu = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512" };
	struct checks checks = { .items = &cpu, .count = 1 };
	struct vm_state here = offers_guest("web", 512), there = offers_guest("db", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ 0 }, &here);
	const struct node *nodes[2];
	struct vm *vms[2];

	(void)state;
	/* Neither has room for the other's guest. */
	offers_add_host(world, "host3", &(struct offers){ 0 });
	core_world_see(world, "host3", &there);
	core_world_figures(world, "host1", 1024, 900);
	core_world_figures(world, "host3", 1024, 900);
	vms[0] = fleet_find_vm(world->fleet, here.uuid);
	vms[1] = fleet_find_vm(world->fleet, there.uuid);
	denials_learn(fleet_find_node(world->fleet, "host2"), vms[0], &checks, world->now_ms);
	for (int first = 0; first < 2; first++) {
		struct capacity c;

		capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
		for (int i = 0; i < 2; i++) {
			int v = first ^ i;
			struct capacity_answer answer;

			nodes[v] = vms[v]->node;
			answer = capacity_ask_drain(&c, &nodes[v], 1);
			assert_int_equal(answer.verdict, v == 0 ? PACKING_NO : PACKING_YES);
			capacity_answer_deinit(&answer);
		}
		capacity_deinit(&c);
	}
	assert_int_equal(reply_guest(offers_ask(world), "web")->state, DRAIN_VM_BLOCKED);
	assert_string_equal(reply_guest(offers_ask_of(world, "host3"), "db")->target, "host2");
	core_world_free(world);
}

/* What could not be measured on one day speaks for no other guest. */
static void test_no_denial_without_a_measurement(void **state)
{
	struct check cpu = { .id = "cpu",
		             .verdict = CHECK_FAIL,
		             .measured = "not measured: libvirt is away" };
	struct check memory = { .id = "memory", .verdict = CHECK_FAIL, .measured = "1 MiB free" };
	struct vm_state guest = offers_guest("web", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ 0 }, &guest);
	struct node *node = fleet_find_node(world->fleet, "host2");
	const struct vm *vm = fleet_find_vm(world->fleet, guest.uuid);
	struct checks checks = { .items = &cpu, .count = 1 };

	(void)state;
	denials_learn(node, vm, &checks, world->now_ms);
	checks.items = &memory;
	denials_learn(node, vm, &checks, world->now_ms);
	assert_null(node->denials);
	core_world_free(world);
}

/* Kinds that were refused long ago take nobody's place. */
static void test_old_denials_go(void **state)
{
	struct check cpu = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512" };
	struct checks checks = { .items = &cpu, .count = 1 };
	struct vm_state guest = offers_guest("web", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ 0 }, &guest);
	struct node *node = fleet_find_node(world->fleet, "host2");
	struct vm *vm = fleet_find_vm(world->fleet, guest.uuid);
	struct sighting *home = fleet_find_sighting(vm, vm->node);
	uint64_t later_ms = world->now_ms + DENIAL_MS + 1;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		home->state.needs.digest = i;
		denials_learn(node, vm, &checks, world->now_ms);
	}
	assert_null(denials_find(node, home, world->now_ms));
	denials_learn(node, vm, &checks, later_ms);
	assert_non_null(denials_find(node, home, later_ms));
	core_world_free(world);
}

/* --- what only a destination can see --- */

/* Answers every question that is open as the hosts would: @refuses says no to every guest's disk. */
static void answer_all(struct core_world *world, const char *const *refuses, size_t n)
{
	struct check disk = { .id = "disk/vda",
		              .verdict = CHECK_FAIL,
		              .measured = "no such file here",
		              .required = "the same disk" };
	struct check fine = { .id = "disk/vda", .verdict = CHECK_PASS };

	for (size_t i = 0; i < world->seen.count; i++) {
		struct action *action = &world->seen.items[i];
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
		struct checks checks = { .count = 1 };
		bool no = false;

		if (action->kind != ACTION_PREVIEW)
			continue;
		for (size_t k = 0; k < n; k++)
			no |= strcmp(action->preview.target, refuses[k]) == 0;
		checks.items = no ? &disk : &fine;
		answer.preview.preview = action->preview.preview;
		answer.preview.admitted = !no;
		answer.preview.checks = &checks;
		answer.preview.outcome = CALL_ANSWERED;
		core_world_step(world, &answer);
	}
}

static const struct reply *ask_hosts(struct core_world *world, const char *const *refuses, size_t n)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_forget(world);
	core_world_step(world, &event);
	answer_all(world, refuses, n);
	return core_world_reply(world);
}

/* A dry run asks until every planned pair is admitted. The guests that are refused are planned with the
 * others: two of 2 GiB do not both end up where there is room for one. */
static void test_refusals_are_planned_again(void **state)
{
	static const char *const refuses[] = { "host2", "host3" };
	struct vm_state a = offers_guest("a", 2048), b = offers_guest("b", 2048);
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	offers_add_host(world, "host1", &(struct offers){ 0 });
	core_world_see(world, "host1", &a);
	core_world_see(world, "host1", &b);
	offers_add_host(world, "host2", &(struct offers){ .capacity_mib = 16384 });
	offers_add_host(world, "host3", &(struct offers){ .capacity_mib = 8192 });
	offers_add_host(world, "host4", &(struct offers){ .capacity_mib = 4096 });
	offers_add_host(world, "host5", &(struct offers){ .capacity_mib = 3072 });
	reply = ask_hosts(world, refuses, 2);
	assert_int_equal(reply_guest(reply, "a")->state, DRAIN_VM_WAITING);
	assert_int_equal(reply_guest(reply, "b")->state, DRAIN_VM_WAITING);
	assert_string_not_equal(reply_guest(reply, "a")->target, reply_guest(reply, "b")->target);
	assert_true(strcmp(reply_guest(reply, "a")->target, "host3") > 0);
	assert_true(strcmp(reply_guest(reply, "b")->target, "host3") > 0);
	assert_int_equal(reply->plan->vms[0].order, 1);
	core_world_free(world);
}

/* With no destination left the guest is blocked, with what each has said. */
static void test_all_refuse(void **state)
{
	static const char *const refuses[] = { "host2", "host3" };
	struct vm_state web = offers_guest("web", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ 0 }, &web);
	const struct reply *reply;
	const struct drain_vm *dv;

	(void)state;
	offers_add_host(world, "host3", &(struct offers){ 0 });
	reply = ask_hosts(world, refuses, 2);
	dv = reply_guest(reply, "web");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(dv->reason, "host2 refused: disk/vda: no such file here"));
	assert_non_null(strstr(dv->reason, "host3 refused: disk/vda: no such file here"));
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denials),
		cmocka_unit_test(test_no_denial_without_a_measurement),
		cmocka_unit_test(i12_denials_are_of_one_home),
		cmocka_unit_test(i12_denials_make_classes),
		cmocka_unit_test(test_old_denials_go),
		cmocka_unit_test(test_refusals_are_planned_again),
		cmocka_unit_test(test_all_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
