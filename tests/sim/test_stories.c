/* SPDX-License-Identifier: Apache-2.0 */
/* What a drain does, told as timed traces.
 *
 * Worlds without random faults and with fixed delays: 1 ms to the store, 5 ms to an agent, 2 ms
 * from one; 256 MiB move in a second. What happens is the assertion; times are milliseconds since
 * the coordinator was started.
 */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct story {
	struct sim *sim;
	char *text;
	size_t bytes;
};

static struct story story_new(unsigned hosts, uint64_t capacity_bytes)
{
	struct story story = { .sim = sim_new(1, NULL) };

	for (unsigned i = 0; i < hosts; i++) {
		char name[16];

		snprintf(name, sizeof(name), "host%u", i + 1);
		sim_add_host(story.sim, name, capacity_bytes);
	}
	return story;
}

/* From here on everything is written down. */
static void story_start(struct story *story)
{
	sim_agents_start(story->sim);
	sim_coordinator_start(story->sim);
	sim_run(story->sim, 2500, NULL);
	story->sim->trace = open_memstream(&story->text, &story->bytes);
	assert_non_null(story->sim->trace);
}

static void story_end(struct story *story, const char *expected)
{
	if (story->sim->broken)
		fail_msg("broken: %s: %s", story->sim->broken, story->sim->broken_text);
	fclose(take_pointer(story->sim->trace));
	sim_free(story->sim);
	if (strcmp(story->text, expected) != 0) {
		fprintf(stderr, "--- told ---\n%s--- expected ---\n%s", story->text, expected);
		free(story->text);
		fail();
	}
	free(story->text);
}

/* A drain moves the largest guest and, beside it, the others from the smallest on; it ends when the
 * host has counted none. */
static void test_drain_empties_a_host(void **state)
{
	struct story story = story_new(3, 4 * GIB);

	(void)state;
	sim_add_vm(story.sim, "small", 0, 256 * MIB);
	sim_add_vm(story.sim, "big", 0, 1024 * MIB);
	sim_add_vm(story.sim, "middle", 0, 512 * MIB);
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	sim_run(story.sim, 20000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] coordinator drain/1: host1: 3 guests, 2 at a time\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2501] coordinator start migration/2 attempt 1 at host1\n"
		  "[   2501] coordinator mark host1: draining, cordoned\n"
		  "[   2518] coordinator migration/1: big: host1 -> host2 started\n"
		  "[   2518] coordinator migration/2: small: host1 -> host3 started\n"
		  "[   4068] coordinator migration/2: small: host1 -> host3 done in 1.6 s, downtime 50 ms, verified 1/1\n"
		  "[   4069] coordinator start migration/3 attempt 1 at host1\n"
		  "[   4086] coordinator migration/3: middle: host1 -> host3 started\n"
		  "[   6636] coordinator migration/3: middle: host1 -> host3 done in 2.5 s, downtime 50 ms, verified 1/1\n"
		  "[   7068] coordinator migration/1: big: host1 -> host2 done in 4.5 s, downtime 50 ms, verified 1/1\n"
		  "[   7068] coordinator mark host1: draining, cordoned\n"
		  "[   7073] coordinator drain/1: completed: host1 is empty: 3 moved\n"
		  "[   7074] coordinator mark host1: not draining, cordoned\n");
	/* clang-format on */
}

/* Room for one of two guests: one goes, the other says what it lacks, and goes when there is. */
static void test_room_for_one_of_two(void **state)
{
	struct story story = story_new(2, 1 * GIB);
	struct drain_vm *dv;

	(void)state;
	sim_add_vm(story.sim, "web1", 0, 256 * MIB);
	sim_add_vm(story.sim, "web2", 0, 256 * MIB);
	sim_add_vm(story.sim, "other", 1, 512 * MIB);
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	sim_run(story.sim, 10000, NULL);
	dv = drain_find_vm(fleet_find_drain(story.sim->fleet, 1), story.sim->vms[1].uuid);
	assert_string_equal(dv->reason, "no destination: host2 112 MiB short of memory");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	sim_trace(story.sim, "world", "host2 gets more memory");
	story.sim->hosts[1].capacity_bytes = 2 * GIB;
	sim_run(story.sim, 10000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] coordinator drain/1: host1: 2 guests, 2 at a time\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2501] coordinator mark host1: draining, cordoned\n"
		  "[   2518] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   4068] coordinator migration/1: web1: host1 -> host2 done in 1.6 s, downtime 50 ms, verified 1/1\n"
		  "[   4068] coordinator drain/1: blocked: 1 blocked: web2: no destination: host2 112 MiB short of memory\n"
		  "[  12500] world       host2 gets more memory\n"
		  "[  13003] coordinator start migration/2 attempt 1 at host1\n"
		  "[  13020] coordinator migration/2: web2: host1 -> host2 started\n"
		  "[  14570] coordinator migration/2: web2: host1 -> host2 done in 1.6 s, downtime 50 ms, verified 1/1\n"
		  "[  14570] coordinator mark host1: draining, cordoned\n"
		  "[  14575] coordinator drain/1: completed: host1 is empty: 2 moved\n"
		  "[  14576] coordinator mark host1: not draining, cordoned\n");
	/* clang-format on */
}

