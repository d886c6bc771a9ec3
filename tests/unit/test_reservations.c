/* SPDX-License-Identifier: Apache-2.0 */
/* Leases at the destination: one room is given once, nothing is counted twice, nothing expires that
 * is in use or unknown. */
#include "agent/kernel/reservations.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

DEFINE_CLEANUP(struct reservations *, reservations_free);
#define _cleanup_reservations_ _cleanup_(reservations_freep)

static struct attempt_name attempt(uint8_t operation, uint32_t number, uint64_t epoch)
{
	struct attempt_name a = { .number = number, .epoch = epoch };

	memset(a.operation.bytes, operation, ID_BYTES);
	return a;
}

static struct reservation want(uint8_t operation, const char *uuid, uint64_t mib, uint16_t port)
{
	struct reservation r = { .memory_bytes = mib * MIB, .port = port };

	r.attempt = attempt(operation, 1, 1);
	snprintf(r.vm_uuid, sizeof(r.vm_uuid), "%s", uuid);
	snprintf(r.source_node, sizeof(r.source_node), "host1");
	return r;
}

static struct guest_memory guest(const char *uuid, uint64_t mib)
{
	struct guest_memory g = { .bytes = mib * MIB };

	snprintf(g.uuid, sizeof(g.uuid), "%s", uuid);
	return g;
}

/* 1024 MiB, 64 of them in reserve, no guests. */
static struct reservations *host(void)
{
	struct reservations *r = reservations_new(&(struct reservations_limits){
		.capacity_bytes = 1024 * MIB, .reserve_bytes = 64 * MIB });

	reservations_set_guests(r, NULL, 0);
	return r;
}

static int take(struct reservations *r, struct reservation w, uint64_t now_ms)
{
	struct error err;

	return reservations_take(r, &w, now_ms, NULL, &err);
}

static uint64_t free_mib(const struct reservations *r)
{
	struct memory_totals t;

	reservations_get_totals(r, &t);
	return t.free_bytes / MIB;
}

/* Of two admissions for one room exactly one passes, and the other hears the numbers. */
static void test_one_room(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct reservation second = want(2, "b", 600, 49153);
	struct error err;

	(void)state;
	assert_int_equal(take(r, want(1, "a", 600, 49152), 0), 0);
	assert_int_equal(reservations_take(r, &second, 0, NULL, &err), -ERROR_NO_SPACE);
	assert_string_equal(
		err.text, "600 MiB needed, 360 MiB free (600 MiB reserved for 1 on the way here)");
	assert_int_equal(free_mib(r), 360);
	/* The room is used to the last byte. */
	assert_int_equal(take(r, want(3, "c", 360, 49153), 0), 0);
	assert_int_equal(free_mib(r), 0);
}

/* The same attempt again gets the same reservation and a new lease, whatever else it asks. */
static void test_same_attempt_again(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct reservation w = want(1, "a", 600, 49152), again = want(1, "a", 900, 49153);
	const struct reservation *got;
	struct error err;
	size_t count;

	(void)state;
	assert_int_equal(take(r, w, 0), 0);
	assert_int_equal(reservations_take(r, &again, 20000, &got, &err), 0);
	assert_int_equal(got->port, 49152);
	assert_int_equal(got->memory_bytes, 600 * MIB);
	assert_int_equal(got->expires_ms, 50000);
	reservations_get_all(r, &count);
	assert_int_equal(count, 1);
	/* For another guest it is not the same. */
	again = want(1, "other", 600, 49152);
	assert_int_equal(take(r, again, 0), -ERROR_EXISTS);
}

/* A port and a guest are leased once. */
static void test_port_and_guest_are_taken_once(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();

	(void)state;
	assert_int_equal(take(r, want(1, "a", 100, 49152), 0), 0);
	assert_int_equal(take(r, want(2, "b", 100, 49152), 0), -ERROR_BUSY);
	assert_int_equal(take(r, want(2, "a", 100, 49153), 0), -ERROR_BUSY);
	assert_true(reservations_has_port(r, 49152));
	assert_false(reservations_has_port(r, 49153));
	assert_non_null(reservations_find_vm(r, "a"));
	assert_null(reservations_find_vm(r, "b"));
}

/* A lease ends when nobody renews it, exactly then, and only that one. */
static void test_expiry(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct attempt_name second = attempt(2, 1, 1);
	struct reservation gone;
	struct error err;

	(void)state;
	take(r, want(1, "a", 100, 49152), 1000);
	take(r, want(2, "b", 100, 49153), 1000);
	assert_int_equal(reservations_next_expiry_ms(r), 31000);
	assert_false(reservations_expire(r, 30999, &gone));
	assert_int_equal(reservations_renew(r, &second, 30999, NULL, &err), 0);
	assert_true(reservations_expire(r, 31000, &gone));
	assert_string_equal(gone.vm_uuid, "a");
	assert_false(reservations_expire(r, 31000, &gone));
	assert_int_equal(free_mib(r), 860);
	/* Expired is ended: neither renewed nor taken again. */
	assert_int_equal(reservations_renew(r, &gone.attempt, 31001, NULL, &err), -ERROR_STALE);
	assert_int_equal(take(r, want(1, "a", 100, 49152), 31001), -ERROR_STALE);
	/* Never there is something else. */
	second = attempt(9, 1, 1);
	assert_int_equal(reservations_renew(r, &second, 31001, NULL, &err), -ERROR_NOT_FOUND);
}

