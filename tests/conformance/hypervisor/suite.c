/* SPDX-License-Identifier: Apache-2.0 */
/* See suite.h. Each case begins with the sentence it proves. */
#include "tests/conformance/hypervisor/suite.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"
#include "tests/conformance/hypervisor/suite_watch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNKNOWN_UUID     "6c7f9a42-0000-4000-8000-000000000000"
#define SOON_S           20
#define MOVE_S           60
#define SLOW_BYTES_PER_S (2 * MIB)

static const struct suite_stage *stage;
static struct suite_watch *source_watch, *target_watch;
static struct error err;

#define assert_ok(expression)                                      \
	do {                                                       \
		error_clear(&err);                                 \
		if ((expression) != 0)                             \
			fail_msg("%s: %s", #expression, err.text); \
	} while (0)

#define assert_error(expression, error_wanted)                                                 \
	do {                                                                                   \
		int result_;                                                                   \
		error_clear(&err);                                                             \
		result_ = (expression);                                                        \
		if (result_ != -(error_wanted) || err.code != (error_wanted) || !err.text[0])  \
			fail_msg("%s: %d \"%s\" (%s), not %s", #expression, result_, err.text, \
			         error_code_name(err.code), error_code_name(error_wanted));    \
	} while (0)

/* ---- guests ---- */

#define VICTIM_BYTES (64 * MIB)
#define DISK_BYTES   (16 * MIB)

static char uuid[VM_UUID_BYTES];
static char guest_name[64];
static bool guest_exists;

static struct vm_summary find(struct hypervisor *h)
{
	struct vm_summary vm = { 0 };

	assert_ok(h->ops->find(h, uuid, &vm, &err));
	return vm;
}

static bool find_by_name(struct hypervisor *h, const char *name, struct vm_summary *ret)
{
	struct vm_list list = { 0 };
	bool found = false;

	assert_ok(h->ops->list(h, &list, &err));
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.items[i].name, name) != 0)
			continue;
		*ret = list.items[i];
		found = true;
	}
	vm_list_deinit(&list);
	return found;
}

static void add_guest(const char *name, uint64_t dirty_bytes_per_s, bool persistent)
{
	struct vm_summary vm;

	snprintf(guest_name, sizeof(guest_name), "%s", name);
	guest_exists = true;
	stage->add_guest(&(struct suite_guest){ .name = name,
	                                        .memory_bytes = VICTIM_BYTES,
	                                        .working_set_bytes = 16 * MIB,
	                                        .dirty_bytes_per_s = dirty_bytes_per_s,
	                                        .persistent = persistent });
	assert_true(find_by_name(stage->source, name, &vm));
	memcpy(uuid, vm.uuid, sizeof(uuid));
}

static int remove_guest(void **state)
{
	(void)state;
	if (guest_exists)
		stage->remove_guest(guest_name);
	guest_exists = false;
	return 0;
}

/* ---- moves, on a thread of their own ---- */

struct move {
	struct migrate_request request;
	pthread_t thread;
	int result;
	struct error error;
	uint64_t duration_ms;
};

static void *run_move(void *argument)
{
	struct move *move = argument;
	uint64_t start_ms = clock_now_ms();

	move->result = stage->source->ops->migrate(stage->source, &move->request, &move->error);
	move->duration_ms = clock_now_ms() - start_ms;
	return NULL;
}

static struct migrate_request request(void)
{
	return (struct migrate_request){
		.uuid = uuid,
		.control_socket = stage->target_socket,
		.migrate_uri = stage->migrate_uri,
		.listen_address = stage->listen_address,
		.tls = stage->tls,
		.max_downtime_ms = 300,
		/* The stage's guests have no disks. */
		.storage_proved_shared = true,
	};
}

static void move_start(struct move *move)
{
	assert_int_equal(pthread_create(&move->thread, NULL, run_move, move), 0);
}

static void move_join(struct move *move)
{
	assert_int_equal(pthread_join(move->thread, NULL), 0);
}

static void move_expect_success(struct move *move)
{
	move_join(move);
	if (move->result)
		fail_msg("the move failed: %s", move->error.text);
}

static bool has_sent(void *context)
{
	uint64_t more_than_bytes = *(uint64_t *)context;
	struct vm_job job = { 0 };

	assert_ok(stage->source->ops->job(stage->source, uuid, &job, &err));
	return job.active && job.memory_processed_bytes > more_than_bytes;
}

