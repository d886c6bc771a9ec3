/* SPDX-License-Identifier: Apache-2.0 */
/* See slices_variants.h.
 *
 *	control    nothing at all
 *	tcx        drover's programs, both directions, at tcx
 *	clsact     the same at clsact; the empty qdisc goes, too, which drover leaves
 *	nftables   counters of the same six things: all, the migration, its port range; both directions
 *	sniffing   a packet socket with a ring, as tcpdump has it: 96 bytes of each packet, read by a thread
 */
#include "tests/bench/slices_variants.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "ebpf/clsact.h"
#include "ebpf/netlink.h"
#include "ebpf/tcx.h"
#include "tests/bench/traffic_programs.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#define RING_BLOCK_BYTES (1u << 18)
#define RING_BLOCKS      16
#define RING_FRAME_BYTES 2048
#define RING_TIMEOUT_MS  10
#define SNIFFED_BYTES    96

static struct {
	char name[IF_NAMESIZE], peer[INET_ADDRSTRLEN];
	uint16_t port;
	uint32_t ifindex;
	int program_fds[2], rtnl_fd, tcx_fds[2];
} on;

static __attribute__((noreturn)) void give_up(const char *what, const char *why)
{
	fprintf(stderr, "bench_slices: %s: %s\n", what, why);
	exit(1);
}

void slices_variants_prepare(const char *interface, const char *peer, uint16_t port)
{
	struct traffic_bpf *skeleton = traffic_programs_load(interface, peer, port);
	struct error err;

	if (!skeleton)
		give_up("loading the programs", strerror(errno));
	if (netlink_open(NETLINK_ROUTE, &on.rtnl_fd, &err) < 0)
		give_up("netlink", err.text);
	snprintf(on.name, sizeof(on.name), "%s", interface);
	snprintf(on.peer, sizeof(on.peer), "%s", peer);
	on.port = port;
	on.ifindex = if_nametoindex(interface);
	on.program_fds[0] = bpf_program__fd(skeleton->progs.drover_rx);
	on.program_fds[1] = bpf_program__fd(skeleton->progs.drover_tx);
}

static void nothing(void)
{
}

/* ------------------------------------------------------------------- drover's */

static void put_tcx(void)
{
	struct error err;

	for (int direction = 0; direction < 2; direction++)
		if (tcx_attach(on.program_fds[direction], on.ifindex, direction,
		               &on.tcx_fds[direction], &err) < 0)
			give_up("tcx", err.text);
}

static void take_tcx(void)
{
	for (int direction = 0; direction < 2; direction++)
		cleanup_close_fd(&on.tcx_fds[direction]);
}

static void put_clsact(void)
{
	struct clsact_place place = { on.ifindex, CLSACT_PRIORITY, CLSACT_HANDLE };
	struct error err;

	if (clsact_attach(on.rtnl_fd, &place, on.program_fds, &err) < 0)
		give_up("clsact", err.text);
}

/* With the qdisc, which would go on costing a little in what is compared with. It is ours: so is the
 * namespace. */
static void take_clsact(void)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)on.ifindex,
	            .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (bpf_tc_hook_destroy(&hook) < 0)
		give_up("clsact", "its qdisc cannot be removed");
}

/* -------------------------------------------------------------------- nftables */

static void tell_nft(const char *rules)
{
	FILE *nft = popen("nft -f -", "we");

	if (!nft || fputs(rules, nft) == EOF || pclose(nft) != 0)
		give_up("nft -f -", "failed");
}

static void put_nftables(void)
{
	char rules[1024];

	snprintf(rules, sizeof(rules),
	         "table ip bench {\n"
	         " chain out { type filter hook output priority 0;\n"
	         "  oifname \"%s\" counter\n"
	         "  oifname \"%s\" ip daddr %s tcp dport %u counter\n"
	         "  oifname \"%s\" tcp dport 49152-49153 counter\n"
	         " }\n"
	         " chain in { type filter hook input priority 0;\n"
	         "  iifname \"%s\" counter\n"
	         "  iifname \"%s\" ip saddr %s tcp sport %u counter\n"
	         "  iifname \"%s\" tcp sport 49152-49153 counter\n"
	         " }\n"
	         "}\n",
	         on.name, on.name, on.peer, on.port, on.name, on.name, on.name, on.peer, on.port,
	         on.name);
	tell_nft(rules);
}

