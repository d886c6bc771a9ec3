/* SPDX-License-Identifier: Apache-2.0 */
/* After a drain or a migration: what each guest cost, and what to do next. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

enum summary_column {
	SUMMARY_VM,
	SUMMARY_FROM,
	SUMMARY_TO,
	SUMMARY_DURATION,
	SUMMARY_DOWNTIME,
	SUMMARY_SENT,
	SUMMARY_WIRE,
	SUMMARY_GUARD,
	SUMMARY_CHECKS,
	SUMMARY_STATE,
	SUMMARY_WHY,
	SUMMARY_COLUMNS
};

static const struct column summary_columns[SUMMARY_COLUMNS] = {
	[SUMMARY_VM] = { "VM" },
	[SUMMARY_FROM] = { "FROM" },
	[SUMMARY_TO] = { "TO" },
	[SUMMARY_DURATION] = { "DURATION", COLUMN_RIGHT },
	[SUMMARY_DOWNTIME] = { "DOWNTIME", COLUMN_RIGHT },
	[SUMMARY_SENT] = { "SENT", COLUMN_RIGHT },
	[SUMMARY_WIRE] = { "ON WIRE", COLUMN_RIGHT | COLUMN_OPTIONAL },
	[SUMMARY_GUARD] = { "GUARD" },
	[SUMMARY_CHECKS] = { "CHECKS" },
	[SUMMARY_STATE] = { "RESULT", COLUMN_OPTIONAL },
	[SUMMARY_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

static void add_report(const struct output *o, struct table *t, const Drover__V1__Migration *m)
{
	const Drover__V1__AttemptReport *r = m->report;
	char text[OUTPUT_TEXT_BYTES], checks[CHECKS_SUMMARY_BYTES];

	table_set(t, SUMMARY_DURATION, "%s", output_duration(o, r->duration_ms, text));
	if (m->state == DROVER__V1__MIGRATION_STATE__DONE)
		table_set(t, SUMMARY_DOWNTIME, "%s", output_duration(o, r->downtime_ms, text));
	table_set(t, SUMMARY_SENT, "%s", output_bytes(o, r->transferred_bytes, text));
	if (r->wire_bytes)
		table_set(t, SUMMARY_WIRE, "%s", output_bytes(o, r->wire_bytes, text));
	if (r->n_checks) {
		table_set(t, SUMMARY_GUARD, "%s", guard_name(r->guard));
		table_set(t, SUMMARY_CHECKS, "%s", checks_summary(r->checks, r->n_checks, checks));
	}
}

static const Drover__V1__Migration *find_migration(Drover__V1__Migration *const *migrations,
                                                   size_t n, uint64_t number)
{
	for (size_t i = 0; i < n; i++) {
		if (migrations[i]->number == number)
			return migrations[i];
	}
	return NULL;
}

static int compare_durations(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Downtimes and bytes over all guests that moved. */
static void print_totals(const struct output *o, const Drover__V1__Drain *d,
                         Drover__V1__Migration *const *migrations, size_t n_migrations)
{
	_cleanup_free_ uint64_t *downtimes = xcalloc(d->n_vms + 1, sizeof(*downtimes));
	uint64_t worst_ms = 0, sent_bytes = 0, memory_bytes = 0;
	const char *worst_name = "";
	_cleanup_free_ char *worst_shown = NULL;
	char median[OUTPUT_TEXT_BYTES], worst[OUTPUT_TEXT_BYTES], sent[OUTPUT_TEXT_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < d->n_vms; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];
		const Drover__V1__Migration *m = find_migration(migrations, n_migrations,
		                                                vm->migration_number);

		if (!m || !m->report || m->state != DROVER__V1__MIGRATION_STATE__DONE)
			continue;
		downtimes[n++] = m->report->downtime_ms;
		sent_bytes += m->report->transferred_bytes;
		memory_bytes += vm->memory_bytes;
		if (m->report->downtime_ms >= worst_ms) {
			worst_ms = m->report->downtime_ms;
			worst_name = vm->name;
		}
	}
	if (n == 0)
		return;
	qsort(downtimes, n, sizeof(*downtimes), compare_durations);
	worst_shown = text_escape(worst_name, o->ascii);
	fprintf(o->file, "  downtime   median %s, worst %s (%s)        data sent %s",
	        output_duration(o, downtimes[(n - 1) / 2], median),
	        output_duration(o, worst_ms, worst), worst_shown,
	        output_bytes(o, sent_bytes, sent));
	if (memory_bytes)
		fprintf(o->file, " (%.2f %s memory)", (double)sent_bytes / (double)memory_bytes,
		        o->ascii ? "x" : "×");
	fputc('\n', o->file);
}

