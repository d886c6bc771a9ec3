/* SPDX-License-Identifier: Apache-2.0 */
/* See service_policies.h. What a request says is checked by the core; here only that it can be read. */
#include "coordinator/service/service_policies.h"

#include "common/alloc.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/service/service_orders.h"
#include "coordinator/view/view.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MOST 256

static char **texts_new(const struct names *names, size_t *ret_count)
{
	char **list = xcalloc(names->count + 1, sizeof(*list));

	for (size_t i = 0; i < names->count; i++)
		list[i] = xstrdup(names->items[i]);
	*ret_count = names->count;
	return list;
}

/* The hosts that it means now. */
static size_t hosts_new(const struct fleet *fleet, const struct policy *policy, char ***ret)
{
	size_t n = 0;

	*ret = xcalloc(HASH_COUNT(fleet->nodes) + 1, sizeof(**ret));
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (policy_names_node(policy, node))
			(*ret)[n++] = xstrdup(node->kept.name);
	}
	return n;
}

Drover__V1__Policy *policy_view_new(const struct fleet *fleet, const struct policy *policy)
{
	const struct policy_record *kept = &policy->kept;
	Drover__V1__Policy *m = xmalloc(sizeof(*m));

	drover__v1__policy__init(m);
	m->name = xstrdup(kept->name);
	m->kind = xstrdup(policy_kind_name(kept->kind));
	m->soft = kept->soft;
	m->vms = xcalloc(kept->vms.count + 1, sizeof(*m->vms));
	for (size_t i = 0; i < kept->vms.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, kept->vms.items[i]);
		Drover__V1__PolicyMember *member = xmalloc(sizeof(*member));

		drover__v1__policy_member__init(member);
		member->uuid = xstrdup(kept->vms.items[i]);
		member->name = xstrdup(policy_get_vm_name(fleet, policy, i));
		member->node = xstrdup(vm && vm->node ? vm->node->kept.name : "");
		m->vms[m->n_vms++] = member;
	}
	m->nodes = texts_new(&kept->nodes, &m->n_nodes);
	m->selector = xstrdup(kept->selector);
	if (kept->kind == POLICY_ON)
		m->n_on = hosts_new(fleet, policy, &m->on);
	m->state = xstrdup(policy_verdict_name(policy_get_verdict(policy)));
	m->reason = xstrdup(policy->reason);
	m->helps = texts_new(&policy->helps, &m->n_helps);
	m->violated_wall_ms = kept->violated_wall_ms;
	m->by = xstrdup(kept->by);
	m->wall_ms = kept->wall_ms;
	return m;
}

static void fail_unknown(struct mesh_incoming *in, const char *name)
{
	struct error err;

	error_set(&err, ERROR_NOT_FOUND, "no policy %.60s; `drover policies` shows those there are",
	          name);
	mesh_fail_error(in, &err);
}

void handle_policies(struct mesh_incoming *in, const Drover__V1__PoliciesRequest *r, void *context)
{
	struct coordinator *c = context;
	Drover__V1__PolicyList *list;

	if (r->name[0] && !policy_find(c->fleet, r->name)) {
		fail_unknown(in, r->name);
		return;
	}
	list = xmalloc(sizeof(*list));
	drover__v1__policy_list__init(list);
	list->policies = xcalloc(HASH_COUNT(c->fleet->policies) + 1, sizeof(*list->policies));
	for (const struct policy *p = c->fleet->policies; p; p = p->hh.next) {
		if (!r->name[0] || strcmp(r->name, p->kept.name) == 0)
			list->policies[list->n_policies++] = policy_view_new(c->fleet, p);
	}
	mesh_reply(in, &list->base);
	view_free(list);
}

