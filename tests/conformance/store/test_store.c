/* SPDX-License-Identifier: Apache-2.0 */
/* What every store must do; run over SQLite and over its twin in memory. */
#include "common/alloc.h"
#include "tests/conformance/store/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct caps wide = { .cluster = 100, .outbound = 100, .inbound = 100 };

static struct store_contents load(struct store_bench *bench)
{
	struct store_contents contents;
	struct error err = { 0 };

	if (store_load(bench->store, &contents, &err) < 0)
		fail_msg("%s", err.text);
	return contents;
}

static int put(struct store_bench *bench, uint64_t number, const char *vm, const char *source,
               const char *target, const struct caps *takes)
{
	struct migration_record m = store_bench_migration(number, vm, source, target);

	return store_bench_put(bench, 0, &m, takes);
}

/* A new store is at epoch 0 and holds nothing. */
static void test_new_is_empty(void **state)
{
	struct store_contents contents = load(*state);

	assert_int_equal(contents.epoch, 0);
	assert_int_equal(contents.n_nodes + contents.n_drains + contents.n_migrations +
	                         contents.n_events,
	                 0);
	store_contents_deinit(&contents);
}

/* What was written is what is loaded by the next coordinator, field by field. */
static void test_reload_equals_what_was_stored(void **state)
{
	struct store_bench *bench = *state;
	struct batch *batch = xnew(struct batch);
	struct node_record node = { .cordoned = true,
		                    .maintenance = true,
		                    .drain_number = 4,
		                    .closed_since = 3,
		                    .fenced = true,
		                    .fence_epoch = 17,
		                    .labels_heard = true,
		                    .fenced_wall_ms = 99 };
	struct event_record event = { .revision = 1, .wall_ms = 2, .severity = SEVERITY_ALARM };
	struct migration_record expected = store_bench_migration(41, "web1", "host1", "host2");
	struct drain_record drain = store_bench_drain(4, "host1");
	struct vm_record vm = { .uuid = "7f1d",
		                .name = "web1",
		                .bandwidth_given = true,
		                .max_downtime_given = true,
		                .max_downtime_ms = 9,
		                .by = "root (uid 0)",
		                .wall_ms = 10 };
	struct policy_record policy = { .kind = POLICY_ON,
		                        .soft = true,
		                        .wall_ms = 11,
		                        .violated_wall_ms = 12,
		                        .name = "licence",
		                        .selector = "rack=a,!gpu",
		                        .by = "ann" };
	struct vm_record forgotten = { .uuid = "8f1d", .name = "web2" };
	struct store_contents got;
	struct error err = { 0 };

	text_copy(node.name, sizeof(node.name), "host1");
	text_copy(node.mesh_address, sizeof(node.mesh_address), "tcp://10.0.0.1:7788");
	text_copy(node.reason, sizeof(node.reason), "because");
	text_copy(node.fenced_by, sizeof(node.fenced_by), "root (uid 0)");
	text_copy(node.fenced_reason, sizeof(node.fenced_reason), "it burns");
	text_copy(node.own_labels, sizeof(node.own_labels), "rack=a");
	text_copy(event.subject, sizeof(event.subject), "drain/4");
	text_copy(event.text, sizeof(event.text), "it's \"so\"");
	batch_add(batch, PUT_NODE)->node = node;
	drain_record_copy(&batch_add(batch, PUT_DRAIN)->drain, &drain);
	migration_record_copy(&batch_add(batch, PUT_MIGRATION)->migration, &expected);
	batch_add(batch, PUT_VM)->vm = vm;
	batch_add(batch, PUT_VM)->vm = forgotten;
	names_add(&policy.vms, "7f1d");
	names_add(&policy.vm_names, "o'brien");
	names_add(&policy.nodes, "host1");
	policy_record_copy(&batch_add(batch, PUT_POLICY)->policy, &policy);
	batch_add(batch, PUT_EVENT)->event = event;
	assert_int_equal(store_write(bench->store, batch, &err), 0);
	batch_free(batch);
	store_bench_reopen(bench);

	got = load(bench);
	assert_int_equal(got.n_nodes, 1);
	assert_memory_equal(&got.nodes[0], &node, sizeof(node));
	/* Of a guest with nothing to keep nothing is kept. */
	assert_int_equal(got.n_vms, 1);
	assert_memory_equal(&got.vms[0], &vm, sizeof(vm));
	assert_int_equal(got.n_events, 1);
	assert_memory_equal(&got.events[0], &event, sizeof(event));
	assert_int_equal(got.last_migration_number, 41);
	assert_int_equal(got.last_drain_number, 4);

	assert_int_equal(got.n_policies, 1);
	assert_string_equal(got.policies[0].vms.items[0], "7f1d");
	assert_string_equal(got.policies[0].vm_names.items[0], "o'brien");
	assert_string_equal(got.policies[0].nodes.items[0], "host1");
	policy_record_deinit(&got.policies[0]);
	policy_record_deinit(&policy);
	assert_memory_equal(&got.policies[0], &policy, sizeof(policy));

	assert_int_equal(got.n_drains, 1);
	assert_int_equal(got.drains[0].leave.count, 2);
	assert_string_equal(got.drains[0].leave.items[0], "build7");
	assert_string_equal(got.drains[0].leave.items[1], "o'brien");
	assert_int_equal(got.drains[0].n_shutdowns, SHUTDOWN_PHASES);
	assert_memory_equal(got.drains[0].shutdowns, drain.shutdowns,
	                    SHUTDOWN_PHASES * sizeof(*drain.shutdowns));
	free(got.drains[0].shutdowns);
	free(drain.shutdowns);
	got.drains[0].shutdowns = drain.shutdowns = NULL;
	names_deinit(&got.drains[0].leave);
	names_deinit(&drain.leave);
	assert_memory_equal(&got.drains[0], &drain, sizeof(drain));

	assert_int_equal(got.n_migrations, 1);
	assert_int_equal(got.migrations[0].report.checks.count, 1);
	assert_memory_equal(got.migrations[0].report.checks.items, expected.report.checks.items,
	                    sizeof(struct check));
	assert_int_equal(got.migrations[0].report.leftovers.count, 1);
	assert_string_equal(got.migrations[0].report.leftovers.items[0], "a file");
	assert_int_equal(got.migrations[0].report.progress.transfer_bytes_per_s, 125000000);
	assert_int_equal(got.migrations[0].report.progress.dirty_bytes_per_s, 4096);
	assert_string_equal(got.migrations[0].report.progress.rate_source, "ebpf");
	assert_int_equal(got.migrations[0].report.verification.count, 1);
	assert_string_equal(got.migrations[0].report.verification.items[0].required,
	                    "autostart on");
	assert_int_equal(got.migrations[0].report.verification.items[0].verdict, CHECK_FAIL);
	assert_string_equal(got.migrations[0].report.not_verified, "the guest's clock");
	assert_true(got.migrations[0].settings.stop_off_network);
	assert_true(got.migrations[0].settings.shortest_first);
	assert_int_equal(got.migrations[0].report.held_ms, 4567);
	assert_int_equal(got.migrations[0].report.path.verdict, PATH_ELSEWHERE);
	assert_true(got.migrations[0].report.path.deviated);
	assert_string_equal(got.migrations[0].report.path.text, "it goes over mg0");
	assert_int_equal(got.migrations[0].report.path.n, 1);
	assert_string_equal(got.migrations[0].report.path.interfaces[0].name, "mg0");
	assert_true(got.migrations[0].report.path.interfaces[0].migration);
	assert_int_equal(got.migrations[0].report.path.interfaces[0].wire_bytes, 31);
	assert_int_equal(got.migrations[0].report.path.interfaces[0].percent, 33);
	assert_int_equal(got.migrations[0].report.notes.count, 1);
	assert_string_equal(got.migrations[0].report.notes.items[0], "an image");
	assert_true(remnants_equal(&got.migrations[0].report.remnants, &expected.report.remnants));
	assert_int_equal(got.migrations[0].report.remnants.count, 2);
	attempt_report_deinit(&got.migrations[0].report);
	attempt_report_deinit(&expected.report);
	assert_memory_equal(&got.migrations[0], &expected, sizeof(expected));
	store_contents_deinit(&got);
}

