/* SPDX-License-Identifier: Apache-2.0 */
/* See id.h. */
#include "common/id.h"

#include "common/error.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

struct id id_new(void)
{
	struct id id;
	ssize_t got;

	/* Up to 256 bytes getrandom is atomic: all or an error. A signal can end it only while the
	 * kernel has no randomness yet, early at boot. */
	do
		got = getrandom(id.bytes, sizeof(id.bytes), 0);
	while (got < 0 && errno == EINTR);
	assert(got == (ssize_t)sizeof(id.bytes));
	(void)got;
	return id;
}

bool id_equal(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_BYTES) == 0;
}

bool id_is_zero(const struct id *id)
{
	static const struct id zero;

	return id_equal(id, &zero);
}

char *id_format(const struct id *id, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < ID_BYTES; i++) {
		ret_text[2 * i] = digits[id->bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	ret_text[ID_TEXT_BYTES - 1] = '\0';
	return ret_text;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int id_parse(const char *text, struct id *ret_id)
{
	struct id id;

	if (strlen(text) != ID_TEXT_BYTES - 1)
		return -ERROR_INVALID;
	for (size_t i = 0; i < ID_BYTES; i++) {
		int high = hex_value(text[2 * i]);
		int low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -ERROR_INVALID;
		id.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret_id = id;
	return 0;
}

int id_from_bytes(const uint8_t *bytes, size_t count, struct id *ret_id)
{
	if (count != ID_BYTES)
		return -ERROR_INVALID;
	memcpy(ret_id->bytes, bytes, ID_BYTES);
	return 0;
}
