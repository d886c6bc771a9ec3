/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_interface.h. */
#include "agent/host/guest_interface.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

#include <linux/types.h>

#include "ebpf/traffic_map.h"

#define NS_PER_S 1e9
/* Below this a window is noise of the timer; it is joined with the next one. */
#define WINDOW_MIN_NS 50000000u

struct guest_interface *guest_interfaces_new(const struct vm_description *d, size_t *ret_count)
{
	struct guest_interface *all = xcalloc(d->n_interfaces, sizeof(*all));

	for (size_t n = 0; n < d->n_interfaces; n++) {
		const struct vm_interface *from = &d->interfaces[n];
		struct guest_interface *i = &all[n];

		snprintf(i->type, sizeof(i->type), "%s", from->type);
		/* A longer one is no name of a device. */
		if (strlen(from->target) < sizeof(i->device))
			snprintf(i->device, sizeof(i->device), "%s", from->target);
		if (i->device[0])
			guest_interface_lose(i, "it was not measured yet");
		else
			snprintf(i->why, sizeof(i->why),
			         "an interface of type \"%s\" has no device here that counts",
			         from->type);
	}
	*ret_count = d->n_interfaces;
	return all;
}

void guest_interfaces_keep(struct guest_interface *now, size_t n_now,
                           const struct guest_interface *before, size_t n_before)
{
	for (size_t i = 0; i < n_now; i++) {
		for (size_t j = 0; j < n_before; j++) {
			if (now[i].device[0] && strcmp(now[i].device, before[j].device) == 0 &&
			    strcmp(now[i].type, before[j].type) == 0)
				now[i] = before[j];
		}
	}
}

static uint64_t per_second(uint64_t before, uint64_t after, uint64_t span_ns)
{
	return (uint64_t)((double)(after - before) * NS_PER_S / (double)span_ns + 0.5);
}

static bool went_back(const struct link_stats *was, const struct link_stats *is)
{
	for (int direction = 0; direction < 2; direction++) {
		if (is->bytes[direction] < was->bytes[direction] ||
		    is->packets[direction] < was->packets[direction])
			return true;
	}
	return false;
}

void guest_interface_update(struct guest_interface *i, uint32_t ifindex,
                            const struct link_stats *stats, uint64_t now_ns)
{
	/* A macvtap counts as its guest does; a tap is the other end of the guest's cable. */
	int rx = strcmp(i->type, "direct") == 0 ? TRAFFIC_RECEIVED : TRAFFIC_SENT;
	uint64_t span_ns = now_ns - i->at_ns;

	if (i->ifindex != ifindex || went_back(&i->last, stats)) {
		guest_interface_lose(i, "it was measured only once yet");
	} else {
		if (span_ns < WINDOW_MIN_NS)
			return;
		i->rx_bytes_per_s = per_second(i->last.bytes[rx], stats->bytes[rx], span_ns);
		i->tx_bytes_per_s = per_second(i->last.bytes[!rx], stats->bytes[!rx], span_ns);
		i->rx_packets_per_s = per_second(i->last.packets[rx], stats->packets[rx], span_ns);
		i->tx_packets_per_s = per_second(i->last.packets[!rx], stats->packets[!rx],
		                                 span_ns);
		i->known = true;
		i->why[0] = '\0';
	}
	i->ifindex = ifindex;
	i->last = *stats;
	i->at_ns = now_ns;
}

void guest_interface_lose(struct guest_interface *i, const char *why)
{
	i->known = false;
	i->rx_bytes_per_s = i->tx_bytes_per_s = 0;
	i->rx_packets_per_s = i->tx_packets_per_s = 0;
	i->ifindex = 0;
	snprintf(i->why, sizeof(i->why), "%s", why);
}
