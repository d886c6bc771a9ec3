/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the way in: slots, the link, the distance, huge pages; with numbers, and unknown is said. */
#include "agent/kernel/admission.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MBIT ((uint64_t)125000)

static struct vm_description vm;
static struct check_list list;

static struct admission_input fitting(void)
{
	struct admission_input in = {
		.vm = &vm,
		.source_node = "host1",
		.node = "host2",
		.memory = { .capacity_bytes = GIB,
		            .overcommit_percent = 100,
		            .free_bytes = GIB,
		            .guests_known = true },
		.leases = { .slots = 2 },
		.link = { .link_bytes_per_s = 1000 * MBIT,
		          .measured = true,
		          .classified = true,
		          .minimum_bytes_per_s = 64 * MBIT },
		.round_trip = { .outcome = ROUND_TRIP_MEASURED,
		                .address = "10.78.0.1",
		                .n_answers = 5,
		                .smallest_us = 120,
		                .median_us = 1750 },
		.round_trip_limit_ms = 150,
	};

	memset(&vm, 0, sizeof(vm));
	strcpy(vm.summary.uuid, "11111111-2222-3333-4444-555555555555");
	strcpy(vm.summary.name, "web1");
	vm.summary.memory_bytes = 256 * MIB;
	vm.summary.vcpus = 1;
	return in;
}

static const struct check *judged(const struct admission_input *in, const char *id)
{
	admission_judge(in, &list);
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.items[i].id, id) == 0)
			return &list.items[i];
	fail_msg("there is no check %s", id);
	abort();
}

static void assert_check(const struct admission_input *in, const char *id,
                         enum check_verdict verdict, const char *measured)
{
	const struct check *c = judged(in, id);

	assert_string_equal(c->measured, measured);
	assert_int_equal(c->verdict, verdict);
	assert_int_equal(c->remedy[0] == '\0', verdict == CHECK_PASS);
}

/* A slot is free or its holders are named; what this attempt has, it has. */
static void test_slot(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	assert_check(&in, "slot", CHECK_PASS, "0 of 2 taken");
	in.leases.taken = 1;
	strcpy(in.leases.holders, "db1 from host3");
	assert_check(&in, "slot", CHECK_PASS, "1 of 2 taken: db1 from host3");
	in.leases.taken = 2;
	assert_check(&in, "slot", CHECK_FAIL, "2 of 2 taken: db1 from host3");
	in.already_reserved = true;
	assert_check(&in, "slot", CHECK_PASS, "one is reserved for this attempt");
	in = fitting();
	in.leases.slots = 0;
	assert_check(&in, "slot", CHECK_FAIL, "not measured");
}

/* What is left of the link is shown with its arithmetic, and must be the minimum at least. */
static void test_bandwidth(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.link.other_bytes_per_s = 300 * MBIT;
	in.leases.promised_bytes_per_s = 500 * MBIT;
	in.leases.taken = 1;
	assert_check(&in, "bandwidth", CHECK_PASS,
	             "200 Mbit/s free: 1 Gbit/s link - 300 Mbit/s other traffic - 500 Mbit/s "
	             "promised to 1");
	assert_string_equal(judged(&in, "bandwidth")->required,
	                    "64 Mbit/s, migration/minBandwidth here");
	assert_int_equal(admission_bandwidth_share(&in), 200 * MBIT);
	in.link.other_bytes_per_s = 450 * MBIT;
	assert_check(&in, "bandwidth", CHECK_FAIL,
	             "50 Mbit/s free: 1 Gbit/s link - 450 Mbit/s other traffic - 500 Mbit/s "
	             "promised to 1");
	/* A move that may not use more than that needs no more. */
	in.link.limit_bytes_per_s = 40 * MBIT;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_PASS);
	assert_string_equal(judged(&in, "bandwidth")->required, "40 Mbit/s, the move's own limit");
	assert_int_equal(admission_bandwidth_share(&in), 40 * MBIT);
	in.already_reserved = true;
	in.reserved_bytes_per_s = 70 * MBIT;
	assert_check(&in, "bandwidth", CHECK_PASS, "70 Mbit/s reserved for this attempt");
}

