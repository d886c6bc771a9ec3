/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON for the audit log, in ASCII only.
 *
 * Names and reasons come from peers and end up on terminals, in log collectors and in other
 * people's parsers. So nothing but printable ASCII is written: every other character is escaped,
 * and a byte that is no text becomes U+FFFD. A value is cut after AUDIT_VALUE_BYTES bytes of the
 * input, visibly. A field that has no room any more is left out whole and the text says that it was
 * cut, so what was built is well formed at any length. Any thread; a text has one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_VALUE_BYTES 512
#define AUDIT_TEXT_BYTES  6144

struct audit_text {
	char data[AUDIT_TEXT_BYTES];
	size_t bytes; /* without the NUL that ends it */
	bool cut;     /* something did not fit */
};

void audit_text_init(struct audit_text *t);

/* "name":"value", with a comma in front unless it is the first. @name is ours: plain ASCII. A value
 * that is NULL or empty leaves no field. */
void audit_text_add(struct audit_text *t, const char *name, const char *value);
void audit_text_add_number(struct audit_text *t, const char *name, uint64_t value);
void audit_text_add_bool(struct audit_text *t, const char *name, bool value);
/* @fields: made by these functions; becomes "name":{fields}. Nothing when empty or NULL. */
void audit_text_add_object(struct audit_text *t, const char *name, const char *fields);

/* Says "cut" in the text if something was; there is always room for that. Nothing is added after. */
void audit_text_end(struct audit_text *t);
