/* SPDX-License-Identifier: Apache-2.0 */
/* Several nodes at once: which they are, and why they cannot be emptied together.
 *
 * Whether a set can be emptied is the draft's to say. Where it cannot, its nodes are drafted alone: a
 * guest that has a place then has none because of the others, and waiting would never help. That is
 * refused beforehand, with who needs whom, and the drains one after the other that would do. So many
 * nodes are drafted as the owner thread has time for; what was not looked at for that is said.
 */
#include "coordinator/core/drain/drain_set.h"

#include "common/alloc.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/planner/planner.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A refusal names so many guests, then "and 17 more". */
#define NAMED_MAX 5
/* Nodes that are drafted alone: milliseconds each, whatever their number. */
#define ALONE_MAX 16

/* --- which nodes --- */

static void add_node(struct drain_set *set, struct node *node)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->nodes[i] == node)
			return;
	}
	set->nodes = xreallocarray(set->nodes, set->count + 1, sizeof(struct node *));
	set->nodes[set->count++] = node;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node *const *left = a, *const *right = b;

	return strcmp((*left)->kept.name, (*right)->kept.name);
}

static int take_selected(const struct fleet *fleet, const char *selector, struct drain_set *set,
                         struct error *err)
{
	if (selector_check(selector, err) < 0)
		return -(int)err->code;
	for (struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (node_is_selected(node, selector))
			add_node(set, node);
	}
	set->note = fleet_describe_unheard_labels(fleet);
	if (!set->count)
		return error_set(err, ERROR_NOT_FOUND,
		                 "no node has the labels %s; which there are: drover nodes -o "
		                 "wide%s%.300s",
		                 selector, set->note ? "; " : "", set->note ? set->note : "");
	return 0;
}

static char *join(const struct drain_set *set, const char *between, const char *last)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < set->count; i++) {
		const char *glue = i == 0 ? "" : i + 1 == set->count ? last : between;
		char *longer = xasprintf("%s%s%s", text, glue, set->nodes[i]->kept.name);

		free(text);
		text = longer;
	}
	return text;
}

int drain_set_resolve(const struct fleet *fleet, const struct event *event, struct drain_set *ret,
                      struct error *err)
{
	const struct names *nodes = event->drain.nodes;
	const char *selector = event->drain.selector;
	struct drain_set set = { 0 };
	struct node *node;
	int rc = 0;

	if (event->drain.node[0] || ((!nodes || !nodes->count) && (!selector || !selector[0]))) {
		rc = fleet_get_node(fleet, event->drain.node, &node, err);
		if (rc == 0)
			add_node(&set, node);
	}
	for (size_t i = 0; rc == 0 && nodes && i < nodes->count; i++) {
		rc = fleet_get_node(fleet, nodes->items[i], &node, err);
		if (rc == 0)
			add_node(&set, node);
	}
	if (rc == 0 && selector && selector[0])
		rc = take_selected(fleet, selector, &set, err);
	if (rc < 0) {
		drain_set_deinit(&set);
		return rc;
	}
	if (set.count)
		qsort(set.nodes, set.count, sizeof(*set.nodes), compare_nodes);
	set.words = join(&set, ", ", " and ");
	set.command = join(&set, " ", " ");
	*ret = set;
	return 0;
}

void drain_set_deinit(struct drain_set *set)
{
	free(set->nodes);
	free(set->words);
	free(set->command);
	free(set->note);
	*set = (struct drain_set){ 0 };
}

const struct sighting *drain_set_find_guest(const struct node *node, const char *name)
{
	for (const struct sighting *s = node->sightings; s; s = s->next) {
		if (strcmp(s->vm->name, name) == 0 || strcmp(s->vm->uuid, name) == 0)
			return s;
	}
	return NULL;
}

/* --- why not together --- */

static void append(char **text, char *more)
{
	char *longer = xasprintf("%s%s", *text ? *text : "", more);

	free(*text);
	free(more);
	*text = longer;
}

/* A node of the set that could take @vm if it were not emptied itself. */
static const struct node *find_helper(struct fleet *fleet, const struct drain_set *set,
                                      const struct vm *vm)
{
	const struct node *found = NULL;
	struct plan plan;

	plan_init(&plan, fleet, change_now(fleet));
	for (size_t i = 0; i < plan.count && !found; i++) {
		const struct node *node = plan.nodes[i].node;

		for (size_t n = 0; n < set->count && !found; n++) {
			if (set->nodes[n] == node &&
			    plan_judge(fleet, &plan.nodes[i], vm, true, change_now(fleet), NULL) ==
			            PLAN_FITS)
				found = node;
		}
	}
	plan_deinit(&plan);
	return found;
}

