/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of what happens: migrations, drains, events. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/drover/text.h"

#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

#define NEW_TABLE(output, columns) table_new(output, columns, ARRAY_SIZE(columns))

enum migration_column {
	MIGRATION_ID,
	MIGRATION_VM,
	MIGRATION_FROM,
	MIGRATION_TO,
	MIGRATION_PHASE,
	MIGRATION_STATE,
	MIGRATION_PROGRESS,
	MIGRATION_RATE,
	MIGRATION_DIRTY,
	MIGRATION_ELAPSED,
	MIGRATION_PREDICTED,
	MIGRATION_DOWNTIME,
	MIGRATION_SENT,
	MIGRATION_WIRE,
	MIGRATION_GUARD,
	MIGRATION_ATTEMPT,
	MIGRATION_STARTED,
	MIGRATION_WHY,
	MIGRATION_COLUMNS
};

static const struct column migration_columns[MIGRATION_COLUMNS] = {
	[MIGRATION_ID] = { "ID", COLUMN_RIGHT },
	[MIGRATION_VM] = { "VM" },
	[MIGRATION_FROM] = { "FROM" },
	[MIGRATION_TO] = { "TO" },
	[MIGRATION_PHASE] = { "PHASE" },
	[MIGRATION_STATE] = { "STATE", COLUMN_WIDE },
	[MIGRATION_PROGRESS] = { "PROGRESS", COLUMN_RIGHT },
	[MIGRATION_RATE] = { "RATE", COLUMN_RIGHT },
	[MIGRATION_DIRTY] = { "DIRTY", COLUMN_RIGHT },
	[MIGRATION_ELAPSED] = { "ELAPSED", COLUMN_RIGHT },
	[MIGRATION_PREDICTED] = { "PREDICTED", COLUMN_WIDE },
	[MIGRATION_DOWNTIME] = { "DOWNTIME", COLUMN_RIGHT },
	[MIGRATION_SENT] = { "SENT", COLUMN_RIGHT | COLUMN_WIDE },
	[MIGRATION_WIRE] = { "ON-WIRE", COLUMN_RIGHT | COLUMN_WIDE },
	[MIGRATION_GUARD] = { "GUARD", COLUMN_WIDE },
	[MIGRATION_ATTEMPT] = { "ATTEMPT", COLUMN_RIGHT | COLUMN_WIDE },
	[MIGRATION_STARTED] = { "ASKED", COLUMN_WIDE },
	[MIGRATION_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

static enum output_colour migration_colour(Drover__V1__MigrationState state)
{
	switch (state) {
	case DROVER__V1__MIGRATION_STATE__DONE:
		return COLOUR_GREEN;
	case DROVER__V1__MIGRATION_STATE__FAILED:
	case DROVER__V1__MIGRATION_STATE__UNRESOLVED:
		return COLOUR_RED;
	case DROVER__V1__MIGRATION_STATE__CANCELLED:
		return COLOUR_YELLOW;
	default:
		return COLOUR_NONE;
	}
}

static void set_report(const struct output *o, struct table *t, const Drover__V1__Migration *m)
{
	const Drover__V1__AttemptReport *report = m->report;
	const Drover__V1__Progress *progress = report->progress;
	bool done = m->state == DROVER__V1__MIGRATION_STATE__DONE;
	char text[OUTPUT_TEXT_BYTES];

	/* Nothing was measured yet: that is not the same as zero. */
	if (progress && !progress->elapsed_ms && !progress->memory_processed_bytes)
		progress = NULL;
	if (done)
		table_set(t, MIGRATION_PROGRESS, "100%%");
	else if (progress && !migration_is_over(m))
		table_set(t, MIGRATION_PROGRESS, "%u%%", progress->percent);
	if (done && report->duration_ms)
		table_set(t, MIGRATION_RATE, "%s",
		          output_rate(o, report->transferred_bytes * 1000 / report->duration_ms,
		                      text));
	else if (progress)
		table_set(t, MIGRATION_RATE, "%s",
		          output_rate(o, progress->transfer_bytes_per_s, text));
	if (progress)
		table_set(t, MIGRATION_DIRTY, "%s",
		          output_rate(o, progress->dirty_bytes_per_s, text));
	if (migration_is_over(m))
		table_set(t, MIGRATION_ELAPSED, "%s", output_clock(o, report->duration_ms, text));
	else if (progress)
		table_set(t, MIGRATION_ELAPSED, "%s", output_clock(o, progress->elapsed_ms, text));
	if (done) {
		table_set(t, MIGRATION_DOWNTIME, "%s",
		          output_duration(o, report->downtime_ms, text));
		table_set(t, MIGRATION_SENT, "%s",
		          output_bytes(o, report->transferred_bytes, text));
	}
	if (report->wire_bytes)
		table_set(t, MIGRATION_WIRE, "%s", output_bytes(o, report->wire_bytes, text));
	if (report->n_checks)
		table_set(t, MIGRATION_GUARD, "%s", guard_name(report->guard));
}

char *migration_part_of(const Drover__V1__Migration *m)
{
	if (m->drain_number)
		return xasprintf("drain/%llu", (unsigned long long)m->drain_number);
	if (m->back_of)
		return xasprintf("comes back: drain/%llu is over", (unsigned long long)m->back_of);
	return xstrdup("");
}

void migrations_print(const struct output *o, Drover__V1__Migration *const *migrations, size_t n,
                      uint64_t now_wall_ms)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, migration_columns);
	char text[OUTPUT_TEXT_BYTES], predicted[PREDICTION_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Migration *m = migrations[i];
		_cleanup_free_ char *part_of = migration_part_of(m);

		if (o->format == OUTPUT_NAME) {
			fprintf(o->file, "migration/%llu\n", (unsigned long long)m->number);
			continue;
		}
		table_add_row(t);
		table_set(t, MIGRATION_ID, "%llu", (unsigned long long)m->number);
		table_set(t, MIGRATION_VM, "%s", m->vm_name);
		table_set(t, MIGRATION_FROM, "%s", m->source);
		table_set(t, MIGRATION_TO, "%s", m->target);
		table_set(t, MIGRATION_PHASE, "%s", migration_phase(m));
		table_set_colour(t, MIGRATION_PHASE, migration_colour(m->state));
		table_set(t, MIGRATION_STATE, "%s", migration_state_name(m->state));
		if (m->attempt_number)
			table_set(t, MIGRATION_ATTEMPT, "%u", m->attempt_number);
		table_set(t, MIGRATION_STARTED, "%s",
		          output_when(o, m->created_wall_ms, now_wall_ms, text));
		if (m->report)
			set_report(o, t, m);
		if (m->prediction)
			table_set(t, MIGRATION_PREDICTED, "%s",
			          prediction_interval(o, m->prediction, predicted));
		table_set(t, MIGRATION_WHY, "%s%s%s%s", part_of, *part_of && *m->reason ? "  " : "",
		          m->reason,
		          m->cancel_requested && !migration_is_over(m) ? "  (cancelling)" : "");
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}

enum drain_column {
	DRAIN_ID,
	DRAIN_NODE,
	DRAIN_STATE,
	DRAIN_VMS,
	DRAIN_DATA,
	DRAIN_ELAPSED,
	DRAIN_LEFT,
	DRAIN_PARALLEL,
	DRAIN_STARTED,
	DRAIN_WHY,
	DRAIN_COLUMNS
};

static const struct column drain_columns[DRAIN_COLUMNS] = {
	[DRAIN_ID] = { "ID", COLUMN_RIGHT },
	[DRAIN_NODE] = { "NODE" },
	[DRAIN_STATE] = { "STATE" },
	[DRAIN_VMS] = { "MOVED", COLUMN_RIGHT },
	[DRAIN_DATA] = { "MEMORY", COLUMN_RIGHT },
	[DRAIN_ELAPSED] = { "ELAPSED", COLUMN_RIGHT },
	[DRAIN_LEFT] = { "LEFT", COLUMN_RIGHT },
	[DRAIN_PARALLEL] = { "PARALLEL", COLUMN_RIGHT | COLUMN_WIDE },
	[DRAIN_STARTED] = { "STARTED" },
	[DRAIN_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

static enum output_colour drain_colour(const char *state)
{
	if (strcmp(state, "completed") == 0)
		return COLOUR_GREEN;
	if (strcmp(state, "blocked") == 0)
		return COLOUR_RED;
	if (strcmp(state, "partly") == 0 || strcmp(state, "cancelled") == 0)
		return COLOUR_YELLOW;
	return COLOUR_NONE;
}

void drains_print(const struct output *o, Drover__V1__Drain *const *drains, size_t n,
                  uint64_t now_wall_ms)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, drain_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Drain *d = drains[i];
		struct drain_counts counts = drain_count(d);

		if (o->format == OUTPUT_NAME) {
			fprintf(o->file, "drain/%llu\n", (unsigned long long)d->number);
			continue;
		}
		table_add_row(t);
		table_set(t, DRAIN_ID, "%llu", (unsigned long long)d->number);
		table_set(t, DRAIN_NODE, "%s", d->node);
		table_set(t, DRAIN_STATE, "%s", d->state);
		table_set_colour(t, DRAIN_STATE, drain_colour(d->state));
		table_set(t, DRAIN_VMS, "%u/%u", counts.moved, counts.total);
		table_set(t, DRAIN_DATA, "%s",
		          output_bytes_of(o, d->bytes_done, d->bytes_total, text));
		table_set(t, DRAIN_ELAPSED, "%s", output_clock(o, d->elapsed_ms, text));
		if (d->eta_known && !drain_is_over(d)) {
			output_clock(o, d->eta_ms, text);
			table_set(t, DRAIN_LEFT, "%s%s%s",
			          o->exact ? "" : output_get_glyphs(o)->about, o->exact ? "" : " ",
			          text);
		}
		if (d->parallel)
			table_set(t, DRAIN_PARALLEL, "%u", d->parallel);
		table_set(t, DRAIN_STARTED, "%s",
		          output_when(o, d->created_wall_ms, now_wall_ms, text));
		table_set(t, DRAIN_WHY, "%s", d->reason);
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}

/* Events are lines, not a table: when they are followed nobody knows the widths to come. */
void events_print(const struct output *o, Drover__V1__Event *const *events, size_t n, bool headers)
{
	if (headers && o->headers)
		fprintf(o->file, "%-20s  %-8s  %-16s  %s\n", "TIME", "SEVERITY", "SUBJECT", "TEXT");
	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Event *e = events[i];
		_cleanup_free_ char *severity = text_escape(e->severity, o->ascii);
		_cleanup_free_ char *subject = text_escape(e->subject, o->ascii);
		_cleanup_free_ char *words = text_escape(e->text, o->ascii);
		enum output_colour colour = strcmp(e->severity, "alarm") == 0     ? COLOUR_RED
		                            : strcmp(e->severity, "warning") == 0 ? COLOUR_YELLOW
		                                                                  : COLOUR_NONE;
		char when[CLOCK_TEXT_BYTES];

		fprintf(o->file, "%s  %s%-8s%s  %-16s  %s\n", clock_format_wall(e->wall_ms, when),
		        output_get_colour(o, colour), severity, output_get_colour(o, COLOUR_NONE),
		        subject, words);
	}
}
