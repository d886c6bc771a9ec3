/* SPDX-License-Identifier: Apache-2.0 */
/* Progress for terminals:
 *
 *	host1  ██████████████████░░░░░░░░░░░░  9/14 VMs   132/212 GiB   elapsed 1:52   left ≈ 1:14
 *	  ✔ web1    → node2   8 GiB   11.2 s   downtime 41 ms
 *	    … 7 more done
 *	  ▶ db1     → node3  64 GiB  ████████████░░░░░░░░  61 %  pass 3   7.8 Gbit/s   ends ≈ 0:36
 *	  · mail    → node2  16 GiB  waits: 2 of 2 outbound slots of host1 in use
 *
 * What runs is always shown; if the screen is too small, what is done goes first, then what waits.
 */
#include "tools/drover/progress_private.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BAR_DRAIN     30
#define BAR_MIGRATION 20
#define NAME_COLUMNS  24

struct writer {
	const struct output *o;
	const struct glyphs *glyphs;
	uint64_t now_ms;
	int name_columns, target_columns;
	struct frame frame;
};

static void __attribute__((format(printf, 2, 3))) add(struct writer *w, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	w->frame.lines = xreallocarray(w->frame.lines, w->frame.count + 1, sizeof(char *));
	w->frame.lines[w->frame.count++] = text;
}

void frame_deinit(struct frame *frame)
{
	for (size_t i = 0; i < frame->count; i++)
		free(frame->lines[i]);
	free(frame->lines);
	*frame = (struct frame){ 0 };
}

#define BAR_BYTES (BAR_DRAIN * 4 + 3)

static const char *bar(const struct writer *w, double part, unsigned columns, char *ret_text)
{
	unsigned full = part <= 0 ? 0 : part >= 1 ? columns : (unsigned)(part * columns);
	char *to = ret_text;

	if (w->o->ascii)
		*to++ = '[';
	for (unsigned i = 0; i < columns; i++)
		to = stpcpy(to, i < full ? w->glyphs->full : w->glyphs->empty);
	if (w->o->ascii)
		*to++ = ']';
	*to = 0;
	return ret_text;
}

/* Escaped and padded to @columns on the screen. Owned. */
static char *padded(const struct writer *w, const char *text, int columns)
{
	_cleanup_free_ char *shown = text_escape(text, w->o->ascii);
	_cleanup_free_ char *cut = text_cut(shown, NAME_COLUMNS, w->glyphs->more);
	int pad = columns - (int)text_width(cut);

	return xasprintf("%s%*s", cut, pad > 0 ? pad : 0, "");
}

static int shown_columns(const struct writer *w, const char *text)
{
	_cleanup_free_ char *shown = padded(w, text, 0);

	return (int)text_width(shown);
}

/* "  ▶ db1     → node3  64 GiB"; owned. @memory_bytes 0 = not known. */
static char *head(const struct writer *w, const char *glyph, enum output_colour colour,
                  const char *name, const char *target, uint64_t memory_bytes)
{
	_cleanup_free_ char *shown_name = padded(w, name, w->name_columns);
	_cleanup_free_ char *shown_target = padded(w, *target ? target : "?", w->target_columns);
	char bytes[OUTPUT_TEXT_BYTES] = "";

	if (memory_bytes)
		output_bytes(w->o, memory_bytes, bytes);
	return xasprintf("  %s%s%s %s %s %s  %8s", output_get_colour(w->o, colour), glyph,
	                 output_get_colour(w->o, COLOUR_NONE), shown_name, w->glyphs->arrow,
	                 shown_target, bytes);
}

/* What is left of an estimate that came @age_ms ago. */
static uint64_t rest(uint64_t eta_ms, uint64_t age_ms)
{
	return eta_ms > age_ms ? eta_ms - age_ms : 0;
}