/* What all its migrations could have left, in one line; which it is says the migration. */
static void print_clean(const struct output *o, Drover__V1__Migration *const *migrations, size_t n)
{
	struct remnant_counts all = { 0 };
	char summary[REMNANTS_SUMMARY_BYTES];

	for (size_t i = 0; i < n; i++) {
		if (migration_is_over(migrations[i]) && migrations[i]->report)
			remnants_count(migrations[i]->report->remnants,
			               migrations[i]->report->n_remnants, &all);
	}
	if (all.total)
		fprintf(o->file, "  clean      %s\n", remnants_summary(&all, summary));
	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Migration *m = migrations[i];
		struct remnant_counts one = { 0 };
		_cleanup_free_ char *name = NULL;

		if (!migration_is_over(m) || !m->report)
			continue;
		remnants_count(m->report->remnants, m->report->n_remnants, &one);
		if (one.gone == one.total)
			continue;
		name = text_escape(m->vm_name, o->ascii);
		fprintf(o->file, "             %s: %s: drover show migration/%llu\n", name,
		        remnants_summary(&one, summary), (unsigned long long)m->number);
	}
}

static void print_headline(const struct output *o, const Drover__V1__Drain *d)
{
	struct drain_counts counts = drain_count(d);
	_cleanup_free_ char *node = text_escape(d->node, o->ascii);
	/* When it is over the reason only counts again what is counted here. */
	_cleanup_free_ char *reason = text_escape(drain_is_over(d) ? "" : d->reason, o->ascii);
	unsigned stay = counts.total - counts.moved - counts.stopped, off = 0;
	char elapsed[OUTPUT_TEXT_BYTES];

	output_duration(o, d->elapsed_ms, elapsed);
	if (strcmp(d->state, "completed") == 0)
		fprintf(o->file, "%s is empty and in maintenance. %u %s moved in %s", node,
		        counts.moved, counts.moved == 1 ? "VM" : "VMs", elapsed);
	else if (strcmp(d->state, "partly") == 0)
		fprintf(o->file, "%s is partly empty: %u of %u VMs moved in %s, %u left there",
		        node, counts.moved, counts.total, elapsed, stay);
	else if (strcmp(d->state, "cancelled") == 0)
		fprintf(o->file, "The drain of %s was cancelled: %u of %u VMs had moved after %s",
		        node, counts.moved, counts.total, elapsed);
	else
		fprintf(o->file, "%s: %u of %u VMs moved so far, %s", node, counts.moved,
		        counts.total, elapsed);
	for (size_t i = 0; i < d->n_vms; i++)
		off += *d->vms[i]->power && strcmp(d->vms[i]->state, "stopped") == 0;
	if (off)
		fprintf(o->file, ", %u shut down as asked", off);
	if (counts.stopped > off)
		fprintf(o->file, ", %u stopped by %s", counts.stopped - off,
		        counts.stopped - off == 1 ? "itself or others" : "themselves or others");
	fprintf(o->file, "%s%s.\n", *reason ? ": " : "", reason);
	if (d->by_wall_ms && d->ended_wall_ms > d->by_wall_ms)
		fprintf(o->file, "  deadline   missed by %s\n",
		        output_duration(o, d->ended_wall_ms - d->by_wall_ms, elapsed));
	else if (d->by_wall_ms && d->ended_wall_ms)
		fprintf(o->file, "  deadline   met, with %s to spare\n",
		        output_duration(o, d->by_wall_ms - d->ended_wall_ms, elapsed));
}

