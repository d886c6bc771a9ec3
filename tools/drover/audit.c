/* SPDX-License-Identifier: Apache-2.0 */
/* drover audit: shows an audit log and proves its chain. Asks nobody: the file is all it needs, here
 * or copied somewhere else.
 *
 * The file may have been changed by anybody, so nothing of it reaches the terminal as it is: bytes
 * that are no printable ASCII, which no line of ours has, become question marks. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/audit/audit_read.h"
#include "proto/audit/audit_text.h"
#include "proto/json.h"
#include "tools/drover/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

enum audit_column {
	AT_TIME,
	AT_KIND,
	AT_WHO,
	AT_FROM,
	AT_METHOD,
	AT_ABOUT,
	AT_OUTCOME,
	AT_COLUMNS
};

static const struct column columns[AT_COLUMNS] = {
	[AT_TIME] = { "TIME" },       [AT_KIND] = { "KIND" },   [AT_WHO] = { "WHO" },
	[AT_FROM] = { "FROM" },       [AT_METHOD] = { "CALL" }, [AT_ABOUT] = { "ABOUT" },
	[AT_OUTCOME] = { "OUTCOME" },
};

struct printing {
	const struct output *out;
	struct table *table; /* NULL: the lines as they are */
	bool array;          /* with commas between them */
	uint64_t printed;
};

static char *printable_new(const char *text)
{
	char *copy = xstrdup(text);

	for (char *at = copy; *at; at++) {
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	}
	return copy;
}

/* The value of a field of the line itself, not of the objects in it, which stand at its end. Escapes
 * stay as they are written. */
static char *field_new(const char *line, const char *name)
{
	_cleanup_free_ char *begin = xasprintf("\"%s\":\"", name);
	const char *at = strstr(line, begin), *objects = strstr(line, "\":{"), *end;

	if (!at || (objects && at > objects))
		return xstrdup("");
	at += strlen(begin);
	for (end = at; *end && *end != '"'; end++)
		end += *end == '\\' && end[1];
	return xstrndup(at, (size_t)(end - at));
}

/* What an object has in its braces. */
static char *object_new(const char *line, const char *name)
{
	_cleanup_free_ char *begin = xasprintf("\"%s\":{", name);
	const char *at = strstr(line, begin), *end;

	if (!at)
		return xstrdup("");
	at += strlen(begin);
	end = strstr(at, "},\"");
	return xstrndup(at, end ? (size_t)(end - at) : strlen(at));
}

static void set_field(struct table *t, enum audit_column column, const char *line, const char *name)
{
	_cleanup_free_ char *value = field_new(line, name);
	const char *slash = column == AT_METHOD ? strrchr(value, '/') : NULL;

	table_set(t, column, "%s", slash ? slash + 1 : value);
}

static void add_row(struct table *t, const char *line)
{
	_cleanup_free_ char *outcome = field_new(line, "outcome"),
			    *reason = field_new(line, "reason");
	_cleanup_free_ char *about = object_new(line, "object");

	table_add_row(t);
	set_field(t, AT_TIME, line, "time");
	set_field(t, AT_KIND, line, "kind");
	set_field(t, AT_WHO, line, "who");
	set_field(t, AT_FROM, line, "address");
	set_field(t, AT_METHOD, line, "method");
	table_set(t, AT_ABOUT, "%s", about);
	table_set(t, AT_OUTCOME, "%s%s%s", outcome, *reason ? ": " : "", reason);
}

/* What somebody has put there is shown, and is no line of the log: neither a row of fields nor JSON. */
static void take_stranger(struct printing *p, const char *line)
{
	if (p->table) {
		table_add_row(p->table);
		table_set(p->table, AT_ABOUT, "%s", line);
		table_set(p->table, AT_OUTCOME, "not a line of an audit log");
		return;
	}
	fputs(!p->array ? "" : p->printed ? "," : "{\"lines\":[", p->out->file);
	fputs("{\"stranger\":", p->out->file);
	json_write_string(p->out->file, line);
	fputs(p->array ? "}" : "}\n", p->out->file);
}

