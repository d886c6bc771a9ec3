/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the kernel about network links, over rtnetlink.
 *
 * On a socket of netlink_open(NETLINK_ROUTE), with netlink.h's rules and errors.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define RTNL_KIND_BYTES 16

struct rtnl_link {
	char kind[RTNL_KIND_BYTES]; /* "bridge", "tun" (taps, too), "veth"; "" for hardware */
	bool is_ethernet;           /* its packets begin with an Ethernet header */
};

int rtnl_read_link(int fd, uint32_t ifindex, struct rtnl_link *ret_link, struct error *err);

/* The kind of the qdisc at the place for received packets: "clsact", "ingress" or "" for none. */
int rtnl_read_ingress_kind(int fd, uint32_t ifindex, char ret_kind[RTNL_KIND_BYTES],
                           struct error *err);

/* Over which link packets to @address leave: four words in network order, IPv4 as ::ffff:a.b.c.d.
 * -ERROR_NOT_FOUND if there is no route. */
int rtnl_read_route(int fd, const uint32_t address[4], uint32_t *ret_ifindex, struct error *err);