/* Killed between the transaction and the order: the next coordinator asks, and starts anew. */
static void test_coordinator_dies_before_the_start(void **state)
{
	struct story story = story_new(2, 4 * GIB);

	(void)state;
	sim_add_vm(story.sim, "web1", 0, 256 * MIB);
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	story.sim->crash_after_write = true;
	sim_trace(story.sim, "world", "kill -9 of the coordinator");
	sim_coordinator_crash(story.sim);
	sim_run(story.sim, 20000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] coordinator drain/1: host1: 1 guests, 2 at a time\n"
		  "[   2500] world       kill -9 of the coordinator\n"
		  "[   4500] coordinator coordinator/sim: started, epoch 2: 2 nodes, 1 migrations under way, 1 drains\n"
		  "[   4505] coordinator node/host1: host1 is draining\n"
		  "[   4505] coordinator probe migration/1 attempt 1 at host1\n"
		  "[   4505] coordinator node/host2: host2 is ready\n"
		  "[   4507] coordinator mark host1: draining, cordoned\n"
		  "[   4511] coordinator start migration/1 attempt 2 at host1\n"
		  "[   4528] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   6078] coordinator migration/1: web1: host1 -> host2 done in 1.6 s, downtime 50 ms, verified 1/1\n"
		  "[   6078] coordinator mark host1: draining, cordoned\n"
		  "[   6083] coordinator drain/1: completed: host1 is empty: 1 moved\n"
		  "[   6084] coordinator mark host1: not draining, cordoned\n");
	/* clang-format on */
}

/* Killed in mid-copy: the copy goes on, and the next coordinator finds it and starts nothing. */
static void test_coordinator_dies_in_mid_copy(void **state)
{
	struct story story = story_new(2, 4 * GIB);

	(void)state;
	sim_add_vm(story.sim, "web1", 0, 1024 * MIB);
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	sim_run(story.sim, 1500, NULL);
	sim_trace(story.sim, "world", "kill -9 of the coordinator");
	sim_coordinator_crash(story.sim);
	sim_run(story.sim, 20000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] coordinator drain/1: host1: 1 guests, 2 at a time\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2501] coordinator mark host1: draining, cordoned\n"
		  "[   2518] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   4000] world       kill -9 of the coordinator\n"
		  "[   6000] coordinator coordinator/sim: started, epoch 2: 2 nodes, 1 migrations under way, 1 drains\n"
		  "[   6005] coordinator node/host1: host1 is draining\n"
		  "[   6005] coordinator probe migration/1 attempt 1 at host1\n"
		  "[   6005] coordinator node/host2: host2 is ready\n"
		  "[   7068] coordinator migration/1: web1: host1 -> host2 done in 4.5 s, downtime 50 ms, verified 1/1\n"
		  "[   7068] coordinator mark host1: draining, cordoned\n"
		  "[   7073] coordinator drain/1: completed: host1 is empty: 1 moved\n"
		  "[   7074] coordinator mark host1: not draining, cordoned\n");
	/* clang-format on */
}

/* A silent source agent makes its migration unresolved, never failed; its return resolves it. */
static void test_source_agent_is_silent(void **state)
{
	struct story story = story_new(2, 8 * GIB);

	(void)state;
	sim_add_vm(story.sim, "db1", 0, 4096 * MIB);
	story_start(&story);
	sim_migrate(story.sim, "db1", "host2");
	sim_run(story.sim, 2000, NULL);
	sim_agent_die(story.sim, 0, 25000);
	sim_run(story.sim, 40000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    migrate db1 host2\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2518] coordinator migration/1: db1: host1 -> host2 started\n"
		  "[   4500] host1       agent dies\n"
		  "[  15000] coordinator node/host1: host1 is unreachable: its agent has said nothing for 10 s\n"
		  "[  15000] coordinator migration/1: db1: unresolved: host1 is silent: the migration goes on without us\n"
		  "[  29500] host1       agent is back\n"
		  "[  29505] coordinator node/host1: host1 is ready\n"
		  "[  29505] coordinator probe migration/1 attempt 1 at host1\n"
		  "[  29507] coordinator migration/1: db1: host1 -> host2 done in 16.6 s, downtime 50 ms, verified 1/1\n");
	/* clang-format on */
}

