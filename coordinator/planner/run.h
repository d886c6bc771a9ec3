/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule while it is made: shared by schedule.c, start.c, rates.c, hold.c and stuck.c, and by nobody
 * else. */
#pragma once

#include "coordinator/planner/room.h"
#include "coordinator/planner/schedule.h"

enum run_state { RUN_WAITS, RUN_PREPARES, RUN_SENDS, RUN_ENDED };

struct run_move {
	uint32_t vm, from, to;
	enum run_state state;
	double path;          /* the most that it gets, bytes/s */
	double seconds;       /* of bytes at full path */
	double work;          /* seconds and what comes before */
	double out_s, in_s;   /* seconds of either link */
	double left;          /* bytes, as of `since_s` */
	double rate, since_s; /* now */
	double progress;      /* how fast what is left shrinks at that rate */
	double next_s;        /* its next event; INFINITY: none while its rate is 0 */
	double start_s, send_s, sent;
	double hold;                 /* by its agent, bytes/s; INFINITY: it is not held */
	double held_s, held_since_s; /* all in all, as of then */
	double noise;                /* factor, around 1 */
	uint64_t key;
	uint32_t heap;                 /* position, NONE: not in it */
	uint32_t lanes_out, lanes_in;  /* while fewer than these are busy it may have a slot */
	uint32_t next_out, prev_out;   /* of those that wait, or of those that send, of `from` */
	uint32_t next_in, prev_in;     /* the same of `to` */
	uint32_t next_work, prev_work; /* of those that wait, by priority and work */
	uint32_t final_to;             /* of a detour: where it was going */
	uint32_t turn;                 /* how many began before it */
	bool is_long, running, detour, retargeted;
	bool looks; /* its next event is not its end: it may be let go */
	bool seen;  /* rates.c */
};

/* In the heap: the time is with it, so that comparing looks at nothing else. */
struct run_event {
	double next_s;
	uint64_t key;
	uint32_t move;
};

struct run_link {
	double waiting_s; /* of those that wait: the link's seconds */
	double reserved;  /* SCHEDULE_RESERVED: bytes/s taken */
	double level;     /* rates.c: what all get who could take more; INFINITY: it is not full */
	uint32_t busy;    /* slots */
	uint32_t waits, sends; /* lists: first move */
	bool dirty;            /* its rates are to be worked out again */
};

struct run_host {
	struct run_link out, in;
	uint32_t ports;
	double waiting_s; /* of those that wait to leave: all that they take */
	uint32_t n_long;  /* of those that leave */
	uint32_t lanes;   /* out; no move of it may have more */
	bool awake;       /* as a source: something may be able to start */
	bool listed;
};

struct run {
	const struct instance *in;
	const struct schedule_options *options;
	struct room room;
	struct run_move *moves;
	uint32_t n_moves, room_moves, n_waiting, n_running;
	struct run_host *hosts;
	uint32_t busy;    /* slots of the cluster */
	double waiting_s; /* work of all that wait */
	uint32_t shortest,
		longest; /* of all that wait: both ends of their list; NONE: there is no list */
	double now_s;
	struct run_event *heap;
	uint32_t n_heap;
	uint32_t *awake, n_awake;
	uint32_t *dirty, n_dirty, room_dirty;       /* host * 2, + 1 for inbound */
	uint32_t *touched, n_touched, room_touched; /* rates.c: scratch */
	double *wishes;
	uint32_t room_wishes;
	uint32_t *ranked;  /* SCHEDULE_GIVEN: guests by rank */
	uint32_t *move_of; /* per guest: its latest move */
	uint8_t *bounced;  /* per guest: detours so far; NULL until one */
	uint32_t n_detours, n_ended, n_begun;
	uint64_t events;
	uint32_t *ended; /* in order */
};

/* The next event. There is one. */
uint32_t run_pop(struct run *run);
/* Into and out of the lists of its links: of those that wait, or of those that send. */
void run_link(struct run *run, uint32_t move, bool sends);
void run_unlink(struct run *run, uint32_t move, bool sends);

/* A move that waits. */
uint32_t run_add(struct run *run, uint32_t vm, uint32_t from, uint32_t to);
void run_forget(struct run *run, uint32_t move); /* it waits no longer, and nothing comes of it */
void run_wait_no_more(struct run *run, uint32_t move);
bool run_has_slot(const struct run *run, const struct run_move *move);
bool run_may_start(const struct run *run, uint32_t move);
void run_wake(struct run *run, uint32_t host);
/* Into the heap, or to its new place there. */
void run_set_next(struct run *run, uint32_t move, double next_s);

/* It begins to prepare, now (schedule.c). */
void run_start(struct run *run, uint32_t move);
/* Makes the list of all that wait (start.c). */
void run_list_waiting(struct run *run);
/* In that list. */
bool run_goes_before(const struct run *run, uint32_t a, uint32_t b);
/* Whatever may start now, by the rule (start.c). */
void run_start_all(struct run *run);

/* Bytes/s that nobody has of a link. */
double run_get_residual(const struct run *run, uint32_t host, bool inbound);
void run_make_dirty(struct run *run, uint32_t host, bool inbound);
/* Works out the rates of all for whom something has changed (rates.c). */
void run_share_links(struct run *run);
/* Of a move that sends: bytes that are left, and those of them that a first pass sends. */
double run_get_left(const struct run *run, const struct run_move *move);
double run_get_first_left(const struct run *run, const struct run_move *move);

/* The agent of @host looks at what leaves it (hold.c). */
void run_hold(struct run *run, uint32_t host);
bool run_is_held(const struct run_move *move);
/* When one that is held is let go, if nothing else happens. */
double run_get_let_go(const struct run *run, const struct run_move *move);
/* Nothing runs, something waits. True: something may start now (stuck.c). */
bool run_break_deadlock(struct run *run);