/* Reservation and guest are the same bytes: counted once before, once during, once after. */
static void test_conversion_counts_once(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct guest_memory guests[] = { guest("resident", 200), guest("a", 300) };
	struct attempt_name a = attempt(1, 1, 1);
	struct memory_totals t;

	(void)state;
	reservations_set_guests(r, guests, 1);
	assert_int_equal(take(r, want(1, "a", 300, 49152), 0), 0);
	assert_int_equal(free_mib(r), 460);

	reservations_set_guests(r, guests, 2); /* it appears */
	assert_int_equal(free_mib(r), 460);
	reservations_get_totals(r, &t);
	assert_int_equal(t.n_reserved, 0);
	assert_int_equal(t.n_guests, 2);

	assert_true(reservations_release(r, &a)); /* it has arrived */
	assert_int_equal(free_mib(r), 460);

	reservations_set_guests(r, guests, 1); /* and leaves again */
	assert_int_equal(free_mib(r), 760);
}

/* While libvirt lists the guest, or cannot be asked, its lease does not expire. */
static void test_no_expiry_in_use_or_unknown(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct guest_memory a = guest("a", 100);
	struct reservation gone;

	(void)state;
	take(r, want(1, "a", 100, 49152), 0);
	reservations_set_guests(r, &a, 1);
	assert_false(reservations_expire(r, MINUTES_MS(10), &gone));
	reservations_set_guests_unknown(r);
	assert_false(reservations_expire(r, MINUTES_MS(10), &gone));
	assert_int_equal(reservations_next_expiry_ms(r), UINT64_MAX);
	/* An aborted move: the guest is gone again, nobody renews. */
	reservations_set_guests(r, NULL, 0);
	assert_true(reservations_expire(r, MINUTES_MS(10), &gone));
	assert_true(gone.was_in_use);
}

/* A guest that ran here and is gone leaves its lease, so that its source can be told, and takes no room:
 * until the source gives it back. That it ran is told once. */
static void test_no_expiry_of_what_ran(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct guest_memory a = guest("a", 100);
	const struct reservation *ran;
	struct attempt_name name;
	uint64_t before;

	(void)state;
	before = free_mib(r);
	take(r, want(1, "a", 100, 49152), 0);
	take(r, want(2, "b", 100, 49153), 0);
	assert_null(reservations_guest_runs(r, "c"));
	reservations_set_guests(r, &a, 1);
	ran = reservations_guest_runs(r, "a");
	assert_non_null(ran);
	assert_true(ran->has_run);
	name = ran->attempt;
	assert_null(reservations_guest_runs(r, "a"));

	reservations_set_guests(r, NULL, 0);
	assert_true(reservations_expire(r, MINUTES_MS(10), NULL)); /* of b */
	assert_false(reservations_expire(r, MINUTES_MS(10), NULL));
	assert_int_equal(reservations_next_expiry_ms(r), UINT64_MAX);
	assert_int_equal(free_mib(r), before);
	assert_int_equal(reservations_get_vcpus(r), 0);
	assert_true(reservations_find(r, &name)->has_run);
	assert_int_equal(take(r, want(3, "d", 100, 49152), 0), -ERROR_BUSY);
	assert_true(reservations_release(r, &name));
	assert_int_equal(take(r, want(3, "d", 100, 49152), 0), 0);
}

/* Nothing is admitted on a host whose guests are not known, at the start or later. */
static void test_unknown_guests_admit_nothing(void **state)
{
	_cleanup_reservations_ struct reservations *r = reservations_new(
		&(struct reservations_limits){ .capacity_bytes = 1024 * MIB });

	(void)state;
	assert_int_equal(take(r, want(1, "a", 1, 49152), 0), -ERROR_UNREACHABLE);
	reservations_set_guests(r, NULL, 0);
	assert_int_equal(take(r, want(1, "a", 1, 49152), 0), 0);
	reservations_set_guests_unknown(r);
	assert_int_equal(take(r, want(2, "b", 1, 49153), 0), -ERROR_UNREACHABLE);
	/* But what was promised stays promised. */
	assert_int_equal(take(r, want(1, "a", 1, 49152), 0), 0);
}

/* A lower epoch, an ended attempt and an overtaken number are refused as stale; what was admitted
 * before the epoch rose is renewed and given back all the same. */
