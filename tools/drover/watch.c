/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher.
 *
 *	Watch(since_revision) --> progress of each --> frame on a terminal, 4 times a second
 *	        ^                        +---> lines in a pipe, as they come
 *	        | connection lost: again from the last revision seen
 *
 * Nothing here has an effect on what is watched. It ends when that is over, when the user interrupts
 * or when --timeout has passed; a coordinator that is away is waited for.
 */
#include "tools/drover/watch.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/coordinator.rpc.h"
#include "tools/drover/commands.h"
#include "tools/drover/live.h"
#include "tools/drover/progress.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

#define REDRAW_MS  250
#define RESTART_MS 1000 /* between streams that the coordinator ends early */
#define LAST_MS    1000 /* how long the last news of a migration may follow the end of its drain */

enum show { SHOW_NOTHING, SHOW_LINES, SHOW_FRAMES, SHOW_OBJECTS };

struct watch {
	struct session *s;
	struct progress **all; /* one for each that is watched; all see every change */
	uint64_t *drains;      /* their numbers; NULL: it is a migration */
	size_t count;
	uint64_t migration_number;
	const char *subject; /* "drain/7", "drain/7 drain/8" */
	const char *what;    /* "drain" */
	enum show show;
	struct live live;
	struct mesh_call *stream; /* NULL = none runs */
	bool stream_ended;
	enum mesh_status status; /* why it ended */
	struct error error;
	bool was_lost;
	uint64_t restart_ms; /* earliest time for the next stream */
	uint64_t drawn_ms;
	uint64_t over_ms; /* since when it is over; 0 = it is not */
};

/* A message about the watching itself, which must not tear the frame. */
static void note(struct watch *w, const char *text)
{
	char when[CLOCK_TEXT_BYTES];

	if (w->s->options->quiet)
		return;
	if (w->show == SHOW_FRAMES)
		live_note(&w->live, text);
	else
		session_say(w->s, "%s %s %s", clock_format_wall(clock_wall_ms(), when), w->subject,
		            text);
}

static void changed(const Drover__V1__Change *change, void *context)
{
	struct watch *w = context;

	bool event = change->object_case == DROVER__V1__CHANGE__OBJECT_EVENT;

	/* What happened is told once, whomever it concerns. */
	for (size_t i = 0; i < w->count; i++)
		progress_apply(w->all[i], change,
		               w->show == SHOW_LINES && (i == 0 || !event) ? &w->s->err : NULL,
		               clock_now_ms(), clock_wall_ms());
	if (w->show == SHOW_OBJECTS && change->object_case != DROVER__V1__CHANGE__OBJECT__NOT_SET) {
		output_message(&w->s->out, &change->base);
		fflush(w->s->out.file);
	}
	if (w->show == SHOW_FRAMES && event && strcmp(change->event->severity, "alarm") == 0) {
		_cleanup_free_ char *text = xasprintf("%s: %s", change->event->subject,
		                                      change->event->text);

		note(w, text);
	}
}

static void ended(const struct mesh_result *result, void *context)
{
	struct watch *w = context;

	w->stream = NULL;
	w->stream_ended = true;
	w->status = result->status;
	w->error = result->error;
}

static void start_stream(struct watch *w)
{
	Drover__V1__WatchRequest request = DROVER__V1__WATCH_REQUEST__INIT;

	request.since_revision = progress_get_revision(w->all[0]);
	request.migration_number = w->migration_number;
	if (w->drains && w->count == 1) {
		request.drain_number = w->drains[0];
	} else {
		request.drain_numbers = w->drains;
		request.n_drain_numbers = w->drains ? w->count : 0;
	}
	w->stream_ended = false;
	w->restart_ms = clock_now_ms() + RESTART_MS;
	w->stream = coordinator_call_watch(client_find_connection(w->s->client), &request, 0,
	                                   changed, ended, w);
	if (w->was_lost) {
		_cleanup_free_ char *text = xasprintf(
			"connected again; going on after revision %llu",
			(unsigned long long)request.since_revision);

		note(w, text);
		w->was_lost = false;
	}
}