/* A move that is slow enough to be looked at, in its copy. */
static void move_start_slowly(struct move *move)
{
	uint64_t nothing = 0;

	move->request.bandwidth_bytes_per_s = SLOW_BYTES_PER_S;
	move_start(move);
	assert_true(suite_wait_until(has_sent, &nothing, SOON_S));
}

static void expect_absent(struct hypervisor *h)
{
	struct vm_summary vm;

	assert_error(h->ops->find(h, uuid, &vm, &err), ERROR_NOT_FOUND);
	assert_false(find_by_name(h, guest_name, &vm));
}

/* ---- the cases ---- */

static void test_host_facts(void **state)
{
	/* A host tells what it is, with memory that is there. */
	struct host_facts facts = { 0 };

	(void)state;
	assert_ok(stage->source->ops->host_facts(stage->source, &facts, &err));
	assert_true(facts.migration_tls_dir[0] == '/');
	assert_true(facts.hostname[0] && facts.libvirt_version[0] && facts.hypervisor_version[0]);
	assert_string_equal(facts.arch, "x86_64");
	assert_true(facts.cpus > 0);
	assert_true(facts.memory_available_bytes > 0);
	assert_true(facts.memory_total_bytes >= facts.memory_available_bytes);
}

static void test_inventory(void **state)
{
	/* A guest is listed and found with the same facts; an unknown one is known to be absent. */
	struct vm_summary listed, found;

	(void)state;
	add_guest("inventory", 0, false);
	found = find(stage->source);
	assert_true(find_by_name(stage->source, "inventory", &listed));
	assert_string_equal(found.name, listed.name);
	assert_string_equal(found.uuid, listed.uuid);
	assert_int_equal(found.state, VM_RUNNING);
	assert_int_equal(found.pause_reason, VM_PAUSE_NONE);
	assert_string_equal(found.reason, "booted");
	assert_int_equal(found.memory_bytes, VICTIM_BYTES);
	assert_int_equal(found.vcpus, 1);
	assert_true(found.active);
	assert_false(found.persistent || found.autostart || found.job_out);
	expect_absent(stage->target);
	assert_error(stage->source->ops->find(stage->source, UNKNOWN_UUID, &found, &err),
	             ERROR_NOT_FOUND);
}

static void test_description(void **state)
{
	/* A description has what admission asks for, and nothing blocks a plain guest. */
	struct vm_description *d = xnew(struct vm_description);

	(void)state;
	add_guest("described", 0, false);
	assert_ok(stage->source->ops->describe(stage->source, uuid, d, &err));
	assert_string_equal(d->summary.uuid, uuid);
	assert_int_equal(d->summary.state, VM_RUNNING);
	assert_int_equal(d->summary.memory_bytes, VICTIM_BYTES);
	assert_true(d->overhead_bytes >= 64 * MIB);
	assert_string_equal(d->arch, "x86_64");
	assert_non_null(strstr(d->machine, "pc-"));
	assert_string_equal(d->virt_type, "qemu");
	assert_true(d->emulator[0] == '/');
	assert_non_null(d->cpu_xml);
	assert_memory_equal(d->cpu_xml, "<cpu ", 5);
	assert_true(d->cpu_mode[0]);
	assert_int_equal(d->blockers.count, 0);
	vm_description_deinit(d);
	free(d);
}

static void test_pause(void **state)
{
	/* A guest pauses and resumes on command, and each is told as a change. */
	struct hypervisor *h = stage->source;
	size_t mark;

	(void)state;
	add_guest("paused", 0, false);
	mark = suite_watch_mark(source_watch);
	assert_ok(h->ops->suspend(h, uuid, &err));
	assert_int_equal(find(h).state, VM_PAUSED);
	assert_int_equal(find(h).pause_reason, VM_PAUSE_USER);
	assert_string_equal(find(h).reason, "user");
	assert_true(
		suite_watch_wait(source_watch, mark, HYPERVISOR_VM_CHANGED, uuid, SOON_S, NULL));
	mark = suite_watch_mark(source_watch);
	assert_ok(h->ops->resume(h, uuid, &err));
	assert_int_equal(find(h).state, VM_RUNNING);
	assert_string_equal(find(h).reason, "unpaused");
	assert_true(
		suite_watch_wait(source_watch, mark, HYPERVISOR_VM_CHANGED, uuid, SOON_S, NULL));
	assert_error(h->ops->suspend(h, UNKNOWN_UUID, &err), ERROR_NOT_FOUND);
}

