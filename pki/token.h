/* SPDX-License-Identifier: Apache-2.0 */
/* The one line that lets a host join: where, whom to trust there, and the right to do so.
 *
 *	drv1.BASE64URL( id 4 | secret 24 | SHA-256 of the CA's certificate 32 | length 1 | HOST:PORT | CRC-32C 4 )
 *
 * The fingerprint stands in the token so that the new host can know the coordinator before it sends
 * it anything; the checksum tells a line that was cut while pasting from a wrong one. The secret is
 * of 192 bits from the kernel: guessing it is hopeless, whatever the limits say. Who has the token
 * has the right: it is printed once and kept nowhere but as a hash. Pure.
 */
#pragma once

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define TOKEN_ID_BYTES      4
#define TOKEN_SECRET_BYTES  24
#define TOKEN_SHA256_BYTES  32
#define TOKEN_ADDRESS_BYTES 64  /* "[2001:db8::17]:7781" and its final zero */
#define TOKEN_TEXT_BYTES    192 /* of the longest, with its final zero */
#define TOKEN_ID_TEXT_BYTES 9

struct token {
	uint8_t id[TOKEN_ID_BYTES];
	uint8_t secret[TOKEN_SECRET_BYTES];
	uint8_t ca_sha256[TOKEN_SHA256_BYTES];
	char address[TOKEN_ADDRESS_BYTES]; /* "10.0.0.11:7781" */
};

/* Into @ret_text (TOKEN_TEXT_BYTES); returns it. */
char *token_format(const struct token *token, char *ret_text);

/* -ERROR_INVALID with what is wrong; the text never has a part of the token in it. */
int token_parse(const char *text, struct token *ret, struct error *err);

/* The id as people name it: 8 hex digits into @ret_text (TOKEN_ID_TEXT_BYTES); returns it. */
char *token_format_id(const uint8_t *id, char *ret_text);
