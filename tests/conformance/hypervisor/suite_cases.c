/* SPDX-License-Identifier: Apache-2.0 */
/* See suite_cases.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/clock.h"
#include "common/units.h"

#include <stdio.h>
#include <string.h>

const struct suite_stage *suite_stage;
struct suite_watch *suite_source_watch, *suite_target_watch;
struct error suite_err;
char suite_uuid[VM_UUID_BYTES];
char suite_guest_name[64];
static bool guest_exists;

/* ---- guests ---- */

struct vm_summary suite_find(struct hypervisor *h)
{
	struct vm_summary vm = { 0 };

	assert_ok(h->ops->find(h, suite_uuid, &vm, &suite_err));
	return vm;
}

bool suite_find_by_name(struct hypervisor *h, const char *name, struct vm_summary *ret)
{
	struct vm_list list = { 0 };
	bool found = false;

	assert_ok(h->ops->list(h, &list, &suite_err));
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.items[i].name, name) != 0)
			continue;
		*ret = list.items[i];
		found = true;
	}
	vm_list_deinit(&list);
	return found;
}

void suite_add(const struct suite_guest *guest)
{
	struct vm_summary vm;

	snprintf(suite_guest_name, sizeof(suite_guest_name), "%s", guest->name);
	guest_exists = true;
	suite_stage->add_guest(guest);
	assert_true(suite_find_by_name(suite_stage->source, guest->name, &vm));
	memcpy(suite_uuid, vm.uuid, sizeof(suite_uuid));
}

void suite_add_guest(const char *name, uint64_t dirty_bytes_per_s, bool persistent)
{
	suite_add(&(struct suite_guest){ .name = name,
	                                 .memory_bytes = VICTIM_BYTES,
	                                 .working_set_bytes = 16 * MIB,
	                                 .dirty_bytes_per_s = dirty_bytes_per_s,
	                                 .persistent = persistent });
}

int suite_remove_guest(void **state)
{
	(void)state;
	if (guest_exists)
		suite_stage->remove_guest(suite_guest_name);
	guest_exists = false;
	return 0;
}

static void *run_move(void *argument)
{
	struct suite_move *move = argument;
	uint64_t start_ms = clock_now_ms();

	move->result = suite_stage->source->ops->migrate(suite_stage->source, &move->request,
	                                                 &move->error);
	move->duration_ms = clock_now_ms() - start_ms;
	return NULL;
}

struct migrate_request suite_request(void)
{
	return (struct migrate_request){
		.uuid = suite_uuid,
		.control_socket = suite_stage->target_socket,
		.migrate_uri = suite_stage->migrate_uri,
		.listen_address = suite_stage->listen_address,
		.tls = suite_stage->tls,
		.max_downtime_ms = 300,
		/* The stage's guests have no disks. */
		.storage_proved_shared = true,
	};
}

void suite_move_start(struct suite_move *move)
{
	assert_int_equal(pthread_create(&move->thread, NULL, run_move, move), 0);
}

void suite_move_join(struct suite_move *move)
{
	assert_int_equal(pthread_join(move->thread, NULL), 0);
}

void suite_move_expect_success(struct suite_move *move)
{
	suite_move_join(move);
	if (move->result)
		fail_msg("the move failed: %s", move->error.text);
}

bool suite_has_sent(void *context)
{
	uint64_t more_than_bytes = *(uint64_t *)context;
	struct vm_job job = { 0 };

	assert_ok(suite_stage->source->ops->job(suite_stage->source, suite_uuid, &job, &suite_err));
	return job.active && job.memory_processed_bytes > more_than_bytes;
}

/* A move that is slow enough to be looked at, in its copy. */
void suite_move_start_slowly(struct suite_move *move)
{
	uint64_t nothing = 0;

	move->request.bandwidth_bytes_per_s = SLOW_BYTES_PER_S;
	suite_move_start(move);
	assert_true(suite_wait_until(suite_has_sent, &nothing, SOON_S));
}

void suite_expect_absent(struct hypervisor *h)
{
	struct vm_summary vm;

	assert_error(h->ops->find(h, suite_uuid, &vm, &suite_err), ERROR_NOT_FOUND);
	assert_false(suite_find_by_name(h, suite_guest_name, &vm));
}

bool suite_is_gone_from_source(void *context)
{
	struct vm_summary vm;
	struct error ignored;

	(void)context;
	return suite_stage->source->ops->find(suite_stage->source, suite_uuid, &vm, &ignored) ==
	       -ERROR_NOT_FOUND;
}