static void f18_cpu_and_machine(void **state)
{
	/* Every question about CPU and machine is answered: what is missing is named, one bad
	 * answer does not hide the other, and a CPU that is not spelled out is refused. */
	struct hypervisor *h = stage->target;
	struct vm_description *d = xnew(struct vm_description);
	struct check cpu, machine;

	(void)state;
	add_guest("cpu", 0, false);
	assert_ok(stage->source->ops->describe(stage->source, uuid, d, &err));
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &err));
	assert_int_equal(cpu.verdict, CHECK_PASS);
	assert_int_equal(machine.verdict, CHECK_PASS);
	assert_string_equal(cpu.id, "cpu");
	assert_string_equal(machine.id, "machine");
	assert_true(cpu.measured[0] && cpu.required[0] && machine.measured[0]);

	free(d->cpu_xml);
	d->cpu_xml = xstrdup("<cpu mode='custom' match='exact'>"
	                     "<model fallback='forbid'>qemu64</model>"
	                     "<feature policy='require' name='avx512f'/></cpu>");
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &err));
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_non_null(strstr(cpu.measured, "avx512f"));
	assert_true(cpu.remedy[0]);
	assert_int_equal(machine.verdict, CHECK_PASS);

	snprintf(d->machine, sizeof(d->machine), "pc-i440fx-99.9");
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &err));
	assert_int_equal(machine.verdict, CHECK_FAIL);
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_non_null(strstr(cpu.measured, "avx512f"));

	snprintf(d->machine, sizeof(d->machine), "pc-i440fx-7.2");
	free(d->cpu_xml);
	d->cpu_xml = xstrdup("<cpu mode='maximum' check='none'/>");
	snprintf(d->cpu_mode, sizeof(d->cpu_mode), "maximum");
	/* Only an equal host will do for it: one that says nothing of itself is not, nor one that
	 * differs in anything. */
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &err));
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_string_equal(cpu.reason, "CPUModeLiveMigratable");
	snprintf(d->host_signature, sizeof(d->host_signature), "cpu of somebody else");
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &err));
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_non_null(strstr(cpu.measured, "cpu of somebody else"));
	vm_description_deinit(d);
	free(d);
}

static struct network_facts find_network(const char *type, const char *source)
{
	struct vm_interface nic = { 0 };
	struct network_facts facts = { 0 };

	memcpy(nic.type, type, strlen(type));
	memcpy(nic.source, source, strlen(source));
	assert_ok(stage->target->ops->find_network(stage->target, &nic, &facts, &err));
	return facts;
}

static void test_networks(void **state)
{
	/* A bridge that is there is seen with its kind and width, one that is not is known to be
	 * absent; so it is with networks, lower devices, taps and sockets. */
	struct vm_interface odd = { .type = "vdpa", .source = "x" };
	struct vm_interface tap = { .type = "ethernet", .target = "nosuch0" };
	struct network_facts facts = find_network("bridge", stage->bridge);

	(void)state;
	assert_true(facts.present);
	assert_int_equal(facts.kind, NETWORK_BRIDGE);
	assert_int_equal(facts.mtu, 1500);
	assert_true(find_network("direct", stage->bridge).present);
	assert_false(find_network("bridge", "nosuch0").present);
	assert_false(find_network("bridge", "").present);
	assert_false(find_network("direct", "nosuch0").present);
	assert_false(find_network("network", "nosuch").present);
	assert_false(find_network("vhostuser", "/nosuch/socket").present);
	assert_true(find_network("user", "").present);
	assert_ok(stage->target->ops->find_network(stage->target, &tap, &facts, &err));
	assert_true(facts.present);
	tap.target_must_exist = true;
	assert_ok(stage->target->ops->find_network(stage->target, &tap, &facts, &err));
	assert_false(facts.present);
	assert_error(stage->target->ops->find_network(stage->target, &odd, &facts, &err),
	             ERROR_UNSUPPORTED);
}

static void test_capabilities(void **state)
{
	/* What a guest could have is told, also for a machine type that the host does not know. */
	struct hypervisor *h = stage->target;
	struct vm_description *d = xnew(struct vm_description);
	struct guest_capabilities found = { 0 };

	(void)state;
	add_guest("capable", 0, false);
	assert_ok(stage->source->ops->describe(stage->source, uuid, d, &err));
	assert_int_equal(d->vcpus_maximum, 1);
	assert_false(d->job_other);
	assert_string_equal(d->disk_error, "");
	assert_int_equal(d->agent_channel, VM_AGENT_NONE);
	assert_int_equal(d->tsc_hz, 0);
	assert_string_equal(d->firmware.loader, "");
	assert_ok(h->ops->capabilities(h, d, &found, &err));
	assert_true(found.vcpus_max >= 16 && found.vcpus_max <= 4096);
	assert_false(found.loader_listed);
	snprintf(d->firmware.loader, sizeof(d->firmware.loader), "/nosuch/firmware.fd");
	snprintf(d->machine, sizeof(d->machine), "pc-i440fx-99.9");
	found = (struct guest_capabilities){ 0 };
	assert_ok(h->ops->capabilities(h, d, &found, &err));
	assert_true(found.vcpus_max > 0);
	assert_false(found.loader_listed);
	vm_description_deinit(d);
	free(d);
}

