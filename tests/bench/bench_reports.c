/* SPDX-License-Identifier: Apache-2.0 */
/* Run by tests/bench/reports: what it costs a coordinator that each of so many nodes reports once a second.
 * In one process, without network: what the owner thread does with each report, and nothing else.
 *
 *	bytes --> HostState (protobuf-c) --> facts_read_host --> rate_history_add --> core_step
 *
 * Prints one line "name value" each: us_per_report, tick_ms, cpu_percent of one core at one report a second
 * and node, node_kib and history_kib of resident memory for a node, query_ms for the three means and twenty
 * points of every node. */
#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/predict/rate_history.h"
#include "coordinator/facts_read.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define VMS_PER_NODE 20
#define POINTS       20
#define WARM_UP      2 /* rounds: the first has the memory of the histories to clear */

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!file || fscanf(file, "%*d %ld", &pages) != 1)
		abort();
	fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* As an agent of today sends it: a migration interface and three others. */
static uint8_t *report_new(const char *node, const struct id *boot_id, unsigned seed,
                           size_t *ret_bytes)
{
	Drover__V1__HostState host = DROVER__V1__HOST_STATE__INIT;
	Drover__V1__InterfaceRate rates[RATE_INTERFACES], *pointers[RATE_INTERFACES];
	Drover__V1__DrainMark mark = DROVER__V1__DRAIN_MARK__INIT;
	char names[RATE_INTERFACES][16];
	uint8_t *bytes;

	for (size_t i = 0; i < RATE_INTERFACES; i++) {
		drover__v1__interface_rate__init(&rates[i]);
		snprintf(names[i], sizeof(names[i]), "eth%zu", i);
		rates[i].name = names[i];
		rates[i].source = (char *)"ebpf-tcx";
		rates[i].rx_bytes_per_s = 100 * MIB + seed;
		rates[i].tx_bytes_per_s = 900 * MIB - seed;
		rates[i].rx_packets_per_s = 70000 + seed;
		rates[i].tx_packets_per_s = 690000 - seed;
		rates[i].migration_tx_bytes_per_s = 800 * MIB;
		rates[i].link_bytes_per_s = 3125000000;
		pointers[i] = &rates[i];
	}
	host.node = (char *)node;
	host.agent_version = (char *)"0.1.0";
	host.boot_id.data = (uint8_t *)boot_id->bytes;
	host.boot_id.len = ID_BYTES;
	host.migration_address = (char *)"10.78.100.200";
	host.mesh_address = (char *)"tcp://10.77.100.200:7788";
	host.libvirt_version = (char *)"9.0.0";
	host.hypervisor_version = (char *)"QEMU 7.2.22";
	host.libvirt_connected = true;
	host.memory_physical_bytes = 512 * GIB;
	host.memory_capacity_bytes = 512 * GIB;
	host.memory_reserve_bytes = 4 * GIB;
	host.memory_guests_bytes = 300 * GIB + seed * MIB;
	host.cpus = 64;
	host.port_pool = 2;
	host.slots_in_max = host.slots_out_max = 2;
	host.interfaces = pointers;
	host.n_interfaces = RATE_INTERFACES;
	host.drain_mark = &mark;
	*ret_bytes = drover__v1__host_state__get_packed_size(&host);
	bytes = xmalloc(*ret_bytes);
	drover__v1__host_state__pack(&host, bytes);
	return bytes;
}

/* What a report or a tick asks for is thrown away: none of it is measured. */
static void step(struct core_world *world, struct event *event)
{
	struct action_list list = { 0 };

	core_step(world->fleet, event, world->now_ms, &list);
	action_list_deinit(&list);
}

/* Where the time of a report goes. */
enum part { PART_UNPACK, PART_READ, PART_HISTORY, PART_CORE, PARTS };
static double parts[PARTS];

static void end_part(enum part part, double *began)
{
	double now = cpu_seconds();

	parts[part] += now - *began;
	*began = now;
}

