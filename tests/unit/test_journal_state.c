/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers: after a restart, and after a compaction, it is what it was before. */
#include "agent/journal/journal_state.h"

#include "agent/journal/journal_codec.h"
#include "agent/kernel/guard.h"
#include "common/alloc.h"
#include "tests/scratch.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[64], path[128];
static struct journal_state s;
static struct journal *j;
static struct journal_report report;

static void reopen(void)
{
	struct error err;

	journal_close(j);
	j = NULL;
	journal_state_deinit(&s);
	if (journal_open(path, journal_state_apply, &s, &j, &report, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_journal_state.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	sprintf(path, "%s/journal", folder);
	reopen();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	journal_close(j);
	j = NULL;
	journal_state_deinit(&s);
	return scratch_remove(folder);
}

static struct attempt_name attempt(uint8_t operation, uint32_t number, uint64_t epoch)
{
	struct attempt_name a = { .number = number, .epoch = epoch };

	memset(a.operation.bytes, operation, ID_BYTES);
	return a;
}

static struct journal_attempt some_attempt(void)
{
	struct journal_attempt a = { .attempt = attempt(1, 1, 7),
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

static struct reservation some_reservation(uint8_t operation)
{
	struct reservation r = { .attempt = attempt(operation, 2, 7),
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

static struct journal_thing some_thing(void)
{
	struct journal_thing t = { .attempt = attempt(1, 1, 0),
		                   .kind = JOURNAL_TUNNEL,
		                   .pid = 4711,
		                   .start_ticks = 99,
		                   .path = "/run/drover/attempts/x/status" };

	return t;
}

/* One of everything: written, it is there; after a restart it is there still, field by field. */
static void write_everything(void)
{
	struct journal_drain_mark mark = { .epoch = 8,
		                           .shut_down = { "uuid-build7" },
		                           .n_shut_down = 1,
		                           .shutdown_timeout_ms = 60000,
		                           .draining = true,
		                           .cordoned = true,
		                           .reason = "kernel update",
		                           .leave = { "db1", "db2" },
		                           .n_leave = 2 };
	struct journal_attempt a = some_attempt();
	struct reservation r = some_reservation(2), gone = some_reservation(3);
	struct journal_thing t = some_thing(), removed = some_thing();
	struct fence fence = { .node = "host9", .epoch = 8 };
	struct error err;

	memset(mark.drain_id.bytes, 0x44, ID_BYTES);
	removed.kind = JOURNAL_SOCKET;
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), 0);
	assert_int_equal(journal_state_write_taken(&s, j, &r, &err), 0);
	assert_int_equal(journal_state_write_taken(&s, j, &gone, &err), 0);
	assert_int_equal(journal_state_write_released(&s, j, &gone.attempt, &err), 0);
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), 0);
	assert_int_equal(journal_state_write_made(&s, j, &removed, &err), 0);
	assert_int_equal(journal_state_write_removed(&s, j, &removed, &err), 0);
	assert_int_equal(journal_state_write_epoch(&s, j, 9, &err), 0);
	assert_int_equal(journal_state_write_drain_mark(&s, j, &mark, &err), 0);
	assert_int_equal(journal_state_write_fence(&s, j, &fence, &err), 0);
}

/* Compared as they are written: the structs have padding. */
static void assert_same_record(uint8_t *a, size_t a_bytes, uint8_t *b, size_t b_bytes)
{
	assert_int_equal(a_bytes, b_bytes);
	assert_memory_equal(a, b, a_bytes);
	free(a);
	free(b);
}

static void assert_everything(void)
{
	struct journal_attempt a = some_attempt();
	struct reservation r = some_reservation(2);
	struct journal_thing t = some_thing();
	size_t one_bytes, two_bytes;
	uint8_t *one, *two;

	assert_int_equal(s.epoch, 9);
	assert_int_equal(s.n_attempts, 1);
	one = journal_encode_attempt(&s.attempts[0], &one_bytes);
	two = journal_encode_attempt(&a, &two_bytes);
	assert_same_record(one, one_bytes, two, two_bytes);
	assert_int_equal(s.n_reservations, 1);
	one = journal_encode_taken(&s.reservations[0], &one_bytes);
	two = journal_encode_taken(&r, &two_bytes);
	assert_same_record(one, one_bytes, two, two_bytes);
	assert_int_equal(s.n_released, 1);
	assert_int_equal(s.released[0].operation.bytes[0], 3);
	assert_int_equal(s.n_things, 1);
	one = journal_encode_thing(&s.things[0], &one_bytes);
	two = journal_encode_thing(&t, &two_bytes);
	assert_same_record(one, one_bytes, two, two_bytes);
	assert_true(s.drain_mark.draining && s.drain_mark.cordoned);
	assert_string_equal(s.drain_mark.reason, "kernel update");
	assert_int_equal(s.drain_mark.n_leave, 2);
	assert_string_equal(s.drain_mark.leave[1], "db2");
	assert_int_equal(s.drain_mark.n_shut_down, 1);
	assert_string_equal(s.drain_mark.shut_down[0], "uuid-build7");
	assert_int_equal(s.drain_mark.shutdown_timeout_ms, 60000);
	assert_int_equal(s.drain_mark.drain_id.bytes[15], 0x44);
	assert_int_equal(s.fences.count, 1);
	assert_true(fences_cover(&s.fences, "host9", 8));
	assert_false(fences_cover(&s.fences, "host9", 9));
}

static void test_everything_comes_back(void **state)
{
	(void)state;
	write_everything();
	assert_everything();
	reopen();
	assert_false(report.quarantined);
	assert_everything();
}

/* Compaction changes the file and not what it says. */
static void test_compaction_changes_nothing(void **state)
{
	struct error err;
	size_t before;

	(void)state;
	write_everything();
	before = journal_get_bytes(j);
	assert_int_equal(journal_state_compact(&s, j, &err), 0);
	assert_true(journal_get_bytes(j) < before);
	reopen();
	assert_everything();
	assert_int_equal(report.records, 7);
	assert_false(journal_state_wants_compaction(&s, j));
}

/* The last word about an attempt counts; a tombstone for an attempt never seen is kept. */
static void test_attempt_phases(void **state)
{
	struct journal_attempt a = some_attempt(), never = some_attempt();
	struct error err;

	(void)state;
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), 0);
	a.phase = JOURNAL_ENDED;
	a.state = 6;
	strcpy(a.reason, "the destination had no room");
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), 0);
	never.attempt = attempt(9, 1, 7);
	never.phase = JOURNAL_TOMBSTONED;
	assert_int_equal(journal_state_write_attempt(&s, j, &never, &err), 0);
	reopen();
	assert_int_equal(s.n_attempts, 2);
	assert_int_equal(journal_state_find_attempt(&s, &a.attempt)->phase, JOURNAL_ENDED);
	assert_string_equal(journal_state_find_attempt(&s, &a.attempt)->reason, a.reason);
	assert_int_equal(journal_state_find_attempt(&s, &never.attempt)->phase, JOURNAL_TOMBSTONED);
	never.attempt.number = 2;
	assert_null(journal_state_find_attempt(&s, &never.attempt));
}

