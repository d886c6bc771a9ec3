/* SPDX-License-Identifier: Apache-2.0 */
/* Private to reservations*.c: the books themselves, and the questions both files ask of them. */
#pragma once

#include "agent/kernel/reservations.h"

struct reservations {
	struct reservations_limits limits;

	struct guest_memory *guests; /* owned; as libvirt listed them last */
	size_t n_guests;
	bool guests_known;

	struct reservation items[RESERVATIONS_MAX]; /* the oldest first */
	size_t count;

	struct held_room held[RESERVATIONS_HELD_MAX]; /* being started here */
	size_t n_held;

	struct attempt_name ended[RESERVATION_TOMBSTONES_MAX]; /* a ring */
	size_t n_ended, next_ended;

	uint64_t epoch;
};

/* The guest as libvirt listed it last, or NULL. */
const struct guest_memory *reservations_find_guest(const struct reservations *r, const char *uuid);

/* -ERROR_STALE if that attempt has ended here. */
int reservations_refuse_ended(const struct reservations *r, const struct attempt_name *attempt,
                              struct error *err);

/* -ERROR_NO_SPACE with the arithmetic, unless there is room for @want besides all others. */
int reservations_refuse_no_room(const struct reservations *r, const struct reservation *want,
                                struct error *err);

/* -ERROR_BUSY with the holders' names when every slot is taken. */
int reservations_refuse_no_slot(const struct reservations *r, struct error *err);
