/* SPDX-License-Identifier: Apache-2.0 */
/* See path.h. Pure. */
#include "common/path.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const names[] = {
	[PATH_NONE] = "none",
	[PATH_LINK_SPEED] = "link-speed",
	[PATH_PROBE] = "probe",
	[PATH_HISTORY] = "history",
};
static_assert(ARRAY_SIZE(names) == PATH_METHODS, "a method without a name");

const char *path_method_name(enum path_method method)
{
	assert((unsigned)method < PATH_METHODS);
	return names[method];
}

enum path_method path_method_parse(const char *name)
{
	for (unsigned i = 0; i < PATH_METHODS; i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum path_method)i;
	}
	return PATH_NONE;
}

uint64_t path_narrower(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

static uint64_t subtract(uint64_t from, uint64_t amount)
{
	return from > amount ? from - amount : 0;
}

uint64_t path_available(const struct path_estimate *e, uint64_t sent_by_others,
                        uint64_t received_by_others)
{
	uint64_t near = subtract(e->near_bytes_per_s, sent_by_others);
	uint64_t far = subtract(e->far_bytes_per_s, received_by_others);

	return e->far_bytes_per_s && far < near ? far : near;
}

void path_limit(struct path_estimate *e, uint64_t link)
{
	if (!link)
		return;
	e->capacity_bytes_per_s = path_narrower(e->capacity_bytes_per_s, link);
	e->near_bytes_per_s = path_narrower(e->near_bytes_per_s, link);
	if (e->far_bytes_per_s > link)
		e->far_bytes_per_s = link;
}

uint64_t path_usable(uint64_t available, uint64_t capacity, uint64_t promised)
{
	return subtract(subtract(available, capacity / 100 * PATH_RESERVE_PERCENT), promised);
}

uint32_t path_confidence_after(uint32_t percent, uint64_t age_ms)
{
	double halves;

	if (percent > 100)
		percent = 100;
	if (age_ms <= PATH_FRESH_MS)
		return percent;
	halves = (double)(age_ms - PATH_FRESH_MS) / (double)PATH_HALF_LIFE_MS;
	return (uint32_t)(percent * exp2(-halves));
}
