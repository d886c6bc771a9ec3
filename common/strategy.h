/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration may do to a guest that is hard to move: what is permitted, and the ladder of steps.
 *
 * Everything is off by default: pre-copy with one limit of downtime. Each permission is one that an
 * operator gives by name, and a ladder named after a measure permits that measure: who asks for
 * `suspend-if-needed` has said that the guest may stand still. Both daemons and the command line share
 * these names; what each step is taken for is agent/kernel/ladder.h.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The numbers are those of drover.v1.Ladder; stored and sent. */
enum ladder_name {
	LADDER_PLAIN, /* the whole downtime from the start; measures only when time is over */
	LADDER_MINIMAL_DOWNTIME,
	LADDER_SUSPEND_IF_NEEDED,
	LADDER_POST_COPY,
	LADDER_VERY_LARGE,
	LADDERS
};

struct strategy {
	enum ladder_name ladder;
	bool allow_auto_converge;
	bool allow_post_copy;
	bool allow_disruption; /* allowWorkloadDisruption: the guest may be paused until it is moved */
	/* Of a wish only: against what would be so otherwise. What is in effect has none of these. */
	bool plain; /* no ladder */
	bool forbid_auto_converge, forbid_post_copy, forbid_disruption;
};

const char *strategy_ladder_name(enum ladder_name ladder); /* "minimal-downtime" */
/* -ERROR_INVALID with the names there are. */
int strategy_parse_ladder(const char *text, enum ladder_name *ret, struct error *err);

bool strategy_permits_auto_converge(const struct strategy *s);
bool strategy_permits_post_copy(const struct strategy *s);
bool strategy_permits_pause(const struct strategy *s);

/* -ERROR_INVALID when a wish permits and forbids the same, by its own name or by its ladder's. */
int strategy_check(const struct strategy *s, struct error *err);
/* It permits a measure that @wish forbids. */
bool strategy_ladder_is_forbidden(enum ladder_name ladder, const struct strategy *wish);

/* As one number, for records: 0 is the default. A number that this version does not know is
 * -ERROR_INVALID. */
uint32_t strategy_pack(const struct strategy *s);
int strategy_unpack(uint32_t packed, struct strategy *ret);
