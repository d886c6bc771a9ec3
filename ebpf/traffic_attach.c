/* SPDX-License-Identifier: Apache-2.0 */
/* The watched interfaces of traffic.h: which source each one gets, and why not a better one.
 *
 * An interface is known by name to people and by index to the kernel. When the name stands for
 * another index than at the last reading, the interface was made anew: its program is gone, so we
 * drop its keys, attach again and begin an epoch.
 */
#include "common/cleanup.h"
#include "ebpf/clsact.h"
#include "ebpf/rtnl.h"
#include "ebpf/tcx.h"
#include "ebpf/traffic_private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

static void delete_keys(struct traffic *traffic, uint32_t ifindex)
{
	for (uint32_t direction = 0; direction < 2; direction++) {
		struct traffic_interface_key key = { ifindex, direction };

		bpf_map_delete_elem(bpf_map__fd(traffic->skeleton->maps.interfaces), &key);
	}
	for (size_t i = 0; i < traffic->n_endpoints; i++)
		traffic_delete_endpoint_key(traffic, traffic->endpoints[i].key, ifindex);
}

/* Keys with zero counters. Before attaching: a packet without a key would be lost to the sums. */
static int create_keys(struct traffic *traffic, uint32_t ifindex, struct error *err)
{
	int map = bpf_map__fd(traffic->skeleton->maps.interfaces);

	memset(traffic->batch_values, 0,
	       (size_t)traffic->n_cpus * sizeof(struct traffic_interface_value));
	for (uint32_t direction = 0; direction < 2; direction++) {
		struct traffic_interface_key key = { ifindex, direction };
		int rc = bpf_map_update_elem(map, &key, traffic->batch_values, BPF_ANY);

		if (rc < 0)
			return error_set_errno(err, ERROR_SYSTEM, -rc,
			                       "cannot create the counters of link %u", ifindex);
	}
	for (size_t i = 0; i < traffic->n_endpoints; i++) {
		int rc = traffic_create_endpoint_key(traffic, traffic->endpoints[i].key, ifindex,
		                                     err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static struct clsact_place place_of(uint32_t ifindex)
{
	return (struct clsact_place){
		.ifindex = ifindex,
		.priority = CLSACT_PRIORITY,
		.handle = CLSACT_HANDLE,
	};
}

static int attach_tcx(struct interface *interface, const int program_fds[2], struct error *err)
{
	int fds[2] = { -1, -1 };
	int rc = 0;

	for (int direction = 0; direction < 2 && rc == 0; direction++)
		rc = tcx_attach(program_fds[direction], interface->ifindex, direction,
		                &fds[direction], err);
	if (rc < 0) {
		cleanup_close_fd(&fds[0]);
		return rc;
	}
	memcpy(interface->tcx_fd, fds, sizeof(fds));
	return 0;
}

/* Goes down the steps, and leaves in the limit why each one above was not taken. */
static void attach(struct traffic *traffic, struct interface *interface)
{
	struct clsact_place place = place_of(interface->ifindex);
	struct error tcx_err = { 0 }, clsact_err = { 0 };
	struct rtnl_link link;
	int program_fds[2];

	interface->epoch = ++traffic->last_epoch;
	interface->source = TRAFFIC_SOURCE_RTNL;
	interface->tcx_fd[0] = interface->tcx_fd[1] = -1;
	interface->limit = traffic->limit;
	if (!traffic->skeleton)
		return;

	if (rtnl_read_link(traffic->rtnl_fd, interface->ifindex, &link, &interface->limit) < 0)
		return;
	if (!link.is_ethernet) {
		error_set(
			&interface->limit, ERROR_UNSUPPORTED,
			"its packets have no Ethernet header, which the counting program expects");
		return;
	}
	if (create_keys(traffic, interface->ifindex, &interface->limit) < 0) {
		delete_keys(traffic, interface->ifindex);
		return;
	}
	program_fds[TRAFFIC_RECEIVED] = bpf_program__fd(traffic->skeleton->progs.drover_rx);
	program_fds[TRAFFIC_SENT] = bpf_program__fd(traffic->skeleton->progs.drover_tx);

	if (!traffic_may_try(traffic, TRAFFIC_SOURCE_TCX)) {
		error_set(&tcx_err, ERROR_REFUSED, "tcx is switched off by configuration");
	} else if (attach_tcx(interface, program_fds, &tcx_err) == 0) {
		/* A former run, on a kernel or with settings of its own, may have used clsact. */
		clsact_detach(traffic->rtnl_fd, &place);
		interface->source = TRAFFIC_SOURCE_TCX;
		return;
	}
	if (clsact_attach(traffic->rtnl_fd, &place, program_fds, &clsact_err) == 0) {
		interface->source = TRAFFIC_SOURCE_CLSACT;
		interface->limit = tcx_err;
		return;
	}
	delete_keys(traffic, interface->ifindex);
	error_set(&interface->limit, clsact_err.code, "%s; %s", tcx_err.text, clsact_err.text);
}

void traffic_detach_interface(struct traffic *traffic, struct interface *interface)
{
	struct clsact_place place = place_of(interface->ifindex);

	if (interface->source == TRAFFIC_SOURCE_TCX)
		for (int direction = 0; direction < 2; direction++)
			cleanup_close_fd(&interface->tcx_fd[direction]);
	if (interface->source == TRAFFIC_SOURCE_CLSACT)
		clsact_detach(traffic->rtnl_fd, &place);
	if (traffic_source_is_ebpf(interface->source))
		delete_keys(traffic, interface->ifindex);
	interface->source = TRAFFIC_SOURCE_NONE;
	interface->ifindex = 0;
}

static struct interface *find_interface(struct traffic *traffic, const char *name)
{
	for (size_t i = 0; i < traffic->n_interfaces; i++)
		if (strcmp(traffic->interfaces[i].name, name) == 0)
			return &traffic->interfaces[i];
	return NULL;
}

/* Follows deletion and re-creation. */
void traffic_refresh_interface(struct traffic *traffic, struct interface *interface)
{
	uint32_t ifindex = if_nametoindex(interface->name);

	if (ifindex == interface->ifindex)
		return;
	if (interface->ifindex)
		traffic_detach_interface(traffic, interface);
	interface->ifindex = ifindex;
	if (ifindex)
		attach(traffic, interface);
	else
		error_set(&interface->limit, ERROR_NOT_FOUND, "the interface does not exist");
}

int traffic_watch_interface(struct traffic *traffic, const char *name, struct error *err)
{
	struct interface *interface;
	size_t length = strlen(name);

	if (length == 0 || length >= IF_NAMESIZE)
		return error_set(err, ERROR_INVALID, "\"%.64s\" cannot be the name of an interface",
		                 name);
	interface = find_interface(traffic, name);
	if (interface) {
		traffic_refresh_interface(traffic, interface);
		return 0;
	}
	if (traffic->n_interfaces == TRAFFIC_INTERFACES)
		return error_set(err, ERROR_NO_SPACE,
		                 "cannot watch interface %s: %d are watched already", name,
		                 TRAFFIC_INTERFACES);
	if (!if_nametoindex(name))
		return error_set(err, ERROR_NOT_FOUND, "there is no network interface \"%s\" here",
		                 name);

	interface = &traffic->interfaces[traffic->n_interfaces++];
	*interface = (struct interface){ .tcx_fd = { -1, -1 } };
	memcpy(interface->name, name, length + 1);
	traffic_refresh_interface(traffic, interface);
	return 0;
}

const struct error *traffic_find_limit(const struct traffic *traffic, const char *name)
{
	for (size_t i = 0; i < traffic->n_interfaces; i++)
		if (strcmp(traffic->interfaces[i].name, name) == 0)
			return &traffic->interfaces[i].limit;
	return NULL;
}
