/* SPDX-License-Identifier: Apache-2.0 */
/* What a record of the journal must be to be believed: each decoder, field by field. */
#include "agent/journal/journal_codec.h"

#include "agent/journal/journal.pb-c.h"
#include "agent/kernel/guard.h"
#include "common/alloc.h"
#include "common/strategy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct journal_state s;

static int teardown(void **state)
{
	(void)state;
	journal_state_deinit(&s);
	return 0;
}

/* Payloads that are no messages, and messages whose fields make no sense, are refused by each decoder. */
static void test_every_decoder_refuses_nonsense(void **state)
{
	static const uint32_t types[] = { JOURNAL_TYPE_ATTEMPT,    JOURNAL_TYPE_TAKEN,
		                          JOURNAL_TYPE_RELEASED,   JOURNAL_TYPE_MADE,
		                          JOURNAL_TYPE_REMOVED,    JOURNAL_TYPE_EPOCH,
		                          JOURNAL_TYPE_DRAIN_MARK, JOURNAL_TYPE_FENCE };
	static const uint8_t bad[] = { 0xff, 0xff, 0xff };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct journal_record r = { .type = types[i],
			                    .payload = bad,
			                    .bytes = sizeof(bad) };

		assert_int_equal(journal_state_apply(&r, &s, &err), -ERROR_INVALID);
		r.bytes = 0;
		/* An empty message names no attempt, no drain and no host; an epoch of 0 is one. */
		assert_int_equal(journal_state_apply(&r, &s, &err),
		                 types[i] == JOURNAL_TYPE_EPOCH ? 0 : -ERROR_INVALID);
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
	static char text[VM_PATH_BYTES + VERIFICATION_TEXT_BYTES + JOURNAL_DECISIONS_BYTES];
	static uint8_t id[ID_BYTES] = { 1 };
	Drover__Journal__Attempt name = DROVER__JOURNAL__ATTEMPT__INIT;
	Drover__Journal__ReservationReleased released = DROVER__JOURNAL__RESERVATION_RELEASED__INIT;
	Drover__Journal__Fence fence = DROVER__JOURNAL__FENCE__INIT;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	name.operation_id = (ProtobufCBinaryData){ .len = ID_BYTES, .data = id };
	name.number = 1;
	for (int field = 0; field < 18; field++) {
		Drover__Journal__SourceAttempt m = DROVER__JOURNAL__SOURCE_ATTEMPT__INIT;
		char **const texts[] = { &m.vm_uuid,           &m.vm_name,   &m.target_node,
			                 &m.target_address,    &m.reason,    &m.copied,
			                 &m.migration_address, &m.copy_only, &m.decisions,
			                 &m.verification };

		m.attempt = &name;
		m.phase = JOURNAL_STARTED;
		if (field < 10)
			*texts[field] = text;
		else if (field == 10)
			m.phase = JOURNAL_TOMBSTONED + 1;
		else if (field == 11)
			m.phase = JOURNAL_STARTED - 1;
		else if (field == 12)
			m.guard = GUARDS;
		else if (field == 13)
			m.strategy = LADDERS;
		else if (field == 14)
			m.port = UINT16_MAX + 1;
		else if (field == 15)
			m.disk_port = UINT16_MAX + 1;
		else if (field == 16)
			m.compression = COMPRESSIONS;
		else
			m.attempt = NULL;
		assert_int_equal(apply_message(JOURNAL_TYPE_ATTEMPT, &m.base), -ERROR_INVALID);
	}
	for (int field = 0; field < 10; field++) {
		Drover__Journal__DiskRoom room = DROVER__JOURNAL__DISK_ROOM__INIT;
		Drover__Journal__DiskRoom *rooms[VM_DISKS_MAX + 1];
		Drover__Journal__ReservationTaken m = DROVER__JOURNAL__RESERVATION_TAKEN__INIT;
		char **const texts[] = { &m.vm_uuid, &m.vm_name, &m.source_node,
			                 &m.source_address };

		m.attempt = &name;
		m.memory_bytes = 1;
		m.port = 1;
		for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
			rooms[i] = &room;
		m.disk_rooms = rooms;
		if (field < 4)
			*texts[field] = text;
		else if (field == 4)
			m.memory_bytes = 0;
		else if (field == 5)
			m.port = 65536;
		else if (field == 6)
			m.port = 0;
		else if (field == 7)
			m.disk_port = 65536;
		else if (field == 8)
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
	for (int field = 0; field < 5; field++) {
		Drover__Journal__DrainMark m = DROVER__JOURNAL__DRAIN_MARK__INIT;
		char *leave[JOURNAL_LEAVE_MAX + 1];

		for (size_t i = 0; i <= JOURNAL_LEAVE_MAX; i++)
			leave[i] = text;
		m.drain_id = name.operation_id;
		m.leave = leave;
		m.shut_down = leave;
		if (field == 0)
			m.n_leave = JOURNAL_LEAVE_MAX + 1;
		else if (field == 1)
			m.n_leave = 1;
		else if (field == 2)
			m.n_shut_down = JOURNAL_LEAVE_MAX + 1;
		else if (field == 3)
			m.n_shut_down = 1;
		else
			m.reason = text;
		assert_int_equal(apply_message(JOURNAL_TYPE_DRAIN_MARK, &m.base), -ERROR_INVALID);
	}
	fence.node = text;
	fence.epoch = 7;
	assert_int_equal(apply_message(JOURNAL_TYPE_FENCE, &fence.base), -ERROR_INVALID);
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	released.attempt = &name;
	name.number = 0;
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	name.number = ATTEMPT_NUMBER_MAX + 1u;
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	name.number = 1;
	name.operation_id.len = 3;
	assert_int_equal(apply_message(JOURNAL_TYPE_RELEASED, &released.base), -ERROR_INVALID);
	assert_int_equal(s.n_attempts + s.n_reservations + s.n_things + s.n_released, 0);
	assert_int_equal(s.fences.count, 0);
	assert_int_equal(s.drain_mark.n_leave + s.drain_mark.n_shut_down, 0);
	assert_int_equal(s.epoch, 0);
}

/* Of the same messages those that are whole are taken: it was the one field that was refused. */
static void test_whole_messages_are_taken(void **state)
{
	static uint8_t id[ID_BYTES] = { 1 };
	Drover__Journal__Attempt name = DROVER__JOURNAL__ATTEMPT__INIT;
	Drover__Journal__SourceAttempt source = DROVER__JOURNAL__SOURCE_ATTEMPT__INIT;
	Drover__Journal__ReservationTaken taken = DROVER__JOURNAL__RESERVATION_TAKEN__INIT;
	Drover__Journal__Thing thing = DROVER__JOURNAL__THING__INIT;
	Drover__Journal__DrainMark mark = DROVER__JOURNAL__DRAIN_MARK__INIT;

	(void)state;
	name.operation_id = (ProtobufCBinaryData){ .len = ID_BYTES, .data = id };
	name.number = ATTEMPT_NUMBER_MAX;
	source.attempt = taken.attempt = thing.attempt = &name;
	source.phase = JOURNAL_TOMBSTONED;
	source.port = source.disk_port = UINT16_MAX;
	assert_int_equal(apply_message(JOURNAL_TYPE_ATTEMPT, &source.base), 0);
	taken.memory_bytes = 1;
	taken.port = taken.disk_port = UINT16_MAX;
	assert_int_equal(apply_message(JOURNAL_TYPE_TAKEN, &taken.base), 0);
	thing.kind = JOURNAL_IMAGE;
	assert_int_equal(apply_message(JOURNAL_TYPE_MADE, &thing.base), 0);
	mark.drain_id = name.operation_id;
	mark.epoch = 3;
	assert_int_equal(apply_message(JOURNAL_TYPE_DRAIN_MARK, &mark.base), 0);
	assert_int_equal(s.n_attempts, 1);
	assert_int_equal(s.attempts[0].disk_port, UINT16_MAX);
	assert_int_equal(s.n_reservations, 1);
	assert_int_equal(s.n_things, 1);
	assert_int_equal(s.epoch, 3);
}

#define T(test) cmocka_unit_test_teardown(test, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_decoder_refuses_nonsense),
		T(test_every_field_is_checked),
		T(test_whole_messages_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