/* Epochs only rise, whoever brings them. */
static void test_epoch_rises(void **state)
{
	struct journal_attempt a = some_attempt();
	struct error err;
	size_t bytes;

	(void)state;
	assert_int_equal(journal_state_write_epoch(&s, j, 5, &err), 0);
	bytes = journal_get_bytes(j);
	assert_int_equal(journal_state_write_epoch(&s, j, 4, &err), 0);
	assert_int_equal(journal_get_bytes(j), bytes); /* nothing new, nothing written */
	a.attempt.epoch = 6;
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), 0);
	assert_int_equal(s.epoch, 6);
	reopen();
	assert_int_equal(s.epoch, 6);
}

/* What could not be read back is not written. */
static void test_nonsense_is_not_written(void **state)
{
	struct journal_attempt a = some_attempt();
	struct reservation r = some_reservation(2);
	struct journal_thing t = some_thing();
	size_t bytes = journal_get_bytes(j);
	struct error err;

	(void)state;
	a.guard = 99;
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), -ERROR_INVALID);
	a = some_attempt();
	a.attempt.number = 0;
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), -ERROR_INVALID);
	r.port = 0;
	assert_int_equal(journal_state_write_taken(&s, j, &r, &err), -ERROR_INVALID);
	t.kind = 0;
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), -ERROR_INVALID);
	assert_int_equal(journal_get_bytes(j), bytes);
	assert_int_equal(s.n_attempts + s.n_reservations + s.n_things, 0);
}

