/* SPDX-License-Identifier: Apache-2.0 */
/* See attacker.h: what somebody on the wire sees of TCP, as bytes that can be sent again. Of each
 * direction the payloads in the order in which they pass; what is sent twice is there twice, as whoever
 * listens has it. FILE.in is what went to the port, FILE.out what came from it. */
#include "tests/lab/attacker.h"

#include "common/alloc.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static FILE *create(const char *path, const char *suffix)
{
	char *name = xasprintf("%s.%s", path, suffix);
	FILE *f = fopen(name, "we");

	if (!f)
		attacker_die("cannot write %s", name);
	free(name);
	return f;
}

/* The payload of one IPv4 packet, if it is of TCP and of that port. */
static void take(const uint8_t *packet, size_t bytes, uint16_t port, FILE *in, FILE *out)
{
	struct iphdr ip;
	struct tcphdr tcp;
	size_t head;
	FILE *to;

	if (bytes < sizeof(ip) + sizeof(tcp))
		return;
	memcpy(&ip, packet, sizeof(ip));
	head = (size_t)ip.ihl * 4;
	if (ip.version != 4 || ip.protocol != IPPROTO_TCP || head + sizeof(tcp) > bytes ||
	    ntohs(ip.tot_len) > bytes)
		return;
	memcpy(&tcp, packet + head, sizeof(tcp));
	to = ntohs(tcp.dest) == port ? in : ntohs(tcp.source) == port ? out : NULL;
	head += (size_t)tcp.doff * 4;
	if (!to || head >= ntohs(ip.tot_len))
		return;
	fwrite(packet + head, 1, ntohs(ip.tot_len) - head, to);
	fflush(to);
}

void attacker_capture(const char *interface, const char *port, const char *path)
{
	/* Of one protocol alone the kernel shows only what comes in. */
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	FILE *in = create(path, "in"), *out = create(path, "out");
	static uint8_t packet[65536];
	ssize_t n;

	at.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		attacker_die("cannot listen on %s", interface);
	attacker_ready();
	while ((n = recv(fd, packet, sizeof(packet), 0)) >= 0)
		take(packet, (size_t)n, (uint16_t)atoi(port), in, out);
	attacker_die("listening on %s ended", interface);
}
