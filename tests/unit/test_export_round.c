/* SPDX-License-Identifier: Apache-2.0 */
/* What a coordinator exports, simulated: everything that it plans with is there again. */
#include "tests/unit/coordinator_bench.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/predict/predict.h"
#include "coordinator/core/recall.h"
#include "proto/coordinator.pb-c.h"
#include "proto/json.h"
#include "tools/simulator/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void say_policy(struct bench *b, const char *name, enum policy_kind kind, bool soft,
                       const char *selector, const char *first, const char *second)
{
	struct event event = { .kind = EVENT_SET_POLICY, .request = 2000000 };
	struct names vms = { 0 }, nodes = { 0 };

	names_add(&vms, first);
	if (second)
		names_add(&vms, second);
	event.policy.name = name;
	event.policy.by = "ann";
	event.policy.kind = kind;
	event.policy.soft = soft;
	event.policy.vms = &vms;
	event.policy.nodes = &nodes;
	event.policy.selector = selector;
	coordinator_step(b->coordinator, &event);
	names_deinit(&vms);
	names_deinit(&nodes);
}

static void label(struct bench *b, const char *node, char *text)
{
	struct event event = { .kind = EVENT_LABEL, .request = 2000001 };
	struct names changes = { .items = &text, .count = 1 };

	event.label.node = node;
	event.label.changes = &changes;
	coordinator_step(b->coordinator, &event);
}

static struct vm *vm_of(struct fleet *fleet, const char *name)
{
	struct error err;
	struct vm *vm;

	if (fleet_get_vm(fleet, name, &vm, &err) < 0)
		fail_msg("%s", err.text);
	return vm;
}

/* As if two hosts had refused, one had sent and three migrations had taught something. */
static void learn(struct fleet *fleet)
{
	struct recalled_denial denial = {
		.home = "host1",
		.digest = 77,
		.left_ms = 1800000,
		.check = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512f" }
	};
	struct recalled_experience experience = {
		.source = "host1",
		.target = "host2",
		.sums = { 0.25, 1.0 / 3, 2, 3.5, 4, 0.01, 2.5, 3 },
	};
	struct check disk = { .id = "disk/vda",
		              .verdict = CHECK_FAIL,
		              .measured = "missing here",
		              .remedy = "drover migrate host1-vm1 --copy-disks copies it" };
	struct checks checks = { .items = &disk, .count = 1 };
	struct vm *vm = vm_of(fleet, "host1-vm0");
	struct node *host2 = fleet_find_node(fleet, "host2");
	uint64_t now_ms = host2->last_seen_ms;

	recall_denial(host2, &denial, now_ms);
	recall_refusal(vm, host2,
	               &(struct recalled_refusal){ .why = "host2 refused: it failed",
	                                           .fault = true,
	                                           .left_ms = 100000 },
	               now_ms);
	recall_refusal(vm_of(fleet, "host1-vm1"), host2,
	               &(struct recalled_refusal){ .why = "host2 refused: disk/vda",
	                                           .checks = &checks,
	                                           .known_ms = 1800000 },
	               now_ms);
	fleet_find_node(fleet, "host1")->measured_bytes_per_s = 123456789;
	recall_experience(fleet, &experience);
	vm->copies = COPIES_NONE;
	vm->kept.bandwidth_given = true;
	vm->kept.bandwidth_bytes_per_s = 42 * MIB;
	text_copy(vm->kept.uuid, sizeof(vm->kept.uuid), vm->uuid);
	text_copy(vm->kept.by, sizeof(vm->kept.by), "ann");
}

