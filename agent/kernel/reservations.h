/* SPDX-License-Identifier: Apache-2.0 */
/* What this host has promised to guests on their way in, as leases: memory, an inbound slot, a
 * migration port or two, a share of the migration link, room for copies of its disks.
 *
 *	take --renew--> ... --check--> libvirt lists the guest (in use) --release--> gone
 *	  |                   |            counted by libvirt now, and no more by us
 *	  |                   '-- guests took the room meanwhile --> lost, nothing is started
 *	  '-- nobody renews for the TTL, and no guest appeared --> expired
 *
 * Owner thread only; now_ms is passed in. The owner is one thread, so looking and taking are one
 * step: of two admissions for one room exactly one passes. Totals (invariant I2):
 *
 *	(capacity - reserve) x overcommit >= guests' maximum and overhead + reservations
 *
 * Overcommit multiplies what guests may have, never the reserve: 1.00 promises no byte twice. A
 * reservation whose guest libvirt lists is counted with the guests and not here, by UUID, from the
 * same list in the same call: never twice and never not at all. Slots and ports are held from take
 * to release, whether the guest is listed or not.
 *
 * Leases are kept in the order they were taken, also by the journal. Where what runs here has grown
 * into promised room (virsh start), reservations_check lets the older leases keep it: the youngest
 * lose. The race that remains: libvirt asks nobody before it starts a guest, so one started by hand
 * between the check and QEMU's own allocation (a fraction of a second) still overcommits the host;
 * it is then in the books with the next list, and nothing more is admitted.
 *
 * Freed: by release, at the end of any attempt; by the TTL when its source is silent and no guest
 * came, 30 s by default and so within 45 s of a source's death; never while libvirt lists the guest
 * or cannot be asked, nor once the guest has run here. That it did is what keeps its source, whenever
 * that comes back, from going on with a past state; such a lease holds its slot and its ports, no
 * memory, until its source is heard or declared dead.
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
#define RESERVATIONS_HELD_MAX      64
/* How many ended attempts are remembered, so that a late call of theirs is refused. */
#define RESERVATION_TOMBSTONES_MAX 1024

/* What a guest's images may grow to, on one file system. */
struct disk_room {
	uint64_t device; /* st_dev */
	uint64_t bytes;
};

struct reservation {
	struct attempt_name attempt;
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char source_node[128];
	char source_address[64]; /* in the migration network; "" = not known */
	uint64_t memory_bytes;   /* maximum RAM and overhead */
	uint32_t vcpus;
	uint64_t page_bytes;            /* its RAM is in pages of this size; 0 = ordinary ones */
	uint64_t bandwidth_bytes_per_s; /* its share of the migration link; 0 = none was promised */
	uint16_t port;
	uint16_t disk_port;                        /* for its disks' contents; 0 = none is copied */
	struct disk_room disk_rooms[VM_DISKS_MAX]; /* for copies of its disks */
	size_t n_disk_rooms;
	uint64_t ttl_ms;
	uint64_t taken_wall_ms; /* display */
	uint64_t expires_ms;    /* clock_now_ms scale */
	/* How the guest arrives, for the day its source cannot say any more. */
	enum guard guard;
	bool arrives_paused;    /* a person had paused it before the move */
	bool arrives_autostart; /* its definition starts with its host */
	bool in_use;            /* libvirt lists the guest: counted there */
	bool was_in_use;        /* it did once: an ended move is not a new one */
	bool has_run;           /* its vCPUs ran here */
};

struct reservations;

struct reservations_limits {
	uint64_t capacity_bytes;
	uint64_t reserve_bytes;      /* never promised to guests, nor multiplied */
	uint32_t overcommit_percent; /* 100 = 1.00; 0 = 100 */
	uint32_t slots;              /* leases at a time; 0 = RESERVATIONS_MAX */
};

struct reservations *reservations_new(const struct reservations_limits *limits);
void reservations_free(struct reservations *r);

/* What the kernel says, once it was asked: for a host whose capacity nobody configured. */
void reservations_set_capacity(struct reservations *r, uint64_t capacity_bytes);

/* What a guest takes that is about to be started here by its definition, in no move. */
struct held_room {
	char vm_uuid[VM_UUID_BYTES];
	uint64_t memory_bytes; /* maximum RAM and overhead */
	uint32_t vcpus;
	uint64_t page_bytes; /* as in struct reservation */
};

