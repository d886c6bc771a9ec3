/* SPDX-License-Identifier: Apache-2.0 */
/* How far away the source is on the migration network: the time that a TCP connection to a closed port
 * takes to be refused, a few times. No packet goes to a migration port (QEMU takes the first
 * connection for the migration), nothing needs to listen, and no privilege is needed.
 *
 * It goes out from the own migration address and, where the kernel lets it, by the migration interface
 * alone: a network that is down is not measured through another one. For couriers: blocks for
 * ROUND_TRIP_BUDGET_MS at most.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* tcpmux: assigned, and used by nobody. If somebody listens there the answer takes as long. */
#define ROUND_TRIP_PORT      1
#define ROUND_TRIP_TRIES     5
#define ROUND_TRIP_BUDGET_MS 300

enum round_trip_outcome {
	ROUND_TRIP_NOT_MEASURED, /* why: the source told no address, no socket ... */
	ROUND_TRIP_MEASURED,
	ROUND_TRIP_UNREACHABLE, /* the kernel says that there is no way; why */
	ROUND_TRIP_NO_ANSWER,   /* somebody is there and says nothing, as a firewall does */
};

struct round_trip {
	enum round_trip_outcome outcome;
	char address[64];
	uint32_t n_answers;
	uint64_t smallest_us, median_us;
	char why[128];
};

/* @address: of the peer; @own_address and @interface: where to go out. */
void round_trip_measure(const char *address, const char *own_address, const char *interface,
                        struct round_trip *ret);
