/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the migrations that leave one host go first: shortest remaining first. Pure, no clock.
 *
 *	equal shares   A ====----====      B ====----====----    both late
 *	A first        A ====              B -   ====----====    A early, B no later than with equal shares
 *
 * One that would be out sooner takes what its way carries; those behind it are held at what it leaves,
 * and never below a tenth of the link between them all. That costs a guest nothing: what a first pass
 * sends is sent once, sooner or later, and it ends when it would have ended with equal shares; what is
 * sent later has less time to be written to again. So a move is held in its first pass only: a
 * later one races against what its guest writes, and takes all it gets. And never
 *
 *	- one that has trouble to converge, is about to switch over, stands still or has switched to
 *	  post-copy, nor one that copies disks (libvirt's limit does not reach those);
 *	- for longer, all in all, than twice the time it would need alone: small ones without end keep no
 *	  large one;
 *	- above what a person permits, and not at all if a person has set its limit;
 *	- where a way was not measured, or the figure is not believed: then TCP shares.
 *
 * It is this host's own link that is handed out. Of who else sends to a destination it knows nothing: that
 * one's link TCP shares.
 *
 * Who is held is not let go for one that is a little shorter: the order changes at a tenth.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than a host has slots for. Of more than these nobody is held. */
#define LANES_MAX 64
/* Of the link, for all that are held together. */
#define LANES_FLOOR_PERCENT 10
/* libvirt's unit; a link of which that is more than the floor is left to TCP. */
#define LANES_FLOOR_BYTES_PER_S ((uint64_t)1 << 20)
/* Who goes first stays first unless another one is shorter by this. */
#define LANES_BONUS_PERCENT 10
/* Less is over before it has an effect. */
#define LANES_LEAST_MS 2000
/* Times what it would need alone. */
#define LANES_PATIENCE 2
#define LANES_NEVER_MS UINT64_MAX
#define LANES_NOBODY   SIZE_MAX

struct lane {
	/* What its way has for us, payload; 0 = not known, or not believed. */
	uint64_t path_bytes_per_s;
	uint64_t limit_bytes_per_s; /* that a person has set; 0 = none */
	/* What it takes at most, where something else than the network holds it back; 0 = all. */
	uint64_t takes_bytes_per_s;
	uint64_t left_bytes, whole_bytes;
	uint64_t dirty_bytes_per_s;
	bool urgent;      /* post-copy, or it stands still: a guest waits for it */
	bool may_be_held; /* as above, but for the figures that follow */
	bool held;        /* now */
	uint64_t held_ms; /* all in all */

	/* Filled in. */
	uint64_t hold_bytes_per_s; /* 0 = it is not held */
	size_t first;              /* whom it is held for; LANES_NOBODY */
	uint64_t wait_ms;          /* until those before it are out, about */
	uint64_t left_ms; /* from then on, with all that its way has; NEVER: no end in sight */
};

void lanes_choose(struct lane *lanes, size_t n);
