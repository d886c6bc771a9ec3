/* SPDX-License-Identifier: Apache-2.0 */
/* See wire.h. What was looked for after a migration. */
#include "agent/wire.h"

#include "agent/wire_message.h"
#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

Drover__V1__Remnant **wire_remnants_new(const struct remnant *items, size_t count)
{
	Drover__V1__Remnant **array = xcalloc(count, sizeof(Drover__V1__Remnant *));

	for (size_t i = 0; i < count; i++) {
		NEW_MESSAGE(m, Drover__V1__Remnant, drover__v1__remnant__init);

		m->thing = xstrdup(items[i].thing);
		m->node = xstrdup(items[i].node);
		m->verdict = (Drover__V1__Remnant__Verdict)items[i].verdict;
		m->text = xstrdup(items[i].text);
		m->remedy = xstrdup(items[i].remedy);
		array[i] = m;
	}
	return array;
}

int wire_remnants_read(Drover__V1__Remnant *const *from, size_t count, struct remnant *ret,
                       size_t *ret_count, struct error *err)
{
	if (count > REMNANTS_MAX)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%zu remnants of one attempt: %d is the most", count,
		                 REMNANTS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct remnant *r = &ret[i];

		if ((unsigned)from[i]->verdict >= REMNANT_VERDICTS)
			return error_set(err, ERROR_INVALID, "%.24s has the unknown verdict %d",
			                 from[i]->thing, (int)from[i]->verdict);
		r->verdict = (enum remnant_verdict)from[i]->verdict;
		wire_copy_text(r->thing, sizeof(r->thing), from[i]->thing);
		wire_copy_text(r->node, sizeof(r->node), from[i]->node);
		wire_copy_text(r->text, sizeof(r->text), from[i]->text);
		wire_copy_text(r->remedy, sizeof(r->remedy), from[i]->remedy);
	}
	*ret_count = count;
	return 0;
}
