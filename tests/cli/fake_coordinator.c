/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator for the tests of the command line: the real mesh, with stories that are written down
 * (fake_story.c) and answers that are always the same (fake_answers.c, fake_policies.c, fake_roll.c). What
 * it is asked for decides how the story goes:
 *
 *	host1   is emptied                        web1    moves
 *	host2   has build7, which cannot move     stuck   fails
 *	host3   takes for ever                    pinned  is refused
 *	host4   loses its watcher on the way, and has db1, which is off since it was drained
 *	sealed  is not for the caller             anything else is not there
 *
 * Usage: fake_coordinator URL [CA CERTIFICATE KEY]. Prints "ready PORT", then one line for each
 * request that tests look for.
 */
#include "common/alloc.h"
#include "common/loop.h"
#include "proto/mesh/reflection.h"
#include "tests/cli/fake_answers.h"
#include "tests/cli/fake_policies.h"
#include "tests/cli/fake_roll.h"
#include "tests/cli/fake_story.h"
#include "tests/cli/fake_words.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void handle_drain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__DrainRequest *request = (const Drover__V1__DrainRequest *)m;
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Check blocker = DROVER__V1__CHECK__INIT, *blockers[] = { &blocker };
	Drover__V1__Prediction endless = DROVER__V1__PREDICTION__INIT;
	struct fake_drain d;

	(void)context;
	if (strcmp(request->node, "sealed") == 0) {
		fake_fail(in, ERROR_PERMISSION, "viewer uid 1000 may not call Drain");
		return;
	}
	if (request->selector[0]) {
		fake_drain_fill(&d, 1, "planned");
		reply.drain = &d.drain;
		reply.note = S("1 node has never been heard: host5");
		mesh_reply(in, &reply.base);
		return;
	}
	if (strncmp(request->reason, "roll/", 5) == 0) {
		fake_drain_for_roll(in, request);
		return;
	}
	if (strncmp(request->node, "host", 4) != 0 || request->node[4] < '1' ||
	    request->node[4] > '4' || request->node[5]) {
		fake_fail(in, ERROR_NOT_FOUND, "there is no such node");
		return;
	}
	if (request->n_shut_down && strcmp(request->shut_down[0], "build7") != 0) {
		fake_fail(in, ERROR_NOT_FOUND, "host2 has no guest like that to shut down");
		return;
	}
	if (strcmp(request->node, "host4") == 0 && request->n_leave && !request->dry_run) {
		fake_fail(
			in, ERROR_REFUSED,
			"host4 is being drained already, and this was not asked for then: --leave "
			"db1; nothing was changed. To have it so: drover cancel drain/4");
		return;
	}
	fake_shut_down = request->n_shut_down > 0;
	fake_drain_fill(&d, (uint64_t)(request->node[4] - '0'), "running");
	reply.drain = &d.drain;
	if (request->dry_run && (fake_shut_down || request->n_leave))
		reply.plan_id = S("5f1d9c02a77be340");
	if (request->dry_run && fake_shut_down)
		d.vm[1].reason = S("is asked when the others have left, and given 10 min");
	if (request->dry_run && strcmp(request->reason, "no room") == 0) {
		d.vm[1].state = S("blocked");
		d.vm[1].target = reply.plan_id = S("");
	}
	/* Its build is foretold to be given up. */
	if (request->dry_run && d.drain.number == 1 && request->by_wall_ms) {
		endless.end = endless.low_end = endless.high_end =
			DROVER__V1__PREDICTION__END__GIVES_UP;
		endless.certain = true;
		endless.expected_ms = endless.low_ms = endless.high_ms = 152000;
		d.vm[1].state = S("waiting");
		d.vm[1].prediction = &endless;
		d.drain.by_wall_ms = request->by_wall_ms;
		d.drain.deadline = S("has no end in sight: build7 does not converge");
	}
	if (fake_shut_down)
		printf("shut down %s within %llu ms\n", request->shut_down[0],
		       (unsigned long long)request->shutdown_timeout_ms);
	fflush(stdout);
	if (d.drain.number == 2 && !request->leave_unmovable && request->n_leave == 0 &&
	    !fake_shut_down) {
		fake_blocker_fill(&blocker);
		d.vm[1].state = S("blocked");
		d.vm[1].target = S("");
		d.vm[1].reason = blocker.measured;
		reply.refused = true;
		reply.blockers = blockers;
		reply.n_blockers = 1;
	} else if (!request->dry_run) {
		fake_story_drain(d.drain.number);
	}
	mesh_reply(in, &reply.base);
}