/* A drain that is forgotten is not loaded; its number is not given again; another forgetting is nothing. */
static void test_a_forgotten_drain(void **state)
{
	struct store_bench *bench = *state;
	struct store_contents got;
	struct error err = { 0 };

	for (unsigned round = 0; round < 3; round++) {
		struct batch *batch = xnew(struct batch);

		for (uint64_t n = 1; n <= 3 && round == 0; n++) {
			struct drain_record drain = store_bench_drain(n, "host1");

			batch_add(batch, PUT_DRAIN)->drain = drain;
		}
		if (round > 0)
			batch_add(batch, PUT_FORGET_DRAIN)->forgotten_drain = 2;
		if (round > 0)
			batch_add(batch, PUT_FORGET_DRAIN)->forgotten_drain = 3;
		assert_int_equal(store_write(bench->store, batch, &err), 0);
		batch_free(batch);
	}
	store_bench_reopen(bench);
	got = load(bench);
	assert_int_equal(got.n_drains, 1);
	assert_int_equal(got.drains[0].number, 1);
	assert_int_equal(got.drains[0].leave.count, 2);
	assert_int_equal(got.last_drain_number, 3);
	store_contents_deinit(&got);
}

/* A second write of the same object replaces the first. */
static void test_last_write_wins(void **state)
{
	struct store_bench *bench = *state;
	struct migration_record m = store_bench_migration(1, "web1", "host1", "host2");
	struct store_contents got;

	assert_int_equal(put(bench, 1, "web1", "host1", "host2", NULL), 0);
	m.state = MIGRATION_DONE;
	assert_int_equal(store_bench_put(bench, 0, &m, NULL), 0);
	got = load(bench);
	assert_int_equal(got.n_migrations, 1);
	assert_int_equal(got.migrations[0].state, MIGRATION_DONE);
	store_contents_deinit(&got);
}

