/* SPDX-License-Identifier: Apache-2.0 */
/* See service_orders.h. What a request says is checked by the core; here only that it can be read. */
#include "coordinator/service/service_orders.h"

#include "proto/transfer_message.h"

#include <stdio.h>
#include <string.h>

#define LABEL_CHANGES_MOST 64

static int read_request_id(const ProtobufCBinaryData *from, struct id *to, struct error *err)
{
	if (from->len == 0)
		return 0;
	if (id_from_bytes(from->data, from->len, to) < 0)
		return error_set(err, ERROR_INVALID, "a request id has 16 bytes, not %zu",
		                 from->len);
	return 0;
}

/* Both requests have these fields. */
#define STRATEGY_OF(r)                                                \
	((struct strategy){                                           \
		.ladder = (enum ladder_name)(r)->ladder,              \
		.allow_auto_converge = (r)->allow_auto_converge,      \
		.allow_post_copy = (r)->allow_post_copy,              \
		.allow_disruption = (r)->allow_workload_disruption,   \
		.plain = (r)->plain_ladder,                           \
		.forbid_auto_converge = (r)->forbid_auto_converge,    \
		.forbid_post_copy = (r)->forbid_post_copy,            \
		.forbid_disruption = (r)->forbid_workload_disruption, \
	})

static int check_strategy(const struct strategy *s, struct error *err)
{
	if ((unsigned)s->ladder >= LADDERS)
		return error_set(err, ERROR_INVALID,
		                 "the ladder has the number %u, which this coordinator does not "
		                 "know",
		                 (unsigned)s->ladder);
	return strategy_check(s, err);
}

