/* SPDX-License-Identifier: Apache-2.0 */
/* See policy_conflict.h. Guests that must be together, through whatever chain of policies, are one: in a
 * set of their own each. Then no two that must be apart may be in one set, each set needs a host that
 * all of its policies allow, and guests that must be apart need as many hosts as they are. */
#include "coordinator/core/policy/policy_conflict.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guest {
	const char *uuid; /* borrowed */
	const char *name; /* likewise */
	struct guest *root;
	UT_hash_handle hh;
};

struct books {
	const struct fleet *fleet;
	const struct policy_record **policies; /* owned; hard ones, the wanted one last */
	size_t count;
	struct guest *guests; /* by uuid */
};

static struct guest *root_of(struct guest *g)
{
	while (g->root != g)
		g = g->root = g->root->root;
	return g;
}

static struct guest *get_guest(const struct books *b, const char *uuid)
{
	struct guest *g;

	HASH_FIND_STR(b->guests, uuid, g);
	return g;
}

static void add_policy(struct books *b, const struct policy_record *policy)
{
	b->policies[b->count++] = policy;
	for (size_t i = 0; i < policy->vms.count; i++) {
		const struct vm *vm = fleet_find_vm(b->fleet, policy->vms.items[i]);
		struct guest *g = get_guest(b, policy->vms.items[i]);

		if (!g) {
			g = xnew(struct guest);
			g->uuid = policy->vms.items[i];
			g->name = vm ? vm->name : policy->vm_names.items[i];
			g->root = g;
			HASH_ADD_KEYPTR(hh, b->guests, g->uuid, strlen(g->uuid), g);
		}
		if (policy->kind == POLICY_TOGETHER && i > 0)
			root_of(g)->root = root_of(get_guest(b, policy->vms.items[0]));
	}
}

static void open_books(struct books *b, const struct fleet *fleet,
                       const struct policy_record *wanted)
{
	*b = (struct books){ .fleet = fleet };
	b->policies = xcalloc(HASH_COUNT(fleet->policies) + 1, sizeof(*b->policies));
	for (const struct policy *p = fleet->policies; p; p = p->hh.next) {
		if (!p->kept.soft && !p->kept.removed && strcmp(p->kept.name, wanted->name) != 0)
			add_policy(b, &p->kept);
	}
	add_policy(b, wanted);
}

static void close_books(struct books *b)
{
	struct guest *g, *next;

	HASH_ITER (hh, b->guests, g, next) {
		HASH_DEL(b->guests, g);
		free(g);
	}
	free(b->policies);
}

#define WAY_OUT "make one of them soft (--soft), or take the other away: drover policy remove %s"

/* --- together and apart --- */

/* One that keeps both together by itself; NULL: only several do. */
static const struct policy_record *find_together(const struct books *b, const struct guest *x,
                                                 const struct guest *y)
{
	for (size_t i = 0; i < b->count; i++) {
		if (b->policies[i]->kind == POLICY_TOGETHER &&
		    names_contain(&b->policies[i]->vms, x->uuid) &&
		    names_contain(&b->policies[i]->vms, y->uuid))
			return b->policies[i];
	}
	return NULL;
}

static int refuse_pair(const struct books *b, const struct policy_record *apart,
                       const struct guest *x, const struct guest *y, struct error *err)
{
	const struct policy_record *wanted = b->policies[b->count - 1];
	const struct policy_record *together = find_together(b, x, y);
	const struct policy_record *other = apart != wanted ? apart : together;

	if (!other)
		return error_set(err, ERROR_REFUSED,
		                 "%.80s and %.80s cannot be apart: several hard policies keep them "
		                 "together, through guests that both are with (drover policies)",
		                 x->name, y->name);
	return error_set(err, ERROR_REFUSED,
	                 "%.80s and %.80s cannot be %s: the hard policy %s keeps them %s; " WAY_OUT,
	                 x->name, y->name, policy_kind_name(wanted->kind), other->name,
	                 other == apart ? "apart" : "together", other->name);
}

static int check_apart(const struct books *b, const struct policy_record *apart, struct error *err)
{
	for (size_t i = 0; i < apart->vms.count; i++) {
		struct guest *x = get_guest(b, apart->vms.items[i]);

		for (size_t k = 0; k < i; k++) {
			struct guest *y = get_guest(b, apart->vms.items[k]);

			if (root_of(x) == root_of(y))
				return refuse_pair(b, apart, y, x, err);
		}
	}
	return 0;
}

