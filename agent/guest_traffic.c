/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_traffic.h. */
#include "agent/guest_traffic.h"

#include "common/alloc.h"

#include <string.h>

static void read_interface(struct guest_interface *i, struct traffic *traffic, uint64_t now_ns)
{
	struct link_stats stats;
	struct error err;
	uint32_t ifindex;

	if (!i->device[0])
		return;
	if (!traffic)
		guest_interface_lose(i, "the agent cannot read counters: see its log");
	else if (traffic_read_link(traffic, i->device, &ifindex, &stats, &err) < 0)
		guest_interface_lose(i, err.text);
	else
		guest_interface_update(i, ifindex, &stats, now_ns);
}

void guest_traffic_tick(struct inventory *inventory, struct traffic *traffic, uint64_t now_ns)
{
	struct inventory_vm *vm, *next;

	HASH_ITER (hh, inventory->vms, vm, next) {
		for (size_t i = 0; i < vm->n_interfaces; i++)
			read_interface(&vm->interfaces[i], traffic, now_ns);
	}
}

static Drover__V1__GuestInterface *interface_new(const struct guest_interface *i)
{
	Drover__V1__GuestInterface *m = xmalloc(sizeof(*m));

	drover__v1__guest_interface__init(m);
	m->device = xstrdup(i->device);
	m->type = xstrdup(i->type);
	m->rx_bytes_per_s = i->rx_bytes_per_s;
	m->tx_bytes_per_s = i->tx_bytes_per_s;
	m->rx_packets_per_s = i->rx_packets_per_s;
	m->tx_packets_per_s = i->tx_packets_per_s;
	m->source = xstrdup(
		traffic_source_name(i->known ? TRAFFIC_SOURCE_RTNL : TRAFFIC_SOURCE_NONE));
	m->why = xstrdup(i->why);
	return m;
}

void guest_traffic_fill_host(const struct inventory *inventory, Drover__V1__HostState *h)
{
	const struct inventory_vm *vm, *next;

	h->guest_traffic = xcalloc(HASH_COUNT(inventory->vms), sizeof(*h->guest_traffic));
	HASH_ITER (hh, inventory->vms, vm, next) {
		Drover__V1__GuestTraffic *m;

		if (!vm->summary.active)
			continue;
		m = xmalloc(sizeof(*m));
		drover__v1__guest_traffic__init(m);
		m->vm_uuid = xstrdup(vm->uuid);
		m->interfaces = xcalloc(vm->n_interfaces, sizeof(*m->interfaces));
		for (size_t i = 0; i < vm->n_interfaces; i++)
			m->interfaces[m->n_interfaces++] = interface_new(&vm->interfaces[i]);
		h->guest_traffic[h->n_guest_traffic++] = m;
	}
}
