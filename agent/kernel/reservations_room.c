/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of reservations.h: what is promised, what is left, and whether an old promise can
 * still be kept. Pure. */
#include "agent/kernel/reservations_internal.h"

#include "common/units.h"

#include <stdio.h>
#include <string.h>

/* Sums of peers' and libvirt's numbers: a nonsense value must not wrap round to free memory. */
static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t subtract(uint64_t from, uint64_t bytes)
{
	return from > bytes ? from - bytes : 0;
}

static uint64_t limit_bytes(const struct reservations_limits *l)
{
	unsigned __int128 limit = subtract(l->capacity_bytes, l->reserve_bytes);

	limit = limit * l->overcommit_percent / 100;
	return limit > UINT64_MAX ? UINT64_MAX : (uint64_t)limit;
}

/* Its guest may yet come: one that is listed is counted with the guests, one that ran here and is gone
 * comes no more. */
static bool is_awaited(const struct reservation *item)
{
	return !item->in_use && !item->has_run;
}

/* Being started here, and not counted with the guests yet. */
static bool is_held(const struct reservations *r, const struct held_room *held)
{
	return !reservations_find_guest(r, held->vm_uuid);
}

/* Of the first @n_leases, which are the oldest; a listed guest is counted with the guests. */
static void sum(const struct reservations *r, size_t n_leases, struct memory_totals *ret)
{
	struct memory_totals t = {
		.capacity_bytes = r->limits.capacity_bytes,
		.reserve_bytes = r->limits.reserve_bytes,
		.overcommit_percent = r->limits.overcommit_percent,
		.limit_bytes = limit_bytes(&r->limits),
		.n_guests = (uint32_t)r->n_guests,
		.guests_known = r->guests_known,
	};

	for (size_t i = 0; i < r->n_guests; i++)
		t.guests_bytes = add(t.guests_bytes, r->guests[i].bytes);
	for (size_t i = 0; i < n_leases; i++) {
		if (!is_awaited(&r->items[i]))
			continue;
		t.reserved_bytes = add(t.reserved_bytes, r->items[i].memory_bytes);
		t.n_reserved++;
	}
	for (size_t i = 0; i < r->n_held; i++) {
		if (!is_held(r, &r->held[i]))
			continue;
		t.reserved_bytes = add(t.reserved_bytes, r->held[i].memory_bytes);
		t.n_reserved++;
	}
	t.free_bytes = subtract(t.limit_bytes, add(t.guests_bytes, t.reserved_bytes));
	*ret = t;
}

void reservations_get_totals(const struct reservations *r, struct memory_totals *ret)
{
	sum(r, r->count, ret);
}

uint32_t reservations_get_vcpus(const struct reservations *r)
{
	uint32_t vcpus = 0;

	for (size_t i = 0; i < r->count; i++)
		if (is_awaited(&r->items[i]))
			vcpus += r->items[i].vcpus;
	for (size_t i = 0; i < r->n_held; i++)
		if (is_held(r, &r->held[i]))
			vcpus += r->held[i].vcpus;
	return vcpus;
}

uint64_t reservations_get_pages(const struct reservations *r, uint64_t page_bytes)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < r->count; i++)
		if (is_awaited(&r->items[i]) && r->items[i].page_bytes == page_bytes)
			bytes = add(bytes, r->items[i].memory_bytes);
	for (size_t i = 0; i < r->n_held; i++)
		if (is_held(r, &r->held[i]) && r->held[i].page_bytes == page_bytes)
			bytes = add(bytes, r->held[i].memory_bytes);
	return bytes;
}

uint64_t reservation_disk_bytes(const struct reservation *r)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < r->n_disk_rooms; i++)
		bytes = add(bytes, r->disk_rooms[i].bytes);
	return bytes;
}

uint64_t reservations_get_disk_promised(const struct reservations *r, uint64_t device)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < r->count; i++)
		for (size_t n = 0; n < r->items[i].n_disk_rooms; n++)
			if (r->items[i].disk_rooms[n].device == device)
				bytes = add(bytes, r->items[i].disk_rooms[n].bytes);
	return bytes;
}

