/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/cli/fake_answers.h. */
#include "tests/cli/fake_answers.h"

#include "common/alloc.h"
#include "common/units.h"
#include "proto/coordinator.pb-c.h"
#include "tests/cli/fake_policies.h"
#include "tests/cli/fake_words.h"

#include <stdio.h>
#include <string.h>

void fake_vms(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ListRequest *r = (const Drover__V1__ListRequest *)m;
	Drover__V1__VmList list = DROVER__V1__VM_LIST__INIT;
	/* Whom a rolling operation may be asked to shut down. */
	static const char *const named[][2] = {
		{ "db1", "host1" },  { "fleeting", "host3" }, { "twin", "host1" },
		{ "twin", "host3" }, { "away", "host9" },     { "stays", "host2" },
	};
	static const char *const uuids[] = { "db1", "u2", "u3", "u4", "u5", "u6" };
	Drover__V1__Vm web = DROVER__V1__VM__INIT, evil = DROVER__V1__VM__INIT;
	Drover__V1__Vm others[ARRAY_SIZE(named)], *items[2 + ARRAY_SIZE(named)] = { &web, &evil };
	char *policies[] = { S("bad"), S("good") }, *not_heard[] = { S("host4") };

	(void)context;
	web.name = S("web1");
	web.node = S("host1");
	web.movable = true;
	web.policies = policies;
	web.n_policies = ARRAY_SIZE(policies);
	evil.name = S("e\033[2Jvil");
	evil.why_not = S("two\nlines");
	for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
		drover__v1__vm__init(&others[i]);
		others[i].uuid = S(uuids[i]);
		others[i].name = S(named[i][0]);
		others[i].node = S(named[i][1]);
		others[i].movable = true;
		items[2 + i] = &others[i];
	}
	list.vms = items;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		if (!r->node[0] || strcmp(items[i]->node, r->node) == 0)
			items[list.n_vms++] = items[i];
	}
	/* This one was not heard since the start. */
	if (strcmp(r->node, "host4") == 0) {
		list.not_heard = not_heard;
		list.n_not_heard = ARRAY_SIZE(not_heard);
	}
	mesh_reply(in, &list.base);
}

void fake_cordon(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__NodeRequest *request = (const Drover__V1__NodeRequest *)m;
	Drover__V1__NodeReply reply = DROVER__V1__NODE_REPLY__INIT;

	(void)context;
	reply.changed = strcmp(request->node, "host1") == 0;
	mesh_reply(in, &reply.base);
}

static void explain_node(struct mesh_incoming *in, const Drover__V1__ExplainRequest *request)
{
	Drover__V1__Explanation reply = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Explanation__Target target = DROVER__V1__EXPLANATION__TARGET__INIT;
	Drover__V1__Explanation__Target *targets[] = { &target };
	Drover__V1__Check memory = DROVER__V1__CHECK__INIT, cpu = DROVER__V1__CHECK__INIT;
	Drover__V1__Check *checks[] = { &cpu, &memory };
	struct error err;

	if (strcmp(request->node, "host2") != 0 && strcmp(request->node, "host1") != 0) {
		error_set(&err, ERROR_NOT_FOUND, "no node %s", request->node);
		mesh_fail_error(in, &err);
		return;
	}
	target.node = request->node;
	target.fits = strcmp(request->node, "host1") == 0;
	target.guard = DROVER__V1__GUARD__GUARD_TWO_STEP;
	cpu.id = S("cpu");
	cpu.verdict = DROVER__V1__CHECK__VERDICT__PASS;
	memory.id = S("memory");
	memory.verdict = target.fits ? DROVER__V1__CHECK__VERDICT__PASS
	                             : DROVER__V1__CHECK__VERDICT__FAIL;
	memory.measured = S("100 MiB free");
	memory.required = S("320 MiB");
	memory.remedy = S("move something off host2 first");
	target.checks = checks;
	target.n_checks = 2;
	reply.targets = targets;
	reply.n_targets = 1;
	mesh_reply(in, &reply.base);
}

