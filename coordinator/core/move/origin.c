/* SPDX-License-Identifier: Apache-2.0 */
/* See origin.h. Pure. */
#include "coordinator/core/move/origin.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/facts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define ORIGIN_BITS 4
static_assert(ORIGINS <= 1 << ORIGIN_BITS && SETTINGS * ORIGIN_BITS < 63,
              "the origins of all settings are one number");

static const char *const names[] = {
	[SETTING_BANDWIDTH] = "bandwidthPerMigration",
	[SETTING_MAX_DOWNTIME] = "maxDowntime",
	[SETTING_COMPLETION_TIMEOUT] = "completionTimeoutPerGiB",
	[SETTING_PROGRESS_TIMEOUT] = "progressTimeout",
	[SETTING_LADDER] = "ladder",
	[SETTING_AUTO_CONVERGE] = "allowAutoConverge",
	[SETTING_POST_COPY] = "allowPostCopy",
	[SETTING_DISRUPTION] = "allowWorkloadDisruption",
	[SETTING_COPY_DISKS] = "copyDisks",
	[SETTING_CONNECTIONS] = "parallelConnections",
	[SETTING_COMPRESSION] = "compression",
	[SETTING_TLS] = "tls",
	[SETTING_NO_GUARD] = "noGuard",
	[SETTING_OFF_NETWORK] = "offMigrationNetwork",
	[SETTING_LANES] = "lanes",
};
static_assert(ARRAY_SIZE(names) == SETTINGS, "a setting without a name");

const char *setting_name(enum setting setting)
{
	assert((unsigned)setting < SETTINGS);
	return names[setting];
}

/* A ladder that is named after a measure permits it. */
static void format_permission(bool given, bool permitted, const struct strategy *s, char *ret)
{
	if (permitted && !given)
		snprintf(ret, SETTING_TEXT_BYTES, "no, but the ladder %s permits it",
		         strategy_ladder_name(s->ladder));
	else
		snprintf(ret, SETTING_TEXT_BYTES, "%s", given ? "yes" : "no");
}

static void format_timeout(uint64_t ms, const char *per, char *ret)
{
	char text[UNITS_TEXT_BYTES];

	if (ms)
		snprintf(ret, SETTING_TEXT_BYTES, "%s%s", units_format_duration(ms, text), per);
	else
		snprintf(ret, SETTING_TEXT_BYTES, "none");
}

const char *setting_format(const struct migration_settings *s, enum setting setting, char *ret)
{
	const struct strategy *strategy = &s->strategy;
	char text[UNITS_TEXT_BYTES];

	switch (setting) {
	case SETTING_BANDWIDTH:
		snprintf(ret, SETTING_TEXT_BYTES, "%s",
		         units_format_speed(s->bandwidth_bytes_per_s, text));
		break;
	case SETTING_MAX_DOWNTIME:
		snprintf(ret, SETTING_TEXT_BYTES, "%s",
		         s->max_downtime_ms ? units_format_duration(s->max_downtime_ms, text)
		                            : "QEMU's own");
		break;
	case SETTING_COMPLETION_TIMEOUT:
		format_timeout(s->completion_timeout_ms_per_gib, " per GiB", ret);
		break;
	case SETTING_PROGRESS_TIMEOUT:
		format_timeout(s->progress_timeout_ms, "", ret);
		break;
	case SETTING_LADDER:
		snprintf(ret, SETTING_TEXT_BYTES, "%s", strategy_ladder_name(strategy->ladder));
		break;
	case SETTING_AUTO_CONVERGE:
		format_permission(strategy->allow_auto_converge,
		                  strategy_permits_auto_converge(strategy), strategy, ret);
		break;
	case SETTING_POST_COPY:
		format_permission(strategy->allow_post_copy, strategy_permits_post_copy(strategy),
		                  strategy, ret);
		break;
	case SETTING_DISRUPTION:
		format_permission(strategy->allow_disruption, strategy_permits_pause(strategy),
		                  strategy, ret);
		break;
	case SETTING_COPY_DISKS:
		snprintf(ret, SETTING_TEXT_BYTES, "%s%s%.60s%s", s->copy_disks ? "yes" : "no",
		         s->transfer.copy_only[0] ? ": " : "", s->transfer.copy_only,
		         s->transfer.copy_incremental ? ", incremental" : "");
		break;
	case SETTING_CONNECTIONS:
		snprintf(ret, SETTING_TEXT_BYTES, "%u",
		         s->transfer.connections ? s->transfer.connections : 1);
		break;
	case SETTING_COMPRESSION:
		snprintf(ret, SETTING_TEXT_BYTES, "%s", compression_name(s->transfer.compression));
		break;
	case SETTING_TLS:
		snprintf(ret, SETTING_TEXT_BYTES, "%s", s->tls ? "yes" : "no");
		break;
	case SETTING_NO_GUARD:
		snprintf(ret, SETTING_TEXT_BYTES, "%s", s->no_guard ? "yes" : "no");
		break;
	case SETTING_OFF_NETWORK:
		snprintf(ret, SETTING_TEXT_BYTES, "%s", s->stop_off_network ? "stop" : "warn");
		break;
	case SETTING_LANES:
		snprintf(ret, SETTING_TEXT_BYTES, "%s",
		         s->shortest_first ? "shortest-first" : "fair");
		break;
	case SETTINGS:
		abort();
	}
	return ret;
}

