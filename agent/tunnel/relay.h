/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between the link to the twin and libvirt's local connection, both ways, until both ends are
 * through.
 *
 *	libvirt <--fd-- to_local <-- frames -- link      (source: libvirt called us;
 *	libvirt --fd--> to_link  --> frames -> link       target: we call libvirtd on OPEN)
 *
 * One thread, no waiting but in the owner's poll. Buffers are bounded: who cannot get rid of bytes
 * stops reading them. A direction ends with an end frame, so half-closed connections stay that.
 * The relay never gives up a silent link.
 */
#pragma once

#include "agent/tunnel/frame.h"
#include "agent/tunnel/link.h"

#include <poll.h>

struct tunnel_relay {
	struct tunnel_link *link; /* borrowed; UP */
	int local;                /* libvirt's connection, owned; -1 = not yet, or gone */
	const char *connect_unix; /* target: what OPEN connects to; NULL at the source */

	struct tunnel_buffer in;       /* from the link, not yet taken apart */
	struct tunnel_buffer to_link;  /* frames */
	struct tunnel_buffer to_local; /* bytes of libvirt's */
	bool opened;                   /* there was a local connection */
	bool local_ended;              /* libvirt will send no more, and the twin was told */
	bool peer_ended;               /* the twin will send no more */
	bool local_shut;               /* and libvirt was told */

	uint64_t last_heard_ms, last_ping_ms;
	uint64_t bytes_to_peer, bytes_from_peer;
};

void tunnel_relay_init(struct tunnel_relay *r, struct tunnel_link *link, const char *connect_unix,
                       uint64_t now_ms);
void tunnel_relay_deinit(struct tunnel_relay *r);

/* Source: libvirt has called. Takes @fd (non-blocking). */
void tunnel_relay_open(struct tunnel_relay *r, int fd);

/* Fills the two entries that the owner polls: link, local (fd -1 if there is nothing to wait for). */
void tunnel_relay_get_polls(const struct tunnel_relay *r, struct pollfd ret[2]);

/* Moves what can be moved. An error ends the tunnel. */
int tunnel_relay_run(struct tunnel_relay *r, uint64_t now_ms, struct error *err);

/* Both directions ended and everything was handed on. */
bool tunnel_relay_is_done(const struct tunnel_relay *r);
