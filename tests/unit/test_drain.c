/* SPDX-License-Identifier: Apache-2.0 */
/* Drains guest by guest: what is waited for, what is refused beforehand, when it is over. */
#include "coordinator/core/drain.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const four[] = { "web1", "web2", "web3", "web4" };

static struct core_world *three_hosts(size_t guests)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, four, guests);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_forget(world);
	return world;
}

static struct drain *drain_of(struct core_world *world)
{
	struct drain *drain = fleet_find_drain(world->fleet, 1);

	assert_non_null(drain);
	return drain;
}

static struct drain_vm *guest(struct core_world *world, const char *name)
{
	for (size_t i = 0; i < drain_of(world)->n_vms; i++) {
		if (strcmp(drain_of(world)->vms[i].name, name) == 0)
			return &drain_of(world)->vms[i];
	}
	fail_msg("the drain does not know %s", name);
	return NULL;
}

/* The move of that migration ends well, and both hosts show it. */
static void arrive(struct core_world *world, uint64_t number)
{
	const struct migration *m = fleet_find_migration(world->fleet, number);
	struct vm_state vm = core_world_vm(m->kept.vm_name, 256);
	char source[NODE_NAME_BYTES], target[NODE_NAME_BYTES];

	text_copy(source, sizeof(source), m->kept.source);
	text_copy(target, sizeof(target), m->kept.target);
	core_world_report(world, number, MIGRATION_RUNNING, NULL);
	core_world_see(world, target, &vm);
	core_world_unsee(world, source, vm.name);
	core_world_report(world, number, MIGRATION_DONE, NULL);
}

/* Two leave at once, the others wait and say for what, with numbers and a planned target. */
static void test_outbound_slots(void **state)
{
	struct core_world *world = three_hosts(4);

	(void)state;
	core_world_drain(world, "host1");
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_MOVING);
	assert_int_equal(guest(world, "web3")->state, DRAIN_VM_WAITING);
	assert_string_equal(guest(world, "web3")->reason,
	                    "waits: 2 of 2 outbound slots of host1 in use");
	assert_string_not_equal(guest(world, "web3")->target, "");
	arrive(world, 1);
	assert_int_equal(core_world_count(world, ACTION_START), 3);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_MOVED);
	core_world_free(world);
}

/* It is over only when the host itself, after the mark, counts no guest; then it is in maintenance. */
static void test_complete_means_counted(void **state)
{
	struct core_world *world = three_hosts(1);

	(void)state;
	core_world_drain(world, "host1");
	core_world_confirm_mark(world, 1);
	arrive(world, 1);
	/* The list is empty, but the host has counted one: asked again. */
	assert_int_equal(drain_of(world)->kept.state, DRAIN_RUNNING);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 1);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_RUNNING);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 0);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_COMPLETED);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_MAINTENANCE);
	assert_int_equal(drain_of(world)->bytes_done, drain_of(world)->bytes_total);
	core_world_free(world);
}

/* A guest that somebody brings back within moments of its move is a guest there: the drain is not over. */
static void test_back_at_once(void **state)
{
	struct core_world *world = three_hosts(1);
	struct vm_state vm = core_world_vm("web1", 256);

	(void)state;
	core_world_drain(world, "host1");
	arrive(world, 1);
	core_world_unsee(world, guest(world, "web1")->target, "web1");
	core_world_see(world, "host1", &vm);
	core_world_wait(world, 1);
	core_world_confirm_mark(world, 1);
	core_world_wait(world, 1);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_RUNNING);
	assert_non_null(strstr(drain_of(world)->status, "lists 1 active guests, 0 may stay"));
	/* And it has to go, again. */
	core_world_wait(world, 10);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