void setting_take(struct migration_settings *s, enum setting setting, uint64_t value,
                  enum origin origin)
{
	switch (setting) {
	case SETTING_BANDWIDTH:
		s->bandwidth_bytes_per_s = value;
		break;
	case SETTING_MAX_DOWNTIME:
		s->max_downtime_ms = value;
		break;
	case SETTING_COMPLETION_TIMEOUT:
		s->completion_timeout_ms_per_gib = value;
		break;
	case SETTING_PROGRESS_TIMEOUT:
		s->progress_timeout_ms = value;
		break;
	case SETTING_LADDER:
		s->strategy.ladder = (enum ladder_name)value;
		break;
	case SETTING_AUTO_CONVERGE:
		s->strategy.allow_auto_converge = value;
		break;
	case SETTING_POST_COPY:
		s->strategy.allow_post_copy = value;
		break;
	case SETTING_DISRUPTION:
		s->strategy.allow_disruption = value;
		break;
	case SETTING_COPY_DISKS:
		s->copy_disks = value;
		break;
	case SETTING_CONNECTIONS:
		s->transfer.connections = (uint32_t)value;
		break;
	case SETTING_COMPRESSION:
		s->transfer.compression = (enum compression)value;
		break;
	case SETTING_TLS:
		s->tls = value;
		break;
	case SETTING_NO_GUARD:
		s->no_guard = value;
		break;
	case SETTING_OFF_NETWORK:
		s->stop_off_network = value;
		break;
	case SETTING_LANES:
		s->shortest_first = value;
		break;
	case SETTINGS:
		abort();
	}
	s->from[setting] = (uint8_t)origin;
}

void setting_take_given(struct migration_settings *s, enum setting setting, uint64_t value,
                        enum origin origin)
{
	if (value)
		setting_take(s, setting, value, origin);
}

void setting_take_strategy(struct migration_settings *s, const struct strategy *more,
                           enum origin origin)
{
	if (more->forbid_auto_converge)
		setting_take(s, SETTING_AUTO_CONVERGE, false, origin);
	if (more->forbid_post_copy)
		setting_take(s, SETTING_POST_COPY, false, origin);
	if (more->forbid_disruption)
		setting_take(s, SETTING_DISRUPTION, false, origin);
	if (more->plain)
		setting_take(s, SETTING_LADDER, LADDER_PLAIN, origin);
	else if (strategy_ladder_is_forbidden(s->strategy.ladder, more))
		/* Its steps without the measure that it is named after. */
		setting_take(s, SETTING_LADDER, LADDER_MINIMAL_DOWNTIME, origin);
	setting_take_given(s, SETTING_LADDER, more->ladder, origin);
	setting_take_given(s, SETTING_AUTO_CONVERGE, more->allow_auto_converge, origin);
	setting_take_given(s, SETTING_POST_COPY, more->allow_post_copy, origin);
	setting_take_given(s, SETTING_DISRUPTION, more->allow_disruption, origin);
	/* Who permits post-copy has said more than who set up the usual way, which excludes it. */
	if (strategy_permits_post_copy(more)) {
		if (s->transfer.connections > 1)
			setting_take(s, SETTING_CONNECTIONS, 1, origin);
		if (s->transfer.compression == COMPRESSION_MT)
			setting_take(s, SETTING_COMPRESSION, COMPRESSION_NONE, origin);
	}
}

uint64_t origins_pack(const struct migration_settings *s)
{
	uint64_t packed = 0;

	for (unsigned i = 0; i < SETTINGS; i++)
		packed |= (uint64_t)s->from[i] << (i * ORIGIN_BITS);
	return packed;
}

void origins_unpack(uint64_t packed, struct migration_settings *ret)
{
	for (unsigned i = 0; i < SETTINGS; i++) {
		unsigned origin = packed >> (i * ORIGIN_BITS) & ((1u << ORIGIN_BITS) - 1);

		ret->from[i] = origin < ORIGINS ? (uint8_t)origin : ORIGIN_BUILT_IN;
	}
}
