/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a migration by name, and where each one comes from. Pure.
 *
 *	built in < the cluster's file < its drain < its guest < who asked for it < changed while it ran
 *
 * The later one wins. What somebody leaves out is as it was, origin and all, so that `drover explain
 * migration/N` can say of each value who chose it. */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stored by number (origins_pack): appended to, never renumbered. */
enum setting {
	SETTING_BANDWIDTH,
	SETTING_MAX_DOWNTIME,
	SETTING_COMPLETION_TIMEOUT,
	SETTING_PROGRESS_TIMEOUT,
	SETTING_LADDER,
	SETTING_AUTO_CONVERGE,
	SETTING_POST_COPY,
	SETTING_DISRUPTION,
	SETTING_COPY_DISKS,
	SETTING_CONNECTIONS,
	SETTING_COMPRESSION,
	SETTING_TLS,
	SETTING_NO_GUARD,
	SETTING_OFF_NETWORK,
	SETTING_LANES,
	SETTINGS
};

/* Likewise. */
enum origin {
	ORIGIN_BUILT_IN,
	ORIGIN_FILE,    /* the coordinator's */
	ORIGIN_DRAIN,   /* the migration's own drain */
	ORIGIN_VM,      /* kept for the guest: `drover tune vm/NAME` */
	ORIGIN_REQUEST, /* `drover migrate` */
	ORIGIN_TUNED,   /* `drover tune` of the migration */
	ORIGINS
};

struct migration_settings;
struct strategy;

/* KubeVirt's name where it has one: "maxDowntime". */
const char *setting_name(enum setting setting);
/* Its value with the unit; yes or no for a permission, and what else grants it. */
#define SETTING_TEXT_BYTES 96
const char *setting_format(const struct migration_settings *s, enum setting setting, char *ret);

/* One of the numbers or permissions; LADDER by its number. */
void setting_take(struct migration_settings *s, enum setting setting, uint64_t value,
                  enum origin origin);
/* The same for a value that was perhaps not given: 0 = it was not. */
void setting_take_given(struct migration_settings *s, enum setting setting, uint64_t value,
                        enum origin origin);
/* What it asks for comes on top: its ladder if it names one, its permissions, and what it forbids. */
void setting_take_strategy(struct migration_settings *s, const struct strategy *more,
                           enum origin origin);

/* As one number, for records. An origin that this version does not know becomes BUILT_IN. */
uint64_t origins_pack(const struct migration_settings *s);
void origins_unpack(uint64_t packed, struct migration_settings *ret);
