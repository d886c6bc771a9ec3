/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration was thought to take, in words: before it, and beside what it took. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/explanation.h"
#include "tools/drover/text.h"

#include <stdio.h>
#include <string.h>

char *prediction_interval(const struct output *o, const Drover__V1__Prediction *p,
                          char text[PREDICTION_TEXT_BYTES])
{
	char expected[OUTPUT_TEXT_BYTES], low[OUTPUT_TEXT_BYTES], high[OUTPUT_TEXT_BYTES];

	snprintf(text, PREDICTION_TEXT_BYTES, "%s (%s to %s)",
	         output_duration(o, p->expected_ms, expected), output_duration(o, p->low_ms, low),
	         p->high_known ? output_duration(o, p->high_ms, high) : "no end in sight");
	return text;
}

const char *prediction_end_words(const Drover__V1__Prediction *p)
{
	switch (p->end) {
	case DROVER__V1__PREDICTION__END__CONVERGES:
		return p->certain ? "converges" : "probably converges";
	case DROVER__V1__PREDICTION__END__THROTTLED:
		return p->certain ? "converges with its CPUs held back"
		                  : "probably converges with its CPUs held back";
	case DROVER__V1__PREDICTION__END__SWITCHES:
		return p->certain ? "does not converge: ends by post-copy"
		                  : "may not converge: then ends by post-copy";
	case DROVER__V1__PREDICTION__END__PAUSES:
		return p->certain ? "does not converge: stands still until it has arrived"
		                  : "may not converge: then stands still until it has arrived";
	case DROVER__V1__PREDICTION__END__GIVES_UP:
		return p->certain ? "does not converge" : "may not converge";
	default:
		return "not known whether it converges";
	}
}

static const char *end_verb(Drover__V1__Prediction__End end)
{
	switch (end) {
	case DROVER__V1__PREDICTION__END__CONVERGES:
		return "converges";
	case DROVER__V1__PREDICTION__END__THROTTLED:
		return "converges with its CPUs held back";
	case DROVER__V1__PREDICTION__END__SWITCHES:
		return "ends by post-copy";
	case DROVER__V1__PREDICTION__END__PAUSES:
		return "stands still and arrives";
	default:
		return "is given up";
	}
}

char *prediction_uncertain(const struct output *o, const Drover__V1__Prediction *p,
                           char text[PREDICTION_TEXT_BYTES])
{
	char low[OUTPUT_TEXT_BYTES], high[OUTPUT_TEXT_BYTES];

	*text = '\0';
	/* Of an older coordinator, and of one whose writing was not measured, the ends are not known. */
	if (p->certain || p->low_end == DROVER__V1__PREDICTION__END__UNKNOWN)
		return text;
	snprintf(text, PREDICTION_TEXT_BYTES,
	         "what was measured permits both: it %s within %s, or %s%s%s", end_verb(p->low_end),
	         output_duration(o, p->low_ms, low), end_verb(p->high_end),
	         p->high_known ? " after " : ", and no end is in sight",
	         p->high_known ? output_duration(o, p->high_ms, high) : "");
	return text;
}

bool prediction_gives_up(const Drover__V1__Prediction *p)
{
	return p && p->end == DROVER__V1__PREDICTION__END__GIVES_UP;
}

bool progress_gives_up(const Drover__V1__Progress *p)
{
	return p && p->eta_known && p->end == DROVER__V1__PREDICTION__END__GIVES_UP;
}

/* "does not converge at 376 Mbit/s of 383 Mbit/s: gives up" */
static char *gives_up_words(const struct output *o, const Drover__V1__Progress *p)
{
	_cleanup_free_ char *why = text_escape(p->later_why, o->ascii);
	char dirty[OUTPUT_TEXT_BYTES], rate[OUTPUT_TEXT_BYTES];

	/* Nine tenths: what is counted on the wire and what QEMU counts differ by its headers. */
	if (p->dirty_bytes_per_s / 9 >= p->transfer_bytes_per_s / 10 && p->dirty_bytes_per_s)
		return xasprintf("does not converge at %s of %s: gives up",
		                 output_rate(o, p->dirty_bytes_per_s, dirty),
		                 output_rate(o, p->transfer_bytes_per_s, rate));
	return *why ? xasprintf("%s: gives up", why) : xstrdup("is not over in its time: gives up");
}

