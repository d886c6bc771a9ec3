/* SPDX-License-Identifier: Apache-2.0 */
/* See rtnl.h. Messages are walked with the kernel's own macros, which check every length. */
#include "ebpf/rtnl.h"

#include "ebpf/netlink.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

static void copy_text(const struct rtattr *attribute, char ret_text[RTNL_KIND_BYTES])
{
	snprintf(ret_text, RTNL_KIND_BYTES, "%.*s", (int)RTA_PAYLOAD(attribute),
	         (const char *)RTA_DATA(attribute));
}

static void on_link(const struct nlmsghdr *answer, void *userdata)
{
	struct rtnl_link *link = userdata;
	const struct ifinfomsg *info = NLMSG_DATA(answer);
	unsigned int left, inner_left;

	if (answer->nlmsg_type != RTM_NEWLINK || answer->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	link->is_ethernet = info->ifi_type == ARPHRD_ETHER || info->ifi_type == ARPHRD_LOOPBACK;
	left = (unsigned int)IFLA_PAYLOAD(answer);
	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type != IFLA_LINKINFO)
			continue;
		inner_left = (unsigned int)RTA_PAYLOAD(a);
		for (const struct rtattr *inner = RTA_DATA(a); RTA_OK(inner, inner_left);
		     inner = RTA_NEXT(inner, inner_left))
			if (inner->rta_type == IFLA_INFO_KIND)
				copy_text(inner, link->kind);
	}
}

int rtnl_read_link(int fd, uint32_t ifindex, struct rtnl_link *ret_link, struct error *err)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK },
		.info = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex },
	};
	struct rtnl_link link = { 0 };
	int rc;

	rc = netlink_ask(fd, &request.header, on_link, &link, err);
	if (rc < 0)
		return error_context(err, "reading link %u", ifindex);
	*ret_link = link;
	return 0;
}

static void on_qdisc(const struct nlmsghdr *answer, void *userdata)
{
	const struct tcmsg *info = NLMSG_DATA(answer);
	unsigned int left;

	if (answer->nlmsg_type != RTM_NEWQDISC || answer->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	left = (unsigned int)TCA_PAYLOAD(answer);
	for (const struct rtattr *a = TCA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == TCA_KIND)
			copy_text(a, userdata);
}

int rtnl_read_ingress_kind(int fd, uint32_t ifindex, char ret_kind[RTNL_KIND_BYTES],
                           struct error *err)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg tc;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETQDISC },
		/* TC_H_CLSACT is the same number: both kinds live in this one place. */
		.tc = { .tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_INGRESS },
	};
	char kind[RTNL_KIND_BYTES] = "";
	struct error why;
	int rc;

	/* A link that never had one says ENOENT; one whose qdisc was removed says EINVAL. */
	rc = netlink_ask(fd, &request.header, on_qdisc, kind, &why);
	if (rc < 0 && why.code == ERROR_PERMISSION) {
		if (err)
			*err = why;
		return error_context(err, "reading the ingress qdisc of link %u", ifindex);
	}
	memcpy(ret_kind, kind, sizeof(kind));
	return 0;
}

static void on_route(const struct nlmsghdr *answer, void *userdata)
{
	const struct rtmsg *info = NLMSG_DATA(answer);
	unsigned int left;

	if (answer->nlmsg_type != RTM_NEWROUTE || answer->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	left = (unsigned int)RTM_PAYLOAD(answer);
	for (const struct rtattr *a = RTM_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == sizeof(uint32_t))
			memcpy(userdata, RTA_DATA(a), sizeof(uint32_t));
}

int rtnl_read_route(int fd, const uint32_t address[4], uint32_t *ret_ifindex, struct error *err)
{
	bool v4 = address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff);
	unsigned bytes = v4 ? 4 : 16;
	struct {
		struct nlmsghdr header;
		struct rtmsg info;
		struct rtattr attribute;
		uint32_t address[4];
	} request = {
		.header = { .nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(struct rtmsg)) +
		                                    RTA_LENGTH(bytes)),
		            .nlmsg_type = RTM_GETROUTE },
		.info = { .rtm_family = v4 ? AF_INET : AF_INET6,
		          .rtm_dst_len = (unsigned char)(bytes * 8) },
		.attribute = { .rta_len = (unsigned short)RTA_LENGTH(bytes), .rta_type = RTA_DST },
	};
	uint32_t ifindex = 0;
	int rc;

	memcpy(request.address, v4 ? address + 3 : address, bytes);
	rc = netlink_ask(fd, &request.header, on_route, &ifindex, err);
	if (rc == 0 && !ifindex)
		rc = error_set(err, ERROR_NOT_FOUND, "the route names no link");
	if (rc < 0)
		return error_context(err, "asking for a route");
	*ret_ifindex = ifindex;
	return 0;
}
