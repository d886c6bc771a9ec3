/* SPDX-License-Identifier: Apache-2.0 */
/* The room behind leases: one room for one of two, whoever is younger loses at the start, shares and
 * slots are counted once; all through the doors that the agent uses (admission_judge and
 * reservations_take in one step). */
#include "agent/kernel/admission.h"

#include "common/cleanup.h"
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

static struct vm_description vm;
static struct check_list list;

static struct reservations *host(uint64_t capacity_mib, uint32_t overcommit_percent, uint32_t slots)
{
	struct reservations *r = reservations_new(
		&(struct reservations_limits){ .capacity_bytes = capacity_mib * MIB,
	                                       .reserve_bytes = 64 * MIB,
	                                       .overcommit_percent = overcommit_percent,
	                                       .slots = slots });

	reservations_set_guests(r, NULL, 0);
	return r;
}

static struct attempt_name attempt(uint32_t operation)
{
	struct attempt_name a = { .number = 1, .epoch = 1 };

	memcpy(a.operation.bytes, &operation, sizeof(operation));
	a.operation.bytes[15] = 1;
	return a;
}

static struct reservation want(uint32_t operation, const char *name, uint64_t mib, uint16_t port)
{
	struct reservation r = { .attempt = attempt(operation),
		                 .memory_bytes = mib * MIB,
		                 .port = port };

	snprintf(r.vm_uuid, sizeof(r.vm_uuid), "uuid-%s", name);
	snprintf(r.vm_name, sizeof(r.vm_name), "%s", name);
	snprintf(r.source_node, sizeof(r.source_node), "host1");
	return r;
}

static struct guest_memory guest(const char *name, uint64_t mib)
{
	struct guest_memory g = { .bytes = mib * MIB };

	snprintf(g.uuid, sizeof(g.uuid), "uuid-%s", name);
	return g;
}

static int take(struct reservations *r, struct reservation w)
{
	struct error err;

	return reservations_take(r, &w, 0, NULL, &err);
}

/* As the destination's owner does in one step, of what its couriers measured before. */
static bool admit(struct reservations *r, const struct reservation *w, uint64_t ram_bytes,
                  uint64_t overhead_bytes)
{
	struct admission_input in = {
		.vm = &vm,
		.source_node = "host1",
		.node = "host2",
		.capabilities = { .vcpus_max = 255 },
		.capabilities_known = true,
		.vcpus = { .cpus = 8 },
		.source_versions = { "0.1.0", "9.0.0", "7.2.22" },
		.versions = { "0.1.0", "9.0.0", "7.2.22" },
		.cpu = { .id = "cpu", .verdict = CHECK_PASS },
		.machine = { .id = "machine", .verdict = CHECK_PASS },
		.port = { .pool = { 49152, 49153 },
		          .address = "10.78.0.2",
		          .measured = true,
		          .free_port = w->port,
		          .n_free = 2 },
		.round_trip = { .outcome = ROUND_TRIP_MEASURED, .n_answers = 1 },
		.guard = GUARD_IMAGE_LOCK,
		.guard_check = { .id = "guard", .verdict = CHECK_PASS },
		.conflict = { .measured = true },
		.incoming_allowed = true,
	};
	struct error err;

	memset(&vm, 0, sizeof(vm));
	memcpy(vm.summary.uuid, w->vm_uuid, sizeof(vm.summary.uuid));
	memcpy(vm.summary.name, w->vm_name, sizeof(vm.summary.name));
	vm.summary.memory_bytes = ram_bytes;
	vm.summary.vcpus = 1;
	vm.summary.state = VM_RUNNING;
	strcpy(vm.summary.reason, "booted");
	vm.overhead_bytes = overhead_bytes;
	reservations_get_totals(r, &in.memory);
	reservations_get_leases(r, &in.leases);
	admission_judge(&in, &list);
	return admission_passes(&list) && reservations_take(r, w, 0, NULL, &err) == 0;
}

static const struct check *check_of(const char *id)
{
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.items[i].id, id) == 0)
			return &list.items[i];
	fail_msg("there is no check %s", id);
	abort();
}