/* A guest that moves while its drain is taken back has moved once it has arrived. */
static void test_arrives_after_undrain(void **state)
{
	struct core_world *world = three_hosts(2);
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4, .node.node = "host1" };
	const struct check bad = { .id = "space", .verdict = CHECK_FAIL };

	(void)state;
	core_world_drain(world, "host1");
	core_world_step(world, &event);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_CANCELLED);
	arrive(world, 1);
	core_world_report(world, 2, MIGRATION_FAILED, &bad);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_MOVED);
	assert_int_equal(guest(world, "web2")->state, DRAIN_VM_WAITING);
	assert_non_null(strstr(drain_of(world)->status, "1 moved"));
	core_world_free(world);
}

/* The room that the plan has for a larger guest is not taken by one that its own destination lacks but a
 * slot for: it waits for that. */
static void test_waits_for_its_slot(void **state)
{
	struct core_world *world = core_world_new();
	struct vm_state big = core_world_vm("big", 2560);
	struct vm *vm;

	(void)state;
	world->fleet->options.caps.inbound = 1;
	core_world_host(world, "host1", 8192, four, 2);
	core_world_see(world, "host1", &big);
	core_world_host(world, "host2", 2048, NULL, 0);
	core_world_host(world, "host3", 3072, NULL, 0);
	assert_int_equal(fleet_get_vm(world->fleet, "big", &vm, NULL), 0);
	vm->retry_ms = world->now_ms + 20000; /* it has failed a moment ago */
	core_world_drain(world, "host1");
	assert_int_equal(world->fleet->n_active, 1);
	assert_string_equal(fleet_find_migration(world->fleet, 1)->kept.target, "host2");
	assert_int_equal(guest(world, "web2")->state, DRAIN_VM_WAITING);
	assert_string_equal(guest(world, "web2")->target, "host2");
	assert_non_null(strstr(guest(world, "web2")->reason, "1 of 1 inbound slots of host2"));
	arrive(world, 1);
	assert_string_equal(fleet_find_migration(world->fleet, 2)->kept.target, "host2");
	core_world_wait(world, 25);
	assert_string_equal(guest(world, "big")->target, "host3");
	assert_int_equal(guest(world, "big")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

/* A guest that is started on the draining host later has to go, too. */
static void test_late_guest_is_included(void **state)
{
	struct core_world *world = three_hosts(1);
	struct vm_state late = core_world_vm("late", 256);

	(void)state;
	core_world_drain(world, "host1");
	core_world_see(world, "host1", &late);
	assert_int_equal(guest(world, "late")->state, DRAIN_VM_MOVING);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* A guest that stops by itself is no obstacle, and is not counted as moved. */
static void test_stopped_guest(void **state)
{
	struct core_world *world = three_hosts(4);

	(void)state;
	core_world_drain(world, "host1");
	core_world_unsee(world, "host1", "web4");
	assert_int_equal(guest(world, "web4")->state, DRAIN_VM_STOPPED);
	core_world_free(world);
}

/* A destination that refuses is not asked again at once: the next one is. */
static void test_refusal_leads_elsewhere(void **state)
{
	struct core_world *world = three_hosts(1);
	struct check no = { .id = "cpu",
		            .verdict = CHECK_FAIL,
		            .measured = "lacks avx512f",
		            .required = "avx512f" };
	char first[NODE_NAME_BYTES];

	(void)state;
	core_world_drain(world, "host1");
	text_copy(first, sizeof(first), guest(world, "web1")->target);
	core_world_report(world, 1, MIGRATION_FAILED, &no);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_string_not_equal(guest(world, "web1")->target, first);
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.attempt.number, 2);

	/* Both have refused: blocked, with both answers; asked again when time has passed. */
	core_world_report(world, 1, MIGRATION_FAILED, &no);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(guest(world, "web1")->reason,
	                       "host2 refused: cpu: lacks avx512f, required avx512f"));
	assert_non_null(strstr(guest(world, "web1")->reason, "host3 refused"));
	assert_int_equal(drain_of(world)->kept.state, DRAIN_BLOCKED);
	core_world_wait(world, 16);
	assert_int_equal(core_world_count(world, ACTION_START), 3);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_RUNNING);
	core_world_free(world);
}

