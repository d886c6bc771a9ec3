/* SPDX-License-Identifier: Apache-2.0 */
/* See local.h. */
#include "tools/drover/local.h"

#include "common/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* IPV6_PREFER_SRC_PUBLIC of <linux/in6.h>, which does not go along with <netinet/in.h>: not an address
 * that is another one tomorrow. */
#define PREFER_SOURCE_PUBLIC 0x0002

DEFINE_CLEANUP(struct ifaddrs *, freeifaddrs);

static unsigned family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

static bool parse_address(const char *text, int *ret_family, uint8_t ret_bytes[16])
{
	*ret_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(*ret_family, text, ret_bytes) == 1;
}

int local_parse_network(const char *text, struct local_network *ret, struct error *err)
{
	struct local_network network = { 0 };
	char address[LOCAL_ADDRESS_BYTES], digits[4] = "0", rest;
	int read = sscanf(text, "%45[0-9a-fA-F:.]/%3[0-9]%c", address, digits, &rest);

	network.prefix_bits = (unsigned)strtoul(digits, NULL, 10);
	if (read != 2 || !parse_address(address, &network.family, network.bytes) ||
	    network.prefix_bits == 0 || network.prefix_bits > family_bits(network.family))
		return error_set(err, ERROR_INVALID,
		                 "\"%.60s\" is not a network; write for example 10.9.0.0/24 or "
		                 "fd00:9::/64",
		                 text);
	*ret = network;
	return 0;
}

/* Whether the first @bits are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 &&
	       (rest == 0 || (uint8_t)(a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static bool has(const struct local_network *network, int family, const uint8_t *bytes)
{
	return family == network->family && same_bits(network->bytes, bytes, network->prefix_bits);
}

bool local_network_has(const struct local_network *network, const char *address)
{
	uint8_t bytes[16];
	int family;

	return parse_address(address, &family, bytes) && has(network, family, bytes);
}

/* --- what the kernel has --- */

static const uint8_t *bytes_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
	return (const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr;
}

static bool is_usable(const struct ifaddrs *at)
{
	const struct sockaddr *address = at->ifa_addr;

	if (!address || !at->ifa_netmask)
		return false;
	if (address->sa_family == AF_INET)
		return true;
	return address->sa_family == AF_INET6 &&
	       !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static void describe(const struct ifaddrs *at, struct local_place *ret)
{
	int family = at->ifa_addr->sa_family;
	const uint8_t *mask = bytes_of(at->ifa_netmask);
	uint8_t network[16] = { 0 };
	char text[LOCAL_ADDRESS_BYTES];
	unsigned bits = 0;

	for (unsigned i = 0; i < family_bits(family) / 8; i++) {
		network[i] = bytes_of(at->ifa_addr)[i] & mask[i];
		bits += (unsigned)__builtin_popcount(mask[i]);
	}
	inet_ntop(family, bytes_of(at->ifa_addr), ret->address, sizeof(ret->address));
	inet_ntop(family, network, text, sizeof(text));
	snprintf(ret->network, sizeof(ret->network), "%s/%u", text, bits);
	snprintf(ret->interface, sizeof(ret->interface), "%s", at->ifa_name);
}

static int list(struct ifaddrs **ret, struct error *err)
{
	if (getifaddrs(ret) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "listing this host's addresses");
	return 0;
}

/* " 10.0.0.11 (ens1), 10.9.0.11 (ens2)", as far as there is room. */
static const char *list_text(const struct ifaddrs *all, char *text, size_t bytes)
{
	size_t used = 0;

	snprintf(text, bytes, " none");
	for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
		struct local_place place;
		int n;

		if (!is_usable(at) || (at->ifa_flags & IFF_LOOPBACK))
			continue;
		describe(at, &place);
		n = snprintf(text + used, bytes - used, "%s %s (%s)", used ? "," : "",
		             place.address, place.interface);
		if (n < 0 || (size_t)n >= bytes - used) {
			text[used] = '\0';
			break;
		}
		used += (size_t)n;
	}
	return text;
}

int local_find_in(const struct local_network *network, struct local_place *ret, struct error *err)
{
	_cleanup_(freeifaddrsp) struct ifaddrs *all = NULL;
	struct local_place found, other;
	size_t count = 0;
	char text[200];
	int rc = list(&all, err);

	for (const struct ifaddrs *at = all; rc == 0 && at; at = at->ifa_next) {
		if (!is_usable(at) ||
		    !has(network, at->ifa_addr->sa_family, bytes_of(at->ifa_addr)))
			continue;
		if (++count > 1) {
			describe(at, &other);
			return error_set(err, ERROR_INVALID,
			                 "this host has %s (%s) and %s (%s) in the migration "
			                 "network; say which with --migration-address",
			                 found.address, found.interface, other.address,
			                 other.interface);
		}
		describe(at, &found);
	}
	if (rc == 0 && count == 0)
		return error_set(err, ERROR_INVALID,
		                 "this host has no address in the migration network; it has:%s",
		                 list_text(all, text, sizeof(text)));
	if (rc == 0)
		*ret = found;
	return rc;
}

int local_find_address(const char *address, struct local_place *ret, struct error *err)
{
	_cleanup_(freeifaddrsp) struct ifaddrs *all = NULL;
	struct local_network one = { 0 };
	char text[200];
	int rc = list(&all, err);

	if (rc < 0)
		return rc;
	if (!parse_address(address, &one.family, one.bytes))
		return error_set(err, ERROR_INVALID, "\"%.60s\" is not an IP address", address);
	one.prefix_bits = family_bits(one.family);
	for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
		if (is_usable(at) && has(&one, at->ifa_addr->sa_family, bytes_of(at->ifa_addr))) {
			describe(at, ret);
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID, "%s is not an address of this host; it has:%s",
	                 address, list_text(all, text, sizeof(text)));
}

/* A datagram socket sends nothing by being connected: the kernel only chooses. */
int local_find_towards(const char *host_port, char ret_address[LOCAL_ADDRESS_BYTES],
                       struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV };
	struct sockaddr_storage own = { 0 };
	socklen_t bytes = sizeof(own);
	const int public = PREFER_SOURCE_PUBLIC;
	char host[64], port[8];
	struct addrinfo *to = NULL;
	_cleanup_close_ int fd = -1;
	int rc;

	if (sscanf(host_port, "[%63[^]]]:%7[0-9]", host, port) != 2 &&
	    sscanf(host_port, "%63[^:]:%7[0-9]", host, port) != 2)
		return error_set(err, ERROR_INVALID, "\"%.80s\" is not HOST:PORT", host_port);
	rc = getaddrinfo(host, port, &hints, &to);
	if (rc != 0)
		return error_set(err, ERROR_UNREACHABLE, "finding %s: %s", host, gai_strerror(rc));
	fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && to->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &public, sizeof(public));
	rc = fd < 0 ? -1 : connect(fd, to->ai_addr, to->ai_addrlen);
	freeaddrinfo(to);
	if (rc < 0 || getsockname(fd, (struct sockaddr *)&own, &bytes) < 0)
		return error_set_errno(err, ERROR_UNREACHABLE, errno,
		                       "finding this host's way to the coordinator at %s",
		                       host_port);
	inet_ntop(own.ss_family, bytes_of((struct sockaddr *)&own), ret_address,
	          LOCAL_ADDRESS_BYTES);
	return 0;
}
