/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. Any thread; no state between calls.
 *
 *	file --> yaml events --> staged[] (one per key) --> all required there? --> settings
 *
 * The events are matched against the caller's table as they come, so nothing is built from text that
 * the table does not name: depth and memory are bounded by the table, not by the file. Values are
 * staged and moved into the settings only when the whole file was good.
 */
#include "common/config.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "common/yaml.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 128

/* A key or group that was met, for "twice" errors. */
struct seen {
	char path[PATH_BYTES];
	int line;
};

struct staged {
	bool present;
	union {
		char *string;             /* CONFIG_STRING: owned */
		struct config_list *list; /* CONFIG_LIST: owned */
		uint64_t number;          /* the others; a bool is 0 or 1 */
	};
};

struct reader {
	struct yaml *yaml;
	struct yaml_event event; /* the current one */
	const struct config_key *keys;
	size_t n_keys;
	struct staged *staged; /* n_keys of them */
	struct seen *seen;     /* at most every key and every group once */
	size_t n_seen;
	struct error *err;
};

#define fail(r, ...) yaml_fail((r)->yaml, (r)->event.place, (r)->err, __VA_ARGS__)

static int next(struct reader *r)
{
	return yaml_next(r->yaml, &r->event, r->err);
}

/* ---- values ---- */

static int parse_digits(const char *text, uint64_t *ret_number, struct error *err)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	/* A leading zero is octal to one YAML reader and decimal to the next. */
	if (!*text || strspn(text, "0123456789") != strlen(text) || (text[0] == '0' && text[1]))
		return error_set(err, ERROR_INVALID, "\"%s\" is not a whole number", text);
	if (errno)
		return error_set(err, ERROR_INVALID, "\"%s\" is too large", text);
	return 0;
}

static int parse_bool(const char *text, uint64_t *ret_number, struct error *err)
{
	*ret_number = strcmp(text, "true") == 0;
	if (!*ret_number && strcmp(text, "false") != 0)
		return error_set(err, ERROR_INVALID, "\"%s\" is neither true nor false", text);
	return 0;
}

static int parse_number(enum config_type type, const char *text, uint64_t *ret_number,
                        struct error *err)
{
	switch (type) {
	case CONFIG_BOOL:
		return parse_bool(text, ret_number, err);
	case CONFIG_UINT:
		return parse_digits(text, ret_number, err);
	case CONFIG_BYTES:
		return units_parse_bytes(text, ret_number, err);
	case CONFIG_RATE:
		return units_parse_rate(text, ret_number, err);
	case CONFIG_DURATION:
		return units_parse_duration(text, ret_number, err);
	case CONFIG_STRING:
	case CONFIG_LIST:
		break;
	}
	assert(!"strings and lists are not numbers");
	return -ERROR_INVALID;
}

/* A limit as the operator would write it. */
static const char *format_limit(const struct config_key *key, uint64_t limit, char *ret_text)
{
	if (key->type == CONFIG_BYTES)
		return units_format_bytes(limit, ret_text);
	if (key->type == CONFIG_RATE)
		return units_format_rate(limit, ret_text);
	if (key->type == CONFIG_DURATION)
		return units_format_duration(limit, ret_text);
	snprintf(ret_text, UNITS_TEXT_BYTES, "%" PRIu64, limit);
	return ret_text;
}

static int read_number(struct reader *r, const struct config_key *key, struct staged *staged)
{
	const char *text = r->event.text;
	struct error err = { 0 };
	char limit[UNITS_TEXT_BYTES];
	uint64_t number = 0;

	if (parse_number(key->type, text, &number, &err) != 0)
		return fail(r, "%s: %s", key->path, err.text);
	if (number < key->min)
		return fail(r, "%s: %s is too small; the least is %s", key->path, text,
		            format_limit(key, key->min, limit));
	if (key->max && number > key->max)
		return fail(r, "%s: %s is too large; the most is %s", key->path, text,
		            format_limit(key, key->max, limit));
	staged->number = number;
	staged->present = true;
	return 0;
}

