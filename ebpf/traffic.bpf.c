// SPDX-License-Identifier: GPL-2.0
/* Counts what an interface puts on the wire, and how much of it belongs to migrations.
 *
 * One body, two programs, for the receiving and the sending side of an interface (tcx or clsact).
 * Both always return TCX_NEXT (-1, TC_ACT_UNSPEC of clsact): whatever other filters decide about a
 * packet stays their decision.
 *
 * The kernel hands over packets before they are cut into frames (GSO) or after they were merged
 * (GRO), so skb->len misses the headers of all but one frame: 4.5 % at an MTU of 1500. The number
 * of frames is payload / gso_size, rounded up. gso_segs is 0 for what a guest sends through a tap,
 * and wire_len is not filled in for received packets.
 *
 * A port range alone would catch strangers, because the range lies among the ephemeral ports. It is
 * only the cheap first test; what counts as migration is a registered (peer, port, side). The rest
 * of the range is counted as unregistered, so that migration data on unexpected paths shows.
 *
 * Not looked into: IPv6 extension headers, IP fragments, tunnels. They count for the interface and
 * for no endpoint. Only UAPI headers are used, which makes the object independent of the kernel it
 * was built on and of kernel BTF (no CO-RE relocations).
 */
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "ebpf/traffic_map.h"

#define NEXT                (-1)
#define VLAN_BYTES          4
#define VLAN_TAGS           2 /* 802.1ad around 802.1Q */
#define UDP_HEADER_BYTES    8
#define FRAGMENT_MASK       0x3fff               /* "more fragments" and the offset */
#define HEADER_BYTES_USUAL  (ETH_HLEN + 20 + 20) /* the shortest TCP frame */
#define HEADER_BYTES_PULLED 128                  /* room for tags, IPv6 and all TCP options */

char LICENSE[] SEC("license") = "GPL";

struct vlan_header {
	__be16 tag;
	__be16 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, TRAFFIC_MAP_INTERFACES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct traffic_interface_key);
	__type(value, struct traffic_interface_value);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, TRAFFIC_MAP_ENDPOINT_KEYS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct traffic_endpoint_key);
	__type(value, struct traffic_endpoint_value);
} endpoints SEC(".maps");

/* Inclusive, host order. Set by the loader before loading. */
const volatile __u16 port_low = 49152;
const volatile __u16 port_high = 49153;

/* Packets of interfaces without a key. */
__u64 unknown_interface_skbs = 0;

/* What parsing found out about a packet. */
struct packet {
	__u32 header_bytes; /* from the start of the frame; repeated in every segment */
	__u32 end_bytes;    /* where the IP packet ends: short frames are padded after it */
	struct tcphdr *tcp; /* NULL: not TCP, or not readable */
};

static __always_inline int in_range(__u16 port)
{
	return port >= port_low && port <= port_high;
}

/* Fills @packet, and the peer's address into @key if it is TCP. */
static __always_inline void parse(struct __sk_buff *skb, const int direction, struct packet *packet,
                                  struct traffic_endpoint_key *key)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	void *next = ethernet + 1;
	__be16 protocol;

	packet->header_bytes = ETH_HLEN;
	packet->end_bytes = skb->len;
	packet->tcp = NULL;
	if (next > end)
		return;

	protocol = ethernet->h_proto;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS; i++) {
		struct vlan_header *vlan = next;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > end)
			return;
		protocol = vlan->protocol;
		next = vlan + 1;
		packet->header_bytes += VLAN_BYTES;
	}

	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = next;
		__u32 ip_header_bytes, total_bytes;

		if ((void *)(ip + 1) > end)
			return;
		ip_header_bytes = ip->ihl * 4;
		if (ip_header_bytes < sizeof(*ip))
			return;
		/* 0 in packets over 64 KiB ("big TCP"), which are never padded. */
		total_bytes = bpf_ntohs(ip->tot_len);
		if (total_bytes && packet->header_bytes + total_bytes < packet->end_bytes &&
		    !skb->gso_size)
			packet->end_bytes = packet->header_bytes + total_bytes;
		packet->header_bytes += ip_header_bytes;
		if (ip->frag_off & bpf_htons(FRAGMENT_MASK))
			return;
		if (ip->protocol == IPPROTO_UDP)
			packet->header_bytes += UDP_HEADER_BYTES;
		if (ip->protocol != IPPROTO_TCP)
			return;
		key->remote_address[0] = 0;
		key->remote_address[1] = 0;
		key->remote_address[2] = bpf_htonl(0xffff);
		key->remote_address[3] = direction == TRAFFIC_SENT ? ip->daddr : ip->saddr;
		next += ip_header_bytes;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = next;
		__u32 payload_bytes;

		if ((void *)(ip + 1) > end)
			return;
		payload_bytes = bpf_ntohs(ip->payload_len);
		packet->header_bytes += sizeof(*ip);
		if (payload_bytes && packet->header_bytes + payload_bytes < packet->end_bytes &&
		    !skb->gso_size)
			packet->end_bytes = packet->header_bytes + payload_bytes;
		if (ip->nexthdr == IPPROTO_UDP)
			packet->header_bytes += UDP_HEADER_BYTES;
		if (ip->nexthdr != IPPROTO_TCP)
			return;
		__builtin_memcpy(key->remote_address,
		                 direction == TRAFFIC_SENT ? &ip->daddr : &ip->saddr,
		                 sizeof(key->remote_address));
		next = ip + 1;
	} else {
		return;
	}

	if (next + sizeof(struct tcphdr) > end)
		return;
	packet->tcp = next;
	packet->header_bytes += packet->tcp->doff * 4;
}

