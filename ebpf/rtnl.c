/* SPDX-License-Identifier: Apache-2.0 */
/* See rtnl.h. Messages are walked with the kernel's own macros, which check every length. */
#include "ebpf/rtnl.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

/* A link's description is 1-3 KiB; those of devices with many virtual functions are larger. */
#define ANSWER_BYTES 65536

/* Never seen to wait: a limit against a kernel that does not answer at all. */
#define ANSWER_TIMEOUT_S 2

int rtnl_open(int *ret_fd, struct error *err)
{
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "cannot open an rtnetlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno,
		                       "cannot set a time-out on an rtnetlink socket");
	*ret_fd = take_fd(fd);
	return 0;
}

static enum error_code code_of(int errno_value)
{
	switch (errno_value) {
	case ENODEV:
	case ENOENT:
		return ERROR_NOT_FOUND;
	case EPERM:
	case EACCES:
		return ERROR_PERMISSION;
	default:
		return ERROR_SYSTEM;
	}
}

int rtnl_ask(int fd, struct nlmsghdr *request,
             void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
             struct error *err)
{
	static __thread uint32_t sequence;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_cleanup_free_ char *buffer = xmalloc(ANSWER_BYTES);

	/* Without "echo" a qdisc is announced to whoever listens, but not to who asked for it. */
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO;
	request->nlmsg_seq = ++sequence;
	if (sendto(fd, request, request->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) <
	    0)
		return error_set_errno(err, code_of(errno), errno, "cannot ask the kernel");

	for (;;) {
		ssize_t received = recv(fd, buffer, ANSWER_BYTES, MSG_TRUNC);
		struct nlmsghdr *message = (struct nlmsghdr *)(void *)buffer;

		if (received < 0 && errno == EINTR)
			continue;
		if (received < 0)
			return error_set_errno(err, ERROR_SYSTEM, errno,
			                       "no answer from the kernel");
		if (received > ANSWER_BYTES)
			return error_set(err, ERROR_TOO_LARGE,
			                 "the kernel's answer has %zd bytes, more than %d",
			                 received, ANSWER_BYTES);

		for (size_t left = (size_t)received; NLMSG_OK(message, left);
		     message = NLMSG_NEXT(message, left)) {
			if (message->nlmsg_seq != request->nlmsg_seq)
				continue; /* the rest of a question that timed out */
			if (message->nlmsg_type == NLMSG_ERROR) {
				struct nlmsgerr *outcome = NLMSG_DATA(message);

				if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*outcome)))
					return error_set(err, ERROR_PROTOCOL,
					                 "the kernel's answer is cut short");
				if (outcome->error)
					return error_set_errno(err, code_of(-outcome->error),
					                       -outcome->error,
					                       "the kernel refuses");
				return 0;
			}
			if (on_answer)
				on_answer(message, userdata);
		}
	}
}

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

	rc = rtnl_ask(fd, &request.header, on_link, &link, err);
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
	rc = rtnl_ask(fd, &request.header, on_qdisc, kind, &why);
	if (rc < 0 && why.code == ERROR_PERMISSION) {
		if (err)
			*err = why;
		return error_context(err, "reading the ingress qdisc of link %u", ifindex);
	}
	memcpy(ret_kind, kind, sizeof(kind));
	return 0;
}
