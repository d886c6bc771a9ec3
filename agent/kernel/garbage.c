/* SPDX-License-Identifier: Apache-2.0 */
/* See garbage.h, which has the table. Pure. */
#include "agent/kernel/garbage.h"

#include "common/alloc.h"

#include <assert.h>

static const char *const names[] = {
	[GARBAGE_SOURCE_DIRECTORY] = "directory",
	[GARBAGE_TARGET_DIRECTORY] = "directory",
	[GARBAGE_PROOF] = "proofs",
	[GARBAGE_HALF_IMAGE] = "images",
	[GARBAGE_LEASE] = "lease",
};
static_assert(ARRAY_SIZE(names) == GARBAGE_THINGS, "a thing without a name");

const char *garbage_thing_name(enum garbage_thing thing)
{
	assert((unsigned)thing < GARBAGE_THINGS);
	return names[thing];
}

static enum garbage_verdict judge_file(const struct garbage_facts *f, const char **ret_why)
{
	if (f->owner == GARBAGE_UNDER_WAY || f->reserved)
		return GARBAGE_NEEDED;
	if (f->thing == GARBAGE_PROOF && f->owner == GARBAGE_OVER)
		return GARBAGE_REMOVE;
	*ret_why = "this host does not know the attempt as its own: another one that shares the "
		   "directory may need it";
	return GARBAGE_DOUBT;
}

static enum garbage_verdict judge_lease(const struct garbage_facts *f, const char **ret_why)
{
	if (!f->over)
		return GARBAGE_NEEDED;
	switch (f->guest) {
	case GARBAGE_GUEST_GONE:
	case GARBAGE_GUEST_RUNS:
		return GARBAGE_REMOVE;
	case GARBAGE_GUEST_STILL:
		*ret_why = "its guest stands still here: whether it may run is for a person to say";
		return GARBAGE_DOUBT;
	default:
		*ret_why = "libvirt here does not say what became of its guest";
		return GARBAGE_DOUBT;
	}
}

enum garbage_verdict garbage_judge(const struct garbage_facts *f, const char **ret_why)
{
	*ret_why = "";
	if (f->safe_mode) {
		*ret_why = "the agent's journal was damaged: it may not know what is its own";
		return GARBAGE_DOUBT;
	}
	switch (f->thing) {
	case GARBAGE_SOURCE_DIRECTORY:
		return f->owner == GARBAGE_UNDER_WAY ? GARBAGE_NEEDED : GARBAGE_REMOVE;
	case GARBAGE_TARGET_DIRECTORY:
		return f->reserved ? GARBAGE_NEEDED : GARBAGE_REMOVE;
	case GARBAGE_LEASE:
		return judge_lease(f, ret_why);
	default:
		return judge_file(f, ret_why);
	}
}