/* A move that a person began by hand takes a slot as our own do; when it is over, the next one begins. */
static void f13_foreign_job_takes_a_slot(void **state)
{
	struct core_world *world = three_hosts(4);
	struct vm_state hand = core_world_vm("web1", 256);

	(void)state;
	hand.migrating_out = hand.foreign_job = true;
	core_world_see(world, "host1", &hand);
	core_world_drain(world, "host1");
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_string_equal(
		guest(world, "web3")->reason,
		"waits: 2 of 2 outbound slots of host1 in use, 1 by moves that are not drover's");
	core_world_unsee(world, "host1", "web1");
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* A failed move is tried again after 20 s, then 40 s, by a migration of its own; why is kept. */
static void test_failure_backs_off(void **state)
{
	struct core_world *world = three_hosts(1);

	(void)state;
	core_world_drain(world, "host1");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_wait(world, 10);
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	assert_string_equal(
		guest(world, "web1")->reason,
		"waits: tried again in 20 s; migration/1 failed: its agent gives no reason");
	core_world_wait(world, 19);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(guest(world, "web1")->migration_number, 2);
	core_world_report(world, 2, MIGRATION_RUNNING, NULL);
	core_world_report(world, 2, MIGRATION_FAILED, NULL);
	core_world_wait(world, 39);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 3);
	core_world_free(world);
}

/* An attempt that fails at once, as on a network that flaps, is followed by another after half a minute. */
static void f51_attempts_are_spaced_out(void **state)
{
	struct core_world *world = three_hosts(1);

	(void)state;
	core_world_drain(world, "host1");
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	assert_string_equal(
		guest(world, "web1")->reason,
		"waits: tried again in 30 s; migration/1 failed: its agent gives no reason");
	core_world_wait(world, 29);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* Larger than every other host: refused beforehand, and nothing has changed. */
static void test_too_large_is_refused(void **state)
{
	struct core_world *world = three_hosts(1);
	struct vm_state huge = core_world_vm("huge", 8000);
	const struct reply *reply;
	uint64_t revision;

	(void)state;
	core_world_see(world, "host1", &huge);
	core_world_forget(world);
	revision = world->fleet->revision;
	core_world_drain(world, "host1");
	reply = core_world_reply(world);
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "huge cannot move"));
	assert_non_null(strstr(reply->refusal, "--leave huge"));
	assert_non_null(strstr(reply->refusal, "--unmovable leave"));
	assert_int_equal(reply->checks.count, 1);
	assert_string_equal(reply->checks.items[0].id, "vm/huge");
	assert_int_equal(world->fleet->revision, revision);
	assert_int_equal(core_world_count(world, ACTION_STORE), 0);
	core_world_free(world);
}

/* With leave_unmovable the rest goes, and the drain ends "partly". */
static void test_leave_unmovable(void **state)
{
	struct core_world *world = three_hosts(1);
	struct vm_state huge = core_world_vm("huge", 8000);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };

	(void)state;
	core_world_see(world, "host1", &huge);
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.reason = "";
	event.drain.leave_unmovable = true;
	core_world_step(world, &event);
	assert_int_equal(guest(world, "huge")->state, DRAIN_VM_LEFT);
	arrive(world, 1);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 1);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_PARTLY);
	assert_int_equal(drain_of(world)->kept.left_count, 1);
	core_world_free(world);
}

/* A guest to leave that the node does not have is a typing error: refused, nothing changed. */
static void test_leave_must_exist(void **state)
{
	struct core_world *world = three_hosts(1);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names leave = { 0 };

	(void)state;
	names_add(&leave, "wbe1");
	event.drain.node = "host1";
	event.drain.leave = &leave;
	event.drain.reason = "";
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	assert_null(fleet_find_drain(world->fleet, 1));
	names_deinit(&leave);
	core_world_free(world);
}

