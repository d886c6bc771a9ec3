/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an audit log: FILE grows, FILE.1 is older, FILE.2 older still. One thread.
 *
 * Opening takes up the chain where it ended. What a crash left of a half-written line is cut off
 * and told: it never was a line. A whole line that is wrong was changed by somebody: it stays as the
 * evidence that it is, and the chain goes on from the last good one before it. While it is open the
 * file is locked, because two writers would make two chains of one. */
#pragma once

#include "common/error.h"
#include "proto/audit/audit_line.h"

#include <stdbool.h>

struct audit_file {
	char *path;
	int fd;         /* -1: not open */
	uint64_t bytes; /* of the file */
	uint64_t rotate_bytes;
	unsigned keep; /* older files */
	struct audit_chain chain;
};

struct audit_recovery {
	uint64_t torn_bytes; /* cut off */
	bool damaged;        /* the last line was changed, or nothing in the end is a line */
};

/* Takes nothing of @path. */
void audit_file_init(struct audit_file *f, const char *path, uint64_t rotate_bytes, unsigned keep);
int audit_file_open(struct audit_file *f, struct audit_recovery *ret, struct error *err);
/* One line with @fields; rotates before it if it is time. On failure the file is as before. */
int audit_file_append(struct audit_file *f, const char *fields, struct error *err);
/* What was appended survives a loss of power. */
int audit_file_sync(struct audit_file *f, struct error *err);
void audit_file_deinit(struct audit_file *f);