static void add_running(struct writer *w, const struct progress *p, size_t i, const char *name,
                        uint64_t memory_bytes)
{
	const Drover__V1__Migration *m = p->migrations[i];
	const Drover__V1__Progress *progress = m->report ? m->report->progress : NULL;
	_cleanup_free_ char *start = NULL, *ends = NULL, *note = NULL, *reason = NULL;
	char text[BAR_BYTES], rate[OUTPUT_TEXT_BYTES], dirty[OUTPUT_TEXT_BYTES];
	uint64_t age_ms = w->now_ms > p->migration_ms[i] ? w->now_ms - p->migration_ms[i] : 0;

	start = head(w, w->glyphs->running, COLOUR_GREEN, name, m->target, memory_bytes);
	reason = text_escape(m->reason, w->o->ascii);
	if (!progress || m->state == DROVER__V1__MIGRATION_STATE__PLANNED ||
	    m->state == DROVER__V1__MIGRATION_STATE__RESERVED) {
		add(w, "%s  %s%s%s", start, migration_state_name(m->state), *reason ? ": " : "",
		    reason);
		return;
	}
	if (progress->eta_known && m->state == DROVER__V1__MIGRATION_STATE__RUNNING) {
		output_clock(w->o, rest(progress->eta_ms, age_ms), rate);
		ends = progress_end_words(w->o, progress, name, rate);
	}
	if (m->cancel_requested)
		note = xstrdup("   cancelling");
	else if (m->state == DROVER__V1__MIGRATION_STATE__SWITCHING)
		note = xstrdup("   switching over");
	else if (*reason)
		note = xasprintf("   %s", reason);
	/* Of what leads nowhere nothing is a part: room for the words. */
	if (ends && !m->cancel_requested && progress_gives_up(progress)) {
		add(w, "%s  pass %u   %s%s%s%s", start, progress->iteration,
		    output_get_colour(w->o, COLOUR_YELLOW), ends,
		    output_get_colour(w->o, COLOUR_NONE), note ? note : "");
		return;
	}
	add(w, "%s  %s %3u %%  pass %u   %s   dirty %s%s%s%s", start,
	    bar(w, p->shown[i].percent / 100.0, BAR_MIGRATION, text), p->shown[i].percent,
	    progress->iteration, output_rate(w->o, progress->transfer_bytes_per_s, rate),
	    output_rate(w->o, progress->dirty_bytes_per_s, dirty), ends ? "   " : "",
	    ends ? ends : "", note ? note : "");
}

static void add_done(struct writer *w, const Drover__V1__Migration *m, const char *name,
                     const char *target, uint64_t memory_bytes)
{
	_cleanup_free_ char *start = head(w, w->glyphs->done, COLOUR_GREEN, name,
	                                  m ? m->target : target, memory_bytes);
	char duration[OUTPUT_TEXT_BYTES], downtime[OUTPUT_TEXT_BYTES];

	if (m && m->report)
		add(w, "%s  %8s   downtime %s", start,
		    output_duration(w->o, m->report->duration_ms, duration),
		    output_duration(w->o, m->report->downtime_ms, downtime));
	else
		add(w, "%s", start);
}

static void add_waiting(struct writer *w, const Drover__V1__DrainVm *vm)
{
	bool waits = strcmp(vm->state, "waiting") == 0;
	bool blocked = strcmp(vm->state, "blocked") == 0;
	_cleanup_free_ char *start = head(w, blocked ? w->glyphs->failed : w->glyphs->waiting,
	                                  blocked ? COLOUR_RED : COLOUR_DIM, vm->name, vm->target,
	                                  vm->memory_bytes);
	_cleanup_free_ char *reason = text_escape(drain_vm_reason(vm), w->o->ascii);
	_cleanup_free_ char *state = text_escape(waits ? "waits" : vm->state, w->o->ascii);

	add(w, "%s  %s%s%s", start, state, *reason ? ": " : "", reason);
}

