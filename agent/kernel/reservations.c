/* SPDX-License-Identifier: Apache-2.0 */
/* See reservations.h. Owner thread only; no I/O, no clock.
 *
 * A handful of leases and a flat array: a host has as many migrations as it has ports. Ended
 * attempts are remembered in a ring, so that an Admit that was on its way while its attempt was
 * released cannot take the room again; what falls out of the ring is so old that its caller has
 * long given up, and the highest epoch still stands against it.
 */
#include "agent/kernel/reservations_internal.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct reservations *reservations_new(const struct reservations_limits *limits)
{
	struct reservations *r = xnew(struct reservations);

	r->limits = *limits;
	if (!r->limits.overcommit_percent)
		r->limits.overcommit_percent = 100;
	if (!r->limits.slots || r->limits.slots > RESERVATIONS_MAX)
		r->limits.slots = RESERVATIONS_MAX;
	return r;
}

void reservations_free(struct reservations *r)
{
	if (!r)
		return;
	free(r->guests);
	free(r);
}

void reservations_set_capacity(struct reservations *r, uint64_t capacity_bytes)
{
	r->limits.capacity_bytes = capacity_bytes;
}

const struct guest_memory *reservations_find_guest(const struct reservations *r, const char *uuid)
{
	for (size_t i = 0; i < r->n_guests; i++)
		if (strcmp(r->guests[i].uuid, uuid) == 0)
			return &r->guests[i];
	return NULL;
}

void reservations_set_guests(struct reservations *r, const struct guest_memory *guests, size_t n)
{
	struct guest_memory *copy = n ? xmemdup(guests, n * sizeof(*guests)) : NULL;

	free(r->guests);
	r->guests = copy;
	r->n_guests = n;
	r->guests_known = true;
	for (size_t i = 0; i < r->count; i++) {
		struct reservation *item = &r->items[i];

		item->in_use = reservations_find_guest(r, item->vm_uuid) != NULL;
		item->was_in_use |= item->in_use;
	}
}

const struct reservation *reservations_guest_runs(struct reservations *r, const char *vm_uuid)
{
	for (size_t i = 0; i < r->count; i++) {
		struct reservation *item = &r->items[i];

		if (strcmp(item->vm_uuid, vm_uuid) != 0 || item->has_run)
			continue;
		item->has_run = true;
		return item;
	}
	return NULL;
}

void reservations_set_guests_unknown(struct reservations *r)
{
	r->guests_known = false;
}

static struct reservation *find(struct reservations *r, const struct attempt_name *attempt)
{
	for (size_t i = 0; i < r->count; i++)
		if (attempt_name_equal(&r->items[i].attempt, attempt))
			return &r->items[i];
	return NULL;
}

const struct reservation *reservations_find(const struct reservations *r,
                                            const struct attempt_name *attempt)
{
	return find((struct reservations *)r, attempt);
}

const struct reservation *reservations_find_vm(const struct reservations *r, const char *vm_uuid)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->items[i].vm_uuid, vm_uuid) == 0)
			return &r->items[i];
	return NULL;
}

const struct reservation *reservations_get_all(const struct reservations *r, size_t *ret_count)
{
	*ret_count = r->count;
	return r->items;
}

bool reservations_has_port(const struct reservations *r, uint16_t port)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->items[i].port == port || (port && r->items[i].disk_port == port))
			return true;
	return false;
}

uint32_t reservations_count_ports(const struct reservations *r)
{
	uint32_t count = 0;

	for (size_t i = 0; i < r->count; i++)
		count += r->items[i].disk_port ? 2 : 1;
	return count;
}

void reservations_see_epoch(struct reservations *r, uint64_t epoch)
{
	if (epoch > r->epoch)
		r->epoch = epoch;
}

uint64_t reservations_get_epoch(const struct reservations *r)
{
	return r->epoch;
}

static bool is_ended(const struct reservations *r, const struct attempt_name *attempt)
{
	for (size_t i = 0; i < r->n_ended; i++)
		if (attempt_name_equal(&r->ended[i], attempt))
			return true;
	return false;
}