void order_drain(struct mesh_incoming *in, const Drover__V1__DrainRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_DRAIN };
	struct names leave = { .items = r->leave, .count = r->n_leave };
	struct names nodes = { .items = r->nodes, .count = r->n_nodes };
	struct names shut_down = { .items = r->shut_down, .count = r->n_shut_down };
	struct error err;

	e.drain.strategy = STRATEGY_OF(r);
	if (read_request_id(&r->request_id, &e.drain.request_id, &err) < 0 ||
	    check_strategy(&e.drain.strategy, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	e.drain.node = r->node;
	e.drain.nodes = &nodes;
	e.drain.selector = r->selector;
	e.drain.by_wall_ms = r->by_wall_ms;
	e.drain.plan_id = r->plan_id;
	e.drain.dry_run = r->dry_run;
	e.drain.leave = &leave;
	e.drain.shut_down = &shut_down;
	e.drain.shutdown_timeout_ms = r->shutdown_timeout_ms;
	e.drain.leave_unmovable = r->leave_unmovable;
	e.drain.copy_disks = r->copy_disks;
	e.drain.reason = r->reason;
	e.drain.parallel = r->parallel;
	e.drain.bandwidth_bytes_per_s = r->bandwidth_bytes_per_s;
	e.drain.max_downtime_ms = r->max_downtime_ms;
	e.drain.completion_timeout_ms_per_gib = r->completion_timeout_ms_per_gib;
	e.drain.progress_timeout_ms = r->progress_timeout_ms;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

static void node_event(struct mesh_incoming *in, const Drover__V1__NodeRequest *r,
                       struct coordinator *c, enum event_kind kind)
{
	struct event e = { .kind = kind };

	e.node.node = r->node;
	e.node.reason = r->reason;
	e.node.bring_back = r->bring_back;
	e.node.dry_run = r->dry_run;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_undrain(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context)
{
	node_event(in, r, context, EVENT_UNDRAIN);
}

void order_cordon(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context)
{
	node_event(in, r, context, EVENT_CORDON);
}

void order_uncordon(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context)
{
	node_event(in, r, context, EVENT_UNCORDON);
}

void order_label(struct mesh_incoming *in, const Drover__V1__LabelRequest *r, void *context)
{
	struct coordinator *c = context;
	struct names changes = { .items = r->changes, .count = r->n_changes };
	struct event e = { .kind = EVENT_LABEL };
	struct error err;

	if (changes.count > LABEL_CHANGES_MOST) {
		error_set(&err, ERROR_INVALID,
		          "%zu labels are to be changed; the most at a time are %d", changes.count,
		          LABEL_CHANGES_MOST);
		mesh_fail_error(in, &err);
		return;
	}
	e.label.node = r->node;
	e.label.changes = &changes;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_name_caller(const struct mesh_incoming *in, char *ret, size_t bytes)
{
	const struct mesh_identity *who = mesh_incoming_get_identity(in);

	snprintf(ret, bytes, "%.120s", who->name[0] ? who->name : who->address);
}

void order_migrate(struct mesh_incoming *in, const Drover__V1__MigrateRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_MIGRATE };
	char by[NODE_NAME_BYTES];
	struct error err;

	if (read_request_id(&r->request_id, &e.migrate.request_id, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	order_name_caller(in, by, sizeof(by));
	if (r->no_guard && mesh_incoming_get_identity(in)->role != MESH_ROLE_ADMIN) {
		error_set(&err, ERROR_PERMISSION,
		          "moving without a guard needs role admin, and %s has %s; without "
		          "--no-guard the guest is paused for the two-step commit instead",
		          by, mesh_role_name(mesh_incoming_get_identity(in)->role));
		mesh_fail_error(in, &err);
		return;
	}
	if (r->unsafe && mesh_incoming_get_identity(in)->role != MESH_ROLE_ADMIN) {
		error_set(&err, ERROR_PERMISSION,
		          "moving on storage that is not proved the same on both hosts needs role "
		          "admin, and %s has %s; without --unsafe the dry run says what is missing",
		          by, mesh_role_name(mesh_incoming_get_identity(in)->role));
		mesh_fail_error(in, &err);
		return;
	}
	e.migrate.strategy = STRATEGY_OF(r);
	if (check_strategy(&e.migrate.strategy, &err) < 0 ||
	    transfer_message_read(r->transfer, &e.migrate.transfer, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	e.migrate.vm = r->vm;
	e.migrate.target = r->target;
	e.migrate.dry_run = r->dry_run;
	e.migrate.bandwidth_bytes_per_s = r->bandwidth_bytes_per_s;
	e.migrate.max_downtime_ms = r->max_downtime_ms;
	e.migrate.completion_timeout_ms_per_gib = r->completion_timeout_ms_per_gib;
	e.migrate.progress_timeout_ms = r->progress_timeout_ms;
	e.migrate.no_guard = r->no_guard;
	e.migrate.by = by;
	e.migrate.unsafe = r->unsafe;
	e.migrate.copy_disks = r->copy_disks;
	e.migrate.ignore_policies = r->ignore_policies;
	e.migrate.uncompressed = r->uncompressed;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_cancel(struct mesh_incoming *in, const Drover__V1__CancelRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_CANCEL };

	e.cancel.kind = r->kind;
	e.cancel.name = r->name;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_tune(struct mesh_incoming *in, const Drover__V1__TuneRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_TUNE };
	char by[NODE_NAME_BYTES];

	order_name_caller(in, by, sizeof(by));
	e.tune.kind = r->kind;
	e.tune.name = r->name;
	e.tune.by = by;
	e.tune.forget = r->forget;
	if (r->tuning)
		e.tune.tuning = (struct tuning){
			.bandwidth_given = r->tuning->bandwidth_given,
			.bandwidth_bytes_per_s = r->tuning->bandwidth_bytes_per_s,
			.max_downtime_given = r->tuning->max_downtime_given,
			.max_downtime_ms = r->tuning->max_downtime_ms,
			.post_copy = r->tuning->post_copy,
			.pause = r->tuning->pause,
		};
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_fence(struct mesh_incoming *in, const Drover__V1__FenceRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_FENCE };
	char by[NODE_NAME_BYTES];

	order_name_caller(in, by, sizeof(by));
	e.fence.node = r->node;
	e.fence.reason = r->reason;
	e.fence.by = by;
	e.fence.dry_run = r->dry_run;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

void order_unfence(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_UNFENCE };
	char by[NODE_NAME_BYTES];

	order_name_caller(in, by, sizeof(by));
	e.fence.node = r->node;
	e.fence.reason = r->reason;
	e.fence.by = by;
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}
