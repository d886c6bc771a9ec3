/* SPDX-License-Identifier: Apache-2.0 */
/* Private to journal_state*.c: our structs to and from the payloads of agent/journal/journal.proto.
 *
 * Writers give malloc'd bytes, owned by the caller. Readers refuse what is not what we write:
 * -ERROR_INVALID with the reason, @ret untouched.
 */
#pragma once

#include "agent/journal/journal_state.h"

/* Record types, for ever. */
enum journal_type {
	JOURNAL_TYPE_ATTEMPT = 1,
	JOURNAL_TYPE_TAKEN = 2,
	JOURNAL_TYPE_RELEASED = 3,
	JOURNAL_TYPE_MADE = 4,
	JOURNAL_TYPE_REMOVED = 5,
	JOURNAL_TYPE_EPOCH = 6,
	JOURNAL_TYPE_DRAIN_MARK = 7,
	JOURNAL_TYPE_FENCE = 12,
};

uint8_t *journal_encode_attempt(const struct journal_attempt *a, size_t *ret_bytes);
uint8_t *journal_encode_taken(const struct reservation *r, size_t *ret_bytes);
uint8_t *journal_encode_released(const struct attempt_name *a, size_t *ret_bytes);
uint8_t *journal_encode_thing(const struct journal_thing *t, size_t *ret_bytes);
uint8_t *journal_encode_epoch(uint64_t epoch, size_t *ret_bytes);
uint8_t *journal_encode_drain_mark(const struct journal_drain_mark *m, size_t *ret_bytes);
uint8_t *journal_encode_fence(const struct fence *f, size_t *ret_bytes);

int journal_decode_attempt(const struct journal_record *r, struct journal_attempt *ret,
                           struct error *err);
int journal_decode_taken(const struct journal_record *r, struct reservation *ret,
                         struct error *err);
int journal_decode_released(const struct journal_record *r, struct attempt_name *ret,
                            struct error *err);
int journal_decode_thing(const struct journal_record *r, struct journal_thing *ret,
                         struct error *err);
int journal_decode_epoch(const struct journal_record *r, uint64_t *ret, struct error *err);
int journal_decode_drain_mark(const struct journal_record *r, struct journal_drain_mark *ret,
                              struct error *err);
int journal_decode_fence(const struct journal_record *r, struct fence *ret, struct error *err);