static void put_policy(struct store_bench *bench, const char *name, const char *vm, bool removed)
{
	struct policy_record policy = { .kind = POLICY_APART, .removed = removed };
	struct batch *batch = xnew(struct batch);
	struct error err = { 0 };

	text_copy(policy.name, sizeof(policy.name), name);
	names_add(&policy.vms, vm);
	names_add(&policy.vm_names, vm);
	batch_add(batch, PUT_POLICY)->policy = policy;
	assert_int_equal(store_write(bench->store, batch, &err), 0);
	batch_free(batch);
}

/* Policies are loaded by name; the last word on each counts, and one that is removed is gone. */
static void test_policies(void **state)
{
	struct store_bench *bench = *state;
	struct store_contents got;

	put_policy(bench, "web", "web1", false);
	put_policy(bench, "db", "db1", false);
	put_policy(bench, "old", "old1", false);
	put_policy(bench, "web", "web2", false);
	put_policy(bench, "old", "old1", true);
	put_policy(bench, "never", "old1", true);
	store_bench_reopen(bench);
	got = load(bench);
	assert_int_equal(got.n_policies, 2);
	assert_string_equal(got.policies[0].name, "db");
	assert_string_equal(got.policies[1].name, "web");
	assert_int_equal(got.policies[1].vms.count, 1);
	assert_string_equal(got.policies[1].vms.items[0], "web2");
	store_contents_deinit(&got);
}

static int raise_epoch(struct store_bench *bench, uint64_t from, uint64_t to)
{
	struct batch batch = { .epoch = from, .new_epoch = to };
	struct error err = { 0 };

	return store_write(bench->store, &batch, &err);
}

/* Whoever writes with an epoch that is not the store's is refused, and nothing is written. */
static void test_stale_epoch_is_refused(void **state)
{
	struct store_bench *bench = *state;
	struct migration_record m = store_bench_migration(1, "web1", "host1", "host2");
	struct store_contents got;

	assert_int_equal(raise_epoch(bench, 0, 8), 0);
	assert_int_equal(store_bench_put(bench, 7, &m, NULL), -ERROR_STALE);
	m = store_bench_migration(1, "web1", "host1", "host2");
	assert_int_equal(store_bench_put(bench, 9, &m, NULL), -ERROR_STALE);
	assert_int_equal(raise_epoch(bench, 7, 9), -ERROR_STALE);
	got = load(bench);
	assert_int_equal(got.epoch, 8);
	assert_int_equal(got.n_migrations, 0);
	store_contents_deinit(&got);

	m = store_bench_migration(1, "web1", "host1", "host2");
	assert_int_equal(store_bench_put(bench, 8, &m, NULL), 0);
}