/* A thousand times two admissions in the same millisecond, with room for one: exactly one passes, and the
 * other is told what it needs, what is free and what is reserved. */
static void f53_one_room_two_admissions(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 1000; round++) {
		_cleanup_reservations_ struct reservations *r = host(512, 100, 2);
		struct reservation a = want(2 * round + 1, "left", 256 + 64, 49152);
		struct reservation b = want(2 * round + 2, "right", 256 + 64, 49153);
		bool left, right;

		/* Either may be the first in the owner's mailbox. */
		if (round % 2) {
			right = admit(r, &b, 256 * MIB, 64 * MIB);
			left = admit(r, &a, 256 * MIB, 64 * MIB);
		} else {
			left = admit(r, &a, 256 * MIB, 64 * MIB);
			right = admit(r, &b, 256 * MIB, 64 * MIB);
		}
		assert_int_equal(left + right, 1);
		assert_int_equal(check_of("memory")->verdict, CHECK_FAIL);
		assert_string_equal(
			check_of("memory")->measured,
			"128 MiB free: 512 MiB capacity - 64 MiB reserve - 0 guests 0 B "
			"- 1 reserved 320 MiB");
		assert_string_equal(check_of("memory")->required,
		                    "320 MiB: 256 MiB RAM + 64 MiB overhead");
	}
}

/* A balloon has taken half of a guest away: its maximum is what it may want back, and what counts, both
 * when it comes and when it is here. */
static void f56_maximum_counts(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(512, 100, 2);
	struct reservation w = want(1, "ballooned", 512, 49152);
	struct guest_memory here = guest("here", 300);

	(void)state;
	/* What the balloon left of it, 256 MiB, would fit. */
	assert_false(admit(r, &w, 512 * MIB, 0));
	assert_non_null(strstr(check_of("memory")->required, "512 MiB RAM"));
	reservations_set_guests(r, &here, 1);
	w = want(3, "small", 200, 49152);
	assert_false(admit(r, &w, 200 * MIB, 0));
}

/* What is started by hand after the admission takes the room from the youngest lease first; each one is
 * told the numbers, and asking changes nothing. */
static void f55_the_youngest_loses(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(1024, 100, 3);
	struct attempt_name old = attempt(1), middle = attempt(2), young = attempt(3);
	struct guest_memory eater = guest("eater", 200), more[2];
	struct error err;

	(void)state;
	assert_int_equal(take(r, want(1, "old", 300, 49152)), 0);
	assert_int_equal(take(r, want(2, "middle", 300, 49153)), 0);
	assert_int_equal(take(r, want(3, "young", 300, 49154)), 0);
	assert_int_equal(reservations_check(r, &young, &err), 0);
	reservations_set_guests(r, &eater, 1);
	assert_int_equal(reservations_check(r, &old, &err), 0);
	assert_int_equal(reservations_check(r, &middle, &err), 0);
	assert_int_equal(reservations_check(r, &young, &err), -ERROR_NO_SPACE);
	assert_string_equal(err.text,
	                    "300 MiB were promised, 160 MiB are left: 960 MiB for guests - "
	                    "1 guest 200 MiB - 2 older reserved 600 MiB");
	/* It asks again: the same answer. When it has given up, and so has another, nobody else is worse off. */
	assert_int_equal(reservations_check(r, &young, &err), -ERROR_NO_SPACE);
	more[0] = eater;
	more[1] = guest("second", 300);
	reservations_set_guests(r, more, 2);
	assert_int_equal(reservations_check(r, &old, &err), 0);
	assert_int_equal(reservations_check(r, &middle, &err), -ERROR_NO_SPACE);
	/* The oldest is released: the next one has its room. */
	assert_true(reservations_release(r, &old));
	assert_int_equal(reservations_check(r, &middle, &err), 0);
	assert_int_equal(reservations_check(r, &young, &err), -ERROR_NO_SPACE);
}

