/* SPDX-License-Identifier: Apache-2.0 */
/* See permission.h. */
#include "ebpf/permission.h"

#include "common/alloc.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

static const struct {
	unsigned int number;
	const char *name;
	bool sys_admin_will_do;
} needed[] = {
	{ CAP_BPF, "CAP_BPF", true },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", false },
	{ CAP_PERFMON, "CAP_PERFMON", true },
};

static bool has(uint64_t effective, unsigned int capability)
{
	return effective >> capability & 1;
}

char *permission_missing_of(uint64_t effective, char ret_text[static PERMISSION_TEXT_BYTES])
{
	size_t used = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (has(effective, needed[i].number) ||
		    (needed[i].sys_admin_will_do && has(effective, CAP_SYS_ADMIN)))
			continue;
		used += (size_t)snprintf(ret_text + used, PERMISSION_TEXT_BYTES - used, "%s%s",
		                         used ? ", " : "", needed[i].name);
	}
	return ret_text;
}

static bool read_effective(uint64_t *ret)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2] = { 0 };

	if (syscall(SYS_capget, &header, sets) < 0)
		return false;
	*ret = (uint64_t)sets[1].effective << 32 | sets[0].effective;
	return true;
}

int permission_explain(const char *refusal, struct error *err)
{
	char missing[PERMISSION_TEXT_BYTES];
	uint64_t effective;

	if (!read_effective(&effective))
		return error_set(err, ERROR_PERMISSION,
		                 "eBPF is not permitted (it needs CAP_BPF, CAP_NET_ADMIN and "
		                 "CAP_PERFMON): %s",
		                 refusal);
	permission_missing_of(effective, missing);
	if (missing[0])
		return error_set(err, ERROR_PERMISSION, "eBPF is not permitted: %s %s missing",
		                 missing, strchr(missing, ',') ? "are" : "is");
	return error_set(err, ERROR_PERMISSION,
	                 "eBPF is not permitted, although CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON "
	                 "are there (a container, or a security module?): %s",
	                 refusal);
}