/* Draining a draining node is the same drain. */
static void test_already(void **state)
{
	struct core_world *world = three_hosts(1);

	(void)state;
	core_world_drain(world, "host1");
	assert_false(core_world_reply(world)->already);
	core_world_drain(world, "host1");
	assert_true(core_world_reply(world)->already);
	assert_int_equal(core_world_reply(world)->drain, 1);
	assert_int_equal(world->fleet->last_drain_number, 1);
	core_world_free(world);
}

/* A dry run asks each planned destination and answers with the plan; nothing is stored. */
static void test_dry_run(void **state)
{
	struct core_world *world = three_hosts(2);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };
	struct checks checks = { 0 };
	struct check pass = { .id = "memory", .verdict = CHECK_PASS };
	const struct drain *plan;

	(void)state;
	checks_add(&checks, &pass);
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 2);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	for (uint64_t preview = 1; preview <= 2; preview++) {
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };

		answer.preview.preview = preview;
		answer.preview.admitted = true;
		answer.preview.checks = &checks;
		answer.preview.guard = GUARD_LOCK_MANAGER;
		core_world_step(world, &answer);
	}
	plan = core_world_reply(world)->plan;
	assert_int_equal(plan->kept.state, DRAIN_PLANNED);
	assert_int_equal(plan->n_vms, 2);
	/* Spread over both, as each takes what leaves the most room. */
	assert_string_not_equal(plan->vms[0].target, plan->vms[1].target);
	assert_int_equal(plan->vms[0].checks.count, 1);
	assert_int_equal(plan->vms[0].guard, GUARD_LOCK_MANAGER);
	assert_true(plan->eta_ms > 0);
	assert_int_equal(core_world_count(world, ACTION_STORE), 0);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_READY);
	checks_deinit(&checks);
	core_world_free(world);
}

/* A dry run whose questions are not answered ends after ten seconds and says so. */
static void test_dry_run_has_a_deadline(void **state)
{
	struct core_world *world = three_hosts(1);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };

	(void)state;
	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_step(world, &event);
	core_world_wait(world, 9);
	assert_int_equal(core_world_count(world, ACTION_REPLY), 0);
	core_world_wait(world, 1);
	assert_string_equal(core_world_reply(world)->plan->vms[0].reason,
	                    "its agent has not answered in time");
	core_world_free(world);
}

/* Uncordon does not stop a drain; undrain does, and the node takes guests again. */
static void test_undrain(void **state)
{
	struct core_world *world = three_hosts(4);
	struct event event = { .kind = EVENT_UNCORDON, .request = 4 };

	(void)state;
	core_world_drain(world, "host1");
	event.node.node = "host1";
	event.node.reason = "";
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_REFUSED);
	event.kind = EVENT_UNDRAIN;
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->changed);
	assert_int_equal(drain_of(world)->kept.state, DRAIN_CANCELLED);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_READY);
	core_world_step(world, &event);
	assert_false(core_world_reply(world)->changed);
	core_world_free(world);
}

/* A node that is being drained takes no guest, and the command that changes that is named: uncordon would
 * be refused. */
static void test_no_guest_into_a_drain(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	core_world_host(world, "host2", 4096, four, 1);
	core_world_drain(world, "host1");
	core_world_migrate(world, four[0], "host1");
	assert_int_equal(core_world_reply(world)->error.code, ERROR_REFUSED);
	assert_non_null(strstr(core_world_reply(world)->error.text, "drover undrain host1"));
	core_world_free(world);
}

