/* SPDX-License-Identifier: Apache-2.0 */
/* The counting programs as the measurements need them: loaded, with the keys without which they would
 * return at once, and attached to nothing. Needs root. */
#pragma once

#include "traffic.skel.h"

#include <stdint.h>

/* Counts @interface in both directions, and @port of @peer (IPv4) as a migration's. NULL if it cannot
 * be loaded: errno says why. libbpf says nothing from then on. */
struct traffic_bpf *traffic_programs_load(const char *interface, const char *peer, uint16_t port);
