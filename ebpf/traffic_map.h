/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the counting program (traffic.bpf.c) and its loader (traffic.c) share: map keys and values.
 *
 * The loader creates and deletes all keys; the program only adds to values that exist. So a map
 * cannot fill up under traffic, and a packet of an interface nobody asked about costs one lookup.
 * Values are per CPU: the program adds without atomics, the loader sums over the CPUs.
 *
 * Both sides include their own <linux/types.h> first. The layout is that of the C compiler for
 * both, with no padding (asserted in traffic.c).
 */
#pragma once

#define TRAFFIC_RECEIVED 0
#define TRAFFIC_SENT     1

/* Capacities of the maps. An agent watches a handful of interfaces; an endpoint is one port of one
 * migration, of which caps allow a handful, too. Small, for a per-CPU value on a machine with 128
 * CPUs costs 128 times its size. */
#define TRAFFIC_MAP_INTERFACES    32 /* keys, two per interface */
#define TRAFFIC_MAP_ENDPOINTS     64
#define TRAFFIC_MAP_ENDPOINT_KEYS (TRAFFIC_MAP_ENDPOINTS * TRAFFIC_MAP_INTERFACES / 2)

struct traffic_interface_key {
	__u32 ifindex;
	__u32 direction; /* TRAFFIC_RECEIVED or TRAFFIC_SENT, seen from this host */
};

struct traffic_interface_value {
	__u64 wire_bytes; /* Ethernet bytes with VLAN tags; without FCS, preamble and gap */
	__u64 frames;     /* as on the wire, that is after segmentation */
	__u64 skbs;       /* program runs; one may stand for many frames */
	__u64 skb_bytes;  /* their skb->len: what virtual links' own counters count */
	__u64 migration_wire_bytes; /* of registered endpoints */
	__u64 migration_frames;
	__u64 unregistered_wire_bytes; /* TCP in the port range, of no registered endpoint */
};

/* One per endpoint and interface: where a migration's bytes go is what proves its path. */
struct traffic_endpoint_key {
	__u32 remote_address[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
	__u32 ifindex;
	__u16 port;           /* host order */
	__u16 port_is_remote; /* 1: the peer listens on the port, 0: this host does */
};

struct traffic_endpoint_value {
	__u64 wire_bytes[2]; /* by direction */
	__u64 frames[2];
	__u64 payload_bytes[2]; /* of TCP, retransmissions included */
};
