/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that owns the journal, and the owner thread's way to it.
 *
 *	journal_keeper_write(record) --> keeper's thread: append, fsync --> done(rc) on the owner
 *
 * Records are written in the order asked for. done(0) means that it is on the disk; only then may
 * what rests on it happen (persist, then act, then confirm). After a failure the agent must not act
 * on the record, and what runs already goes on.
 */
#pragma once

#include "agent/journal/journal_state.h"
#include "common/loop.h"

struct journal_keeper;

/* Opens @path and reads what is there. @ret_past (owned by the caller, journal_state_deinit) is a
 * copy of the past as of now, for the owner to go on from. Blocks; call at start. */
int journal_keeper_open(struct loop *loop, const char *path, struct journal_keeper **ret,
                        struct journal_state *ret_past, struct journal_report *ret_report,
                        struct error *err);

/* Writes what is queued, closes and frees. An agent that is stopped has seen what it asked to keep:
 * one that forgot a guest which went on here would later take its old copy for the guest. Nobody is
 * told any more. */
void journal_keeper_close(struct journal_keeper *keeper);

enum journal_record_kind {
	JOURNAL_WRITE_ATTEMPT,
	JOURNAL_WRITE_TAKEN,
	JOURNAL_WRITE_RELEASED,
	JOURNAL_WRITE_MADE,
	JOURNAL_WRITE_REMOVED,
	JOURNAL_WRITE_EPOCH,
	JOURNAL_WRITE_DRAIN_MARK,
	JOURNAL_WRITE_FENCE,
};

struct journal_write {
	enum journal_record_kind kind;
	union {
		struct journal_attempt attempt;
		struct reservation taken;
		struct attempt_name released;
		struct journal_thing thing; /* MADE and REMOVED */
		uint64_t epoch;
		struct journal_drain_mark drain_mark;
		struct fence fence;
	};
};

/* @keeper NULL: the owner is stopping, and nothing is written or called back.
 * @done may be NULL for records whose loss costs nothing but a second look after a crash. */
void journal_keeper_write(struct journal_keeper *keeper, const struct journal_write *what,
                          void (*done)(int rc, const struct error *err, void *context),
                          void *context);
