/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. Any thread; no state between calls.
 *
 *	file --> libfyaml events --> staged[] (one per key) --> all required there? --> settings
 *
 * The events are matched against the caller's table as they come, so nothing is built from text
 * that the table does not name: depth and memory are bounded by the table, not by the file. Values
 * are staged and moved into the settings only when the whole file was good.
 *
 * libfyaml is told to collect its diagnostics; the first of them becomes our error. Marks count
 * from zero, people from one.
 */
#include "common/config.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "common/utf8.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 128

struct place {
	int line, column; /* from 1 */
};

/* A key or group that was met, for "twice" errors. */
struct seen {
	char path[PATH_BYTES];
	struct place place;
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
	const char *file; /* borrowed */
	const struct config_key *keys;
	size_t n_keys;
	struct staged *staged; /* n_keys of them */
	struct seen *seen;     /* at most every key and every group once */
	size_t n_seen;
	struct fy_diag *diag;
	struct fy_parser *parser;
	struct fy_event *event; /* the current one */
	struct place key_place; /* of the last key */
	struct error *err;
};

/* ---- errors with a place ---- */

static int fail(struct reader *r, struct place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct reader *r, struct place place, const char *format, ...)
{
	char what[ERROR_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	/* What the file holds is quoted; it must not reach a terminal as control characters. */
	utf8_make_printable(what);
	return error_set(r->err, ERROR_INVALID, "%s:%d:%d: %s", r->file, place.line, place.column,
	                 what);
}

/* Where the current event begins. The marks of quoted texts and aliases are behind their sign; a
 * value that is not written has none, and is missed at its key. */
static struct place here(const struct reader *r)
{
	const struct fy_mark *mark = fy_event_start_mark(r->event);
	enum fy_scalar_style style = FYSS_PLAIN;
	bool sign = r->event->type == FYET_ALIAS;

	if (!mark)
		return r->key_place;
	if (r->event->type == FYET_SCALAR)
		style = fy_token_scalar_style(r->event->scalar.value);
	sign = sign || style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
	return (struct place){ mark->line + 1, mark->column + (sign ? 0 : 1) };
}

/* ---- events ---- */

static void free_event(struct reader *r)
{
	if (r->event)
		fy_parser_event_free(r->parser, r->event);
	r->event = NULL;
}

static int fail_syntax(struct reader *r)
{
	void *iterator = NULL;
	struct fy_diag_error *first = fy_diag_errors_iterate(r->diag, &iterator);

	if (!first)
		return error_set(r->err, ERROR_INVALID, "%s: this is not YAML", r->file);
	return fail(r, (struct place){ first->line, first->column }, "this is not YAML: %s",
	            first->msg);
}

static int next_event(struct reader *r)
{
	free_event(r);
	r->event = fy_parser_parse(r->parser);
	if (!r->event)
		return fail_syntax(r);
	if (r->event->type == FYET_ALIAS)
		return fail(r, here(r), "aliases are not accepted; write the value out");
	if (fy_event_get_anchor_token(r->event))
		return fail(r, here(r), "anchors are not accepted; write the value out each time");
	if (fy_event_get_tag_token(r->event))
		return fail(r, here(r), "tags are not accepted; the key says what its value is");
	return 0;
}

/* The text of a scalar event, valid until the next event. */
static int get_text(struct reader *r, const char **ret_text)
{
	size_t bytes = 0;
	const char *text = fy_token_get_text(r->event->scalar.value, &bytes);

	for (size_t i = 0; text && i < bytes; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return fail(r, here(r), "a line break or control character is in it");
	}
	text = fy_token_get_text0(r->event->scalar.value);
	if (!text)
		return fail(r, here(r), "unreadable text");
	*ret_text = text;
	return 0;
}

/* Whether the scalar is YAML's "nothing": written out, or not written at all. */
static bool is_null(const struct reader *r, const char *text)
{
	return fy_token_scalar_style(r->event->scalar.value) == FYSS_PLAIN &&
	       (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
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

static int parse_number(const struct config_key *key, const char *text, uint64_t *ret_number,
                        struct error *err)
{
	uint64_t number = 0;
	int rc;

	switch (key->type) {
	case CONFIG_BOOL:
		rc = parse_bool(text, &number, err);
		break;
	case CONFIG_UINT:
		rc = parse_digits(text, &number, err);
		break;
	case CONFIG_BYTES:
		rc = units_parse_bytes(text, &number, err);
		break;
	case CONFIG_RATE:
		rc = units_parse_rate(text, &number, err);
		break;
	case CONFIG_DURATION:
		rc = units_parse_duration(text, &number, err);
		break;
	default:
		assert(!"strings and lists are not numbers");
		return -ERROR_INVALID;
	}
	if (rc == 0)
		*ret_number = number;
	return rc;
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

static int read_number(struct reader *r, const struct config_key *key, const char *text,
                       struct staged *staged)
{
	struct error err = { 0 };
	char limit[UNITS_TEXT_BYTES];
	uint64_t number = 0;

	if (parse_number(key, text, &number, &err) < 0)
		return fail(r, here(r), "%s: %s", key->path, err.text);
	if (number < key->min)
		return fail(r, here(r), "%s: %s is too small; the least is %s", key->path, text,
		            format_limit(key, key->min, limit));
	if (key->max && number > key->max)
		return fail(r, here(r), "%s: %s is too large; the most is %s", key->path, text,
		            format_limit(key, key->max, limit));
	staged->number = number;
	staged->present = true;
	return 0;
}

static int read_item(struct reader *r, const struct config_key *key, struct config_list *list)
{
	const char *text;
	int rc;

	if (r->event->type != FYET_SCALAR)
		return fail(r, here(r), "%s: expected a list of texts", key->path);
	rc = get_text(r, &text);
	if (rc < 0)
		return rc;
	if (!*text || is_null(r, text))
		return fail(r, here(r), "%s: an item is empty", key->path);
	if (list->count == CONFIG_LIST_MAX)
		return fail(r, here(r), "%s: more than %d items", key->path, CONFIG_LIST_MAX);
	list->items[list->count++] = xstrdup(text);
	return 0;
}

static int read_list(struct reader *r, const struct config_key *key, struct staged *staged)
{
	int rc;

	staged->list = xnew(struct config_list);
	staged->present = true;
	if (r->event->type == FYET_SCALAR)
		return read_item(r, key, staged->list);
	for (;;) {
		rc = next_event(r);
		if (rc < 0 || r->event->type == FYET_SEQUENCE_END)
			return rc;
		rc = read_item(r, key, staged->list);
		if (rc < 0)
			return rc;
	}
}

/* The current event begins the value of @key. */
static int read_value(struct reader *r, const struct config_key *key, struct staged *staged)
{
	const char *text;
	int rc;

	if (key->type == CONFIG_LIST && r->event->type == FYET_SEQUENCE_START)
		return read_list(r, key, staged);
	if (r->event->type != FYET_SCALAR)
		return fail(r, here(r), "%s: expected one value, found a %s", key->path,
		            r->event->type == FYET_SEQUENCE_START ? "list" : "block of keys");
	rc = get_text(r, &text);
	if (rc < 0)
		return rc;
	if (is_null(r, text) || (!*text && key->required))
		return fail(r, here(r), "%s: the value is missing", key->path);
	if (key->type == CONFIG_LIST)
		return read_list(r, key, staged);
	if (key->type != CONFIG_STRING)
		return read_number(r, key, text, staged);
	staged->string = xstrdup(text);
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
static int fail_unknown(struct reader *r, struct place place, const char *prefix, const char *name)
{
	char accepted[ERROR_TEXT_BYTES] = "";
	size_t used = 0, last_bytes = 0;
	const char *last = "";

	for (size_t i = 0; i < r->n_keys; i++) {
		const char *rest = below(r->keys[i].path, prefix);
		size_t bytes = rest ? strcspn(rest, "/") : 0;
		int added;

		if (!bytes || (bytes == last_bytes && strncmp(rest, last, bytes) == 0))
			continue;
		added = snprintf(accepted + used, sizeof(accepted) - used, "%s%.*s",
		                 used ? ", " : "", (int)bytes, rest);
		if (added < 0 || (size_t)added >= sizeof(accepted) - used)
			break;
		used += (size_t)added;
		last = rest;
		last_bytes = bytes;
	}
	return fail(r, place, "unknown key \"%.64s\"; known here: %s", name, accepted);
}

static int note_seen(struct reader *r, const char *path, struct place place)
{
	for (size_t i = 0; i < r->n_seen; i++) {
		if (strcmp(r->seen[i].path, path) == 0)
			return fail(r, place, "%s is set twice; the first is in line %d", path,
			            r->seen[i].place.line);
	}
	r->seen = xreallocarray(r->seen, r->n_seen + 1, sizeof(*r->seen));
	r->seen[r->n_seen].place = place;
	snprintf(r->seen[r->n_seen].path, PATH_BYTES, "%s", path);
	r->n_seen++;
	return 0;
}

static int read_mapping(struct reader *r, const char *prefix);

static int read_group(struct reader *r, const char *path)
{
	int rc = next_event(r);

	if (rc < 0)
		return rc;
	if (r->event->type != FYET_MAPPING_START)
		return fail(r, here(r), "%s: expected keys below it, indented", path);
	return read_mapping(r, path);
}

/* The current event is a key of the mapping at @prefix. */
static int read_entry(struct reader *r, const char *prefix)
{
	struct place place = here(r);
	char path[PATH_BYTES];
	const char *name;
	bool group = false;
	int rc;

	r->key_place = place;
	if (r->event->type != FYET_SCALAR)
		return fail(r, place, "a key must be a plain word");
	rc = get_text(r, &name);
	if (rc < 0)
		return rc;
	/* A name with a slash would reach into a group by another spelling. */
	if (!*name || strchr(name, '/') ||
	    snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "", name) >=
	            (int)sizeof(path))
		return fail_unknown(r, place, prefix, name);

	for (size_t i = 0; i < r->n_keys; i++) {
		if (strcmp(r->keys[i].path, path) == 0) {
			rc = note_seen(r, path, place);
			if (rc == 0)
				rc = next_event(r);
			return rc < 0 ? rc : read_value(r, &r->keys[i], &r->staged[i]);
		}
		group = group || below(r->keys[i].path, path);
	}
	if (!group)
		return fail_unknown(r, place, prefix, name);
	rc = note_seen(r, path, place);
	return rc < 0 ? rc : read_group(r, path);
}

static int read_mapping(struct reader *r, const char *prefix)
{
	for (;;) {
		int rc = next_event(r);

		if (rc < 0 || r->event->type == FYET_MAPPING_END)
			return rc;
		rc = read_entry(r, prefix);
		if (rc < 0)
			return rc;
	}
}

/* The current event is the document's one value. */
static int read_root(struct reader *r)
{
	const char *text;
	int rc;

	if (r->event->type == FYET_MAPPING_START)
		return read_mapping(r, "");
	if (r->event->type == FYET_SCALAR) {
		rc = get_text(r, &text);
		if (rc < 0 || is_null(r, text))
			return rc;
	}
	return fail(r, here(r), "expected lines of the form \"key: value\"");
}

static int read_stream(struct reader *r)
{
	bool first = true;
	int rc;

	for (;;) {
		rc = next_event(r);
		if (rc < 0 || r->event->type == FYET_STREAM_END)
			return rc;
		if (r->event->type != FYET_DOCUMENT_START)
			continue;
		rc = next_event(r);
		if (rc < 0)
			return rc;
		if (!first)
			return fail(r, here(r), "a second document (\"---\") is not accepted");
		first = false;
		rc = read_root(r);
		if (rc < 0)
			return rc;
	}
}

static int check_required(const struct reader *r)
{
	for (size_t i = 0; i < r->n_keys; i++) {
		if (r->keys[i].required && !r->staged[i].present)
			return error_set(r->err, ERROR_INVALID,
			                 "%s: the required key %s is missing", r->file,
			                 r->keys[i].path);
	}
	return 0;
}

/* ---- settings ---- */

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

static int read_file(const char *path, char **ret_text, size_t *ret_bytes, struct error *err)
{
	/* Not blocking: the path may name a pipe, which has no end and no size. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	struct stat info;
	size_t bytes = 0;
	ssize_t got;

	if (fd < 0)
		return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM, errno,
		                       "opening %s", path);
	if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return error_set(err, ERROR_INVALID, "%s is not a regular file", path);
	text = xmalloc(CONFIG_FILE_BYTES + 1);
	do {
		got = read(fd, text + bytes, CONFIG_FILE_BYTES + 1 - bytes);
		if (got < 0)
			return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
		bytes += (size_t)got;
	} while (got > 0 && bytes <= CONFIG_FILE_BYTES);

	if (bytes > CONFIG_FILE_BYTES)
		return error_set(err, ERROR_TOO_LARGE, "%s is larger than %d bytes", path,
		                 CONFIG_FILE_BYTES);
	if (memchr(text, '\0', bytes))
		return error_set(err, ERROR_INVALID, "%s is not text: it has a zero byte", path);
	*ret_text = take_pointer(text);
	*ret_bytes = bytes;
	return 0;
}

/* libfyaml takes some broken UTF-8 for the end of the text. */
static int check_utf8(struct reader *r, const char *text, size_t bytes)
{
	size_t valid_bytes = utf8_valid_bytes(text, bytes);
	struct place place = { 1, 1 };

	if (valid_bytes == bytes)
		return 0;
	for (size_t i = 0; i < valid_bytes; i++) {
		if (text[i] == '\n')
			place = (struct place){ place.line + 1, 1 };
		else if (((unsigned char)text[i] & 0xC0) != 0x80)
			place.column++;
	}
	return fail(r, place, "this is not UTF-8 text");
}

/* libfyaml prints to stderr unless its diagnostics are collected by an object of ours. */
static int open_parser(struct reader *r, const char *text, size_t bytes)
{
	struct fy_diag_cfg quiet;
	struct fy_parse_cfg yaml = { .flags = FYPCF_QUIET | FYPCF_JSON_NONE };

	fy_diag_cfg_default(&quiet);
	quiet.fp = NULL;
	r->diag = fy_diag_create(&quiet);
	if (r->diag)
		fy_diag_set_collect_errors(r->diag, true);
	yaml.diag = r->diag;
	r->parser = r->diag ? fy_parser_create(&yaml) : NULL;
	if (!r->parser || fy_parser_set_string(r->parser, text, bytes) != 0)
		return error_set(r->err, ERROR_SYSTEM, "%s: the YAML reader does not start",
		                 r->file);
	return 0;
}

static void close_parser(struct reader *r)
{
	free_event(r);
	if (r->parser)
		fy_parser_destroy(r->parser);
	if (r->diag)
		fy_diag_destroy(r->diag);
}

int config_load(const char *path, const struct config_key *keys, size_t n_keys, void *settings,
                struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct reader r = {
		.file = path, .keys = keys, .n_keys = n_keys, .err = err, .key_place = { 1, 1 }
	};
	size_t bytes;
	int rc;

	rc = read_file(path, &text, &bytes, err);
	if (rc < 0)
		return rc;
	r.staged = xcalloc(n_keys, sizeof(*r.staged));
	rc = check_utf8(&r, text, bytes);
	if (rc == 0)
		rc = open_parser(&r, text, bytes);
	if (rc == 0)
		rc = read_stream(&r);
	if (rc == 0)
		rc = check_required(&r);
	for (size_t i = 0; rc == 0 && i < n_keys; i++) {
		if (r.staged[i].present)
			store(&keys[i], &r.staged[i], settings);
	}
	close_parser(&r);
	drop_staged(&r);
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