/* It is counted with the leases until its guest is listed, or it is given back. Only memory is refused
 * here: -ERROR_NO_SPACE (text with the arithmetic), -ERROR_UNREACHABLE (guests unknown), -ERROR_BUSY (too
 * many at a time, or the guest has a lease). */
int reservations_hold(struct reservations *r, const struct held_room *want, struct error *err);
void reservations_unhold(struct reservations *r, const char *vm_uuid);

/* What is full and by whom: for the "memory" check and for HostState. */
struct memory_totals {
	uint64_t capacity_bytes;
	uint64_t reserve_bytes;
	uint32_t overcommit_percent;
	uint64_t limit_bytes; /* (capacity - reserve) x overcommit */
	uint64_t guests_bytes;
	uint32_t n_guests;
	uint64_t reserved_bytes; /* leases whose guest is not listed yet */
	uint32_t n_reserved;
	uint64_t free_bytes; /* what is left; 0 when overcommitted */
	bool guests_known;   /* false: libvirt has not listed its guests; admit nothing */
};

void reservations_get_totals(const struct reservations *r, struct memory_totals *ret);

/* Slots, and what else leases have taken: for the checks "slot", "bandwidth" and "hugepages". */
struct lease_totals {
	uint32_t slots, taken;
	char holders[96];              /* "web1 from host1, db1 from host3" */
	uint64_t promised_bytes_per_s; /* all shares of the link */
};

void reservations_get_leases(const struct reservations *r, struct lease_totals *ret);

/* Room on that file system, promised to images of all guests on their way. What has been written to them
 * is counted twice, here and as used: too little is promised rather than too much. */
uint64_t reservations_get_disk_promised(const struct reservations *r, uint64_t device);

/* All room for images of one lease. */
uint64_t reservation_disk_bytes(const struct reservation *r);

/* RAM in pages of that size, promised to guests that are not listed yet. */
uint64_t reservations_get_pages(const struct reservations *r, uint64_t page_bytes);

/* vCPUs promised to guests that are not listed yet. */
uint32_t reservations_get_vcpus(const struct reservations *r);

struct guest_memory {
	char uuid[VM_UUID_BYTES];
	uint64_t bytes; /* maximum and overhead */
};

/* All active guests, incoming ones too, as libvirt lists them now. */
void reservations_set_guests(struct reservations *r, const struct guest_memory *guests, size_t n);

/* The guest's vCPUs run here. Returns its lease if that was not known, to be journaled; else NULL. */
const struct reservation *reservations_guest_runs(struct reservations *r, const char *vm_uuid);

/* libvirt cannot be asked: nothing is admitted, and nothing expires, until the next list. */
void reservations_set_guests_unknown(struct reservations *r);

/* For the same attempt again: renews and returns the same reservation, whatever else is asked.
 * Else -ERROR_NO_SPACE (no room; text with the arithmetic), -ERROR_BUSY (port leased, no slot, or
 * the guest has a reservation by another attempt), -ERROR_STALE (lower epoch than seen, ended attempt, or a
 * lower number than one seen of this operation), -ERROR_UNREACHABLE (guests unknown),
 * -ERROR_INVALID. Of @want the caller fills all but expires_ms, in_use, was_in_use and has_run;
 * ttl_ms 0 is the default. @ret (borrowed until the next call; may be NULL). */
int reservations_take(struct reservations *r, const struct reservation *want, uint64_t now_ms,
                      const struct reservation **ret, struct error *err);

/* -ERROR_NOT_FOUND, or -ERROR_STALE for an ended attempt. What was admitted goes on under a later
 * coordinator, so its epoch does not matter any more, here and below. */
int reservations_renew(struct reservations *r, const struct attempt_name *attempt, uint64_t now_ms,
                       const struct reservation **ret, struct error *err);

/* Right before the start: can the promise still be kept? -ERROR_NO_SPACE if guests and older leases
 * leave too little (text with the arithmetic), -ERROR_NOT_FOUND, -ERROR_STALE, -ERROR_UNREACHABLE
 * (guests unknown). Changes nothing; make sure that the list of guests is fresh. */
int reservations_check(const struct reservations *r, const struct attempt_name *attempt,
                       struct error *err);

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
/* As either of its two. */
bool reservations_has_port(const struct reservations *r, uint16_t port);
uint32_t reservations_count_ports(const struct reservations *r);
