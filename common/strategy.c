/* SPDX-License-Identifier: Apache-2.0 */
/* See strategy.h. */
#include "common/strategy.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[LADDER_PLAIN] = "plain",
	[LADDER_MINIMAL_DOWNTIME] = "minimal-downtime",
	[LADDER_SUSPEND_IF_NEEDED] = "suspend-if-needed",
	[LADDER_POST_COPY] = "post-copy",
	[LADDER_VERY_LARGE] = "very-large",
};

static_assert(ARRAY_SIZE(names) == LADDERS, "a ladder without a name");

/* Stored: never renumbered. */
enum {
	PACKED_LADDER = 0xff,
	PACKED_AUTO_CONVERGE = 1 << 8,
	PACKED_POST_COPY = 1 << 9,
	PACKED_DISRUPTION = 1 << 10,
	PACKED_PLAIN = 1 << 11,
	PACKED_NO_AUTO_CONVERGE = 1 << 12,
	PACKED_NO_POST_COPY = 1 << 13,
	PACKED_NO_DISRUPTION = 1 << 14,
	PACKED_ALL = (1 << 15) - 1,
};

const char *strategy_ladder_name(enum ladder_name ladder)
{
	assert((unsigned)ladder < LADDERS);
	return names[ladder];
}

int strategy_parse_ladder(const char *text, enum ladder_name *ret, struct error *err)
{
	for (size_t i = 0; i < LADDERS; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum ladder_name)i;
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID,
	                 "there is no ladder \"%.40s\": plain, minimal-downtime, "
	                 "suspend-if-needed, post-copy or very-large",
	                 text);
}

bool strategy_permits_auto_converge(const struct strategy *s)
{
	return s->allow_auto_converge || s->ladder == LADDER_VERY_LARGE;
}

bool strategy_permits_post_copy(const struct strategy *s)
{
	return s->allow_post_copy || s->ladder == LADDER_POST_COPY;
}

bool strategy_permits_pause(const struct strategy *s)
{
	return s->allow_disruption || s->ladder == LADDER_SUSPEND_IF_NEEDED;
}

bool strategy_ladder_is_forbidden(enum ladder_name ladder, const struct strategy *wish)
{
	return (wish->forbid_auto_converge && ladder == LADDER_VERY_LARGE) ||
	       (wish->forbid_post_copy && ladder == LADDER_POST_COPY) ||
	       (wish->forbid_disruption && ladder == LADDER_SUSPEND_IF_NEEDED);
}

int strategy_check(const struct strategy *s, struct error *err)
{
	if ((s->allow_auto_converge && s->forbid_auto_converge) ||
	    (s->allow_post_copy && s->forbid_post_copy) ||
	    (s->allow_disruption && s->forbid_disruption))
		return error_set(err, ERROR_INVALID, "the same is permitted and forbidden");
	if (s->plain && s->ladder != LADDER_PLAIN)
		return error_set(err, ERROR_INVALID, "a ladder, and none");
	if (strategy_ladder_is_forbidden(s->ladder, s))
		return error_set(err, ERROR_INVALID,
		                 "the ladder %s permits what is forbidden with it",
		                 strategy_ladder_name(s->ladder));
	return 0;
}

uint32_t strategy_pack(const struct strategy *s)
{
	uint32_t packed = s->ladder;

	packed |= s->allow_auto_converge ? PACKED_AUTO_CONVERGE : 0;
	packed |= s->allow_post_copy ? PACKED_POST_COPY : 0;
	packed |= s->allow_disruption ? PACKED_DISRUPTION : 0;
	packed |= s->plain ? PACKED_PLAIN : 0;
	packed |= s->forbid_auto_converge ? PACKED_NO_AUTO_CONVERGE : 0;
	packed |= s->forbid_post_copy ? PACKED_NO_POST_COPY : 0;
	packed |= s->forbid_disruption ? PACKED_NO_DISRUPTION : 0;
	return packed;
}

int strategy_unpack(uint32_t packed, struct strategy *ret)
{
	if (packed & ~(uint32_t)PACKED_ALL || (packed & PACKED_LADDER) >= LADDERS)
		return -ERROR_INVALID;
	*ret = (struct strategy){
		.ladder = (enum ladder_name)(packed & PACKED_LADDER),
		.allow_auto_converge = packed & PACKED_AUTO_CONVERGE,
		.allow_post_copy = packed & PACKED_POST_COPY,
		.allow_disruption = packed & PACKED_DISRUPTION,
		.plain = packed & PACKED_PLAIN,
		.forbid_auto_converge = packed & PACKED_NO_AUTO_CONVERGE,
		.forbid_post_copy = packed & PACKED_NO_POST_COPY,
		.forbid_disruption = packed & PACKED_NO_DISRUPTION,
	};
	return 0;
}
