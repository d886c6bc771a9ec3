/* SPDX-License-Identifier: Apache-2.0 */
/* When a post-copy that broke is resumed, and when one that stands still is broken so that it can be.
 *
 *	transfer ---- no byte for CONVERGENCE_STALL_MS ---> stalled: alarm
 *	   ^                                                   | the network answers, and still nothing
 *	   |                                                   v
 *	   '--- RECOVERY_TRY <--- quiet, back-off is over <--- broken (by us, or by itself)
 *
 * A connection over a network that was away may not say a word for minutes after it is back: TCP waits
 * longer and longer before it tries again, and the destination's QEMU notices nothing by itself
 * (measured). One that still carries bytes is left alone, whatever libvirt calls its state: after a
 * libvirtd was restarted the transfer goes on and ends well without anybody.
 *
 * There is no last attempt: the guest stands still, both halves are kept, and nothing else can be done.
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Bytes that stopped for so long are no pause between two packets. */
#define RECOVERY_QUIET_MS 3000
/* The network is asked this often while a transfer is stalled. */
#define RECOVERY_PROBE_MS 3000
/* Between attempts: 1, 2, 5, and then always 10 s. A guest stands still meanwhile; an attempt costs the
 * network next to nothing. */
#define RECOVERY_LONGEST_MS 10000

struct recovery {
	unsigned tries;
	uint64_t next_ms;  /* not before */
	uint64_t bytes;    /* sent so far, as last seen ... */
	uint64_t bytes_ms; /* ... and when that last grew; 0 = never looked */
	bool stalled;
	uint64_t probe_ms; /* when the network was last asked */
};

enum recovery_step {
	RECOVERY_NOTHING,
	RECOVERY_ALARM,  /* stalled: a person has to know */
	RECOVERY_PROBE,  /* ask the network; then recovery_answered */
	RECOVERY_BREAK,  /* it answers, and the old connection is dead */
	RECOVERY_RELIEF, /* bytes flow again */
	RECOVERY_TRY,    /* resume it now */
	RECOVERY_STEPS
};

/* The transfer has sent that much. */
void recovery_see_bytes(struct recovery *r, uint64_t bytes, uint64_t now_ms);

/* While libvirt's call has not returned. @silent: no byte for CONVERGENCE_STALL_MS. */
enum recovery_step recovery_watch(struct recovery *r, bool silent, uint64_t now_ms);
/* RECOVERY_BREAK if the network carries packets, else nothing yet. */
enum recovery_step recovery_answered(const struct recovery *r, bool reachable);

/* Of two halves without a call: RECOVERY_TRY when it is time, which counts. */
enum recovery_step recovery_step(struct recovery *r, uint64_t now_ms);
/* It was in vain; returns how long is waited now. */
uint64_t recovery_failed(struct recovery *r, uint64_t now_ms);

const char *recovery_step_name(enum recovery_step step); /* "try" */
