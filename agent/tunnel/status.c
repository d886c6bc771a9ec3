/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include "agent/tunnel/status.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/crc32c.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[] = {
	[TUNNEL_STARTING] = "starting", [TUNNEL_LISTENING] = "listening",
	[TUNNEL_LINKED] = "linked",     [TUNNEL_CONNECTED] = "connected",
	[TUNNEL_CLOSED] = "closed",     [TUNNEL_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(state_names) == TUNNEL_STATES, "every state has a name");
static_assert(sizeof(struct tunnel_status) <= 4096, "one page: written and read in one call");

#define READ_TRIES    20
#define READ_PAUSE_MS 1
#define CHECKED_BYTES offsetof(struct tunnel_status, crc)

const char *tunnel_state_name(enum tunnel_state state)
{
	return (unsigned int)state < TUNNEL_STATES ? state_names[state] : "unknown";
}

int tunnel_status_write(int fd, struct tunnel_status *status, struct error *err)
{
	status->magic = TUNNEL_STATUS_MAGIC;
	status->version = TUNNEL_STATUS_VERSION;
	status->crc = crc32c(0, status, CHECKED_BYTES);
	if (pwrite(fd, status, sizeof(*status), 0) != (ssize_t)sizeof(*status))
		return error_set_errno(err, ERROR_SYSTEM, errno, "writing the tunnel's status");
	return 0;
}

int tunnel_status_read(const char *path, struct tunnel_status *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM, errno,
		                       "opening %s", path);
	/* It may be in the middle of being rewritten, by a process that waits for a processor. */
	for (int tries = 0; tries < READ_TRIES; tries++) {
		struct tunnel_status s;
		ssize_t n = pread(fd, &s, sizeof(s), 0);

		if (n < 0)
			return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
		if (n == (ssize_t)sizeof(s) && s.magic == TUNNEL_STATUS_MAGIC &&
		    s.version == TUNNEL_STATUS_VERSION && s.crc == crc32c(0, &s, CHECKED_BYTES) &&
		    s.state < TUNNEL_STATES && s.error_code < ERROR_CODES) {
			s.error_text[sizeof(s.error_text) - 1] = '\0';
			*ret = s;
			return 0;
		}
		poll(NULL, 0, READ_PAUSE_MS);
	}
	return error_set(err, ERROR_INVALID, "%s is not the status of a tunnel", path);
}