/* The highest number seen of this operation, held or ended. */
static uint32_t highest_number(const struct reservations *r, const struct id *operation)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < r->count; i++)
		if (id_equal(&r->items[i].attempt.operation, operation) &&
		    r->items[i].attempt.number > highest)
			highest = r->items[i].attempt.number;
	for (size_t i = 0; i < r->n_ended; i++)
		if (id_equal(&r->ended[i].operation, operation) && r->ended[i].number > highest)
			highest = r->ended[i].number;
	return highest;
}

static int refuse_stale_epoch(const struct reservations *r, const struct attempt_name *attempt,
                              struct error *err)
{
	if (attempt->epoch >= r->epoch)
		return 0;
	return error_set(err, ERROR_STALE,
	                 "epoch %llu is over: this host has obeyed a coordinator of epoch %llu",
	                 (unsigned long long)attempt->epoch, (unsigned long long)r->epoch);
}

int reservations_refuse_ended(const struct reservations *r, const struct attempt_name *attempt,
                              struct error *err)
{
	char name[ATTEMPT_TEXT_BYTES];

	if (!is_ended(r, attempt))
		return 0;
	return error_set(err, ERROR_STALE, "attempt %s has ended on this host",
	                 attempt_name_format(attempt, name));
}

static int refuse_out_of_range(const struct reservation *want, struct error *err)
{
	if (want->attempt.number == 0 || want->attempt.number > ATTEMPT_NUMBER_MAX ||
	    id_is_zero(&want->attempt.operation))
		return error_set(err, ERROR_INVALID,
		                 "a reservation needs an operation and a number");
	if (want->memory_bytes == 0)
		return error_set(err, ERROR_INVALID, "a reservation of no memory");
	if (!want->vm_uuid[0])
		return error_set(err, ERROR_INVALID, "a reservation needs the guest's UUID");
	if (want->port == 0)
		return error_set(err, ERROR_INVALID, "a reservation needs a migration port");
	if (want->disk_port == want->port || want->n_disk_rooms > VM_DISKS_MAX ||
	    (want->disk_port == 0) != (want->n_disk_rooms == 0))
		return error_set(err, ERROR_INVALID,
		                 "room for images and a port of their own come together");
	if (want->ttl_ms &&
	    (want->ttl_ms < RESERVATION_TTL_MS_MIN || want->ttl_ms > RESERVATION_TTL_MS_MAX))
		return error_set(err, ERROR_INVALID,
		                 "a lease of %llu ms: between %d and %d are possible",
		                 (unsigned long long)want->ttl_ms, RESERVATION_TTL_MS_MIN,
		                 RESERVATION_TTL_MS_MAX);
	return 0;
}

static int refuse_taken(const struct reservations *r, const struct reservation *want,
                        struct error *err)
{
	const struct reservation *other = reservations_find_vm(r, want->vm_uuid);
	char name[ATTEMPT_TEXT_BYTES];

	if (other)
		return error_set(err, ERROR_BUSY,
		                 "the guest has a reservation here by attempt %s from %s",
		                 attempt_name_format(&other->attempt, name), other->source_node);
	if (reservations_has_port(r, want->port))
		return error_set(err, ERROR_BUSY, "migration port %u is leased", want->port);
	if (want->disk_port && reservations_has_port(r, want->disk_port))
		return error_set(err, ERROR_BUSY, "migration port %u is leased", want->disk_port);
	if (r->count == RESERVATIONS_MAX)
		return error_set(err, ERROR_BUSY, "%d reservations are held here, no more are kept",
		                 RESERVATIONS_MAX);
	return 0;
}

static struct reservation *insert(struct reservations *r, const struct reservation *from,
                                  uint64_t now_ms)
{
	struct reservation *item = &r->items[r->count++];

	*item = *from;
	if (!item->ttl_ms)
		item->ttl_ms = RESERVATION_TTL_MS_DEFAULT;
	item->expires_ms = now_ms + item->ttl_ms;
	item->in_use = r->guests_known && reservations_find_guest(r, item->vm_uuid) != NULL;
	item->was_in_use |= item->in_use;
	return item;
}

