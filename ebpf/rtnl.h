/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the kernel about network links, over rtnetlink.
 *
 * One request, one answer at a time, on a socket of the network namespace in which it was opened.
 * The kernel answers before the request returns, so none of this blocks. Used by one thread at a
 * time. Errors: -ERROR_NOT_FOUND for a link or qdisc that does not exist, -ERROR_PERMISSION,
 * else -ERROR_SYSTEM.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#include <linux/netlink.h>

#define RTNL_KIND_BYTES 16

/* Returns the descriptor in @ret_fd, for the caller to close. */
int rtnl_open(int *ret_fd, struct error *err);

/* Sends @request (complete but for flags and sequence number) and calls @on_answer, if given, for
 * the message that answers it. */
int rtnl_ask(int fd, struct nlmsghdr *request,
             void (*on_answer)(const struct nlmsghdr *answer, void *userdata), void *userdata,
             struct error *err);

struct rtnl_link {
	char kind[RTNL_KIND_BYTES]; /* "bridge", "tun" (taps, too), "veth"; "" for hardware */
	bool is_ethernet;           /* its packets begin with an Ethernet header */
};

int rtnl_read_link(int fd, uint32_t ifindex, struct rtnl_link *ret_link, struct error *err);

/* The kind of the qdisc at the place for received packets: "clsact", "ingress" or "" for none. */
int rtnl_read_ingress_kind(int fd, uint32_t ifindex, char ret_kind[RTNL_KIND_BYTES],
                           struct error *err);
