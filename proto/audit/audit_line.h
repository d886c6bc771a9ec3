/* SPDX-License-Identifier: Apache-2.0 */
/* One line of an audit log, and the chain that holds the lines together. Pure.
 *
 *	{"seq":7,"prev":"<hash of line 6>", ... ,"hash":"<SHA-256 of all that stands before>"}
 *
 * Since a line contains the hash of the one before it and is hashed itself, a line cannot be
 * changed, removed, added or moved without every later line being made anew. The chain has no key:
 * whoever may write the file can make all of it anew, or cut off its end. Against that helps a copy
 * of the last hash in another place, which is why it is shown. */
#pragma once

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define AUDIT_HASH_BYTES 65 /* 64 hexadecimal digits and a NUL */
#define AUDIT_LINE_BYTES 8192

/* The line that was last. */
struct audit_chain {
	uint64_t seq; /* 0: there was none */
	char hash[AUDIT_HASH_BYTES];
};

void audit_chain_init(struct audit_chain *chain);

/* The line with @fields (of an audit_text) that comes after @last, with its newline; returns its
 * bytes. */
size_t audit_line_make(const struct audit_chain *last, const char *fields,
                       char ret_line[AUDIT_LINE_BYTES], struct audit_chain *ret_chain);

/* Whether the line of @bytes (without its newline) is whole and unchanged in itself; tells what it
 * says of itself and of the line before it. -ERROR_INVALID */
int audit_line_check(const char *line, size_t bytes, struct audit_chain *ret_chain,
                     char ret_prev[AUDIT_HASH_BYTES], struct error *err);

/* Whether it is also the line that comes after @last. */
int audit_line_follows(const struct audit_chain *last, const struct audit_chain *chain,
                       const char *prev, struct error *err);
