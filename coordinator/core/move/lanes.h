/* SPDX-License-Identifier: Apache-2.0 */
/* When guests are out that leave one host in lanes, shortest remaining first, as its agent lets them go
 * (agent/kernel/lanes.h): the link carries one at a time, and nothing of it lies idle while one is ready.
 *
 *	slot 1   large  ..                 ======      .. before it sends
 *	slot 2   small  ..====  small ..====           == has the link
 *
 * An estimate: that those who wait have a tenth of the link meanwhile changes no end but by a little. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct lane_time {
	uint64_t around_ms; /* until it sends: admission, QEMU's start */
	uint64_t link_ms;   /* with the link to itself */
	/* Filled in, from now. */
	uint64_t begin_ms, end_ms;
};

/* Of @times in the order of their turns, @slots at a time (0: one). */
void lanes_schedule(struct lane_time *times, size_t count, uint32_t slots);
