/* SPDX-License-Identifier: Apache-2.0 */
/* See audit_line.h. */
#include "proto/audit/audit_line.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD       "{\"seq\":"
#define PREV       ",\"prev\":\""
#define HASH       ",\"hash\":\""
#define TAIL       "\"}"
#define HASH_CHARS (AUDIT_HASH_BYTES - 1)
#define TAIL_BYTES (sizeof(HASH) - 1 + HASH_CHARS + sizeof(TAIL) - 1)

void audit_chain_init(struct audit_chain *chain)
{
	chain->seq = 0;
	memset(chain->hash, '0', HASH_CHARS);
	chain->hash[HASH_CHARS] = '\0';
}

static void hash_text(const char *text, size_t bytes, char ret_hash[AUDIT_HASH_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text, bytes, digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		ret_hash[2 * i] = digits[digest[i] >> 4];
		ret_hash[2 * i + 1] = digits[digest[i] & 15];
	}
	ret_hash[HASH_CHARS] = '\0';
}

size_t audit_line_make(const struct audit_chain *last, const char *fields,
                       char ret_line[AUDIT_LINE_BYTES], struct audit_chain *ret_chain)
{
	struct audit_chain chain = { .seq = last->seq + 1 };
	int n = snprintf(ret_line, AUDIT_LINE_BYTES, HEAD "%" PRIu64 PREV "%s\"%s%s", chain.seq,
	                 last->hash, fields[0] ? "," : "", fields);
	int more;

	assert(n > 0 && (size_t)n + TAIL_BYTES + 1 < AUDIT_LINE_BYTES);
	hash_text(ret_line, (size_t)n, chain.hash);
	more = snprintf(ret_line + n, AUDIT_LINE_BYTES - (size_t)n, HASH "%s" TAIL "\n",
	                chain.hash);
	*ret_chain = chain;
	return (size_t)n + (size_t)more;
}

static int malformed(struct error *err)
{
	return error_set(err, ERROR_INVALID, "it is not a line of an audit log");
}

int audit_line_check(const char *line, size_t bytes, struct audit_chain *ret_chain,
                     char ret_prev[AUDIT_HASH_BYTES], struct error *err)
{
	char digits[24] = "", hash[AUDIT_HASH_BYTES];
	struct audit_chain chain;
	const char *at = line + sizeof(HEAD) - 1, *tail;
	size_t n = 0;

	if (bytes < sizeof(HEAD) + sizeof(PREV) + HASH_CHARS + TAIL_BYTES ||
	    bytes >= AUDIT_LINE_BYTES || memcmp(line, HEAD, sizeof(HEAD) - 1) != 0)
		return malformed(err);
	while (n < 20 && at[n] >= '0' && at[n] <= '9') {
		digits[n] = at[n];
		n++;
	}
	at += n;
	tail = line + bytes - TAIL_BYTES;
	if (n == 0 || (size_t)(tail - at) < sizeof(PREV) + HASH_CHARS ||
	    memcmp(at, PREV, sizeof(PREV) - 1) != 0 || memcmp(tail, HASH, sizeof(HASH) - 1) != 0 ||
	    memcmp(line + bytes - 2, TAIL, 2) != 0)
		return malformed(err);
	chain.seq = strtoull(digits, NULL, 10);
	memcpy(chain.hash, tail + sizeof(HASH) - 1, HASH_CHARS);
	chain.hash[HASH_CHARS] = '\0';
	hash_text(line, (size_t)(tail - line), hash);
	if (strcmp(hash, chain.hash) != 0)
		return error_set(err, ERROR_INVALID,
		                 "it was changed: its hash is %.16s..., it says %.16s...", hash,
		                 strspn(chain.hash, "0123456789abcdef") == HASH_CHARS
		                         ? chain.hash
		                         : "something else");
	memcpy(ret_prev, at + sizeof(PREV) - 1, HASH_CHARS);
	ret_prev[HASH_CHARS] = '\0';
	*ret_chain = chain;
	return 0;
}

int audit_line_follows(const struct audit_chain *last, const struct audit_chain *chain,
                       const char *prev, struct error *err)
{
	if (chain->seq != last->seq + 1)
		return error_set(err, ERROR_INVALID,
		                 "it has the number %" PRIu64 ", after %" PRIu64
		                 ": lines were removed, added or moved",
		                 chain->seq, last->seq);
	if (strcmp(prev, last->hash) != 0)
		return error_set(err, ERROR_INVALID,
		                 "it does not follow the line before it: that was replaced");
	return 0;
}
