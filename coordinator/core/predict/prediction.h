/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration will take, told beforehand: time, bytes, pause, and whether it ends at all.
 *
 * Pre-copy sends all that is in use, then again what was written meanwhile, and so on, until what is
 * left can be sent within the downtime L that is allowed. With D(t), the bytes of different pages that
 * the guest writes to in t seconds, and b bytes sent a second:
 *
 *	t(0) = in use / b        t(i+1) = D(t(i)) / b        the end: t(i) <= L
 *
 *	bytes |            ____----   D(t) is concave: a page that is written twice is sent once. So
 *	      |      __----           D(t)/t falls, the passes get shorter as long as b > D(t)/t, and
 *	      |   _-'                 all of it ends if and only if b >= D(L)/L (or the first pass is
 *	      | /                     that short). A rate per second alone says too little: a small
 *	      '----------- t          hot set is written again and again, and fits into L as a whole.
 *
 * The interval is the same computation with everything at its bad end, and at its good end (of D: see
 * core/predict/dirty_curve.h); what that does not explain of past errors between the same hosts is added
 * (core/predict/calibration.h). What is not known widens it, or is said to be unknown; it is never a zero. Where
 * one end converges and the other does not, that is no foretelling: it is said not to be certain, what is
 * expected is the middle's, and each end of the interval says what it stands for.
 *
 * Every figure of a move that converges grows with the memory, with D and with 1/b (the passes become
 * longer and more). Pure: doubles of seconds and bytes inside, no clock, no fleet. */
#pragma once

#include "coordinator/core/predict/dirty_curve.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Around the copy, before any experience between two hosts: admission, tunnel, QEMU's start at the
 * destination, clean-up. */
#define PREDICTION_OVERHEAD_MS ((uint64_t)2000)
/* The pause beyond what is sent in it: devices' state, libvirt's messages (27 to 40 ms measured where
 * nothing was left to send). */
#define PREDICTION_SWITCHOVER_MS ((uint64_t)50)
/* What lies in the sockets' buffers when QEMU thinks that it is sent: it goes in the pause, too (measured:
 * half a MiB to 2, more than that on no link). */
#define PREDICTION_BUFFERED_BYTES ((double)(1 << 20))
/* QEMU's, where no limit is set. */
#define PREDICTION_DOWNTIME_MS ((uint64_t)300)
/* Passes that are followed before it is taken for one that does not end; those that converge at all
 * need far less, each is shorter than the one before. */
#define PREDICTION_PASSES_MAX 1000

struct prediction_input {
	uint64_t memory_bytes;  /* the guest's maximum */
	uint64_t touched_bytes; /* of it in use; 0 = not known: all, at most */
	struct dirty_curve dirty;
	/* What its stream can have: the path's, less what others take; and what is known of the error
	 * of that, as a share (0.1). 0 bytes: not known, and nothing can be said. */
	uint64_t bandwidth_bytes_per_s;
	double bandwidth_error;
	uint64_t limit_bytes_per_s; /* asked for; 0 = none. QEMU's last pass does not keep to it */
	uint64_t max_downtime_ms;   /* 0 = QEMU's default */
	uint64_t disk_bytes;        /* copied before the memory */
	uint64_t overhead_ms;       /* around the copy; 0 = PREDICTION_OVERHEAD_MS */
	uint64_t commit_ms;         /* a two-step commit's part of the pause; 0 = none */
	/* What is permitted when it does not converge, and when its time is over; 0 = never. */
	bool auto_converge, post_copy, pause;
	uint64_t completion_ms, progress_ms;
};

enum prediction_end {
	PREDICTION_UNKNOWN, /* no bandwidth is known, or not how the guest writes */
	PREDICTION_CONVERGES,
	PREDICTION_THROTTLED, /* converges with its CPUs held back (auto-converge) */
	PREDICTION_SWITCHES,  /* by post-copy */
	PREDICTION_PAUSES,    /* stands still until it has arrived */
	PREDICTION_GIVES_UP,  /* the guest stays where it is */
	PREDICTION_ENDS
};

struct prediction {
	enum prediction_end end;
	/* It ends so at the good end and at the bad one, too: what is said of it does not hang on an
	 * error of the measurements. */
	bool certain;
	/* What the ends of the interval stand for: how it ends if it takes so long. */
	enum prediction_end low_end, high_end;
	uint64_t expected_ms, low_ms,
		high_ms; /* of the whole; GIVES_UP: until then. 0 = not known */
	bool high_known; /* false: there is no end in sight at the bad end */
	/* The model's own: what hangs on the path and the guest, and its ends. */
	uint64_t transfer_ms, transfer_low_ms, transfer_high_ms;
	uint64_t bytes;
	uint64_t downtime_ms, downtime_high_ms;
	uint32_t passes;
	/* The bandwidth from which it would converge by itself; 0 = not known. */
	uint64_t enough_bytes_per_s;
	/* What it was computed with. */
	uint64_t bandwidth_bytes_per_s;
	uint64_t dirty_bytes_per_s; /* D(1 s); 0 = nothing, or not known */
	uint64_t touched_bytes;
};

/* Of an input of which nothing is known all figures are 0 and the end is PREDICTION_UNKNOWN; without
 * a dirty rate there are a time and bytes of a guest that writes nothing as the low end, and no high. */
void prediction_make(const struct prediction_input *in, struct prediction *ret);

/* D(L)/L: what a guest needs to converge to that downtime. 0 = not known, or it writes nothing. */
uint64_t prediction_enough_bytes_per_s(const struct dirty_curve *dirty, uint64_t max_downtime_ms);

/* The same at the good end and at the bad one of what was measured. */
void prediction_enough_range(const struct dirty_curve *dirty, uint64_t max_downtime_ms,
                             uint64_t *ret_least, uint64_t *ret_most);

/* What a stream of memory has of so many bytes a second on the wire: pages of 4096 bytes go with 8 of
 * their own in segments of 1448 of 1514, in TLS records with 22 more each 16 KiB. */
uint64_t prediction_stream_bytes_per_s(uint64_t wire_bytes_per_s);

const char *prediction_end_name(enum prediction_end end); /* "converges" */
/* PREDICTION_UNKNOWN for a name that this version does not know. */
enum prediction_end prediction_end_by_name(const char *name);