static void lost(struct watch *w)
{
	_cleanup_free_ char *text = NULL;

	if (w->was_lost)
		return;
	w->was_lost = true;
	text = xasprintf("lost the coordinator (%s); the %s %s on without us; reconnecting",
	                 w->error.code ? w->error.text : client_get_error(w->s->client)->text,
	                 w->what, w->count == 1 ? "goes" : "go");
	note(w, text);
}

static bool is_told(const struct progress *p)
{
	return progress_find_drain(p) || progress_find_migration(p);
}

static bool holds_for_all(const struct watch *w, bool (*holds)(const struct progress *p))
{
	for (size_t i = 0; i < w->count; i++) {
		if (!holds(w->all[i]))
			return false;
	}
	return true;
}

/* The first picture is not waited for. */
static bool is_to_be_drawn_first(const struct watch *w)
{
	return w->show == SHOW_FRAMES && !w->drawn_ms && holds_for_all(w, is_told);
}

/* The coordinator has told everything, and nothing about what is to be watched. */
static bool is_unknown(const struct watch *w)
{
	return progress_is_caught_up(w->all[0]) && !holds_for_all(w, is_told);
}

static bool needs_attention(void *context)
{
	struct watch *w = context;

	return holds_for_all(w, progress_is_complete) || w->stream_ended ||
	       (holds_for_all(w, progress_is_over) && !w->over_ms) || is_unknown(w) ||
	       is_to_be_drawn_first(w) ||
	       (!w->stream && client_find_connection(w->s->client) &&
	        clock_now_ms() >= w->restart_ms);
}

static void draw(struct watch *w, bool last)
{
	struct frame frame = { 0 };
	uint64_t now_ms = clock_now_ms();
	size_t rows = live_get_rows(&w->live) - 1;

	if (w->show != SHOW_FRAMES || (!last && now_ms < w->drawn_ms + REDRAW_MS) ||
	    (!w->drawn_ms && !is_to_be_drawn_first(w)))
		return;
	/* Whoever needs less than its share leaves more to those below. */
	for (size_t i = 0; i < w->count && rows > frame.count; i++) {
		struct frame one = progress_draw(w->all[i], &w->s->err,
		                                 (rows - frame.count) / (w->count - i), now_ms);

		frame.lines = xreallocarray(frame.lines, frame.count + one.count + 1,
		                            sizeof(char *));
		if (one.count)
			memcpy(&frame.lines[frame.count], one.lines, one.count * sizeof(char *));
		frame.count += one.count;
		free(one.lines);
	}
	if (!last) {
		frame.lines = xreallocarray(frame.lines, frame.count + 1, sizeof(char *));
		frame.lines[frame.count++] = xasprintf(
			"Ctrl-C stops watching; the %s %s on. To stop %s: drover cancel %s",
			w->what, w->count == 1 ? "goes" : "go", w->count == 1 ? "it" : "them",
			w->subject);
	}
	live_draw(&w->live, &frame);
	frame_deinit(&frame);
	w->drawn_ms = now_ms;
}

/* Until it is over or there is a reason to stop: then returns that, else EXIT_DONE. */
static enum exit_code follow(struct watch *w)
{
	struct client *client = w->s->client;

	for (;;) {
		if (holds_for_all(w, progress_is_complete))
			return EXIT_DONE;
		if (holds_for_all(w, progress_is_over)) {
			if (!w->over_ms)
				w->over_ms = clock_now_ms();
			else if (clock_now_ms() >= w->over_ms + LAST_MS)
				return EXIT_DONE;
		}
		if (is_unknown(w)) {
			error_set(&w->error, ERROR_NOT_FOUND, "there is no such %s", w->what);
			return EXIT_NOT_FOUND;
		}
		if (client_is_interrupted(client))
			return EXIT_INTERRUPTED;
		if (client_is_overdue(client))
			return EXIT_TIMEOUT;
		if (w->stream_ended && w->status != MESH_OK && w->status != MESH_UNAVAILABLE &&
		    w->status != MESH_CANCELLED && w->status != MESH_DEADLINE_EXCEEDED)
			return exit_from_error(w->error.code ? w->error.code : ERROR_PROTOCOL);
		if (w->stream_ended && (w->status != MESH_OK || !client_find_connection(client)))
			lost(w);
		w->stream_ended = false;
		if (!w->stream && client_find_connection(client) && clock_now_ms() >= w->restart_ms)
			start_stream(w);
		draw(w, false);
		client_wait(client, REDRAW_MS, needs_attention, w);
	}
}