static int compare_name(const void *key, const void *element)
{
	return strcmp(key, (*(struct node *const *)element)->kept.name);
}

/* Those of a set are in the order of their names. */
static size_t index_of(const struct drain_set *set, const char *node)
{
	struct node **found = bsearch(node, set->nodes, set->count, sizeof(*set->nodes),
	                              compare_name);

	assert(found);
	return (size_t)(found - set->nodes);
}

/* A guest of the one would fit on the other. */
struct need {
	size_t home;
	const struct node *helper;
};

/* Two of which each has a guest that only the other could take: the first such by their names. */
static char *describe_mutual(const struct drain_set *set, const struct need *needs, size_t count)
{
	const struct node *one = NULL, *other = NULL;

	for (size_t a = 0; a < count; a++) {
		const struct node *home = set->nodes[needs[a].home];

		for (size_t b = 0; b < count; b++) {
			if (set->nodes[needs[b].home] == needs[a].helper &&
			    needs[b].helper == home &&
			    (!one || strcmp(home->kept.name, one->kept.name) < 0)) {
				one = home;
				other = needs[a].helper;
			}
		}
	}
	return one ? xasprintf("\n%s and %s block each other: guests of each need the other",
	                       one->kept.name, other->kept.name)
	           : xstrdup("");
}

/* What is not known of @guests of @nodes, of which no draft was made. */
static char *describe_unproved(size_t guests, size_t nodes)
{
	return xasprintf("not proved within %" PRIu64 " steps: whether %zu guests of %zu more "
	                 "nodes have a place if theirs alone is emptied",
	                 ALONE_MAX * PLANNER_LEAST_EFFORT, guests, nodes);
}

char *drain_set_find_conflict(struct fleet *fleet, const struct drain_set *set,
                              const struct drain_record *records, const struct drain *draft,
                              char **ret_unproved)
{
	struct drain **alone = xcalloc(set->count, sizeof(*alone));
	struct need needs[NAMED_MAX];
	bool *left_out = xcalloc(set->count, sizeof(*left_out));
	size_t found = 0, drafts = 0, guests = 0, nodes = 0, n_needs = 0;
	char *text = NULL;

	for (size_t i = 0; i < draft->n_vms && set->count > 1; i++) {
		const struct drain_vm *dv = &draft->vms[i], *then;
		size_t home = index_of(set, dv->node);
		const struct node *helper;

		if (dv->state != DRAIN_VM_BLOCKED)
			continue;
		if (!alone[home] && drafts == ALONE_MAX) {
			guests++;
			nodes += !left_out[home];
			left_out[home] = true;
			continue;
		}
		if (!alone[home]) {
			alone[home] = drain_draft_quick(fleet, &records[home]);
			drafts++;
		}
		then = drain_find_vm(alone[home], dv->uuid);
		if (!then || then->state == DRAIN_VM_BLOCKED || ++found > NAMED_MAX)
			continue;
		helper = find_helper(fleet, set, fleet_find_vm(fleet, dv->uuid));
		if (helper)
			needs[n_needs++] = (struct need){ home, helper };
		if (helper)
			append(&text, xasprintf("\n  %s of %s would fit on %s, which is to be "
			                        "emptied, too",
			                        dv->name, dv->node, helper->kept.name));
		else
			append(&text, xasprintf("\n  %s of %s: the others leave no room for it: %s",
			                        dv->name, dv->node, dv->reason));
	}
	if (found > NAMED_MAX)
		append(&text, xasprintf("\n  and %zu more", found - NAMED_MAX));
	if (nodes)
		*ret_unproved = describe_unproved(guests, nodes);
	if (text && nodes)
		append(&text, xasprintf("\n  %s", *ret_unproved));
	if (text) {
		append(&text, describe_mutual(set, needs, n_needs));
		append(&text, xasprintf("\none after the other they can be: drover drain %s, then "
		                        "drover undrain %s, and so on",
		                        set->nodes[0]->kept.name, set->nodes[0]->kept.name));
	}
	for (size_t i = 0; i < set->count; i++)
		drain_free(alone[i]);
	free(alone);
	free(left_out);
	return text;
}
