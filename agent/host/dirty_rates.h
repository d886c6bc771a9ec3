/* SPDX-License-Identifier: Apache-2.0 */
/* How the guests of this host write to their memory, measured again and again at three windows.
 *
 *	each second:  who is due, runs, and does not move?  -- start -->  QEMU samples
 *	              whose window is over?                 -- read  -->  middle of the last few, told
 *
 * What a migration will take hangs on how many different pages are written in a second and in some: a
 * small hot set and a slow walk through all memory look alike in one window. So each guest is sampled
 * at 1, 4 and 16 s in turn, at 1 s more often, where
 * fewest pages are found; new ones first, then every five minutes. A sampling costs QEMU 512
 * checksums for each GiB at its begin and end; DIRTY_RATES_AT_A_TIME guests of a host are sampled at
 * a time, whatever their number. Never while a guest moves: nothing is begun then, and what was begun is
 * thrown away.
 *
 * A QEMU that hangs holds whoever asks it, without end. So questions have a thread of their own: at most
 * one hangs, and with it this module, whose figures grow old and say so; never a move, its watch or the
 * inventory.
 *
 * Sampling is coarse: of 256 MiB 128 pages are looked at, so each window has its standard error with it,
 * also where nothing was found (then about one page's share: that much may hide). Owner thread only. */
#pragma once

#include "agent/host/inventory.h"

#define DIRTY_RATES_AT_A_TIME 4
#define DIRTY_WINDOWS         3
#define DIRTY_SAMPLES_KEPT    8

/* QEMU's own choice for page sampling. */
#define DIRTY_PAGES_PER_GIB 512

struct dirty_window {
	uint32_t seconds;
	uint64_t
		bytes; /* of different pages written to in that time: the mean of the middle samples */
	uint64_t error_bytes; /* its standard error */
	uint32_t samples;     /* 0: not measured */
	uint64_t at_ms;       /* the newest of them, clock_now_ms scale */
};

struct memory_use {
	uint64_t touched_bytes; /* of the guest's memory in use, about; 0 = not known */
	struct dirty_window windows[DIRTY_WINDOWS];
	char problem
		[128]; /* why nothing could be measured lately; "" = it was, or is about to be */
};

struct dirty_rates;

/* @measured: something new is known of that guest. */
struct dirty_rates *dirty_rates_new(struct hypervisor *h, struct loop *loop,
                                    void (*measured)(const char *uuid, void *context),
                                    void *context);
/* Asks nothing more; waits for a question under way, but not for a QEMU that hangs. False: there is one, and
 * neither @d nor its hypervisor and loop may be freed. Before the loop's last turn. NULL is fine. */
bool dirty_rates_stop(struct dirty_rates *d);
/* After dirty_rates_stop and a turn of the loop. NULL is fine. */
void dirty_rates_free(struct dirty_rates *d);

/* Once a second. @moves: this agent has a move of that guest under way, or is about to. */
void dirty_rates_tick(struct dirty_rates *d, const struct inventory *inventory,
                      bool (*moves)(const char *uuid, void *context), void *context,
                      uint64_t now_ms);

/* NULL: nothing is known of it. Borrowed until the next tick. */
const struct memory_use *dirty_rates_find(const struct dirty_rates *d, const char *uuid);

/* What a rate means that is told in whole MiB/s and rounded down: of 1 MiB/s over 16 s, the 23 MiB that are
 * the middle of 16 to 30. Found are steps of the 2 MiB that each page looked at stands for, so in one
 * second nothing is lost. */
double dirty_rates_bytes(uint64_t bytes_per_s, uint32_t seconds);
/* One sample's standard error, by the number of pages that QEMU looks at. */
double dirty_rates_error_bytes(uint64_t memory_bytes, uint32_t seconds, double bytes);
