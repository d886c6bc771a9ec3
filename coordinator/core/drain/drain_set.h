/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of one request to drain: named, or selected by their labels. Private to core/. */
#pragma once

#include "coordinator/core/change.h"

struct drain_set {
	struct node *
		*nodes; /* owned list of borrowed nodes; each once, in the order of their names */
	size_t count;
	char *words;   /* "host1 and host2", for sentences; owned */
	char *command; /* "host1 host2", for commands; owned */
	char *note;    /* nodes that the selection may miss; NULL: none; owned */
};

/* What the request is about. Errors name the node that there is not, or say that none is selected. */
int drain_set_resolve(const struct fleet *fleet, const struct event *event, struct drain_set *ret,
                      struct error *err);
void drain_set_deinit(struct drain_set *set);

/* By its name or uuid; NULL: the node does not list it. */
const struct sighting *drain_set_find_guest(const struct node *node, const char *name);

/* -ERROR_REFUSED when one of them is being drained otherwise than this asks for: drain_again.c. */
int drain_set_check_again(const struct fleet *fleet, const struct event *event,
                          const struct drain_set *set, struct error *err);

/* Why these cannot be emptied together though each, or some, could alone: guests whose hosts need each
 * other, or too little room for all of them. NULL when that is not so. Owned.
 * @records: one per node; @draft: of all of them together. @ret_unproved: what was not looked at; untouched
 * when there is nothing; owned. */
char *drain_set_find_conflict(struct fleet *fleet, const struct drain_set *set,
                              const struct drain_record *records, const struct drain *draft,
                              char **ret_unproved);