static void test_move(void **state)
{
	/* A move leaves the guest running there and absent here; what it cost is told. */
	struct move move = { .request = request() };
	struct hypervisor_event done = { 0 }, stopped = { 0 };
	uint64_t start_ms = clock_now_ms();
	struct vm_job job = { 0 };
	size_t source_mark, target_mark;

	(void)state;
	add_guest("mover", MIB, false);
	source_mark = suite_watch_mark(source_watch);
	target_mark = suite_watch_mark(target_watch);
	move_start(&move);
	move_expect_success(&move);
	assert_int_equal(find(stage->target).state, VM_RUNNING);
	assert_false(find(stage->target).job_out);
	assert_false(find(stage->target).persistent);
	expect_absent(stage->source);

	assert_true(suite_watch_wait(source_watch, source_mark, HYPERVISOR_ITERATION, uuid, SOON_S,
	                             NULL));
	assert_true(suite_watch_wait(source_watch, source_mark, HYPERVISOR_JOB_COMPLETED, uuid,
	                             SOON_S, &done));
	assert_true(done.job.completed && !done.job.active);
	assert_true(done.job.downtime_ms > 0 && done.job.downtime_ms < 5000);
	assert_true(done.job.memory_total_bytes >= VICTIM_BYTES);
	assert_true(done.job.elapsed_ms >= done.job.downtime_ms);
	assert_true(suite_watch_wait(source_watch, source_mark, HYPERVISOR_VM_CHANGED, uuid, SOON_S,
	                             NULL));
	assert_true(suite_watch_wait(target_watch, target_mark, HYPERVISOR_VM_CHANGED, uuid, SOON_S,
	                             NULL));
	/* When its vCPUs were stopped is told by the source alone. */
	assert_true(suite_watch_wait_switchover(source_watch, source_mark, uuid, SOON_S, &stopped));
	assert_true(stopped.at_ms >= start_ms && stopped.at_ms <= clock_now_ms());
	assert_false(suite_watch_wait_switchover(target_watch, target_mark, uuid, 0, NULL));
	/* That its vCPUs run is told by the destination alone. */
	assert_true(suite_watch_wait_runs(target_watch, target_mark, uuid, SOON_S));
	assert_false(suite_watch_wait_runs(source_watch, source_mark, uuid, 0));
	/* The destination keeps the figures, and asking does not use them up. */
	for (int i = 0; i < 2; i++) {
		assert_ok(stage->target->ops->last_job(stage->target, uuid, &job, &err));
		assert_true(job.completed);
		assert_int_equal(job.downtime_ms, done.job.downtime_ms);
	}
}

static bool copies_disks(void *context)
{
	struct vm_job job = { 0 };

	(void)context;
	assert_ok(stage->source->ops->job(stage->source, uuid, &job, &err));
	return job.active && job.disk_total_bytes > 0;
}

static void add_private_guest(const char *name)
{
	struct vm_summary vm;

	snprintf(guest_name, sizeof(guest_name), "%s", name);
	guest_exists = true;
	stage->add_guest(&(struct suite_guest){ .name = name,
	                                        .memory_bytes = VICTIM_BYTES,
	                                        .working_set_bytes = 16 * MIB,
	                                        .private_disk_bytes = DISK_BYTES });
	assert_true(find_by_name(stage->source, name, &vm));
	memcpy(uuid, vm.uuid, sizeof(uuid));
}

