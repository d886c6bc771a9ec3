/* SPDX-License-Identifier: Apache-2.0 */
/* See utf8.h. */
#include "common/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The length of the character at @at, with @left bytes there; 0 if it is not one. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
	uint32_t value, least;
	size_t bytes;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xC2 && at[0] < 0xE0) {
		bytes = 2;
		value = at[0] & 0x1F;
		least = 0x80;
	} else if (at[0] >= 0xE0 && at[0] < 0xF0) {
		bytes = 3;
		value = at[0] & 0x0F;
		least = 0x800;
	} else if (at[0] >= 0xF0 && at[0] < 0xF5) {
		bytes = 4;
		value = at[0] & 0x07;
		least = 0x10000;
	} else {
		return 0;
	}
	if (left < bytes)
		return 0;
	for (size_t i = 1; i < bytes; i++) {
		if ((at[i] & 0xC0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3F);
	}
	if (value < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
		return 0;
	return bytes;
}

size_t utf8_valid_bytes(const char *text, size_t bytes)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t done = 0;

	while (done < bytes) {
		size_t step = character_bytes(at + done, bytes - done);

		if (!step)
			break;
		done += step;
	}
	return done;
}

void utf8_make_printable(char *text)
{
	unsigned char *at = (unsigned char *)text;
	size_t left = strlen(text);

	while (left) {
		size_t bytes = character_bytes(at, left);
		bool control = *at < 0x20 || *at == 0x7f || (*at == 0xC2 && at[1] < 0xA0);

		if (!bytes || control) {
			bytes = bytes ? bytes : 1;
			memset(at, '?', bytes);
		}
		at += bytes;
		left -= bytes;
	}
}