/* It is held for web1, which leaves the same host. */
static void explain_held(struct mesh_incoming *in)
{
	Drover__V1__Explanation reply = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Migration m = DROVER__V1__MIGRATION__INIT;
	Drover__V1__AttemptReport report = DROVER__V1__ATTEMPT_REPORT__INIT;
	Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
	Drover__V1__Hold hold = DROVER__V1__HOLD__INIT;

	hold.first_vm = S("web1");
	hold.bytes_per_s = 15000000;
	hold.left_ms = 12000;
	progress.elapsed_ms = 5000;
	progress.hold = &hold;
	report.progress = &progress;
	m.number = 88;
	m.vm_name = S("db1");
	m.source = S("host1");
	m.target = S("host2");
	m.state = report.state = DROVER__V1__MIGRATION_STATE__RUNNING;
	m.report = &report;
	reply.subject = S("migration/88");
	reply.migration = &m;
	mesh_reply(in, &reply.base);
}

/* A plan of one guest; "0..." is not known any more, "1..." has changed. */
static void explain_plan(struct mesh_incoming *in, const char *id)
{
	Drover__V1__Explanation reply = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Plan plan = DROVER__V1__PLAN__INIT;
	Drover__V1__PlanBound bound = DROVER__V1__PLAN_BOUND__INIT;
	Drover__V1__Drain drain = DROVER__V1__DRAIN__INIT;
	Drover__V1__DrainVm vm = DROVER__V1__DRAIN_VM__INIT, *vms[] = { &vm };
	char *changes[] = { S("db1 runs on host1, and the plan does not know it") };
	struct error err;

	if (id[0] == '0') {
		error_set(&err, ERROR_NOT_FOUND, "no plan %.40s is known here (any more)", id);
		mesh_fail_error(in, &err);
		return;
	}
	vm.name = S("web1");
	vm.node = drain.node = bound.node = S("host1");
	vm.target = S("host2");
	vm.state = S("waiting");
	vm.order = vm.could = 1;
	vm.end_ms = 3000;
	vm.why = S("the only one that could take it; 12 GiB left there");
	vm.turn_why = S("at once; the last that leaves host1");
	bound.planned_ms = 2100;
	bound.least_ms = 2000;
	bound.critical = S("out");
	drain.vms = vms;
	drain.n_vms = 1;
	drain.bound = &bound;
	plan.id = S(id);
	plan.drain = &drain;
	plan.holds = id[0] != '1';
	plan.changes = changes;
	plan.n_changes = !plan.holds;
	reply.plan = &plan;
	mesh_reply(in, &reply.base);
}

void fake_explain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ExplainRequest *request = (const Drover__V1__ExplainRequest *)m;
	Drover__V1__Explanation reply = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Explanation__Target target = DROVER__V1__EXPLANATION__TARGET__INIT;
	Drover__V1__Explanation__Target *targets[] = { &target };
	char line[80], *lines[] = { line };

	(void)context;
	if (strcmp(request->kind, "policy") == 0) {
		fake_explain_policy(in, request->name);
		return;
	}
	if (strcmp(request->kind, "plan") == 0) {
		explain_plan(in, request->name);
		return;
	}
	if (request->node[0]) {
		explain_node(in, request);
		return;
	}
	if (strcmp(request->kind, "migration") == 0 && strcmp(request->name, "88") == 0) {
		explain_held(in);
		return;
	}
	snprintf(line, sizeof(line), "asked for the %.16s called %.40s", request->kind,
	         request->name);
	target.node = S("host2");
	target.reason = S("it is cordoned");
	reply.lines = lines;
	reply.n_lines = 1;
	reply.targets = targets;
	reply.n_targets = 1;
	mesh_reply(in, &reply.base);
}

void fake_cancel(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__CancelRequest *request = (const Drover__V1__CancelRequest *)m;
	Drover__V1__CancelReply reply = DROVER__V1__CANCEL_REPLY__INIT;

	(void)context;
	reply.changed = strcmp(request->name, "3") == 0;
	reply.text = S(reply.changed ? "drain/3 is cancelled"
	                             : "drain/1 of host1 is over: completed");
	mesh_reply(in, &reply.base);
}

