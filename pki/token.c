/* SPDX-License-Identifier: Apache-2.0 */
/* See token.h. */
#include "pki/token.h"

#include "common/alloc.h"
#include "common/crc32c.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char prefix[] = "drv1.";
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define FIXED_BYTES (TOKEN_ID_BYTES + TOKEN_SECRET_BYTES + TOKEN_SHA256_BYTES + 1)
#define CRC_BYTES   4
#define BYTES_MAX   (FIXED_BYTES + TOKEN_ADDRESS_BYTES - 1 + CRC_BYTES)

/* Base64url without padding (RFC 4648, section 5). */
static void encode(const uint8_t *bytes, size_t count, char *ret_text)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;

	for (size_t i = 0; i < count; i++) {
		bits = bits << 8 | bytes[i];
		for (n_bits += 8; n_bits >= 6; n_bits -= 6)
			*ret_text++ = digits[bits >> (n_bits - 6) & 63];
	}
	if (n_bits)
		*ret_text++ = digits[bits << (6 - n_bits) & 63];
	*ret_text = '\0';
}

/* How many bytes; 0 if @text is not what encode() writes for some, or has more than @room. */
static size_t decode(const char *text, uint8_t *ret_bytes, size_t room)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t count = 0;

	for (; *text; text++) {
		const char *digit = strchr(digits, *text);

		if (!digit)
			return 0;
		bits = bits << 6 | (uint32_t)(digit - digits);
		n_bits += 6;
		if (n_bits < 8)
			continue;
		if (count == room)
			return 0;
		n_bits -= 8;
		ret_bytes[count++] = (uint8_t)(bits >> n_bits);
		bits &= (1u << n_bits) - 1;
	}
	/* What is left over must be the zeros that filled up the last digit. */
	return n_bits < 6 && bits == 0 ? count : 0;
}

static uint32_t checksum(const uint8_t *bytes, size_t count)
{
	return crc32c(0, bytes, count);
}

static bool address_is_printable(const char *address)
{
	return strspn(address, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                       ".-_:[]") == strlen(address);
}

char *token_format(const struct token *token, char *ret_text)
{
	uint8_t bytes[BYTES_MAX], *at = bytes;
	size_t length = strlen(token->address);
	uint32_t crc;

	memcpy(at, token->id, TOKEN_ID_BYTES), at += TOKEN_ID_BYTES;
	memcpy(at, token->secret, TOKEN_SECRET_BYTES), at += TOKEN_SECRET_BYTES;
	memcpy(at, token->ca_sha256, TOKEN_SHA256_BYTES), at += TOKEN_SHA256_BYTES;
	*at++ = (uint8_t)length;
	memcpy(at, token->address, length), at += length;
	crc = checksum(bytes, (size_t)(at - bytes));
	for (unsigned shift = 0; shift < 32; shift += 8)
		*at++ = (uint8_t)(crc >> shift);
	memcpy(ret_text, prefix, sizeof(prefix) - 1);
	encode(bytes, (size_t)(at - bytes), ret_text + sizeof(prefix) - 1);
	return ret_text;
}

int token_parse(const char *text, struct token *ret, struct error *err)
{
	uint8_t bytes[BYTES_MAX], *at = bytes;
	struct token token = { 0 };
	uint32_t crc = 0;
	size_t count, length;

	if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return error_set(err, ERROR_INVALID,
		                 "this is not a token: one begins with \"%s\"; take the whole line "
		                 "that \"drover token create\" printed",
		                 prefix);
	count = decode(text + sizeof(prefix) - 1, bytes, sizeof(bytes));
	if (count < FIXED_BYTES + CRC_BYTES)
		goto damaged;
	for (unsigned i = 0; i < CRC_BYTES; i++)
		crc |= (uint32_t)bytes[count - CRC_BYTES + i] << (8 * i);
	if (crc != checksum(bytes, count - CRC_BYTES))
		goto damaged;
	memcpy(token.id, at, TOKEN_ID_BYTES), at += TOKEN_ID_BYTES;
	memcpy(token.secret, at, TOKEN_SECRET_BYTES), at += TOKEN_SECRET_BYTES;
	memcpy(token.ca_sha256, at, TOKEN_SHA256_BYTES), at += TOKEN_SHA256_BYTES;
	length = *at++;
	if (length == 0 || length >= TOKEN_ADDRESS_BYTES ||
	    length != count - FIXED_BYTES - CRC_BYTES)
		goto damaged;
	memcpy(token.address, at, length);
	if (strlen(token.address) != length || !address_is_printable(token.address))
		goto damaged;
	*ret = token;
	return 0;

damaged:
	return error_set(err, ERROR_INVALID,
	                 "the token is damaged: a part of it is missing or was changed; take the "
	                 "whole line that \"drover token create\" printed");
}

char *token_format_id(const uint8_t *id, char *ret_text)
{
	snprintf(ret_text, TOKEN_ID_TEXT_BYTES, "%02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
	return ret_text;
}
