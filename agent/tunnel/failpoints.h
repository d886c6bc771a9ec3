/* SPDX-License-Identifier: Apache-2.0 */
/* Every place where tests make a tunnel die. Both ends pass them, but for what the sentence says. */
#pragma once

#include "common/failpoint.h"

#define TUNNEL_FAILPOINTS(X)                                                                \
	X(tunnel_before_listening, PASSES, "started; it has no socket and the agent waits") \
	X(tunnel_after_listening, PASSES, "it listens, the agent does not know")            \
	X(tunnel_before_linked, PASSES, "its twin is proved, the status does not say so")   \
	X(tunnel_after_linked, PASSES, "linked with its twin, libvirt has not called")      \
	X(tunnel_before_connected, PASSES,                                                  \
	  "libvirt has called (source), is to be called (target)")                          \
	X(tunnel_after_connected, PASSES, "libvirt is connected, nothing was said")         \
	X(tunnel_in_stream, FAILS,                                                          \
	  "a piece of libvirt's conversation has come from the twin; for each")             \
	X(tunnel_out_stream, PASSES,                                                        \
	  "libvirt here has said something, the twin does not know; for each")              \
	X(tunnel_before_closed, PASSES, "libvirt has ended the conversation on both sides") \
	X(tunnel_after_closed, PASSES, "the last byte is delivered, the status says closed")

FAILPOINTS_DECLARE(TUNNEL_FAILPOINTS, tunnel_failpoints);