static void test_copied_disk(void **state)
{
	/* A disk that is not shared is copied before the memory, in bytes that are told; then the
	 * guest is there as after any other move. */
	const char *const disks[] = { "hda" };
	struct move move = { .request = request() };
	struct hypervisor_event done = { 0 };
	struct vm_job job = { 0 };
	size_t mark;

	(void)state;
	add_private_guest("copied");
	stage->add_image("copied", DISK_BYTES);
	mark = suite_watch_mark(source_watch);
	move.request.copied_disks = disks;
	move.request.n_copied_disks = 1;
	move.request.disks_uri = stage->disks_uri;
	move.request.storage_proved_shared = false;
	move.request.paused = true;
	move.request.bandwidth_bytes_per_s = DISK_BYTES / 2;
	move_start(&move);
	assert_true(suite_wait_until(copies_disks, NULL, SOON_S));
	assert_ok(stage->source->ops->job(stage->source, uuid, &job, &err));
	assert_true(job.disk_total_bytes >= DISK_BYTES);
	assert_true(job.iteration > 0 || job.memory_processed_bytes == 0);
	assert_int_equal(find(stage->target).state, VM_INCOMING);
	move_expect_success(&move);
	assert_true(suite_watch_wait(source_watch, mark, HYPERVISOR_JOB_COMPLETED, uuid, SOON_S,
	                             &done));
	assert_true(done.job.disk_total_bytes >= DISK_BYTES);
	assert_true(done.job.disk_processed_bytes >= DISK_BYTES);
	assert_int_equal(find(stage->target).state, VM_PAUSED);
	assert_ok(stage->target->ops->resume(stage->target, uuid, &err));
	expect_absent(stage->source);
}

static void test_private_disk(void **state)
{
	/* A disk that is neither shared nor copied is refused, and so is one that is not there. */
	const char *const none[] = { "sdz" };
	struct migrate_request r = request();

	(void)state;
	add_private_guest("private");
	r.storage_proved_shared = false;
	assert_error(stage->source->ops->migrate(stage->source, &r, &err), ERROR_REFUSED);
	r.storage_proved_shared = true;
	r.copied_disks = none;
	r.n_copied_disks = 1;
	r.disks_uri = stage->disks_uri;
	assert_error(stage->source->ops->migrate(stage->source, &r, &err), ERROR_INVALID);
	assert_non_null(strstr(err.text, "sdz"));
	assert_int_equal(find(stage->source).state, VM_RUNNING);
	expect_absent(stage->target);
}

static bool is_incoming(void *context)
{
	struct vm_summary vm;

	(void)context;
	return stage->target->ops->find(stage->target, uuid, &vm, NULL) == 0 &&
	       vm.state == VM_INCOMING && vm.pause_reason == VM_PAUSE_MIGRATION;
}

static void test_two_step(void **state)
{
	/* A move in two steps: incoming while memory arrives, then paused by us, then running. */
	struct move move = { .request = request() };
	struct vm_job job = { .active = true };
	size_t mark;

	(void)state;
	add_guest("two-step", MIB, false);
	mark = suite_watch_mark(target_watch);
	move.request.paused = true;
	move.request.bandwidth_bytes_per_s = 8 * MIB;
	move_start(&move);
	assert_true(suite_wait_until(is_incoming, NULL, SOON_S));
	assert_true(find(stage->source).job_out);
	assert_int_equal(find(stage->source).state, VM_RUNNING);
	assert_false(find(stage->target).job_out);
	assert_ok(stage->target->ops->job(stage->target, uuid, &job, &err));
	assert_false(job.active);
	move_expect_success(&move);
	expect_absent(stage->source);
	assert_int_equal(find(stage->target).state, VM_PAUSED);
	assert_int_equal(find(stage->target).pause_reason, VM_PAUSE_USER);
	/* It has not run there, and nothing says that it did, until it does. */
	assert_false(suite_watch_wait_runs(target_watch, mark, uuid, 1));
	assert_ok(stage->target->ops->resume(stage->target, uuid, &err));
	assert_int_equal(find(stage->target).state, VM_RUNNING);
	assert_true(suite_watch_wait_runs(target_watch, mark, uuid, SOON_S));
}

static void test_abort(void **state)
{
	/* A move shows progress that grows, and aborting it in the middle leaves the guest here. */
	struct hypervisor *h = stage->source;
	struct move move = { .request = request() };
	struct vm_job first = { 0 }, job = { 0 };

	(void)state;
	add_guest("aborted", MIB, false);
	assert_error(h->ops->abort_job(h, uuid, &err), ERROR_REFUSED);
	assert_ok(h->ops->job(h, uuid, &job, &err));
	assert_false(job.active);

	move_start_slowly(&move);
	assert_ok(h->ops->job(h, uuid, &first, &err));
	assert_true(first.active && !first.completed);
	assert_true(first.iteration >= 1 && first.memory_total_bytes >= VICTIM_BYTES);
	assert_true(suite_wait_until(has_sent, &first.memory_processed_bytes, SOON_S));
	assert_ok(h->ops->job(h, uuid, &job, &err));
	assert_true(job.elapsed_ms > first.elapsed_ms);
	assert_true(job.memory_remaining_bytes > 0 && job.page_bytes == 4096);

	assert_ok(h->ops->abort_job(h, uuid, &err));
	move_join(&move);
	if (move.result != -ERROR_CANCELLED)
		fail_msg("an aborted move ended with: %d %s", move.result, move.error.text);
	assert_int_equal(find(h).state, VM_RUNNING);
	assert_false(find(h).job_out);
	expect_absent(stage->target);
	assert_ok(h->ops->job(h, uuid, &job, &err));
	assert_false(job.active);
}