/* A lease whose guest is listed is here, whatever else is; one that never was or has ended is not. */
static void f55_what_cannot_be_asked(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(512, 100, 2);
	struct attempt_name a = attempt(1), never = attempt(9);
	struct guest_memory guests[2] = { guest("a", 300), guest("eater", 400) };
	struct error err;

	(void)state;
	assert_int_equal(take(r, want(1, "a", 300, 49152)), 0);
	reservations_set_guests_unknown(r);
	assert_int_equal(reservations_check(r, &a, &err), -ERROR_UNREACHABLE);
	reservations_set_guests(r, guests, 2);
	assert_int_equal(reservations_check(r, &a, &err), 0);
	assert_int_equal(reservations_check(r, &never, &err), -ERROR_NOT_FOUND);
	(void)reservations_release(r, &a);
	assert_int_equal(reservations_check(r, &a, &err), -ERROR_STALE);
}

/* The order in which leases were taken outlives the agent: the youngest still loses. */
static void f24_age_outlives_the_agent(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(512, 100, 2);
	struct reservation old = want(1, "old", 200, 49152), young = want(2, "young", 200, 49153);
	struct guest_memory eater = guest("eater", 100);
	struct error err;

	(void)state;
	assert_int_equal(reservations_restore(r, &old, 0, &err), 0);
	assert_int_equal(reservations_restore(r, &young, 0, &err), 0);
	reservations_set_guests(r, &eater, 1);
	assert_int_equal(reservations_check(r, &old.attempt, &err), 0);
	assert_int_equal(reservations_check(r, &young.attempt, &err), -ERROR_NO_SPACE);
}

/* Unused and not renewed it is free after its TTL, and a source that has died renews no more: well inside
 * 45 s, however long the last renewal is ago. */
static void f57_free_within_45_s(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(512, 100, 2);
	struct attempt_name a = attempt(1);
	struct reservation gone;
	struct error err;

	(void)state;
	assert_int_equal(take(r, want(1, "a", 300, 49152)), 0);
	assert_int_equal(reservations_renew(r, &a, 10000, NULL, &err), 0);
	assert_false(reservations_expire(r, 39999, &gone));
	assert_true(reservations_expire(r, 40000, &gone));
	assert_true(reservations_next_expiry_ms(r) == UINT64_MAX);
	/* To give it back once more is harmless, and to take it again is refused. */
	assert_false(reservations_release(r, &a));
	assert_false(reservations_release(r, &a));
	assert_int_equal(take(r, want(1, "a", 300, 49152)), -ERROR_STALE);
}

/* Every slot is held from take to release, also while libvirt lists the guest; the holders are named. */
static void test_slots(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(4096, 100, 2);
	struct guest_memory a = guest("a", 100);
	struct attempt_name first = attempt(1);
	struct reservation third = want(3, "c", 100, 49154);
	struct lease_totals t;
	struct error err;

	(void)state;
	assert_int_equal(take(r, want(1, "a", 100, 49152)), 0);
	assert_int_equal(take(r, want(2, "b", 100, 49153)), 0);
	reservations_set_guests(r, &a, 1);
	assert_int_equal(reservations_take(r, &third, 0, NULL, &err), -ERROR_BUSY);
	assert_string_equal(err.text, "2 of 2 inbound slots are taken: a from host1, b from host1");
	(void)reservations_release(r, &first);
	assert_int_equal(take(r, third), 0);
	reservations_get_leases(r, &t);
	assert_int_equal(t.taken, 2);
	assert_string_equal(t.holders, "b from host1, c from host1");
}

/* The caps have an end: 0 and too many mean as many as can be kept. */
static void test_slots_have_an_end(void **state)
{
	static const uint32_t configured[] = { 0, RESERVATIONS_MAX + 1 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_reservations_ struct reservations *r = host(1 << 20, 100, configured[i]);
		struct lease_totals t;
		char name[40];

		for (uint32_t n = 0; n < RESERVATIONS_MAX; n++) {
			snprintf(name, sizeof(name), "guest-with-a-long-name-%u", n);
			assert_int_equal(take(r, want(n + 1, name, 1, (uint16_t)(2000 + n))), 0);
		}
		assert_int_equal(take(r, want(999, "one", 1, 1999)), -ERROR_BUSY);
		reservations_get_leases(r, &t);
		assert_int_equal(t.slots, RESERVATIONS_MAX);
		assert_int_equal(strlen(t.holders), sizeof(t.holders) - 1);
	}
}

