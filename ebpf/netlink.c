/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink.h. Messages are walked with the kernel's own macros, which check every length. */
#include "ebpf/netlink.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

/* A link's description is 1-3 KiB; those of devices with many virtual functions are larger. */
#define ANSWER_BYTES 65536

/* Never seen to wait: a limit against a kernel that does not answer at all. */
#define ANSWER_TIMEOUT_S 2

int netlink_open(int protocol, int *ret_fd, struct error *err)
{
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "cannot open a netlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno,
		                       "cannot set a time-out on a netlink socket");
	*ret_fd = take_fd(fd);
	return 0;
}

static enum error_code code_of(int errno_value)
{
	switch (errno_value) {
	case ENODEV:
	case ENOENT:
	case ESTALE: /* another one has its number now */
		return ERROR_NOT_FOUND;
	case EPERM:
	case EACCES:
		return ERROR_PERMISSION;
	default:
		return ERROR_SYSTEM;
	}
}

static int outcome_of(const struct nlmsghdr *message, struct error *err)
{
	const struct nlmsgerr *outcome = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*outcome)))
		return error_set(err, ERROR_PROTOCOL, "the kernel's answer is cut short");
	if (outcome->error)
		return error_set_errno(err, code_of(-outcome->error), -outcome->error,
		                       "the kernel refuses");
	return 0;
}

static int ask(int fd, struct nlmsghdr *request, uint16_t flags,
               void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
               struct error *err)
{
	static atomic_uint sequence;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_cleanup_free_ char *buffer = xmalloc(ANSWER_BYTES);

	request->nlmsg_flags = NLM_F_REQUEST | flags;
	request->nlmsg_seq = atomic_fetch_add(&sequence, 1) + 1;
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
			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == NLMSG_ERROR)
				return outcome_of(message, err);
			if (on_answer)
				on_answer(message, userdata);
		}
	}
}

int netlink_ask(int fd, struct nlmsghdr *request,
                void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
                struct error *err)
{
	/* Without "echo" a qdisc is announced to whoever listens, but not to who asked for it. */
	return ask(fd, request, NLM_F_ACK | NLM_F_ECHO, on_answer, userdata, err);
}

int netlink_dump(int fd, struct nlmsghdr *request,
                 void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
                 struct error *err)
{
	return ask(fd, request, NLM_F_DUMP, on_answer, userdata, err);
}
