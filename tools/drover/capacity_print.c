/* SPDX-License-Identifier: Apache-2.0 */
/* What "drover capacity" prints: a line a node, then why not and what would help, then sets and room. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <inttypes.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

static bool is_no(const Drover__V1__DrainCapacity *d)
{
	return strcmp(d->verdict, "no") == 0;
}

static void line(const struct output *o, const char *before, const char *text)
{
	_cleanup_free_ char *shown = text_escape(text, o->ascii);

	fprintf(o->file, "%s%s\n", before, shown);
}

/* "host1 host2" */
static char *names(const struct output *o, char *const *nodes, size_t n)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *shown = text_escape(nodes[i], o->ascii);
		char *longer = xasprintf("%s%s%s", text, i ? " " : "", shown);

		free(text);
		text = longer;
	}
	return text;
}

static void nodes_table(const struct output *o, const Drover__V1__Capacity *c)
{
	enum { NODE, GUESTS, MEM, DRAIN, WHY, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[NODE] = { "NODE" },
		[GUESTS] = { "GUESTS", COLUMN_RIGHT },
		[MEM] = { "MEM", COLUMN_RIGHT },
		[DRAIN] = { "CAN BE DRAINED" },
		[WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < c->n_nodes; i++) {
		const Drover__V1__DrainCapacity *d = c->nodes[i];

		table_add_row(t);
		table_set(t, NODE, "%s", d->n_nodes ? d->nodes[0] : "");
		table_set(t, GUESTS, "%u", d->guests);
		table_set(t, MEM, "%s", output_bytes(o, d->need_bytes, text));
		table_set(t, DRAIN, "%s", d->verdict);
		table_set_colour(t, DRAIN,
		                 is_no(d)                         ? COLOUR_RED
		                 : strcmp(d->verdict, "yes") == 0 ? COLOUR_GREEN
		                                                  : COLOUR_YELLOW);
		table_set(t, WHY, "%s", d->reason);
		if (!*d->reason && d->not_asked)
			table_set(t, WHY, "storage of %u of its guests not asked", d->not_asked);
	}
	table_print(t);
}

static void remedies_print(const struct output *o, const Drover__V1__DrainCapacity *d)
{
	_cleanup_free_ char *who = names(o, d->nodes, d->n_nodes);

	if (!d->proof || !d->proof->n_remedies)
		return;
	fprintf(o->file, "\n%s could be drained, if you\n", who);
	for (size_t i = 0; i < d->proof->n_remedies; i++)
		line(o, i ? "  or " : "     ", d->proof->remedies[i]->text);
}

static void places_print(const struct output *o, const Drover__V1__DrainCapacity *d)
{
	enum { VM, NEEDS, TO, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[VM] = { "VM" },
		[NEEDS] = { "NEEDS", COLUMN_RIGHT },
		[TO] = { "COULD GO TO" },
	};
	_cleanup_(table_freep) struct table *t = NULL;
	char text[OUTPUT_TEXT_BYTES];

	if (!d->n_placed)
		return;
	t = table_new(o, columns, COLUMNS);
	for (size_t i = 0; i < d->n_placed; i++) {
		table_add_row(t);
		table_set(t, VM, "%s", d->placed[i]->name);
		table_set(t, NEEDS, "%s", output_bytes(o, d->placed[i]->memory_bytes, text));
		table_set(t, TO, "%s", d->placed[i]->target);
	}
	fputc('\n', o->file);
	table_print(t);
}

static void together_print(const struct output *o, const Drover__V1__DrainCapacity *d)
{
	_cleanup_free_ char *who = names(o, d->nodes, d->n_nodes);

	fprintf(o->file, "\ntogether: %s: %s\n", who, d->verdict);
	if (*d->reason)
		line(o, "  ", d->reason);
	remedies_print(o, d);
	places_print(o, d);
}

static void sets_print(const struct output *o, const Drover__V1__Capacity *c)
{
	_cleanup_free_ char *who = names(o, c->largest->nodes, c->largest->n_nodes);
	_cleanup_free_ char *fullest = text_escape(c->fullest, o->ascii);
	char spare[OUTPUT_TEXT_BYTES], need[OUTPUT_TEXT_BYTES];

	if (c->exact)
		fprintf(o->file, "\nat once: %zu node%s at most%s%s\n", c->largest->n_nodes,
		        c->largest->n_nodes == 1 ? "" : "s", *who ? ", for example " : "", who);
	else
		fprintf(o->file, "\nat once: at least %zu nodes, at most %u%s%s\n",
		        c->largest->n_nodes, c->at_most, *who ? "; for example " : "", who);
	fprintf(o->file,
	        "rule of thumb: %u node%s (spare memory %s, the fullest node %s has guests of "
	        "%s)\n",
	        c->rule_nodes, c->rule_nodes == 1 ? "" : "s",
	        output_bytes(o, c->spare_bytes, spare), fullest,
	        output_bytes(o, c->fullest_bytes, need));
}

static void room_print(const struct output *o, const Drover__V1__GuestRoom *room)
{
	enum { NODE, MORE, WHY, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[NODE] = { "NODE" },
		[MORE] = { "ROOM FOR", COLUMN_RIGHT },
		[WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	char text[OUTPUT_TEXT_BYTES];

	fprintf(o->file, "\nroom for %u more guests of %s with overhead", room->guests,
	        output_bytes(o, room->need_bytes, text));
	if (room->vcpus)
		fprintf(o->file, " and %u vCPUs", room->vcpus);
	fputc('\n', o->file);
	for (size_t i = 0; i < room->n_nodes; i++) {
		table_add_row(t);
		table_set(t, NODE, "%s", room->nodes[i]->node);
		table_set(t, MORE, "%u", room->nodes[i]->guests);
		table_set(t, WHY, "%s", room->nodes[i]->reason);
	}
	table_print(t);
}

/* What only a node's own eyes can judge is known of those guests that a node was asked about. */
static void not_asked_print(const struct output *o, const Drover__V1__Capacity *c)
{
	const Drover__V1__DrainCapacity *first = NULL;
	uint64_t guests = 0;

	for (size_t i = 0; i < c->n_nodes; i++) {
		guests += c->nodes[i]->not_asked;
		if (!first && c->nodes[i]->not_asked && c->nodes[i]->n_nodes)
			first = c->nodes[i];
	}
	if (first && c->asked)
		fprintf(o->file,
		        "\nno answer about the storage of %" PRIu64
		        " guests: to see why, drover drain %s --dry-run\n",
		        guests, first->nodes[0]);
	else if (first)
		fprintf(o->file,
		        "\nstorage of %" PRIu64 " guests not asked: drover capacity %s asks\n",
		        guests, first->nodes[0]);
}

void capacity_print(const struct output *o, const Drover__V1__Capacity *c, bool named)
{
	nodes_table(o, c);
	for (size_t i = 0; i < c->n_nodes; i++) {
		remedies_print(o, c->nodes[i]);
		if (named && !c->together)
			places_print(o, c->nodes[i]);
	}
	if (c->together)
		together_print(o, c->together);
	if (c->largest)
		sets_print(o, c);
	if (c->room)
		room_print(o, c->room);
	if (c->n_not_searched)
		fputs("\nnot searched:\n", o->file);
	for (size_t i = 0; i < c->n_not_searched; i++)
		line(o, "  ", c->not_searched[i]);
	not_asked_print(o, c);
}

void place_print(const struct output *o, const Drover__V1__PlaceReply *reply)
{
	enum { NODE, ROOM, FITS, WHY, COLUMNS };
	static const struct column columns[COLUMNS] = {
		[NODE] = { "NODE" },
		[ROOM] = { "FREE", COLUMN_RIGHT },
		[FITS] = { "FITS" },
		[WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	_cleanup_free_ char *node = text_escape(reply->node, o->ascii);
	_cleanup_free_ char *reason = text_escape(reply->reason, o->ascii);
	char need[OUTPUT_TEXT_BYTES], overhead[OUTPUT_TEXT_BYTES];

	fprintf(o->file, "%s: %s\n", *node ? node : "nowhere", reason);
	fprintf(o->file, "it needs %s, %s of it overhead", output_bytes(o, reply->need_bytes, need),
	        output_bytes(o, reply->overhead_bytes, overhead));
	if (reply->vcpus)
		fprintf(o->file, "; %u vCPUs", reply->vcpus);
	fputs("\n\n", o->file);
	for (size_t i = 0; i < reply->n_nodes; i++) {
		const Drover__V1__PlaceReply__Place *p = reply->nodes[i];

		table_add_row(t);
		table_set(t, NODE, "%s", p->node);
		table_set(t, ROOM, "%s", output_bytes(o, p->room_bytes, need));
		table_set(t, FITS, "%s", p->fits ? "yes" : "no");
		table_set_colour(t, FITS, p->fits ? COLOUR_GREEN : COLOUR_RED);
		table_set(t, WHY, "%s", p->fits ? "" : p->reason);
		if (p->fits && strstr(p->reason, "vCPUs"))
			table_set(t, WHY, "%s", p->reason);
	}
	table_print(t);
}
