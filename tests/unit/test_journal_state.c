/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers: after a restart, and after a compaction, it is what it was before. */
#include "agent/journal/journal_state.h"

#include "agent/journal/journal_codec.h"
#include "common/alloc.h"
#include "tests/unit/journal_world.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One of everything: written, it is there; after a restart it is there still, field by field. */
static void write_everything(struct journal_world *w)
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
	struct journal_attempt a = journal_world_attempt();
	struct reservation r = journal_world_reservation(2), gone = journal_world_reservation(3);
	struct journal_thing t = journal_world_thing(), removed = journal_world_thing();
	struct fence fence = { .node = "host9", .epoch = 8 };
	struct error err;

	memset(mark.drain_id.bytes, 0x44, ID_BYTES);
	removed.kind = JOURNAL_SOCKET;
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err), 0);
	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &r, &err), 0);
	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &gone, &err), 0);
	assert_int_equal(journal_state_write_released(&w->state, w->journal, &gone.attempt, &err),
	                 0);
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &removed, &err), 0);
	assert_int_equal(journal_state_write_removed(&w->state, w->journal, &removed, &err), 0);
	assert_int_equal(journal_state_write_epoch(&w->state, w->journal, 9, &err), 0);
	assert_int_equal(journal_state_write_drain_mark(&w->state, w->journal, &mark, &err), 0);
	assert_int_equal(journal_state_write_fence(&w->state, w->journal, &fence, &err), 0);
}

/* Compared as they are written: the structs have padding. */
static void assert_same_record(uint8_t *a, size_t a_bytes, uint8_t *b, size_t b_bytes)
{
	assert_int_equal(a_bytes, b_bytes);
	assert_memory_equal(a, b, a_bytes);
	free(a);
	free(b);
}

static void assert_everything(struct journal_world *w)
{
	struct journal_attempt a = journal_world_attempt();
	struct reservation r = journal_world_reservation(2);
	struct journal_thing t = journal_world_thing();
	size_t one_bytes, two_bytes;
	uint8_t *one, *two;

	assert_int_equal(w->state.epoch, 9);
	assert_int_equal(w->state.n_attempts, 1);
	one = journal_encode_attempt(&w->state.attempts[0], &one_bytes);
	two = journal_encode_attempt(&a, &two_bytes);
	assert_same_record(one, one_bytes, two, two_bytes);
	assert_int_equal(w->state.n_reservations, 1);
	one = journal_encode_taken(&w->state.reservations[0], &one_bytes);
	two = journal_encode_taken(&r, &two_bytes);
	assert_same_record(one, one_bytes, two, two_bytes);
	assert_int_equal(w->state.n_released, 1);
	assert_int_equal(w->state.released[0].operation.bytes[0], 3);
	assert_int_equal(w->state.n_things, 1);
	one = journal_encode_thing(&w->state.things[0], &one_bytes);
	two = journal_encode_thing(&t, &two_bytes);
	assert_same_record(one, one_bytes, two, two_bytes);
	assert_true(w->state.drain_mark.draining && w->state.drain_mark.cordoned);
	assert_string_equal(w->state.drain_mark.reason, "kernel update");
	assert_int_equal(w->state.drain_mark.n_leave, 2);
	assert_string_equal(w->state.drain_mark.leave[1], "db2");
	assert_int_equal(w->state.drain_mark.n_shut_down, 1);
	assert_string_equal(w->state.drain_mark.shut_down[0], "uuid-build7");
	assert_int_equal(w->state.drain_mark.shutdown_timeout_ms, 60000);
	assert_int_equal(w->state.drain_mark.drain_id.bytes[15], 0x44);
	assert_int_equal(w->state.fences.count, 1);
	assert_true(fences_cover(&w->state.fences, "host9", 8));
	assert_false(fences_cover(&w->state.fences, "host9", 9));
}

static void test_everything_comes_back(void **state)
{
	struct journal_world *w = *state;

	write_everything(w);
	assert_everything(w);
	journal_world_reopen(w);
	assert_false(w->report.quarantined);
	assert_everything(w);
}

/* Compaction changes the file and not what it says. */
static void test_compaction_changes_nothing(void **state)
{
	struct journal_world *w = *state;
	struct error err;
	size_t before;

	write_everything(w);
	before = journal_get_bytes(w->journal);
	assert_int_equal(journal_state_compact(&w->state, w->journal, &err), 0);
	assert_true(journal_get_bytes(w->journal) < before);
	journal_world_reopen(w);
	assert_everything(w);
	assert_int_equal(w->report.records, 7);
	assert_false(journal_state_wants_compaction(&w->state, w->journal));
}