void order_set_policy(struct mesh_incoming *in, const Drover__V1__PolicyRequest *r, void *context)
{
	struct coordinator *c = context;
	struct names vms = { .items = r->vms, .count = r->n_vms };
	struct names nodes = { .items = r->nodes, .count = r->n_nodes };
	struct event e = { .kind = EVENT_SET_POLICY };
	char by[NODE_NAME_BYTES];
	struct error err;

	e.policy.kind = policy_kind_parse(r->kind);
	if (e.policy.kind == POLICY_KINDS || vms.count > LIST_MOST || nodes.count > LIST_MOST) {
		error_set(
			&err, ERROR_INVALID,
			"a policy is \"apart\", \"together\" or \"on\" (not \"%.30s\"), of at most "
			"%d guests and %d hosts",
			r->kind, LIST_MOST, LIST_MOST);
		mesh_fail_error(in, &err);
		return;
	}
	order_name_caller(in, by, sizeof(by));
	e.policy.name = r->name;
	e.policy.by = by;
	e.policy.soft = r->soft;
	e.policy.vms = &vms;
	e.policy.nodes = &nodes;
	e.policy.selector = r->selector;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_remove_policy(struct mesh_incoming *in, const Drover__V1__PolicyRequest *r,
                         void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_REMOVE_POLICY };
	char by[NODE_NAME_BYTES];

	order_name_caller(in, by, sizeof(by));
	e.policy.name = r->name;
	e.policy.by = by;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void reply_policy(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply)
{
	const struct policy *policy = policy_find(c->fleet, reply->policy);
	Drover__V1__PolicyReply *m = xmalloc(sizeof(*m));

	drover__v1__policy_reply__init(m);
	if (policy)
		m->policy = policy_view_new(c->fleet, policy);
	m->changed = reply->changed;
	m->changes = texts_new(&reply->effects, &m->n_changes);
	mesh_reply(in, &m->base);
	view_free(m);
}

/* --- explanations --- */

static char *meaning_new(const struct fleet *fleet, const struct policy *policy)
{
	char **hosts, *text;
	size_t n;

	if (policy->kept.kind == POLICY_APART)
		return xstrdup("no two of its guests on one host");
	if (policy->kept.kind == POLICY_TOGETHER)
		return xstrdup("all of its guests on one host");
	n = hosts_new(fleet, policy, &hosts);
	text = policy->kept.selector[0] ? xasprintf("its guests only on hosts with %s, which are%s",
	                                            policy->kept.selector, n ? "" : " none")
	                                : xstrdup("its guests only on");
	for (size_t i = 0; i < n; i++) {
		char *longer = xasprintf("%s%s %s", text, i ? "," : "", hosts[i]);

		free(text);
		free(hosts[i]);
		text = longer;
	}
	free(hosts);
	return text;
}

static void add_line(Drover__V1__Explanation *m, char *line)
{
	m->lines = xreallocarray(m->lines, m->n_lines + 1, sizeof(*m->lines));
	m->lines[m->n_lines++] = line;
}

static const char *state_words(const struct policy *policy)
{
	switch (policy_get_verdict(policy)) {
	case POLICY_HOLDS:
		return "it holds";
	case POLICY_VIOLATED:
		return "it does not hold";
	default:
		return "not all of its guests are seen";
	}
}

static void add_policy(const struct fleet *fleet, const struct policy *policy, const char *begin,
                       Drover__V1__Explanation *m)
{
	char *meaning = meaning_new(fleet, policy);

	add_line(m, xasprintf("%s%s: %s (%s); %s%s%s", begin, policy->kept.name, meaning,
	                      policy->kept.soft ? "a wish" : "hard", state_words(policy),
	                      policy->reason[0] ? ": " : "", policy->reason));
	free(meaning);
}

void explain_policy(struct coordinator *c, struct mesh_incoming *in, const char *name)
{
	const struct policy *policy = policy_find(c->fleet, name);
	Drover__V1__Explanation *m;

	if (!policy) {
		fail_unknown(in, name);
		return;
	}
	m = xmalloc(sizeof(*m));
	drover__v1__explanation__init(m);
	m->subject = xasprintf("policy/%s", name);
	m->policy = policy_view_new(c->fleet, policy);
	add_policy(c->fleet, policy, "", m);
	if (policy->kept.soft)
		add_line(m, xstrdup("What cannot be met stops nobody: of the hosts that there are "
		                    "the one that breaks the fewest wishes is taken."));
	else
		add_line(m, xstrdup("drover sends no guest where it would not hold; a person may: "
		                    "drover migrate VM --to HOST --ignore-policies"));
	for (size_t i = 0; i < policy->helps.count; i++)
		add_line(m, xasprintf("To repair it, which drover does not do by itself: %s",
		                      policy->helps.items[i]));
	mesh_reply(in, &m->base);
	view_free(m);
}

void policy_view_add_lines(const struct fleet *fleet, const struct vm *vm,
                           Drover__V1__Explanation *m)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	for (size_t i = 0; i < count; i++)
		add_policy(fleet, policies[i], "policy ", m);
}