static bool is_gone_from_source(void *context)
{
	struct vm_summary vm;
	struct error ignored;

	(void)context;
	return stage->source->ops->find(stage->source, uuid, &vm, &ignored) == -ERROR_NOT_FOUND;
}

static void test_post_copy(void **state)
{
	/* Post-copy is a switch in the middle of a move that was begun for it: the guest runs on at
	 * the destination, and the move cannot be aborted any more. */
	struct hypervisor *h = stage->source;
	struct move move = { .request = request() };

	(void)state;
	add_guest("postcopy", 8 * MIB, false);
	assert_error(h->ops->start_postcopy(h, uuid, &err), ERROR_REFUSED);
	move.request.post_copy = move.request.paused = true;
	assert_error(h->ops->migrate(h, &move.request, &err), ERROR_INVALID);
	move.request.paused = false;
	move_start_slowly(&move);
	assert_int_equal(find(h).state, VM_RUNNING);
	assert_ok(h->ops->start_postcopy(h, uuid, &err));
	move_expect_success(&move);
	assert_true(suite_wait_until(is_gone_from_source, NULL, SOON_S));
	assert_int_equal(find(stage->target).state, VM_RUNNING);
}

static void test_post_copy_is_asked_for(void **state)
{
	/* A move that was not begun for it cannot be switched to post-copy, and goes on. */
	struct hypervisor *h = stage->source;
	struct move move = { .request = request() };

	(void)state;
	add_guest("precopy", 8 * MIB, false);
	move_start_slowly(&move);
	assert_error(h->ops->start_postcopy(h, uuid, &err), ERROR_REFUSED);
	assert_int_equal(find(h).state, VM_RUNNING);
	assert_ok(h->ops->abort_job(h, uuid, &err));
	move_join(&move);
	assert_int_equal(find(h).state, VM_RUNNING);
}

static void test_paused_while_it_moves(void **state)
{
	/* A guest that is paused in the middle of its move runs again, there or, after an abort,
	 * here: what counts is that it ran when the move began. */
	struct hypervisor *h = stage->source;
	struct move move = { .request = request() }, again = { .request = request() };

	(void)state;
	add_guest("suspended", 8 * MIB, false);
	move_start_slowly(&move);
	assert_ok(h->ops->suspend(h, uuid, &err));
	assert_int_equal(find(h).state, VM_PAUSED);
	assert_int_equal(find(h).pause_reason, VM_PAUSE_MIGRATION); /* whoever paused it */
	assert_ok(h->ops->abort_job(h, uuid, &err));
	move_join(&move);
	assert_int_equal(move.result, -ERROR_CANCELLED);
	assert_int_equal(find(h).state, VM_RUNNING);

	again.request.auto_converge = true;
	again.request.bandwidth_bytes_per_s = 0;
	move_start_slowly(&again);
	assert_ok(h->ops->suspend(h, uuid, &err));
	move_expect_success(&again);
	expect_absent(h);
	assert_int_equal(find(stage->target).state, VM_RUNNING);
}

static void test_limits_do_not_stick(void **state)
{
	/* A limit holds for its own move only: one without a limit is fast afterwards. */
	struct hypervisor *h = stage->source;
	struct move slow = { .request = request() }, fast = { .request = request() };

	(void)state;
	add_guest("limited", MIB, false);
	assert_ok(h->ops->set_max_downtime(h, uuid, 1, &err));
	move_start_slowly(&slow);
	assert_ok(h->ops->abort_job(h, uuid, &err));
	move_join(&slow);
	move_start(&fast);
	move_expect_success(&fast);
	assert_true(fast.duration_ms < VICTIM_BYTES / SLOW_BYTES_PER_S * 1000 / 3);
}