/* Of the guests under way the one that will be given up: what is left of the others is no end of the drain. */
static const char *find_endless(const struct progress *p)
{
	for (size_t i = 0; i < p->n_migrations; i++) {
		const Drover__V1__Migration *m = p->migrations[i];

		if (m->state == DROVER__V1__MIGRATION_STATE__RUNNING && m->report &&
		    progress_gives_up(m->report->progress))
			return m->vm_name;
	}
	return NULL;
}

/* What of it is left. It stands still rather than grow; that it would is said, and why; and by then what it
 * was is of no use any more. Owned. */
static char *left_words(const struct writer *w, const struct progress *p, uint64_t age_ms)
{
	const Drover__V1__Drain *d = p->drain;
	uint64_t left_ms = progress_left_ms(p, age_ms), eta_ms = rest(d->eta_ms, age_ms);
	bool grows = eta_ms > left_ms + left_ms / 4 + 1000, stale = grows && left_ms < eta_ms / 4;
	char shown[OUTPUT_TEXT_BYTES], rather[OUTPUT_TEXT_BYTES];

	output_clock(w->o, stale ? eta_ms : left_ms, shown);
	output_clock(w->o, eta_ms, rather);
	return xasprintf("left %s %s%s%s", w->glyphs->about, shown,
	                 stale   ? ", longer than was said"
	                 : grows ? ", by now rather "
	                         : "",
	                 grows && !stale ? rather : "");
}

static void add_drain_head(struct writer *w, const struct progress *p)
{
	const Drover__V1__Drain *d = p->drain;
	uint64_t age_ms = w->now_ms > p->drain_ms ? w->now_ms - p->drain_ms : 0;
	_cleanup_free_ char *node = text_escape(d->node, w->o->ascii);
	_cleanup_free_ char *left = NULL;
	char text[BAR_BYTES], bytes[OUTPUT_TEXT_BYTES], elapsed[OUTPUT_TEXT_BYTES];
	char late[OUTPUT_TEXT_BYTES];
	double part = d->bytes_total ? (double)p->bytes_done_max / (double)d->bytes_total
	              : d->n_vms     ? (double)p->moved_max / (double)d->n_vms
	                             : 0;

	if (drain_is_over(d)) {
		left = xasprintf("   %s", d->state);
		age_ms = 0;
	} else if (strcmp(d->state, "blocked") == 0) {
		_cleanup_free_ char *reason = text_escape(d->reason, w->o->ascii);

		left = xasprintf("   %sBLOCKED%s%s%s", output_get_colour(w->o, COLOUR_RED),
		                 output_get_colour(w->o, COLOUR_NONE), *reason ? ": " : "", reason);
	} else if (find_endless(p)) {
		_cleanup_free_ char *name = text_escape(find_endless(p), w->o->ascii);

		left = xasprintf("   %sno end in sight: %s does not converge%s",
		                 output_get_colour(w->o, COLOUR_YELLOW), name,
		                 output_get_colour(w->o, COLOUR_NONE));
	} else if (d->eta_known) {
		_cleanup_free_ char *words = left_words(w, p, age_ms);

		left = d->late_ms
		               ? xasprintf("   %s   %slate by %s %s%s", words,
		                           output_get_colour(w->o, COLOUR_YELLOW), w->glyphs->about,
		                           output_duration(w->o, d->late_ms, late),
		                           output_get_colour(w->o, COLOUR_NONE))
		               : xasprintf("   %s", words);
	}
	add(w, "%s%s%s  %s  %u/%zu VMs   %s   elapsed %s%s", output_get_colour(w->o, COLOUR_BOLD),
	    node, output_get_colour(w->o, COLOUR_NONE), bar(w, part, BAR_DRAIN, text), p->moved_max,
	    d->n_vms, output_bytes_of(w->o, p->bytes_done_max, d->bytes_total, bytes),
	    output_clock(w->o, d->elapsed_ms + age_ms, elapsed), left ? left : "");
}