/* Shares of the link are added up, and nonsense does not wrap. */
static void test_shares(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(4096, 100, 4);
	struct reservation a = want(1, "a", 100, 49152), b = want(2, "", 100, 49153);
	struct lease_totals t;

	(void)state;
	strcpy(b.vm_uuid, "uuid-b");
	a.bandwidth_bytes_per_s = 1000;
	b.bandwidth_bytes_per_s = UINT64_MAX;
	assert_int_equal(take(r, a), 0);
	reservations_get_leases(r, &t);
	assert_int_equal(t.promised_bytes_per_s, 1000);
	assert_int_equal(take(r, b), 0);
	reservations_get_leases(r, &t);
	assert_true(t.promised_bytes_per_s == UINT64_MAX);
	assert_string_equal(t.holders, "a from host1, uuid-b from host1");
}

/* vCPUs are promised until the guest is there and libvirt lists them. */
static void test_vcpus(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(4096, 100, 4);
	struct reservation a = want(1, "a", 100, 49152), b = want(2, "b", 100, 49153);
	struct guest_memory here = guest("a", 100);

	(void)state;
	assert_int_equal(reservations_get_vcpus(r), 0);
	a.vcpus = 2;
	b.vcpus = 5;
	assert_int_equal(take(r, a), 0);
	assert_int_equal(take(r, b), 0);
	assert_int_equal(reservations_get_vcpus(r), 7);
	reservations_set_guests(r, &here, 1);
	assert_int_equal(reservations_get_vcpus(r), 5);
}

/* Huge pages are promised once, by their size, until the guest is there and the kernel counts them. */
static void test_huge_pages(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(4096, 100, 4);
	struct reservation a = want(1, "a", 100, 49152), b = want(2, "b", 100, 49153);
	struct guest_memory here = guest("a", 100);

	(void)state;
	a.page_bytes = b.page_bytes = 2 * MIB;
	assert_int_equal(take(r, a), 0);
	assert_int_equal(take(r, b), 0);
	assert_int_equal(take(r, want(3, "c", 100, 49154)), 0);
	assert_int_equal(reservations_get_pages(r, 2 * MIB), 200 * MIB);
	assert_int_equal(reservations_get_pages(r, GIB), 0);
	reservations_set_guests(r, &here, 1);
	assert_int_equal(reservations_get_pages(r, 2 * MIB), 100 * MIB);
}

/* The ratio multiplies what guests may have, and not the reserve; capacity may come later. */
static void test_overcommit(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(0, 150, 4);
	struct memory_totals t;

	(void)state;
	reservations_get_totals(r, &t);
	assert_int_equal(t.free_bytes, 0);
	reservations_set_capacity(r, 1064 * MIB);
	reservations_get_totals(r, &t);
	assert_int_equal(t.limit_bytes, 1500 * MIB);
	assert_int_equal(t.overcommit_percent, 150);
	assert_int_equal(take(r, want(1, "a", 1500, 49152)), 0);
	assert_int_equal(take(r, want(2, "b", 1, 49153)), -ERROR_NO_SPACE);
	reservations_set_capacity(r, UINT64_MAX);
	reservations_get_totals(r, &t);
	assert_true(t.limit_bytes == UINT64_MAX);
}

/* The corners: a number out of range, a lease too long, one restored that makes no sense, one of a guest
 * that is here already. */
