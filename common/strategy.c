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
	PACKED_ALL = PACKED_LADDER | PACKED_AUTO_CONVERGE | PACKED_POST_COPY | PACKED_DISRUPTION,
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

void strategy_add(struct strategy *s, const struct strategy *more)
{
	if (more->ladder != LADDER_PLAIN)
		s->ladder = more->ladder;
	s->allow_auto_converge |= more->allow_auto_converge;
	s->allow_post_copy |= more->allow_post_copy;
	s->allow_disruption |= more->allow_disruption;
}

uint32_t strategy_pack(const struct strategy *s)
{
	uint32_t packed = s->ladder;

	packed |= s->allow_auto_converge ? PACKED_AUTO_CONVERGE : 0;
	packed |= s->allow_post_copy ? PACKED_POST_COPY : 0;
	packed |= s->allow_disruption ? PACKED_DISRUPTION : 0;
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
	};
	return 0;
}