/* The frame off the screen, or left as the record of how it went. */
static void end_frame(struct watch *w, enum exit_code code)
{
	if (w->show != SHOW_FRAMES)
		return;
	if (code == EXIT_DONE && w->s->out.terminal) {
		live_erase(&w->live);
	} else {
		draw(w, true);
		live_leave(&w->live);
	}
}

static void say_how_to_return(struct watch *w, enum exit_code code)
{
	fprintf(w->s->err.file,
	        "%s; the %s %s on.\n"
	        "  watch %-10s drover watch %s\n"
	        "  stop %-11s drover cancel %s\n",
	        code == EXIT_TIMEOUT ? "The time given by --timeout is over" : "Stopped watching",
	        w->what, w->count == 1 ? "goes" : "go", w->count == 1 ? "it again" : "them again",
	        w->subject, w->count == 1 ? "it" : "them", w->subject);
}

static bool stream_is_over(void *context)
{
	const struct watch *w = context;

	return !w->stream;
}

static enum exit_code run(struct watch *w)
{
	enum exit_code code;
	struct error why;

	if (w->s->out.format == OUTPUT_JSONL)
		w->show = SHOW_OBJECTS;
	else if (w->s->options->quiet)
		w->show = SHOW_NOTHING;
	else
		w->show = w->s->err.terminal ? SHOW_FRAMES : SHOW_LINES;
	live_init(&w->live, &w->s->err);
	w->all = xcalloc(w->count, sizeof(*w->all));
	for (size_t i = 0; i < w->count; i++)
		w->all[i] = progress_new(w->drains ? w->drains[i] : 0, w->migration_number);
	code = follow(w);
	why = w->error; /* the end of the stream, below, is another matter */
	end_frame(w, code);
	for (size_t i = 0; code == EXIT_DONE && w->show == SHOW_LINES && i < w->count; i++)
		progress_end(w->all[i], &w->s->err, clock_wall_ms());
	if (w->stream) {
		mesh_call_cancel(w->stream);
		client_settle(w->s->client, stream_is_over, w);
	}
	if (code == EXIT_INTERRUPTED || code == EXIT_TIMEOUT)
		say_how_to_return(w, code);
	else if (code != EXIT_DONE)
		session_fail_object(w->s, w->subject, w->what, w->subject, &why);
	return code;
}

static enum exit_code drain_exit(const Drover__V1__Drain *d)
{
	if (strcmp(d->state, "completed") == 0)
		return EXIT_DONE;
	return strcmp(d->state, "partly") == 0 ? EXIT_PARTLY : EXIT_FAILED;
}

static void watch_deinit(struct watch *w)
{
	for (size_t i = 0; i < w->count; i++)
		progress_free(w->all[i]);
	free(w->all);
	free(w->drains);
}

/* Of one drain as ever; of several, both as lists. */
static void print_object(const struct watch *w)
{
	Drover__V1__DrainList list = DROVER__V1__DRAIN_LIST__INIT;
	const Drover__V1__Migration **migrations = NULL;
	size_t n = 0;

	list.drains = xcalloc(w->count, sizeof(*list.drains));
	for (size_t i = 0; i < w->count; i++) {
		size_t of_one;
		Drover__V1__Migration *const *m = progress_get_migrations(w->all[i], &of_one);

		list.drains[list.n_drains++] = (Drover__V1__Drain *)progress_find_drain(w->all[i]);
		migrations = xreallocarray(migrations, n + of_one + 1, sizeof(*migrations));
		for (size_t k = 0; k < of_one; k++)
			migrations[n++] = m[k];
	}
	output_with_list(&w->s->out, w->count == 1 ? "drain" : "drains",
	                 w->count == 1 ? &list.drains[0]->base : &list.base, "migrations",
	                 (const ProtobufCMessage *const *)migrations, n);
	free(list.drains);
	free(migrations);
}

