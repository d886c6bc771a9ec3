/* SPDX-License-Identifier: Apache-2.0 */
/* What the counting program costs, as a multiple of what an empty program costs on this machine.
 *
 * Nanoseconds depend on the machine and on what else it does; the ratio to an empty program, run in
 * turns with ours by BPF_PROG_TEST_RUN, hardly does. Of each kind the fastest of many rounds
 * counts: whatever else runs can only make a round slower. */
#include "common/alloc.h"
#include "common/clock.h"
#include "traffic.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebpf/traffic_map.h"

#define ROUNDS       41
#define RUNS         100000
#define PEER         "10.9.0.2"
#define EXIT_SKIPPED 77

/* Ratios above these mean that the program got slower; measured are 2.8 and 1.8. */
#define TARGET_MIGRATION 3.5
#define TARGET_OTHER     2.5

enum kind { EMPTY, MIGRATION, MIGRATION_GSO, OTHER, NOT_IP, KINDS };

static const char *const names[KINDS] = {
	[EMPTY] = "empty program",
	[MIGRATION] = "ours, migration frame",
	[MIGRATION_GSO] = "ours, migration packet of 3 frames (GSO)",
	[OTHER] = "ours, other TCP",
	[NOT_IP] = "ours, ARP",
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

/* The keys without which our program would return at once. */
static int create_keys(struct traffic_bpf *skeleton)
{
	struct traffic_endpoint_key endpoint = { .remote_address = { 0, 0, htonl(0xffff) },
		                                 .ifindex = if_nametoindex("lo"),
		                                 .port = 49152,
		                                 .port_is_remote = 1 };
	struct traffic_interface_key interface = { if_nametoindex("lo"), TRAFFIC_SENT };
	void *zeros = xcalloc((size_t)libbpf_num_possible_cpus(),
	                      sizeof(struct traffic_endpoint_value));
	int rc;

	inet_pton(AF_INET, PEER, &endpoint.remote_address[3]);
	rc = bpf_map_update_elem(bpf_map__fd(skeleton->maps.interfaces), &interface, zeros,
	                         BPF_ANY);
	if (rc == 0)
		rc = bpf_map_update_elem(bpf_map__fd(skeleton->maps.endpoints), &endpoint, zeros,
		                         BPF_ANY);
	free(zeros);
	return rc;
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

static void report(const struct measured *measured)
{
	double empty_ns = measured[EMPTY].best_ns;

	printf("%-42s %10s %10s %8s\n", "", "best ns", "median ns", "ratio");
	for (int kind = 0; kind < KINDS; kind++)
		printf("%-42s %10.1f %10.1f %8.2f\n", names[kind], measured[kind].best_ns,
		       measured[kind].rounds_ns[ROUNDS / 2], measured[kind].best_ns / empty_ns);
	printf("%d rounds of %d runs, in turns; targets: migration %.1f, other %.1f\n", ROUNDS,
	       RUNS, TARGET_MIGRATION, TARGET_OTHER);
	printf("BENCH ebpf lean_to_null_migration=%.2f lean_to_null_other=%.2f "
	       "lean_to_null_migration_gso=%.2f null_ns=%.1f\n",
	       measured[MIGRATION].best_ns / empty_ns, measured[OTHER].best_ns / empty_ns,
	       measured[MIGRATION_GSO].best_ns / empty_ns, empty_ns);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

int main(void)
{
	struct measured measured[KINDS];
	struct traffic_bpf *skeleton;
	int empty_fd, rc;

	libbpf_set_print(quiet);
	empty_fd = load_empty();
	if (empty_fd == -EPERM || empty_fd == -EACCES) {
		printf("skipped: loading eBPF is not permitted here\n");
		return EXIT_SKIPPED;
	}
	skeleton = traffic_bpf__open_and_load();
	if (empty_fd < 0 || !skeleton || create_keys(skeleton) < 0) {
		fprintf(stderr, "cannot load the programs: %s\n", strerror(errno));
		return 1;
	}
	rc = measure(empty_fd, bpf_program__fd(skeleton->progs.drover_tx), measured);
	if (rc == 0)
		report(measured);
	traffic_bpf__destroy(skeleton);
	close(empty_fd);
	return rc == 0 ? 0 : 1;
}