/* The lease as the next agent has it: every field, one by one. */
static void f24_every_field_of_a_lease(void **state)
{
	struct reservation r = some_reservation(2);
	const struct reservation *got;
	struct error err;

	(void)state;
	assert_int_equal(journal_state_write_taken(&s, j, &r, &err), 0);
	reopen();
	assert_int_equal(s.n_reservations, 1);
	got = &s.reservations[0];
	assert_true(attempt_name_equal(&got->attempt, &r.attempt));
	assert_int_equal(got->attempt.epoch, r.attempt.epoch);
	assert_string_equal(got->vm_uuid, r.vm_uuid);
	assert_string_equal(got->vm_name, r.vm_name);
	assert_string_equal(got->source_node, r.source_node);
	assert_string_equal(got->source_address, r.source_address);
	assert_int_equal(got->memory_bytes, r.memory_bytes);
	assert_int_equal(got->page_bytes, r.page_bytes);
	assert_int_equal(got->vcpus, r.vcpus);
	assert_int_equal(got->bandwidth_bytes_per_s, r.bandwidth_bytes_per_s);
	assert_int_equal(got->port, r.port);
	assert_int_equal(got->ttl_ms, r.ttl_ms);
	assert_int_equal(got->taken_wall_ms, r.taken_wall_ms);
}

