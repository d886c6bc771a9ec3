/* SPDX-License-Identifier: Apache-2.0 */
/* Between traffic.c (loading, endpoints, reading) and traffic_attach.c (interfaces), for nobody else. */
#pragma once

#include "ebpf/traffic.h"
#include "traffic.skel.h"

struct interface {
	char name[IF_NAMESIZE];
	uint32_t ifindex; /* 0: does not exist */
	enum traffic_source source;
	struct error limit;
	uint64_t epoch;
	int tcx_fd[2];
};

struct endpoint {
	struct traffic_endpoint_key key; /* ifindex 0: on each watched one */
	uint64_t epoch;
};

struct traffic {
	struct traffic_options options;
	int rtnl_fd;
	struct traffic_bpf *skeleton; /* NULL: no eBPF */
	struct error limit;
	int n_cpus;
	uint64_t last_epoch;
	size_t n_interfaces, n_endpoints;
	struct interface interfaces[TRAFFIC_INTERFACES];
	struct endpoint endpoints[TRAFFIC_ENDPOINTS];
	void *batch_keys, *batch_values; /* room for either map */
};

/* Whether the options allow @source. */
static inline bool traffic_may_try(const struct traffic *traffic, enum traffic_source source)
{
	return traffic->options.best == TRAFFIC_SOURCE_NONE || traffic->options.best >= source;
}

/* The counters of an endpoint on one interface. */
int traffic_create_endpoint_key(struct traffic *traffic, struct traffic_endpoint_key key,
                                uint32_t ifindex, struct error *err);
void traffic_delete_endpoint_key(struct traffic *traffic, struct traffic_endpoint_key key,
                                 uint32_t ifindex);

/* Follows the interface: attaches if its name stands for another index than before. */
void traffic_refresh_interface(struct traffic *traffic, struct interface *interface);
void traffic_detach_interface(struct traffic *traffic, struct interface *interface);
