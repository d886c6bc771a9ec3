/* SPDX-License-Identifier: Apache-2.0 */
/* Wishes: how many each host leaves unmet, counted for all at once, and what is said of the choice. */
#include "common/units.h"
#include "coordinator/core/capacity/capacity.h"
#include "coordinator/core/policy/policy.h"
#include "tests/unit/policy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOSTS  6
#define GUESTS 12

static struct vm *vm_of(const struct core_world *world, const char *name)
{
	struct error err;
	struct vm *vm;

	if (fleet_get_vm(world->fleet, name, &vm, &err) < 0)
		fail_msg("%s", err.text);
	return vm;
}

static uint64_t random_state = 1;

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(random_state >> 33) % below;
}

static struct core_world *make_world(void)
{
	static char texts[GUESTS][8];
	struct core_world *world = core_world_new();
	const char *names[GUESTS];

	for (size_t v = 0; v < GUESTS; v++) {
		snprintf(texts[v], sizeof(texts[v]), "vm%zu", v);
		names[v] = texts[v];
	}
	for (size_t h = 0; h < HOSTS; h++) {
		char name[16];

		snprintf(name, sizeof(name), "host%zu", h + 1);
		core_world_host(world, name, 16384, names + h * GUESTS / HOSTS, GUESTS / HOSTS);
	}
	return world;
}

static void draw_policy(struct core_world *world, unsigned number)
{
	char name[16], vms[64], hosts[64];
	unsigned first = draw(GUESTS), kind = draw(3);

	snprintf(name, sizeof(name), "p%u", number);
	snprintf(vms, sizeof(vms), "vm%u,vm%u,vm%u", first, (first + 1 + draw(4)) % GUESTS,
	         (first + 5 + draw(6)) % GUESTS);
	snprintf(hosts, sizeof(hosts), "host%u,host%u", 1 + draw(HOSTS), 1 + draw(HOSTS));
	policy_must(world, name, (enum policy_kind)kind, true, vms,
	            kind == POLICY_ON ? hosts : NULL);
}

/* Counted for all hosts at once it is what is counted for each, in random fleets with drains under way. */
static void test_list_is_the_count(void **state)
{
	unsigned unmet = 0;

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		struct core_world *world = make_world();
		struct plan plan;

		for (unsigned p = 0; p < 6; p++)
			draw_policy(world, p);
		if (round % 2)
			core_world_drain(world, "host1");
		plan_init(&plan, world->fleet, world->now_ms);
		for (const struct vm *vm = world->fleet->vms; vm; vm = vm->hh.next) {
			uint32_t *all = policy_list_broken(world->fleet, vm);

			for (size_t h = 0; h < plan.count; h++) {
				const struct node *node = plan.nodes[h].node;
				uint32_t one = policy_count_broken(world->fleet, vm, node, NULL);

				assert_int_equal(all ? all[h] : 0, one);
				unmet += one;
			}
			free(all);
		}
		plan_deinit(&plan);
		core_world_free(world);
	}
	assert_true(unmet > 1000);
}

/* A wish counts before room: of a node that was not chosen it is said how many of its wishes are unmet there,
 * and of a wish that cannot be what the host lacks. */
static void test_choice_by_wishes(void **state)
{
	static const char *const web[] = { "web1" };
	struct core_world *world = core_world_new();
	char text[REASON_BYTES];

	(void)state;
	core_world_host(world, "host1", 4096, web, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 1024, NULL, 0);
	core_world_host(world, "host4", 128, NULL, 0);
	policy_must(world, "ssd", POLICY_ON, true, "web1", "host3,host4");
	assert_true(capacity_explain_choice(world->fleet, vm_of(world, "web1"),
	                                    fleet_find_node(world->fleet, "host2"), world->now_ms,
	                                    text));
	assert_string_equal(text, "drover would choose host3: it leaves 0 wishes unmet, host2 1 "
	                          "(host2: policy ssd wants it on host3, host4)");
	assert_true(capacity_explain_choice(world->fleet, vm_of(world, "web1"),
	                                    fleet_find_node(world->fleet, "host3"), world->now_ms,
	                                    text));
	assert_string_equal(text, "drover would choose host3: no other node that would take it "
	                          "leaves fewer wishes unmet (0), or as few and more memory free "
	                          "after it (688 MiB)");
	policy_must(world, "ssd", POLICY_ON, true, "web1", "host4");
	assert_true(capacity_explain_choice(world->fleet, vm_of(world, "web1"),
	                                    fleet_find_node(world->fleet, "host2"), world->now_ms,
	                                    text));
	assert_string_equal(text, "drover would choose host2: no other node that would take it "
	                          "leaves fewer wishes unmet (1), or as few and more memory free "
	                          "after it (3.7 GiB); policy ssd wants it on host4; host4 208 MiB "
	                          "short of memory");
	policy_must(world, "ssd", POLICY_ON, true, "web1", "host1");
	assert_true(capacity_explain_choice(world->fleet, vm_of(world, "web1"),
	                                    fleet_find_node(world->fleet, "host2"), world->now_ms,
	                                    text));
	assert_non_null(strstr(text, "policy ssd wants it on host1; there is no other such host"));
	core_world_free(world);
}