static const Drover__V1__Migration *migration_of(const struct progress *p,
                                                 const Drover__V1__DrainVm *vm, size_t *ret_index)
{
	*ret_index = progress_index(p, vm->migration_number);
	return *ret_index < p->n_migrations ? p->migrations[*ret_index] : NULL;
}

static bool state_is(const Drover__V1__DrainVm *vm, const char *state)
{
	return strcmp(vm->state, state) == 0;
}

/* At most @rows lines: the last of those that moved, and how many more there are. */
static void add_drain_done(struct writer *w, const struct progress *p, unsigned moved, size_t rows)
{
	const Drover__V1__Drain *d = p->drain;
	unsigned skip = moved > rows ? moved - (unsigned)(rows - 1) : 0;
	unsigned seen = 0;

	if (rows == 0)
		return;
	for (size_t i = 0; i < d->n_vms; i++) {
		size_t index;

		if (!state_is(d->vms[i], "moved") || seen++ < skip)
			continue;
		add_done(w, migration_of(p, d->vms[i], &index), d->vms[i]->name, d->vms[i]->target,
		         d->vms[i]->memory_bytes);
	}
	if (skip > 0)
		add(w, "    %s %u more done", w->glyphs->more, skip);
}

static void draw_drain(struct writer *w, const struct progress *p, size_t rows)
{
	const Drover__V1__Drain *d = p->drain;
	struct drain_counts counts = drain_count(d);
	size_t others = d->n_vms - counts.moved - counts.moving;
	size_t free_rows = rows > 1 + counts.moving ? rows - 1 - counts.moving : 0;
	size_t other_rows = others < free_rows ? others : free_rows;
	size_t done_rows = free_rows - other_rows;
	size_t hidden = 0;

	add_drain_head(w, p);
	if (done_rows < 2 && counts.moved > 0 && other_rows > 2)
		done_rows = 2;
	add_drain_done(w, p, counts.moved, done_rows);
	for (size_t i = 0; i < d->n_vms && w->frame.count < rows; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];
		size_t index;

		if (!state_is(vm, "moving"))
			continue;
		if (migration_of(p, vm, &index))
			add_running(w, p, index, vm->name, vm->memory_bytes);
		else
			add_waiting(w, vm);
	}
	for (size_t i = 0; i < d->n_vms; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];

		if (state_is(vm, "moving") || state_is(vm, "moved"))
			continue;
		/* The last row says how many there was no room for. */
		if (w->frame.count + 1 < rows ||
		    (w->frame.count + 1 == rows && others == 1 && hidden == 0))
			add_waiting(w, vm);
		else
			hidden++;
		others--;
	}
	if (hidden > 0 && w->frame.count < rows)
		add(w, "    %s %zu more", w->glyphs->more, hidden);
}

static void draw_migration(struct writer *w, const struct progress *p)
{
	const Drover__V1__Migration *m = progress_find_migration(p);
	size_t i = progress_index(p, m->number);
	uint64_t memory_bytes = m->report && m->report->progress
	                                ? m->report->progress->memory_total_bytes
	                                : 0;
	_cleanup_free_ char *reason = text_escape(m->reason, w->o->ascii), *start = NULL;

	if (m->state == DROVER__V1__MIGRATION_STATE__DONE) {
		add_done(w, m, m->vm_name, m->target, memory_bytes);
	} else if (migration_is_over(m) || m->state == DROVER__V1__MIGRATION_STATE__UNRESOLVED) {
		start = head(w, w->glyphs->failed, COLOUR_RED, m->vm_name, m->target, memory_bytes);
		add(w, "%s  %s%s%s", start, migration_state_name(m->state), *reason ? ": " : "",
		    reason);
	} else {
		add_running(w, p, i, m->vm_name, memory_bytes);
	}
}

