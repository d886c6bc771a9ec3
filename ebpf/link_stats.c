/* SPDX-License-Identifier: Apache-2.0 */
/* See link_stats.h. */
#include "ebpf/link_stats.h"

#include "common/alloc.h"
#include "ebpf/netlink.h"
#include "ebpf/rtnl.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Kernels append fields; ours come first and are in all of them. */
static struct link_stats read_counters(const struct rtattr *a)
{
	struct rtnl_link_stats64 counters = { 0 };
	struct link_stats stats;
	size_t bytes = RTA_PAYLOAD(a);

	memcpy(&counters, RTA_DATA(a), bytes < sizeof(counters) ? bytes : sizeof(counters));
	stats.bytes[TRAFFIC_RECEIVED] = counters.rx_bytes;
	stats.bytes[TRAFFIC_SENT] = counters.tx_bytes;
	stats.packets[TRAFFIC_RECEIVED] = counters.rx_packets;
	stats.packets[TRAFFIC_SENT] = counters.tx_packets;
	return stats;
}

static void on_stats(const struct nlmsghdr *message, void *userdata)
{
	struct answer *answer = userdata;
	const struct if_stats_msg *info = NLMSG_DATA(message);
	unsigned int left;

	if (message->nlmsg_type != RTM_NEWSTATS || message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	left = (unsigned int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(*info)));
	for (const struct rtattr *a = (const void *)(info + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		if (a->rta_type != IFLA_STATS_LINK_64)
			continue;
		answer->stats = read_counters(a);
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

struct all {
	struct link_counters *links;
	size_t count, capacity;
};

static void on_link(const struct nlmsghdr *message, void *userdata)
{
	struct all *all = userdata;
	const struct ifinfomsg *info = NLMSG_DATA(message);
	struct link_counters link = { 0 };
	bool counts = false;
	unsigned int left;

	if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	link.ifindex = (uint32_t)info->ifi_index;
	left = (unsigned int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(*info)));
	for (const struct rtattr *a = (const void *)(info + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_IFNAME)
			snprintf(link.name, sizeof(link.name), "%.*s", (int)RTA_PAYLOAD(a),
			         (const char *)RTA_DATA(a));
		if (a->rta_type != IFLA_STATS64)
			continue;
		link.stats = read_counters(a);
		counts = true;
	}
	if (!counts || !link.name[0])
		return;
	if (all->count == all->capacity) {
		all->capacity = all->capacity ? 2 * all->capacity : 16;
		all->links = xreallocarray(all->links, all->capacity, sizeof(*all->links));
	}
	all->links[all->count++] = link;
}

static int compare_names(const void *a, const void *b)
{
	const struct link_counters *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int link_stats_read_all(int rtnl_fd, struct link_counters **ret_links, size_t *ret_count,
                        struct error *err)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = { .header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK } };
	struct all all = { 0 };
	int rc = netlink_dump(rtnl_fd, &request.header, on_link, &all, err);

	if (rc < 0) {
		free(all.links);
		return error_context(err, "reading the counters of all links");
	}
	if (all.count)
		qsort(all.links, all.count, sizeof(*all.links), compare_names);
	*ret_links = all.links;
	*ret_count = all.count;
	return 0;
}

const struct link_counters *link_counters_find(const struct link_counters *links, size_t count,
                                               const char *name)
{
	struct link_counters key = { 0 };

	if (!count || strlen(name) >= sizeof(key.name))
		return NULL;
	memcpy(key.name, name, strlen(name) + 1);
	return bsearch(&key, links, count, sizeof(*links), compare_names);
}