/* Two that wish for one host with room for one: one is there, the other goes elsewhere and is told why. */
static void test_wish_in_a_plan(void **state)
{
	static const char *const two[] = { "web1", "web2" };
	struct core_world *world = core_world_new();
	struct event event = { .kind = EVENT_DRAIN, .request = 4 };
	struct names none = { 0 };
	const struct drain *plan;
	const struct drain_vm *there, *elsewhere;

	(void)state;
	core_world_host(world, "host1", 4096, two, 2);
	core_world_host(world, "host2", 16384, NULL, 0);
	core_world_host(world, "host3", 512, NULL, 0);
	policy_must(world, "ssd", POLICY_ON, true, "web1,web2", "host3");
	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.leave = &none;
	event.drain.dry_run = true;
	plan = core_world_ask(world, &event)->plan;
	assert_int_equal(plan->n_vms, 2);
	there = strcmp(plan->vms[0].target, "host3") == 0 ? &plan->vms[0] : &plan->vms[1];
	elsewhere = there == &plan->vms[0] ? &plan->vms[1] : &plan->vms[0];
	assert_string_equal(there->target, "host3");
	assert_string_equal(there->against, "");
	assert_string_equal(elsewhere->target, "host2");
	assert_string_equal(elsewhere->against,
	                    "host2: policy ssd wants it on host3; host3 has room "
	                    "for others of the plan");
	core_world_free(world);
}

static void see_off(struct core_world *world, const char *node, const char *vm)
{
	struct vm_state state = core_world_vm(vm, 256);

	snprintf(state.state, sizeof(state.state), "shutoff");
	core_world_see(world, node, &state);
	core_world_wait(world, 2);
}

/* A guest that is off is said to be, and a wish is told as one. */
static void test_words_of_an_off_guest(void **state)
{
	static const char *const web[] = { "web1", "web2" };
	struct core_world *world = core_world_new();
	const struct node *host2;
	char text[REASON_BYTES];

	(void)state;
	core_world_host(world, "host1", 4096, web, 1);
	core_world_host(world, "host2", 4096, web + 1, 1);
	core_world_host(world, "host3", 4096, NULL, 0);
	host2 = fleet_find_node(world->fleet, "host2");
	policy_must(world, "web", POLICY_APART, true, "web1,web2", NULL);
	assert_int_equal(policy_count_broken(world->fleet, vm_of(world, "web1"), host2, text), 1);
	assert_string_equal(text, "host2: policy web wants it apart from web2, which is there");
	see_off(world, "host2", "web2");
	assert_int_equal(policy_count_broken(world->fleet, vm_of(world, "web1"), host2, text), 1);
	assert_string_equal(
		text,
		"host2: policy web wants it apart from web2, which is off, but defined there");
	policy_must(world, "web", POLICY_TOGETHER, true, "web1,web2", NULL);
	assert_int_equal(policy_count_broken(world->fleet, vm_of(world, "web1"),
	                                     fleet_find_node(world->fleet, "host3"), text),
	                 1);
	assert_string_equal(text, "host3: policy web wants it with web2, which is off, but "
	                          "defined on host2");
	policy_must(world, "web", POLICY_APART, false, "web1,web2", NULL);
	assert_non_null(policy_find_bar(world->fleet, vm_of(world, "web1"), host2, text));
	assert_string_equal(
		text,
		"host2: policy web keeps it apart from web2, which is off, but defined there");
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_is_the_count),
		cmocka_unit_test(test_choice_by_wishes),
		cmocka_unit_test(test_wish_in_a_plan),
		cmocka_unit_test(test_words_of_an_off_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
