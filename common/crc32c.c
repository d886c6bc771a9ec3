/* SPDX-License-Identifier: Apache-2.0 */
/* See crc32c.h. Bit by bit, without a table: a journal record is a few hundred bytes, written a few
 * times per migration. */
#include "common/crc32c.h"

#define POLYNOMIAL 0x82F63B78u /* 0x1EDC6F41, reflected */

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
	}
	return ~crc;
}
