/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the kernel over netlink: one request, its answers, on a socket of the network namespace
 * in which it was opened. The kernel answers before the request returns, so none of this blocks. Used
 * by one thread at a time. Errors: -ERROR_NOT_FOUND for what does not exist, -ERROR_PERMISSION,
 * else -ERROR_SYSTEM.
 */
#pragma once

#include "common/error.h"

#include <linux/netlink.h>

/* @protocol: NETLINK_ROUTE, NETLINK_SOCK_DIAG. Returns the descriptor, for the caller to close. */
int netlink_open(int protocol, int *ret_fd, struct error *err);

/* Sends @request (complete but for flags and sequence number) and calls @on_answer, if given, for
 * the message that answers it. */
int netlink_ask(int fd, struct nlmsghdr *request,
                void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
                struct error *err);

/* The same for all there are of a kind. */
int netlink_dump(int fd, struct nlmsghdr *request,
                 void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
                 struct error *err);