/* The whole store is lost: the drained host still knows its drain, its agent the migration. */
static void test_store_is_lost(void **state)
{
	struct story story = story_new(2, 8 * GIB);

	(void)state;
	sim_add_vm(story.sim, "web1", 0, 1024 * MIB);
	sim_add_vm(story.sim, "web2", 0, 512 * MIB);
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	sim_run(story.sim, 2500, NULL);
	sim_trace(story.sim, "world", "the coordinator's disk burns");
	sim_coordinator_crash(story.sim);
	store_memory_disk_free(story.sim->disk);
	story.sim->disk = store_memory_disk_new();
	sim_run(story.sim, 20000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] coordinator drain/1: host1: 2 guests, 2 at a time\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2501] coordinator start migration/2 attempt 1 at host1\n"
		  "[   2501] coordinator mark host1: draining, cordoned\n"
		  "[   2518] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   2518] coordinator migration/2: web2: host1 -> host2 started\n"
		  "[   5000] world       the coordinator's disk burns\n"
		  "[   7000] coordinator coordinator/sim: started, epoch 1: 0 nodes, 0 migrations under way, 0 drains\n"
		  "[   7005] coordinator coordinator/sim: host1 obeyed epoch 1 in another life of the store; this is epoch 2 now\n"
		  "[   7005] coordinator node/host1: host1 is ready\n"
		  "[   7005] coordinator node/host1: host1 joined from tcp://host1:7788\n"
		  "[   7005] coordinator node/host2: host2 is ready\n"
		  "[   7005] coordinator node/host2: host2 joined from tcp://host2:7788\n"
		  "[   7008] coordinator drain/1: host1 was being drained and the store does not know it; the drain goes on\n"
		  "[   7008] coordinator migration/1: web1: a migration host1 -> host2 was under way that the store does not know; adopted\n"
		  "[   7008] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   7068] coordinator migration/1: web1: host1 -> host2 done in 4.5 s, downtime 50 ms, verified 1/1\n"
		  "[   7068] coordinator mark host1: draining, cordoned\n"
		  "[   7073] coordinator drain/1: completed: host1 is empty: 1 moved\n"
		  "[   7074] coordinator mark host1: not draining, cordoned\n");
	/* clang-format on */
}

/* A guest that cannot move: the drain refuses beforehand; with --leave it ends "partly". */
static void test_immovable_guest(void **state)
{
	struct story story = story_new(2, 8 * GIB);

	(void)state;
	sim_add_vm(story.sim, "web1", 0, 256 * MIB);
	story.sim->vms[sim_add_vm(story.sim, "build7", 0, 256 * MIB)].immovable = true;
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	assert_true(story.sim->last_reply->refused);
	assert_string_equal(story.sim->last_reply->refusal,
	                    "host1 cannot be emptied:\n"
	                    "  build7 cannot move: HostDeviceNotLiveMigratable: PCI 0000:3b:00.0\n"
	                    "to go on and leave what cannot move: "
	                    "drover drain host1 --leave build7, or --unmovable leave; "
	                    "to shut down instead: --shutdown build7");
	assert_int_equal(fleet_find_node(story.sim->fleet, "host1")->state, NODE_READY);
	sim_drain(story.sim, "host1", "build7", false);
	sim_run(story.sim, 20000, NULL);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] operator    drain host1 --leave build7\n"
		  "[   2500] coordinator drain/1: host1: 2 guests, 2 at a time\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2501] coordinator mark host1: draining, cordoned\n"
		  "[   2518] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   4068] coordinator migration/1: web1: host1 -> host2 done in 1.6 s, downtime 50 ms, verified 1/1\n"
		  "[   4068] coordinator mark host1: draining, cordoned\n"
		  "[   4073] coordinator drain/1: partly: 1 moved, 1 left on host1\n"
		  "[   4074] coordinator mark host1: not draining, cordoned\n");
	/* clang-format on */
}

/* A cancelled drain starts nothing more; what moves is let through. */
static void test_cancelled_drain(void **state)
{
	struct story story = story_new(2, 8 * GIB);

	(void)state;
	sim_add_vm(story.sim, "web1", 0, 256 * MIB);
	sim_add_vm(story.sim, "web2", 0, 256 * MIB);
	sim_add_vm(story.sim, "web3", 0, 256 * MIB);
	story_start(&story);
	sim_drain(story.sim, "host1", NULL, false);
	sim_run(story.sim, 500, NULL);
	sim_cancel(story.sim, "drain", "1");
	sim_run(story.sim, 20000, NULL);
	assert_int_equal(sim_host_count_guests(story.sim, 0), 1);
	/* clang-format off */
	story_end(&story,
		  "[   2500] operator    drain host1\n"
		  "[   2500] coordinator drain/1: host1: 3 guests, 2 at a time\n"
		  "[   2501] coordinator start migration/1 attempt 1 at host1\n"
		  "[   2501] coordinator start migration/2 attempt 1 at host1\n"
		  "[   2501] coordinator mark host1: draining, cordoned\n"
		  "[   2518] coordinator migration/1: web1: host1 -> host2 started\n"
		  "[   2518] coordinator migration/2: web2: host1 -> host2 started\n"
		  "[   3000] operator    cancel drain/1\n"
		  "[   3000] coordinator drain/1: cancelled; what moves already goes on\n"
		  "[   3001] coordinator mark host1: not draining, cordoned\n"
		  "[   4068] coordinator migration/1: web1: host1 -> host2 done in 1.6 s, downtime 50 ms, verified 1/1\n"
		  "[   4068] coordinator migration/2: web2: host1 -> host2 done in 1.6 s, downtime 50 ms, verified 1/1\n");
	/* clang-format on */
}

