/* SPDX-License-Identifier: Apache-2.0 */
/* What the counting program costs for each packet, and what reading the counters costs.
 *
 *	bench_ebpf          lines "packet KIND BEST_NS MEDIAN_NS" and "read ENDPOINTS MEDIAN_NS"
 *
 * Nanoseconds depend on the machine and on what else it does; the ratio to an empty program, run in
 * turns with ours by BPF_PROG_TEST_RUN, hardly does. Of each kind the fastest of many rounds
 * counts: whatever else runs can only make a round slower. tests/bench/ebpf judges. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "ebpf/traffic.h"
#include "tests/bench/traffic_programs.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS       41
#define RUNS         100000
#define PEER         "10.9.0.2"
#define READINGS     1000
#define EXIT_SKIPPED 77

enum kind { EMPTY, MIGRATION, MIGRATION_GSO, OTHER, NOT_IP, KINDS };

static const char *const names[KINDS] = {
	[EMPTY] = "empty", [MIGRATION] = "migration", [MIGRATION_GSO] = "migration_gso",
	[OTHER] = "other", [NOT_IP] = "arp",
};

struct measured {
	double best_ns, rounds_ns[ROUNDS];
};

static int load_empty(void)
{
	/* r0 = -1; exit */
	const struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = -1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", instructions,
	                     ARRAY_SIZE(instructions), NULL);
}

static size_t build(enum kind kind, uint8_t *frame)
{
	size_t payload_bytes = kind == MIGRATION_GSO ? 2 * 1448 + 100 : 1448;
	size_t ip_bytes = 20 + 32 + payload_bytes;

	memset(frame, 0, 14 + ip_bytes);
	memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\x00\x45", 15);
	if (kind == NOT_IP)
		memcpy(frame + 12, "\x08\x06", 2);
	frame[16] = (uint8_t)(ip_bytes >> 8);
	frame[17] = (uint8_t)ip_bytes;
	frame[22] = 64;
	frame[23] = IPPROTO_TCP;
	inet_pton(AF_INET, "10.9.0.1", frame + 26);
	inet_pton(AF_INET, PEER, frame + 30);
	/* From 40000 to 49152, or to 22. */
	memcpy(frame + 34, kind == OTHER ? "\x9c\x40\x00\x16" : "\x9c\x40\xc0\x00", 4);
	frame[46] = 0x80;
	return 14 + ip_bytes;
}

/* Nanoseconds per run, or a negative errno. */
static double run(int program_fd, enum kind kind)
{
	struct __sk_buff context = { .gso_size = kind == MIGRATION_GSO ? 1448 : 0 };
	static uint8_t frame[3400];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame,
	            .data_size_in = (uint32_t)build(kind, frame), .ctx_in = &context,
	            .ctx_size_in = sizeof(context), .repeat = RUNS);
	uint64_t began_ns = clock_now_ns();
	int rc = bpf_prog_test_run_opts(program_fd, &options);

	return rc < 0 ? rc : (double)(clock_now_ns() - began_ns) / RUNS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(int empty_fd, int ours_fd, struct measured *ret_measured)
{
	for (int round = 0; round < ROUNDS; round++)
		for (int kind = 0; kind < KINDS; kind++) {
			double ns = run(kind == EMPTY ? empty_fd : ours_fd, (enum kind)kind);

			if (ns < 0) {
				fprintf(stderr, "%s: %s\n", names[kind], strerror((int)-ns));
				return -1;
			}
			ret_measured[kind].rounds_ns[round] = ns;
		}
	for (int kind = 0; kind < KINDS; kind++) {
		qsort(ret_measured[kind].rounds_ns, ROUNDS, sizeof(double), compare);
		ret_measured[kind].best_ns = ret_measured[kind].rounds_ns[0];
	}
	return 0;
}

/* With every endpoint that there can be. */
static int read_counters(void)
{
	struct traffic_options options = { .port_low = 49152, .port_high = 49153 };
	_cleanup_free_ struct traffic_sample *sample = xnew(struct traffic_sample);
	double took_ns[READINGS];
	struct traffic *traffic;
	struct error err;
	int rc;

	rc = traffic_open(&options, &traffic, &err);
	if (rc == 0)
		rc = traffic_watch_interface(traffic, "lo", &err);
	for (unsigned int i = 0; i < TRAFFIC_ENDPOINTS && rc == 0; i++) {
		struct traffic_endpoint endpoint = { { 0, 0, htonl(0xffff), htonl(i) },
			                             49152,
			                             true };

		rc = traffic_register(traffic, &endpoint, &err);
	}
	for (int i = 0; i < READINGS && rc == 0; i++) {
		rc = traffic_read(traffic, sample, &err);
		took_ns[i] = (double)sample->read_ns;
	}
	if (rc == 0 && !traffic_source_is_ebpf(sample->interfaces[0].source))
		rc = error_set(&err, ERROR_UNSUPPORTED, "lo is not counted by eBPF: %s",
		               traffic_find_limit(traffic, "lo")->text);
	if (rc < 0) {
		fprintf(stderr, "reading counters: %s\n", err.text);
		return -1;
	}
	traffic_close(traffic);
	qsort(took_ns, READINGS, sizeof(double), compare);
	printf("read %d %.0f\n", TRAFFIC_ENDPOINTS, took_ns[READINGS / 2]);
	return 0;
}

int main(void)
{
	struct measured measured[KINDS];
	struct traffic_bpf *skeleton = traffic_programs_load("lo", PEER, 49152);
	int empty_fd = load_empty();
	int rc;

	if (empty_fd == -EPERM || empty_fd == -EACCES) {
		printf("skipped: loading eBPF is not permitted here\n");
		return EXIT_SKIPPED;
	}
	if (empty_fd < 0 || !skeleton) {
		fprintf(stderr, "cannot load the programs: %s\n", strerror(errno));
		return 1;
	}
	rc = measure(empty_fd, bpf_program__fd(skeleton->progs.drover_tx), measured);
	for (int kind = 0; kind < KINDS && rc == 0; kind++)
		printf("packet %s %.1f %.1f\n", names[kind], measured[kind].best_ns,
		       measured[kind].rounds_ns[ROUNDS / 2]);
	traffic_bpf__destroy(skeleton);
	close(empty_fd);
	return rc == 0 && read_counters() == 0 ? 0 : 1;
}