static void export(struct bench *b, char *path)
{
	Drover__V1__ExportRequest r = DROVER__V1__EXPORT_REQUEST__INIT;
	const Drover__V1__FleetState *m = bench_ask(b, "drover.v1.Coordinator/Export", &r.base);
	int fd = mkstemp(path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	assert_non_null(m);
	assert_non_null(file);
	assert_string_equal(m->next, "");
	json_write(file, &m->base, true);
	assert_int_equal(fclose(file), 0);
	bench_forget(b);
}

static void build(struct world *w, const Drover__V1__FleetState *m)
{
	struct error err;
	size_t n_notes;
	char **notes;

	if (world_build(w, m, &notes, &n_notes, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < n_notes; i++)
		free(notes[i]);
	free(notes);
}

static void expect_policies(const struct world *w)
{
	assert_int_equal(w->n_policies, 2);
	assert_string_equal(w->policies[0].name, "db");
	assert_int_equal(w->policies[0].kind, POLICY_APART);
	assert_false(w->policies[0].soft);
	assert_int_equal(w->policies[0].vms.count, 2);
	assert_string_equal(w->policies[1].name, "ssd");
	assert_true(w->policies[1].soft);
	assert_string_equal(w->policies[1].selector, "disk=ssd");
	assert_int_equal(w->judged[1].n_guests, 1);
	assert_true(w->judged[1].on[world_find_host(w, "host2")]);
	assert_false(w->judged[1].on[world_find_host(w, "host1")]);
}

/* The coordinator knows it, and the host would say it again, but for a copy. */
static void expect_disk(const struct world *w, const struct node *host2)
{
	const struct vm *vm = vm_of(w->fleet, "host1-vm1");
	const struct refusal *known = refusals_find_known(vm, host2, w->now_ms + 1700000);
	size_t guest = world_find_guest(w, vm->uuid), host = world_find_host(w, "host2");
	struct check check;

	assert_non_null(known);
	assert_true(refusals_yield_to_copy(known));
	assert_false(agents_admit(w, guest, host, false, &check));
	assert_string_equal(check.id, "disk/vda");
	assert_string_equal(check.measured, "missing here");
	assert_true(agents_admit(w, guest, host, true, &check));
}

static void expect_learned(const struct world *w)
{
	const struct node *host2 = fleet_find_node(w->fleet, "host2");
	const struct vm *vm = vm_of(w->fleet, "host1-vm0");
	struct recalled_experience *experience;
	struct recalled_denial *denials;

	assert_int_equal(recall_list_denials(host2, w->now_ms, &denials), 1);
	assert_string_equal(denials[0].home, "host1");
	assert_int_equal(denials[0].digest, 77);
	assert_string_equal(denials[0].check.id, "cpu");
	assert_string_equal(denials[0].check.measured, "no avx512f");
	assert_true(denials[0].left_ms <= 1800000 && denials[0].left_ms > 1700000);
	free(denials);
	assert_non_null(vm->refusals);
	assert_string_equal(vm->refusals->target, "host2");
	assert_string_equal(vm->refusals->why, "host2 refused: it failed");
	assert_true(vm->refusals->fault && vm->refusals->again_ms > w->now_ms + 90000);
	expect_disk(w, host2);
	assert_int_equal(vm->copies, COPIES_NONE);
	assert_true(vm->kept.bandwidth_given && !vm->kept.max_downtime_given);
	assert_int_equal(vm->kept.bandwidth_bytes_per_s, 42 * MIB);
	assert_int_equal(fleet_find_node(w->fleet, "host1")->measured_bytes_per_s, 123456789);
	assert_int_equal(recall_list_experience(w->fleet, &experience), 1);
	assert_string_equal(experience[0].source, "host1");
	assert_string_equal(experience[0].target, "host2");
	/* To the last bit. */
	assert_true(experience[0].sums.x == 1.0 / 3 && experience[0].sums.squares == 0.01);
	assert_int_equal(experience[0].sums.count, 3);
	free(experience);
}

/* Policies, labels, denials, refusals, limits, lanes, what was tuned, rates and experience go the whole way:
 * exported, written, read, and known to the simulated coordinator. */
static void test_round(void **state)
{
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	struct world_options options = { .seed = 1, .most_ms = 1 };
	char path[] = "/tmp/drover-export-XXXXXX";
	Drover__V1__FleetState *m;
	struct error err;
	struct world w;

	(void)state;
	bench_see_host(b, "host1", 2);
	bench_see_host(b, "host2", 1);
	label(b, "host2", (char *)"disk=ssd");
	say_policy(b, "db", POLICY_APART, false, "", "host1-vm0", "host2-vm0");
	say_policy(b, "ssd", POLICY_ON, true, "disk=ssd", "host1-vm1", NULL);
	learn(b->coordinator->fleet);
	b->coordinator->fleet->options.caps.preparing = 3;
	export(b, path);
	if (state_read(path, &m, &err) < 0)
		fail_msg("%s", err.text);
	unlink(path);
	assert_int_equal(m->format, 2);
	world_init(&w, &options);
	build(&w, m);
	assert_string_equal(w.records[world_find_host(&w, "host2")].labels, "disk=ssd");
	assert_true(w.core.settings.shortest_first ==
	            b->coordinator->fleet->options.settings.shortest_first);
	assert_int_equal(w.core.caps.cluster, 5);
	assert_int_equal(w.core.caps.preparing, 3);
	expect_policies(&w);
	assert_int_equal(world_run(&w, NULL, 0, &err), 0);
	expect_learned(&w);
	assert_string_equal(w.broken, "");
	world_deinit(&w);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	bench_free(b);
}

/* A fleet of three hosts and a guest on each of the first two, with one policy of both. */
static Drover__V1__FleetState *document_new(const char *kind, bool soft)
{
	Drover__V1__Policy *policy = xmalloc(sizeof(*policy));
	Drover__V1__FleetState *m;
	struct error err;

	if (generate("hosts=3,vms=2,seed=1,kinds=0,policies=0", &m, &err) < 0)
		fail_msg("%s", err.text);
	drover__v1__policy__init(policy);
	policy->name = xstrdup("p");
	policy->kind = xstrdup(kind);
	policy->soft = soft;
	policy->vms = xcalloc(2, sizeof(*policy->vms));
	for (size_t i = 0; i < 2; i++) {
		Drover__V1__PolicyMember *member = xmalloc(sizeof(*member));

		free(m->vms[i]->node);
		m->vms[i]->node = xstrdup(i ? "host00002" : "host00001");
		drover__v1__policy_member__init(member);
		member->uuid = xstrdup(m->vms[i]->uuid);
		policy->vms[policy->n_vms++] = member;
	}
	if (strcmp(kind, "on") == 0) {
		policy->nodes = xcalloc(1, sizeof(*policy->nodes));
		policy->nodes[policy->n_nodes++] = xstrdup("host00003");
	}
	m->policies = xcalloc(1, sizeof(*m->policies));
	m->policies[m->n_policies++] = policy;
	return m;
}

/* That a hard policy is broken is seen on the hosts, whatever the core believes; a soft one is only counted. */
static void test_judged_on_hosts(void **state)
{
	static const struct {
		const char *kind;
		bool soft;
		size_t to;
		const char *says;
	} cases[] = {
		{ "apart", false, 1,
		  "keeps vm000001 apart from vm000002, and it was sent to host00002" },
		{ "apart", true, 1, NULL },
		{ "apart", false, 2, NULL },
		{ "together", false, 2, "keeps vm000001 together with vm000002" },
		{ "together", false, 1, NULL },
		{ "on", false, 1, "lets vm000001 not be on host00002" },
		{ "on", false, 2, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Drover__V1__FleetState *m = document_new(cases[i].kind, cases[i].soft);
		struct world_options options = { .seed = 1 };
		struct world w;

		world_init(&w, &options);
		build(&w, m);
		w.guests[0].going = cases[i].to;
		policies_touch(&w, 0);
		policies_judge(&w);
		if (!cases[i].says)
			assert_string_equal(w.broken, "");
		else if (!strstr(w.broken, cases[i].says))
			fail_msg("%s, not \"%s\"", w.broken, cases[i].says);
		world_deinit(&w);
		protobuf_c_message_free_unpacked(&m->base, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_judged_on_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
