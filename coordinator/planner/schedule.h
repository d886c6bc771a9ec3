/* SPDX-License-Identifier: Apache-2.0 */
/* In which order, when, and how fast: an event-driven list schedule of moves whose ends are known.
 *
 *	start     of the source with the most work left on its link (critical link first) the shortest
 *	          move that may start; when what is left is little beside its longest, that one,
 *	          and short ones beside it. Where only the cluster's slots are in the way, the shortest
 *	          of all sources
 *	rates     as agents and TCP share links: of those that leave one host the shortest goes first
 *	          (hold.c), those that come to one host share its link (rates.c)
 *	room      RAM is held at both ends; a move waits until others have left (room.h)
 *	prepare   what can be done before a move has its slot is done while it waits for one
 *	stuck     nobody can start and nobody runs: the cheapest guest of the cycle makes room by a
 *	          detour, or goes somewhere else, or it is said who waits for whom (stuck.c)
 *
 * Why long and short together: the full rate for one move after the other sends the fewest bytes,
 * a second lane hides the seconds before bytes flow, shortest-first ends guests early on average,
 * and a long move that begins before the others are done leaves no tail.
 */
#pragma once

#include "coordinator/planner/instance.h"

enum schedule_order {
	SCHEDULE_LANES,    /* as above */
	SCHEDULE_CRITICAL, /* move by move: the link with the most work left; noise by seed */
	SCHEDULE_GIVEN,    /* by rank, lowest first */
};

enum schedule_rates {
	SCHEDULE_SHORTEST, /* of those that leave one host the shortest goes first, as agents see to it */
	SCHEDULE_FAIR,     /* equal shares, as TCP does when nobody sets limits */
	SCHEDULE_RESERVED, /* each its full rate from start to end, or it does not start */
};

struct schedule_options {
	enum schedule_order order;
	enum schedule_rates rates;
	uint64_t seed;        /* of the noise; 0 = none */
	double noise;         /* as a share of the work of a link */
	const uint32_t *rank; /* per guest; SCHEDULE_GIVEN */
	bool head_of_line;    /* SCHEDULE_GIVEN: nobody overtakes one who waits */
	bool no_detours;      /* stuck is stuck */
	bool every_slot;      /* as many lanes as there are slots, though fewer fill the link */
};

struct schedule_move {
	uint32_t vm, from, to;
	uint32_t first_after, n_after; /* of schedule.after: moves that must have ended before */
	double start_s, send_s, end_s; /* send: bytes begin to flow */
	double bytes;                  /* that were sent */
	uint32_t turn;                 /* of those that begin; 0 = it was under way */
	bool running;                  /* it was under way when this was planned */
	bool detour;                   /* the first leg of two */
	bool retargeted;               /* its placed destination could not be reached */
};

struct schedule {
	struct schedule_move *moves; /* owned; by start, and by turn */
	uint32_t n_moves;
	uint32_t *after; /* owned */
	uint32_t *stuck; /* owned; guests whose turn never comes: they wait for each other */
	uint32_t n_stuck, n_detours;
	double makespan_s, mean_end_s, bytes;
	uint64_t events; /* what it cost to compute */
};

/* @targets: per guest, NONE: does not move. What runs is in the instance itself. */
void schedule_make(const struct instance *in, const uint32_t *targets,
                   const struct schedule_options *options, struct schedule *ret_schedule);
void schedule_deinit(struct schedule *schedule);

/* Fills in which moves must have ended before which may start (depend.c). In any order of ends that
 * respects it no host is ever above its room. */
void schedule_link(const struct instance *in, struct schedule *schedule);
