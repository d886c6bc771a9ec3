/* SPDX-License-Identifier: Apache-2.0 */
/* See error.h. Texts are cut, never overrun: a cut text still names the failing thing, because
 * context is put in front. */
#include "common/error.h"

#include "common/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Macros of these names stand in for the functions while the analyzer reads; see the header. */
#undef error_set
#undef error_set_errno
#undef error_context

static const char *const code_names[] = {
	[ERROR_NONE] = "none",
	[ERROR_INVALID] = "invalid",
	[ERROR_NOT_FOUND] = "not-found",
	[ERROR_EXISTS] = "exists",
	[ERROR_REFUSED] = "refused",
	[ERROR_BUSY] = "busy",
	[ERROR_UNREACHABLE] = "unreachable",
	[ERROR_UNKNOWN_OUTCOME] = "unknown-outcome",
	[ERROR_TIMEOUT] = "timeout",
	[ERROR_CANCELLED] = "cancelled",
	[ERROR_PERMISSION] = "permission",
	[ERROR_IDENTITY] = "identity",
	[ERROR_PROTOCOL] = "protocol",
	[ERROR_TOO_LARGE] = "too-large",
	[ERROR_STALE] = "stale",
	[ERROR_NO_SPACE] = "no-space",
	[ERROR_HYPERVISOR] = "hypervisor",
	[ERROR_STORE] = "store",
	[ERROR_SYSTEM] = "system",
	[ERROR_UNSUPPORTED] = "unsupported",
	[ERROR_RESERVATION_LOST] = "reservation-lost",
};
static_assert(sizeof(code_names) / sizeof(code_names[0]) == ERROR_CODES,
              "every error code has a name");

/* Cuts a text that vsnprintf truncated back to a whole UTF-8 character. */
static void cut_at_character(char *text)
{
	size_t n = strlen(text);

	/* What is not UTF-8 at all, and not only at its end, is not ours to shorten. */
	if (n - utf8_valid_bytes(text, n) < 4)
		text[utf8_valid_bytes(text, n)] = '\0';
}

__attribute__((format(printf, 3, 0))) static void set_text(struct error *err, enum error_code code,
                                                           const char *format, va_list args)
{
	assert(code > ERROR_NONE && code < ERROR_CODES);
	err->code = code;
	if (vsnprintf(err->text, sizeof(err->text), format, args) >= (int)sizeof(err->text))
		cut_at_character(err->text);
}

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
	va_list args;

	if (err) {
		va_start(args, format);
		set_text(err, code, format, args);
		va_end(args);
	}
	return -(int)code;
}

int error_set_errno(struct error *err, enum error_code code, int errno_value, const char *format,
                    ...)
{
	char reason[128];
	va_list args;
	size_t used;

	if (!err)
		return -(int)code;
	va_start(args, format);
	set_text(err, code, format, args);
	va_end(args);

	used = strlen(err->text);
	if (snprintf(err->text + used, sizeof(err->text) - used, ": %s",
	             strerror_r(errno_value, reason, sizeof(reason))) >=
	    (int)(sizeof(err->text) - used))
		cut_at_character(err->text);
	return -(int)code;
}

int error_context(struct error *err, const char *format, ...)
{
	char before[ERROR_TEXT_BYTES];
	va_list args;
	size_t used;

	if (!err)
		return -(int)ERROR_SYSTEM;
	assert(err->code != ERROR_NONE);
	memcpy(before, err->text, sizeof(before));

	va_start(args, format);
	set_text(err, err->code, format, args);
	va_end(args);

	used = strlen(err->text);
	if (snprintf(err->text + used, sizeof(err->text) - used, ": %s", before) >=
	    (int)(sizeof(err->text) - used))
		cut_at_character(err->text);
	return -(int)err->code;
}

void error_make_one_line(struct error *err)
{
	char *text;
	bool broken = false;
	size_t n = 0;

	if (!err)
		return;
	text = err->text;
	for (const char *at = text; *at; at++) {
		if (*at == '\n' || *at == '\r' || *at == '\t') {
			broken = true;
		} else if (!broken) {
			text[n++] = *at;
		} else if (*at != ' ') {
			if (n > 0 && text[n - 1] != ' ')
				text[n++] = ' ';
			text[n++] = *at;
			broken = false;
		}
	}
	text[n] = '\0';
}

void error_clear(struct error *err)
{
	err->code = ERROR_NONE;
	err->text[0] = '\0';
}

const char *error_code_name(enum error_code code)
{
	if ((unsigned)code >= ERROR_CODES)
		return "unknown-code";
	return code_names[code];
}
