/* SPDX-License-Identifier: Apache-2.0 */
/* What each way to count costs one TCP flow that is under way, in slices of that flow.
 *
 *	bench_slices LOAD INTERFACE PEER PORT CYCLES SLICE_MS CLIENT_PID SERVER_PID
 *	lines "slice LOAD CYCLE VARIANT BYTES CPU_NS OWN_NS  BYTES CPU_NS", all for a second of time: first
 *	with the variant in place, then without
 *
 * Two runs of iperf3 differ by more than what is measured here, and so do two minutes of one. So within
 * a quarter of a second a variant is put in place and taken away twice, in the order on-off-off-on or
 * off-on-on-off, which cancels what drifts; the next variant follows at once, in an order that changes by
 * chance; and that hundreds of times. What is left over each time is a ratio, and the ratios have an
 * interval. "control", with which nothing is put in place, shows what the method is worth.
 *
 * Bytes are those the kernel counts as sent on the interface. CPU is what both ends' processes were
 * charged (schedstat), with the softirqs that ran on their time. OWN is what this process used: the
 * sniffer's reader.
 */
#include "common/alloc.h"
#include "common/clock.h"
#include "ebpf/link_stats.h"
#include "ebpf/netlink.h"
#include "tests/bench/slices_variants.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <linux/types.h>

#include "ebpf/traffic_map.h"

#define VARIANTS_MOST 8
#define SETTLE_MS     5 /* after something has changed, and 15 % of a slice */

struct counters {
	uint64_t at_ns, bytes, cpu_ns, own_ns;
};

static struct {
	int rtnl_fd;
	uint32_t ifindex;
	const char *pids[2];
} flow;

static __attribute__((noreturn)) void give_up(const char *what)
{
	fprintf(stderr, "bench_slices: %s\n", what);
	exit(1);
}

/* A slice is a time, no event. */
static void let_pass(uint64_t ns)
{
	struct itimerspec span = { .it_value = { .tv_sec = (time_t)(ns / 1000000000u),
		                                 .tv_nsec = (long)(ns % 1000000000u) } };
	static int fd = -1;
	uint64_t times;

	if (fd < 0)
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (fd < 0 || timerfd_settime(fd, 0, &span, NULL) < 0 ||
	    read(fd, &times, sizeof(times)) != sizeof(times))
		give_up("no timer");
}

static uint64_t cpu_ns_of(const char *pid)
{
	unsigned long long ns;
	char path[64];
	FILE *file;
	bool known;

	snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
	file = fopen(path, "re");
	known = file && fscanf(file, "%llu", &ns) == 1;
	if (file)
		fclose(file);
	if (!known)
		give_up("the flow has ended");
	return ns;
}

static struct counters read_counters(void)
{
	struct link_stats stats;
	struct counters c;
	struct timespec own;
	struct error err;

	if (link_stats_read(flow.rtnl_fd, flow.ifindex, &stats, &err) < 0)
		give_up(err.text);
	c.at_ns = clock_now_ns();
	c.bytes = stats.bytes[TRAFFIC_SENT];
	c.cpu_ns = cpu_ns_of(flow.pids[0]) + cpu_ns_of(flow.pids[1]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
	c.own_ns = (uint64_t)own.tv_sec * 1000000000u + (uint64_t)own.tv_nsec;
	return c;
}

static void add_slice(struct counters *sum, uint64_t slice_ns)
{
	struct counters before = read_counters(), after;

	let_pass(slice_ns);
	after = read_counters();
	sum->at_ns += after.at_ns - before.at_ns;
	sum->bytes += after.bytes - before.bytes;
	sum->cpu_ns += after.cpu_ns - before.cpu_ns;
	sum->own_ns += after.own_ns - before.own_ns;
}

static double in_a_second(const struct counters *sum, uint64_t value)
{
	return (double)value * 1e9 / (double)sum->at_ns;
}

/* Both ways of four slices, each after what has changed has settled. */
static void run_cycle(const char *load, unsigned int cycle, const struct variant *variant,
                      uint64_t slice_ns)
{
	bool first = random() & 1, is_on = false;
	const bool order[] = { first, !first, !first, first };
	struct counters sums[2] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (order[i] != is_on)
			(order[i] ? variant->put : variant->take)();
		is_on = order[i];
		let_pass(slice_ns * 15 / 100 + SETTLE_MS * 1000000u);
		add_slice(&sums[is_on], slice_ns);
	}
	if (is_on)
		variant->take();
	printf("slice %s %u %s %.0f %.0f %.0f %.0f %.0f\n", load, cycle, variant->name,
	       in_a_second(&sums[true], sums[true].bytes),
	       in_a_second(&sums[true], sums[true].cpu_ns),
	       in_a_second(&sums[true], sums[true].own_ns),
	       in_a_second(&sums[false], sums[false].bytes),
	       in_a_second(&sums[false], sums[false].cpu_ns));
	fflush(stdout);
}

static void shuffle(size_t *order, size_t n)
{
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (size_t i = n; i > 1; i--) {
		size_t with = (size_t)random() % i, kept = order[i - 1];

		order[i - 1] = order[with];
		order[with] = kept;
	}
}

int main(int argc, char **argv)
{
	size_t order[VARIANTS_MOST], n = 0;
	unsigned int cycles, seed = (unsigned int)clock_now_ns();
	uint64_t slice_ns;
	struct error err;

	if (argc != 9) {
		fprintf(stderr, "usage: bench_slices LOAD INTERFACE PEER PORT CYCLES SLICE_MS "
		                "CLIENT_PID SERVER_PID\n");
		return 2;
	}
	flow.ifindex = if_nametoindex(argv[2]);
	flow.pids[0] = argv[7];
	flow.pids[1] = argv[8];
	cycles = (unsigned int)strtoul(argv[5], NULL, 10);
	slice_ns = strtoul(argv[6], NULL, 10) * 1000000u;
	if (!flow.ifindex || !cycles || !slice_ns)
		give_up("no such interface, or no cycles");
	if (netlink_open(NETLINK_ROUTE, &flow.rtnl_fd, &err) < 0)
		give_up(err.text);
	slices_variants_prepare(argv[2], argv[3], (uint16_t)strtoul(argv[4], NULL, 10));
	while (slices_variants[n].name)
		n++;

	srandom(seed);
	fprintf(stderr, "%s: %u cycles of %zu variants, seed %u\n", argv[1], cycles, n, seed);
	for (unsigned int cycle = 1; cycle <= cycles; cycle++) {
		shuffle(order, n);
		for (size_t i = 0; i < n; i++)
			run_cycle(argv[1], cycle, &slices_variants[order[i]], slice_ns);
	}
	return 0;
}
