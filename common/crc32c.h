/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), as in iSCSI and ext4: tells a damaged record from a whole one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* @crc: 0 to begin with, or the result so far. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);
