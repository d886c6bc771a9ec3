/* SPDX-License-Identifier: Apache-2.0 */
/* What questions get of a coordinator over the in-process mesh: the fleet, capacity, places, explanations,
 * lists. */
#include "tests/unit/coordinator_bench.h"

#include "common/log.h"
#include "common/units.h"
#include "proto/coordinator.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A viewer gets the whole fleet, in parts where it is large: each guest once, the header in the first
 * part only, and a place in the document that there is not is refused. */
static void test_export(void **state)
{
	Drover__V1__ExportRequest r = DROVER__V1__EXPORT_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	size_t nodes = 0, vms = 0, parts = 0;
	char next[64] = "";

	(void)state;
	bench_see_host(b, "host1", 12000);
	bench_see_host(b, "host2", 0);
	do {
		const Drover__V1__FleetState *m;

		r.from = next;
		m = bench_ask(b, "drover.v1.Coordinator/Export", &r.base);
		assert_non_null(m);
		assert_int_equal(m->format, 2);
		assert_string_equal(m->cluster, "test");
		assert_int_equal(m->limits != NULL, parts == 0);
		if (parts == 0 && m->limits) {
			assert_int_equal(m->limits->cluster, 5);
			assert_int_equal(m->limits->outbound, 2);
			assert_true(m->n_sources > 0);
		}
		nodes += m->n_nodes;
		vms += m->n_vms;
		parts++;
		snprintf(next, sizeof(next), "%s", m->next);
		bench_forget(b);
		assert_true(parts < 20);
	} while (next[0]);
	assert_int_equal(nodes, 2);
	assert_int_equal(vms, 12000);
	assert_true(parts > 1);
	r.from = (char *)"vms/-1";
	assert_null(bench_ask(b, "drover.v1.Coordinator/Export", &r.base));
	assert_int_equal(b->status, MESH_INVALID_ARGUMENT);
	bench_free(b);
}

/* Of one host and of two; a no has its proof and what would help; an unknown name is not found. */
static void test_capacity(void **state)
{
	Drover__V1__CapacityRequest r = DROVER__V1__CAPACITY_REQUEST__INIT;
	char *both[] = { (char *)"host1", (char *)"host2" }, *wrong[] = { (char *)"host9" };
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__Capacity *m;

	(void)state;
	bench_see_host(b, "host1", 10);
	bench_see_host(b, "host2", 20);
	r.guest_memory_bytes = GIB;
	m = bench_ask(b, "drover.v1.Coordinator/GetCapacity", &r.base);
	assert_non_null(m);
	assert_int_equal(m->n_nodes, 2);
	assert_string_equal(m->nodes[0]->verdict, "yes");
	assert_int_equal(m->nodes[0]->guests, 10);
	assert_int_equal(m->largest->n_nodes, 1);
	assert_true(m->exact);
	assert_string_equal(m->fullest, "host2");
	assert_int_equal(m->fullest_bytes, 20 * 64 * MIB);
	assert_int_equal(m->rule_nodes, (16 * GIB - 30 * 64 * MIB) / (20 * 64 * MIB));
	assert_int_equal(m->room->guests, 6 + 6);
	bench_forget(b);
	r.nodes = both;
	r.n_nodes = 2;
	m = bench_ask(b, "drover.v1.Coordinator/GetCapacity", &r.base);
	assert_non_null(m);
	assert_string_equal(m->together->verdict, "no");
	assert_string_equal(m->together->proof->kind, "no-place");
	assert_string_equal(m->nodes[1]->verdict, "yes");
	assert_int_equal(m->nodes[1]->n_placed, 20);
	assert_string_equal(m->nodes[1]->placed[0]->target, "host1");
	bench_forget(b);
	r.nodes = wrong;
	r.n_nodes = 1;
	assert_null(bench_ask(b, "drover.v1.Coordinator/GetCapacity", &r.base));
	assert_int_equal(b->status, MESH_NOT_FOUND);
	bench_free(b);
}