/* Two drains share the cluster's slots turn by turn: neither starves. */
static void test_drains_take_turns(void **state)
{
	static const char *const other[] = { "db1", "db2", "db3" };
	struct core_world *world = core_world_new();
	struct node *host1, *host2;

	(void)state;
	world->fleet->options.caps.cluster = 2;
	core_world_host(world, "host1", 4096, four, 4);
	core_world_host(world, "host2", 4096, other, 3);
	core_world_host(world, "host3", 8192, NULL, 0);
	world->store_slowly = true;
	core_world_drain(world, "host1");
	core_world_drain(world, "host2");
	core_world_store(world);
	core_world_store(world);
	host1 = fleet_find_node(world->fleet, "host1");
	host2 = fleet_find_node(world->fleet, "host2");
	world->store_slowly = false;
	/* The first had both slots before the second was asked for; the next two are shared. */
	assert_int_equal(host1->migrations_out, 2);
	arrive(world, 1);
	arrive(world, 2);
	assert_int_equal(host1->migrations_out + host2->migrations_out, 2);
	assert_int_equal(host2->migrations_out, 1);
	core_world_free(world);
}

/* After a restart a drain goes on; guests are not "left" because other hosts have not reported. */
static void test_drain_after_restart(void **state)
{
	struct core_world *world = core_world_new();
	struct core_options options = world->fleet->options;
	struct node_record nodes[2] = { { .name = "host1", .drain_number = 1 },
		                        { .name = "host2" } };
	struct drain_record drain = { .number = 1,
		                      .state = DRAIN_RUNNING,
		                      .node = "host1",
		                      .leave_unmovable = true,
		                      .id = { { 7 } } };
	struct store_contents contents = { .epoch = 4,
		                           .nodes = nodes,
		                           .n_nodes = 2,
		                           .drains = &drain,
		                           .n_drains = 1,
		                           .last_drain_number = 1 };
	struct event event = { .kind = EVENT_LOADED, .loaded = &contents };

	(void)state;
	fleet_free(world->fleet);
	world->fleet = fleet_new(&options);
	core_world_step(world, &event);
	core_world_host(world, "host1", 4096, four, 1);
	core_world_wait(world, 5);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_WAITING);
	assert_string_equal(guest(world, "web1")->reason,
	                    "waits for agents to report: host2 unreachable");
	core_world_host(world, "host2", 4096, NULL, 0);
	assert_int_equal(guest(world, "web1")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

/* Explaining a guest asks every host that could take it, and tells of the others why not. */
static void test_explain(void **state)
{
	struct core_world *world = three_hosts(1);
	struct event event = { .kind = EVENT_CORDON, .request = 3 };
	struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
	struct checks checks = { 0 };
	const struct reply *reply;

	(void)state;
	event.node.node = "host3";
	event.node.reason = "";
	core_world_step(world, &event);
	event = (struct event){ .kind = EVENT_EXPLAIN_VM, .request = 9 };
	event.explain.vm = "web1";
	event.explain.node = "";
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 1);
	answer.preview.preview = core_world_find(world, ACTION_PREVIEW)->preview.preview;
	answer.preview.admitted = true;
	answer.preview.checks = &checks;
	core_world_step(world, &answer);
	reply = core_world_reply(world);
	assert_int_equal(reply->kind, REPLY_EXPLAIN);
	assert_int_equal(reply->n_targets, 2);
	assert_string_equal(reply->targets[0].node, "host2");
	assert_true(reply->targets[0].fits);
	assert_string_equal(reply->targets[1].reason, "host3 cordoned");
	assert_false(reply->targets[1].asked);
	core_world_free(world);
}

/* A dry run that copies disks asks as if it did, and its estimate counts their bytes at the same rate. */
static void test_dry_run_counts_disks(void **state)
{
	uint64_t eta_ms[2];

	(void)state;
	for (size_t copied = 0; copied < 2; copied++) {
		struct core_world *world = three_hosts(1);
		struct event event = { .kind = EVENT_MIGRATE, .request = 9 };
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
		struct checks checks = { 0 };
		const struct action *asked;

		event.migrate.vm = "web1";
		event.migrate.target = "host2";
		event.migrate.dry_run = true;
		event.migrate.copy_disks = copied;
		event.migrate.bandwidth_bytes_per_s = 1 << 20;
		core_world_step(world, &event);
		asked = core_world_find(world, ACTION_PREVIEW);
		assert_non_null(asked);
		assert_int_equal(asked->preview.copy_disks, copied);
		answer.preview.preview = asked->preview.preview;
		answer.preview.admitted = true;
		answer.preview.checks = &checks;
		answer.preview.copied_bytes = copied ? (uint64_t)512 << 20 : 0;
		core_world_step(world, &answer);
		eta_ms[copied] = core_world_reply(world)->eta_ms;
		core_world_free(world);
	}
	assert_in_range(eta_ms[1] - eta_ms[0], 500000, 530000);
}