/* Leases come back in the order they were taken, also through a compaction: by it the youngest loses. */
static void f24_leases_keep_their_order(void **state)
{
	struct reservation r;
	struct error err;

	(void)state;
	for (uint8_t i = 9; i > 3; i--) {
		r = some_reservation(i);
		assert_int_equal(journal_state_write_taken(&s, j, &r, &err), 0);
	}
	r = some_reservation(7);
	assert_int_equal(journal_state_write_released(&s, j, &r.attempt, &err), 0);
	assert_int_equal(journal_state_compact(&s, j, &err), 0);
	reopen();
	assert_int_equal(s.n_reservations, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(s.reservations[i].attempt.operation.bytes[0],
		                 i < 2 ? 9 - i : 8 - i);
}

/* The power fails while a lease is written: what was there before is there, the torn record is not. */
static void f24_torn_tail(void **state)
{
	struct reservation first = some_reservation(2), second = some_reservation(3);
	struct error err;
	size_t whole, before;

	(void)state;
	assert_int_equal(journal_state_write_taken(&s, j, &first, &err), 0);
	before = journal_get_bytes(j);
	assert_int_equal(journal_state_write_taken(&s, j, &second, &err), 0);
	whole = journal_get_bytes(j);
	assert_int_equal(truncate(path, (off_t)(whole - 1)), 0);
	reopen();
	assert_false(report.quarantined);
	assert_int_equal(report.dropped_bytes, whole - 1 - before);
	assert_int_equal(s.n_reservations, 1);
	assert_int_equal(s.reservations[0].attempt.operation.bytes[0], 2);
}

/* A newer version's fields are skipped, and the rest of its lease is read. */
static void f27_fields_of_a_newer_version(void **state)
{
	/* Field 1000, text "new". */
	static const uint8_t unknown[] = { 0xc2, 0x3e, 3, 'n', 'e', 'w' };
	struct reservation r = some_reservation(2);
	uint8_t *payload, *longer;
	struct error err;
	size_t bytes;

	(void)state;
	payload = journal_encode_taken(&r, &bytes);
	longer = xmalloc(bytes + sizeof(unknown));
	memcpy(longer, unknown, sizeof(unknown));
	memcpy(longer + sizeof(unknown), payload, bytes);
	assert_int_equal(
		journal_append(j, JOURNAL_TYPE_TAKEN, longer, bytes + sizeof(unknown), &err), 0);
	free(payload);
	free(longer);
	reopen();
	assert_false(report.quarantined);
	assert_int_equal(s.n_reservations, 1);
	assert_int_equal(s.reservations[0].port, 49152);
	assert_int_equal(s.reservations[0].bandwidth_bytes_per_s, 125000000);
}

/* Written twice it is one lease; released twice it is one tombstone, and the oldest of too many go. */
static void test_repeated_records(void **state)
{
	struct reservation r = some_reservation(2);
	struct attempt_name a = r.attempt;
	struct error err;

	(void)state;
	assert_int_equal(journal_state_write_taken(&s, j, &r, &err), 0);
	assert_int_equal(journal_state_write_taken(&s, j, &r, &err), 0);
	assert_int_equal(s.n_reservations, 1);
	assert_int_equal(journal_state_write_released(&s, j, &a, &err), 0);
	assert_int_equal(journal_state_write_released(&s, j, &a, &err), 0);
	assert_int_equal(s.n_reservations, 0);
	assert_int_equal(s.n_released, 1);
	for (uint32_t i = 1; i <= RESERVATION_TOMBSTONES_MAX; i++) {
		struct journal_record record = { .type = JOURNAL_TYPE_RELEASED };
		uint8_t *payload;

		a = attempt(8, i, 7);
		payload = journal_encode_released(&a, &record.bytes);
		record.payload = payload;
		assert_int_equal(journal_state_apply(&record, &s, &err), 0);
		free(payload);
	}
	assert_int_equal(s.n_released, RESERVATION_TOMBSTONES_MAX);
	assert_int_equal(s.released[0].operation.bytes[0], 8);
}

/* An image is written down before it is made, and again with what it is: a crash between the two leaves
 * its path, one after them the file itself, and giving it away leaves nothing. */
static void test_image(void **state)
{
	struct journal_thing t = { .attempt = attempt(1, 1, 0),
		                   .kind = JOURNAL_IMAGE,
		                   .path = "/srv/web1.qcow2",
		                   .vm_uuid = "uuid" };
	struct error err;

	(void)state;
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), 0);
	assert_int_equal(s.n_things, 1);
	assert_int_equal(s.things[0].inode, 0);
	t.device = 7;
	t.inode = 4711;
	t.birth_ns = 99;
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), 0);
	assert_int_equal(s.n_things, 1);
	reopen();
	assert_int_equal(s.n_things, 1);
	assert_int_equal(s.things[0].device, 7);
	assert_int_equal(s.things[0].inode, 4711);
	assert_int_equal(s.things[0].birth_ns, 99);
	assert_string_equal(s.things[0].vm_uuid, "uuid");
	assert_string_equal(s.things[0].path, "/srv/web1.qcow2");
	assert_int_equal(journal_state_write_removed(&s, j, &t, &err), 0);
	reopen();
	assert_int_equal(s.n_things, 0);
}

/* Too many things wait to be removed: no image is made. What was made is written down all the same. A drain
 * leaves so many guests and no more. */
