/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: who did what, and who was refused. One line for each call with an effect and for
 * each refusal, in a file whose lines are chained (audit_line.h).
 *
 *	owner thread                        writer thread
 *	  audit_write --- queue, bounded -->  numbers, hashes, writes, syncs, rotates
 *
 * Nothing here waits for a disk but the writer: a call is never held up, nor lost, because of its
 * line. A line that finds the queue full, or a disk that cannot be written, is counted; the next line
 * that can be written is preceded by one that says how many are missing. Refusals take at most
 * half of the queue, so that strangers cannot push out what operators did, and of one address only
 * some are written one by one, but the first of each kind (audit_repeat.h).
 *
 * What is written are names, addresses, identifiers and reasons: never keys, certificates, tokens
 * or the contents of messages. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;

struct audit_options {
	const char *path;      /* copied */
	const char *self;      /* "agent host1"; copied */
	uint64_t rotate_bytes; /* 0 = 16 MiB */
	unsigned keep;         /* older files; 0 = 10 */
	size_t queue_lines;    /* 0 = 2048 */
};

/* Never fails: a log that cannot be opened is told in the journal, is tried again every few
 * seconds, and what could not be written meanwhile is counted. */
struct audit *audit_start(const struct audit_options *options);

/* Writes what is queued, then ends. NULL: nothing. */
void audit_stop(struct audit *a);

struct audit_record {
	bool refused;     /* the caller or the peer, not merely what it asked for */
	bool noise;       /* refused: a stranger, or what cannot be read; it hides nothing else */
	const char *role; /* "operator"; NULL: not known */
	const char *name; /* by its certificate; NULL: not known */
	const char *address; /* "10.0.0.1:4711", "uid 0" */
	const char *method;  /* NULL: no call */
	const char *object;  /* fields of an audit_text, or NULL */
	const char *result;  /* the same */
	const char *outcome; /* "OK", "PERMISSION_DENIED" */
	const char *reason;  /* or NULL */
	const char *call;    /* what tells two calls of one connection apart; or NULL */
	const char *about;   /* refused: tells kinds of one outcome apart, in our words; or NULL */
};

/* Any thread. @a NULL: nothing is written. */
void audit_write(struct audit *a, const struct audit_record *record);

struct audit_counts {
	uint64_t written;  /* lines, also those about lost ones */
	uint64_t lost;     /* lines that could not be written */
	uint64_t repeated; /* refusals that were only counted */
};

void audit_get_counts(struct audit *a, struct audit_counts *ret);

/* Waits until all that was given to audit_write is on the disk or lost. For the end of the process
 * and for tests. */
void audit_flush(struct audit *a);