static void measure(struct writer *w, const char *name, const char *target)
{
	int columns = shown_columns(w, name);

	if (columns > w->name_columns)
		w->name_columns = columns;
	columns = shown_columns(w, *target ? target : "?");
	if (columns > w->target_columns)
		w->target_columns = columns;
}

struct frame progress_draw(const struct progress *p, const struct output *o, size_t rows,
                           uint64_t now_ms)
{
	struct writer w = { .o = o, .glyphs = output_get_glyphs(o), .now_ms = now_ms };

	if (p->drain_number && p->drain) {
		for (size_t i = 0; i < p->drain->n_vms; i++)
			measure(&w, p->drain->vms[i]->name, p->drain->vms[i]->target);
		draw_drain(&w, p, rows);
	} else if (progress_find_migration(p)) {
		const Drover__V1__Migration *m = progress_find_migration(p);

		measure(&w, m->vm_name, m->target);
		draw_migration(&w, p);
	}
	return w.frame;
}

/* " → host2 (2), host3 (2)"; "" when no target is planned. Owned. */
static char *planned_targets(const struct output *o, const Drover__V1__Drain *d)
{
	char *text = xstrdup("");
	bool first = true;

	for (size_t i = 0; i < d->n_vms; i++) {
		const char *target = d->vms[i]->target;
		_cleanup_free_ char *shown = text_escape(target, o->ascii);
		unsigned guests = 0;
		char *longer;
		bool seen = false;

		for (size_t j = 0; j < d->n_vms; j++) {
			if (strcmp(d->vms[j]->target, target) != 0)
				continue;
			guests++;
			seen |= j < i;
		}
		if (!*target || seen)
			continue;
		longer = first ? xasprintf(" %s %s (%u)", output_get_glyphs(o)->arrow, shown,
		                           guests)
		               : xasprintf("%s, %s (%u)", text, shown, guests);
		free(text);
		text = longer;
		first = false;
	}
	return text;
}

/* Those that stay as they are, or are shut down, are not moved. */
static size_t count_moves(const Drover__V1__Drain *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_vms; i++)
		n += strcmp(d->vms[i]->state, "left") != 0 && !*d->vms[i]->power;
	return n;
}

void progress_print_plan(const struct output *o, const Drover__V1__Drain *d,
                         uint64_t bandwidth_bytes_per_s)
{
	_cleanup_free_ char *node = text_escape(d->node, o->ascii);
	_cleanup_free_ char *targets = planned_targets(o, d);
	char number[32], of[32] = "", text[OUTPUT_TEXT_BYTES];
	const char *comma = "";
	size_t moves = count_moves(d);
	/* A plan that was only asked for has no number. */
	int indent = d->number ? snprintf(number, sizeof(number), "drain/%llu",
	                                  (unsigned long long)d->number)
	                       : snprintf(number, sizeof(number), "plan");

	if (moves != d->n_vms)
		snprintf(of, sizeof(of), "%zu of ", moves);
	fprintf(o->file, "%s  %s: %s%zu VM%s, %s to move%s\n", number, node, of, d->n_vms,
	        d->n_vms == 1 ? "" : "s", output_bytes(o, d->bytes_total, text), targets);
	if (!d->parallel && !bandwidth_bytes_per_s && !d->eta_known)
		return;
	fprintf(o->file, "%*s  ", indent, "");
	if (d->parallel) {
		/* Of several nodes each has as many. */
		fprintf(o->file, "%u at a time%s", d->parallel,
		        strchr(d->node, ',') ? " from each" : "");
		comma = ", ";
	}
	if (bandwidth_bytes_per_s) {
		fprintf(o->file, "%sup to %s each", comma,
		        output_rate(o, bandwidth_bytes_per_s, text));
		comma = ", ";
	}
	if (d->eta_known)
		fprintf(o->file, "%sabout %s", comma,
		        output_duration(o, d->eta_ms - d->eta_ms % 1000, text));
	fputc('\n', o->file);
}
