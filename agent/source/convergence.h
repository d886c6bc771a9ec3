/* SPDX-License-Identifier: Apache-2.0 */
/* Watching one outgoing migration: how fast it is, and whether to give it up.
 *
 *	job statistics, every 500 ms --> convergence_step --> rates
 *	                                                  '--> go on, or abort with the reason
 *
 * Pure: no clock, no libvirt. When it ends is agent/source/outlook.h's.
 * Disks that are copied go first, and libvirt shows neither memory nor rate then: the guest's RAM is
 * counted as still to come, and the rate is taken from the bytes.
 *
 * Three limits, each seen in bytes and never in rates, because libvirt's rate stays at its last
 * value when the network is dead (measured: 35 s and more):
 *	stall       no byte was sent for CONVERGENCE_STALL_MS: the path is dead
 *	progress    no pass was smaller than the smallest before, for progress_timeout: it oscillates
 *	completion  the whole took longer than allowed for the guest's size
 *
 * What is compared are whole passes, by what each has to send: within a pass what remains always falls,
 * nearly to nothing, and jumps up again. A pass that has a twentieth less than the smallest before is
 * progress for as long as it lasts, which may be many minutes; noise and one that swings are none.
 *
 *	left   |\  o|\   |\   |o          o: readings; what is left at them is any part of a pass
 *	       | \  | o  | \  | \
 *	       '---------------- t       passes x size = sent + left here - left there
 *
 * That holds for passes of which no reading has seen the beginning, too; short ones are measured several at a
 * time. It is less than what was seen to be left, by up to what fits into the pause: QEMU begins a pass when no
 * more than that is left of the one before.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/ladder.h"

#include <stdbool.h>
#include <stdint.h>

/* TCP recovers from a lost link of a few seconds by itself; half a minute without one byte is not a
 * short disturbance any more, and the guest runs on at its source whatever we do. */
#define CONVERGENCE_STALL_MS 30000

/* QEMU's, where no limit is set. */
#define CONVERGENCE_DOWNTIME_MS 300

struct convergence_limits {
	uint64_t completion_timeout_ms_per_gib; /* 0 = none */
	uint64_t progress_timeout_ms;           /* 0 = none */
	uint64_t max_downtime_ms;
	uint64_t
		memory_bytes; /* the guest's; counted while libvirt still copies disks; 0 = unknown */
};

struct convergence {
	struct convergence_limits limits;
	uint64_t started_ms;
	uint64_t last_growth_ms; /* when a byte was last sent */
	uint64_t last_memory_bytes, last_disk_bytes;
	uint64_t best_remaining_bytes; /* of the disks and of the first pass */
	/* The passes after the first: where those that are not measured yet begin ... */
	struct convergence_mark {
		uint64_t at_ms, sent_bytes, left_bytes;
		uint32_t iteration;
	} mark;
	uint64_t pass_bytes;         /* ... what the last ones that are had to send, each */
	uint64_t best_pass_bytes;    /* the smallest before */
	uint64_t best_at_ms;         /* when there was progress */
	double transfer_bytes_per_s; /* smoothed */
	double dirty_bytes_per_s;
	bool seen_bytes;    /* something was sent */
	bool before_memory; /* at the last reading disks were being copied */
	/* Held for others, all in all: not of its time. Kept by source_lanes.c. */
	uint64_t held_ms;
};

struct convergence_progress {
	uint64_t elapsed_ms;
	uint64_t transfer_bytes_per_s, dirty_bytes_per_s;
};

enum convergence_verdict {
	CONVERGENCE_GO_ON,
	CONVERGENCE_ABORT_STALLED,
	CONVERGENCE_ABORT_NO_PROGRESS,
	CONVERGENCE_ABORT_TIMEOUT,
};

void convergence_init(struct convergence *c, const struct convergence_limits *limits,
                      uint64_t now_ms);

/* Something was done about it: as much time again, and what is gained counts from now. */
void convergence_extend(struct convergence *c, uint64_t now_ms);

/* A limit was changed: what is gained counts from now. */
void convergence_begin_anew(struct convergence *c, uint64_t now_ms);

/* Feeds one reading. @ret_why gets the sentence for the history when the verdict is to abort. */
enum convergence_verdict convergence_step(struct convergence *c, const struct vm_job *job,
                                          uint64_t now_ms, struct convergence_progress *ret,
                                          struct error *ret_why);

/* What is measured of whole passes, for the ladder. */
struct ladder_passes convergence_get_passes(const struct convergence *c);
