/* SPDX-License-Identifier: Apache-2.0 */
/* What a tunnel process tells of itself: a small file that it keeps rewriting.
 *
 * The agent reads it without talking to the process, so an agent that was restarted knows its
 * tunnels at once, and a stuck tunnel cannot hold the agent up. Fixed size, one page, host byte
 * order (it never leaves the host). A checksum tells a half-written one, which is read again.
 */
#pragma once

#include "common/error.h"
#include "common/id.h"

#include <stdbool.h>
#include <stdint.h>

#define TUNNEL_STATUS_MAGIC   0x54565244u /* "DRVT" */
#define TUNNEL_STATUS_VERSION 1
#define TUNNEL_ERROR_BYTES    512
/* Silence after which the agent calls the control path dead: pings go every second. */
#define TUNNEL_PING_INTERVAL_MS 1000

enum tunnel_state {
	TUNNEL_STARTING,
	TUNNEL_LISTENING, /* target: waits for its twin; source: dials it */
	TUNNEL_LINKED,    /* the twin is there and proved who it is; libvirt has not called yet */
	TUNNEL_CONNECTED, /* carries a libvirt connection */
	TUNNEL_CLOSED,    /* both directions ended in order */
	TUNNEL_FAILED,    /* error_text says why */
	TUNNEL_STATES
};

const char *tunnel_state_name(enum tunnel_state state); /* "connected" */

struct tunnel_status {
	uint32_t magic;
	uint32_t version;
	uint32_t pid;
	uint32_t state;       /* enum tunnel_state */
	uint64_t start_ticks; /* of the process, /proc/PID/stat field 22: told from a reused pid */
	uint64_t last_heard_ms; /* CLOCK_BOOTTIME; anything from the twin; 0 = never */
	uint64_t updated_ms;    /* CLOCK_BOOTTIME; the process itself is alive */
	uint64_t bytes_to_peer; /* of libvirt's, without framing */
	uint64_t bytes_from_peer;
	uint32_t port; /* target: where it listens */
	uint32_t attempt;
	uint8_t operation[ID_BYTES];
	uint32_t error_code; /* enum error_code */
	char error_text[TUNNEL_ERROR_BYTES];
	uint32_t crc; /* crc32c of everything before */
	uint32_t zero;
};

/* Writes @status (magic, version and crc are filled in) into @fd at offset 0. */
int tunnel_status_write(int fd, struct tunnel_status *status, struct error *err);

/* -ERROR_NOT_FOUND, -ERROR_INVALID (not a status file). */
int tunnel_status_read(const char *path, struct tunnel_status *ret, struct error *err);
