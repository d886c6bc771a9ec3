/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own counters of a link (RTM_GETSTATS): what there is where eBPF is not permitted, and
 * what the eBPF counters are checked against.
 *
 * Virtual devices count packets before they are cut into frames, so their bytes are up to 6 % below
 * what goes over a wire; hardware counts frames.
 */
#pragma once

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

struct link_stats {
	uint64_t bytes[2]; /* TRAFFIC_RECEIVED, TRAFFIC_SENT */
	uint64_t packets[2];
};

/* @rtnl_fd: from netlink_open(NETLINK_ROUTE). -ERROR_NOT_FOUND if the link is gone. */
int link_stats_read(int rtnl_fd, uint32_t ifindex, struct link_stats *ret_stats, struct error *err);

#define LINK_NAME_BYTES 16 /* IF_NAMESIZE */

struct link_counters {
	char name[LINK_NAME_BYTES];
	uint32_t ifindex;
	struct link_stats stats;
};

/* All links of this network namespace, by name, in one question; free(*ret_links). */
int link_stats_read_all(int rtnl_fd, struct link_counters **ret_links, size_t *ret_count,
                        struct error *err);
/* NULL: there is none of this name. @links: of link_stats_read_all. */
const struct link_counters *link_counters_find(const struct link_counters *links, size_t count,
                                               const char *name);