/* Asked about one node, it is asked although it is cordoned: all that stands in the way is known at
 * once, and whatever it says it is no destination now. */
static void test_why_not(void **state)
{
	struct core_world *world = three_hosts(1);
	struct event event = { .kind = EVENT_CORDON, .request = 3 };
	struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
	struct checks checks = { 0 };
	const struct reply *reply;

	(void)state;
	event.node.node = "host3";
	event.node.reason = "";
	core_world_step(world, &event);
	event = (struct event){ .kind = EVENT_EXPLAIN_VM, .request = 9 };
	event.explain.vm = "web1";
	event.explain.node = "host3";
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 1);
	assert_string_equal(core_world_find(world, ACTION_PREVIEW)->preview.target, "host3");
	answer.preview.preview = core_world_find(world, ACTION_PREVIEW)->preview.preview;
	answer.preview.admitted = true;
	answer.preview.checks = &checks;
	core_world_step(world, &answer);
	reply = core_world_reply(world);
	assert_int_equal(reply->n_targets, 1);
	assert_true(reply->targets[0].asked);
	assert_false(reply->targets[0].fits);
	assert_string_equal(reply->targets[0].reason, "host3 cordoned");

	event.explain.node = "host1";
	core_world_step(world, &event);
	reply = core_world_reply(world);
	assert_int_equal(reply->n_targets, 0);
	assert_string_equal(reply->text, "web1 is on host1 already");

	event.explain.node = "host9";
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_NOT_FOUND);
	core_world_free(world);
}

/* A guest asked to go where there is no room waits five minutes for it, then fails and says why. */
static void test_migrate_waits_for_room(void **state)
{
	struct core_world *world = three_hosts(1);
	const struct migration *m;

	(void)state;
	core_world_figures(world, "host2", 200, 0);
	core_world_migrate(world, "web1", "host2");
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.state, MIGRATION_PLANNED);
	assert_string_equal(m->kept.reason, "no destination: host2 136 MiB short of memory");
	core_world_wait(world, 290);
	assert_int_equal(m->kept.state, MIGRATION_PLANNED);
	core_world_wait(world, 20);
	assert_int_equal(m->kept.state, MIGRATION_FAILED);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outbound_slots),
		cmocka_unit_test(test_complete_means_counted),
		cmocka_unit_test(test_back_at_once),
		cmocka_unit_test(test_arrives_after_undrain),
		cmocka_unit_test(test_waits_for_its_slot),
		cmocka_unit_test(test_late_guest_is_included),
		cmocka_unit_test(test_stopped_guest),
		cmocka_unit_test(test_refusal_leads_elsewhere),
		cmocka_unit_test(test_failure_backs_off),
		cmocka_unit_test(f13_foreign_job_takes_a_slot),
		cmocka_unit_test(f51_attempts_are_spaced_out),
		cmocka_unit_test(test_too_large_is_refused),
		cmocka_unit_test(test_leave_unmovable),
		cmocka_unit_test(test_leave_must_exist),
		cmocka_unit_test(test_already),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_dry_run_counts_disks),
		cmocka_unit_test(test_dry_run_has_a_deadline),
		cmocka_unit_test(test_undrain),
		cmocka_unit_test(test_no_guest_into_a_drain),
		cmocka_unit_test(test_drains_take_turns),
		cmocka_unit_test(test_drain_after_restart),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_why_not),
		cmocka_unit_test(test_migrate_waits_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
