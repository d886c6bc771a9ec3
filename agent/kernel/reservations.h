/* SPDX-License-Identifier: Apache-2.0 */
/* What this host has promised to guests on their way in: memory and a migration port, as leases.
 *
 *	take --renew--> ... --> libvirt lists the guest (in use) --release--> gone
 *	  |                         counted by libvirt now, and no more by us
 *	  '-- nobody renews for the TTL, and no guest appeared --> expired
 *
 * Owner thread only; now_ms is passed in. The owner is one thread, so looking and taking are one
 * step: of two admissions for one room exactly one passes. Totals: capacity - reserve >= guests'
 * maximum and overhead + reservations (invariant I2). A reservation whose guest libvirt lists is
 * counted with the guests and not here, by UUID, from the same list in the same call: never twice
 * and never not at all.
 *
 * Persist, then act, then confirm: after reservations_take write it to the journal, and only then
 * answer the peer; if writing fails, release it.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/attempt.h"
#include "agent/kernel/guard.h"

#include <stdbool.h>
#include <stdint.h>

#define RESERVATION_TTL_MS_DEFAULT 30000
#define RESERVATION_TTL_MS_MIN     5000
#define RESERVATION_TTL_MS_MAX     600000
#define RESERVATIONS_MAX           64
/* How many ended attempts are remembered, so that a late call of theirs is refused. */
#define RESERVATION_TOMBSTONES_MAX 1024

struct reservation {
	struct attempt_name attempt;
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char source_node[128];
	uint64_t memory_bytes; /* maximum RAM and overhead */
	uint16_t port;
	uint64_t ttl_ms;
	uint64_t expires_ms; /* clock_now_ms scale */
	/* How the guest arrives, for the day its source cannot say any more. */
	enum guard guard;
	bool arrives_paused; /* a person had paused it before the move */
	bool in_use;         /* libvirt lists the guest: counted there */
	bool was_in_use;     /* it did once: an ended move is not a new one */
};

struct reservations;

struct reservations *reservations_new(uint64_t capacity_bytes, uint64_t reserve_bytes);
void reservations_free(struct reservations *r);

/* What is full and by whom: for the "memory" check and for HostState. */
struct memory_totals {
	uint64_t capacity_bytes;
	uint64_t reserve_bytes;
	uint64_t guests_bytes;
	uint32_t n_guests;
	uint64_t reserved_bytes; /* leases whose guest is not listed yet */
	uint32_t n_reserved;
	uint64_t free_bytes; /* what is left; 0 when overcommitted */
	bool guests_known;   /* false: libvirt has not listed its guests; admit nothing */
};

void reservations_get_totals(const struct reservations *r, struct memory_totals *ret);

struct guest_memory {
	char uuid[VM_UUID_BYTES];
	uint64_t bytes; /* maximum and overhead */
};

/* All active guests, incoming ones too, as libvirt lists them now. */
void reservations_set_guests(struct reservations *r, const struct guest_memory *guests, size_t n);

/* libvirt cannot be asked: nothing is admitted, and nothing expires, until the next list. */
void reservations_set_guests_unknown(struct reservations *r);

/* For the same attempt again: renews and returns the same reservation, whatever else is asked.
 * Else -ERROR_NO_SPACE (no room; text with the arithmetic), -ERROR_BUSY (port leased, or the guest
 * has a reservation by another attempt), -ERROR_STALE (lower epoch than seen, ended attempt, or a
 * lower number than one seen of this operation), -ERROR_UNREACHABLE (guests unknown),
 * -ERROR_INVALID. Of @want the caller fills attempt, vm_*, source_node, memory_bytes, port and
 * ttl_ms (0 = default). @ret (borrowed until the next call; may be NULL). */
int reservations_take(struct reservations *r, const struct reservation *want, uint64_t now_ms,
                      const struct reservation **ret, struct error *err);

/* -ERROR_NOT_FOUND, or -ERROR_STALE for an ended attempt. What was admitted goes on under a later
 * coordinator, so its epoch does not matter any more, here and below. */
int reservations_renew(struct reservations *r, const struct attempt_name *attempt, uint64_t now_ms,
                       const struct reservation **ret, struct error *err);

/* Gives it back and remembers the attempt as ended, also if there is none (so that a release that
 * overtakes its admission wins). Says whether there was one. */
bool reservations_release(struct reservations *r, const struct attempt_name *attempt);

/* Ends the attempt here for good, whether it ever came or not. */
void reservations_tombstone(struct reservations *r, const struct attempt_name *attempt);

/* Removes one reservation that nobody renewed and whose guest is not listed. Call until false. */
bool reservations_expire(struct reservations *r, uint64_t now_ms, struct reservation *ret_expired);

/* When reservations_expire is next worth calling; UINT64_MAX = never. */
uint64_t reservations_next_expiry_ms(const struct reservations *r);

/* After a restart, from the journal: with a whole new TTL, since nobody could renew meanwhile. */
int reservations_restore(struct reservations *r, const struct reservation *saved, uint64_t now_ms,
                         struct error *err);

/* Raises the epoch below which nothing is obeyed. */
void reservations_see_epoch(struct reservations *r, uint64_t epoch);
uint64_t reservations_get_epoch(const struct reservations *r);

/* Borrowed until the next call that changes something. */
const struct reservation *reservations_find(const struct reservations *r,
                                            const struct attempt_name *attempt);
const struct reservation *reservations_find_vm(const struct reservations *r, const char *vm_uuid);
const struct reservation *reservations_get_all(const struct reservations *r, size_t *ret_count);
bool reservations_has_port(const struct reservations *r, uint16_t port);
