/* SPDX-License-Identifier: Apache-2.0 */
/* Whether so many guests fit into so much room, in plain numbers, with a proof either way.
 *
 * Every guest needs memory and goes whole into one room. Hosts that are emptied are no rooms, so no
 * move waits for the room that another one leaves, and the order of the moves does not matter: what
 * is asked is bin packing with bins of different size. It is NP-hard; the answers here are
 *
 *	YES       with a room for each
 *	NO        with a proof: a guest without a room, a bound that counts, or a search of all there is
 *	UNKNOWN   the steps that were allowed are over. Never taken for one of the others.
 *
 * First the roomiest room for the largest guest, as drover itself plans, then the tightest, then the
 * bounds, then branch and bound. Plain data, no fleet: tests check proofs from the numbers alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packing_verdict { PACKING_UNKNOWN, PACKING_YES, PACKING_NO };

enum packing_proof {
	PACKING_NO_PROOF,
	PACKING_NO_PLACE, /* `guest` fits into no room, were all others away */
	PACKING_TOO_MANY, /* `guests` need `at_least` or more each; the rooms have `places` for such */
	PACKING_TOO_LARGE, /* they need `need` together; rooms of at least `at_least` have `room` */
	PACKING_SEARCHED,  /* every way was tried */
	PACKING_SHORT_OF_VCPUS, /* they need `need` vCPUs together, and all rooms have `room`; capacity.c */
};

struct packing {
	const uint64_t *needs; /* falling; borrowed */
	size_t n_needs;
	const uint64_t *rooms; /* borrowed */
	size_t n_rooms;
	/* Whether that guest may go to that room, memory aside; NULL: always. */
	bool (*may)(const void *context, size_t guest, size_t room);
	/* Whether it may with the guests before it where they are: rooms[0 .. guest - 1]. Only with `may`;
	 * NULL: always. */
	bool (*beside)(const void *context, size_t guest, size_t room, const size_t *rooms);
	const void *context;
	bool quick;     /* no proof and no search: YES or UNKNOWN */
	uint64_t steps; /* left; comparisons, about a nanosecond each */
};

struct packing_answer {
	enum packing_verdict verdict;
	bool roomiest; /* YES: found by the roomiest room for the largest guest */
	bool planned;  /* YES: found by who plans drains; set by capacity.c */
	enum packing_proof proof;
	size_t guest;
	uint64_t at_least, need, room;
	uint64_t guests, places;
};

/* @ret_rooms: a room for each guest, with YES; n_needs of them. Takes from p->steps. */
struct packing_answer packing_solve(struct packing *p, size_t *ret_rooms);