static void test_changed_speed(void **state)
{
	/* A limit can be changed while a move runs, and holds for that move only: what it was given
	 * then is not what the next one begins with. */
	struct hypervisor *h = stage->source;
	struct move slow = { .request = request() };
	struct move slowed = { .request = request() };

	(void)state;
	add_guest("tuned", MIB, false);
	assert_ok(h->ops->set_max_speed(h, uuid, SLOW_BYTES_PER_S, &err));
	move_start_slowly(&slowed);
	assert_ok(h->ops->set_max_speed(h, uuid, 1, &err));
	assert_ok(h->ops->abort_job(h, uuid, &err));
	move_join(&slowed);
	assert_int_equal(slowed.result, -ERROR_CANCELLED);

	move_start_slowly(&slow);
	assert_ok(h->ops->set_max_speed(h, uuid, 0, &err));
	move_expect_success(&slow);
	assert_true(slow.duration_ms < VICTIM_BYTES / SLOW_BYTES_PER_S * 1000 / 3);
	assert_true(suite_wait_until(is_gone_from_source, NULL, SOON_S));
	assert_error(h->ops->set_max_speed(h, UNKNOWN_UUID, 0, &err), ERROR_NOT_FOUND);
}

static void test_persistent(void **state)
{
	/* A persistent guest takes its definition along; autostart is set where it lives. */
	struct hypervisor *there = stage->target;
	struct move move = { .request = request() };

	(void)state;
	add_guest("persistent", 0, true);
	assert_true(find(stage->source).persistent);
	move.request.persistent = true;
	move_start(&move);
	move_expect_success(&move);
	expect_absent(stage->source);
	assert_true(find(there).persistent);
	assert_false(find(there).autostart);
	assert_ok(there->ops->set_autostart(there, uuid, true, &err));
	assert_true(find(there).autostart);
	assert_ok(there->ops->set_autostart(there, uuid, false, &err));
	assert_false(find(there).autostart);
}

static void test_definition_left_behind(void **state)
{
	/* A definition that stayed behind is listed as shut off, and is removed on command. */
	struct hypervisor *h = stage->source;
	struct move move = { .request = request() };

	(void)state;
	add_guest("stayed", 0, true);
	move_start(&move);
	move_expect_success(&move);
	assert_int_equal(find(h).state, VM_SHUTOFF);
	assert_string_equal(find(h).reason, "migrated");
	assert_false(find(h).active);
	assert_error(h->ops->destroy(h, uuid, &err), ERROR_REFUSED);
	assert_ok(h->ops->undefine(h, uuid, &err));
	expect_absent(h);
}

static void test_destroy(void **state)
{
	/* Destroying ends a transient guest, and leaves a persistent one defined. */
	struct hypervisor *h = stage->source;
	struct vm_summary vm;
	size_t mark;

	(void)state;
	add_guest("doomed", 0, true);
	mark = suite_watch_mark(source_watch);
	assert_ok(h->ops->destroy(h, uuid, &err));
	assert_true(
		suite_watch_wait(source_watch, mark, HYPERVISOR_VM_CHANGED, uuid, SOON_S, NULL));
	vm = find(h);
	assert_int_equal(vm.state, VM_SHUTOFF);
	assert_string_equal(vm.reason, "destroyed");
	assert_ok(h->ops->undefine(h, uuid, &err));
	expect_absent(h);
	assert_error(h->ops->destroy(h, uuid, &err), ERROR_NOT_FOUND);
	assert_error(h->ops->undefine(h, uuid, &err), ERROR_NOT_FOUND);
}

static void test_refused_move(void **state)
{
	/* A move that cannot begin leaves the guest as it was, and says why. */
	struct hypervisor *h = stage->source;
	struct migrate_request r = request();

	(void)state;
	add_guest("refused", 0, false);
	r.control_socket = "/nonexistent/control.sock";
	assert_error(h->ops->migrate(h, &r, &err), ERROR_HYPERVISOR);
	if (!strstr(err.text, "/nonexistent/control.sock"))
		fail_msg("the socket is not named: %s", err.text);
	r = request();
	r.uuid = UNKNOWN_UUID;
	assert_error(h->ops->migrate(h, &r, &err), ERROR_NOT_FOUND);
	r = request();
	r.max_downtime_ms = 2000001;
	assert_error(h->ops->migrate(h, &r, &err), ERROR_INVALID);
	assert_error(h->ops->set_max_downtime(h, uuid, 2000001, &err), ERROR_INVALID);
	assert_int_equal(find(h).state, VM_RUNNING);
	expect_absent(stage->target);
}

