/* SPDX-License-Identifier: Apache-2.0 */
/* Random 128-bit names of operations.
 *
 * Random, not counted: a store restored from a backup counts backwards, and a number given twice
 * would let an old command act in a new operation (invariant I6). Printed as 32 hex digits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_BYTES      16
#define ID_TEXT_BYTES 33 /* 32 hex digits and the final zero */

struct id {
	uint8_t bytes[ID_BYTES];
};

/* From the kernel's generator; aborts if it has none, for then nothing is safe. */
struct id id_new(void);

bool id_equal(const struct id *a, const struct id *b);
bool id_is_zero(const struct id *id);

/* Writes 32 hex digits into @ret_text (ID_TEXT_BYTES); returns @ret_text. */
char *id_format(const struct id *id, char *ret_text);

/* Parses exactly 32 hex digits. Returns 0 or -ERROR_INVALID, @ret_id then untouched. */
int id_parse(const char *text, struct id *ret_id);

/* From wire bytes; -ERROR_INVALID unless there are exactly 16. */
int id_from_bytes(const uint8_t *bytes, size_t count, struct id *ret_id);
