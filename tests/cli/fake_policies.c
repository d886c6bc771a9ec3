/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/fake_policies.h"

#include "proto/coordinator.pb-c.h"
#include "tests/cli/fake_words.h"

#include <stdio.h>
#include <string.h>

/* A policy of web1 and web2; "bad" is violated. */
struct policy {
	Drover__V1__Policy base;
	Drover__V1__PolicyMember members[2], *list[2];
	char *helps[1];
};

static Drover__V1__Policy *fill(struct policy *p, const char *name)
{
	bool bad = strcmp(name, "bad") == 0;

	drover__v1__policy__init(&p->base);
	for (unsigned i = 0; i < 2; i++) {
		drover__v1__policy_member__init(&p->members[i]);
		p->members[i].name = S(i ? "web2" : "web1");
		p->members[i].node = S(bad || !i ? "host1" : "");
		p->list[i] = &p->members[i];
	}
	p->helps[0] = S("drover migrate web2");
	p->base.name = S(name);
	p->base.kind = S("apart");
	p->base.vms = p->list;
	p->base.n_vms = 2;
	p->base.by = S("ann");
	p->base.wall_ms = 1000;
	p->base.state = S(bad ? "violated" : "holds");
	if (bad) {
		p->base.violated_wall_ms = 2000;
		p->base.reason = S("web1 and web2 are both on host1");
		p->base.helps = p->helps;
		p->base.n_helps = 1;
	}
	return &p->base;
}

void fake_set_policy(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__PolicyRequest *r = (const Drover__V1__PolicyRequest *)m;
	Drover__V1__PolicyReply reply = DROVER__V1__POLICY_REPLY__INIT;
	char *changes[] = { S("soft instead of hard"), S("web2 added") };
	struct policy p;

	(void)context;
	printf("policy %s %s %s", r->name, r->kind, r->soft ? "soft" : "hard");
	for (size_t i = 0; i < r->n_vms; i++)
		printf(" %s", r->vms[i]);
	for (size_t i = 0; i < r->n_nodes; i++)
		printf(" @%s", r->nodes[i]);
	printf("%s%s\n", r->selector[0] ? " -l " : "", r->selector);
	fflush(stdout);
	if (strcmp(r->vms[0], "wbe1") == 0) {
		fake_fail(in, ERROR_NOT_FOUND, "no host lists a guest wbe1");
		return;
	}
	if (r->n_nodes && strcmp(r->nodes[0], "hots1") == 0) {
		fake_fail(in, ERROR_NOT_FOUND, "no node hots1");
		return;
	}
	if (strcmp(r->name, "clash") == 0) {
		fake_fail(
			in, ERROR_REFUSED,
			"web1 and web2 cannot be apart: the hard policy pair keeps them together");
		return;
	}
	reply.policy = fill(&p, r->name);
	reply.changed = strcmp(r->name, "same") != 0;
	if (strcmp(r->name, "other") == 0) {
		reply.changes = changes;
		reply.n_changes = 2;
	}
	mesh_reply(in, &reply.base);
}

void fake_remove_policy(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__PolicyRequest *r = (const Drover__V1__PolicyRequest *)m;
	Drover__V1__PolicyReply reply = DROVER__V1__POLICY_REPLY__INIT;

	(void)context;
	if (strcmp(r->name, "good") != 0) {
		fake_fail(in, ERROR_NOT_FOUND, "no such policy");
		return;
	}
	reply.changed = true;
	mesh_reply(in, &reply.base);
}

void fake_list_policies(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__PoliciesRequest *r = (const Drover__V1__PoliciesRequest *)m;
	Drover__V1__PolicyList list = DROVER__V1__POLICY_LIST__INIT;
	struct policy good, bad;
	Drover__V1__Policy *all[] = { fill(&bad, "bad"), fill(&good, "good") };
	bool one = strcmp(r->name, "good") == 0;

	(void)context;
	if (r->name[0] && !one && strcmp(r->name, "bad") != 0) {
		fake_fail(in, ERROR_NOT_FOUND, "no such policy");
		return;
	}
	list.policies = one ? all + 1 : all;
	list.n_policies = r->name[0] ? 1 : 2;
	mesh_reply(in, &list.base);
}

void fake_explain_policy(struct mesh_incoming *in, const char *name)
{
	Drover__V1__Explanation reply = DROVER__V1__EXPLANATION__INIT;
	char *lines[] = { S("bad: no two of its guests on one host (hard); it does not hold"),
		          S("To repair it, which drover does not do by itself: drover migrate "
		            "web2") };
	struct policy p;

	reply.subject = S("policy/bad");
	reply.lines = lines;
	reply.n_lines = 2;
	reply.policy = fill(&p, name);
	mesh_reply(in, &reply.base);
}
