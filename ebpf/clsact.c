/* SPDX-License-Identifier: Apache-2.0 */
/* See clsact.h. */
#include "ebpf/clsact.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "ebpf/netlink.h"
#include "ebpf/rtnl.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "ebpf/traffic_map.h"

static const char *const kinds_of_libvirt[] = { "tun", "macvtap", "bridge", "openvswitch" };
static const char *const program_names[] = {
	[TRAFFIC_RECEIVED] = "drover_rx", [TRAFFIC_SENT] = "drover_tx"
};
static const char *const chain_names[] = {
	[TRAFFIC_RECEIVED] = "ingress", [TRAFFIC_SENT] = "egress"
};

/* libbpf refuses options with anything but zeros behind the fields it knows, so the padding counts:
 * these are filled in place, never assigned or returned. */
static void hook_init(struct bpf_tc_hook *hook, const struct clsact_place *place,
                      enum bpf_tc_attach_point point)
{
	memset(hook, 0, sizeof(*hook));
	hook->sz = sizeof(*hook);
	hook->ifindex = (int)place->ifindex;
	hook->attach_point = point;
}

static void options_init(struct bpf_tc_opts *options, const struct clsact_place *place)
{
	memset(options, 0, sizeof(*options));
	options->sz = sizeof(*options);
	options->priority = place->priority;
	options->handle = place->handle;
}

static const enum bpf_tc_attach_point attach_points[] = {
	[TRAFFIC_RECEIVED] = BPF_TC_INGRESS, [TRAFFIC_SENT] = BPF_TC_EGRESS
};

/* What is at our place of one chain. */
struct filter {
	bool present;
	uint32_t program_id; /* 0: not an eBPF program */
	char name[64];       /* libbpf writes "<program>:[<id>]" */
};

static void on_filter(const struct nlmsghdr *answer, void *userdata)
{
	struct filter *filter = userdata;
	const struct tcmsg *info = NLMSG_DATA(answer);
	unsigned int left, inner_left;

	if (answer->nlmsg_type != RTM_NEWTFILTER || answer->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	filter->present = true;
	left = (unsigned int)TCA_PAYLOAD(answer);
	for (const struct rtattr *a = TCA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type != TCA_OPTIONS)
			continue;
		inner_left = (unsigned int)RTA_PAYLOAD(a);
		for (const struct rtattr *inner = RTA_DATA(a); RTA_OK(inner, inner_left);
		     inner = RTA_NEXT(inner, inner_left)) {
			if (inner->rta_type == TCA_BPF_ID && RTA_PAYLOAD(inner) == sizeof(uint32_t))
				memcpy(&filter->program_id, RTA_DATA(inner), sizeof(uint32_t));
			if (inner->rta_type == TCA_BPF_NAME)
				snprintf(filter->name, sizeof(filter->name), "%.*s",
				         (int)RTA_PAYLOAD(inner), (const char *)RTA_DATA(inner));
		}
	}
}

/* By rtnetlink, which needs no capability: opening a program by its id needs CAP_SYS_ADMIN, which
 * the agent has dropped. */
static struct filter read_filter(int rtnl_fd, const struct clsact_place *place, int direction)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg tc;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETTFILTER },
		.tc = { .tcm_ifindex = (int)place->ifindex,
		        .tcm_handle = place->handle,
		        .tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction == TRAFFIC_SENT
		                                                     ? TC_H_MIN_EGRESS
		                                                     : TC_H_MIN_INGRESS),
		        .tcm_info = TC_H_MAKE(place->priority << 16, htons(ETH_P_ALL)) },
	};
	struct filter filter = { 0 };

	if (netlink_ask(rtnl_fd, &request.header, on_filter, &filter, NULL) < 0)
		return (struct filter){ 0 };
	return filter;
}

/* By name: what a former run left has another id, and another tag after an upgrade. */
static bool is_ours(const struct filter *filter, int direction)
{
	size_t length = strlen(program_names[direction]);

	return filter->present && strncmp(filter->name, program_names[direction], length) == 0 &&
	       filter->name[length] == ':';
}