static void print_next(const struct output *o, const Drover__V1__Drain *d)
{
	_cleanup_free_ char *word = text_shell_word(d->node);
	_cleanup_free_ char *shown = text_escape(word, o->ascii);
	const Drover__V1__DrainVm *left = NULL;
	bool off = false;

	for (size_t i = 0; i < d->n_vms && !left; i++) {
		if (strcmp(d->vms[i]->state, "moved") != 0 &&
		    strcmp(d->vms[i]->state, "stopped") != 0)
			left = d->vms[i];
	}
	for (size_t i = 0; i < d->n_vms; i++)
		off |= strcmp(d->vms[i]->power, "off") == 0;
	if (strcmp(d->state, "completed") == 0) {
		fprintf(o->file, "  next       maintenance now, then: drover undrain %s%s\n", shown,
		        off ? " --bring-back, which starts those that are off" : "");
	} else if (left) {
		_cleanup_free_ char *name = text_shell_word(left->name);
		_cleanup_free_ char *name_shown = text_escape(name, o->ascii);

		fprintf(o->file,
		        "  next       drover explain vm/%s   or go back: drover undrain %s\n",
		        name_shown, shown);
	} else {
		fprintf(o->file, "  next       drover undrain %s\n", shown);
	}
	fprintf(o->file, "  look       drover vms   drover explain drain/%llu\n",
	        (unsigned long long)d->number);
}

void drain_summary_print(const struct output *o, const Drover__V1__Drain *d,
                         Drover__V1__Migration *const *migrations, size_t n_migrations)
{
	_cleanup_(table_freep) struct table *t = table_new(o, summary_columns, SUMMARY_COLUMNS);

	for (size_t i = 0; i < d->n_vms; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];
		const Drover__V1__Migration *m = find_migration(migrations, n_migrations,
		                                                vm->migration_number);
		bool moved = strcmp(vm->state, "moved") == 0;

		table_add_row(t);
		table_set(t, SUMMARY_VM, "%s", vm->name);
		table_set(t, SUMMARY_FROM, "%s", d->node);
		if (moved)
			table_set(t, SUMMARY_TO, "%s", m && *m->target ? m->target : vm->target);
		if (m && m->report)
			add_report(o, t, m);
		if (!moved) {
			table_set(t, SUMMARY_STATE, "%s", vm->state);
			table_set_colour(t, SUMMARY_STATE, COLOUR_YELLOW);
			table_set(t, SUMMARY_WHY, "%s", *vm->reason || !m ? vm->reason : m->reason);
		}
	}
	if (table_get_rows(t) > 0) {
		table_print(t);
		fputc('\n', o->file);
	}
	print_headline(o, d);
	print_totals(o, d, migrations, n_migrations);
	print_clean(o, migrations, n_migrations);
	print_next(o, d);
}

void migration_summary_print(const struct output *o, const Drover__V1__Migration *m)
{
	_cleanup_(table_freep) struct table *t = table_new(o, summary_columns, SUMMARY_COLUMNS);

	table_add_row(t);
	table_set(t, SUMMARY_VM, "%s", m->vm_name);
	table_set(t, SUMMARY_FROM, "%s", m->source);
	table_set(t, SUMMARY_TO, "%s", m->target);
	if (m->report)
		add_report(o, t, m);
	if (m->state != DROVER__V1__MIGRATION_STATE__DONE) {
		table_set(t, SUMMARY_STATE, "%s", migration_state_name(m->state));
		table_set_colour(t, SUMMARY_STATE, COLOUR_RED);
		table_set(t, SUMMARY_WHY, "%s", m->reason);
	}
	table_print(t);
	if (m->report && m->state == DROVER__V1__MIGRATION_STATE__DONE) {
		char verified[VERIFICATION_SUMMARY_BYTES];
		_cleanup_free_ char *shown = text_escape(verification_summary(m->report, verified),
		                                         o->ascii);

		fprintf(o->file, "  verified   %s\n", shown);
	}
	for (size_t i = 0; m->report && i < m->report->n_notes; i++) {
		_cleanup_free_ char *note = text_escape(m->report->notes[i], o->ascii);

		fprintf(o->file, "  note       %s\n", note);
	}
	if (m->report && m->report->n_remnants)
		remnants_print(o, 10, m->report->remnants, m->report->n_remnants);
	else if (m->report)
		fprintf(o->file,
		        "  clean      nobody looked: it never began, or its agent could not\n");
	fprintf(o->file, "  details    drover explain migration/%llu\n",
	        (unsigned long long)m->number);
}