/* A node whose agent does not know yet that it takes guests is named as the one in the way. */
static void test_capacity_of_one_just_opened(void **state)
{
	Drover__V1__CapacityRequest r = DROVER__V1__CAPACITY_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__Capacity *m;
	struct node *opened;

	(void)state;
	bench_see_host(b, "host1", 2);
	bench_see_host(b, "host2", 0);
	opened = fleet_find_node(b->coordinator->fleet, "host2");
	opened->mark_known = opened->mark.cordoned = true;
	m = bench_ask(b, "drover.v1.Coordinator/GetCapacity", &r.base);
	assert_non_null(m);
	assert_string_equal(m->nodes[0]->verdict, "no");
	assert_string_equal(m->nodes[0]->proof->nodes[0]->check, "marked");
	bench_forget(b);
	bench_free(b);
}

/* The roomiest host, every host with its verdict; as large as another guest; without a size it is
 * refused. */
static void test_place(void **state)
{
	Drover__V1__PlaceRequest r = DROVER__V1__PLACE_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__PlaceReply *m;

	(void)state;
	bench_see_host(b, "host1", 100);
	bench_see_host(b, "host2", 20);
	assert_null(bench_ask(b, "drover.v1.Coordinator/Place", &r.base));
	assert_int_equal(b->status, MESH_INVALID_ARGUMENT);
	r.memory_bytes = 4 * GIB;
	r.vcpus = 4;
	m = bench_ask(b, "drover.v1.Coordinator/Place", &r.base);
	assert_non_null(m);
	assert_string_equal(m->node, "host2");
	assert_int_equal(m->n_nodes, 2);
	assert_true(m->nodes[0]->fits && !m->nodes[1]->fits);
	assert_true(m->need_bytes > 4 * GIB && m->need_bytes == 4 * GIB + m->overhead_bytes);
	assert_int_equal(m->nodes[1]->missing_bytes, m->need_bytes - m->nodes[1]->room_bytes);
	bench_forget(b);
	r = (Drover__V1__PlaceRequest)DROVER__V1__PLACE_REQUEST__INIT;
	r.like = (char *)"host2-vm0";
	m = bench_ask(b, "drover.v1.Coordinator/Place", &r.base);
	assert_non_null(m);
	assert_int_equal(m->need_bytes, 64 * MIB);
	assert_int_equal(m->vcpus, 1);
	bench_forget(b);
	r.like = (char *)"nobody";
	assert_null(bench_ask(b, "drover.v1.Coordinator/Place", &r.base));
	assert_int_equal(b->status, MESH_NOT_FOUND);
	bench_free(b);
}

/* Of a guest: where it is, how it writes, and what it needs to converge; before any destination. */
static void test_explain_guest(void **state)
{
	Drover__V1__ExplainRequest r = DROVER__V1__EXPLAIN_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__Explanation *m;
	size_t first;

	(void)state;
	bench_see_host(b, "host1", 1);
	r.kind = (char *)"vm";
	r.name = (char *)"host1-vm0";
	m = bench_ask(b, "drover.v1.Coordinator/Explain", &r.base);
	assert_non_null(m);
	for (first = 0; first < m->n_lines; first++) {
		if (strncmp(m->lines[first], "it is on", 8) == 0)
			break;
	}
	assert_true(first + 2 < m->n_lines);
	assert_string_equal(m->lines[first], "it is on host1: running, 64 MiB, 1 vCPU, transient");
	assert_non_null(strstr(m->lines[first + 1],
	                       "48 MiB in use, writes to 3 MiB in 1 s, 8 MiB in 4 s (measured "));
	assert_memory_equal(m->lines[first + 2], "it converges to a pause of ", 27);
	assert_non_null(strstr(m->lines[first + 2], "Mbit/s on"));
	bench_forget(b);
	bench_free(b);
}

/* A blocked drain is explained: the proof in words, and what would help. */
static void test_explain_blocked_drain(void **state)
{
	Drover__V1__ExplainRequest r = DROVER__V1__EXPLAIN_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	struct event drain = { .kind = EVENT_DRAIN, .request = 2000000 };
	struct event cordon = { .kind = EVENT_CORDON, .request = 2000001 };
	const Drover__V1__Explanation *m;
	struct names none = { 0 };

	(void)state;
	bench_see_host(b, "host1", 2);
	bench_see_host(b, "host2", 0);
	cordon.node.node = "host2";
	cordon.node.reason = "";
	coordinator_step(b->coordinator, &cordon);
	drain.drain.node = "host1";
	drain.drain.leave = &none;
	drain.drain.reason = "";
	coordinator_step(b->coordinator, &drain);
	r.kind = (char *)"drain";
	r.name = (char *)"1";
	m = bench_ask(b, "drover.v1.Coordinator/Explain", &r.base);
	assert_non_null(m);
	assert_true(m->n_lines >= 3);
	assert_string_equal(m->lines[0], "blocked, proved: host1-vm0 (64 MiB) has no place: host2 "
	                                 "cordoned");
	assert_string_equal(m->lines[1], "  host2 cordoned");
	assert_string_equal(m->lines[2], "what would help: uncordon host2");
	bench_forget(b);
	bench_free(b);
}