void fake_dry_migrate(struct mesh_incoming *in, const char *target)
{
	Drover__V1__MigrateReply reply = DROVER__V1__MIGRATE_REPLY__INIT;
	Drover__V1__Migration migration = DROVER__V1__MIGRATION__INIT;
	Drover__V1__Explanation__Target other = DROVER__V1__EXPLANATION__TARGET__INIT;
	Drover__V1__Explanation__Target *others[] = { &other };

	migration.target = S(*target ? target : "host3");
	reply.migration = &migration;
	reply.guard = DROVER__V1__GUARD__GUARD_TWO_STEP;
	if (!*target) {
		reply.choice = S("of 2 that can take it none keeps more memory free: 1.7 GiB");
		other.node = S("host2");
		other.fits = true;
		other.reason = S("host2 would keep 1.4 GiB of memory free");
		reply.others = others;
		reply.n_others = 1;
		reply.others_unsaid = 3;
	}
	mesh_reply(in, &reply.base);
}

/* web1 moves, calm does not; anything else is past its switchover. */
void fake_tune(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__TuneRequest *r = (const Drover__V1__TuneRequest *)m;
	Drover__V1__TuneReply reply = DROVER__V1__TUNE_REPLY__INIT;
	Drover__V1__TunedValue value = DROVER__V1__TUNED_VALUE__INIT, *values[] = { &value };
	Drover__V1__Migration migration = DROVER__V1__MIGRATION__INIT;
	struct error err;

	(void)context;
	printf("tune %s/%s bandwidth %d %llu downtime %d %llu post-copy %d pause %d forget %d\n",
	       r->kind, r->name, r->tuning->bandwidth_given,
	       (unsigned long long)r->tuning->bandwidth_bytes_per_s, r->tuning->max_downtime_given,
	       (unsigned long long)r->tuning->max_downtime_ms, r->tuning->post_copy,
	       r->tuning->pause, r->forget);
	fflush(stdout);
	if (strcmp(r->name, "web1") != 0 && strcmp(r->name, "calm") != 0) {
		error_set(&err, ERROR_REFUSED, "the move of %.40s is past its switchover", r->name);
		mesh_fail_error(in, &err);
		return;
	}
	value.name = S("bandwidthPerMigration");
	value.before = S("8 MiB/s = 67.1 Mbit/s");
	value.after = S("no limit");
	reply.values = values;
	reply.n_values = r->tuning->bandwidth_given;
	reply.changed = r->tuning->bandwidth_given;
	if (strcmp(r->name, "web1") == 0) {
		migration.number = 12;
		reply.migration = &migration;
	} else {
		reply.text = S("calm is not being moved: kept for its next migration");
	}
	mesh_reply(in, &reply.base);
}

/* host1 has something that goes and something that stays, host2 nothing, host3 is silent; migration/43 is
 * not over. */
void fake_garbage(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__GarbageRequest *r = (const Drover__V1__GarbageRequest *)m;
	Drover__V1__GarbageReply reply = DROVER__V1__GARBAGE_REPLY__INIT;
	Drover__V1__Garbage gone = DROVER__V1__GARBAGE__INIT, left = DROVER__V1__GARBAGE__INIT;
	Drover__V1__Garbage *items[] = { &gone, &left };
	Drover__V1__GarbageNode node = DROVER__V1__GARBAGE_NODE__INIT, *nodes[] = { &node };
	struct error err;

	(void)context;
	printf("gc \"%s\" migration %llu dry run %d\n", r->node,
	       (unsigned long long)r->migration_number, r->dry_run);
	fflush(stdout);
	if (r->migration_number == 43) {
		error_set(&err, ERROR_REFUSED, "migration/43 is running");
		mesh_fail_error(in, &err);
		return;
	}
	gone.thing = S("directory");
	left.node = gone.node = S("host1");
	gone.vm_name = S("web1");
	gone.migration_number = 12;
	gone.outcome = r->dry_run ? DROVER__V1__GARBAGE__OUTCOME__WOULD_REMOVE
	                          : DROVER__V1__GARBAGE__OUTCOME__REMOVED;
	gone.what = S("/run/drover/attempts/7");
	left.thing = S("proofs");
	left.what = S("/srv/.drover-proof-1");
	left.text = S("not its own");
	left.remedy = S("rm it");
	node.name = r->node;
	node.problem = S(strcmp(r->node, "host3") == 0 ? "its agent is not connected" : "");
	reply.items = items;
	reply.n_items = strcmp(r->node, "host1") == 0 ? 2 : r->migration_number ? 1 : 0;
	reply.nodes = nodes;
	reply.n_nodes = 1;
	mesh_reply(in, &reply.base);
}