static void test_corners(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(512, 100, 4);
	struct reservation w = want(1, "a", 100, 49152);
	struct guest_memory here = guest("here", 400);
	struct error err;

	(void)state;
	reservations_free(NULL);
	w.attempt.number = ATTEMPT_NUMBER_MAX + 1u;
	assert_int_equal(take(r, w), -ERROR_INVALID);
	assert_int_equal(reservations_restore(r, &w, 0, &err), -ERROR_INVALID);
	w = want(1, "a", 100, 49152);
	w.ttl_ms = RESERVATION_TTL_MS_MAX + 1;
	assert_int_equal(take(r, w), -ERROR_INVALID);
	w.ttl_ms = RESERVATION_TTL_MS_MAX;
	assert_int_equal(take(r, w), 0);
	assert_true(reservations_expire(r, RESERVATION_TTL_MS_MAX, NULL));
	/* Its QEMU is in the sum already: an agent that was restarted takes nothing twice. */
	reservations_set_guests(r, &here, 1);
	assert_int_equal(take(r, want(2, "here", 400, 49152)), 0);
	assert_true(reservations_find_vm(r, "uuid-here")->in_use);
	/* A guest is not known to be here while nobody can be asked. */
	reservations_set_guests_unknown(r);
	w = want(3, "other", 10, 49153);
	assert_int_equal(reservations_restore(r, &w, 0, &err), 0);
	assert_false(reservations_find_vm(r, "uuid-other")->in_use);
	/* Two numbers of one operation: the highest counts. */
	reservations_set_guests(r, &here, 1);
	w = want(4, "twice", 1, 49154);
	w.attempt.number = 3;
	reservations_tombstone(r, &w.attempt);
	w.attempt.number = 2;
	reservations_tombstone(r, &w.attempt);
	w.attempt.number = 1;
	assert_int_equal(take(r, w), -ERROR_STALE);
}

/* Room for images is counted by file system over all leases, until they end; each of their ports is
 * taken once, and the two come together. */
static void test_room_for_images(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(4096, 100, 0);
	struct reservation a = want(1, "a", 100, 49152), b = want(2, "b", 100, 49154);

	(void)state;
	a.disk_port = 49153;
	a.n_disk_rooms = 2;
	a.disk_rooms[0] = (struct disk_room){ .device = 7, .bytes = 8 * GIB };
	a.disk_rooms[1] = (struct disk_room){ .device = 8, .bytes = 1 * GIB };
	assert_int_equal(take(r, a), 0);
	assert_int_equal(reservation_disk_bytes(&a), 9 * GIB);
	assert_true(reservations_has_port(r, 49153));
	assert_false(reservations_has_port(r, 0));
	assert_int_equal(reservations_count_ports(r), 2);

	b.disk_port = 49153;
	b.n_disk_rooms = 1;
	b.disk_rooms[0] = (struct disk_room){ .device = 7, .bytes = UINT64_MAX };
	assert_int_equal(take(r, b), -ERROR_BUSY);
	b.disk_port = b.port;
	assert_int_equal(take(r, b), -ERROR_INVALID);
	b.disk_port = 0;
	assert_int_equal(take(r, b), -ERROR_INVALID);
	b.disk_port = 49155;
	b.n_disk_rooms = VM_DISKS_MAX + 1;
	assert_int_equal(take(r, b), -ERROR_INVALID);
	b.n_disk_rooms = 0;
	assert_int_equal(take(r, b), -ERROR_INVALID);
	b.n_disk_rooms = 1;
	assert_int_equal(take(r, b), 0);
	/* Nonsense does not wrap round to room. */
	assert_int_equal(reservations_get_disk_promised(r, 7), UINT64_MAX);
	assert_int_equal(reservations_get_disk_promised(r, 8), 1 * GIB);
	assert_int_equal(reservations_get_disk_promised(r, 9), 0);
	assert_true(reservations_release(r, &b.attempt));
	assert_int_equal(reservations_get_disk_promised(r, 7), 8 * GIB);
	assert_int_equal(reservations_count_ports(r), 2);
}

/* What is being started: 2 vCPUs, in huge pages. */
static int hold(struct reservations *r, const char *name, uint64_t mib, struct error *err)
{
	struct held_room want = { .memory_bytes = mib * MIB, .vcpus = 2, .page_bytes = 2 * MIB };

	snprintf(want.vm_uuid, sizeof(want.vm_uuid), "uuid-%s", name);
	return reservations_hold(r, &want, err);
}

