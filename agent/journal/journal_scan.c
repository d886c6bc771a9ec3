/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's bytes, read and formatted. Pure; fuzzed. See journal.h for the format. */
#include "agent/journal/journal.h"
#include "agent/journal/journal_format.h"
#include "common/crc32c.h"

#include <string.h>

static void put_u32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *from)
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
	       (uint32_t)from[3] << 24;
}

void journal_format_header(uint32_t type, const void *payload, size_t bytes, uint8_t *ret)
{
	put_u32(ret, (uint32_t)bytes);
	put_u32(ret + 4, type);
	put_u32(ret + 8, crc32c(0, ret, 8));
	put_u32(ret + 12, crc32c(0, payload, bytes));
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (data[i])
			return false;
	return true;
}

/* A machine that lost power may leave the last record grown but not filled. */
static bool ends_in_zeros(const uint8_t *payload, size_t bytes)
{
	size_t tail = bytes < 8 ? bytes : 8;

	return tail && all_zero(payload + bytes - tail, tail);
}

enum verdict { RECORD_GOOD, RECORD_TORN, RECORD_DAMAGED };

static enum verdict look_at(const uint8_t *data, size_t bytes, struct journal_record *ret,
                            const char **ret_what)
{
	uint32_t length, type;

	if (bytes < JOURNAL_HEADER_BYTES || all_zero(data, bytes))
		return RECORD_TORN;
	length = get_u32(data);
	type = get_u32(data + 4);
	*ret_what = "its header's checksum differs";
	if (get_u32(data + 8) != crc32c(0, data, 8))
		return RECORD_DAMAGED;
	*ret_what = "its length or type makes no sense";
	if (length > JOURNAL_RECORD_MAX || type == 0)
		return RECORD_DAMAGED;
	if (bytes - JOURNAL_HEADER_BYTES < length)
		return RECORD_TORN;
	*ret_what = "its checksum differs";
	if (get_u32(data + 12) != crc32c(0, data + JOURNAL_HEADER_BYTES, length))
		return bytes - JOURNAL_HEADER_BYTES == length &&
		                       ends_in_zeros(data + JOURNAL_HEADER_BYTES, length)
		               ? RECORD_TORN
		               : RECORD_DAMAGED;
	*ret = (struct journal_record){ type, data + JOURNAL_HEADER_BYTES, length };
	return RECORD_GOOD;
}

int journal_scan(const uint8_t *data, size_t bytes,
                 int (*record)(const struct journal_record *r, void *context, struct error *err),
                 void *context, size_t *ret_good_bytes, bool *ret_damaged, struct error *err)
{
	size_t at = JOURNAL_MAGIC_BYTES, n = 0;

	*ret_good_bytes = 0;
	*ret_damaged = false;
	if (bytes < JOURNAL_MAGIC_BYTES) {
		*ret_damaged = memcmp(data, JOURNAL_MAGIC, bytes) != 0 && !all_zero(data, bytes);
		if (*ret_damaged)
			error_set(err, ERROR_INVALID, "it does not begin like a journal");
		return 0;
	}
	if (memcmp(data, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES) != 0) {
		/* All zeros: created, and power was lost before anything was written. */
		*ret_damaged = !all_zero(data, bytes);
		if (*ret_damaged)
			error_set(err, ERROR_INVALID, "it does not begin like a journal");
		return 0;
	}
	while (at < bytes) {
		struct journal_record r;
		const char *what = "";

		*ret_good_bytes = at;
		switch (look_at(data + at, bytes - at, &r, &what)) {
		case RECORD_TORN:
			return 0;
		case RECORD_DAMAGED:
			*ret_damaged = true;
			error_set(err, ERROR_INVALID, "record %zu at byte %zu: %s", n + 1, at,
			          what);
			return 0;
		case RECORD_GOOD:
			break;
		}
		if (record(&r, context, err) < 0) {
			*ret_damaged = true;
			error_context(err, "record %zu at byte %zu", n + 1, at);
			return 0;
		}
		at += JOURNAL_HEADER_BYTES + r.bytes;
		n++;
	}
	*ret_good_bytes = at;
	return 0;
}
