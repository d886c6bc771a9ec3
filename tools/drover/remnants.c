/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration could leave behind, as people read it: "clean 9/9", or the list. Each of the figures is
 * a thing that an agent has looked for; what none could look at is not counted as gone. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void remnants_count(Drover__V1__Remnant *const *remnants, size_t n, struct remnant_counts *counts)
{
	for (size_t i = 0; i < n; i++) {
		counts->total++;
		if (remnants[i]->verdict == DROVER__V1__REMNANT__VERDICT__GONE)
			counts->gone++;
		else if (remnants[i]->verdict == DROVER__V1__REMNANT__VERDICT__LEFT)
			counts->left++;
		else
			counts->not_looked++;
	}
}

char *remnants_summary(const struct remnant_counts *counts, char *ret_text)
{
	size_t used = (size_t)snprintf(ret_text, REMNANTS_SUMMARY_BYTES, "%u/%u", counts->gone,
	                               counts->total);

	if (counts->left)
		used += (size_t)snprintf(ret_text + used, REMNANTS_SUMMARY_BYTES - used,
		                         ", %u left", counts->left);
	if (counts->not_looked)
		snprintf(ret_text + used, REMNANTS_SUMMARY_BYTES - used, ", %u not looked at",
		         counts->not_looked);
	return ret_text;
}

static void line(const struct output *o, unsigned width, const char *title, const char *text)
{
	_cleanup_free_ char *shown = text_escape(text, o->ascii);

	fprintf(o->file, "  %-*s %s\n", (int)width, title, shown);
}

/* Those of one node that have the same reason are one line. */
static void print_not_looked(const struct output *o, unsigned width,
                             Drover__V1__Remnant *const *remnants, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Remnant *r = remnants[i];
		_cleanup_free_ char *things = xstrdup(r->thing);
		_cleanup_free_ char *text = NULL;
		bool said = false;

		if (r->verdict != DROVER__V1__REMNANT__VERDICT__NOT_LOOKED)
			continue;
		for (size_t k = 0; k < n; k++) {
			const Drover__V1__Remnant *other = remnants[k];
			char *more;

			if (k == i || other->verdict != r->verdict ||
			    strcmp(other->node, r->node) != 0 || strcmp(other->text, r->text) != 0)
				continue;
			said |= k < i;
			more = xasprintf("%s, %s", things, other->thing);
			free(things);
			things = more;
		}
		if (said)
			continue;
		text = xasprintf("on %s, for %s (%s)", r->node, things,
		                 *r->text ? r->text : "nobody looked");
		line(o, width, "not looked", text);
	}
}

void remnants_print(const struct output *o, unsigned width, Drover__V1__Remnant *const *remnants,
                    size_t n)
{
	struct remnant_counts counts = { 0 };
	char summary[REMNANTS_SUMMARY_BYTES];

	remnants_count(remnants, n, &counts);
	line(o, width, "clean", remnants_summary(&counts, summary));
	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Remnant *r = remnants[i];
		_cleanup_free_ char *text = NULL;

		if (r->verdict != DROVER__V1__REMNANT__VERDICT__LEFT)
			continue;
		text = xasprintf("%s on %s: %s", r->thing, r->node, r->text);
		line(o, width, "left", text);
		line(o, width, "", r->remedy);
	}
	print_not_looked(o, width, remnants, n);
}