static void take_line(const char *text, void *context)
{
	struct printing *p = context;
	_cleanup_free_ char *line = printable_new(text);
	size_t bytes = strlen(line);

	if (strncmp(line, "{\"seq\":", 7) != 0 || line[bytes - 1] != '}')
		take_stranger(p, line);
	else if (p->table)
		add_row(p->table, line);
	else
		fprintf(p->out->file, "%s%s%s",
		        !p->array    ? ""
		        : p->printed ? ","
		                     : "{\"lines\":[",
		        line, p->array ? "" : "\n");
	p->printed++;
}

static void print_json(const struct output *o, const struct audit_verdict *v)
{
	struct audit_text t;

	audit_text_init(&t);
	audit_text_add_bool(&t, "verified", v->bad_line == 0);
	audit_text_add_number(&t, "lineCount", v->lines);
	audit_text_add_number(&t, "firstSeq", v->first_seq);
	audit_text_add_number(&t, "lastSeq", v->last.seq);
	audit_text_add(&t, "lastHash", v->last.hash);
	audit_text_add_number(&t, "lostLines", v->lost);
	audit_text_add_number(&t, "tornBytes", v->torn_bytes);
	if (v->bad_line) {
		audit_text_add(&t, "badFile", v->bad_path);
		audit_text_add_number(&t, "badLine", v->bad_line);
		audit_text_add(&t, "problem", v->problem.text);
	}
	fprintf(o->file, "%s}\n", t.data);
}

static void print_verdict(FILE *to, const char *path, const struct audit_verdict *v)
{
	if (v->bad_line)
		fprintf(to,
		        "%s line %" PRIu64 " breaks the chain: %s. What stands before it is "
		        "proved; ask who could write this file\n",
		        v->bad_path, v->bad_line, v->problem.text);
	else if (v->lines == 0)
		fprintf(to, "%s has no line yet\n", path);
	else
		fprintf(to,
		        "%s: the chain holds, lines %" PRIu64 " to %" PRIu64 "; the last hash is "
		        "%s\n",
		        path, v->first_seq, v->last.seq, v->last.hash);
	if (v->lost)
		fprintf(to,
		        "%" PRIu64 " lines could not be written then and are missing, as the log "
		        "itself says\n",
		        v->lost);
	if (v->torn_bytes)
		fprintf(to,
		        "the last %" PRIu64
		        " bytes are a line that was not finished: a crash, or it "
		        "is being written now\n",
		        v->torn_bytes);
}

enum exit_code audit_run(const struct invocation *invocation)
{
	const char *path = invocation->words.items[0];
	const struct options *options = &invocation->options;
	struct output out;
	_cleanup_(table_freep) struct table *table = NULL;
	struct printing printing = { .out = &out, .array = options->format == OUTPUT_JSON };
	bool only_verify = options->verify;
	struct audit_verdict verdict;
	struct error err;

	output_init(&out, stdout, options->colour);
	out.format = options->format;
	if (options->format == OUTPUT_TABLE && !only_verify)
		printing.table = table = table_new(&out, columns, AT_COLUMNS);
	if (audit_read(path, only_verify ? NULL : take_line, &printing, &verdict, &err) < 0) {
		fprintf(stderr, "drover: audit: %s\n", err.text);
		return exit_from_error(err.code);
	}
	if (table)
		table_print(table);
	if (printing.array) {
		if (printing.printed == 0)
			fputs(only_verify ? "{" : "{\"lines\":[", stdout);
		fputs(only_verify ? "" : "],", stdout);
		print_json(&out, &verdict);
	} else {
		print_verdict(only_verify && options->format == OUTPUT_TABLE ? stdout : stderr,
		              path, &verdict);
	}
	return verdict.bad_line ? EXIT_FAILED : EXIT_DONE;
}
