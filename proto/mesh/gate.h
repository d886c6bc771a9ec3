/* SPDX-License-Identifier: Apache-2.0 */
/* How many peers may knock at a listener at once, and who has to go when they are too many. Pure.
 *
 * Three bounds, from the outside in: handshakes under way (they cost memory and prove nothing),
 * connections of one address, connections altogether. Handshakes are bounded per address as well,
 * so that one host cannot use up what all share. An address is what is in front of the port, of
 * IPv6 the /64, since a host chooses the rest freely. Root, our own user and 127.0.0.1 and ::1 are
 * not counted per address: those are people at this very host.
 *
 * An honest handshake takes milliseconds. So where handshakes are too many, the oldest of the
 * address that has most of them makes room if it has taken GATE_STALLED_MS already; while none has,
 * it is a rush of honest peers, and the newcomer is sent away to come again: who dials anew waits
 * a second first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_STALLED_MS    1000
#define GATE_ADDRESS_BYTES 64

struct gate_limits {
	uint32_t connections, connections_per_address;
	uint32_t handshakes, handshakes_per_address;
};

struct gate_place; /* one address */

struct gate {
	struct gate_limits limits;
	uint32_t connections, handshakes;
	struct gate_place *places; /* a hash */
};

enum gate_verdict {
	GATE_OPEN,
	GATE_FULL,            /* connections */
	GATE_ADDRESS_FULL,    /* connections of this address */
	GATE_CROWDED,         /* handshakes */
	GATE_ADDRESS_CROWDED, /* handshakes of this address */
};

/* "10.0.0.1:4711" -> "10.0.0.1"; "[2001:db8::5]:80" -> "2001:db8::/64"; others stay. */
void gate_format_address(const char *address, char ret_text[GATE_ADDRESS_BYTES]);

/* A connection from @address begins, and its handshake; counted whatever the verdict. The place is
 * valid until the last gate_leave of that address. */
struct gate_place *gate_enter(struct gate *g, const char *address, enum gate_verdict *ret_verdict);
/* Its handshake is over. */
void gate_greet(struct gate *g, struct gate_place *place);
/* It is gone; @greeted: gate_greet was called. */
void gate_leave(struct gate *g, struct gate_place *place, bool greeted);

/* Among whose handshakes the one is that should make room for one of @newcomer. */
const struct gate_place *gate_find_crowd(const struct gate *g, const struct gate_place *newcomer,
                                         enum gate_verdict verdict);

void gate_deinit(struct gate *g);
