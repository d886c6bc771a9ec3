/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_traffic.h. */
#include "agent/host/guest_traffic.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* What there is of all links, or why it is not known. */
struct reading {
	struct link_counters *links; /* owned */
	size_t count;
	struct error error;
};

static void read_interface(struct guest_interface *i, const struct reading *reading,
                           uint64_t now_ns)
{
	const struct link_counters *link;
	char why[GUEST_INTERFACE_WHY_BYTES];

	if (!i->device[0])
		return;
	if (reading->error.code != ERROR_NONE) {
		guest_interface_lose(i, reading->error.text);
		return;
	}
	link = link_counters_find(reading->links, reading->count, i->device);
	if (link) {
		guest_interface_update(i, link->ifindex, &link->stats, now_ns);
		return;
	}
	snprintf(why, sizeof(why), "there is no network interface \"%s\" here", i->device);
	guest_interface_lose(i, why);
}

static bool has_devices(const struct inventory *inventory)
{
	for (const struct inventory_vm *vm = inventory->vms; vm; vm = vm->hh.next) {
		for (size_t i = 0; i < vm->n_interfaces; i++) {
			if (vm->interfaces[i].device[0])
				return true;
		}
	}
	return false;
}

/* One question for all of them: the owner thread waits for it. */
void guest_traffic_tick(struct inventory *inventory, struct traffic *traffic, uint64_t now_ns)
{
	struct reading reading = { 0 };

	if (!has_devices(inventory))
		return;
	if (!traffic)
		error_set(&reading.error, ERROR_SYSTEM,
		          "the agent cannot read counters: see its log");
	else
		(void)traffic_read_links(traffic, &reading.links, &reading.count, &reading.error);
	for (struct inventory_vm *vm = inventory->vms; vm; vm = vm->hh.next) {
		for (size_t i = 0; i < vm->n_interfaces; i++)
			read_interface(&vm->interfaces[i], &reading, now_ns);
	}
	free(reading.links);
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