/* The counters of the migration this packet belongs to, or NULL. Sets @unregistered for a packet in
 * the port range that belongs to none. */
static __always_inline struct traffic_endpoint_value *
find_endpoint(const struct tcphdr *tcp, const int direction, struct traffic_endpoint_key *key,
              int *unregistered)
{
	__u16 local = bpf_ntohs(direction == TRAFFIC_SENT ? tcp->source : tcp->dest);
	__u16 remote = bpf_ntohs(direction == TRAFFIC_SENT ? tcp->dest : tcp->source);
	struct traffic_endpoint_value *endpoint = NULL;

	if (in_range(remote)) {
		key->port = remote;
		key->port_is_remote = 1;
		endpoint = bpf_map_lookup_elem(&endpoints, key);
		*unregistered = !endpoint;
	}
	/* Both ports may lie in the range: the connecting side's is an ephemeral one. */
	if (!endpoint && in_range(local)) {
		key->port = local;
		key->port_is_remote = 0;
		endpoint = bpf_map_lookup_elem(&endpoints, key);
		*unregistered = !endpoint;
	}
	return endpoint;
}

static __always_inline int count(struct __sk_buff *skb, const int direction)
{
	struct traffic_interface_key interface_key = { .ifindex = skb->ifindex,
		                                       .direction = direction };
	struct traffic_interface_value *interface;
	struct traffic_endpoint_value *endpoint = NULL;
	struct traffic_endpoint_key endpoint_key;
	struct packet packet;
	int unregistered = 0;
	__u32 payload_bytes, frames, wire_bytes;

	interface = bpf_map_lookup_elem(&interfaces, &interface_key);
	if (!interface) {
		__sync_fetch_and_add(&unknown_interface_skbs, 1);
		return NEXT;
	}

	/* TCP keeps headers in the directly readable part; packet sockets and a few drivers leave
	 * only the Ethernet header there. */
	if ((void *)(long)skb->data + HEADER_BYTES_USUAL > (void *)(long)skb->data_end &&
	    skb->len >= HEADER_BYTES_USUAL)
		bpf_skb_pull_data(skb,
		                  skb->len < HEADER_BYTES_PULLED ? skb->len : HEADER_BYTES_PULLED);

	endpoint_key.ifindex = skb->ifindex;
	parse(skb, direction, &packet, &endpoint_key);
	if (packet.tcp)
		endpoint = find_endpoint(packet.tcp, direction, &endpoint_key, &unregistered);

	payload_bytes = packet.end_bytes > packet.header_bytes
	                        ? packet.end_bytes - packet.header_bytes
	                        : 0;
	frames = 1;
	if (skb->gso_size && payload_bytes)
		frames = (payload_bytes + skb->gso_size - 1) / skb->gso_size;
	wire_bytes = skb->len + (frames - 1) * packet.header_bytes;
	if (skb->vlan_present) /* a tag that the hardware, or the receiving path, keeps aside */
		wire_bytes += frames * VLAN_BYTES;

	interface->wire_bytes += wire_bytes;
	interface->frames += frames;
	interface->skbs++;
	interface->skb_bytes += skb->len;
	if (endpoint) {
		interface->migration_wire_bytes += wire_bytes;
		interface->migration_frames += frames;
		endpoint->wire_bytes[direction] += wire_bytes;
		endpoint->frames[direction] += frames;
		endpoint->payload_bytes[direction] += payload_bytes;
	} else if (unregistered) {
		interface->unregistered_wire_bytes += wire_bytes;
	}
	return NEXT;
}

SEC("tc")
int drover_rx(struct __sk_buff *skb)
{
	return count(skb, TRAFFIC_RECEIVED);
}

SEC("tc")
int drover_tx(struct __sk_buff *skb)
{
	return count(skb, TRAFFIC_SENT);
}
