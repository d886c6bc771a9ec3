/* SPDX-License-Identifier: Apache-2.0 */
/* What the guests of this host send and receive: their interfaces are read once a second and told with
 * the host's state. Some 8 us for an interface. Owner thread only. */
#pragma once

#include "agent/host/inventory.h"
#include "ebpf/traffic.h"
#include "proto/types.pb-c.h"

/* @traffic: NULL if nothing can be measured here. */
void guest_traffic_tick(struct inventory *inventory, struct traffic *traffic, uint64_t now_ns);

/* Of each active guest, also of one without interfaces. */
void guest_traffic_fill_host(const struct inventory *inventory, Drover__V1__HostState *h);