/* Who asks for the migrations of a node gets those that still wait to go there, too: the newest first. The
 * core's own order is left alone: by it the oldest are forgotten first. */
static void test_list_waiting(void **state)
{
	Drover__V1__ListRequest r = DROVER__V1__LIST_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__MigrationList *m;
	size_t waiting = 0;

	(void)state;
	bench_see_host(b, "host1", 3);
	bench_see_host(b, "host2", 0);
	for (unsigned i = 0; i < 3; i++) {
		char vm[] = "host1-vm0";
		struct event migrate = { .kind = EVENT_MIGRATE, .request = 3000000 + i };

		vm[sizeof(vm) - 2] = (char)('0' + i);
		migrate.migrate.vm = vm;
		migrate.migrate.target = "host2";
		migrate.migrate.by = "somebody";
		migrate.migrate.request_id.bytes[0] = (uint8_t)(i + 1);
		coordinator_step(b->coordinator, &migrate);
	}
	r.node = (char *)"host2";
	m = bench_ask(b, "drover.v1.Coordinator/ListMigrations", &r.base);
	assert_non_null(m);
	assert_int_equal(m->n_migrations, 3);
	for (size_t i = 0; i < m->n_migrations; i++)
		waiting += !m->migrations[i]->target[0];
	assert_true(waiting > 0);
	assert_int_equal(m->migrations[0]->number, 3);
	assert_int_equal(b->coordinator->fleet->migrations->kept.number, 1);
	bench_forget(b);
	r.node = (char *)"host3";
	m = bench_ask(b, "drover.v1.Coordinator/ListMigrations", &r.base);
	assert_non_null(m);
	assert_int_equal(m->n_migrations, 0);
	bench_forget(b);
	bench_free(b);
}

/* The id of a dry run explains the plan: each move with its reasons, and how good the order is. One that
 * nobody made is not found. */
static void test_explain_plan(void **state)
{
	Drover__V1__DrainRequest drain = DROVER__V1__DRAIN_REQUEST__INIT;
	Drover__V1__ExplainRequest r = DROVER__V1__EXPLAIN_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_OPERATOR, "ops");
	const Drover__V1__Explanation *m;
	const Drover__V1__DrainReply *dry;
	char id[32];

	(void)state;
	bench_see_host(b, "host1", 3);
	bench_see_host(b, "host2", 0);
	drain.node = (char *)"host1";
	drain.dry_run = true;
	dry = bench_ask(b, "drover.v1.Coordinator/Drain", &drain.base);
	assert_non_null(dry);
	assert_string_not_equal(dry->plan_id, "");
	snprintf(id, sizeof(id), "%s", dry->plan_id);
	bench_forget(b);
	r.kind = (char *)"plan";
	r.name = id;
	m = bench_ask(b, "drover.v1.Coordinator/Explain", &r.base);
	assert_non_null(m);
	assert_non_null(m->plan);
	assert_true(m->plan->holds);
	assert_string_equal(m->plan->id, id);
	assert_int_equal(m->plan->drain->n_vms, 3);
	assert_string_equal(m->plan->drain->vms[0]->target, "host2");
	assert_int_equal(m->plan->drain->vms[0]->could, 1);
	assert_string_not_equal(m->plan->drain->vms[0]->turn_why, "");
	assert_true(m->plan->drain->bound->planned_ms >= m->plan->drain->bound->least_ms);
	bench_forget(b);
	r.name = (char *)"ffffffffffffffff";
	assert_null(bench_ask(b, "drover.v1.Coordinator/Explain", &r.base));
	assert_int_equal(b->status, MESH_NOT_FOUND);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_capacity_of_one_just_opened),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_explain_guest),
		cmocka_unit_test(test_explain_blocked_drain),
		cmocka_unit_test(test_list_waiting),
		cmocka_unit_test(test_explain_plan),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
