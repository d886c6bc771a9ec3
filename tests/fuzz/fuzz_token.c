/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a token: what is taken is written again exactly as it was read. No text of chance has the
 * right checksum, so what begins with a zero is the inside of a token instead: what is written of it is
 * taken, and is the same, if its address is one. */
#include "common/alloc.h"
#include "pki/token.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIXED_BYTES (TOKEN_ID_BYTES + TOKEN_SECRET_BYTES + TOKEN_SHA256_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void try_text(const uint8_t *data, size_t bytes)
{
	char *text = xstrndup((const char *)data, bytes);
	char again[TOKEN_TEXT_BYTES];
	struct token token;

	if (token_parse(text, &token, NULL) == 0) {
		assert(strlen(token.address) < sizeof(token.address));
		assert(strcmp(token_format(&token, again), text) == 0);
	}
	free(text);
}

static bool is_address(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') &&
		    !(*c >= 'A' && *c <= 'Z') && !strchr(".-_:[]", *c))
			return false;
	}
	return text[0] != '\0';
}

static void try_inside(const uint8_t *data, size_t bytes)
{
	struct token token = { 0 }, again = { 0 };
	char text[TOKEN_TEXT_BYTES];
	size_t length;

	if (bytes < FIXED_BYTES)
		return;
	memcpy(token.id, data, sizeof(token.id));
	memcpy(token.secret, data + sizeof(token.id), sizeof(token.secret));
	memcpy(token.ca_sha256, data + sizeof(token.id) + sizeof(token.secret),
	       sizeof(token.ca_sha256));
	length = strnlen((const char *)data + FIXED_BYTES, bytes - FIXED_BYTES);
	if (length >= sizeof(token.address))
		length = sizeof(token.address) - 1;
	memcpy(token.address, data + FIXED_BYTES, length);
	token_format(&token, text);
	assert(strlen(text) < sizeof(text));
	if (!is_address(token.address)) {
		assert(token_parse(text, &again, NULL) != 0);
		return;
	}
	assert(token_parse(text, &again, NULL) == 0);
	assert(memcmp(&again, &token, sizeof(token)) == 0);
	/* A digit that is changed is noticed, whichever. */
	text[sizeof("drv1.") - 1 + token.id[0] % 80] ^= 1;
	assert(token_parse(text, &again, NULL) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes > 0 && data[0] == 0)
		try_inside(data + 1, bytes - 1);
	else
		try_text(data, bytes);
	return 0;
}