/* Slots are counted by the store itself: per cluster, per source, per target. */
static void test_caps_hold(void **state)
{
	struct store_bench *bench = *state;
	struct caps outbound = { .cluster = 9, .outbound = 1, .inbound = 9 };
	struct caps inbound = { .cluster = 9, .outbound = 9, .inbound = 1 };
	struct caps cluster = { .cluster = 2, .outbound = 9, .inbound = 9 };

	assert_int_equal(put(bench, 1, "vm1", "host1", "host2", &outbound), 0);
	assert_int_equal(put(bench, 2, "vm2", "host1", "host3", &outbound), -ERROR_BUSY);
	assert_int_equal(put(bench, 2, "vm2", "host3", "host2", &inbound), -ERROR_BUSY);
	/* The other direction is another slot. */
	assert_int_equal(put(bench, 2, "vm2", "host2", "host1", &outbound), 0);
	assert_int_equal(put(bench, 3, "vm3", "host4", "host5", &cluster), -ERROR_BUSY);
}

/* A migration that takes its slot again (a new attempt) does not count itself. */
static void test_own_slot_is_not_counted(void **state)
{
	struct store_bench *bench = *state;
	struct caps one = { .cluster = 1, .outbound = 1, .inbound = 1 };

	assert_int_equal(put(bench, 1, "vm1", "host1", "host2", &one), 0);
	assert_int_equal(put(bench, 1, "vm1", "host1", "host3", &one), 0);
	assert_int_equal(put(bench, 2, "vm2", "host1", "host3", &one), -ERROR_BUSY);
}

/* A batch is all or nothing: one slot too many, and none of it is there. */
static void test_batch_is_atomic(void **state)
{
	struct store_bench *bench = *state;
	struct caps one = { .cluster = 9, .outbound = 1, .inbound = 9 };
	struct batch *batch = xnew(struct batch);
	struct store_contents got;
	struct error err = { 0 };

	batch->new_epoch = 5;
	text_copy(batch_add(batch, PUT_NODE)->node.name, NODE_NAME_BYTES, "host1");
	for (uint64_t i = 1; i <= 2; i++) {
		struct put *p = batch_add(batch, PUT_MIGRATION);

		p->migration = store_bench_migration(i, i == 1 ? "vm1" : "vm2", "host1", "host2");
		p->migration.holds_slot = p->takes_slot = true;
		p->caps = one;
	}
	assert_int_equal(store_write(bench->store, batch, &err), -ERROR_BUSY);
	assert_non_null(strstr(err.text, "1 of 1 outbound slots of host1"));
	batch_free(batch);
	got = load(bench);
	assert_int_equal(got.epoch, 0);
	assert_int_equal(got.n_nodes + got.n_migrations, 0);
	store_contents_deinit(&got);
}

/* One that is prepared ahead takes no slot of those that move, but a place at its destination and one of
 * those that may be prepared at its source; when it is let go it takes a slot as any other. */
static void test_prepared_ahead(void **state)
{
	struct store_bench *bench = *state;
	struct caps caps = { .cluster = 2, .outbound = 1, .inbound = 2, .preparing = 1 };
	struct migration_record m;
	struct store_contents got;

	assert_int_equal(put(bench, 1, "vm1", "host1", "host2", &caps), 0);
	m = store_bench_migration(2, "vm2", "host1", "host2");
	m.preparing = true;
	assert_int_equal(store_bench_put(bench, 0, &m, &caps), 0);
	got = load(bench);
	assert_true(got.n_migrations == 2 && got.migrations[1].preparing);
	assert_true(got.migrations[1].holds_slot && !got.migrations[0].preparing);
	store_contents_deinit(&got);

	/* A second one of that source; one of another source whose destination is full. */
	m = store_bench_migration(3, "vm3", "host1", "host3");
	m.preparing = true;
	assert_int_equal(store_bench_put(bench, 0, &m, &caps), -ERROR_BUSY);
	m = store_bench_migration(3, "vm3", "host3", "host2");
	m.preparing = true;
	assert_int_equal(store_bench_put(bench, 0, &m, &caps), -ERROR_BUSY);
	/* What moves is not kept off by it. */
	assert_int_equal(put(bench, 4, "vm4", "host3", "host1", &caps), 0);

	/* No slot is free at its source; then one is. */
	assert_int_equal(put(bench, 2, "vm2", "host1", "host2", &caps), -ERROR_BUSY);
	m = store_bench_migration(1, "vm1", "host1", "host2");
	m.state = MIGRATION_DONE;
	assert_int_equal(store_bench_put(bench, 0, &m, NULL), 0);
	assert_int_equal(put(bench, 2, "vm2", "host1", "host2", &caps), 0);
}

