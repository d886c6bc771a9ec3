/* SPDX-License-Identifier: Apache-2.0 */
/* How many messages of one connection could not be read. Pure.
 *
 * One such message fails its call alone: the peer may be newer than we are and mean well. A peer that
 * sends MALFORMED_MAX of them within MALFORMED_MS of the first does not, or is broken: each costs us
 * work, a line of the audit log and an answer. It is cut off and may come again, which costs it a
 * handshake each time and is bounded by the gate. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MALFORMED_MAX 20
#define MALFORMED_MS  60000

struct malformed {
	uint64_t first_ms; /* of those that are counted */
	unsigned count;
};

/* There was one more at @now_ms; whether that is one too many. */
bool malformed_add(struct malformed *m, uint64_t now_ms);
