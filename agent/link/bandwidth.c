/* SPDX-License-Identifier: Apache-2.0 */
/* See bandwidth.h. Two samples of the same epoch make a window; everything else here is what is
 * done with a window. */
#include "agent/link/bandwidth.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <math.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define NS_PER_S  1e9

static uint64_t per_second(uint64_t before, uint64_t after, uint64_t span_ns)
{
	return (uint64_t)((double)(after - before) * NS_PER_S / (double)span_ns + 0.5);
}

/* Moves @average towards @value by what @span_ns is worth at the time constant @tau_ms. */
static double decay(double average, double value, uint64_t span_ns, unsigned int tau_ms)
{
	double weight = 1 - exp(-(double)span_ns / ((double)tau_ms * NS_PER_MS));

	return average + weight * (value - average);
}

/* True if any counter went down. Both are structs of @bytes that hold u64 counters only. */
static bool went_back(const void *before, const void *after, size_t bytes)
{
	const uint64_t *was = before, *is = after;

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		if (is[i] < was[i])
			return true;
	return false;
}

/* ----------------------------------------------------------------- blindness */

enum sight { SIGHT_IDLE, SIGHT_GOOD, SIGHT_SUSPECT };

/* Compares frames, not packets: where the kernel counts packets before they are cut into frames,
 * ours are more, and where hardware counts frames, they are equal. Only fewer is a bad sign. */
static enum sight judge(const struct traffic_interface_sample *before,
                        const struct traffic_interface_sample *after)
{
	enum sight sight = SIGHT_IDLE;

	for (int direction = 0; direction < 2; direction++) {
		uint64_t link = after->link.packets[direction] - before->link.packets[direction];
		uint64_t ours = after->counters[direction].frames -
		                before->counters[direction].frames;

		if (link < BANDWIDTH_BLIND_PACKETS)
			continue;
		if (ours * 100 < link * BANDWIDTH_BLIND_SEEN_PERCENT)
			return SIGHT_SUSPECT;
		sight = SIGHT_GOOD;
	}
	return sight;
}

static void watch_for_blindness(struct bandwidth_interface *interface,
                                const struct traffic_interface_sample *after, uint64_t span_ns)
{
	switch (judge(&interface->last, after)) {
	case SIGHT_IDLE: /* proves nothing */
		break;
	case SIGHT_GOOD:
		interface->suspect_ms = 0;
		interface->good_ms += span_ns / NS_PER_MS;
		if (interface->good_ms >= BANDWIDTH_BLIND_MS)
			interface->blind = false;
		break;
	case SIGHT_SUSPECT:
		interface->good_ms = 0;
		interface->suspect_ms += span_ns / NS_PER_MS;
		if (interface->suspect_ms >= BANDWIDTH_BLIND_MS)
			interface->blind = true;
		break;
	}
}

/* ---------------------------------------------------------------- interfaces */

static void measure(struct bandwidth_interface *interface,
                    const struct traffic_interface_sample *after, uint64_t span_ns, int direction)
{
	const struct traffic_interface_sample *before = &interface->last;
	const struct traffic_interface_value *was = &before->counters[direction];
	const struct traffic_interface_value *is = &after->counters[direction];
	struct bandwidth_rate rate = { 0 };

	if (interface->classified) {
		rate.bytes_per_s = per_second(was->wire_bytes, is->wire_bytes, span_ns);
		rate.packets_per_s = per_second(was->frames, is->frames, span_ns);
		rate.migration_bytes_per_s = per_second(was->migration_wire_bytes,
		                                        is->migration_wire_bytes, span_ns);
		rate.unregistered_bytes_per_s = per_second(was->unregistered_wire_bytes,
		                                           is->unregistered_wire_bytes, span_ns);
	} else {
		rate.bytes_per_s = per_second(before->link.bytes[direction],
		                              after->link.bytes[direction], span_ns);
		rate.packets_per_s = per_second(before->link.packets[direction],
		                                after->link.packets[direction], span_ns);
	}

	if (!interface->averages_began) {
		interface->short_average[direction] = (double)rate.bytes_per_s;
		interface->long_average[direction] = (double)rate.bytes_per_s;
	} else {
		interface->short_average[direction] = decay(interface->short_average[direction],
		                                            (double)rate.bytes_per_s, span_ns,
		                                            BANDWIDTH_SHORT_MS);
		interface->long_average[direction] = decay(interface->long_average[direction],
		                                           (double)rate.bytes_per_s, span_ns,
		                                           BANDWIDTH_LONG_MS);
	}
	rate.short_bytes_per_s = (uint64_t)(interface->short_average[direction] + 0.5);
	rate.long_bytes_per_s = (uint64_t)(interface->long_average[direction] + 0.5);
	interface->rates[direction] = rate;
}

/* Whether the time between both samples can be a window: the same counters, none of which went
 * back. */
static bool continues(const struct traffic_interface_sample *before,
                      const struct traffic_interface_sample *after)
{
	return before->epoch == after->epoch && before->source == after->source &&
	       before->ifindex == after->ifindex && after->ifindex != 0 &&
	       !went_back(before->counters, after->counters, sizeof(after->counters)) &&
	       !went_back(&before->link, &after->link, sizeof(after->link));
}