/* Counters that cannot tell moves apart are not counted against the moves twice. */
static void test_bandwidth_not_classified(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.link.classified = false;
	in.link.other_bytes_per_s = 600 * MBIT;
	in.leases.promised_bytes_per_s = 500 * MBIT;
	assert_check(&in, "bandwidth", CHECK_PASS,
	             "400 Mbit/s free: 1 Gbit/s link - 600 Mbit/s other traffic (with "
	             "migrations) - 500 Mbit/s promised to 0");
	assert_int_equal(admission_bandwidth_share(&in), 400 * MBIT);
	in.link.other_bytes_per_s = 100 * MBIT;
	assert_int_equal(admission_bandwidth_share(&in), 500 * MBIT);
}

/* An unknown link warns; nothing is invented, and the move's own limit is what its lease takes. */
static void test_bandwidth_unknown(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.link.link_bytes_per_s = 0;
	in.leases.promised_bytes_per_s = 10 * MBIT;
	assert_check(&in, "bandwidth", CHECK_WARN,
	             "what the migration link carries is unknown; 10 Mbit/s promised");
	assert_int_equal(admission_bandwidth_share(&in), 0);
	in.link.limit_bytes_per_s = 5 * MBIT;
	assert_int_equal(admission_bandwidth_share(&in), 5 * MBIT);
	in = fitting();
	in.link.measured = in.link.classified = false;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_WARN);
	assert_non_null(strstr(judged(&in, "bandwidth")->measured, "(not measured)"));
	/* A slot's part of it, and no more than the link for a limit over it. */
	assert_int_equal(admission_bandwidth_share(&in), 500 * MBIT);
	in.leases.slots = 0;
	assert_int_equal(admission_bandwidth_share(&in), 1000 * MBIT);
	in.link.limit_bytes_per_s = 5000 * MBIT;
	assert_int_equal(admission_bandwidth_share(&in), 1000 * MBIT);
}

/* The way to the source: near, far, silent, not there, not looked at. */
static void test_latency(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	assert_check(&in, "latency", CHECK_PASS, "0.1 ms to 10.78.0.1, median 1.7 ms of 5");
	in.round_trip.smallest_us = 150001;
	assert_int_equal(judged(&in, "latency")->verdict, CHECK_FAIL);
	/* Our own moves fill the queue: that passes. */
	in.leases.taken = 1;
	assert_int_equal(judged(&in, "latency")->verdict, CHECK_WARN);
	in.round_trip_limit_ms = 0;
	assert_int_equal(judged(&in, "latency")->verdict, CHECK_PASS);
	in = fitting();
	in.round_trip.outcome = ROUND_TRIP_NO_ANSWER;
	assert_check(&in, "latency", CHECK_WARN,
	             "unknown: 10.78.0.1 answers nothing, as behind a firewall");
	in.round_trip.outcome = ROUND_TRIP_UNREACHABLE;
	strcpy(in.round_trip.why, "No route to host");
	assert_check(&in, "latency", CHECK_FAIL,
	             "the migration network does not reach 10.78.0.1: No route to host");
	in.round_trip.outcome = ROUND_TRIP_NOT_MEASURED;
	assert_check(&in, "latency", CHECK_FAIL, "not measured: No route to host");
}

/* Huge pages: free ones less promised ones, per node; what was not looked at fails. */
static void test_hugepages(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	assert_check(&in, "hugepages", CHECK_PASS, "the guest uses none");
	vm.hugepage_bytes = 2 * MIB;
	assert_check(&in, "hugepages", CHECK_FAIL, "not measured");
	in.hugepages = (struct hugepage_finding){ .measured = true,
		                                  .free_bytes = 512 * MIB,
		                                  .nodes = 3,
		                                  .node_free_bytes = { 512 * MIB, 0 } };
	assert_check(&in, "hugepages", CHECK_PASS,
	             "512 MiB free in pages of 2 MiB (node0 512 MiB, node1 0 B), 0 B of them "
	             "promised");
	in.hugepages_promised_bytes = 300 * MIB;
	assert_check(&in, "hugepages", CHECK_FAIL,
	             "512 MiB free in pages of 2 MiB (node0 512 MiB, node1 0 B), 300 MiB of them "
	             "promised");
	in.hugepages_promised_bytes = GIB;
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_FAIL);
	in.already_reserved = true;
	assert_check(&in, "hugepages", CHECK_PASS, "reserved for this attempt");
}