static bool is_over(struct sim *sim)
{
	const struct drain *drain = sim->fleet ? fleet_find_drain(sim->fleet, 1) : NULL;

	return drain && drain->kept.state == DRAIN_COMPLETED && !sim->n_unwritten;
}

/* A drain of three guests; the coordinator dies at its @n-th write, 0: at none. Returns how many it made. */
static uint64_t drain_dying_at(uint64_t n, bool after)
{
	struct story story = story_new(3, 4 * GIB);
	struct sim *sim = story.sim;
	uint64_t writes;

	sim_add_vm(sim, "small", 0, 256 * MIB);
	sim_add_vm(sim, "big", 0, 1024 * MIB);
	sim_add_vm(sim, "middle", 0, 512 * MIB);
	sim->crash_after_write = after;
	sim->crash_at_write = n;
	sim_agents_start(sim);
	sim_coordinator_start(sim);
	sim_run(sim, 30000, NULL);
	sim_drain(sim, "host1", NULL, false);
	sim_run(sim, 30000, NULL);
	/* A request that was lost with its answer is asked again. */
	if (!fleet_find_drain(sim->fleet, 1))
		sim_drain(sim, "host1", NULL, false);
	if (!sim_run(sim, 120000, is_over) && !sim->broken)
		fail_msg("write %" PRIu64 ": the drain is not over", n);
	sim_run(sim, 5000, NULL);
	if (sim->broken)
		fail_msg("write %" PRIu64 ": %s: %s", n, sim->broken, sim->broken_text);
	assert_int_equal(sim->n_crashes, n ? 1 : 0);
	assert_int_equal(sim->n_done, 3);
	assert_int_equal(sim_host_count_guests(sim, 0), 0);
	writes = sim->n_writes;
	sim_free(sim);
	return writes;
}

/* The coordinator dies at each of its writes in turn, before it or after it: each guest is moved once, and
 * the drain completes. */
static void f33_dies_at_every_write(void **state)
{
	uint64_t writes = drain_dying_at(0, false);

	(void)state;
	assert_true(writes >= 12);
	for (uint64_t n = 1; n <= writes; n++) {
		(void)drain_dying_at(n, false);
		(void)drain_dying_at(n, true);
	}
}

/* All that a drain does, a coordinator dying in its midst, as text. Owned. */
static char *tell_drain(bool clocks_jump)
{
	struct story story = story_new(3, 4 * GIB);
	struct sim *sim = story.sim;

	sim->clocks_jump = clocks_jump;
	sim_add_vm(sim, "small", 0, 256 * MIB);
	sim_add_vm(sim, "big", 0, 1024 * MIB);
	sim_add_vm(sim, "middle", 0, 512 * MIB);
	story_start(&story);
	sim_drain(sim, "host1", NULL, false);
	sim_run(sim, 2000, NULL);
	sim_coordinator_crash(sim);
	sim_run(sim, 60000, NULL);
	if (sim->broken)
		fail_msg("broken: %s: %s", sim->broken, sim->broken_text);
	assert_int_equal(sim->n_done, 3);
	fclose(take_pointer(sim->trace));
	sim_free(sim);
	return story.text;
}

/* Wall clocks decide nothing: with one that jumps at every event the same happens at the same moments. */
static void f80_clocks_jump(void **state)
{
	_cleanup_free_ char *steady = tell_drain(false), *jumping = tell_drain(true);

	(void)state;
	assert_string_equal(jumping, steady);
	assert_non_null(strstr(steady, "host1 is empty"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_empties_a_host),
		cmocka_unit_test(test_room_for_one_of_two),
		cmocka_unit_test(test_coordinator_dies_before_the_start),
		cmocka_unit_test(test_coordinator_dies_in_mid_copy),
		cmocka_unit_test(test_source_agent_is_silent),
		cmocka_unit_test(test_store_is_lost),
		cmocka_unit_test(test_immovable_guest),
		cmocka_unit_test(test_cancelled_drain),
		cmocka_unit_test(f33_dies_at_every_write),
		cmocka_unit_test(f80_clocks_jump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