void reservations_get_leases(const struct reservations *r, struct lease_totals *ret)
{
	struct lease_totals t = { .slots = r->limits.slots, .taken = (uint32_t)r->count };
	size_t used = 0;

	for (size_t i = 0; i < r->count; i++) {
		const struct reservation *item = &r->items[i];

		t.promised_bytes_per_s = add(t.promised_bytes_per_s, item->bandwidth_bytes_per_s);
		if (used < sizeof(t.holders))
			used += (size_t)snprintf(t.holders + used, sizeof(t.holders) - used,
			                         "%s%.40s from %.20s", i ? ", " : "",
			                         item->vm_name[0] ? item->vm_name : item->vm_uuid,
			                         item->source_node);
	}
	*ret = t;
}

int reservations_refuse_no_slot(const struct reservations *r, struct error *err)
{
	struct lease_totals t;

	reservations_get_leases(r, &t);
	if (t.taken < t.slots)
		return 0;
	return error_set(err, ERROR_BUSY, "%u of %u inbound slots are taken: %s", t.taken, t.slots,
	                 t.holders);
}

int reservations_refuse_no_room(const struct reservations *r, const struct reservation *want,
                                struct error *err)
{
	char need[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES], reserved[UNITS_TEXT_BYTES];
	struct memory_totals t;

	/* A guest that libvirt lists already (an agent restarted in mid-move) is in the sum. */
	if (reservations_find_guest(r, want->vm_uuid))
		return 0;
	reservations_get_totals(r, &t);
	if (want->memory_bytes <= t.free_bytes)
		return 0;
	return error_set(err, ERROR_NO_SPACE,
	                 "%s needed, %s free (%s reserved for %u on the way here)",
	                 units_format_bytes(want->memory_bytes, need),
	                 units_format_bytes(t.free_bytes, room),
	                 units_format_bytes(t.reserved_bytes, reserved), t.n_reserved);
}

int reservations_hold(struct reservations *r, const struct held_room *want, struct error *err)
{
	struct reservation room = { .memory_bytes = want->memory_bytes };

	if (!r->guests_known)
		return error_set(err, ERROR_UNREACHABLE,
		                 "libvirt on this host cannot be asked what runs here");
	if (reservations_find_vm(r, want->vm_uuid))
		return error_set(err, ERROR_BUSY, "the guest is on its way here by a migration");
	for (size_t i = 0; i < r->n_held; i++) {
		if (strcmp(r->held[i].vm_uuid, want->vm_uuid) == 0)
			return error_set(err, ERROR_BUSY, "the guest is being started already");
	}
	if (r->n_held == RESERVATIONS_HELD_MAX)
		return error_set(err, ERROR_BUSY, "%d guests are being started already",
		                 RESERVATIONS_HELD_MAX);
	memcpy(room.vm_uuid, want->vm_uuid, sizeof(room.vm_uuid));
	if (reservations_refuse_no_room(r, &room, err) < 0)
		return -(int)err->code;
	r->held[r->n_held++] = *want;
	return 0;
}

void reservations_unhold(struct reservations *r, const char *vm_uuid)
{
	for (size_t i = 0; i < r->n_held; i++) {
		if (strcmp(r->held[i].vm_uuid, vm_uuid) == 0) {
			r->held[i] = r->held[--r->n_held];
			return;
		}
	}
}

int reservations_check(const struct reservations *r, const struct attempt_name *attempt,
                       struct error *err)
{
	const struct reservation *item = reservations_find(r, attempt);
	char need[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES], limit[UNITS_TEXT_BYTES];
	char guests[UNITS_TEXT_BYTES], older[UNITS_TEXT_BYTES];
	struct memory_totals t;

	if (!item) {
		int rc = reservations_refuse_ended(r, attempt, err);

		return rc < 0 ? rc
		              : error_set(err, ERROR_NOT_FOUND,
		                          "there is no reservation of this attempt; it may have "
		                          "expired");
	}
	if (!r->guests_known)
		return error_set(err, ERROR_UNREACHABLE,
		                 "libvirt on this host cannot be asked what runs here");
	/* Listed: it is here, and in the sum of the guests. */
	if (item->in_use)
		return 0;
	sum(r, (size_t)(item - r->items), &t);
	if (item->memory_bytes <= t.free_bytes)
		return 0;
	return error_set(
		err, ERROR_NO_SPACE,
		"%s were promised, %s are left: %s for guests - %u %s %s - %u older reserved %s",
		units_format_bytes(item->memory_bytes, need),
		units_format_bytes(t.free_bytes, room), units_format_bytes(t.limit_bytes, limit),
		t.n_guests, t.n_guests == 1 ? "guest" : "guests",
		units_format_bytes(t.guests_bytes, guests), t.n_reserved,
		units_format_bytes(t.reserved_bytes, older));
}
