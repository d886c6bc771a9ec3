/* SPDX-License-Identifier: Apache-2.0 */
/* See traffic_programs.h. */
#include "tests/bench/traffic_programs.h"

#include "common/alloc.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>

#include <linux/types.h>

#include "ebpf/traffic_map.h"

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static int create_keys(struct traffic_bpf *skeleton, const char *interface, const char *peer,
                       uint16_t port)
{
	struct traffic_endpoint_key endpoint = { .remote_address = { 0, 0, htonl(0xffff) },
		                                 .ifindex = if_nametoindex(interface),
		                                 .port = port,
		                                 .port_is_remote = 1 };
	void *zeros = xcalloc((size_t)libbpf_num_possible_cpus(),
	                      sizeof(struct traffic_endpoint_value));
	int rc = 0;

	for (uint32_t direction = 0; direction < 2 && rc == 0; direction++) {
		struct traffic_interface_key key = { if_nametoindex(interface), direction };

		rc = bpf_map_update_elem(bpf_map__fd(skeleton->maps.interfaces), &key, zeros,
		                         BPF_ANY);
	}
	inet_pton(AF_INET, peer, &endpoint.remote_address[3]);
	if (rc == 0)
		rc = bpf_map_update_elem(bpf_map__fd(skeleton->maps.endpoints), &endpoint, zeros,
		                         BPF_ANY);
	free(zeros);
	return rc;
}

struct traffic_bpf *traffic_programs_load(const char *interface, const char *peer, uint16_t port)
{
	struct traffic_bpf *skeleton;

	libbpf_set_print(quiet);
	skeleton = traffic_bpf__open_and_load();
	if (skeleton && create_keys(skeleton, interface, peer, port) < 0) {
		traffic_bpf__destroy(skeleton);
		return NULL;
	}
	return skeleton;
}
