/* SPDX-License-Identifier: Apache-2.0 */
/* What "drover why-not" prints: the answer, what stands in the way, and in short what does not. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <string.h>

static bool is_against(const Drover__V1__Check *c)
{
	return c->verdict != DROVER__V1__CHECK__VERDICT__PASS &&
	       c->verdict != DROVER__V1__CHECK__VERDICT__WARN;
}

/* "memory" of the worst check, for the first line. */
static const Drover__V1__Check *find_worst(const Drover__V1__Explanation__Target *t)
{
	const Drover__V1__Check *worst = NULL;

	for (size_t i = 0; i < t->n_checks; i++) {
		if (is_against(t->checks[i]) && (!worst || t->checks[i]->verdict > worst->verdict))
			worst = t->checks[i];
	}
	return worst;
}

static void answer_print(const struct output *o, const char *vm,
                         const Drover__V1__Explanation__Target *t)
{
	_cleanup_free_ char *guest = text_escape(vm, o->ascii);
	_cleanup_free_ char *node = text_escape(t->node, o->ascii);
	_cleanup_free_ char *reason = text_escape(t->reason, o->ascii);
	const Drover__V1__Check *worst = find_worst(t);
	char summary[CHECKS_SUMMARY_BYTES];

	if (t->fits) {
		fprintf(o->file, "%s could move to %s: %s%s%s\n", guest, node,
		        output_get_colour(o, COLOUR_GREEN),
		        checks_summary(t->checks, t->n_checks, summary),
		        output_get_colour(o, COLOUR_NONE));
		fprintf(o->file, "  guard against running twice: %s\n", guard_name(t->guard));
		return;
	}
	fprintf(o->file, "%s cannot move to %s now: %s", guest, node,
	        output_get_colour(o, COLOUR_RED));
	if (worst) {
		_cleanup_free_ char *id = text_escape(worst->id, o->ascii);

		fprintf(o->file, "%s%s  (%s)\n", id, output_get_colour(o, COLOUR_NONE),
		        checks_summary(t->checks, t->n_checks, summary));
	} else {
		fprintf(o->file, "%s%s\n", *reason ? reason : "it was not asked",
		        output_get_colour(o, COLOUR_NONE));
	}
	/* What the coordinator itself knows against it is said, too. */
	if (worst && *reason && !strstr(reason, " refused: "))
		fprintf(o->file, "  %s\n", reason);
}

static void some_print(const struct output *o, const Drover__V1__Explanation__Target *t)
{
	Drover__V1__Check **some = xcalloc(t->n_checks + 1, sizeof(Drover__V1__Check *));
	size_t n = 0;

	for (size_t i = 0; i < t->n_checks; i++) {
		if (t->checks[i]->verdict != DROVER__V1__CHECK__VERDICT__PASS)
			some[n++] = t->checks[i];
	}
	if (n) {
		fputc('\n', o->file);
		checks_print(o, some, n);
	}
	free(some);
}

static void passes_print(const struct output *o, const Drover__V1__Explanation__Target *t)
{
	const char *before = "\npasses: ";

	for (size_t i = 0; i < t->n_checks; i++) {
		_cleanup_free_ char *id = text_escape(t->checks[i]->id, o->ascii);

		if (t->checks[i]->verdict != DROVER__V1__CHECK__VERDICT__PASS)
			continue;
		fprintf(o->file, "%s%s", before, id);
		before = ", ";
	}
	if (strcmp(before, ", ") == 0)
		fputc('\n', o->file);
}

void why_not_print(const struct output *o, const char *vm, const char *node,
                   const Drover__V1__Explanation *e)
{
	for (size_t i = 0; i < e->n_lines; i++) {
		_cleanup_free_ char *line = text_escape(e->lines[i], o->ascii);

		fprintf(o->file, "%s\n", line);
	}
	if (e->n_targets == 0) {
		_cleanup_free_ char *shown = text_escape(node, o->ascii);

		if (e->n_lines == 0)
			fprintf(o->file, "%s is no destination for it\n", shown);
		return;
	}
	answer_print(o, vm, e->targets[0]);
	some_print(o, e->targets[0]);
	passes_print(o, e->targets[0]);
}
