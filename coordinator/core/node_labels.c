/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of nodes: which are in effect, and how an operator changes them. All changes of a request, or
 * none; those given are intent, and in the store before they are answered. */
#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void node_get_labels(const struct node *node, char *ret)
{
	labels_merge(node->host.labels, node->kept.labels, ret);
}

bool node_is_selected(const struct node *node, const char *selector)
{
	char labels[LABELS_BYTES];

	node_get_labels(node, labels);
	return selector_matches(selector, labels);
}

/* Then "and 7 more". */
#define UNHEARD_NAMED 5

char *fleet_describe_unheard_labels(const struct fleet *fleet)
{
	char *names = NULL, *text, more[48] = "";
	size_t n = 0;

	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		char *longer;

		if (node->kept.labels_heard)
			continue;
		if (++n > UNHEARD_NAMED)
			continue;
		longer = xasprintf("%s%s%s", names ? names : "", names ? ", " : "",
		                   node->kept.name);
		free(names);
		names = longer;
	}
	if (!n)
		return NULL;
	if (n > UNHEARD_NAMED)
		snprintf(more, sizeof(more), " and %zu more", n - UNHEARD_NAMED);
	text = xasprintf("%zu %s never been heard by this coordinator, and which labels of %s own "
	                 "%s has is not known: %s%s",
	                 n, n == 1 ? "node has" : "nodes have", n == 1 ? "its" : "their",
	                 n == 1 ? "it" : "each", names, more);
	free(names);
	return text;
}

/* What "key-" cannot take away is said, lest somebody relies on its being gone. */
static int check_own(const struct node *node, const char *change, struct error *err)
{
	size_t length = strlen(change);
	char key[LABEL_BYTES];

	if (strchr(change, '=') || length < 2 || length > sizeof(key) || change[length - 1] != '-')
		return 0;
	snprintf(key, sizeof(key), "%.*s", (int)length - 1, change);
	if (labels_get(node->kept.labels, key, NULL) || !labels_get(node->host.labels, key, NULL))
		return 0;
	return error_set(err, ERROR_REFUSED,
	                 "the label %s of %s is of its own agent.yaml (labels), and is taken away "
	                 "there; another value can be given here",
	                 key, node->kept.name);
}

/* On a copy, so that a request which cannot be met as a whole changes nothing. */
static int change_labels(struct fleet *fleet, struct node *node, const struct names *changes,
                         bool *ret_changed, struct error *err)
{
	char labels[LABELS_BYTES];
	bool changed, any = false;

	memcpy(labels, node->kept.labels, sizeof(labels));
	for (size_t i = 0; i < changes->count; i++) {
		if (check_own(node, changes->items[i], err) < 0 ||
		    labels_change(labels, changes->items[i], &changed, err) < 0)
			return -(int)err->code;
		any = any || changed;
	}
	if (any) {
		memcpy(node->kept.labels, labels, sizeof(labels));
		save_node(fleet, node);
	}
	*ret_changed = any;
	return 0;
}

void request_label(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	struct reply *reply;
	bool changed = false;

	if (fleet_get_node(fleet, event->label.node, &node, &err) < 0 ||
	    change_labels(fleet, node, event->label.changes, &changed, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	reply = reply_new(REPLY_NODE, event->request);
	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	reply->changed = changed;
	reply_send_stored(fleet, reply);
}
