/* SPDX-License-Identifier: Apache-2.0 */
/* Two network namespaces joined by a veth pair, for tests that need real traffic:
 *
 *	the test itself                         a child process, the peer
 *	mi0   10.9.0.1  fd00:9::1   <------->   mi1   10.9.0.2  fd00:9::2
 *
 * Both namespaces vanish with their processes, and the peer dies with the test. The calls fail the
 * running cmocka test when something does not work.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VETH_OURS  "mi0"
#define VETH_OURS4 "10.9.0.1"
#define VETH_OURS6 "fd00:9::1"
#define VETH_PEER  "mi1"
#define VETH_PEER4 "10.9.0.2"
#define VETH_PEER6 "fd00:9::2"

/* Moves this process to a namespace of its own and starts the peer. NULL, or why it is not
 * possible here (a reason to skip). */
const char *veth_peer_start(void);
void veth_peer_stop(void);

/* How many lines of the output of @command contain @word. */
int veth_count_lines(const char *command, const char *word);

void veth_create(void);                /* the pair, with addresses, still down */
void veth_bring_up(void);              /* returns when both ends are up */
void veth_set_mtu(unsigned int bytes); /* of both ends */
void veth_delete(void);

/* Sends @bytes over TCP between the two, and returns when all have arrived. @to_peer: from us to a
 * listener of the peer on @port; else from the peer to a listener of ours. Returns what the sender's
 * TCP sent: @bytes and its retransmissions. */
uint64_t veth_transfer(bool to_peer, bool v6, uint16_t port, size_t bytes);

/* Sends a frame as it is. */
void veth_send_raw(const void *frame, size_t bytes);      /* out of our end */
void veth_peer_send_raw(const void *frame, size_t bytes); /* out of the peer's end */
