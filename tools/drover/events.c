/* SPDX-License-Identifier: Apache-2.0 */
/* "drover events": what happened, and with -f what happens next. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/coordinator.rpc.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <string.h>

#define RESTART_MS 1000

struct follower {
	struct session *s;
	const char *subject; /* NULL = all */
	uint64_t revision;
	struct mesh_call *stream;
	bool ended;
	enum mesh_status status;
	struct error error;
};

/* A bare name will do. */
static bool is_wanted(const char *subject, const Drover__V1__Event *event)
{
	const char *slash = strchr(event->subject, '/');

	return !subject || strcmp(subject, event->subject) == 0 ||
	       (slash && strcmp(subject, slash + 1) == 0);
}

static void print_event(struct session *s, Drover__V1__Event *event)
{
	if (s->out.format == OUTPUT_JSONL)
		output_message(&s->out, &event->base);
	else
		events_print(&s->out, &event, 1, false);
	fflush(s->out.file);
}

static void changed(const Drover__V1__Change *change, void *context)
{
	struct follower *f = context;

	/* A reset tells again what was printed already: an event is known by its revision. */
	if (change->object_case == DROVER__V1__CHANGE__OBJECT_EVENT &&
	    change->event->revision > f->revision && is_wanted(f->subject, change->event))
		print_event(f->s, change->event);
	if (change->revision > f->revision)
		f->revision = change->revision;
}

static void ended(const struct mesh_result *result, void *context)
{
	struct follower *f = context;

	f->stream = NULL;
	f->ended = true;
	f->status = result->status;
	f->error = result->error;
}

static bool needs_attention(void *context)
{
	const struct follower *f = context;

	return f->ended;
}

static bool stream_is_over(void *context)
{
	const struct follower *f = context;

	return !f->stream;
}

static enum exit_code follow(struct follower *f)
{
	struct client *client = f->s->client;
	enum exit_code code = EXIT_DONE;

	while (code == EXIT_DONE) {
		Drover__V1__WatchRequest request = DROVER__V1__WATCH_REQUEST__INIT;

		if (client_is_interrupted(client))
			code = EXIT_INTERRUPTED;
		else if (client_is_overdue(client))
			code = EXIT_TIMEOUT;
		else if (f->ended && f->status != MESH_OK && f->status != MESH_UNAVAILABLE)
			code = session_fail(f->s, "following the events", &f->error);
		if (code != EXIT_DONE)
			break;
		if (f->ended) {
			session_say(f->s, "lost the coordinator (%s); reconnecting",
			            f->error.code ? f->error.text : client_get_error(client)->text);
			f->ended = false;
			client_wait(client, RESTART_MS, NULL, NULL);
			continue;
		}
		if (!f->stream && client_find_connection(client)) {
			request.since_revision = f->revision;
			f->stream = coordinator_call_watch(client_find_connection(client), &request,
			                                   0, changed, ended, f);
		}
		client_wait(client, RESTART_MS, needs_attention, f);
	}
	if (f->stream) {
		mesh_call_cancel(f->stream);
		client_settle(client, stream_is_over, f);
	}
	return code;
}

/* The newest are sent first; a log is read from the oldest on. */
static void sort_by_age(Drover__V1__Event **events, size_t n)
{
	bool newest_first = n > 1 && events[0]->revision > events[n - 1]->revision;

	for (size_t i = 0; newest_first && i < n / 2; i++) {
		Drover__V1__Event *event = events[i];

		events[i] = events[n - 1 - i];
		events[n - 1 - i] = event;
	}
}

static const char *const subject_kinds[] = { "node",  "vm",     "migration",
	                                     "drain", "policy", "coordinator" };

/* "node/host1" -> "node"; NULL if events are about nothing of that kind. */
static const char *subject_kind(const char *word)
{
	size_t bytes = strcspn(word, "/");

	for (size_t i = 0; word[bytes] && word[bytes + 1] && i < ARRAY_SIZE(subject_kinds); i++) {
		if (strlen(subject_kinds[i]) == bytes &&
		    strncmp(word, subject_kinds[i], bytes) == 0)
			return subject_kinds[i];
	}
	return NULL;
}

static enum exit_code check_subject(struct session *s, const char *subject)
{
	_cleanup_free_ char *shown = NULL;

	if (!subject || !strchr(subject, '/') || subject_kind(subject))
		return EXIT_DONE;
	shown = text_escape(subject, s->err.ascii);
	fprintf(s->err.file,
	        "drover: \"%s\" is none of node/NAME, vm/NAME, migration/N, drain/N, policy/NAME\n",
	        shown);
	return EXIT_USAGE;
}

/* Nothing has happened to it: because it is misspelt? Of who is gone there may be events still, so it is
 * asked only now. */
static enum exit_code none_found(struct session *s, const char *subject)
{
	const char *kind = subject ? subject_kind(subject) : NULL;
	const char *name = subject ? strchr(subject, '/') : NULL;
	struct error err;

	if (kind && name && (strcmp(kind, "node") == 0 || strcmp(kind, "vm") == 0) &&
	    !session_knows(s, kind, name + 1)) {
		error_set(&err, ERROR_NOT_FOUND, "there is no such %s", kind);
		return session_fail_object(s, subject, kind, name + 1, &err);
	}
	if (subject && !name && !session_knows(s, "node", subject) &&
	    !session_knows(s, "vm", subject)) {
		error_set(&err, ERROR_NOT_FOUND, "there is no node and no guest of that name");
		return session_fail_object(s, subject, "vm", subject, &err);
	}
	if (s->out.format == OUTPUT_TABLE)
		session_say(s, "There are no such events.");
	return EXIT_DONE;
}

enum exit_code events_run(const struct invocation *invocation)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__EventList *list = NULL;
	const char *subject = invocation->words.count ? invocation->words.items[0] : NULL;
	struct session s;
	enum exit_code code = session_open(&s, invocation);

	request.limit = (uint32_t)invocation->options.limit;
	if (code == EXIT_DONE)
		code = check_subject(&s, subject);
	if (code == EXIT_DONE)
		code = session_ask_list_events(&s, "listing the events", &request, &list);
	if (code == EXIT_DONE) {
		size_t n = 0, all = list->n_events;

		for (size_t i = 0; i < all; i++) {
			Drover__V1__Event *event = list->events[i];

			if (is_wanted(subject, event)) {
				list->events[i] = list->events[n];
				list->events[n++] = event;
			}
		}
		sort_by_age(list->events, n);
		list->n_events = n;
		if (s.out.format == OUTPUT_JSON)
			output_message(&s.out, &list->base);
		else if (s.out.format == OUTPUT_TABLE && (n > 0 || invocation->options.follow))
			events_print(&s.out, NULL, 0, true);
		for (size_t i = 0; s.out.format != OUTPUT_JSON && i < n; i++)
			print_event(&s, list->events[i]);
		list->n_events = all;
		fflush(s.out.file);
		if (n == 0 && !invocation->options.follow)
			code = none_found(&s, subject);
		if (invocation->options.follow) {
			struct follower f = { .s = &s,
				              .subject = subject,
				              .revision = list->revision };

			code = follow(&f);
		}
	}
	session_close(&s);
	return code;
}