static int read_item(struct reader *r, const struct config_key *key, struct config_list *list)
{
	if (r->event.kind != YAML_SCALAR)
		return fail(r, "%s: expected a list of texts", key->path);
	if (!*r->event.text || r->event.null)
		return fail(r, "%s: an item is empty", key->path);
	if (list->count == CONFIG_LIST_MAX)
		return fail(r, "%s: more than %d items", key->path, CONFIG_LIST_MAX);
	list->items[list->count++] = xstrdup(r->event.text);
	return 0;
}

static int read_list(struct reader *r, const struct config_key *key, struct staged *staged)
{
	int rc;

	staged->list = xnew(struct config_list);
	staged->present = true;
	if (r->event.kind == YAML_SCALAR)
		return read_item(r, key, staged->list);
	for (;;) {
		rc = next(r);
		if (rc != 0 || r->event.kind == YAML_LIST_END)
			return rc;
		rc = read_item(r, key, staged->list);
		if (rc != 0)
			return rc;
	}
}

/* The current event begins the value of @key. */
static int read_value(struct reader *r, const struct config_key *key, struct staged *staged)
{
	if (key->type == CONFIG_LIST && r->event.kind == YAML_LIST)
		return read_list(r, key, staged);
	if (r->event.kind != YAML_SCALAR)
		return fail(r, "%s: expected one value, found a %s", key->path,
		            r->event.kind == YAML_LIST ? "list" : "block of keys");
	if (r->event.null || (!*r->event.text && key->required))
		return fail(r, "%s: the value is missing", key->path);
	if (key->type == CONFIG_LIST)
		return read_list(r, key, staged);
	if (key->type != CONFIG_STRING)
		return read_number(r, key, staged);
	staged->string = xstrdup(r->event.text);
	staged->present = true;
	return 0;
}

/* ---- keys ---- */

/* Where the part of @path below @prefix begins; NULL if it is not below it. */
static const char *below(const char *path, const char *prefix)
{
	size_t bytes = strlen(prefix);

	if (bytes == 0)
		return path;
	if (strncmp(path, prefix, bytes) != 0 || path[bytes] != '/')
		return NULL;
	return path + bytes + 1;
}

/* "unknown key", and which ones there are. */
static int fail_unknown(struct reader *r, const char *prefix)
{
	char known[ERROR_TEXT_BYTES] = "";
	size_t used = 0, last_bytes = 0;
	const char *last = "";

	for (size_t i = 0; i < r->n_keys; i++) {
		const char *rest = below(r->keys[i].path, prefix);
		size_t bytes = rest ? strcspn(rest, "/") : 0;
		int added;

		if (!bytes || (bytes == last_bytes && strncmp(rest, last, bytes) == 0))
			continue;
		added = snprintf(known + used, sizeof(known) - used, "%s%.*s", used ? ", " : "",
		                 (int)bytes, rest);
		if (added < 0 || (size_t)added >= sizeof(known) - used)
			break;
		used += (size_t)added;
		last = rest;
		last_bytes = bytes;
	}
	return fail(r, "unknown key \"%.64s\"; known here: %s", r->event.text, known);
}

static int note_seen(struct reader *r, const char *path)
{
	for (size_t i = 0; i < r->n_seen; i++) {
		if (strcmp(r->seen[i].path, path) == 0)
			return fail(r, "%s is set twice; the first is in line %d", path,
			            r->seen[i].line);
	}
	r->seen = xreallocarray(r->seen, r->n_seen + 1, sizeof(*r->seen));
	r->seen[r->n_seen].line = r->event.place.line;
	snprintf(r->seen[r->n_seen].path, PATH_BYTES, "%s", path);
	r->n_seen++;
	return 0;
}

static const struct config_key *find_key(const struct reader *r, const char *path)
{
	for (size_t i = 0; i < r->n_keys; i++) {
		if (strcmp(r->keys[i].path, path) == 0)
			return &r->keys[i];
	}
	return NULL;
}

static bool is_group(const struct reader *r, const char *path)
{
	for (size_t i = 0; i < r->n_keys; i++) {
		if (below(r->keys[i].path, path))
			return true;
	}
	return false;
}

/* The recursion below goes as deep as the table: a group that it does not name is an error. */
/* NOLINTBEGIN(misc-no-recursion) */
static int read_map(struct reader *r, const char *prefix);