/* What is being started here takes its room from before its start until libvirt lists it, and is counted
 * once; what does not fit is not started, and what gave up leaves its room to others. */
static void test_started_here(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(1064, 100, 4);
	struct guest_memory listed = guest("db1", 600);
	struct memory_totals t;
	struct error err;

	(void)state;
	assert_int_equal(hold(r, "db1", 600, &err), 0);
	assert_int_equal(hold(r, "db1", 600, &err), -ERROR_BUSY);
	assert_int_equal(hold(r, "db2", 600, &err), -ERROR_NO_SPACE);
	assert_int_equal(take(r, want(1, "web1", 600, 49152)), -ERROR_NO_SPACE);
	assert_int_equal(reservations_get_vcpus(r), 2);
	assert_int_equal(reservations_get_pages(r, 2 * MIB), 600 * MIB);
	reservations_set_guests(r, &listed, 1);
	assert_int_equal(reservations_get_vcpus(r), 0);
	assert_int_equal(reservations_get_pages(r, 2 * MIB), 0);
	reservations_get_totals(r, &t);
	assert_int_equal(t.free_bytes, 400 * MIB);
	reservations_unhold(r, "uuid-db1");
	reservations_get_totals(r, &t);
	assert_int_equal(t.free_bytes, 400 * MIB);
	assert_int_equal(hold(r, "db2", 300, &err), 0);
	reservations_unhold(r, "uuid-db2");
	assert_int_equal(take(r, want(1, "web1", 300, 49152)), 0);
	/* One that is on its way here is not started as well. */
	assert_int_equal(hold(r, "web1", 10, &err), -ERROR_BUSY);
	reservations_set_guests_unknown(r);
	assert_int_equal(hold(r, "db2", 10, &err), -ERROR_UNREACHABLE);
}

static int hold_memory(struct reservations *r, const char *uuid, struct error *err)
{
	struct held_room want = { .memory_bytes = MIB };

	snprintf(want.vm_uuid, sizeof(want.vm_uuid), "%s", uuid);
	return reservations_hold(r, &want, err);
}

/* So many starts at a time and no more; one that gives up leaves its place, and one that is not among them
 * takes nobody's. */
static void test_starts_have_an_end(void **state)
{
	_cleanup_reservations_ struct reservations *r = host(1024 * 1024, 100, 4);
	char uuid[VM_UUID_BYTES];
	struct memory_totals t;
	struct error err;
	uint64_t free_bytes;

	(void)state;
	for (int i = 0; i < RESERVATIONS_HELD_MAX; i++) {
		snprintf(uuid, sizeof(uuid), "uuid-%d", i);
		assert_int_equal(hold_memory(r, uuid, &err), 0);
	}
	assert_int_equal(hold_memory(r, "uuid-web1", &err), -ERROR_BUSY);
	assert_non_null(strstr(err.text, "64 guests are being started"));
	reservations_get_totals(r, &t);
	free_bytes = t.free_bytes;
	reservations_unhold(r, "uuid-web1");
	reservations_get_totals(r, &t);
	assert_int_equal(t.free_bytes, free_bytes);
	reservations_unhold(r, "uuid-7");
	reservations_get_totals(r, &t);
	assert_int_equal(t.free_bytes, free_bytes + MIB);
	assert_int_equal(hold_memory(r, "uuid-web1", &err), 0);
	assert_int_equal(hold_memory(r, "uuid-63", &err), -ERROR_BUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_started_here),
		cmocka_unit_test(test_starts_have_an_end),
		cmocka_unit_test(f53_one_room_two_admissions),
		cmocka_unit_test(f56_maximum_counts),
		cmocka_unit_test(f55_the_youngest_loses),
		cmocka_unit_test(f55_what_cannot_be_asked),
		cmocka_unit_test(f24_age_outlives_the_agent),
		cmocka_unit_test(f57_free_within_45_s),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_slots_have_an_end),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_overcommit),
		cmocka_unit_test(test_corners),
		cmocka_unit_test(test_room_for_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
