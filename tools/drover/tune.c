/* SPDX-License-Identifier: Apache-2.0 */
/* "drover tune": changes a migration, or what a guest's next one begins with. Amounts carry their units,
 * both ways: virsh's bare numbers are MiB/s here and milliseconds there, and have hurt people. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <ctype.h>
#include <string.h>

static int read_bandwidth(const char *text, Drover__V1__Tuning *t, struct error *err)
{
	if (!text)
		return 0;
	t->bandwidth_given = true;
	if (strcmp(text, "none") == 0)
		return 0;
	if (units_parse_rate(text, &t->bandwidth_bytes_per_s, err) < 0)
		return error_context(err, "--bandwidth");
	return 0;
}

static int read_downtime(const char *text, Drover__V1__Tuning *t, struct error *err)
{
	if (!text)
		return 0;
	if (text[0] && strspn(text, "0123456789.") == strlen(text))
		return error_set(err, ERROR_INVALID,
		                 "--max-downtime: %.20s of what? write %.20sms or %.20ss", text,
		                 text, text);
	if (units_parse_duration(text, &t->max_downtime_ms, err) < 0)
		return error_context(err, "--max-downtime");
	t->max_downtime_given = true;
	return 0;
}

static int read_tuning(const struct options *o, Drover__V1__TuneRequest *request,
                       Drover__V1__Tuning *t, struct error *err)
{
	if (read_bandwidth(o->tune_bandwidth, t, err) < 0 ||
	    read_downtime(o->tune_downtime, t, err) < 0)
		return -(int)err->code;
	t->post_copy = o->switch_now;
	t->pause = o->pause_now;
	request->forget = o->forget;
	if (!t->bandwidth_given && !t->max_downtime_given && !t->post_copy && !t->pause &&
	    !o->forget)
		return error_set(
			err, ERROR_INVALID,
			"nothing is to be changed: give --bandwidth, --max-downtime, "
			"--post-copy, --pause or --forget; what holds now is shown by drover "
			"explain");
	if (t->post_copy && t->pause)
		return error_set(err, ERROR_INVALID, "--post-copy and --pause exclude each other");
	return 0;
}

static void print_values(struct session *s, const Drover__V1__TuneReply *reply)
{
	for (size_t i = 0; i < reply->n_values; i++) {
		const Drover__V1__TunedValue *v = reply->values[i];
		_cleanup_free_ char *name = text_escape(v->name, s->out.ascii);
		_cleanup_free_ char *before = text_escape(v->before, s->out.ascii);
		_cleanup_free_ char *after = text_escape(v->after, s->out.ascii);

		fprintf(s->out.file, "  %-22s %s %s %s\n", name, before,
		        output_get_glyphs(&s->out)->arrow, after);
	}
}

static void print(struct session *s, const char *what, const Drover__V1__TuneReply *reply)
{
	_cleanup_free_ char *text = text_escape(reply->text, s->out.ascii);
	_cleanup_free_ char *shown = text_escape(what, s->out.ascii);

	if (s->options->quiet)
		return;
	if (reply->migration && reply->migration->number)
		fprintf(s->out.file, "migration/%llu",
		        (unsigned long long)reply->migration->number);
	else
		fputs(shown, s->out.file);
	fputs(reply->n_values ? "\n" : ": nothing is different, it was so already\n", s->out.file);
	print_values(s, reply);
	if (*text)
		fprintf(s->out.file, "  %s\n", text);
}

enum exit_code tune_run(const struct invocation *invocation)
{
	const char *word = invocation->words.items[0];
	Drover__V1__TuneRequest request = DROVER__V1__TUNE_REQUEST__INIT;
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;
	_cleanup_reply_ Drover__V1__TuneReply *reply = NULL;
	_cleanup_free_ char *what = xasprintf("tuning %s", word);
	struct error err = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	if (read_tuning(&invocation->options, &request, &tuning, &err) < 0) {
		fprintf(s.err.file, "drover: %s\n", err.text);
		return EXIT_USAGE;
	}
	if (strncmp(word, "migration/", strlen("migration/")) == 0) {
		request.kind = (char *)"migration";
		request.name = (char *)word + strlen("migration/");
		if (session_number(&s, word, request.name) == 0)
			return EXIT_USAGE;
	} else {
		request.kind = (char *)"vm";
		request.name = (char *)session_name_of_kind(&s, "vm", word);
		if (!request.name)
			return EXIT_USAGE;
	}
	request.tuning = &tuning;
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	if (coordinator_ask_tune(s.client, &request, &reply, &err) < 0)
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, what, request.kind, request.name, &err);
	else if (s.out.format == OUTPUT_JSON)
		output_message(&s.out, &reply->base);
	else
		print(&s, word, reply);
	session_close(&s);
	return code;
}
