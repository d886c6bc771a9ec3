/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of drover pki status, for people and as JSON. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/json.h"
#include "tools/drover/pki_report.h"
#include "tools/drover/setup.h"
#include "tools/drover/text.h"

#include <string.h>

#define HOUR_MS ((uint64_t)60 * MINUTES_MS(1))
#define DAY_MS  (24 * HOUR_MS)

DEFINE_CLEANUP(struct table *, table_free);

enum { FILE_, WHOSE, BY, UNTIL, RENEWS, STATE, COLUMNS };

static const struct {
	const char *name; /* in JSON */
	enum output_colour colour;
} states[PKI_STATES] = {
	[PKI_GOOD] = { "good", COLOUR_NONE },
	[PKI_DUE] = { "due", COLOUR_YELLOW },
	[PKI_ENDS_SOON] = { "ends soon", COLOUR_YELLOW },
	[PKI_ENDED] = { "ended", COLOUR_RED },
	[PKI_NOT_YET] = { "not valid yet", COLOUR_RED },
	[PKI_UNREADABLE] = { "unreadable", COLOUR_RED },
};

/* For AUTHORITY_REQUESTS. */
static const char *const purposes[AUTHORITY_REQUESTS] = { "", "QEMU's TLS", "libvirt's remote" };

/* "364 days", "7 h", "12 s" */
static char *format_time(const struct output *o, uint64_t ms, char ret_text[OUTPUT_TEXT_BYTES])
{
	if (ms >= 2 * DAY_MS)
		snprintf(ret_text, OUTPUT_TEXT_BYTES, "%llu days",
		         (unsigned long long)(ms / DAY_MS));
	else if (ms >= 2 * HOUR_MS)
		snprintf(ret_text, OUTPUT_TEXT_BYTES, "%llu h", (unsigned long long)(ms / HOUR_MS));
	else
		output_duration(o, ms, ret_text);
	return ret_text;
}

static void set_state(struct table *t, const struct output *o, const struct pki_row *row,
                      uint64_t now_ms)
{
	char text[OUTPUT_TEXT_BYTES];
	uint64_t end_ms = row->facts.not_after_ms;

	table_set_colour(t, STATE, states[row->state].colour);
	switch (row->state) {
	case PKI_UNREADABLE:
		table_set(t, STATE, "%s", row->problem);
		return;
	case PKI_NOT_YET:
		table_set(t, STATE, "not valid for %s yet",
		          format_time(o, row->facts.not_before_ms - now_ms, text));
		return;
	case PKI_ENDED:
		table_set(t, STATE, "ended %s ago", format_time(o, now_ms - end_ms, text));
		return;
	case PKI_ENDS_SOON:
		table_set(t, STATE, "ends in %s", format_time(o, end_ms - now_ms, text));
		return;
	default:
		table_set(t, STATE, "good for %s%s", format_time(o, end_ms - now_ms, text),
		          row->state == PKI_DUE ? ", not renewed yet" : "");
	}
}

static void add_row(struct table *t, const struct output *o, const struct pki_row *row,
                    uint64_t now_ms)
{
	const struct certificate_facts *f = &row->facts;
	char text[CLOCK_TEXT_BYTES];

	table_add_row(t);
	table_set(t, FILE_, "%s", row->path);
	set_state(t, o, row, now_ms);
	if (row->state == PKI_UNREADABLE)
		return;
	table_set(t, WHOSE, "%s", f->uri[0] ? f->uri : f->name);
	table_set(t, BY, "%s", f->authority ? "itself" : f->issuer);
	table_set(t, UNTIL, "%s", clock_format_wall(f->not_after_ms, text));
	if (!f->authority)
		table_set(t, RENEWS, "%s", clock_format_wall(certificate_get_due_ms(f), text));
}

static bool is_said_above(const struct pki_report *r, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (r->rows[k].helps && strcmp(r->rows[k].helps, r->rows[i].helps) == 0)
			return true;
	}
	return false;
}

static void print_revoked(const struct output *o, const char *serial, uint64_t revoked_ms,
                          const char *rest)
{
	char when[CLOCK_TEXT_BYTES];

	fprintf(o->file, "revoked    %s since %s%s\n", serial, clock_format_wall(revoked_ms, when),
	        rest);
}

