/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes where: destinations for all that leave.
 *
 *	units     guests that must stay together are placed as one; most units are one guest
 *	order     few possible hosts first, then the largest share of what there is
 *	spread    the host whose inbound link is done first, the emptier one of those alike
 *	wishes    before that: a host that leaves no wish of it unfulfilled, where there is one (wishes.c)
 *	eject     no host has room: another unit of this plan makes room by going elsewhere (eject.c)
 *	hints     still none: where they were to go by the plan before
 *	again     still none: the roomiest host first, in other orders, packed tightly
 *	repair    still none: a few hosts are emptied and filled again, while the effort lasts (repair.c)
 *	search    still none, and not too many guests: everything is tried, within bounds; "none" is proved
 *	fulfil    then who could have its wishes elsewhere goes there
 *
 * Rooms are those after all have left; a destination whose room depends on a departure costs more.
 * The same instance, seed and effort give the same answer, in whatever order the arrays are.
 */
#pragma once

#include "coordinator/planner/host_tree.h"
#include "coordinator/planner/room.h"

struct placement {
	uint32_t *targets;  /* owned; per guest, NONE: stays, runs, or has no place */
	uint32_t n_blocked; /* guests that leave and have no place */
	bool searched;      /* everything was tried: all of them together fit in no way */
};

/* @effort: hosts looked at while room is sought, beyond the first pass. */
void place_make(const struct instance *in, uint64_t seed, uint64_t effort,
                struct placement *ret_placement);
void placement_deinit(struct placement *placement);

/* --- between place.c, books.c, units.c, eject.c, repair.c, search.c and wishes.c --- */

struct place_unit {
	uint32_t first, count; /* of place.members */
	uint64_t key;
	uint64_t need_bytes[INSTANCE_POOLS], vcpus;
	double bytes, seconds; /* to be sent; with what goes before */
	double share;          /* of the scarcest room there is */
	uint32_t n_hosts;      /* that could take it were it alone */
	uint32_t n_wished;     /* and that it wishes for */
	uint32_t few;          /* as it counts in the order */
	uint32_t left_over;    /* how often no place was found */
	double weight;         /* as its share counts in the order */
	uint32_t host;         /* NONE: none yet */
	uint32_t next;         /* of the same host */
	bool borrows;          /* had to be placed where others must leave first */
	bool wishes;           /* some of its groups are soft */
};

enum place_rule {
	PLACE_SPREAD,   /* the host that is done first with what comes in; the emptier one */
	PLACE_TIGHT,    /* the fullest */
	PLACE_ROOMIEST, /* the one with the most room */
};

struct place {
	const struct instance *in;
	struct room start, room; /* settled: before, and with what is placed */
	struct host_tree tree;
	uint32_t *leaving, *running; /* guests; one array */
	uint32_t n_leaving, n_running;
	struct place_unit *units;
	uint32_t n_units, *members, *order;
	uint32_t *first_of; /* per host: its units */
	double *finish_s;   /* per host: inbound work */
	int64_t *now_bytes; /* per host: what is left without any departure */
	double mean_s;      /* of a unit: the weight of what is not a time */
	double weight_memory, weight_vcpus;
	double fastest, largest; /* host: bytes/s inbound, bytes */
	uint64_t most_bytes;     /* free on any host */
	enum place_rule rule;
	bool aligned, exact;
	bool any_wishes, by_wishes; /* there are some; they count in the order */
	/* Of the unit that is asked for, how many stay unfulfilled: everywhere, and more or less there. */
	uint32_t unwished;
	int32_t *unwished_at; /* per host */
	uint64_t steps;
};

/* From those that leave, weighed and in order. */
void place_make_units(struct place *place);
/* Hardest first; place->exact: of hosts that could take it, every one counts. */
void place_sort_units(struct place *place);

/* All members fit on @host as things are. */
bool place_fits(struct place *place, const struct place_unit *unit, uint32_t host);
void place_put(struct place *place, uint32_t unit, uint32_t host);
void place_remove(struct place *place, uint32_t unit);
/* The best host as things are, or NONE. */
uint32_t place_find_host(struct place *place, uint32_t unit);

/* Makes room for @unit by placing others of this plan elsewhere, up to @depth in a chain. True: it is
 * placed, and so are they. */
bool place_eject(struct place *place, uint32_t unit, unsigned depth);
/* A unit that is placed anew costs so many steps of the effort. */
#define REPAIR_STEPS 4
/* From what is placed on: places for some of those left over (repair.c). */
void place_repair(struct place *place, const bool *hopeless, uint64_t seed, uint64_t effort);
/* All costs anew, after the rule has changed. */
void place_update(struct place *place);

/* Counts the wishes of @unit, which is nowhere, for place_get_unwished; and forgets that. */
void place_count_wishes(struct place *place, const struct place_unit *unit);
void place_forget_wishes(struct place *place, const struct place_unit *unit);
uint32_t place_get_unwished(const struct place *place, const struct place_unit *unit,
                            uint32_t host);
/* Who has a place, and could have more of its wishes at another one that has room, goes there. */
void place_fulfil(struct place *place);

/* What @unit adds to the inbound link of @host. */
double place_get_inbound_s(const struct place *place, const struct place_unit *unit, uint32_t host);
/* Everything out again. */
void place_reset(struct place *place);
void place_init_books(struct place *place);
/* Guests that could be placed and are not. */
uint32_t place_count_left(const struct place *place, const bool *hopeless);

enum place_search { PLACE_FOUND, PLACE_NONE, PLACE_GAVE_UP };
/* Tries everything for all that are not hopeless, from nothing placed, in at most so many steps. */
enum place_search place_search(struct place *place, const bool *hopeless, uint64_t steps);
