/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching at tcx (Linux 6.6), by bpf(2) itself: libbpf before 1.3 does not know tcx.
 *
 * What is attached is a link: it goes away with its last descriptor, thus with the process, however
 * that ends. Nothing is pinned.
 */
#pragma once

#include "common/error.h"

#include <stdint.h>

/* Attaches in front of all other programs, so that none of them can hide packets from ours.
 * @direction: TRAFFIC_RECEIVED or TRAFFIC_SENT. The caller closes @ret_link_fd to detach.
 * -ERROR_UNSUPPORTED if the kernel has no tcx, -ERROR_PERMISSION, -ERROR_SYSTEM. */
int tcx_attach(int program_fd, uint32_t ifindex, int direction, int *ret_link_fd,
               struct error *err);