void pki_report_print(const struct output *o, const struct pki_report *r)
{
	static const struct column columns[COLUMNS] = {
		[FILE_] = { "FILE" },  [WHOSE] = { "WHOSE" },        [BY] = { "SIGNED BY" },
		[UNTIL] = { "UNTIL" }, [RENEWS] = { "RENEWS FROM" }, [STATE] = { "STATE" },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);

	for (size_t i = 0; i < r->n_rows; i++)
		add_row(t, o, &r->rows[i], r->now_ms);
	table_print(t);
	for (size_t i = 0; i < r->n_rows; i++) {
		_cleanup_free_ char *helps = NULL;

		if (!r->rows[i].helps || is_said_above(r, i))
			continue;
		helps = text_escape(r->rows[i].helps, o->ascii);
		fprintf(o->file, "next step  %s: %s\n", r->rows[i].path, helps);
	}
	if (r->has_authority)
		pki_print_progress(o->file, &r->progress);
	for (size_t i = 0; i < r->book.count; i++) {
		const struct ledger_entry *e = &r->book.entries[i];
		_cleanup_free_ char *rest = e->role == MESH_ROLE_NONE
		                                    ? xstrdup(", of nobody that is known here")
		                                    : xasprintf(", of %s %s%s%s",
		                                                mesh_role_name(e->role), e->name,
		                                                e->kind ? " for " : "",
		                                                purposes[e->kind]);

		print_revoked(o, e->serial, e->revoked_ms, rest);
	}
	for (size_t i = 0; i < r->n_refused; i++)
		print_revoked(o, r->refused[i].serial, r->refused[i].revoked_ms, "");
}

/* --- JSON --- */

/* "" of 0. */
static void write_time(FILE *to, const char *name, uint64_t wall_ms)
{
	char text[CLOCK_TEXT_BYTES];

	fprintf(to, ",\"%s\":\"%s\"", name, wall_ms ? clock_format_wall(wall_ms, text) : "");
}

static void write_text(FILE *to, const char *name, const char *text)
{
	fprintf(to, ",\"%s\":", name);
	json_write_string(to, text);
}

static void write_row(FILE *to, const struct pki_row *row, uint64_t now_ms)
{
	const struct certificate_facts *f = &row->facts;
	bool renews = row->state != PKI_UNREADABLE && !f->authority;
	long long left_ms = (long long)f->not_after_ms - (long long)now_ms;

	fputs("{\"file\":", to);
	json_write_string(to, row->path);
	write_text(to, "whose", f->uri[0] ? f->uri : f->name);
	write_text(to, "signedBy", f->issuer);
	write_text(to, "serial", f->serial);
	fprintf(to, ",\"authority\":%s", f->authority ? "true" : "false");
	write_time(to, "from", f->not_before_ms);
	write_time(to, "until", f->not_after_ms);
	write_time(to, "renewsFrom", renews ? certificate_get_due_ms(f) : 0);
	fprintf(to, ",\"secondsLeft\":%lld,\"state\":\"%s\"",
	        row->state == PKI_UNREADABLE ? 0 : left_ms / 1000, states[row->state].name);
	write_text(to, "problem", row->problem);
	write_text(to, "helps", row->helps ? row->helps : "");
	fputc('}', to);
}

static void write_authority(FILE *to, const struct authority_progress *p)
{
	fprintf(to, "{\"generation\":%u,\"beingReplaced\":%s", p->rotation.signs,
	        rotation_get_stage(&p->rotation) == ROTATION_NONE ? "false" : "true");
	write_text(to, "text", rotation_describe(&p->rotation));
	fputs(",\"waits\":[", to);
	for (size_t i = 0; i < p->n_waits; i++) {
		fprintf(to, "%s{\"role\":\"%s\"", i ? "," : "", mesh_role_name(p->waits[i].role));
		write_text(to, "name", p->waits[i].name);
		write_text(to, "why", p->waits[i].why);
		fputc('}', to);
	}
	fputs("]}", to);
}

static void write_revoked(FILE *to, bool first, const char *serial, uint64_t since_ms,
                          const struct ledger_entry *e)
{
	bool known = e && e->role != MESH_ROLE_NONE;

	fprintf(to, "%s{\"serial\":", first ? "" : ",");
	json_write_string(to, serial);
	write_time(to, "since", since_ms);
	write_text(to, "role", known ? mesh_role_name(e->role) : "");
	write_text(to, "name", known ? e->name : "");
	write_text(to, "purpose", e ? purposes[e->kind] : "");
	fputc('}', to);
}

void pki_report_print_json(const struct output *o, const struct pki_report *r)
{
	FILE *to = o->file;

	fputs("{\"certificates\":[", to);
	for (size_t i = 0; i < r->n_rows; i++) {
		fputs(i ? "," : "", to);
		write_row(to, &r->rows[i], r->now_ms);
	}
	fputs("],\"authority\":", to);
	if (r->has_authority)
		write_authority(to, &r->progress);
	else
		fputs("null", to);
	fputs(",\"revoked\":[", to);
	for (size_t i = 0; i < r->book.count; i++)
		write_revoked(to, i == 0, r->book.entries[i].serial, r->book.entries[i].revoked_ms,
		              &r->book.entries[i]);
	for (size_t i = 0; i < r->n_refused; i++)
		write_revoked(to, i == 0, r->refused[i].serial, r->refused[i].revoked_ms, NULL);
	fputs("]}\n", to);
}