char *progress_end_words(const struct output *o, const Drover__V1__Progress *p, const char *vm,
                         const char *left)
{
	static const char *const how[] = {
		[DROVER__V1__PREDICTION__END__THROTTLED] = ", its CPUs held back",
		[DROVER__V1__PREDICTION__END__SWITCHES] = ", by post-copy",
		[DROVER__V1__PREDICTION__END__PAUSES] = ", with the guest paused",
	};
	_cleanup_free_ char *why = text_escape(p->later_why, o->ascii), *words = NULL;
	_cleanup_free_ char *word = NULL, *shown = NULL;
	const char *about = output_get_glyphs(o)->about;
	unsigned end = (unsigned)p->end;

	if (!progress_gives_up(p))
		return xasprintf("ends %s %s%s%s%s", about, left,
		                 end < ARRAY_SIZE(how) && how[end] ? how[end] : "",
		                 *why ? ", later than was said: " : "", why);
	words = gives_up_words(o, p);
	word = text_shell_word(vm);
	shown = text_escape(word, o->ascii);
	return xasprintf("%s in %s %s unless it is helped: drover tune %s", words, about, left,
	                 shown);
}

/* "pause 120 ms (up to 400 ms)" */
static char *downtime_words(const struct output *o, const Drover__V1__Prediction *p,
                            char text[PREDICTION_TEXT_BYTES])
{
	char expected[OUTPUT_TEXT_BYTES], high[OUTPUT_TEXT_BYTES];

	if (!p->downtime_ms)
		snprintf(text, PREDICTION_TEXT_BYTES, "no pause");
	else
		snprintf(text, PREDICTION_TEXT_BYTES, "pause %s (up to %s)",
		         output_duration(o, p->downtime_ms, expected),
		         output_duration(o, p->downtime_high_ms, high));
	return text;
}

static void basis_line(const struct output *o, const Drover__V1__Prediction *p, char *line,
                       size_t bytes)
{
	char used[OUTPUT_TEXT_BYTES], dirty[OUTPUT_TEXT_BYTES], rate[OUTPUT_TEXT_BYTES];
	_cleanup_free_ char *doubt = text_escape(p->basis, o->ascii);

	snprintf(line, bytes, "%s in use, %s written, %s for it%s%s",
	         output_bytes(o, p->touched_bytes, used),
	         output_rate(o, p->dirty_bytes_per_s, dirty),
	         output_rate(o, p->bandwidth_bytes_per_s, rate), *doubt ? "; " : "", doubt);
}

void prediction_print(const struct output *o, const Drover__V1__Prediction *p, uint64_t took_ms,
                      uint64_t downtime_ms, uint64_t sent_bytes)
{
	char interval[PREDICTION_TEXT_BYTES], pause[PREDICTION_TEXT_BYTES], line[512];
	char took[OUTPUT_TEXT_BYTES], stood[OUTPUT_TEXT_BYTES], sent[OUTPUT_TEXT_BYTES];
	bool within = took_ms >= p->low_ms && (!p->high_known || took_ms <= p->high_ms);

	snprintf(line, sizeof(line), "%s, %s to send, %s, %s", prediction_interval(o, p, interval),
	         output_bytes(o, p->bytes, sent), downtime_words(o, p, pause),
	         prediction_end_words(p));
	explanation_fact(o, "predicted", line);
	if (took_ms) {
		snprintf(line, sizeof(line), "%s, %s sent, pause %s: %s",
		         output_duration(o, took_ms, took), output_bytes(o, sent_bytes, sent),
		         output_duration(o, downtime_ms, stood),
		         within                ? "as predicted"
		         : took_ms < p->low_ms ? "less time than predicted"
		                               : "more time than predicted");
		explanation_fact(o, "took", line);
	}
	basis_line(o, p, line, sizeof(line));
	explanation_fact(o, "based on", line);
	explanation_fact(o, "not certain", prediction_uncertain(o, p, interval));
	explanation_fact(o, "what helps", p->help);
}

void prediction_print_plan(const struct output *o, const Drover__V1__Prediction *p)
{
	char interval[PREDICTION_TEXT_BYTES], pause[PREDICTION_TEXT_BYTES], line[512];
	char sent[OUTPUT_TEXT_BYTES];
	_cleanup_free_ char *help = text_escape(p->help, o->ascii);

	fprintf(o->file, "  takes      %s; %s to send; %s; %s\n",
	        prediction_interval(o, p, interval), output_bytes(o, p->bytes, sent),
	        downtime_words(o, p, pause), prediction_end_words(p));
	basis_line(o, p, line, sizeof(line));
	fprintf(o->file, "  based on   %s\n", line);
	if (*prediction_uncertain(o, p, interval))
		fprintf(o->file, "  not certain: %s\n", interval);
	if (*help)
		fprintf(o->file, "  what helps %s\n", help);
}