static void test_stale(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct reservation w = want(1, "a", 100, 49152);
	struct attempt_name late = attempt(7, 1, 5);
	struct error err;

	(void)state;
	w.attempt.epoch = 5;
	w.attempt.number = 2;
	assert_int_equal(take(r, w, 0), 0);
	assert_int_equal(reservations_get_epoch(r), 5);

	w = want(2, "b", 100, 49153);
	w.attempt.epoch = 4;
	assert_int_equal(take(r, w, 0), -ERROR_STALE);
	w = want(3, "d", 100, 49154);
	w.attempt.epoch = 5;
	assert_int_equal(take(r, w, 0), 0);
	reservations_see_epoch(r, 6);
	assert_int_equal(reservations_renew(r, &w.attempt, 0, NULL, &err), 0);
	assert_true(reservations_release(r, &w.attempt));
	assert_int_equal(reservations_renew(r, &w.attempt, 0, NULL, &err), -ERROR_STALE);
	late.epoch = 6;

	w = want(1, "a", 100, 49153);
	w.attempt.epoch = 6; /* number 1 after number 2 */
	assert_int_equal(take(r, w, 0), -ERROR_STALE);

	/* A release that overtakes its admission wins. */
	assert_false(reservations_release(r, &late));
	w = want(7, "c", 100, 49153);
	w.attempt.epoch = 6;
	assert_int_equal(take(r, w, 0), -ERROR_STALE);
	w.attempt.number = 2;
	assert_int_equal(take(r, w, 0), 0);
}

/* Only the last thousand ended attempts are remembered, and the rest does no harm. */
static void test_tombstones_are_bounded(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct reservation w = want(1, "a", 1, 49152);

	(void)state;
	for (uint32_t i = 1; i <= RESERVATION_TOMBSTONES_MAX + 10; i++) {
		struct attempt_name a = attempt(2, i, 1);

		reservations_tombstone(r, &a);
		reservations_tombstone(r, &a);
	}
	w.attempt = attempt(2, RESERVATION_TOMBSTONES_MAX + 10, 1);
	assert_int_equal(take(r, w, 0), -ERROR_STALE);
	w.attempt = attempt(2, 3, 1); /* forgotten, but overtaken */
	assert_int_equal(take(r, w, 0), -ERROR_STALE);
}

/* Nonsense is refused and changes nothing; numbers near 2^64 do not wrap into free memory. */
static void test_nonsense(void **state)
{
	_cleanup_reservations_ struct reservations *r = host();
	struct guest_memory huge[] = { guest("x", 1), guest("y", 1) };
	struct reservation w = want(1, "a", 100, 49152);

	(void)state;
	w.memory_bytes = 0;
	assert_int_equal(take(r, w, 0), -ERROR_INVALID);
	w.memory_bytes = UINT64_MAX;
	assert_int_equal(take(r, w, 0), -ERROR_NO_SPACE);
	w = want(0, "a", 100, 49152); /* operation of zeros */
	assert_int_equal(take(r, w, 0), -ERROR_INVALID);
	w = want(1, "a", 100, 0);
	assert_int_equal(take(r, w, 0), -ERROR_INVALID);
	w = want(1, "", 100, 49152);
	assert_int_equal(take(r, w, 0), -ERROR_INVALID);
	w = want(1, "a", 100, 49152);
	w.ttl_ms = 1;
	assert_int_equal(take(r, w, 0), -ERROR_INVALID);
	w.ttl_ms = 0;
	w.attempt.number = 0;
	assert_int_equal(take(r, w, 0), -ERROR_INVALID);
	assert_int_equal(free_mib(r), 960);

	huge[0].bytes = huge[1].bytes = UINT64_MAX - 1;
	reservations_set_guests(r, huge, 2);
	assert_int_equal(free_mib(r), 0);
	assert_int_equal(take(r, want(1, "a", 1, 49152), 0), -ERROR_NO_SPACE);
}

/* After a restart the promises stand, with a whole lease, and are judged by nobody again. */
static void test_restore(void **state)
{
	_cleanup_reservations_ struct reservations *r = reservations_new(
		&(struct reservations_limits){ .capacity_bytes = 100 * MIB });
	struct reservation saved = want(1, "a", 600, 49152);
	struct guest_memory a = guest("a", 600);
	struct error err;

	(void)state;
	saved.attempt.epoch = 9;
	saved.ttl_ms = 10000;
	assert_int_equal(reservations_restore(r, &saved, 5000, &err), 0);
	assert_int_equal(reservations_get_epoch(r), 9);
	assert_int_equal(reservations_find(r, &saved.attempt)->expires_ms, 15000);
	assert_int_equal(reservations_restore(r, &saved, 5000, &err), -ERROR_BUSY);
	reservations_set_guests(r, &a, 1);
	assert_true(reservations_find(r, &saved.attempt)->in_use);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_room),
		cmocka_unit_test(test_same_attempt_again),
		cmocka_unit_test(test_port_and_guest_are_taken_once),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_conversion_counts_once),
		cmocka_unit_test(test_no_expiry_in_use_or_unknown),
		cmocka_unit_test(test_no_expiry_of_what_ran),
		cmocka_unit_test(test_unknown_guests_admit_nothing),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_tombstones_are_bounded),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