/* The last word about an attempt counts; a tombstone for an attempt never seen is kept. */
static void test_attempt_phases(void **state)
{
	struct journal_world *w = *state;
	struct journal_attempt a = journal_world_attempt(), never = journal_world_attempt();
	struct error err;

	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err), 0);
	a.phase = JOURNAL_ENDED;
	a.state = 6;
	strcpy(a.reason, "the destination had no room");
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err), 0);
	never.attempt = journal_world_name(9, 1, 7);
	never.phase = JOURNAL_TOMBSTONED;
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &never, &err), 0);
	journal_world_reopen(w);
	assert_int_equal(w->state.n_attempts, 2);
	assert_int_equal(journal_state_find_attempt(&w->state, &a.attempt)->phase, JOURNAL_ENDED);
	assert_string_equal(journal_state_find_attempt(&w->state, &a.attempt)->reason, a.reason);
	assert_int_equal(journal_state_find_attempt(&w->state, &never.attempt)->phase,
	                 JOURNAL_TOMBSTONED);
	never.attempt.number = 2;
	assert_null(journal_state_find_attempt(&w->state, &never.attempt));
}

/* Epochs only rise, whoever brings them. */
static void test_epoch_rises(void **state)
{
	struct journal_world *w = *state;
	struct journal_attempt a = journal_world_attempt();
	struct error err;
	size_t bytes;

	assert_int_equal(journal_state_write_epoch(&w->state, w->journal, 5, &err), 0);
	bytes = journal_get_bytes(w->journal);
	assert_int_equal(journal_state_write_epoch(&w->state, w->journal, 4, &err), 0);
	assert_int_equal(journal_get_bytes(w->journal), bytes); /* nothing new, nothing written */
	a.attempt.epoch = 6;
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err), 0);
	assert_int_equal(w->state.epoch, 6);
	journal_world_reopen(w);
	assert_int_equal(w->state.epoch, 6);
}

/* What could not be read back is not written. */
static void test_nonsense_is_not_written(void **state)
{
	struct journal_world *w = *state;
	struct journal_attempt a = journal_world_attempt();
	struct reservation r = journal_world_reservation(2);
	struct journal_thing t = journal_world_thing();
	size_t bytes = journal_get_bytes(w->journal);
	struct error err;

	a.guard = 99;
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err),
	                 -ERROR_INVALID);
	a = journal_world_attempt();
	a.attempt.number = 0;
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err),
	                 -ERROR_INVALID);
	r.port = 0;
	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &r, &err),
	                 -ERROR_INVALID);
	t.kind = 0;
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err), -ERROR_INVALID);
	assert_int_equal(journal_get_bytes(w->journal), bytes);
	assert_int_equal(w->state.n_attempts + w->state.n_reservations + w->state.n_things, 0);
}

/* The lease as the next agent has it: every field, one by one. */
static void f24_every_field_of_a_lease(void **state)
{
	struct journal_world *w = *state;
	struct reservation r = journal_world_reservation(2);
	const struct reservation *got;
	struct error err;

	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &r, &err), 0);
	journal_world_reopen(w);
	assert_int_equal(w->state.n_reservations, 1);
	got = &w->state.reservations[0];
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
	struct journal_world *w = *state;
	struct reservation r;
	struct error err;

	for (uint8_t i = 9; i > 3; i--) {
		r = journal_world_reservation(i);
		assert_int_equal(journal_state_write_taken(&w->state, w->journal, &r, &err), 0);
	}
	r = journal_world_reservation(7);
	assert_int_equal(journal_state_write_released(&w->state, w->journal, &r.attempt, &err), 0);
	assert_int_equal(journal_state_compact(&w->state, w->journal, &err), 0);
	journal_world_reopen(w);
	assert_int_equal(w->state.n_reservations, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(w->state.reservations[i].attempt.operation.bytes[0],
		                 i < 2 ? 9 - i : 8 - i);
}

