/* SPDX-License-Identifier: Apache-2.0 */
/* See audit_text.h. */
#include "proto/audit/audit_text.h"

#include "common/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CUT ",\"cut\":true"

void audit_text_init(struct audit_text *t)
{
	t->data[0] = '\0';
	t->bytes = 0;
	t->cut = false;
}

/* All of @text or nothing. */
static bool append(struct audit_text *t, const char *text)
{
	size_t bytes = strlen(text);

	if (t->bytes + bytes + sizeof(CUT) > sizeof(t->data))
		return false;
	memcpy(t->data + t->bytes, text, bytes + 1);
	t->bytes += bytes;
	return true;
}

static size_t decode(const unsigned char *at, uint32_t *ret_value)
{
	size_t bytes = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t value = at[0] & (0x7fu >> bytes);

	for (size_t i = 1; i < bytes; i++)
		value = value << 6 | (at[i] & 0x3f);
	*ret_value = value;
	return bytes;
}

/* One character at @at, of which @left bytes are there; returns how many it took. */
static size_t escape(const unsigned char *at, size_t left, char ret_escaped[16])
{
	uint32_t value;
	size_t bytes;

	if (at[0] == '"' || at[0] == '\\') {
		snprintf(ret_escaped, 16, "\\%c", at[0]);
		return 1;
	}
	if (at[0] >= 0x20 && at[0] < 0x7f) {
		snprintf(ret_escaped, 16, "%c", at[0]);
		return 1;
	}
	if (at[0] < 0x80) {
		snprintf(ret_escaped, 16, "\\u%04x", at[0]);
		return 1;
	}
	if (utf8_valid_bytes((const char *)at, left < 4 ? left : 4) == 0) {
		snprintf(ret_escaped, 16, "\\ufffd");
		return 1;
	}
	bytes = decode(at, &value);
	if (value < 0x10000)
		snprintf(ret_escaped, 16, "\\u%04" PRIx32, value);
	else
		snprintf(ret_escaped, 16, "\\u%04" PRIx32 "\\u%04" PRIx32,
		         0xd800 + ((value - 0x10000) >> 10), 0xdc00 + (value & 0x3ff));
	return bytes;
}

static bool append_name(struct audit_text *t, const char *name)
{
	return (t->bytes == 0 || append(t, ",")) && append(t, "\"") && append(t, name) &&
	       append(t, "\":");
}

static bool append_value(struct audit_text *t, const char *value)
{
	const unsigned char *at = (const unsigned char *)value;
	size_t left = strlen(value), done = 0;
	char escaped[16];

	while (left > 0 && done < AUDIT_VALUE_BYTES) {
		size_t bytes = escape(at, left, escaped);

		if (!append(t, escaped))
			return false;
		at += bytes;
		left -= bytes;
		done += bytes;
	}
	return left == 0 || append(t, "...");
}

/* Takes back what was begun at @bytes when it did not @fit. */
static void settle(struct audit_text *t, size_t bytes, bool fit)
{
	if (fit)
		return;
	t->bytes = bytes;
	t->data[bytes] = '\0';
	t->cut = true;
}

void audit_text_add(struct audit_text *t, const char *name, const char *value)
{
	size_t before = t->bytes;

	if (!value || !value[0])
		return;
	settle(t, before,
	       append_name(t, name) && append(t, "\"") && append_value(t, value) &&
	               append(t, "\""));
}

void audit_text_add_number(struct audit_text *t, const char *name, uint64_t value)
{
	size_t before = t->bytes;
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	settle(t, before, append_name(t, name) && append(t, digits));
}

void audit_text_add_bool(struct audit_text *t, const char *name, bool value)
{
	size_t before = t->bytes;

	settle(t, before, append_name(t, name) && append(t, value ? "true" : "false"));
}

void audit_text_add_object(struct audit_text *t, const char *name, const char *fields)
{
	size_t before = t->bytes;

	if (!fields || !fields[0])
		return;
	settle(t, before,
	       append_name(t, name) && append(t, "{") && append(t, fields) && append(t, "}"));
}

void audit_text_end(struct audit_text *t)
{
	if (!t->cut)
		return;
	memcpy(t->data + t->bytes, t->bytes ? CUT : &CUT[1], sizeof(CUT) - (t->bytes ? 0 : 1));
	t->bytes += strlen(t->data + t->bytes);
}
