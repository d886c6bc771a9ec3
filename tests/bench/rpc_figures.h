/* SPDX-License-Identifier: Apache-2.0 */
/* What both clients of `tools/bench mesh` measure with, drover's in C and gRPC's in C++, so that they
 * measure alike. One thread at a time records.
 *
 *	figures_begin(pid of the server);  figures_add(ns of one call) ...;  figures_print()
 *
 * CPU time is that of both processes, all their threads, from the kernel's own clocks.
 */
#ifndef TESTS_BENCH_RPC_FIGURES_H
#define TESTS_BENCH_RPC_FIGURES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

/* Of 100 ns, up to 200 ms: finer than what is told, and a call costs one increment. */
#define FIGURES_BUCKET_NS 100
#define FIGURES_BUCKETS   2000000

struct figures {
	clockid_t server;
	uint64_t began_ns, server_began_ns, own_began_ns;
	uint64_t calls;
	uint32_t *buckets;
};

static inline uint64_t figures_clock_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0) {
		perror("bench: a clock");
		exit(1);
	}
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t figures_now_ns(void)
{
	return figures_clock_ns(CLOCK_MONOTONIC);
}

static inline void figures_begin(struct figures *f, pid_t server)
{
	if (!f->buckets)
		f->buckets = (uint32_t *)calloc(FIGURES_BUCKETS, sizeof(uint32_t));
	if (!f->buckets || clock_getcpuclockid(server, &f->server) != 0) {
		fprintf(stderr, "bench: no CPU clock of process %d\n", (int)server);
		exit(1);
	}
	f->calls = 0;
	f->server_began_ns = figures_clock_ns(f->server);
	f->own_began_ns = figures_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	f->began_ns = figures_now_ns();
}

static inline void figures_add(struct figures *f, uint64_t ns)
{
	uint64_t bucket = ns / FIGURES_BUCKET_NS;

	f->buckets[bucket < FIGURES_BUCKETS ? bucket : FIGURES_BUCKETS - 1]++;
	f->calls++;
}

static inline double figures_quantile_us(const struct figures *f, double q)
{
	uint64_t wanted = (uint64_t)((double)f->calls * q), seen = 0;

	for (uint32_t i = 0; i < FIGURES_BUCKETS; i++) {
		seen += f->buckets[i];
		if (seen > wanted)
			return (i + 0.5) * FIGURES_BUCKET_NS / 1000.0;
	}
	return 0;
}

/* One line of key=value. */
static inline void figures_print(const struct figures *f)
{
	double seconds = (double)(figures_now_ns() - f->began_ns) / 1e9;
	uint64_t cpu_ns = figures_clock_ns(f->server) - f->server_began_ns +
	                  figures_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - f->own_began_ns;

	if (!f->calls) {
		fprintf(stderr, "bench: not one call was answered\n");
		exit(1);
	}
	printf("p50_us=%.1f p99_us=%.1f cpu_us=%.2f per_s=%.0f\n", figures_quantile_us(f, 0.5),
	       figures_quantile_us(f, 0.99), (double)cpu_ns / 1000.0 / (double)f->calls,
	       (double)f->calls / seconds);
	fflush(stdout);
}

#endif
