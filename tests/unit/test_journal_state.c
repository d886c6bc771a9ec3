/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers: after a restart, and after a compaction, it is what it was before. */
#include "agent/journal/journal_state.h"

#include "agent/journal/journal.pb-c.h"
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
	assert_int_equal(report.records, 6);
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

/* Payloads that are no messages, and messages whose fields make no sense, are refused by each decoder. */
static void test_every_decoder_refuses_nonsense(void **state)
{
	static const uint8_t bad[] = { 0xff, 0xff, 0xff };
	struct error err;

	(void)state;
	for (uint32_t type = JOURNAL_TYPE_ATTEMPT; type <= JOURNAL_TYPE_DRAIN_MARK; type++) {
		struct journal_record r = { .type = type, .payload = bad, .bytes = sizeof(bad) };

		assert_int_equal(journal_state_apply(&r, &s, &err), -ERROR_INVALID);
		r.bytes = 0;
		/* An empty message names no attempt and no drain; an epoch of 0 is one. */
		assert_int_equal(journal_state_apply(&r, &s, &err),
		                 type == JOURNAL_TYPE_EPOCH ? 0 : -ERROR_INVALID);
	}
}

static int apply_message(uint32_t type, const ProtobufCMessage *m)
{
	size_t bytes = protobuf_c_message_get_packed_size(m);
	uint8_t *payload = xmalloc(bytes + 1);
	struct journal_record r = { .type = type, .payload = payload };
	struct error err;
	int rc;

	r.bytes = protobuf_c_message_pack(m, payload);
	rc = journal_state_apply(&r, &s, &err);
	free(payload);
	return rc;
}

/* A text longer than its place, an attempt that is none, a number that has no meaning: each by itself
 * makes the record damage, and nothing of it is taken over. */
static void test_every_field_is_checked(void **state)
{
	static char text[VM_PATH_BYTES + ERROR_TEXT_BYTES];
	static uint8_t id[ID_BYTES] = { 1 };
	Drover__Journal__Attempt name = DROVER__JOURNAL__ATTEMPT__INIT;
	Drover__Journal__ReservationReleased released = DROVER__JOURNAL__RESERVATION_RELEASED__INIT;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	name.operation_id = (ProtobufCBinaryData){ .len = ID_BYTES, .data = id };
	name.number = 1;
	for (int field = 0; field < 11; field++) {
		Drover__Journal__SourceAttempt m = DROVER__JOURNAL__SOURCE_ATTEMPT__INIT;
		char **const texts[] = { &m.vm_uuid, &m.vm_name, &m.target_node, &m.target_address,
			                 &m.reason,  &m.copied,  &m.copy_only };

		m.attempt = &name;
		m.phase = JOURNAL_STARTED;
		if (field < 7)
			*texts[field] = text;
		else if (field == 7)
			m.phase = JOURNAL_TOMBSTONED + 1;
		else if (field == 8)
			m.guard = GUARDS;
		else if (field == 9)
			m.compression = COMPRESSIONS;
		else
			m.attempt = NULL;
		assert_int_equal(apply_message(JOURNAL_TYPE_ATTEMPT, &m.base), -ERROR_INVALID);
	}
	for (int field = 0; field < 9; field++) {
		Drover__Journal__DiskRoom room = DROVER__JOURNAL__DISK_ROOM__INIT;
		Drover__Journal__DiskRoom *rooms[VM_DISKS_MAX + 1];
		Drover__Journal__ReservationTaken m = DROVER__JOURNAL__RESERVATION_TAKEN__INIT;
		char **const texts[] = { &m.vm_uuid, &m.vm_name, &m.source_node };

		m.attempt = &name;
		m.memory_bytes = 1;
		m.port = 1;
		for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
			rooms[i] = &room;
		m.disk_rooms = rooms;
		if (field < 3)
			*texts[field] = text;
		else if (field == 3)
			m.memory_bytes = 0;
		else if (field == 4)
			m.port = 65536;
		else if (field == 5)
			m.port = 0;
		else if (field == 6)
			m.disk_port = 65536;
		else if (field == 7)
			m.n_disk_rooms = VM_DISKS_MAX + 1;
		else
			m.guard = GUARDS;
		assert_int_equal(apply_message(JOURNAL_TYPE_TAKEN, &m.base), -ERROR_INVALID);
	}
	for (int field = 0; field < 3; field++) {
		Drover__Journal__Thing m = DROVER__JOURNAL__THING__INIT;

		m.attempt = &name;
		m.kind = field == 1 ? JOURNAL_IMAGE + 1 : JOURNAL_SOCKET;
		m.path = field == 0 ? text : m.path;
		m.vm_uuid = field == 2 ? text : m.vm_uuid;
		assert_int_equal(apply_message(JOURNAL_TYPE_MADE, &m.base), -ERROR_INVALID);
	}
	for (int field = 0; field < 3; field++) {
		Drover__Journal__DrainMark m = DROVER__JOURNAL__DRAIN_MARK__INIT;
		char *leave[JOURNAL_LEAVE_MAX + 1];

		for (size_t i = 0; i <= JOURNAL_LEAVE_MAX; i++)
			leave[i] = text;
		m.drain_id = name.operation_id;
		m.leave = leave;
		m.n_leave = field == 0 ? JOURNAL_LEAVE_MAX + 1 : (size_t)field - 1;
		m.reason = field == 1 ? text : m.reason;
		assert_int_equal(apply_message(JOURNAL_TYPE_DRAIN_MARK, &m.base), -ERROR_INVALID);
	}
	released.attempt = &name;
	name.number = 0;
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	name.number = ATTEMPT_NUMBER_MAX + 1u;
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	name.number = 1;
	name.operation_id.len = 3;
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	assert_int_equal(s.n_attempts + s.n_reservations + s.n_things + s.n_released, 0);
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

/* Too many things wait to be removed: no more are made. A drain leaves so many guests and no more. */
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
	assert_int_equal(journal_state_write_made(&s, j, &t, &err), -ERROR_NO_SPACE);
	/* One that was never made is removed without harm. */
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
		T(test_every_decoder_refuses_nonsense),
		T(test_every_field_is_checked),
		T(test_image),
		T(test_bounds),
		T(test_unknown_type_is_damage),
		T(test_forgetting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
