/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: it is taken or refused with a reason, and refused changes
 * nothing. The file is in memory, under a path of its own. */
#include "common/alloc.h"
#include "common/config.h"
#include "common/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct settings {
	char *node;
	struct config_list peers;
	bool strict;
	uint64_t slots, capacity_bytes, reserve_bytes, limit_bytes_per_s, lease_ms;
};

static const struct config_key keys[] = {
	{ "node", CONFIG_STRING, offsetof(struct settings, node), .required = true },
	{ "peers", CONFIG_LIST, offsetof(struct settings, peers) },
	{ "strict", CONFIG_BOOL, offsetof(struct settings, strict) },
	{ "slots", CONFIG_UINT, offsetof(struct settings, slots), .min = 1, .max = 64 },
	{ "memory/capacity", CONFIG_BYTES, offsetof(struct settings, capacity_bytes) },
	{ "memory/reserve", CONFIG_BYTES, offsetof(struct settings, reserve_bytes), .min = 64 },
	{ "network/migration/limit", CONFIG_RATE, offsetof(struct settings, limit_bytes_per_s) },
	{ "lease", CONFIG_DURATION, offsetof(struct settings, lease_ms), .max = 600000 },
};

/* libfyaml 0.7.12 loses a buffer when a long quoted key ends in a syntax error; a daemon reads its
 * file once. What we lose ourselves is found all the same. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct settings settings = { .node = xstrdup("default"), .slots = 7 };
	struct error err = { 0 };
	int fd = memfd_create("config", MFD_CLOEXEC);
	char path[64];
	int rc;

	assert(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = config_load(path, keys, ARRAY_SIZE(keys), &settings, &err);
	if (rc == 0) {
		assert(settings.slots >= 1 && settings.slots <= 64);
		assert(settings.node[0]);
	} else {
		assert(rc == -(int)err.code && err.text[0]);
		assert(utf8_valid_bytes(err.text, strlen(err.text)) == strlen(err.text));
		assert(!strchr(err.text, '\n'));
		assert(strcmp(settings.node, "default") == 0 && settings.slots == 7);
		assert(!settings.peers.count && !settings.lease_ms && !settings.strict);
	}
	config_free(keys, ARRAY_SIZE(keys), &settings);
	close(fd);
	return 0;
}
