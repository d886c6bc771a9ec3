/* SPDX-License-Identifier: Apache-2.0 */
/* See attacker.h: messages of up to a mebibyte that are far more in memory, were they unpacked without a
 * budget: 71 MiB of C structs for one of the first kind. */
#include "tests/lab/attacker.h"

#include "common/alloc.h"

#include <string.h>

/* A field of a message: its key, the length of what follows, and that. */
static size_t put_field(uint8_t *to, unsigned number, size_t bytes)
{
	size_t n = 0;

	for (size_t value = number << 3 | 2; n == 0 || value; value >>= 7)
		to[n++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
	do {
		to[n++] = (uint8_t)((bytes & 0x7f) | (bytes > 0x7f ? 0x80 : 0));
		bytes >>= 7;
	} while (bytes);
	return n;
}

/* An AdmitRequest whose guest has as many empty disks, interfaces, checks, places and bindings as may
 * be, and a text up to @want bytes; returns its bytes. */
static size_t make_guest(uint8_t *bomb, size_t want)
{
	static const unsigned lists[] = { 12, 13, 14, 30, 31 };
	static uint8_t guest[ATTACKER_BOMB_BYTES];
	size_t n = 0, head;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (size_t k = 0; k < 9999; k++)
			n += put_field(guest + n, lists[i], 0);
	}
	if (want > n + 32) {
		size_t text = want - n - 16;

		n += put_field(guest + n, 11, text);
		memset(guest + n, 'x', text);
		n += text;
	}
	head = put_field(bomb, 3, n);
	memcpy(bomb + head, guest, n);
	return head + n;
}

size_t attacker_make_bomb(uint8_t *bomb, unsigned kind)
{
	static const uint8_t unknown[] = { 0xf8, 0x01 };

	if (kind == 0)
		return make_guest(bomb, 0);
	if (kind == 1)
		return make_guest(bomb, ATTACKER_BOMB_BYTES - 16);
	for (size_t at = 0; at < ATTACKER_BOMB_BYTES; at += sizeof(unknown))
		memcpy(bomb + at, unknown, sizeof(unknown));
	return ATTACKER_BOMB_BYTES;
}
