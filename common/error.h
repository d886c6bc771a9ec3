/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that an operator can act on.
 *
 * A failing function returns -ERROR_x and, where somebody could ask "why", fills a struct error:
 * a fixed-size value with a code and one sentence. Being a value it travels unchanged through a
 * mailbox, over the wire, into the store and onto the screen; nobody owns or frees it.
 *
 * Each caller that knows more adds what it was doing in front:
 *
 *	return error_context(err, "opening the store %s", path);
 *
 * Library errors (virError, nng, SQLite, OpenSSL) are turned into ours in the file that talks to
 * that library, and nowhere else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The names go over the wire and into the store by number: append only. */
enum error_code {
	ERROR_NONE,
	ERROR_INVALID,          /* the input is malformed or out of range */
	ERROR_NOT_FOUND,        /* no such node, vm, migration, drain, file */
	ERROR_EXISTS,           /* it is there already, and differs */
	ERROR_REFUSED,          /* a check or a policy says no; the text says which */
	ERROR_BUSY,             /* not now: a slot, lock, port or job is taken */
	ERROR_UNREACHABLE,      /* the peer cannot be reached; nothing was sent */
	ERROR_UNKNOWN_OUTCOME,  /* it was sent; whether it had effect is not known */
	ERROR_TIMEOUT,          /* a deadline passed */
	ERROR_CANCELLED,        /* somebody asked to stop */
	ERROR_PERMISSION,       /* the caller's role does not allow it */
	ERROR_IDENTITY,         /* the peer is not who it must be */
	ERROR_PROTOCOL,         /* the peer broke the protocol */
	ERROR_TOO_LARGE,        /* over a size limit */
	ERROR_STALE,            /* an older epoch or attempt than one already seen */
	ERROR_NO_SPACE,         /* RAM, disk or pool exhausted */
	ERROR_HYPERVISOR,       /* libvirt or QEMU failed; the text has its words */
	ERROR_STORE,            /* the coordinator's store failed */
	ERROR_SYSTEM,           /* a system call failed; the text has strerror */
	ERROR_UNSUPPORTED,      /* this build, kernel or peer cannot do it */
	ERROR_RESERVATION_LOST, /* what was promised was given to others; nothing was started */
	ERROR_CODES
};

#define ERROR_TEXT_BYTES 512

struct error {
	enum error_code code;
	char text[ERROR_TEXT_BYTES]; /* one line, UTF-8, cut at a character if too long */
};

/* Sets @err (may be NULL) and returns -@code. */
int error_set(struct error *err, enum error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set with ": <strerror(errno_value)>" appended. */
int error_set_errno(struct error *err, enum error_code code, int errno_value, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* Puts "<what>: " in front of the text and returns -code of @err (-ERROR_SYSTEM if @err is NULL). */
int error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What others wrote in several lines (QEMU's log within libvirt's message) stands in one. */
void error_make_one_line(struct error *err);

void error_clear(struct error *err);

/* "not-found" etc: the stable word for scripts; "unknown-code" for a number that has none. */
const char *error_code_name(enum error_code code);

#ifdef __clang_analyzer__
/* The analyzer reads one file at a time: it is told here that a failure is never 0. Otherwise it
 * follows a failed call to where its result is used. */
#define error_set(...)       (error_set(__VA_ARGS__), -1)
#define error_set_errno(...) (error_set_errno(__VA_ARGS__), -1)
#define error_context(...)   (error_context(__VA_ARGS__), -1)
#endif