int reservations_take(struct reservations *r, const struct reservation *want, uint64_t now_ms,
                      const struct reservation **ret, struct error *err)
{
	struct reservation *item;
	int rc;

	rc = refuse_out_of_range(want, err);
	if (rc < 0)
		return rc;
	rc = refuse_stale_epoch(r, &want->attempt, err);
	if (rc < 0)
		return rc;
	rc = reservations_refuse_ended(r, &want->attempt, err);
	if (rc < 0)
		return rc;

	item = find(r, &want->attempt);
	if (item) {
		if (strcmp(item->vm_uuid, want->vm_uuid) != 0)
			return error_set(err, ERROR_EXISTS,
			                 "this attempt has a reservation for another guest, %s",
			                 item->vm_uuid);
		item->expires_ms = now_ms + item->ttl_ms;
	} else {
		if (highest_number(r, &want->attempt.operation) > want->attempt.number)
			return error_set(err, ERROR_STALE, "a later attempt than %u was seen here",
			                 want->attempt.number);
		if (!r->guests_known)
			return error_set(err, ERROR_UNREACHABLE,
			                 "libvirt on this host cannot be asked what runs here");
		rc = refuse_taken(r, want, err);
		if (rc < 0)
			return rc;
		rc = reservations_refuse_no_slot(r, err);
		if (rc < 0)
			return rc;
		rc = reservations_refuse_no_room(r, want, err);
		if (rc < 0)
			return rc;
		item = insert(r, want, now_ms);
		item->was_in_use = item->in_use;
	}
	reservations_see_epoch(r, want->attempt.epoch);
	if (ret)
		*ret = item;
	return 0;
}

int reservations_renew(struct reservations *r, const struct attempt_name *attempt, uint64_t now_ms,
                       const struct reservation **ret, struct error *err)
{
	struct reservation *item;
	int rc = reservations_refuse_ended(r, attempt, err);

	if (rc < 0)
		return rc;
	item = find(r, attempt);
	if (!item)
		return error_set(err, ERROR_NOT_FOUND,
		                 "there is no reservation of this attempt; it may have expired");
	item->expires_ms = now_ms + item->ttl_ms;
	if (ret)
		*ret = item;
	return 0;
}

static void remove_item(struct reservations *r, struct reservation *item)
{
	size_t at = (size_t)(item - r->items);

	memmove(item, item + 1, (r->count - at - 1) * sizeof(*item));
	r->count--;
}

void reservations_tombstone(struct reservations *r, const struct attempt_name *attempt)
{
	struct reservation *item = find(r, attempt);

	if (item)
		remove_item(r, item);
	if (is_ended(r, attempt))
		return;
	r->ended[r->next_ended] = *attempt;
	r->next_ended = (r->next_ended + 1) % RESERVATION_TOMBSTONES_MAX;
	if (r->n_ended < RESERVATION_TOMBSTONES_MAX)
		r->n_ended++;
}

bool reservations_release(struct reservations *r, const struct attempt_name *attempt)
{
	bool held = find(r, attempt) != NULL;

	reservations_tombstone(r, attempt);
	return held;
}

/* Unknown guests keep everything: the domain may be there (invariant I8). */
static bool can_expire(const struct reservations *r, const struct reservation *item)
{
	return r->guests_known && !item->in_use && !item->has_run;
}

bool reservations_expire(struct reservations *r, uint64_t now_ms, struct reservation *ret_expired)
{
	for (size_t i = 0; i < r->count; i++) {
		struct reservation gone = r->items[i];

		if (!can_expire(r, &gone) || gone.expires_ms > now_ms)
			continue;
		reservations_tombstone(r, &gone.attempt);
		if (ret_expired)
			*ret_expired = gone;
		return true;
	}
	return false;
}

uint64_t reservations_next_expiry_ms(const struct reservations *r)
{
	uint64_t next_ms = UINT64_MAX;

	for (size_t i = 0; i < r->count; i++)
		if (can_expire(r, &r->items[i]) && r->items[i].expires_ms < next_ms)
			next_ms = r->items[i].expires_ms;
	return next_ms;
}

int reservations_restore(struct reservations *r, const struct reservation *saved, uint64_t now_ms,
                         struct error *err)
{
	int rc = refuse_out_of_range(saved, err);

	if (rc < 0)
		return rc;
	/* Room is not judged again: it was promised, and the guest may be half here. */
	rc = refuse_taken(r, saved, err);
	if (rc < 0)
		return rc;
	insert(r, saved, now_ms);
	reservations_see_epoch(r, saved->attempt.epoch);
	return 0;
}