/* --- hosts --- */

static bool names_node(const struct policy_record *on, const struct node *node)
{
	return on->selector[0] ? node_is_selected(node, on->selector)
	                       : names_contain(&on->nodes, node->kept.name);
}

static bool concerns(const struct books *b, const struct policy_record *policy,
                     const struct guest *root)
{
	for (size_t i = 0; i < policy->vms.count; i++) {
		if (root_of(get_guest(b, policy->vms.items[i])) == root)
			return true;
	}
	return false;
}

/* Whether all of the set may be on it. */
static bool is_allowed(const struct books *b, const struct guest *root, const struct node *node)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct policy_record *on = b->policies[i];

		if (on->kind == POLICY_ON && !names_node(on, node) && concerns(b, on, root))
			return false;
	}
	return true;
}

static bool share_a_host(const struct books *b, const struct policy_record *x,
                         const struct policy_record *y)
{
	for (const struct node *node = b->fleet->nodes; node; node = node->hh.next) {
		if (names_node(x, node) && names_node(y, node))
			return true;
	}
	return false;
}

static int refuse_hosts(const struct books *b, const struct guest *root, struct error *err)
{
	const struct policy_record *wanted = b->policies[b->count - 1], *other = NULL;

	for (size_t i = 0; i + 1 < b->count; i++) {
		const struct policy_record *p = b->policies[i];

		if (p->kind != POLICY_ON || !concerns(b, p, root))
			continue;
		if (!other || (wanted->kind == POLICY_ON && !share_a_host(b, wanted, p)))
			other = p;
	}
	if (!other)
		return error_set(err, ERROR_REFUSED, "%.80s could be on no host", root->name);
	return error_set(err, ERROR_REFUSED,
	                 "%.80s could be on no host then: the hard policy %s lets it, or a guest "
	                 "that it must be with, be on others only; " WAY_OUT,
	                 root->name, other->name, other->name);
}

static int check_hosts(const struct books *b, struct guest *root, struct error *err)
{
	for (const struct node *node = b->fleet->nodes; node; node = node->hh.next) {
		if (is_allowed(b, root, node))
			return 0;
	}
	return refuse_hosts(b, root, err);
}

/* So many guests, so many hosts. */
static int check_count(const struct books *b, const struct policy_record *apart, struct error *err)
{
	size_t hosts = 0;

	for (const struct node *node = b->fleet->nodes; node; node = node->hh.next) {
		bool allowed = false;

		for (size_t i = 0; i < apart->vms.count && !allowed; i++)
			allowed = is_allowed(b, root_of(get_guest(b, apart->vms.items[i])), node);
		hosts += allowed;
	}
	if (hosts >= apart->vms.count)
		return 0;
	return error_set(err, ERROR_REFUSED,
	                 "policy %s keeps %zu guests apart, and there are %zu hosts that may have "
	                 "any of them; name fewer guests, or make it a wish: --soft",
	                 apart->name, apart->vms.count, hosts);
}

static bool touches(const struct books *b, const struct policy_record *policy,
                    const struct policy_record *wanted)
{
	for (size_t i = 0; i < wanted->vms.count; i++) {
		if (concerns(b, policy, root_of(get_guest(b, wanted->vms.items[i]))))
			return true;
	}
	return false;
}

int policy_check_conflicts(const struct fleet *fleet, const struct policy_record *wanted,
                           struct error *err)
{
	struct books b;
	int rc = 0;

	open_books(&b, fleet, wanted);
	for (size_t i = 0; i < b.count && rc == 0; i++) {
		if (b.policies[i]->kind == POLICY_APART)
			rc = check_apart(&b, b.policies[i], err);
	}
	for (size_t i = 0; i < wanted->vms.count && rc == 0; i++)
		rc = check_hosts(&b, root_of(get_guest(&b, wanted->vms.items[i])), err);
	/* Of those that were there only what this one touches: they may have lost hosts since. */
	for (size_t i = 0; i < b.count && rc == 0; i++) {
		if (b.policies[i]->kind == POLICY_APART && touches(&b, b.policies[i], wanted))
			rc = check_count(&b, b.policies[i], err);
	}
	close_books(&b);
	return rc;
}
