/* SPDX-License-Identifier: Apache-2.0 */
/* See yaml.h. Any thread; a reader belongs to one at a time.
 *
 * libfyaml prints its diagnostics to stderr unless they are collected by an object of ours; the first
 * of them becomes our error. Its marks count from zero, people from one.
 */
#include "common/yaml.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct yaml {
	char *path;
	char *text;
	struct fy_diag *diag;
	struct fy_parser *parser;
	struct fy_event *event;  /* the current one */
	struct yaml_place place; /* of the current event, or of the last that had one */
	bool had_document;
};

DEFINE_CLEANUP(struct yaml *, yaml_close);

int yaml_fail(const struct yaml *yaml, struct yaml_place place, struct error *err,
              const char *format, ...)
{
	char what[ERROR_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	utf8_make_printable(what);
	return error_set(err, ERROR_INVALID, "%s:%d:%d: %s", yaml->path, place.line, place.column,
	                 what);
}

/* ---- the file ---- */

static int read_file(const char *path, size_t limit_bytes, char **ret_text, size_t *ret_bytes,
                     struct error *err)
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
	text = xmalloc(limit_bytes + 1);
	do {
		got = read(fd, text + bytes, limit_bytes + 1 - bytes);
		if (got < 0)
			return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
		bytes += (size_t)got;
	} while (got > 0 && bytes <= limit_bytes);

	if (bytes > limit_bytes)
		return error_set(err, ERROR_TOO_LARGE, "%s is larger than %zu bytes", path,
		                 limit_bytes);
	if (memchr(text, '\0', bytes))
		return error_set(err, ERROR_INVALID, "%s is not text: it has a zero byte", path);
	*ret_text = take_pointer(text);
	*ret_bytes = bytes;
	return 0;
}

/* libfyaml takes some broken UTF-8 for the end of the text. */
static int check_utf8(const struct yaml *yaml, size_t bytes, struct error *err)
{
	size_t valid_bytes = utf8_valid_bytes(yaml->text, bytes);
	struct yaml_place place = { 1, 1 };

	if (valid_bytes == bytes)
		return 0;
	for (size_t i = 0; i < valid_bytes; i++) {
		if (yaml->text[i] == '\n')
			place = (struct yaml_place){ place.line + 1, 1 };
		else if (((unsigned char)yaml->text[i] & 0xC0) != 0x80)
			place.column++;
	}
	return yaml_fail(yaml, place, err, "this is not UTF-8 text");
}

int yaml_open(const char *path, size_t limit_bytes, struct yaml **ret_yaml, struct error *err)
{
	_cleanup_(yaml_closep) struct yaml *yaml = xnew(struct yaml);
	struct fy_parse_cfg settings = { .flags = FYPCF_QUIET | FYPCF_JSON_NONE };
	struct fy_diag_cfg quiet;
	size_t bytes = 0;
	int rc;

	yaml->path = xstrdup(path);
	yaml->place = (struct yaml_place){ 1, 1 };
	rc = read_file(path, limit_bytes, &yaml->text, &bytes, err);
	if (rc == 0)
		rc = check_utf8(yaml, bytes, err);
	if (rc != 0)
		return rc;

	fy_diag_cfg_default(&quiet);
	quiet.fp = NULL;
	yaml->diag = fy_diag_create(&quiet);
	if (yaml->diag)
		fy_diag_set_collect_errors(yaml->diag, true);
	settings.diag = yaml->diag;
	yaml->parser = yaml->diag ? fy_parser_create(&settings) : NULL;
	if (!yaml->parser || fy_parser_set_string(yaml->parser, yaml->text, bytes) != 0)
		return error_set(err, ERROR_SYSTEM, "%s: the YAML reader does not start", path);
	*ret_yaml = take_pointer(yaml);
	return 0;
}

static void free_event(struct yaml *yaml)
{
	if (yaml->event)
		fy_parser_event_free(yaml->parser, yaml->event);
	yaml->event = NULL;
}

