/* SPDX-License-Identifier: Apache-2.0 */
/* Policies as tables. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

static char *join(const char *const *items, size_t n)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < n; i++) {
		char *longer = xasprintf("%s%s%s", text, i ? "," : "", items[i]);

		free(text);
		text = longer;
	}
	return text;
}

static char *join_vms(const Drover__V1__Policy *policy)
{
	const char **names = xcalloc(policy->n_vms + 1, sizeof(*names));
	char *text;

	for (size_t i = 0; i < policy->n_vms; i++)
		names[i] = policy->vms[i]->name;
	text = join(names, policy->n_vms);
	free(names);
	return text;
}

static enum output_colour colour_of(const Drover__V1__Policy *policy)
{
	if (strcmp(policy->state, "holds") == 0)
		return COLOUR_GREEN;
	return strcmp(policy->state, "violated") == 0 && !policy->soft ? COLOUR_RED : COLOUR_YELLOW;
}

void policies_print(const struct output *o, Drover__V1__Policy *const *policies, size_t n,
                    uint64_t now_wall_ms)
{
	enum { NAME, KIND, STRENGTH, VMS, HOSTS, STATE, SINCE, BY, SET, WHY, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[NAME] = { "NAME" },
		[KIND] = { "KIND" },
		[STRENGTH] = { "STRENGTH" },
		[VMS] = { "VMS", COLUMN_WRAP },
		[HOSTS] = { "HOSTS", COLUMN_OPTIONAL | COLUMN_WRAP },
		[STATE] = { "STATE" },
		[SINCE] = { "SINCE", COLUMN_OPTIONAL },
		[BY] = { "SET BY", COLUMN_WIDE },
		[SET] = { "SET", COLUMN_WIDE },
		[WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	char when[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Policy *p = policies[i];
		_cleanup_free_ char *vms = join_vms(p);
		_cleanup_free_ char *nodes = join((const char *const *)p->nodes, p->n_nodes);

		if (o->format == OUTPUT_NAME) {
			_cleanup_free_ char *shown = text_escape(p->name, o->ascii);

			fprintf(o->file, "policy/%s\n", shown);
			continue;
		}
		table_add_row(t);
		table_set(t, NAME, "%s", p->name);
		table_set(t, KIND, "%s", p->kind);
		table_set(t, STRENGTH, "%s", p->soft ? "soft" : "hard");
		table_set(t, VMS, "%s", vms);
		table_set(t, HOSTS, "%s", *p->selector ? p->selector : nodes);
		table_set(t, STATE, "%s", p->state);
		table_set_colour(t, STATE, colour_of(p));
		if (p->violated_wall_ms)
			table_set(t, SINCE, "%s",
			          output_when(o, p->violated_wall_ms, now_wall_ms, when));
		table_set(t, BY, "%s", p->by);
		table_set(t, SET, "%s", output_when(o, p->wall_ms, now_wall_ms, when));
		table_set(t, WHY, "%s", p->reason);
	}
	if (o->format != OUTPUT_NAME && n)
		table_print(t);
}

void policy_print(const struct output *o, const Drover__V1__Policy *policy, uint64_t now_wall_ms)
{
	enum { VM, NODE, UUID, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[VM] = { "VM" }, [NODE] = { "NODE" }, [UUID] = { "UUID" }
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	_cleanup_free_ char *by = text_escape(policy->by, o->ascii);
	char when[OUTPUT_TEXT_BYTES];

	fprintf(o->file, "  set by         %s, %s\n", by,
	        output_when(o, policy->wall_ms, now_wall_ms, when));
	if (policy->violated_wall_ms)
		fprintf(o->file, "  violated       since %s\n",
		        output_when(o, policy->violated_wall_ms, now_wall_ms, when));
	fputc('\n', o->file);
	for (size_t i = 0; i < policy->n_vms; i++) {
		table_add_row(t);
		table_set(t, VM, "%s", policy->vms[i]->name);
		table_set(t, NODE, "%s", policy->vms[i]->node);
		table_set(t, UUID, "%s", policy->vms[i]->uuid);
	}
	table_print(t);
}
