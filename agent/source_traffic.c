/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a guest on its way out, as the migration interface counts them: those of its memory, and
 * of its disks where they are copied. See source.h. Owner thread only. */
#include "agent/source.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <utlist.h>

static bool count(struct source_attempt *a, uint16_t port, struct traffic_endpoint *ret)
{
	struct error err;

	if (traffic_endpoint_parse(a->migration_address, port, true, ret, &err) == 0 &&
	    traffic_register(a->agent->traffic, ret, &err) == 0)
		return true;
	log_warning("%s: its bytes to port %u are not counted: %s", a->order.vm_name, port,
	            err.text);
	return false;
}

void source_traffic_start(struct source_attempt *a)
{
	if (!a->agent->traffic || !a->port)
		return;
	a->endpoint_registered = count(a, a->port, &a->endpoint);
	a->disk_endpoint_registered = a->disk_port && count(a, a->disk_port, &a->disk_endpoint);
}

void source_traffic_stop(struct source_attempt *a)
{
	if (a->endpoint_registered)
		traffic_unregister(a->agent->traffic, &a->endpoint);
	if (a->disk_endpoint_registered)
		traffic_unregister(a->agent->traffic, &a->disk_endpoint);
	a->endpoint_registered = a->disk_endpoint_registered = false;
}

bool source_traffic_get_rate(const struct source_attempt *a, uint64_t *ret_bytes_per_s)
{
	const struct bandwidth *b = &a->agent->bandwidth;
	const struct bandwidth_endpoint *memory, *disks;

	memory = a->endpoint_registered ? bandwidth_find_endpoint(b, &a->endpoint) : NULL;
	disks = a->disk_endpoint_registered ? bandwidth_find_endpoint(b, &a->disk_endpoint) : NULL;
	if (!memory || !memory->known)
		return false;
	*ret_bytes_per_s = memory->payload_bytes_per_s[TRAFFIC_SENT];
	if (disks && disks->known)
		*ret_bytes_per_s += disks->payload_bytes_per_s[TRAFFIC_SENT];
	return true;
}

void source_traffic_tick(struct agent *agent)
{
	struct source_attempt *a;

	LL_FOREACH (agent->attempts, a) {
		struct traffic_endpoint endpoints[2];
		size_t n = 0;

		if (a->endpoint_registered)
			endpoints[n++] = a->endpoint;
		if (a->disk_endpoint_registered)
			endpoints[n++] = a->disk_endpoint;
		if (n == 0 || a->stage != SOURCE_MOVING)
			continue;
		if (!a->connections)
			a->connections = xnew(struct connections_watch);
		connections_read(agent->connections, a->connections, endpoints, n,
		                 a->migration_address, a->order.bandwidth_bytes_per_s,
		                 clock_now_ms());
		if (a->connections->quality.known &&
		    a->connections->quality.limit == QUALITY_LIMIT_NETWORK)
			paths_saturated(agent, a->order.target_node);
	}
}

void source_traffic_read(struct source_attempt *a)
{
	const struct bandwidth *b = &a->agent->bandwidth;
	const struct bandwidth_endpoint *e;
	uint64_t bytes = 0;

	/* What went before we counted nobody knows any more: part of it would pass for all. */
	if (!a->endpoint_registered || a->counted_late)
		return;
	agent_read_traffic(a->agent);
	e = bandwidth_find_endpoint(b, &a->endpoint);
	if (!e)
		return;
	bytes = e->wire_bytes[TRAFFIC_SENT];
	e = a->disk_endpoint_registered ? bandwidth_find_endpoint(b, &a->disk_endpoint) : NULL;
	a->wire_bytes = bytes + (e ? e->wire_bytes[TRAFFIC_SENT] : 0);
}
