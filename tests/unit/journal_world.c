/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/journal_world.h"

#include "agent/journal/journal_codec.h"
#include "agent/kernel/guard.h"
#include "common/alloc.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void journal_world_reopen(struct journal_world *w)
{
	struct error err;

	journal_close(w->journal);
	w->journal = NULL;
	journal_state_deinit(&w->state);
	if (journal_open(w->path, journal_state_apply, &w->state, &w->journal, &w->report, &err) <
	    0)
		fail_msg("%s", err.text);
}

int journal_world_setup(void **state)
{
	struct journal_world *w = xnew(struct journal_world);

	*state = w;
	strcpy(w->folder, "/tmp/test_journal_state.XXXXXX");
	if (!mkdtemp(w->folder))
		return -1;
	sprintf(w->path, "%s/journal", w->folder);
	journal_world_reopen(w);
	return 0;
}

int journal_world_teardown(void **state)
{
	struct journal_world *w = *state;
	int r;

	journal_close(w->journal);
	journal_state_deinit(&w->state);
	r = scratch_remove(w->folder);
	free(w);
	return r;
}

void journal_world_fold(struct journal_world *w, uint32_t type, uint8_t *payload, size_t bytes)
{
	struct journal_record r = { .type = type, .payload = payload, .bytes = bytes };

	assert_int_equal(journal_state_apply(&r, &w->state, NULL), 0);
	free(payload);
}

struct attempt_name journal_world_name(uint8_t operation, uint32_t number, uint64_t epoch)
{
	struct attempt_name a = { .number = number, .epoch = epoch };

	memset(a.operation.bytes, operation, ID_BYTES);
	return a;
}

struct journal_attempt journal_world_attempt(void)
{
	struct journal_attempt a = { .attempt = journal_world_name(1, 1, 7),
		                     .phase = JOURNAL_STARTED,
		                     .vm_uuid = "11111111-2222-3333-4444-555555555555",
		                     .vm_name = "web1",
		                     .target_node = "host2",
		                     .target_address = "tcp://10.77.0.2:7788",
		                     .guard = GUARD_TWO_STEP,
		                     .bandwidth_bytes_per_s = 1,
		                     .max_downtime_ms = 2,
		                     .completion_timeout_ms_per_gib = 3,
		                     .progress_timeout_ms = 4,
		                     .tls = true,
		                     .persistent = true,
		                     .autostart = true,
		                     .wall_ms = 5,
		                     .duration_ms = 6,
		                     .downtime_ms = 7,
		                     .transferred_bytes = 8,
		                     .wire_bytes = 9,
		                     .unsafe = true,
		                     .stop_off_network = true,
		                     .shortest_first = true,
		                     .waits_for_slot = true,
		                     .copy_disks = true,
		                     .transfer = { .connections = 4,
		                                   .compression = COMPRESSION_XBZRLE,
		                                   .copy_incremental = true,
		                                   .copy_only = "vda,vdb" },
		                     .strategy = 3,
		                     .rung = 2,
		                     .post_copy = true,
		                     .paused_by_us = true,
		                     .ran_twice = true,
		                     .source_went_on = true,
		                     .decisions = "after 3 s: one\nafter 4 s: two",
		                     .verification = "\nstate\t1\trunning\trunning\t\n",
		                     .copied = "vda /srv/web1.qcow2",
		                     .migration_address = "fd00:78::2",
		                     .port = 49152,
		                     .disk_port = 49153 };

	return a;
}

struct reservation journal_world_reservation(uint8_t operation)
{
	struct reservation r = { .attempt = journal_world_name(operation, 2, 7),
		                 .vm_uuid = "11111111-2222-3333-4444-555555555555",
		                 .vm_name = "web1",
		                 .source_node = "host1",
		                 .source_address = "fd00:78::1",
		                 .memory_bytes = 1 << 20,
		                 .port = 49152,
		                 .page_bytes = 2 << 20,
		                 .vcpus = 3,
		                 .bandwidth_bytes_per_s = 125000000,
		                 .taken_wall_ms = 1234567,
		                 .disk_port = 49153,
		                 .disk_rooms = { { 7, 1234 }, { 8, 99 } },
		                 .n_disk_rooms = 2,
		                 .ttl_ms = 30000,
		                 .has_run = true };

	return r;
}

struct journal_thing journal_world_thing(void)
{
	struct journal_thing t = { .attempt = journal_world_name(1, 1, 0),
		                   .kind = JOURNAL_TUNNEL,
		                   .pid = 4711,
		                   .start_ticks = 99,
		                   .path = "/run/drover/attempts/x/status" };

	return t;
}