static const struct vm_binding on_node_0 = { .nodes = 1 << 0, .bytes = 192 * MIB };
static const struct vm_binding on_node_1 = { .nodes = 1 << 1, .bytes = 64 * MIB };
static const struct vm_binding on_both = { .nodes = 3, .bytes = 64 * MIB };

/* RAM that is bound strictly must fit into its nodes, and what is free elsewhere does not help. */
static void f56_hugepages_of_bound_nodes(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	vm.hugepage_bytes = 2 * MIB;
	vm.bindings[0] = on_node_0;
	vm.bindings[1] = on_node_1;
	vm.n_bindings = 2;
	assert_check(&in, "hugepages", CHECK_FAIL, "not measured");
	in.hugepages = (struct hugepage_finding){ .measured = true,
		                                  .free_bytes = 512 * MIB,
		                                  .nodes = 3,
		                                  .node_free_bytes = { 192 * MIB, 320 * MIB } };
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_PASS);
	in.hugepages.node_free_bytes[0] = 190 * MIB;
	in.hugepages.node_free_bytes[1] = 322 * MIB;
	assert_check(&in, "hugepages", CHECK_FAIL,
	             "NUMA node 0 has 190 MiB free in pages of 2 MiB; 0 B of all are promised");
	assert_string_equal(judged(&in, "hugepages")->required,
	                    "192 MiB in pages of 2 MiB on NUMA node 0");

	/* Pages that somebody holds without a node to their name may come from this one. */
	in.hugepages.node_free_bytes[0] = 192 * MIB;
	in.hugepages.free_bytes = 504 * MIB;
	assert_check(&in, "hugepages", CHECK_FAIL,
	             "NUMA node 0 has 192 MiB free in pages of 2 MiB; 10 MiB of all are promised");
	in.hugepages.node_free_bytes[1] = 312 * MIB;
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_PASS);
	in.hugepages_promised_bytes = 2 * MIB;
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_FAIL);
}

/* Two bindings that share a node do not get its pages twice. */
static void f56_bindings_that_overlap(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	vm.hugepage_bytes = 2 * MIB;
	vm.bindings[0] = on_node_0;
	vm.bindings[1] = on_both;
	vm.n_bindings = 2;
	in.hugepages = (struct hugepage_finding){ .measured = true,
		                                  .free_bytes = 240 * MIB,
		                                  .nodes = 3,
		                                  .node_free_bytes = { 240 * MIB, 0 } };
	assert_check(&in, "hugepages", CHECK_FAIL,
	             "NUMA node 0, 1 has 240 MiB free in pages of 2 MiB; 0 B of all are promised");
	vm.bindings[1].nodes = 1 << 0;
	assert_check(&in, "hugepages", CHECK_FAIL,
	             "NUMA node 0 has 240 MiB free in pages of 2 MiB; 0 B of all are promised");
	in.hugepages.free_bytes = in.hugepages.node_free_bytes[0] = 256 * MIB;
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_PASS);
}

/* A node that is not there fails also without huge pages: QEMU would not start. */
static void f56_node_that_is_missing(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	vm.bindings[0] = on_node_0;
	vm.bindings[1] = on_node_1;
	vm.n_bindings = 2;
	assert_check(&in, "hugepages", CHECK_FAIL, "not measured");
	in.hugepages = (struct hugepage_finding){ .measured = true, .nodes = 1 };
	assert_check(&in, "hugepages", CHECK_FAIL, "there is no NUMA node 1 here");
	in.hugepages.nodes = 3;
	assert_check(&in, "hugepages", CHECK_PASS, "they are here; the guest uses no huge pages");
}

