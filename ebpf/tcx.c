/* SPDX-License-Identifier: Apache-2.0 */
/* See tcx.h. The numbers are the kernel's ABI, spelt out because Debian 12's headers are older. */
#include "ebpf/tcx.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "ebpf/traffic_map.h"

#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47
#define FLAG_BEFORE        (1U << 3) /* with no other program named: before all */

/* The part of union bpf_attr that BPF_LINK_CREATE reads for tcx. */
struct link_create {
	uint32_t program_fd;
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t flags;
	uint32_t relative_fd;
	uint32_t unused;
	uint64_t expected_revision;
};

int tcx_attach(int program_fd, uint32_t ifindex, int direction, int *ret_link_fd, struct error *err)
{
	struct link_create create = {
		.program_fd = (uint32_t)program_fd,
		.target_ifindex = ifindex,
		.attach_type = direction == TRAFFIC_SENT ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS,
		.flags = FLAG_BEFORE,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof(create));

	/* The kernel sets close-on-exec on all descriptors that bpf(2) returns. */
	if (fd >= 0) {
		*ret_link_fd = (int)fd;
		return 0;
	}
	switch (errno) {
	case EINVAL: /* an attach type it does not know */
	case E2BIG:  /* bytes beyond its union bpf_attr that are not zero */
		return error_set_errno(err, ERROR_UNSUPPORTED, errno,
		                       "the kernel has no tcx (Linux 6.6 and later have it)");
	case EPERM:
	case EACCES:
		return error_set_errno(
			err, ERROR_PERMISSION, errno,
			"attaching at tcx is not permitted (CAP_NET_ADMIN, CAP_BPF)");
	default:
		return error_set_errno(err, ERROR_SYSTEM, errno, "cannot attach at tcx");
	}
}