/* The current event is a key of the map at @prefix. */
static int read_entry(struct reader *r, const char *prefix)
{
	const struct config_key *key;
	char path[PATH_BYTES];
	int rc;

	if (r->event.kind != YAML_SCALAR)
		return fail(r, "a key must be a plain word");
	/* A name with a slash would reach into a group by another spelling. */
	if (!*r->event.text || strchr(r->event.text, '/') ||
	    snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "", r->event.text) >=
	            (int)sizeof(path))
		return fail_unknown(r, prefix);
	key = find_key(r, path);
	if (!key && !is_group(r, path))
		return fail_unknown(r, prefix);

	rc = note_seen(r, path);
	if (rc == 0)
		rc = next(r);
	if (rc != 0)
		return rc;
	if (key)
		return read_value(r, key, &r->staged[key - r->keys]);
	if (r->event.kind != YAML_MAP)
		return fail(r, "%s: expected keys below it, indented", path);
	return read_map(r, path);
}

static int read_map(struct reader *r, const char *prefix)
{
	for (;;) {
		int rc = next(r);

		if (rc != 0 || r->event.kind == YAML_MAP_END)
			return rc;
		rc = read_entry(r, prefix);
		if (rc != 0)
			return rc;
	}
}
/* NOLINTEND(misc-no-recursion) */

static int read_all(struct reader *r)
{
	int rc = next(r);

	if (rc != 0 || r->event.kind == YAML_END)
		return rc;
	if (r->event.kind == YAML_MAP)
		rc = read_map(r, "");
	else if (!r->event.null)
		return fail(r, "expected lines of the form \"key: value\"");
	/* To the end: what follows a good beginning can be bad. */
	while (rc == 0 && r->event.kind != YAML_END)
		rc = next(r);
	return rc;
}

/* ---- settings ---- */

static int check_required(const struct reader *r, const char *path)
{
	for (size_t i = 0; i < r->n_keys; i++) {
		if (r->keys[i].required && !r->staged[i].present)
			return error_set(r->err, ERROR_INVALID,
			                 "%s: the required key %s is missing", path,
			                 r->keys[i].path);
	}
	return 0;
}

static void clear_list(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	list->count = 0;
}

static void store(const struct config_key *key, struct staged *staged, void *settings)
{
	void *field = (char *)settings + key->offset;

	switch (key->type) {
	case CONFIG_STRING:
		free(*(char **)field);
		*(char **)field = take_pointer(staged->string);
		return;
	case CONFIG_LIST:
		clear_list(field);
		*(struct config_list *)field = *staged->list;
		staged->list->count = 0;
		return;
	case CONFIG_BOOL:
		*(bool *)field = staged->number != 0;
		return;
	default:
		*(uint64_t *)field = staged->number;
	}
}

static void drop_staged(struct reader *r)
{
	for (size_t i = 0; i < r->n_keys; i++) {
		if (!r->staged[i].present)
			continue;
		if (r->keys[i].type == CONFIG_LIST) {
			clear_list(r->staged[i].list);
			free(r->staged[i].list);
		} else if (r->keys[i].type == CONFIG_STRING) {
			free(r->staged[i].string);
		}
	}
	free(r->staged);
	free(r->seen);
}

int config_load(const char *path, const struct config_key *keys, size_t n_keys, void *settings,
                struct error *err)
{
	struct reader r = { .keys = keys, .n_keys = n_keys, .err = err };
	int rc;

	rc = yaml_open(path, CONFIG_FILE_BYTES, &r.yaml, err);
	if (rc != 0)
		return rc;
	r.staged = xcalloc(n_keys, sizeof(*r.staged));
	rc = read_all(&r);
	if (rc == 0)
		rc = check_required(&r, path);
	for (size_t i = 0; rc == 0 && i < n_keys; i++) {
		if (!r.staged[i].present)
			continue;
		store(&keys[i], &r.staged[i], settings);
		if (keys[i].noted)
			*(bool *)((char *)settings + keys[i].noted) = true;
	}
	drop_staged(&r);
	yaml_close(r.yaml);
	return rc;
}

void config_free(const struct config_key *keys, size_t n_keys, void *settings)
{
	for (size_t i = 0; i < n_keys; i++) {
		void *field = (char *)settings + keys[i].offset;

		if (keys[i].type == CONFIG_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (keys[i].type == CONFIG_LIST) {
			clear_list(field);
		}
	}
}
