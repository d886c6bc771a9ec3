/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: YAML read against a table, all or nothing.
 *
 * A daemon describes its settings once:
 *
 *	static const struct config_key keys[] = {
 *		{ "node", CONFIG_STRING, offsetof(struct settings, node), .required = true },
 *		{ "memory/capacity", CONFIG_BYTES, offsetof(struct settings, capacity_bytes) },
 *	};
 *
 * Every problem is reported with its file, line and column, what was found and what is accepted.
 * Unknown and duplicate keys, anchors and aliases, and files over CONFIG_FILE_BYTES are refused: a
 * typing error must not silently turn into a default.
 */
#pragma once

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE_BYTES ((size_t)1024 * 1024)
#define CONFIG_LIST_MAX   64

enum config_type {
	CONFIG_STRING,   /* char *, owned */
	CONFIG_LIST,     /* struct config_list: a YAML list of strings, or one string */
	CONFIG_BOOL,     /* bool: true or false */
	CONFIG_UINT,     /* uint64_t */
	CONFIG_BYTES,    /* uint64_t, bytes: 512MiB */
	CONFIG_RATE,     /* uint64_t, bytes per second: 1Gbit/s; 0 = no limit */
	CONFIG_DURATION, /* uint64_t, milliseconds: 150s */
};

struct config_list {
	char *items[CONFIG_LIST_MAX]; /* owned */
	size_t count;
};

struct config_key {
	const char *path; /* "memory/capacity" */
	enum config_type type;
	size_t offset; /* into the settings struct */
	bool required;
	uint64_t min, max; /* for numbers; max 0 = no limit */
	size_t noted; /* offset of a bool that becomes true if the file has this key; 0 = none */
};

/* Fills @settings, which holds the defaults (strings allocated), from @path. On failure @settings
 * keeps its values as they were. */
int config_load(const char *path, const struct config_key *keys, size_t n_keys, void *settings,
                struct error *err);

/* Frees the strings and lists that @keys name inside @settings. */
void config_free(const struct config_key *keys, size_t n_keys, void *settings);
