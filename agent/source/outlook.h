/* SPDX-License-Identifier: Apache-2.0 */
/* When an outgoing migration ends, and how: the guest has arrived, or was given up and stays.
 *
 *	readings, ladder, limits -- outlook_look --> foreseen: CONVERGES in 12 s --> said: stays put
 *
 * A pass sends what was written during the one before. How much that is hangs on how long it took: D(t), bytes
 * of different pages in t seconds, from what was sampled before the guest moved, scaled to what QEMU counts
 * now. From what is left of this pass on the passes to come are followed until one fits into the pause; and each
 * half a second on their way is told to copies of those who would decide then, the limits (convergence.h) and
 * the ladder (kernel/ladder.h). So whoever would be given up in 2 min 39 s is said to be: neither the little
 * that is left at the end of each pass nor the difference of two rates that are nearly the same is an end.
 *
 *	left   |\    |\    |\    |\          the same passes again and again: each
 *	       | \   | \   | \   | \         falls nearly to nothing, and none of them
 *	       '----------------------- t    is the last one, until somebody ends it
 *
 * What is said is an end, a time that stays where it is, while what is foreseen wavers by a tenth of the rest or
 * a second. It goes later only with the reason in a sentence, and from one that is given up to one that is not only
 * when that was foreseen for ten seconds: guests that share a link take from each other in turn.
 *
 * Pure: no clock, no libvirt. */
#pragma once

#include "agent/kernel/ladder.h"
#include "agent/source/convergence.h"

#define OUTLOOK_POINTS    4
#define OUTLOOK_WHY_BYTES 128

/* The numbers are the wire's (Prediction.End). */
enum outlook_end {
	OUTLOOK_UNKNOWN, /* nothing is known of how the guest writes: the end, if it writes nothing */
	OUTLOOK_CONVERGES,
	OUTLOOK_THROTTLED, /* converges, with its CPUs held back */
	OUTLOOK_SWITCHES,  /* by post-copy */
	OUTLOOK_PAUSES,    /* stands still until it has arrived */
	OUTLOOK_GIVES_UP,
};

struct outlook_input {
	const struct convergence *convergence; /* with this reading */
	const struct ladder *ladder;
	const struct vm_job *job;
	const struct convergence_progress *progress;
	bool stands_still;   /* the guest writes nothing: paused, or it runs elsewhere already */
	uint64_t left_bytes; /* of this pass, and of disks; without pages that were never used */
	/* Held for others (kernel/lanes.h): for so long, at that rate; then it has the other one. 0: it is not. */
	uint64_t wait_ms, hold_bytes_per_s, free_bytes_per_s;
	const char *held_for;
	/* Sampled before it moved: the shortest time first; n_points 0: was not. */
	struct outlook_point {
		double seconds, bytes;
	} points[OUTLOOK_POINTS];
	size_t n_points;
};

struct outlook {
	/* Of the passes. */
	uint32_t iteration;
	double pass_bytes,
		before_bytes; /* what this one has to send, and the one before; 0 = not seen */
	/* Of what was said last. */
	bool known;
	uint64_t end_at_ms;
	enum outlook_end end;
	double rate, dirty;
	bool held;
	char later_why[OUTLOOK_WHY_BYTES];
	uint64_t later_ms; /* when that was said */
	bool stalled;      /* no byte was sent */
	unsigned looks;   /* in a row that have foreseen another end than is said, or a later one */
	uint32_t percent; /* 0..99, never falls; done is for evidence to say */
};

/* With each reading, after convergence_step and ladder_step. */
void outlook_look(struct outlook *o, const struct outlook_input *in, uint64_t now_ms);

/* 0: it is over any moment. Only if known. */
uint64_t outlook_left_ms(const struct outlook *o, uint64_t now_ms);
