/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest costs its host besides its RAM.
 *
 *	overhead = video RAM + 64 MiB + 0.2 % of the maximum RAM
 *
 * 64 MiB: QEMU itself. Measured, QEMU 7.2 under TCG: 30-55 MB over the touched RAM of a 512 MB
 * guest, 24 MB private for an idle one; the rest is margin for devices, threads' stacks and the
 * buffers of a migration. 0.2 %: dirty bitmaps and page tables, which grow with RAM.
 *
 * Both ends use this one function: the source puts the result into the description of the guest
 * that is sent, and the destination reserves it; the guests of a host are summed with it too
 * (invariant I2). XBZRLE's cache is not in it, because drover does not compress.
 */
#pragma once

#include <stdint.h>

uint64_t overhead_bytes(uint64_t memory_bytes, uint64_t video_bytes);