static void test_bounds(void **state)
{
	struct journal_drain_mark mark = { .n_leave = JOURNAL_LEAVE_MAX + 1 };
	struct journal_drain_mark off = { .n_shut_down = JOURNAL_LEAVE_MAX + 1 };
	struct journal_thing t = some_thing();
	struct error err;

	(void)state;
	assert_int_equal(journal_state_write_drain_mark(&s, j, &mark, &err), -ERROR_INVALID);
	assert_int_equal(journal_state_write_drain_mark(&s, j, &off, &err), -ERROR_INVALID);
	for (uint32_t i = 0; i < JOURNAL_THINGS_MAX; i++) {
		struct journal_record record = { .type = JOURNAL_TYPE_MADE };
		uint8_t *payload;

		t.pid = i;
		payload = journal_encode_thing(&t, &record.bytes);
		record.payload = payload;
		assert_int_equal(journal_state_apply(&record, &s, &err), 0);
		free(payload);
	}
	t.pid = 99999;
	t.kind = JOURNAL_IMAGE;
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), -ERROR_NO_SPACE);
	/* One that was never made is removed without harm. */
	assert_int_equal(journal_state_write_removed(&s, j, &t, &err), 0);
	assert_int_equal(s.n_things, JOURNAL_THINGS_MAX);
	t.inode = 4711;
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), 0);
	assert_int_equal(journal_state_write_removed(&s, j, &t, &err), 0);
	t.kind = JOURNAL_TUNNEL;
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), 0);
	assert_int_equal(s.n_things, JOURNAL_THINGS_MAX + 1);
	assert_int_equal(journal_state_write_removed(&s, j, &t, &err), 0);
	assert_int_equal(s.n_things, JOURNAL_THINGS_MAX);
}

/* A record of a type that this version does not know is damage: it may be a tombstone. */
static void test_unknown_type_is_damage(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(journal_append(j, 99, "?", 1, &err), 0);
	reopen();
	assert_true(report.quarantined);
	assert_non_null(strstr(report.damage, "type 99 is not known"));
}

/* Ended attempts beyond the limit are forgotten, the oldest first; running ones never. */
static void test_forgetting(void **state)
{
	struct journal_attempt a = some_attempt();
	struct attempt_name first = a.attempt, second;
	size_t bytes;

	(void)state;
	/* Into the fold only: this is about memory, and 4096 syncs take their time. */
	for (uint32_t i = 1; i <= JOURNAL_ATTEMPTS_MAX + 5; i++) {
		struct journal_record r = { .type = JOURNAL_TYPE_ATTEMPT };
		uint8_t *payload;

		a.attempt.number = i;
		a.phase = i == 1 ? JOURNAL_STARTED : JOURNAL_ENDED;
		payload = journal_encode_attempt(&a, &bytes);
		r.payload = payload;
		r.bytes = bytes;
		assert_int_equal(journal_state_apply(&r, &s, NULL), 0);
		free(payload);
	}
	assert_int_equal(s.n_attempts, JOURNAL_ATTEMPTS_MAX);
	assert_non_null(journal_state_find_attempt(&s, &first));
	second = first;
	second.number = 2;
	assert_null(journal_state_find_attempt(&s, &second));
	second.number = JOURNAL_ATTEMPTS_MAX + 5;
	assert_non_null(journal_state_find_attempt(&s, &second));
}

static void fold(uint32_t type, uint8_t *payload, size_t bytes)
{
	struct journal_record r = { .type = type, .payload = payload, .bytes = bytes };

	assert_int_equal(journal_state_apply(&r, &s, NULL), 0);
	free(payload);
}

/* Should none of too many be over, none is forgotten: what runs is known, whatever it takes. */
static void test_none_to_forget(void **state)
{
	struct journal_attempt a = some_attempt();
	size_t bytes;

	(void)state;
	for (uint32_t i = 1; i <= JOURNAL_ATTEMPTS_MAX + 1; i++) {
		uint8_t *payload;

		a.attempt.number = i;
		payload = journal_encode_attempt(&a, &bytes);
		fold(JOURNAL_TYPE_ATTEMPT, payload, bytes);
	}
	assert_int_equal(s.n_attempts, JOURNAL_ATTEMPTS_MAX + 1);
	a.attempt.number = 1;
	assert_non_null(journal_state_find_attempt(&s, &a.attempt));
}

/* A file is written anew when most of it is old, and then not again with each record: not even where
 * what it keeps of each attempt is long. */
