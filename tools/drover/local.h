/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of this host, as the kernel has them: so that one line, without a word changed, lets every
 * host of a cluster join. Nothing is guessed: where two addresses would do, both are named and neither is
 * taken. Addresses of a link alone (fe80::) are left out: another host cannot call them without a scope.
 */
#pragma once

#include "common/error.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define LOCAL_ADDRESS_BYTES INET6_ADDRSTRLEN
#define LOCAL_NETWORK_BYTES (INET6_ADDRSTRLEN + 4) /* "/128" */

struct local_network {
	int family; /* AF_INET, AF_INET6 */
	uint8_t bytes[16];
	unsigned prefix_bits;
};

struct local_place {
	char address[LOCAL_ADDRESS_BYTES];
	char interface[IF_NAMESIZE];
	char network[LOCAL_NETWORK_BYTES]; /* of that address: "10.9.0.0/24" */
};

/* "10.9.0.0/24", "fd00:9::/64"; bits beyond the prefix do not matter. -ERROR_INVALID. */
int local_parse_network(const char *text, struct local_network *ret, struct error *err);
bool local_network_has(const struct local_network *network, const char *address);

/* The one address of this host in @network. -ERROR_INVALID if there is none, or more than one. */
int local_find_in(const struct local_network *network, struct local_place *ret, struct error *err);

/* Where @address is. -ERROR_INVALID if it is not of this host. */
int local_find_address(const char *address, struct local_place *ret, struct error *err);

/* The address of this host that packets to @host_port ("10.0.0.1:7781", "[::1]:7781") carry. */
int local_find_towards(const char *host_port, char ret_address[LOCAL_ADDRESS_BYTES],
                       struct error *err);
