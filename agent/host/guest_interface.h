/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's network interface carries, by the kernel's counters of its device on the host (a tap,
 * a macvtap): arithmetic on what was read, no I/O, no clock.
 *
 * Not by eBPF: clsact on a tap breaks libvirt's <bandwidth>, and the counters are there anyway. They
 * count packets before they are cut into frames: bytes are up to 6 % below what goes over a wire.
 *
 * Directions are the guest's: it receives what is sent out of its tap. What could not be read is not
 * known, which is not 0, and says why.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "ebpf/link_stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_INTERFACE_WHY_BYTES 128
#define GUEST_DEVICE_BYTES        16 /* IF_NAMESIZE */

struct guest_interface {
	char device[GUEST_DEVICE_BYTES]; /* "" = it has none on the host */
	char type[16];                   /* libvirt's: "bridge", "network", "direct", "user" ... */
	bool known;                      /* else the rates are 0, and @why says why */
	char why[GUEST_INTERFACE_WHY_BYTES];
	uint64_t rx_bytes_per_s, tx_bytes_per_s;
	uint64_t rx_packets_per_s, tx_packets_per_s;

	/* For guest_interface_update only. */
	uint32_t ifindex; /* 0: nothing was read yet */
	uint64_t at_ns;
	struct link_stats last;
};

/* Those of an active guest; for the caller to free. */
struct guest_interface *guest_interfaces_new(const struct vm_description *d, size_t *ret_count);

/* Takes over what @before had measured of the same devices. */
void guest_interfaces_keep(struct guest_interface *now, size_t n_now,
                           const struct guest_interface *before, size_t n_before);

/* Its device has the number @ifindex, and its counters are @stats. Another number than before, or
 * counters that went back, are another device of that name: counted from here. */
void guest_interface_update(struct guest_interface *i, uint32_t ifindex,
                            const struct link_stats *stats, uint64_t now_ns);

/* It could not be read. */
void guest_interface_lose(struct guest_interface *i, const char *why);