static void handle_migrate(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__MigrateRequest *request = (const Drover__V1__MigrateRequest *)m;
	Drover__V1__MigrateReply reply = DROVER__V1__MIGRATE_REPLY__INIT;
	Drover__V1__Migration migration = DROVER__V1__MIGRATION__INIT;
	Drover__V1__Check check = DROVER__V1__CHECK__INIT, *checks[] = { &check };
	bool web = strcmp(request->vm, "web1") == 0, stuck = strcmp(request->vm, "stuck") == 0;
	Drover__V1__Prediction prediction = DROVER__V1__PREDICTION__INIT;

	(void)context;
	if (strcmp(request->vm, "pinned") == 0) {
		check.id = S("memory");
		check.verdict = DROVER__V1__CHECK__VERDICT__FAIL;
		check.measured = S("100 MiB free");
		check.required = S("320 MiB");
		check.remedy = S("move something off host2 first");
		reply.refused = true;
		reply.refusal = S("no node can take it");
		reply.checks = checks;
		reply.n_checks = 1;
	} else if (web && request->dry_run) {
		fake_dry_migrate(in, request->target);
		return;
	} else if (request->dry_run && strcmp(request->vm, "busy") == 0) {
		/* Samples that permit both: given up after a minute, or there in six seconds. */
		migration.vm_name = request->vm;
		migration.target = S("host2");
		prediction.end = prediction.high_end = DROVER__V1__PREDICTION__END__GIVES_UP;
		prediction.low_end = DROVER__V1__PREDICTION__END__CONVERGES;
		prediction.expected_ms = 60300;
		prediction.low_ms = 5600;
		prediction.high_ms = 69100;
		prediction.high_known = true;
		reply.migration = &migration;
		reply.prediction = &prediction;
		reply.eta_ms = prediction.expected_ms;
	} else if (web || stuck) {
		migration.number = web ? 21 : 22;
		migration.vm_name = request->vm;
		reply.migration = &migration;
		fake_story_move(migration.number, request->vm);
	} else {
		fake_fail(in, ERROR_NOT_FOUND, "there is no such guest");
		return;
	}
	mesh_reply(in, &reply.base);
}

static const struct mesh_handler handlers[] = {
	{ "GetCapacity", fake_capacity },
	{ "Place", fake_place },
	{ "Export", fake_export },
	{ "Drain", handle_drain },
	{ "Migrate", handle_migrate },
	{ "Watch", fake_watch },
	{ "ListNodes", fake_nodes },
	{ "ListVms", fake_vms },
	{ "Cordon", fake_cordon },
	{ "GetStatus", fake_status },
	{ "Explain", fake_explain },
	{ "Cancel", fake_cancel },
	{ "ListEvents", fake_events },
	{ "Tune", fake_tune },
	{ "CollectGarbage", fake_garbage },
	{ "ListDrains", fake_drains },
	{ "Label", fake_label },
	{ "Undrain", fake_undrain },
	{ "ListMigrations", fake_migrations },
	{ "SetPolicy", fake_set_policy },
	{ "RemovePolicy", fake_remove_policy },
	{ "ListPolicies", fake_list_policies },
};

static void stop(int signal_number, void *context)
{
	(void)signal_number;
	loop_stop(context);
}

int main(int argc, char **argv)
{
	static const struct mesh_service service = {
		.descriptor = &drover__v1__coordinator__descriptor,
		.handlers = handlers,
		.n_handlers = ARRAY_SIZE(handlers),
	};
	static const struct mesh_service *const services[] = { &service, &reflection_service,
		                                               NULL };
	struct mesh_options options = { .role = MESH_ROLE_COORDINATOR, .services = services };
	struct error err = { 0 };
	struct loop *loop;
	struct mesh *mesh;

	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: fake_coordinator URL [CA CERTIFICATE KEY]\n");
		return 2;
	}
	if (argc == 5) {
		options.tls_ca = argv[2];
		options.tls_certificate = argv[3];
		options.tls_key = argv[4];
	} else {
		options.name = "c1";
	}
	options.loop = loop = loop_new();
	loop_watch_signal(loop, SIGTERM, stop, loop);
	mesh = mesh_new(&options, &err);
	if (!mesh || mesh_listen(mesh, argv[1], &err) < 0) {
		fprintf(stderr, "fake_coordinator: %s\n", err.text);
		return 1;
	}
	fake_story_start(loop);
	printf("ready %u\n", mesh_get_port(mesh, argv[1]));
	fflush(stdout);
	loop_run(loop);
	mesh_free(mesh);
	fake_story_stop();
	loop_free(loop);
	return 0;
}