static void take(struct core_world *world, struct rate_history *history, const char *node,
                 const uint8_t *bytes, size_t n, uint64_t now_ms)
{
	double began = cpu_seconds();
	Drover__V1__HostState *message = drover__v1__host_state__unpack(NULL, n, bytes);
	struct event event = { .kind = EVENT_HOST };
	struct host_state host;
	struct error err;

	end_part(PART_UNPACK, &began);
	if (!message || facts_read_host(message, &host, &err) < 0)
		abort();
	end_part(PART_READ, &began);
	rate_history_add(history, &host.boot_id, host.interfaces, host.n_interfaces, now_ms);
	end_part(PART_HISTORY, &began);
	event.host.node = node;
	event.host.host = &host;
	step(world, &event);
	end_part(PART_CORE, &began);
	host_state_deinit(&host);
	drover__v1__host_state__free_unpacked(message, NULL);
}

static void add_host(struct core_world *world, const char *node)
{
	char names[VMS_PER_NODE][64];
	const char *vms[VMS_PER_NODE];

	for (size_t i = 0; i < VMS_PER_NODE; i++) {
		snprintf(names[i], sizeof(names[i]), "%s-vm%zu", node, i);
		vms[i] = names[i];
	}
	core_world_host(world, node, 512ull * 1024, vms, VMS_PER_NODE);
	core_world_forget(world);
}

static void query(struct rate_history *const *histories, size_t nodes, uint64_t now_ms)
{
	struct rate_sum sums[POINTS];

	for (size_t i = 0; i < nodes; i++) {
		rate_history_sum(histories[i], "eth0", 60000, now_ms, sums);
		rate_history_sum(histories[i], "eth0", 600000, now_ms, sums);
		rate_history_sum(histories[i], "eth0", 86400000, now_ms, sums);
		rate_history_list(histories[i], "eth0", 600000, now_ms, sums, POINTS);
	}
}

int main(int argc, char **argv)
{
	size_t nodes = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000;
	unsigned seconds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20;
	struct core_world *world = core_world_new();
	struct rate_history **histories = xcalloc(nodes, sizeof(struct rate_history *));
	char(*names)[32] = xcalloc(nodes, sizeof(*names));
	const struct id agent = { .bytes = { 7 } };
	double empty_kib = resident_kib(), nodes_kib, spent = 0, ticks = 0, began;
	uint8_t *bytes[2] = { NULL };
	size_t n[2] = { 0 };

	for (size_t i = 0; i < nodes; i++) {
		snprintf(names[i], sizeof(names[i]), "host%zu", i);
		add_host(world, names[i]);
		histories[i] = rate_history_new();
	}
	nodes_kib = resident_kib() - empty_kib;
	for (unsigned s = 0; s < WARM_UP + seconds; s++) {
		if (s == WARM_UP) {
			memset(parts, 0, sizeof(parts));
			spent = ticks = 0;
		}
		struct event tick = { .kind = EVENT_TICK };

		world->now_ms += 1000;
		for (size_t i = 0; i < 2; i++)
			bytes[i] = report_new("host0", &agent, s * 2 + (unsigned)i, &n[i]);
		began = cpu_seconds();
		for (size_t i = 0; i < nodes; i++)
			take(world, histories[i], names[i], bytes[i % 2], n[i % 2], world->now_ms);
		spent += cpu_seconds() - began;
		began = cpu_seconds();
		step(world, &tick);
		ticks += cpu_seconds() - began;
		free(bytes[0]);
		free(bytes[1]);
	}
	began = cpu_seconds();
	query(histories, nodes, world->now_ms);
	printf("report_bytes %zu\n", n[0]);
	printf("us_per_report %.1f\n", spent * 1e6 / (double)nodes / seconds);
	for (size_t i = 0; i < PARTS; i++)
		printf("us_%s %.1f\n",
		       (const char *const[]){ "unpack", "read", "history", "core" }[i],
		       parts[i] * 1e6 / (double)nodes / seconds);
	printf("tick_ms %.2f\n", ticks * 1e3 / seconds);
	printf("cpu_percent %.2f\n", (spent + ticks) * 100 / seconds);
	printf("query_ms %.1f\n", (cpu_seconds() - began) * 1e3);
	printf("node_kib %.1f\n", nodes_kib / (double)nodes);
	printf("history_kib %.1f\n", (resident_kib() - empty_kib - nodes_kib) / (double)nodes);
	for (size_t i = 0; i < nodes; i++)
		rate_history_free(histories[i]);
	free(histories);
	free(names);
	core_world_free(world);
	return 0;
}
