/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about a guest that does not want to be moved: one step at a time, each with its reason.
 *
 *	        no new low for two passes                       the top, and still none
 *	plain            |                                             |
 *	minimal-downtime +--> more downtime, in steps up to the limit -+--> abort
 *	suspend-if-needed|                                             +--> pause the guest
 *	post-copy        |                                             +--> post-copy
 *	very-large       '    (fewer and larger steps, more patience)  '--> what else is permitted
 *
 * A pass sends what was written during the one before. While passes get smaller the guest converges
 * and nothing is done. How large they are is measured by what was sent (struct ladder_passes): of passes
 * shorter than the time between two readings what is left at them is any part, a low one by chance.
 * `plain` has one step, the whole downtime from the start, and takes a measure only when the time that
 * is allowed is over; all others also when it is clear that more time will not help.
 *
 * Pausing and post-copy begin where a pass begins and is about as small as passes of this guest get,
 * never in the first one: what is left to send is known then, and it is little. Both are taken once.
 * After post-copy nothing is decided any more: there is no way back.
 *
 * Auto-converge cannot be switched on in the middle: where it is permitted QEMU has it from the start,
 * throttles by its own rule, and that is written down here. While the throttle still rises the
 * harsher measures wait; and the end comes no sooner after its last rise, of nine at most, than after a
 * step of ours.
 *
 * Pure: fed with readings of the job (two a second; passes may be shorter than that). */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "common/strategy.h"

/* One more of these without a new low, and the next step is taken. A low is lower by a twentieth than the low
 * before: less is noise, unless it adds up. */
#define LADDER_PATIENCE_PASSES 2

/* Passes of a small guest take milliseconds; QEMU's own figures need about a second to follow. */
#define LADDER_STEP_MS 1500

/* A measure waits this long for a pass that begins low. */
#define LADDER_MINIMUM_WAIT_MS 30000

/* After the last step, ours or QEMU's: so many passes, and so long, before a guest without any
 * measure is given up. Its bytes are others' bandwidth. */
#define LADDER_LAST_PASSES 8
#define LADDER_LAST_MS     20000

/* QEMU raises its throttle with every second pass: when it has not for so many, and so long, it has
 * done what it can. */
#define LADDER_THROTTLE_PASSES 4
#define LADDER_THROTTLE_MS     5000

enum ladder_step {
	LADDER_GO_ON,
	LADDER_RAISE_DOWNTIME, /* to decision.downtime_ms */
	LADDER_NOTE,           /* nothing to do; to be written down */
	LADDER_PAUSE,
	LADDER_SWITCH, /* to post-copy */
	LADDER_ABORT,
	LADDER_STEPS
};

struct ladder_settings {
	struct strategy strategy;
	uint64_t max_downtime_ms; /* what is allowed; 0 = QEMU's own, and never changed */
	bool two_step;            /* the destination stays paused: post-copy is not possible */
};

struct ladder {
	struct ladder_settings settings;
	unsigned rung;
	uint32_t iteration;
	uint32_t measured_iteration; /* up to this pass, ... */
	uint64_t pass_bytes;         /* ... of so many bytes; UINT64_MAX = not known */
	uint64_t best_bytes;         /* the latest low; the first pass is none */
	bool low;                    /* that pass is a new low */
	unsigned passes_without_low; /* that are over */
	uint64_t step_ms;            /* when the latest step was taken */
	uint32_t throttle_percent;
	uint64_t throttle_ms;     /* when it last rose ... */
	unsigned throttle_passes; /* ... and the passes since */
	uint64_t wanted_since_ms; /* a measure waits for its moment; 0 = none does */
	bool throttle_noted;
	bool downtime_fixed;   /* an operator has set it: no step changes it */
	bool paused, switched; /* the measures were taken */
};

/* What is known of whole passes: those after the ones that were told before, up to @iteration, have @bytes to
 * send, each; UINT64_MAX = not known. The latest of them may be under way still. */
struct ladder_passes {
	uint32_t iteration;
	uint64_t bytes;
};

struct ladder_decision {
	enum ladder_step step;
	uint64_t downtime_ms;
	char why[ERROR_TEXT_BYTES]; /* one sentence with the figures; "" with LADDER_GO_ON */
};

void ladder_init(struct ladder *l, const struct ladder_settings *settings, uint64_t now_ms);
/* Of a move that an agent before this one had begun: what it had decided. */
void ladder_adopt(struct ladder *l, unsigned rung, bool paused, bool switched);

/* An operator has set the downtime: it is the limit from now on, all of it and at once, and no step
 * changes it any more; what else is permitted is not touched. */
void ladder_fix_downtime(struct ladder *l, uint64_t downtime_ms, uint64_t now_ms);
/* An operator has taken that measure, LADDER_PAUSE or LADDER_SWITCH. */
void ladder_take(struct ladder *l, enum ladder_step measure, uint64_t now_ms);
/* Something else was changed about the move: its passes are judged anew. */
void ladder_begin_anew(struct ladder *l, uint64_t now_ms);

/* What QEMU is to be told now; what the next reading is judged by. */
uint64_t ladder_get_downtime_ms(const struct ladder *l);

/* One reading, and @passes: what is known with it of whole ones.
 * @guest_paused: its vCPUs stand still, whoever stopped them: it converges by itself.
 * @overdue: the time that was allowed is over, or nothing was gained for too long. */
void ladder_step(struct ladder *l, const struct vm_job *job, const struct ladder_passes *passes,
                 bool guest_paused, bool overdue, uint64_t now_ms, struct ladder_decision *ret);

/* There is a measure that was not taken yet: an overdue move is not given up before. */
bool ladder_has_measure(const struct ladder *l);

/* There is more downtime to try, within what is allowed. */
bool ladder_has_step(const struct ladder *l);

const char *ladder_step_name(enum ladder_step step); /* "raise-downtime" */
