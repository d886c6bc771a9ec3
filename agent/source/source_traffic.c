/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a guest on its way out, as the migration interface counts them: those of its memory, and
 * of its disks where they are copied; and which way they take. See source.h. Owner thread only. */
#include "agent/source/source.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <string.h>
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

/* --- which way they take --- */

static void add_counts(const struct bandwidth_endpoint *e, size_t interface, bool memory,
                       struct path_count *to)
{
	if (!e)
		return;
	to->payload_bytes += e->interface_payload_bytes[interface][TRAFFIC_SENT];
	to->wire_bytes += e->interface_wire_bytes[interface][TRAFFIC_SENT];
	if (memory)
		to->memory_bytes += e->interface_payload_bytes[interface][TRAFFIC_SENT];
}

static void update_path(struct source_attempt *a)
{
	const struct bandwidth *b = &a->agent->bandwidth;
	struct path_reading reading = {
		.at_ms = clock_now_ms(),
		.measured = a->endpoint_registered,
		.qemu_bytes = a->job.memory_processed_bytes,
		.connections = a->connections ? (unsigned)a->connections->quality.n_connections : 0,
	};
	const struct bandwidth_endpoint *memory, *disks;
	enum path_verdict before = a->path.verdict;
	uint64_t now_ns = clock_now_ns();
	char route[IF_NAMESIZE] = "";

	memory = a->endpoint_registered ? bandwidth_find_endpoint(b, &a->endpoint) : NULL;
	disks = a->disk_endpoint_registered ? bandwidth_find_endpoint(b, &a->disk_endpoint) : NULL;
	for (size_t i = 0; i < b->n_interfaces && reading.n < PATH_PROOF_INTERFACES; i++) {
		const struct bandwidth_interface *from = &b->interfaces[i];
		struct path_count *to = &reading.counts[reading.n++];

		memcpy(to->name, from->name, sizeof(to->name));
		to->migration = strcmp(from->name, a->agent->settings->migration_interface) == 0;
		/* A program that blinds ours is called so after ten seconds, and a counter that is
		 * not read stands still: neither is a migration that goes elsewhere. */
		to->counted = bandwidth_is_evidence(from, now_ns);
		add_counts(memory, i, true, to);
		add_counts(disks, i, false, to);
	}
	if (a->endpoint_registered && before != PATH_PROVED)
		traffic_find_route(a->agent->traffic, &a->endpoint, route);
	/* What QEMU had sent before we came was counted by nobody. */
	if (a->counted_late && !a->job_seen)
		return;
	reading.route = route;
	path_proof_update(&a->path, &reading);
	if (path_proof_deviates(&a->path) && before != a->path.verdict)
		log_warning("%s -> %s: not on the migration network: %s", a->order.vm_name,
		            a->order.target_node, a->path.text);
}

/* --- its counters --- */

void source_traffic_start(struct source_attempt *a)
{
	if (a->agent->traffic && a->port) {
		a->endpoint_registered = count(a, a->port, &a->endpoint);
		a->disk_endpoint_registered = a->disk_port &&
		                              count(a, a->disk_port, &a->disk_endpoint);
	}
	update_path(a);
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

bool source_traffic_is_complete(const struct agent *agent)
{
	const struct source_attempt *a;

	LL_FOREACH (agent->attempts, a) {
		/* Before, nothing is sent, and nothing registered. */
		if (a->stage != SOURCE_MOVING && a->stage != SOURCE_RESOLVING)
			continue;
		if (!a->endpoint_registered || (a->disk_port && !a->disk_endpoint_registered))
			return false;
	}
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
		connections_read(
			agent->connections, a->connections, endpoints, n, a->migration_address,
			path_narrower(a->order.bandwidth_bytes_per_s, a->pace.limit_bytes_per_s),
			clock_now_ms());
		if (a->connections->quality.known &&
		    a->connections->quality.limit == QUALITY_LIMIT_NETWORK)
			paths_saturated(agent, a->order.target_node);
		update_path(a);
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
	update_path(a);
	e = bandwidth_find_endpoint(b, &a->endpoint);
	if (!e)
		return;
	bytes = e->wire_bytes[TRAFFIC_SENT];
	e = a->disk_endpoint_registered ? bandwidth_find_endpoint(b, &a->disk_endpoint) : NULL;
	a->wire_bytes = bytes + (e ? e->wire_bytes[TRAFFIC_SENT] : 0);
}