/* The newest first, as a log is asked for. */
void fake_events(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	Drover__V1__EventList list = DROVER__V1__EVENT_LIST__INIT;
	Drover__V1__Event a = DROVER__V1__EVENT__INIT, b = DROVER__V1__EVENT__INIT;
	Drover__V1__Event *items[] = { &b, &a };

	(void)m;
	(void)context;
	a.revision = 1;
	a.severity = S("info");
	a.subject = S("node/host1");
	a.text = S("host1 is ready");
	b.revision = 2;
	b.severity = S("alarm");
	b.subject = S("vm/web1");
	b.text = S("web1 runs\ntwice");
	list.events = items;
	list.n_events = 2;
	list.revision = 2;
	mesh_reply(in, &list.base);
}

/* Never answers. */
void fake_status(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	(void)in;
	(void)m;
	(void)context;
}

/* host1 can be drained, host2 cannot; both together neither. */
void fake_capacity(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__CapacityRequest *r = (const Drover__V1__CapacityRequest *)m;
	Drover__V1__Capacity reply = DROVER__V1__CAPACITY__INIT;
	Drover__V1__DrainCapacity one = DROVER__V1__DRAIN_CAPACITY__INIT, *nodes[] = { &one };
	Drover__V1__PlacementProof proof = DROVER__V1__PLACEMENT_PROOF__INIT;
	Drover__V1__Remedy remedy = DROVER__V1__REMEDY__INIT, *remedies[] = { &remedy };
	char *names[] = { S("host1") };

	(void)context;
	printf("capacity %zu nodes guest %llu %u\n", r->n_nodes,
	       (unsigned long long)r->guest_memory_bytes, r->guest_vcpus);
	fflush(stdout);
	if (r->n_nodes)
		names[0] = r->nodes[0];
	one.nodes = names;
	one.n_nodes = 1;
	one.verdict = S(strcmp(names[0], "host1") == 0 && r->n_nodes < 2 ? "yes" : "no");
	one.reason = S("web1 (8 GiB) has no place: host3 3.2 GiB short of memory");
	remedy.text = S("free 3.2 GiB on host3");
	proof.remedies = remedies;
	proof.n_remedies = 1;
	one.proof = &proof;
	one.not_asked = r->n_nodes ? 0 : 12;
	reply.asked = r->n_nodes > 0;
	if (r->n_nodes > 1)
		reply.together = &one;
	reply.nodes = nodes;
	reply.n_nodes = 1;
	reply.fullest = S("host2");
	mesh_reply(in, &reply.base);
}

void fake_place(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__PlaceRequest *r = (const Drover__V1__PlaceRequest *)m;
	Drover__V1__PlaceReply reply = DROVER__V1__PLACE_REPLY__INIT;

	(void)context;
	printf("place %llu bytes %u vcpus like \"%s\"\n", (unsigned long long)r->memory_bytes,
	       r->vcpus, r->like);
	fflush(stdout);
	reply.node = S(r->memory_bytes > 64 * GIB ? "" : "host2");
	reply.reason = S(*reply.node ? "the roomiest" : "no node can take it now");
	mesh_reply(in, &reply.base);
}

/* Two parts. */
void fake_export(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__ExportRequest *r = (const Drover__V1__ExportRequest *)m;
	Drover__V1__FleetState reply = DROVER__V1__FLEET_STATE__INIT;
	Drover__V1__Vm vm = DROVER__V1__VM__INIT, *vms[] = { &vm };

	(void)context;
	reply.format = 1;
	reply.cluster = S("lab");
	reply.revision = *r->from ? 8 : 7;
	vm.name = S(*r->from ? "web2" : "web1");
	reply.vms = vms;
	reply.n_vms = 1;
	reply.next = S(*r->from ? "" : "vms/1");
	mesh_reply(in, &reply.base);
}
