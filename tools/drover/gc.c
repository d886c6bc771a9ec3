/* SPDX-License-Identifier: Apache-2.0 */
/* "drover gc": what migrations that are over have left on the nodes is removed, and what stays is named
 * with the reason. Status 0: nothing is left; 5: something is, or a node was not looked at. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

enum garbage_column {
	GARBAGE_NODE,
	GARBAGE_THING,
	GARBAGE_VM,
	GARBAGE_MIGRATION,
	GARBAGE_RESULT,
	GARBAGE_WHAT,
	GARBAGE_COLUMNS
};

static const struct column columns[GARBAGE_COLUMNS] = {
	[GARBAGE_NODE] = { "NODE" },     [GARBAGE_THING] = { "THING" },
	[GARBAGE_VM] = { "VM" },         [GARBAGE_MIGRATION] = { "MIGRATION" },
	[GARBAGE_RESULT] = { "RESULT" }, [GARBAGE_WHAT] = { "WHAT", COLUMN_WRAP },
};

struct garbage_counts {
	unsigned left, removed, would, not_looked, nodes, silent;
};

static const char *const outcomes[] = {
	[DROVER__V1__GARBAGE__OUTCOME__LEFT] = "LEFT",
	[DROVER__V1__GARBAGE__OUTCOME__REMOVED] = "removed",
	[DROVER__V1__GARBAGE__OUTCOME__WOULD_REMOVE] = "would go",
	[DROVER__V1__GARBAGE__OUTCOME__NOT_LOOKED] = "not looked at",
};

static void count(const Drover__V1__GarbageReply *reply, struct garbage_counts *c)
{
	for (size_t i = 0; i < reply->n_items; i++) {
		Drover__V1__Garbage__Outcome outcome = reply->items[i]->outcome;

		c->left += outcome == DROVER__V1__GARBAGE__OUTCOME__LEFT;
		c->removed += outcome == DROVER__V1__GARBAGE__OUTCOME__REMOVED;
		c->would += outcome == DROVER__V1__GARBAGE__OUTCOME__WOULD_REMOVE;
		c->not_looked += outcome == DROVER__V1__GARBAGE__OUTCOME__NOT_LOOKED;
	}
	for (size_t i = 0; i < reply->n_nodes; i++) {
		c->nodes++;
		c->silent += *reply->nodes[i]->problem != '\0';
	}
}

static void print_items(const struct output *o, const Drover__V1__GarbageReply *reply)
{
	_cleanup_(table_freep) struct table *t = table_new(o, columns, GARBAGE_COLUMNS);

	for (size_t i = 0; i < reply->n_items; i++) {
		const Drover__V1__Garbage *g = reply->items[i];
		const char *what = *g->what ? g->what : g->text;

		table_add_row(t);
		table_set(t, GARBAGE_NODE, "%s", g->node);
		table_set(t, GARBAGE_THING, "%s", g->thing);
		table_set(t, GARBAGE_VM, "%s", g->vm_name);
		if (g->migration_number)
			table_set(t, GARBAGE_MIGRATION, "%llu",
			          (unsigned long long)g->migration_number);
		if ((size_t)g->outcome < ARRAY_SIZE(outcomes))
			table_set(t, GARBAGE_RESULT, "%s", outcomes[g->outcome]);
		table_set(t, GARBAGE_WHAT, "%s", what);
	}
	if (table_get_rows(t) > 0) {
		table_print(t);
		fputc('\n', o->file);
	}
}

/* Why it stays and what to do, for each that does. */
static void print_left(const struct output *o, const Drover__V1__GarbageReply *reply)
{
	for (size_t i = 0; i < reply->n_items; i++) {
		const Drover__V1__Garbage *g = reply->items[i];
		_cleanup_free_ char *node = text_escape(g->node, o->ascii);
		_cleanup_free_ char *thing = text_escape(g->thing, o->ascii);
		_cleanup_free_ char *text = text_escape(g->text, o->ascii);
		_cleanup_free_ char *remedy = text_escape(g->remedy, o->ascii);

		if (g->outcome != DROVER__V1__GARBAGE__OUTCOME__LEFT)
			continue;
		fprintf(o->file, "  left       %s on %s: %s\n", thing, node, text);
		if (*remedy)
			fprintf(o->file, "             %s\n", remedy);
	}
	for (size_t i = 0; i < reply->n_nodes; i++) {
		const Drover__V1__GarbageNode *n = reply->nodes[i];
		_cleanup_free_ char *node = text_escape(n->name, o->ascii);
		_cleanup_free_ char *problem = text_escape(n->problem, o->ascii);

		if (*n->problem)
			fprintf(o->file, "  not looked on %s: %s\n", node, problem);
	}
}

static void print(struct session *s, const Drover__V1__GarbageReply *reply,
                  const struct garbage_counts *c)
{
	const struct output *o = &s->out;

	print_items(o, reply);
	if (c->would)
		fprintf(o->file, "%u would be removed, %u would be left", c->would, c->left);
	else if (c->removed || c->left || c->not_looked)
		fprintf(o->file, "%u removed, %u left", c->removed, c->left);
	else
		fprintf(o->file, "Nothing is left of migrations that are over");
	if (c->not_looked)
		fprintf(o->file, ", %u not looked at", c->not_looked);
	fprintf(o->file, "; %u of %u nodes looked at.\n", c->nodes - c->silent, c->nodes);
	print_left(o, reply);
	if (reply->more)
		fprintf(o->file, "  more       there was more than fits: drover gc again\n");
}

static enum exit_code collect(struct session *s, const char *word, const char *kind,
                              const Drover__V1__GarbageRequest *request)
{
	_cleanup_reply_ Drover__V1__GarbageReply *reply = NULL;
	struct garbage_counts counts = { 0 };
	struct error err = { 0 };

	if (coordinator_ask_collect_garbage(s->client, request, &reply, &err) < 0)
		return client_is_interrupted(s->client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(s, "collecting garbage", kind, word, &err);
	count(reply, &counts);
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &reply->base);
	else
		print(s, reply, &counts);
	return counts.left || counts.not_looked || counts.silent || reply->more ? EXIT_PARTLY
	                                                                        : EXIT_DONE;
}

enum exit_code gc_run(const struct invocation *invocation)
{
	Drover__V1__GarbageRequest request = DROVER__V1__GARBAGE_REQUEST__INIT;
	const char *word = invocation->words.count ? invocation->words.items[0] : "";
	bool migration = strncmp(word, "migration/", 10) == 0;
	const char *node = "";
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	if (migration) {
		request.migration_number = session_number(&s, word, word + 10);
		if (!request.migration_number)
			return EXIT_USAGE;
	} else if (*word) {
		node = session_name_of_kind(&s, "node", word);
		if (!node)
			return EXIT_USAGE;
	}
	request.node = (char *)node;
	request.dry_run = invocation->options.dry_run;
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = collect(&s, migration ? word + 10 : node, migration ? "migration" : "node",
		               &request);
	session_close(&s);
	return code;
}