static void test_lost_libvirtd(void **state)
{
	/* Without libvirtd nothing can be said of guests; when it is back, they are as they were. */
	struct hypervisor *h = stage->source;
	struct hypervisor_event lost = { 0 };
	struct vm_list list = { 0 };
	struct vm_summary vm;
	size_t mark;

	(void)state;
	add_guest("survivor", 0, false);
	mark = suite_watch_mark(source_watch);
	stage->stop_libvirtd();
	assert_true(
		suite_watch_wait(source_watch, mark, HYPERVISOR_DISCONNECTED, NULL, SOON_S, &lost));
	assert_int_equal(lost.error.code, ERROR_UNREACHABLE);
	assert_true(lost.error.text[0]);
	assert_error(h->ops->list(h, &list, &err), ERROR_UNREACHABLE);
	assert_error(h->ops->find(h, uuid, &vm, &err), ERROR_UNREACHABLE);
	assert_error(h->ops->suspend(h, uuid, &err), ERROR_UNREACHABLE);

	mark = suite_watch_mark(source_watch);
	stage->start_libvirtd();
	assert_true(suite_watch_wait(source_watch, mark, HYPERVISOR_CONNECTED, NULL, SOON_S, NULL));
	assert_int_equal(find(h).state, VM_RUNNING);
	/* Events come on the new connection, too. */
	mark = suite_watch_mark(source_watch);
	assert_ok(h->ops->suspend(h, uuid, &err));
	assert_true(
		suite_watch_wait(source_watch, mark, HYPERVISOR_VM_CHANGED, uuid, SOON_S, NULL));
}

static void test_lost_in_the_middle(void **state)
{
	/* When the source's libvirtd dies in the copy, the call says that it knows nothing, and the
	 * guest is found running here afterwards, and nowhere else. */
	struct hypervisor *h = stage->source;
	struct move move = { .request = request() };
	size_t mark;

	(void)state;
	add_guest("stranded", MIB, false);
	move_start_slowly(&move);
	mark = suite_watch_mark(source_watch);
	stage->stop_libvirtd();
	move_join(&move);
	assert_int_equal(move.result, -ERROR_UNKNOWN_OUTCOME);
	assert_true(
		suite_watch_wait(source_watch, mark, HYPERVISOR_DISCONNECTED, NULL, SOON_S, NULL));
	stage->start_libvirtd();
	assert_true(suite_watch_wait(source_watch, mark, HYPERVISOR_CONNECTED, NULL, SOON_S, NULL));
	assert_int_equal(find(h).state, VM_RUNNING);
	assert_false(find(h).job_out);
	expect_absent(stage->target);
}

/* ---- running them ---- */

static void free_hypervisors(void)
{
	stage->source->ops->free(stage->source);
	stage->target->ops->free(stage->target);
	suite_watch_free(source_watch);
	suite_watch_free(target_watch);
}

#define CASE(function)                                        \
	{                                                     \
#function, function, NULL, remove_guest, NULL \
	}

int suite_run(const struct suite_stage *s, const char *filter)
{
	const struct CMUnitTest cases[] = {
		CASE(test_host_facts),
		CASE(test_inventory),
		CASE(test_description),
		CASE(test_pause),
		CASE(f18_cpu_and_machine),
		CASE(test_capabilities),
		CASE(test_networks),
		CASE(test_move),
		CASE(test_two_step),
		CASE(test_abort),
		CASE(test_post_copy),
		CASE(test_post_copy_is_asked_for),
		CASE(test_paused_while_it_moves),
		CASE(test_limits_do_not_stick),
		CASE(test_changed_speed),
		CASE(test_persistent),
		CASE(test_definition_left_behind),
		CASE(test_destroy),
		CASE(test_refused_move),
		CASE(test_lost_libvirtd),
		CASE(test_lost_in_the_middle),
		CASE(test_copied_disk),
		CASE(test_private_disk),
	};
	int failed;

	stage = s;
	source_watch = suite_watch_new(s->source);
	target_watch = suite_watch_new(s->target);
	/* The first thing that is ever told is whether there is a connection. */
	if (!suite_watch_wait(source_watch, 0, HYPERVISOR_CONNECTED, NULL, SOON_S, NULL) ||
	    !suite_watch_wait(target_watch, 0, HYPERVISOR_CONNECTED, NULL, SOON_S, NULL)) {
		fprintf(stderr, "no connection within %d s\n", SOON_S);
		free_hypervisors();
		return 1;
	}
	if (filter)
		cmocka_set_test_filter(filter);
	failed = cmocka_run_group_tests(cases, NULL, NULL);
	free_hypervisors();
	return failed;
}
