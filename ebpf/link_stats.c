/* SPDX-License-Identifier: Apache-2.0 */
/* See link_stats.h. */
#include "ebpf/link_stats.h"

#include "ebpf/netlink.h"
#include "ebpf/rtnl.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/types.h>

#include "ebpf/traffic_map.h"

struct answer {
	struct link_stats stats;
	bool found;
};

static void on_stats(const struct nlmsghdr *message, void *userdata)
{
	struct answer *answer = userdata;
	const struct if_stats_msg *info = NLMSG_DATA(message);
	struct rtnl_link_stats64 counters;
	unsigned int left;

	if (message->nlmsg_type != RTM_NEWSTATS || message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	left = (unsigned int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(*info)));
	for (const struct rtattr *a = (const void *)(info + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		/* Kernels append fields; ours come first and are in all of them. */
		size_t bytes = RTA_PAYLOAD(a);

		if (a->rta_type != IFLA_STATS_LINK_64)
			continue;
		memset(&counters, 0, sizeof(counters));
		memcpy(&counters, RTA_DATA(a), bytes < sizeof(counters) ? bytes : sizeof(counters));
		answer->stats.bytes[TRAFFIC_RECEIVED] = counters.rx_bytes;
		answer->stats.bytes[TRAFFIC_SENT] = counters.tx_bytes;
		answer->stats.packets[TRAFFIC_RECEIVED] = counters.rx_packets;
		answer->stats.packets[TRAFFIC_SENT] = counters.tx_packets;
		answer->found = true;
	}
}

int link_stats_read(int rtnl_fd, uint32_t ifindex, struct link_stats *ret_stats, struct error *err)
{
	struct {
		struct nlmsghdr header;
		struct if_stats_msg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETSTATS },
		.info = { .ifindex = ifindex,
		          .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64) },
	};
	struct answer answer = { 0 };
	int rc;

	rc = netlink_ask(rtnl_fd, &request.header, on_stats, &answer, err);
	if (rc < 0)
		return error_context(err, "reading the counters of link %u", ifindex);
	if (!answer.found)
		return error_set(err, ERROR_PROTOCOL, "link %u has no counters", ifindex);
	*ret_stats = answer.stats;
	return 0;
}