static int check_rules(int rtnl_fd, const struct clsact_place *place, struct error *err)
{
	char kind[RTNL_KIND_BYTES];
	struct rtnl_link link;
	int rc;

	rc = rtnl_read_link(rtnl_fd, place->ifindex, &link, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(kinds_of_libvirt); i++)
		if (strcmp(link.kind, kinds_of_libvirt[i]) == 0)
			return error_set(err, ERROR_REFUSED,
			                 "clsact is not used on links of kind \"%s\": it would "
			                 "break libvirt's <bandwidth> there",
			                 link.kind);

	rc = rtnl_read_ingress_kind(rtnl_fd, place->ifindex, kind, err);
	if (rc < 0)
		return rc;
	if (kind[0] && strcmp(kind, "clsact") != 0)
		return error_set(err, ERROR_REFUSED,
		                 "its \"%s\" qdisc takes the place of clsact; remove it (tc qdisc "
		                 "del dev ... ingress) if nothing needs it",
		                 kind);
	for (int direction = 0; direction < 2; direction++) {
		struct filter filter = read_filter(rtnl_fd, place, direction);

		if (filter.present && !is_ours(&filter, direction))
			return error_set(
				err, ERROR_REFUSED,
				"another filter (\"%s\") has priority %u handle 0x%x of its "
				"clsact %s chain",
				filter.name, place->priority, place->handle,
				chain_names[direction]);
	}
	return 0;
}

static int attach_one(int rtnl_fd, const struct clsact_place *place, int direction, int program_fd,
                      struct error *err)
{
	struct bpf_tc_opts options;
	struct bpf_tc_hook hook;
	int rc;

	hook_init(&hook, place, attach_points[direction]);
	options_init(&options, place);
	options.prog_fd = program_fd;
	options.flags = BPF_TC_F_REPLACE;
	rc = bpf_tc_attach(&hook, &options);
	if (rc < 0)
		return error_set_errno(err, rc == -EPERM ? ERROR_PERMISSION : ERROR_SYSTEM, -rc,
		                       "cannot attach to the clsact %s chain",
		                       chain_names[direction]);
	if (read_filter(rtnl_fd, place, direction).program_id != options.prog_id)
		return error_set(err, ERROR_SYSTEM,
		                 "the filter does not show in the clsact %s chain after attaching",
		                 chain_names[direction]);
	return 0;
}

int clsact_attach(int rtnl_fd, const struct clsact_place *place, const int program_fds[2],
                  struct error *err)
{
	struct bpf_tc_hook both;
	char kind[RTNL_KIND_BYTES];
	int rc;

	rc = check_rules(rtnl_fd, place, err);
	if (rc < 0)
		return rc;

	hook_init(&both, place, BPF_TC_INGRESS | BPF_TC_EGRESS);
	rc = bpf_tc_hook_create(&both);
	if (rc < 0 && rc != -EEXIST)
		return error_set_errno(err, rc == -EPERM ? ERROR_PERMISSION : ERROR_SYSTEM, -rc,
		                       "cannot create a clsact qdisc");
	/* "Exists" is also the answer if an ingress qdisc came in between. */
	rc = rtnl_read_ingress_kind(rtnl_fd, place->ifindex, kind, err);
	if (rc < 0)
		return rc;
	if (strcmp(kind, "clsact") != 0)
		return error_set(err, ERROR_REFUSED, "a \"%s\" qdisc came in place of clsact",
		                 kind);

	for (int direction = 0; direction < 2; direction++) {
		rc = attach_one(rtnl_fd, place, direction, program_fds[direction], err);
		if (rc < 0)
			goto detach;
	}
	return 0;

detach:
	clsact_detach(rtnl_fd, place);
	return rc;
}

void clsact_detach(int rtnl_fd, const struct clsact_place *place)
{
	char kind[RTNL_KIND_BYTES];

	/* With an ingress qdisc there, "egress" would mean its chain of received packets. */
	if (rtnl_read_ingress_kind(rtnl_fd, place->ifindex, kind, NULL) < 0 ||
	    strcmp(kind, "clsact") != 0)
		return;
	for (int direction = 0; direction < 2; direction++) {
		struct filter filter = read_filter(rtnl_fd, place, direction);
		struct bpf_tc_opts options;
		struct bpf_tc_hook hook;

		hook_init(&hook, place, attach_points[direction]);
		options_init(&options, place);
		if (is_ours(&filter, direction))
			bpf_tc_detach(&hook, &options);
	}
}
