/* SPDX-License-Identifier: Apache-2.0 */
/* YAML files as a row of plain events, each with its place. The edge to libfyaml.
 *
 * A careful part of YAML: one document, scalars, lists and maps. Anchors, aliases, tags, control
 * characters and bytes that are not UTF-8 are refused here, so that whoever reads the events meets
 * none of them. Nothing is built in memory but the file's text: the reader decides what it keeps
 * and how deep it goes.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct yaml;

struct yaml_place {
	int line, column; /* from 1 */
};

enum yaml_kind {
	YAML_END, /* of the file; nothing is read after it */
	YAML_SCALAR,
	YAML_LIST, /* its items follow, up to YAML_LIST_END */
	YAML_LIST_END,
	YAML_MAP, /* keys and values follow in turn, up to YAML_MAP_END */
	YAML_MAP_END,
};

struct yaml_event {
	enum yaml_kind kind;
	struct yaml_place place;
	const char *text; /* of a scalar: borrowed until the next call; else "" */
	bool null;        /* a scalar that is not written, or as ~ or null */
};

/* Reads the regular file @path of at most @limit_bytes. Errors: not there, not a file, too large,
 * not UTF-8 text. */
int yaml_open(const char *path, size_t limit_bytes, struct yaml **ret_yaml, struct error *err);
void yaml_close(struct yaml *yaml);

/* The next event. An empty file has none but YAML_END. */
int yaml_next(struct yaml *yaml, struct yaml_event *ret_event, struct error *err);

/* -ERROR_INVALID with "FILE:LINE:COLUMN: <what>"; what is quoted from the file is made printable. */
int yaml_fail(const struct yaml *yaml, struct yaml_place place, struct error *err,
              const char *format, ...) __attribute__((format(printf, 4, 5)));
