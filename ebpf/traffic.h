/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over the watched interfaces, and how much of it is migrations: absolute counters.
 *
 * Each interface is counted by the best means there is, one step down at a time, and knows why it
 * is not a better one:
 *
 *	ebpf-tcx      exact bytes on the wire, migrations apart; leaves nothing behind
 *	ebpf-clsact   the same on kernels before 6.6; filters of a killed process stay until the
 *	              next one starts
 *	rtnl          the kernel's own totals: up to 6 % low on virtual links, migrations unknown
 *
 * Counters only grow. When they begin anew (the interface was deleted and made again, an endpoint
 * was registered again) the epoch changes. Rates are agent/bandwidth's business.
 *
 * All calls from one thread, the agent's owner thread; traffic_read costs some 50 us.
 */
#pragma once

#include "common/error.h"
#include "ebpf/link_stats.h"

#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>
#include <net/if.h>

#include "ebpf/traffic_map.h"

#define TRAFFIC_INTERFACES (TRAFFIC_MAP_INTERFACES / 2)
#define TRAFFIC_ENDPOINTS  TRAFFIC_MAP_ENDPOINTS

enum traffic_source {
	TRAFFIC_SOURCE_NONE, /* the interface does not exist at the moment */
	TRAFFIC_SOURCE_RTNL,
	TRAFFIC_SOURCE_CLSACT,
	TRAFFIC_SOURCE_TCX,
	TRAFFIC_SOURCES
};

struct traffic_options {
	uint16_t port_low, port_high; /* of migrations, inclusive */
	enum traffic_source best;     /* try nothing better; TRAFFIC_SOURCE_NONE: no limit */
};

/* One listening port of one migration. A migration with disks has two. */
struct traffic_endpoint {
	uint32_t remote_address[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
	bool port_is_remote; /* true at the source, where the peer listens */
};

/* By direction: TRAFFIC_RECEIVED, TRAFFIC_SENT. */
struct traffic_interface_sample {
	char name[IF_NAMESIZE];
	uint32_t ifindex; /* 0: does not exist at the moment, counters are 0 */
	enum traffic_source source;
	uint64_t epoch;
	struct traffic_interface_value counters[2]; /* zero if the source is not eBPF */
	struct link_stats link;
};

struct traffic_endpoint_sample {
	struct traffic_endpoint endpoint;
	uint64_t epoch;
	bool counted; /* false: no eBPF here, so the counters say nothing */
	/* Of the interface that has most: those of one path (a bond and its members) all see the
	 * same packets. */
	struct traffic_endpoint_value counters;
	/* As the sample's interfaces; zero where the source is not eBPF. */
	struct traffic_endpoint_value by_interface[TRAFFIC_INTERFACES];
};

struct traffic_sample {
	uint64_t at_ns;   /* clock_now_ns in the middle of reading */
	uint64_t read_ns; /* what reading took */
	uint64_t unknown_interface_skbs;
	size_t n_interfaces, n_endpoints;
	struct traffic_interface_sample interfaces[TRAFFIC_INTERFACES];
	struct traffic_endpoint_sample endpoints[TRAFFIC_ENDPOINTS];
};

struct traffic;

/* "ebpf-tcx", "ebpf-clsact", "rtnl", "none". */
const char *traffic_source_name(enum traffic_source source);

static inline bool traffic_source_is_ebpf(enum traffic_source source)
{
	return source == TRAFFIC_SOURCE_CLSACT || source == TRAFFIC_SOURCE_TCX;
}

/* Succeeds without eBPF, too: see traffic_get_limit. Fails for senseless options
 * (-ERROR_INVALID) and if not even rtnetlink can be asked. */
int traffic_open(const struct traffic_options *options, struct traffic **ret_traffic,
                 struct error *err);

/* Detaches everything and frees. */
void traffic_close(struct traffic *traffic);

/* Why there is no eBPF at all; code ERROR_NONE if there is. */
const struct error *traffic_get_limit(const struct traffic *traffic);

/* Starts to count an interface of this network namespace; again is no error. An interface which
 * disappears later stays watched and is attached to when it comes back.
 * -ERROR_NOT_FOUND if there is none of this name, -ERROR_NO_SPACE beyond TRAFFIC_INTERFACES. */
int traffic_watch_interface(struct traffic *traffic, const char *name, struct error *err);

/* Why @name is not counted by the best source; code ERROR_NONE if it is. NULL if not watched. */
const struct error *traffic_find_limit(const struct traffic *traffic, const char *name);

/* @remote_address: IPv4 or IPv6 in numbers. */
int traffic_endpoint_parse(const char *remote_address, uint16_t port, bool port_is_remote,
                           struct traffic_endpoint *ret_endpoint, struct error *err);

/* Counters of an endpoint begin at 0 and stay until it is unregistered; again is no error and
 * keeps them. -ERROR_INVALID outside the port range, -ERROR_NO_SPACE beyond TRAFFIC_ENDPOINTS. */
int traffic_register(struct traffic *traffic, const struct traffic_endpoint *endpoint,
                     struct error *err);
void traffic_unregister(struct traffic *traffic, const struct traffic_endpoint *endpoint);

/* The interface over which the kernel would send to @endpoint now, watched or not; "" if it does not
 * say. */
void traffic_find_route(const struct traffic *traffic, const struct traffic_endpoint *endpoint,
                        char ret_name[IF_NAMESIZE]);

/* The kernel's own counters of all links of this network namespace, watched or not, in one question:
 * link_counters_find. free(*ret_links). */
int traffic_read_links(struct traffic *traffic, struct link_counters **ret_links, size_t *ret_count,
                       struct error *err);

/* Also attaches to interfaces which came back. */
int traffic_read(struct traffic *traffic, struct traffic_sample *ret_sample, struct error *err);
