/* SPDX-License-Identifier: Apache-2.0 */
/* "drover explain": sentences of the coordinator, then every check with its numbers, then the
 * settings with where they come from. */
#include "tools/drover/explanation.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/strategy.h"
#include "tools/drover/text.h"

#include <stdarg.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

void explanation_say(const struct output *o, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *shown = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	shown = text_escape(text, o->ascii);
	fprintf(o->file, "%s\n", shown);
}

void explanation_fact(const struct output *o, const char *name, const char *value)
{
	if (*value)
		explanation_say(o, "  %-14s %s", name, value);
}

static enum output_colour verdict_colour(Drover__V1__Check__Verdict verdict)
{
	switch (verdict) {
	case DROVER__V1__CHECK__VERDICT__PASS:
		return COLOUR_GREEN;
	case DROVER__V1__CHECK__VERDICT__WARN:
		return COLOUR_YELLOW;
	default:
		return COLOUR_RED;
	}
}

void checks_print(const struct output *o, Drover__V1__Check *const *checks, size_t n)
{
	enum { CHECK, VERDICT, MEASURED, REQUIRED, REMEDY, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[CHECK] = { "  CHECK" },
		[VERDICT] = { "VERDICT" },
		[MEASURED] = { "MEASURED", COLUMN_WRAP },
		[REQUIRED] = { "REQUIRED", COLUMN_WRAP },
		[REMEDY] = { "WHAT TO DO", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Check *check = checks[i];

		table_add_row(t);
		table_set(t, CHECK, "  %s", check->id);
		table_set(t, VERDICT, "%s", verdict_name(check->verdict));
		table_set_colour(t, VERDICT, verdict_colour(check->verdict));
		table_set(t, MEASURED, "%s%s%s", check->reason,
		          *check->reason && *check->measured ? ": " : "", check->measured);
		table_set(t, REQUIRED, "%s", check->required);
		table_set(t, REMEDY, "%s", check->remedy);
	}
	table_print(t);
}

static void settings_print(const struct output *o, Drover__V1__Setting *const *settings, size_t n)
{
	enum { SETTING, VALUE, FROM, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[SETTING] = { "SETTING" }, [VALUE] = { "VALUE" }, [FROM] = { "FROM" }
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);

	for (size_t i = 0; i < n; i++) {
		table_add_row(t);
		table_set(t, SETTING, "%s", settings[i]->name);
		table_set(t, VALUE, "%s", settings[i]->value);
		table_set(t, FROM, "%s", settings[i]->from);
	}
	table_print(t);
}

static void target_print(const struct output *o, const Drover__V1__Explanation__Target *target)
{
	_cleanup_free_ char *node = text_escape(target->node, o->ascii);

	fprintf(o->file, "\n%s%s%s: %s%s%s", output_get_colour(o, COLOUR_BOLD), node,
	        output_get_colour(o, COLOUR_NONE),
	        output_get_colour(o, target->fits ? COLOUR_GREEN : COLOUR_RED),
	        target->fits ? "yes" : "no", output_get_colour(o, COLOUR_NONE));
	if (target->fits || target->guard != DROVER__V1__GUARD__GUARD_NONE)
		fprintf(o->file, "   guard against running twice: %s", guard_name(target->guard));
	fputc('\n', o->file);
	checks_print(o, target->checks, target->n_checks);
}

#define NAMED_MOST 3

/* Nodes that nobody asked for the same reason, in two lines: there may be thousands. */
static void unasked_print(const struct output *o, const Drover__V1__Explanation *e, size_t first)
{
	const char *reason = e->targets[first]->reason;
	_cleanup_free_ char *said = text_escape(*reason ? reason : "it was not asked", o->ascii);
	size_t named = 0, others = 0;

	fprintf(o->file, "\n%s", output_get_colour(o, COLOUR_BOLD));
	for (size_t i = first; i < e->n_targets; i++) {
		_cleanup_free_ char *node = NULL;

		if (e->targets[i]->n_checks || strcmp(e->targets[i]->reason, reason) != 0)
			continue;
		if (named == NAMED_MOST) {
			others++;
			continue;
		}
		node = text_escape(e->targets[i]->node, o->ascii);
		fprintf(o->file, "%s%s", named++ ? ", " : "", node);
	}
	if (others)
		fprintf(o->file, " and %zu more", others);
	fprintf(o->file, "%s: %snot asked%s\n  %s\n", output_get_colour(o, COLOUR_NONE),
	        output_get_colour(o, COLOUR_RED), output_get_colour(o, COLOUR_NONE), said);
}

static void targets_print(const struct output *o, const Drover__V1__Explanation *e)
{
	for (size_t i = 0; i < e->n_targets; i++) {
		bool told = false;

		if (e->targets[i]->n_checks) {
			target_print(o, e->targets[i]);
			continue;
		}
		for (size_t j = 0; j < i && !told; j++)
			told = !e->targets[j]->n_checks &&
			       strcmp(e->targets[j]->reason, e->targets[i]->reason) == 0;
		if (!told)
			unasked_print(o, e, i);
	}
}

static void strategy_print(const struct output *o, const Drover__V1__MigrationSettings *settings)
{
	char line[128];

	if ((unsigned)settings->ladder < LADDERS && settings->ladder)
		explanation_fact(o, "ladder",
		                 strategy_ladder_name((enum ladder_name)settings->ladder));
	snprintf(line, sizeof(line), "%s%s%s",
	         settings->allow_auto_converge ? ", auto-converge" : "",
	         settings->allow_post_copy ? ", post-copy" : "",
	         settings->allow_workload_disruption ? ", a pause until it is moved" : "");
	if (line[0])
		explanation_fact(o, "permitted", line + 2);
}

static void limits_print(const struct output *o, const Drover__V1__MigrationSettings *settings)
{
	char text[OUTPUT_TEXT_BYTES];

	explanation_fact(o, "bandwidth",
	                 settings->bandwidth_bytes_per_s
	                         ? output_rate(o, settings->bandwidth_bytes_per_s, text)
	                         : "no limit");
	if (settings->max_downtime_ms)
		explanation_fact(o, "max downtime",
		                 output_duration(o, settings->max_downtime_ms, text));
	if (settings->completion_timeout_ms_per_gib) {
		char line[OUTPUT_TEXT_BYTES + 16];

		snprintf(line, sizeof(line), "%s per GiB",
		         output_duration(o, settings->completion_timeout_ms_per_gib, text));
		explanation_fact(o, "time limit", line);
	}
	if (settings->progress_timeout_ms)
		explanation_fact(o, "stall limit",
		                 output_duration(o, settings->progress_timeout_ms, text));
}

/* @told: a table says most of it, with where each comes from. */
static void migration_settings_print(const struct output *o,
                                     const Drover__V1__MigrationSettings *settings, bool told)
{
	if (!told)
		limits_print(o, settings);
	explanation_fact(o, "encryption", settings->tls ? "TLS" : "none");
	if (settings->no_guard)
		explanation_fact(o, "no guard",
		                 "locks only, no two-step commit: an administrator said so");
	if (settings->unsafe)
		explanation_fact(
			o, "unsafe",
			"storage that was not proved to be the same on both hosts was taken for "
			"it: an administrator said so");
	if (told)
		return;
	strategy_print(o, settings);
	if (settings->copy_disks)
		explanation_fact(o, "disks", "copied where they are not shared");
}

static void migration_print(const struct output *o, const Drover__V1__Migration *m, bool told)
{
	_cleanup_free_ char *part_of = migration_part_of(m);
	char when[CLOCK_TEXT_BYTES];

	fputc('\n', o->file);
	explanation_say(o, "migration/%llu  %s  %s %s %s  %s", (unsigned long long)m->number,
	                m->vm_name, m->source, output_get_glyphs(o)->arrow,
	                *m->target ? m->target : "?", migration_phase(m));
	explanation_fact(o, "state", migration_state_name(m->state));
	explanation_fact(o, "reason", m->reason);
	if (m->report && strcmp(m->report->reason, m->reason) != 0)
		explanation_fact(o, "the agent says", m->report->reason);
	explanation_fact(o, "part of", part_of);
	if (m->attempt_number > 1)
		explanation_say(o, "  %-14s %u", "attempt", m->attempt_number);
	if (m->cancel_requested && !migration_is_over(m))
		explanation_fact(o, "cancelling", "yes");
	if (m->created_wall_ms)
		explanation_fact(o, "asked for", clock_format_wall(m->created_wall_ms, when));
	if (m->ended_wall_ms)
		explanation_fact(o, "ended", clock_format_wall(m->ended_wall_ms, when));
	if (m->settings)
		migration_settings_print(o, m->settings, told);
	if (m->prediction && m->state == DROVER__V1__MIGRATION_STATE__DONE && m->report)
		prediction_print(o, m->prediction, m->report->duration_ms, m->report->downtime_ms,
		                 m->report->transferred_bytes);
	else if (m->prediction)
		prediction_print(o, m->prediction, 0, 0, 0);
	if (m->report)
		explanation_print_report(o, m->report, migration_is_over(m));
}

static void drain_print(const struct output *o, const Drover__V1__Drain *d)
{
	enum { NAME, STATE, MEM, TO, NOW, WHY, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[NAME] = { "VM" },
		[STATE] = { "STATE" },
		[MEM] = { "MEM", COLUMN_RIGHT },
		[TO] = { "TO" },
		[NOW] = { "MIGRATION", COLUMN_OPTIONAL },
		[WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	char text[OUTPUT_TEXT_BYTES];

	fputc('\n', o->file);
	explanation_say(o, "drain/%llu  %s  %s%s%s", (unsigned long long)d->number, d->node,
	                d->state, *d->reason ? ": " : "", d->reason);
	for (size_t i = 0; i < d->n_vms; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];

		table_add_row(t);
		table_set(t, NAME, "%s", vm->name);
		table_set(t, STATE, "%s", vm->state);
		table_set(t, MEM, "%s", output_bytes(o, vm->memory_bytes, text));
		table_set(t, TO, "%s", vm->target);
		if (vm->migration_number)
			table_set(t, NOW, "migration/%llu",
			          (unsigned long long)vm->migration_number);
		table_set(t, WHY, "%s", vm->reason);
	}
	table_print(t);
	for (size_t i = 0; i < d->n_vms; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];

		if (strcmp(vm->state, "blocked") != 0 || vm->n_checks == 0)
			continue;
		fputc('\n', o->file);
		explanation_say(o, "%s %s %s", vm->name, output_get_glyphs(o)->arrow,
		                *vm->target ? vm->target : "nowhere");
		checks_print(o, vm->checks, vm->n_checks);
	}
}

void explanation_print(const struct output *o, const char *asked, const Drover__V1__Explanation *e)
{
	_cleanup_free_ char *subject = text_escape(*e->subject ? e->subject : asked, o->ascii);

	fprintf(o->file, "%s%s%s\n", output_get_colour(o, COLOUR_BOLD), subject,
	        output_get_colour(o, COLOUR_NONE));
	for (size_t i = 0; i < e->n_lines; i++)
		explanation_say(o, "  %s", e->lines[i]);
	if (e->migration)
		migration_print(o, e->migration, e->n_settings > 0);
	if (e->drain)
		drain_print(o, e->drain);
	if (e->plan)
		explanation_print_plan(o, e->plan, clock_wall_ms());
	if (e->policy)
		policy_print(o, e->policy, clock_wall_ms());
	targets_print(o, e);
	if (e->n_settings) {
		fputc('\n', o->file);
		settings_print(o, e->settings, e->n_settings);
	}
}