/* The power fails while a lease is written: what was there before is there, the torn record is not. */
static void f24_torn_tail(void **state)
{
	struct journal_world *w = *state;
	struct reservation first = journal_world_reservation(2),
			   second = journal_world_reservation(3);
	struct error err;
	size_t whole, before;

	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &first, &err), 0);
	before = journal_get_bytes(w->journal);
	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &second, &err), 0);
	whole = journal_get_bytes(w->journal);
	assert_int_equal(truncate(w->path, (off_t)(whole - 1)), 0);
	journal_world_reopen(w);
	assert_false(w->report.quarantined);
	assert_int_equal(w->report.dropped_bytes, whole - 1 - before);
	assert_int_equal(w->state.n_reservations, 1);
	assert_int_equal(w->state.reservations[0].attempt.operation.bytes[0], 2);
}

/* A newer version's fields are skipped, and the rest of its lease is read. */
static void f27_fields_of_a_newer_version(void **state)
{
	struct journal_world *w = *state;
	/* Field 1000, text "new". */
	static const uint8_t unknown[] = { 0xc2, 0x3e, 3, 'n', 'e', 'w' };
	struct reservation r = journal_world_reservation(2);
	uint8_t *payload, *longer;
	struct error err;
	size_t bytes;

	payload = journal_encode_taken(&r, &bytes);
	longer = xmalloc(bytes + sizeof(unknown));
	memcpy(longer, unknown, sizeof(unknown));
	memcpy(longer + sizeof(unknown), payload, bytes);
	assert_int_equal(journal_append(w->journal, JOURNAL_TYPE_TAKEN, longer,
	                                bytes + sizeof(unknown), &err),
	                 0);
	free(payload);
	free(longer);
	journal_world_reopen(w);
	assert_false(w->report.quarantined);
	assert_int_equal(w->state.n_reservations, 1);
	assert_int_equal(w->state.reservations[0].port, 49152);
	assert_int_equal(w->state.reservations[0].bandwidth_bytes_per_s, 125000000);
}

/* A record of a type that this version does not know is damage: it may be a tombstone. */
static void test_unknown_type_is_damage(void **state)
{
	struct journal_world *w = *state;
	struct error err;

	assert_int_equal(journal_append(w->journal, 99, "?", 1, &err), 0);
	journal_world_reopen(w);
	assert_true(w->report.quarantined);
	assert_non_null(strstr(w->report.damage, "type 99 is not known"));
}

/* An image is written down before it is made, and again with what it is: a crash between the two leaves
 * its path, one after them the file itself, and giving it away leaves nothing. */
static void test_image(void **state)
{
	struct journal_world *w = *state;
	struct journal_thing t = { .attempt = journal_world_name(1, 1, 0),
		                   .kind = JOURNAL_IMAGE,
		                   .path = "/srv/web1.qcow2",
		                   .vm_uuid = "uuid" };
	struct error err;

	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(w->state.n_things, 1);
	assert_int_equal(w->state.things[0].inode, 0);
	t.device = 7;
	t.inode = 4711;
	t.birth_ns = 99;
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(w->state.n_things, 1);
	journal_world_reopen(w);
	assert_int_equal(w->state.n_things, 1);
	assert_int_equal(w->state.things[0].device, 7);
	assert_int_equal(w->state.things[0].inode, 4711);
	assert_int_equal(w->state.things[0].birth_ns, 99);
	assert_string_equal(w->state.things[0].vm_uuid, "uuid");
	assert_string_equal(w->state.things[0].path, "/srv/web1.qcow2");
	assert_int_equal(journal_state_write_removed(&w->state, w->journal, &t, &err), 0);
	journal_world_reopen(w);
	assert_int_equal(w->state.n_things, 0);
}

/* Only the very thing that was made is taken out: a process of another start, another process, another
 * file and another attempt's are others. */
static void test_removed_is_the_very_thing(void **state)
{
	struct journal_world *w = *state;
	struct journal_thing made = journal_world_thing(), other;
	struct error err;

	assert_int_equal(journal_state_write_made(&w->state, w->journal, &made, &err), 0);
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
		assert_int_equal(journal_state_write_removed(&w->state, w->journal, &other, &err),
		                 0);
		assert_int_equal(w->state.n_things, 1);
	}
	assert_int_equal(journal_state_write_removed(&w->state, w->journal, &made, &err), 0);
	assert_int_equal(w->state.n_things, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, journal_world_setup, journal_world_teardown)

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
		T(test_unknown_type_is_damage),
		T(test_image),
		T(test_removed_is_the_very_thing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
