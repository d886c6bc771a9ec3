/* SPDX-License-Identifier: Apache-2.0 */
/* The name of one try at one operation, as every command carries it (drover.v1.Attempt).
 *
 * The operation id is random and never reused; the number counts the tries within it, from 1. The
 * epoch is not part of the name: it says which coordinator ordered the try, and agents obey no
 * lower one than the highest they have seen.
 */
#pragma once

#include "common/id.h"

#include <stdbool.h>
#include <stdint.h>

/* Tries at one operation; a number above it is nonsense from a peer. */
#define ATTEMPT_NUMBER_MAX 1000000

struct attempt_name {
	struct id operation;
	uint32_t number;
	uint64_t epoch;
};

/* The same try: operation and number. */
static inline bool attempt_name_equal(const struct attempt_name *a, const struct attempt_name *b)
{
	return a->number == b->number && id_equal(&a->operation, &b->operation);
}

#define ATTEMPT_TEXT_BYTES (ID_TEXT_BYTES + 12)

/* "<32 hex digits>-<number>" into @ret_text (ATTEMPT_TEXT_BYTES): names files. Returns it. */
char *attempt_name_format(const struct attempt_name *a, char *ret_text);

/* The other way; -ERROR_INVALID and @ret_attempt untouched if it is not one. The epoch is 0. */
int attempt_name_parse(const char *text, struct attempt_name *ret_attempt);