/* Many nodes are named as far as a line reaches; the guest is refused all the same. */
static void f56_many_nodes(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	vm.hugepage_bytes = 2 * MIB;
	vm.bindings[0] = (struct vm_binding){ .nodes = UINT64_MAX << 1, .bytes = 64 * MIB };
	vm.n_bindings = 1;
	in.hugepages = (struct hugepage_finding){ .measured = true, .nodes = 1 };
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_FAIL);
	assert_non_null(strstr(judged(&in, "hugepages")->measured, "no NUMA node 1, 2, 3, 4"));
	vm.n_bindings = 0;
	in.hugepages.nodes = UINT64_MAX;
	for (size_t i = 0; i < HUGEPAGE_NODES_MAX; i++)
		in.hugepages.node_free_bytes[i] = MIB;
	in.hugepages.free_bytes = 64 * MIB;
	assert_int_equal(judged(&in, "hugepages")->verdict, CHECK_FAIL);
	assert_non_null(strstr(judged(&in, "hugepages")->measured, "(node0 1 MiB, node1 1 MiB"));
}

/* A ratio other than one is in the sum that is shown. */
static void test_overcommit_is_shown(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.memory.overcommit_percent = 150;
	in.memory.reserve_bytes = 64 * MIB;
	in.memory.n_reserved = 1;
	in.memory.reserved_bytes = 100 * MIB;
	assert_check(&in, "memory", CHECK_PASS,
	             "1 GiB free: (1 GiB capacity - 64 MiB reserve) x 1.50 - 0 guests 0 B - 1 "
	             "reserved 100 MiB");
}

/* A host with figures that make no sense, or that has just run out of memory, takes nobody; who has a
 * reservation has it. */
static void f58_f59_memory_problem(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.memory_problem = "suspect: MemTotal is -1";
	assert_check(&in, "memory", CHECK_FAIL, "suspect: MemTotal is -1");
	in.already_reserved = true;
	assert_int_equal(judged(&in, "memory")->verdict, CHECK_PASS);
	in = fitting();
	in.memory_problem = "";
	assert_int_equal(judged(&in, "memory")->verdict, CHECK_PASS);
}

/* With what was measured of the path: it counts instead of the link, a tenth stays in reserve, and the text
 * says how it is known, how old it is and how far it may be believed. */
static void test_measured_path(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	in.link.path = (struct path_estimate){ .method = PATH_PROBE,
		                               .capacity_bytes_per_s = 200 * MBIT,
		                               .near_bytes_per_s = 200 * MBIT,
		                               .available_bytes_per_s = 120 * MBIT,
		                               .age_ms = 12000,
		                               .confidence_percent = 90 };
	c = judged(&in, "bandwidth");
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_string_equal(c->measured,
	                    "100 Mbit/s free from host1: 200 Mbit/s path (probe 12.0 s ago, 90 % "
	                    "sure) - 80 Mbit/s other traffic - 10 % reserve");
	in.link.path.available_bytes_per_s = 80 * MBIT;
	c = judged(&in, "bandwidth");
	assert_int_equal(c->verdict, CHECK_FAIL);
	assert_int_equal(admission_bandwidth_share(&in), 60 * MBIT);
}

/* What was promised to other sources is taken off this host's end, not off the way of one more source: a
 * narrow way to a wide host with a wide promise has what it has. */
static void test_promises_are_this_ends(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.link.link_bytes_per_s = 10000 * MBIT;
	in.link.path = (struct path_estimate){ .method = PATH_PROBE,
		                               .capacity_bytes_per_s = 1000 * MBIT,
		                               .near_bytes_per_s = 1000 * MBIT,
		                               .far_bytes_per_s = 1000 * MBIT,
		                               .available_bytes_per_s = 1000 * MBIT,
		                               .age_ms = 12000,
		                               .confidence_percent = 90 };
	in.leases.promised_bytes_per_s = 5000 * MBIT;
	in.leases.taken = 1;
	assert_check(&in, "bandwidth", CHECK_PASS,
	             "900 Mbit/s free from host1: 1 Gbit/s path (probe 12.0 s ago, 90 % sure) - 0 "
	             "bit/s other traffic - 10 % reserve");
	assert_int_equal(admission_bandwidth_share(&in), 500 * MBIT);
	/* When this end is what is short, that is said, with its arithmetic. */
	in.link.other_bytes_per_s = 4000 * MBIT;
	assert_check(&in, "bandwidth", CHECK_FAIL,
	             "0 bit/s free here: 10 Gbit/s link - 4 Gbit/s other traffic - 10 % reserve - "
	             "5 Gbit/s promised to 1");
	/* Counters with the promised moves inside are not taken off twice. */
	in.link.classified = false;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_PASS);
	/* A link of unknown speed has at least what came in over it. */
	in = fitting();
	in.link.path = (struct path_estimate){ .method = PATH_PROBE,
		                               .capacity_bytes_per_s = 1000 * MBIT,
		                               .near_bytes_per_s = 1000 * MBIT,
		                               .available_bytes_per_s = 1000 * MBIT,
		                               .confidence_percent = 90 };
	in.link.link_bytes_per_s = 0;
	in.leases.promised_bytes_per_s = 1000 * MBIT;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_PASS);
	in.link.received_bytes_per_s = 1000 * MBIT;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_FAIL);
	in.link.received_bytes_per_s = 4000 * MBIT;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_PASS);
}