static void take_nftables(void)
{
	tell_nft("delete table ip bench\n");
}

/* -------------------------------------------------------------------- sniffing */

static struct {
	int fd;
	uint8_t *ring;
	pthread_t reader;
	atomic_bool stop;
	uint64_t packets, bytes; /* what it is all for */
} sniffer;

static void read_block(const struct tpacket_block_desc *block)
{
	const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;

	for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
		const struct tpacket3_hdr *packet = (const void *)at;

		sniffer.packets++;
		sniffer.bytes += packet->tp_len;
		at += packet->tp_next_offset;
	}
}

static void *read_ring(void *unused)
{
	for (unsigned int i = 0; !sniffer.stop; i = (i + 1) % RING_BLOCKS) {
		struct tpacket_block_desc *block = (void *)(sniffer.ring +
		                                            (size_t)i * RING_BLOCK_BYTES);
		struct pollfd wait = { .fd = sniffer.fd, .events = POLLIN };

		while (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) &
		         TP_STATUS_USER) &&
		       !sniffer.stop)
			poll(&wait, 1, RING_TIMEOUT_MS);
		if (sniffer.stop)
			break;
		read_block(block);
		__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	}
	return unused;
}

static void put_sniffer(void)
{
	struct sock_filter keep[] = { { .code = BPF_RET | BPF_K, .k = SNIFFED_BYTES } };
	struct sock_fprog filter = { ARRAY_SIZE(keep), keep };
	struct tpacket_req3 ring = { .tp_block_size = RING_BLOCK_BYTES,
		                     .tp_block_nr = RING_BLOCKS,
		                     .tp_frame_size = RING_FRAME_BYTES,
		                     .tp_frame_nr = RING_BLOCK_BYTES / RING_FRAME_BYTES *
		                                    RING_BLOCKS,
		                     .tp_retire_blk_tov = RING_TIMEOUT_MS };
	struct sockaddr_ll place = { .sll_family = AF_PACKET,
		                     .sll_protocol = htons(ETH_P_ALL),
		                     .sll_ifindex = (int)on.ifindex };

	sniffer.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (sniffer.fd < 0 ||
	    setsockopt(sniffer.fd, SOL_PACKET, PACKET_VERSION, &(int){ TPACKET_V3 }, sizeof(int)) <
	            0 ||
	    setsockopt(sniffer.fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(sniffer.fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0)
		give_up("packet socket", strerror(errno));
	sniffer.ring = mmap(NULL, (size_t)RING_BLOCK_BYTES * RING_BLOCKS, PROT_READ | PROT_WRITE,
	                    MAP_SHARED, sniffer.fd, 0);
	if (sniffer.ring == MAP_FAILED ||
	    bind(sniffer.fd, (struct sockaddr *)&place, sizeof(place)) < 0)
		give_up("packet socket", strerror(errno));
	sniffer.stop = false;
	if (pthread_create(&sniffer.reader, NULL, read_ring, NULL) != 0)
		give_up("packet socket", "no thread");
}

static void take_sniffer(void)
{
	sniffer.stop = true;
	pthread_join(sniffer.reader, NULL);
	munmap(sniffer.ring, (size_t)RING_BLOCK_BYTES * RING_BLOCKS);
	close(sniffer.fd);
}

const struct variant slices_variants[] = {
	{ "control", nothing, nothing },           { "tcx", put_tcx, take_tcx },
	{ "clsact", put_clsact, take_clsact },     { "nftables", put_nftables, take_nftables },
	{ "sniffing", put_sniffer, take_sniffer }, { NULL, NULL, NULL },
};
