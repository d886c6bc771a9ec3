/* SPDX-License-Identifier: Apache-2.0 */
/* The one screen of "drover status": health, what needs somebody, what runs, what to type next. */
#include "tools/drover/render.h"

#include "common/cleanup.h"
#include "tools/drover/text.h"

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static void attention_print(const struct output *o, const Drover__V1__Status *status)
{
	if (status->n_needs_attention == 0)
		return;
	fprintf(o->file, "\n%sneeds you%s\n", output_get_colour(o, COLOUR_BOLD),
	        output_get_colour(o, COLOUR_NONE));
	for (size_t i = 0; i < status->n_needs_attention; i++) {
		const Drover__V1__Event *e = status->needs_attention[i];
		_cleanup_free_ char *subject = text_escape(e->subject, o->ascii);
		_cleanup_free_ char *text = text_escape(e->text, o->ascii);

		fprintf(o->file, "  %s%-16s%s  %s\n", output_get_colour(o, COLOUR_YELLOW), subject,
		        output_get_colour(o, COLOUR_NONE), text);
	}
}

void status_print(const struct output *o, const Drover__V1__Status *status,
                  const Drover__V1__NodeList *nodes, const Drover__V1__MigrationList *migrations,
                  const Drover__V1__DrainList *drains, uint64_t now_wall_ms)
{
	const char *dot = output_get_glyphs(o)->dot;
	_cleanup_free_ char *cluster = text_escape(status->cluster, o->ascii);
	_cleanup_free_ char *coordinator = text_escape(status->coordinator, o->ascii);
	_cleanup_free_ char *version = text_escape(status->version, o->ascii);
	bool healthy = status->nodes_ready == status->nodes && status->n_needs_attention == 0;

	fprintf(o->file,
	        "%sCluster %s%s %s %u node%s (%u ready) %s %u VM%s %s %u migration%s %s %u "
	        "drain%s\n",
	        output_get_colour(o, healthy ? COLOUR_GREEN : COLOUR_YELLOW), cluster,
	        output_get_colour(o, COLOUR_NONE), dot, status->nodes, plural(status->nodes),
	        status->nodes_ready, dot, status->vms, plural(status->vms), dot,
	        status->migrations_active, plural(status->migrations_active), dot,
	        status->drains_active, plural(status->drains_active));
	fprintf(o->file, "coordinator %s, version %s, epoch %llu\n", coordinator, version,
	        (unsigned long long)status->epoch);
	if (status->policies_violated)
		fprintf(o->file, "%s%u of %u polic%s violated%s: drover policies\n",
		        output_get_colour(o, COLOUR_YELLOW), status->policies_violated,
		        status->policies, status->policies == 1 ? "y" : "ies",
		        output_get_colour(o, COLOUR_NONE));
	attention_print(o, status);
	if (drains->n_drains) {
		fputs("\ndrains\n", o->file);
		drains_print(o, drains->drains, drains->n_drains, now_wall_ms);
	}
	if (migrations->n_migrations) {
		fputs("\nmigrations\n", o->file);
		migrations_print(o, migrations->migrations, migrations->n_migrations, now_wall_ms);
	}
	if (nodes->n_nodes) {
		fputs("\nnodes\n", o->file);
		nodes_print(o, nodes->nodes, nodes->n_nodes);
	}
	fputs("\nnext: drover vms   drover drain NODE --dry-run   drover help\n", o->file);
}