/* A source that claims any rate takes no more of the link in the books than there is of it. */
static void test_claims_take_what_there_is(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.leases.slots = 1;
	in.link.limit_bytes_per_s = UINT64_C(1) << 60;
	assert_int_equal(admission_bandwidth_share(&in), 1000 * MBIT);
	in.link.path = (struct path_estimate){ .method = PATH_PROBE,
		                               .capacity_bytes_per_s = UINT64_C(1) << 60,
		                               .near_bytes_per_s = UINT64_C(1) << 60,
		                               .available_bytes_per_s = UINT64_C(1) << 60,
		                               .confidence_percent = 100 };
	assert_int_equal(admission_bandwidth_share(&in), 900 * MBIT);
	in.link.link_bytes_per_s = 0;
	in.link.received_bytes_per_s = 200 * MBIT;
	assert_int_equal(admission_bandwidth_share(&in), 180 * MBIT);
	in.link.path = (struct path_estimate){ 0 };
	assert_int_equal(admission_bandwidth_share(&in), 200 * MBIT);
}

/* A figure that is not believed refuses nothing: it warns, says why and what to do. */
static void test_unbelieved_path(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	in.link.path = (struct path_estimate){ .method = PATH_HISTORY,
		                               .capacity_bytes_per_s = 20 * MBIT,
		                               .available_bytes_per_s = 20 * MBIT,
		                               .confidence_percent = PATH_BELIEVED_PERCENT - 1,
		                               .why = "it is 400 minutes old" };
	c = judged(&in, "bandwidth");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_non_null(strstr(c->remedy, "it is 400 minutes old"));
	assert_non_null(strstr(c->remedy, "drover probe host1 host2"));
	in.link.path.confidence_percent = PATH_BELIEVED_PERCENT;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_FAIL);
}

/* A device's own word on its speed is a warning with the way to better; an administrator's is taken. */
static void test_claimed_link(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	assert_int_equal(judged(&in, "bandwidth")->verdict, CHECK_PASS);
	in.link.is_claimed = true;
	strcpy(in.link.path.why, "10.78.0.2 port 49154 does not answer");
	c = judged(&in, "bandwidth");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_non_null(strstr(c->remedy, "port 49154 does not answer"));
	assert_non_null(strstr(c->remedy, "migration/link"));
	in.link.path.why[0] = '\0';
	assert_non_null(strstr(judged(&in, "bandwidth")->remedy, "the device's own word: see"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_measured_path),
		cmocka_unit_test(test_promises_are_this_ends),
		cmocka_unit_test(test_claims_take_what_there_is),
		cmocka_unit_test(test_unbelieved_path),
		cmocka_unit_test(test_claimed_link),
		cmocka_unit_test(test_slot),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_bandwidth_not_classified),
		cmocka_unit_test(test_bandwidth_unknown),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_hugepages),
		cmocka_unit_test(f56_hugepages_of_bound_nodes),
		cmocka_unit_test(f56_bindings_that_overlap),
		cmocka_unit_test(f56_node_that_is_missing),
		cmocka_unit_test(f56_many_nodes),
		cmocka_unit_test(test_overcommit_is_shown),
		cmocka_unit_test(f58_f59_memory_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