static void test_compaction_is_worth_it(void **state)
{
	struct journal_attempt a = some_attempt();
	struct error err;
	uint8_t *payload;
	size_t bytes;

	(void)state;
	memset(a.verification, 'v', sizeof(a.verification) - 1);
	memset(a.decisions, 'd', sizeof(a.decisions) - 1);
	a.phase = JOURNAL_ENDED;
	for (uint32_t i = 1; i <= 300; i++) {
		a.attempt.number = i;
		payload = journal_encode_attempt(&a, &bytes);
		fold(JOURNAL_TYPE_ATTEMPT, payload, bytes);
	}
	assert_int_equal(journal_state_compact(&s, j, &err), 0);
	assert_true(journal_get_bytes(j) > 1024 * 1024);
	assert_false(journal_state_wants_compaction(&s, j));
	/* Much of what is there becomes old: one attempt, written again and again. */
	bytes = journal_get_bytes(j);
	journal_state_deinit(&s);
	a = some_attempt();
	assert_int_equal(journal_state_write_attempt(&s, j, &a, &err), 0);
	assert_true(journal_state_wants_compaction(&s, j));
	assert_int_equal(journal_state_compact(&s, j, &err), 0);
	assert_true(journal_get_bytes(j) < bytes / 100);
	assert_false(journal_state_wants_compaction(&s, j));
}

/* Only the very thing that was made is taken out: a process of another start, another process, another
 * file and another attempt's are others. */
static void test_removed_is_the_very_thing(void **state)
{
	struct journal_thing made = some_thing(), other;
	struct error err;

	(void)state;
	assert_int_equal(journal_state_write_made(&s, j, &made, &err), 0);
	for (int which = 0; which < 5; which++) {
		other = made;
		if (which == 0)
			other.start_ticks++;
		else if (which == 1)
			other.pid++;
		else if (which == 2)
			strcat(other.path, "x");
		else if (which == 3)
			other.attempt.number++;
		else
			other.kind = JOURNAL_SOCKET;
		assert_int_equal(journal_state_write_removed(&s, j, &other, &err), 0);
		assert_int_equal(s.n_things, 1);
	}
	assert_int_equal(journal_state_write_removed(&s, j, &made, &err), 0);
	assert_int_equal(s.n_things, 0);
}

/* With as many dead hosts as are kept no other is taken, and one that is known is still raised: an
 * attempt of its next life would go on otherwise. */
static void test_fences_have_an_end(void **state)
{
	struct fence fence = { .node = "host1", .epoch = 9 };
	struct error err;

	(void)state;
	for (unsigned i = 0; i < FENCES_MAX; i++) {
		struct fence f = { .epoch = 1 };
		uint8_t *payload;
		size_t bytes;

		sprintf(f.node, "host%u", i);
		payload = journal_encode_fence(&f, &bytes);
		fold(JOURNAL_TYPE_FENCE, payload, bytes);
	}
	assert_int_equal(journal_state_write_fence(&s, j, &fence, &err), 0);
	assert_true(fences_cover(&s.fences, "host1", 9));
	strcpy(fence.node, "another");
	assert_int_equal(journal_state_write_fence(&s, j, &fence, &err), -ERROR_NO_SPACE);
	assert_int_equal(s.fences.count, FENCES_MAX);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_everything_comes_back),
		T(test_compaction_changes_nothing),
		T(test_attempt_phases),
		T(test_epoch_rises),
		T(test_nonsense_is_not_written),
		T(f24_every_field_of_a_lease),
		T(f24_leases_keep_their_order),
		T(f24_torn_tail),
		T(f27_fields_of_a_newer_version),
		T(test_repeated_records),
		T(test_image),
		T(test_bounds),
		T(test_unknown_type_is_damage),
		T(test_forgetting),
		T(test_none_to_forget),
		T(test_compaction_is_worth_it),
		T(test_removed_is_the_very_thing),
		T(test_fences_have_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