void yaml_close(struct yaml *yaml)
{
	if (!yaml)
		return;
	free_event(yaml);
	if (yaml->parser)
		fy_parser_destroy(yaml->parser);
	if (yaml->diag)
		fy_diag_destroy(yaml->diag);
	free(yaml->text);
	free(yaml->path);
	free(yaml);
}

/* ---- events ---- */

static int fail_syntax(struct yaml *yaml, struct error *err)
{
	void *iterator = NULL;
	struct fy_diag_error *first = fy_diag_errors_iterate(yaml->diag, &iterator);

	if (!first)
		return yaml_fail(yaml, yaml->place, err, "this is not YAML");
	return yaml_fail(yaml, (struct yaml_place){ first->line, first->column }, err,
	                 "this is not YAML: %s", first->msg);
}

/* The marks of quoted texts, aliases and anchors are behind their sign. A value that is not written
 * has no mark: it is missed at what was before it, its key. */
static void note_place(struct yaml *yaml)
{
	const struct fy_mark *mark = fy_event_start_mark(yaml->event);
	enum fy_scalar_style style = FYSS_PLAIN;
	bool sign = yaml->event->type == FYET_ALIAS;

	if (!mark)
		return;
	if (yaml->event->type == FYET_SCALAR)
		style = fy_token_scalar_style(yaml->event->scalar.value);
	sign = sign || style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
	yaml->place = (struct yaml_place){ mark->line + 1, mark->column + (sign ? 0 : 1) };
}

static int fetch(struct yaml *yaml, struct error *err)
{
	free_event(yaml);
	yaml->event = fy_parser_parse(yaml->parser);
	if (!yaml->event)
		return fail_syntax(yaml, err);
	note_place(yaml);
	if (yaml->event->type == FYET_ALIAS)
		return yaml_fail(yaml, yaml->place, err,
		                 "aliases are not accepted; write the value out");
	if (fy_event_get_anchor_token(yaml->event))
		return yaml_fail(yaml, yaml->place, err,
		                 "anchors are not accepted; write the value out each time");
	if (fy_event_get_tag_token(yaml->event))
		return yaml_fail(yaml, yaml->place, err,
		                 "tags are not accepted; the key says what its value is");
	return 0;
}

static int get_scalar(struct yaml *yaml, struct yaml_event *event, struct error *err)
{
	struct fy_token *token = yaml->event->scalar.value;
	size_t bytes = 0;
	const char *text = fy_token_get_text(token, &bytes);

	for (size_t i = 0; text && i < bytes; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return yaml_fail(yaml, yaml->place, err,
			                 "a line break or control character is in it");
	}
	event->text = fy_token_get_text0(token);
	if (!event->text)
		return yaml_fail(yaml, yaml->place, err, "unreadable text");
	event->null = fy_token_scalar_style(token) == FYSS_PLAIN &&
	              (!*event->text || strcmp(event->text, "~") == 0 ||
	               strcasecmp(event->text, "null") == 0);
	return 0;
}

int yaml_next(struct yaml *yaml, struct yaml_event *ret_event, struct error *err)
{
	struct yaml_event event = { .text = "" };
	int rc;

	for (;;) {
		rc = fetch(yaml, err);
		if (rc != 0)
			return rc;
		event.place = yaml->place;
		switch (yaml->event->type) {
		case FYET_DOCUMENT_START:
			if (yaml->had_document)
				return yaml_fail(yaml, yaml->place, err,
				                 "a second document (\"---\") is not accepted");
			yaml->had_document = true;
			continue;
		case FYET_STREAM_END:
			event.kind = YAML_END;
			break;
		case FYET_SCALAR:
			event.kind = YAML_SCALAR;
			rc = get_scalar(yaml, &event, err);
			break;
		case FYET_SEQUENCE_START:
			event.kind = YAML_LIST;
			break;
		case FYET_SEQUENCE_END:
			event.kind = YAML_LIST_END;
			break;
		case FYET_MAPPING_START:
			event.kind = YAML_MAP;
			break;
		case FYET_MAPPING_END:
			event.kind = YAML_MAP_END;
			break;
		default: /* the beginning of the stream, the end of the document */
			continue;
		}
		if (rc == 0)
			*ret_event = event;
		return rc;
	}
}