static enum exit_code conclude_drains(const struct watch *w)
{
	enum exit_code worst = EXIT_DONE;

	if (w->s->out.format == OUTPUT_JSON)
		print_object(w);
	for (size_t i = 0; i < w->count; i++) {
		const Drover__V1__Drain *d = progress_find_drain(w->all[i]);
		enum exit_code code = drain_exit(d);
		size_t n;
		Drover__V1__Migration *const *migrations = progress_get_migrations(w->all[i], &n);

		if (w->s->out.format != OUTPUT_JSON && w->s->out.format != OUTPUT_JSONL) {
			if (i)
				fputc('\n', w->s->out.file);
			drain_summary_print(&w->s->out, d, migrations, n);
		}
		if (code == EXIT_FAILED || worst == EXIT_DONE)
			worst = code;
	}
	return worst;
}

enum exit_code watch_drains(struct session *s, const uint64_t *numbers, size_t count)
{
	_cleanup_free_ char *subject = xstrdup("");
	struct watch w = { .s = s, .what = count == 1 ? "drain" : "drains", .count = count };
	enum exit_code code;

	for (size_t i = 0; i < count; i++) {
		char *longer = xasprintf("%s%sdrain/%llu", subject, i ? " " : "",
		                         (unsigned long long)numbers[i]);

		free(subject);
		subject = longer;
	}
	w.subject = subject;
	w.drains = xmemdup(numbers, count * sizeof(*numbers));
	code = run(&w);
	if (code == EXIT_DONE)
		code = conclude_drains(&w);
	watch_deinit(&w);
	return code;
}

enum exit_code watch_drain(struct session *s, uint64_t number)
{
	return watch_drains(s, &number, 1);
}

enum exit_code watch_migration(struct session *s, uint64_t number)
{
	_cleanup_free_ char *subject = xasprintf("migration/%llu", (unsigned long long)number);
	struct watch w = { .s = s,
		           .subject = subject,
		           .what = "migration",
		           .count = 1,
		           .migration_number = number };
	enum exit_code code = run(&w);

	if (code == EXIT_DONE) {
		const Drover__V1__Migration *m = progress_find_migration(w.all[0]);

		if (s->out.format == OUTPUT_JSON)
			output_message(&s->out, &m->base);
		else if (s->out.format != OUTPUT_JSONL)
			migration_summary_print(&s->out, m);
		if (m->state != DROVER__V1__MIGRATION_STATE__DONE)
			code = EXIT_FAILED;
	}
	watch_deinit(&w);
	return code;
}

enum exit_code watch_run(const struct invocation *invocation)
{
	const struct word_list *words = &invocation->words;
	bool migration = strncmp(words->items[0], "migration/", 10) == 0;
	uint64_t numbers[WORDS_MAX] = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	for (size_t i = 0; i < words->count; i++) {
		const char *word = words->items[i];
		bool drain = strncmp(word, "drain/", 6) == 0;

		numbers[i] = session_number(&s, word,
		                            drain                 ? word + 6
		                            : migration && i == 0 ? word + 10
		                                                  : "");
		if (numbers[i] == 0)
			return EXIT_USAGE;
	}
	if (migration && words->count > 1) {
		fprintf(s.err.file,
		        "drover: several drains can be watched at once, of migrations one\n");
		return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = migration ? watch_migration(&s, numbers[0])
		                 : watch_drains(&s, numbers, words->count);
	session_close(&s);
	return code;
}