static void update_interface(struct bandwidth_interface *interface,
                             const struct traffic_interface_sample *after, uint64_t at_ns)
{
	uint64_t span_ns = at_ns - interface->last_ns;

	if (!continues(&interface->last, after)) {
		/* A new epoch is a new attachment, and blindness was the old one's. */
		if (interface->last.epoch != after->epoch || !after->ifindex) {
			interface->blind = false;
			interface->suspect_ms = interface->good_ms = 0;
			interface->known = false;
			memset(interface->rates, 0, sizeof(interface->rates));
		}
		interface->source = interface->blind ? TRAFFIC_SOURCE_RTNL : after->source;
		interface->classified = traffic_source_is_ebpf(interface->source);
		interface->last = *after;
		interface->last_ns = at_ns;
		return;
	}
	if (span_ns < (uint64_t)BANDWIDTH_WINDOW_MIN_MS * NS_PER_MS)
		return;

	if (traffic_source_is_ebpf(after->source))
		watch_for_blindness(interface, after, span_ns);
	interface->source = interface->blind ? TRAFFIC_SOURCE_RTNL : after->source;
	interface->classified = traffic_source_is_ebpf(interface->source);
	for (int direction = 0; direction < 2; direction++)
		measure(interface, after, span_ns, direction);
	interface->averages_began = true;
	interface->known = true;
	interface->at_ns = at_ns;
	interface->last = *after;
	interface->last_ns = at_ns;
}

/* ----------------------------------------------------------------- endpoints */

static void update_endpoint(struct bandwidth_endpoint *endpoint,
                            const struct traffic_endpoint_sample *after, uint64_t at_ns)
{
	const struct traffic_endpoint_value *was = &endpoint->last.counters;
	const struct traffic_endpoint_value *is = &after->counters;
	uint64_t span_ns = at_ns - endpoint->last_ns;
	bool same = endpoint->last_ns && endpoint->last.epoch == after->epoch &&
	            endpoint->last.counted && after->counted && !went_back(was, is, sizeof(*is));

	if (same && span_ns < (uint64_t)BANDWIDTH_WINDOW_MIN_MS * NS_PER_MS)
		return;
	endpoint->known = same;
	for (size_t i = 0; i < TRAFFIC_INTERFACES; i++) {
		memcpy(endpoint->interface_wire_bytes[i], after->by_interface[i].wire_bytes,
		       sizeof(endpoint->interface_wire_bytes[i]));
		memcpy(endpoint->interface_payload_bytes[i], after->by_interface[i].payload_bytes,
		       sizeof(endpoint->interface_payload_bytes[i]));
	}
	for (int direction = 0; direction < 2; direction++) {
		endpoint->wire_bytes[direction] = is->wire_bytes[direction];
		endpoint->payload_bytes[direction] = is->payload_bytes[direction];
		endpoint->wire_bytes_per_s[direction] = same ? per_second(
								       was->wire_bytes[direction],
								       is->wire_bytes[direction],
								       span_ns)
		                                             : 0;
		endpoint->payload_bytes_per_s[direction] =
			same ? per_second(was->payload_bytes[direction],
		                          is->payload_bytes[direction], span_ns)
			     : 0;
	}
	endpoint->last = *after;
	endpoint->last_ns = at_ns;
}

static bool same_endpoint(const struct traffic_endpoint *a, const struct traffic_endpoint *b)
{
	return a->port == b->port && a->port_is_remote == b->port_is_remote &&
	       memcmp(a->remote_address, b->remote_address, sizeof(a->remote_address)) == 0;
}

/* ------------------------------------------------------------------- the whole */

void bandwidth_update(struct bandwidth *bandwidth, const struct traffic_sample *sample)
{
	_cleanup_free_ struct bandwidth *next = xnew(struct bandwidth);

	for (size_t i = 0; i < bandwidth->n_interfaces; i++)
		if (sample->at_ns < bandwidth->interfaces[i].last_ns)
			return;

	/* What the sample names, in its order, each with what was known of it. */
	for (size_t i = 0; i < sample->n_interfaces; i++) {
		const struct traffic_interface_sample *from = &sample->interfaces[i];
		const struct bandwidth_interface *known = bandwidth_find_interface(bandwidth,
		                                                                   from->name);
		struct bandwidth_interface *to = &next->interfaces[next->n_interfaces++];

		if (known)
			*to = *known;
		memcpy(to->name, from->name, sizeof(to->name));
		update_interface(to, from, sample->at_ns);
	}
	for (size_t i = 0; i < sample->n_endpoints; i++) {
		const struct traffic_endpoint_sample *from = &sample->endpoints[i];
		const struct bandwidth_endpoint *known = bandwidth_find_endpoint(bandwidth,
		                                                                 &from->endpoint);
		struct bandwidth_endpoint *to = &next->endpoints[next->n_endpoints++];

		if (known)
			*to = *known;
		to->endpoint = from->endpoint;
		update_endpoint(to, from, sample->at_ns);
	}
	*bandwidth = *next;
}

const struct bandwidth_interface *bandwidth_find_interface(const struct bandwidth *bandwidth,
                                                           const char *name)
{
	for (size_t i = 0; i < bandwidth->n_interfaces; i++)
		if (strcmp(bandwidth->interfaces[i].name, name) == 0)
			return &bandwidth->interfaces[i];
	return NULL;
}

const struct bandwidth_endpoint *bandwidth_find_endpoint(const struct bandwidth *bandwidth,
                                                         const struct traffic_endpoint *endpoint)
{
	for (size_t i = 0; i < bandwidth->n_endpoints; i++)
		if (same_endpoint(&bandwidth->endpoints[i].endpoint, endpoint))
			return &bandwidth->endpoints[i];
	return NULL;
}

uint64_t bandwidth_age_ms(const struct bandwidth_interface *interface, uint64_t now_ns)
{
	if (!interface->known)
		return UINT64_MAX;
	return now_ns > interface->at_ns ? (now_ns - interface->at_ns) / NS_PER_MS : 0;
}

bool bandwidth_is_evidence(const struct bandwidth_interface *interface, uint64_t now_ns)
{
	return interface->classified && !interface->suspect_ms &&
	       bandwidth_age_ms(interface, now_ns) < BANDWIDTH_EVIDENCE_MS;
}