/* In one batch a slot may be freed and taken by another. */
static void test_free_and_take_in_one_batch(void **state)
{
	struct store_bench *bench = *state;
	struct caps one = { .cluster = 1, .outbound = 1, .inbound = 1 };
	struct batch *batch = xnew(struct batch);
	struct error err = { 0 };
	struct put *p;

	assert_int_equal(put(bench, 1, "vm1", "host1", "host2", &one), 0);
	p = batch_add(batch, PUT_MIGRATION);
	p->migration = store_bench_migration(1, "vm1", "host1", "host2");
	p->migration.state = MIGRATION_DONE;
	p = batch_add(batch, PUT_MIGRATION);
	p->migration = store_bench_migration(2, "vm2", "host1", "host2");
	p->migration.holds_slot = p->takes_slot = true;
	p->caps = one;
	assert_int_equal(store_write(bench->store, batch, &err), 0);
	batch_free(batch);
}

/* A guest has at most one migration that is not over. */
static void test_one_migration_per_vm(void **state)
{
	struct store_bench *bench = *state;
	struct migration_record m = store_bench_migration(1, "vm1", "host1", "host2");

	assert_int_equal(put(bench, 1, "vm1", "host1", "host2", NULL), 0);
	assert_int_equal(put(bench, 2, "vm1", "host1", "host3", &wide), -ERROR_EXISTS);
	m.state = MIGRATION_FAILED;
	assert_int_equal(store_bench_put(bench, 0, &m, NULL), 0);
	assert_int_equal(put(bench, 2, "vm1", "host1", "host3", &wide), 0);
}

/* History is read backwards, in pages. */
static void test_history_newest_first(void **state)
{
	struct store_bench *bench = *state;
	struct store_contents got;
	struct error err = { 0 };
	char vm[16];

	for (uint64_t i = 1; i <= 5; i++) {
		snprintf(vm, sizeof(vm), "vm%d", (int)i);
		assert_int_equal(put(bench, i, vm, "host1", "host2", NULL), 0);
	}
	assert_int_equal(store_list_migrations(bench->store, 0, 2, &got, &err), 0);
	assert_int_equal(got.n_migrations, 2);
	assert_int_equal(got.migrations[0].number, 5);
	assert_int_equal(got.migrations[1].number, 4);
	store_contents_deinit(&got);
	assert_int_equal(store_list_migrations(bench->store, 2, 10, &got, &err), 0);
	assert_int_equal(got.n_migrations, 1);
	assert_int_equal(got.migrations[0].number, 1);
	store_contents_deinit(&got);
}

/* A store that is open cannot be opened by anybody else. */
static void test_one_owner(void **state)
{
	struct store_bench *bench = *state;
	struct store *second = NULL;
	struct error err = { 0 };

	assert_int_equal(store_bench_open(bench, &second, &err), -ERROR_BUSY);
	assert_null(second);
	assert_non_null(strstr(err.text, "in use"));
}

#define BOTH(test, twin) \
	cmocka_unit_test_setup_teardown(test, store_bench_setup_##twin, store_bench_teardown)
#define SUITE(twin)                                                                                \
	{                                                                                          \
		BOTH(test_new_is_empty, twin), BOTH(test_reload_equals_what_was_stored, twin),     \
			BOTH(test_last_write_wins, twin), BOTH(test_stale_epoch_is_refused, twin), \
			BOTH(test_caps_hold, twin), BOTH(test_own_slot_is_not_counted, twin),      \
			BOTH(test_a_forgotten_drain, twin), BOTH(test_batch_is_atomic, twin),      \
			BOTH(test_prepared_ahead, twin),                                           \
			BOTH(test_free_and_take_in_one_batch, twin),                               \
			BOTH(test_one_migration_per_vm, twin),                                     \
			BOTH(test_history_newest_first, twin), BOTH(test_policies, twin),          \
			BOTH(test_one_owner, twin),                                                \
	}

int main(void)
{
	const struct CMUnitTest sqlite[] = SUITE(sqlite);
	const struct CMUnitTest memory[] = SUITE(memory);
	int failed = cmocka_run_group_tests_name("store_sqlite", sqlite, NULL, NULL);

	return failed + cmocka_run_group_tests_name("store_memory", memory, NULL, NULL);
}
