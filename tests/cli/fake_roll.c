/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/cli/fake_roll.h. */
#include "tests/cli/fake_roll.h"

#include "common/alloc.h"
#include "common/units.h"
#include "tests/cli/fake_story.h"
#include "tests/cli/fake_words.h"

#include <stdio.h>
#include <string.h>

static bool rolled[5]; /* host1 is 1 */
static char label[5][64];

static unsigned host_number(const char *name)
{
	return (unsigned)(name[4] - '0');
}

void fake_drain_for_roll(struct mesh_incoming *in, const Drover__V1__DrainRequest *request)
{
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Check blocker = DROVER__V1__CHECK__INIT, *blockers[] = { &blocker };
	const char *first = request->n_nodes ? request->nodes[0] : request->node;
	struct fake_drain d;

	for (size_t i = 0; i < request->n_shut_down; i++)
		printf("%s %s shuts down %s within %llu ms\n",
		       request->dry_run ? "dry run:" : "drain:", request->node,
		       request->shut_down[i], (unsigned long long)request->shutdown_timeout_ms);
	fflush(stdout);
	if (request->n_shut_down && strcmp(request->shut_down[0], "u2") == 0) {
		fake_fail(in, ERROR_REFUSED, "guest fleeting is transient");
		return;
	}
	fake_shut_down = request->n_shut_down > 0;
	if (request->dry_run) {
		fake_drain_fill(&d, host_number(first), "planned");
		d.vm[0].node = S(first);
		d.vm[1].node = request->n_nodes > 1 ? request->nodes[1] : S(first);
		reply.drain = &d.drain;
		if (strcmp(first, "host4") == 0) {
			fake_blocker_fill(&blocker);
			reply.refused = true;
			reply.blockers = blockers;
			reply.n_blockers = 1;
		}
		mesh_reply(in, &reply.base);
		return;
	}
	reply.already = strcmp(request->node, "host4") == 0 ||
	                (request->node[0] && rolled[host_number(request->node)]);
	if (request->node[0])
		rolled[host_number(request->node)] = true;
	for (size_t i = 0; i < request->n_nodes; i++)
		rolled[host_number(request->nodes[i])] = true;
	fake_drain_fill(&d, 1, "completed");
	reply.drain = &d.drain;
	mesh_reply(in, &reply.base);
}

void fake_drains(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ListRequest *request = (const Drover__V1__ListRequest *)m;
	Drover__V1__DrainList list = DROVER__V1__DRAIN_LIST__INIT;
	char runs[64];
	struct fake_drain d;
	Drover__V1__Drain *items[] = { &d.drain };

	(void)context;
	list.drains = items;
	/* Only a rolling operation names a host, and the way back of db1. */
	if (request->node[0]) {
		fake_drain_fill(&d, host_number(request->node), "completed");
		d.vm[1].uuid = d.vm[1].name = S("db1");
		d.vm[1].state = S("stopped");
		d.vm[1].power = S("over");
		snprintf(runs, sizeof(runs), "was shut down, and runs on %s again", request->node);
		d.vm[1].reason = runs;
		list.n_drains = 1;
	}
	mesh_reply(in, &list.base);
}

void fake_migrations(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ListRequest *request = (const Drover__V1__ListRequest *)m;
	Drover__V1__MigrationList list = DROVER__V1__MIGRATION_LIST__INIT;
	struct error err;

	(void)context;
	if (strcmp(request->node, "host3") == 0) {
		error_set(&err, ERROR_STORE, "the store cannot be read");
		mesh_fail_error(in, &err);
	} else {
		mesh_reply(in, &list.base);
	}
}

void fake_undrain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__NodeRequest *request = (const Drover__V1__NodeRequest *)m;
	Drover__V1__NodeReply reply = DROVER__V1__NODE_REPLY__INIT;
	Drover__V1__Drain back = DROVER__V1__DRAIN__INIT;
	Drover__V1__DrainVm vm = DROVER__V1__DRAIN_VM__INIT, *vms[] = { &vm };
	char *off[] = { S("db1") };

	(void)context;
	reply.changed = true;
	vm.uuid = vm.name = S("db1");
	vm.starts = true;
	vm.shut_down_by = host_number(request->node);
	vm.memory_bytes = 256 * MIB;
	vm.target = request->node;
	vm.state = S(request->dry_run ? "waiting" : "starting");
	vm.reason = S("was shut down there, and starts again");
	if (strcmp(request->node, "host3") == 0 && rolled[3]) {
		vm.state = S("blocked");
		vm.reason = S("host3 has 100 MiB free, and it needs 320 MiB");
	}
	back.number = host_number(request->node);
	back.node = request->node;
	back.vms = vms;
	back.n_vms = 1;
	if (request->bring_back) {
		reply.back = &back;
	} else {
		reply.off = off;
		reply.n_off = 1;
	}
	mesh_reply(in, &reply.base);
}

void fake_label(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__LabelRequest *request = (const Drover__V1__LabelRequest *)m;
	Drover__V1__NodeReply reply = DROVER__V1__NODE_REPLY__INIT;

	(void)context;
	printf("label %s %s\n", request->node, request->changes[0]);
	fflush(stdout);
	if (strncmp(request->changes[0], "roll/", 5) == 0)
		snprintf(label[host_number(request->node)], sizeof(label[0]), "%s",
		         strchr(request->changes[0], '=') ? request->changes[0] : "");
	mesh_reply(in, &reply.base);
}

void fake_nodes(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	static const char *const names[] = { "host1", "host2", "host3", "host4" };
	Drover__V1__NodeList list = DROVER__V1__NODE_LIST__INIT;
	Drover__V1__Node nodes[ARRAY_SIZE(names)], *items[ARRAY_SIZE(names)];
	Drover__V1__HostState host = DROVER__V1__HOST_STATE__INIT;
	char *labels[ARRAY_SIZE(names)];

	(void)context;
	if (((const Drover__V1__ListRequest *)m)->selector[0])
		list.note = S("1 node has never been heard: host5");
	host.libvirt_connected = true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		drover__v1__node__init(&nodes[i]);
		nodes[i].name = S(names[i]);
		nodes[i].state = S(rolled[i + 1] ? "maintenance" : "ready");
		nodes[i].vms = i == 1;
		nodes[i].host = &host;
		labels[i] = label[i + 1];
		nodes[i].given_labels = &labels[i];
		nodes[i].n_given_labels = labels[i][0] != '\0';
		items[i] = &nodes[i];
	}
	list.nodes = items;
	list.n_nodes = ARRAY_SIZE(names);
	mesh_reply(in, &list.base);
}
