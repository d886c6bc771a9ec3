/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's journal: an append-only file of checked records. What must survive kill -9.
 *
 *	"drvjrnl1"  { length u32, type u32, crc of these two, crc of the payload, payload } { ... } ...
 *
 * All numbers little-endian, checksums CRC-32C. A record cut short at the end, or a tail of zeros,
 * is what a crash leaves, and is dropped: nobody was told that it had been written. The length has
 * a checksum of its own, so that a damaged one cannot pass for such an end. Anything else wrong is
 * damage: the file is set aside as <path>.corrupt-<time> and opening says so, and the agent must
 * only observe until what it finds was reconciled.
 *
 * Everything here blocks on fsync. The agent calls it from one courier at a time (no locks here);
 * rates are those of migrations, a few records each.
 *
 * This file knows bytes. What the records mean is agent/journal/journal_state.h.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Far above any record of ours; a length above it is damage. */
#define JOURNAL_RECORD_MAX (1024 * 1024)

struct journal;

struct journal_record {
	uint32_t type; /* never 0 */
	const uint8_t *payload;
	size_t bytes;
};

struct journal_report {
	size_t records;
	size_t dropped_bytes; /* a torn end */
	bool quarantined;     /* the file was damaged and set aside */
	char quarantine_path[4200];
	char damage[160]; /* "record 12 at byte 812: checksum differs" */
};

/* Opens or creates @path, locks it against a second agent (-ERROR_BUSY), and hands each record to
 * @record in order. A damaged file: the records before the damage are handed over, the file is set
 * aside, a new one is begun with them, and @ret_report says so; that is no error. If @record
 * returns an error (a payload that is not readable), that is damage too. */
int journal_open(const char *path,
                 int (*record)(const struct journal_record *r, void *context, struct error *err),
                 void *context, struct journal **ret, struct journal_report *ret_report,
                 struct error *err);
void journal_close(struct journal *j);

/* On return 0 it is on the disk. On failure (-ERROR_SYSTEM; -ERROR_NO_SPACE when the disk is full)
 * the file is as before. After a failed fsync nothing is trusted any more and every later call
 * fails: restart, and read what the disk has. */
int journal_append(struct journal *j, uint32_t type, const void *payload, size_t bytes,
                   struct error *err);

/* Replaces all records by @records: new file, fsync, rename, fsync of the directory. */
int journal_compact(struct journal *j, const struct journal_record *records, size_t n,
                    struct error *err);

/* A damaged file that was set aside beside the journal @path, now or earlier, and is still there: what
 * this agent once knew and does not know any more. False: none; on failure to look, true with the
 * directory, because "none" would not be known. */
bool journal_find_quarantined(const char *path, char *ret, size_t bytes);

size_t journal_get_bytes(const struct journal *j);

/* Reads records from memory: the reader of journal_open, for tests and fuzzing. Returns 0 and the
 * length of the good part; *ret_damaged: what follows is damage rather than a torn end. */
int journal_scan(const uint8_t *data, size_t bytes,
                 int (*record)(const struct journal_record *r, void *context, struct error *err),
                 void *context, size_t *ret_good_bytes, bool *ret_damaged, struct error *err);
