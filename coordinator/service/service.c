/* SPDX-License-Identifier: Apache-2.0 */
/* The Coordinator service: questions are answered here from the fleet in memory; orders become events
 * for the core (service_orders.c) and are answered by its reply. Who may call what is in proto/coordinator.proto. Owner thread. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/service/links.h"
#include "coordinator/service/service_orders.h"
#include "coordinator/service/service_plan.h"
#include "coordinator/service/service_policies.h"
#include "coordinator/view/capacity_view.h"
#include "coordinator/view/view.h"
#include "proto/coordinator.rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_LIMIT 1000

/* --- agents --- */

static void handle_attach(struct mesh_incoming *in, const Drover__V1__AttachRequest *r,
                          void *context)
{
	const struct mesh_identity *who = mesh_incoming_get_identity(in);
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_ATTACH };
	struct error err;

	if (strcmp(who->name, r->node) != 0) {
		error_set(&err, ERROR_PERMISSION, "agent %s attaches as %.64s", who->name, r->node);
		mesh_fail_error(in, &err);
		return;
	}
	if (id_from_bytes(r->boot_id.data, r->boot_id.len, &e.attach.boot_id) < 0 ||
	    strlen(r->node) >= NODE_NAME_BYTES || strlen(r->mesh_address) >= ADDRESS_BYTES) {
		error_set(&err, ERROR_INVALID, "agent %.64s attaches with an unusable request",
		          r->node);
		mesh_fail_error(in, &err);
		return;
	}
	e.attach.node = r->node;
	e.attach.mesh_address = r->mesh_address;
	e.attach.agent_version = r->agent_version;
	e.attach.highest_epoch = r->highest_epoch;
	agents_attached(c, r->node, mesh_incoming_get_connection(in));
	e.request = requests_add(c, in);
	coordinator_step(c, &e);
}

/* --- lists --- */

static uint64_t list_limit(const Drover__V1__ListRequest *r)
{
	return r->limit && r->limit < LIST_LIMIT ? r->limit : LIST_LIMIT;
}

static void handle_nodes(struct mesh_incoming *in, const Drover__V1__ListRequest *r, void *context)
{
	struct coordinator *c = context;
	Drover__V1__NodeList *list = xmalloc(sizeof(*list));
	struct node *node, *next;
	struct error err;

	if (r->selector[0] && selector_check(r->selector, &err) < 0) {
		mesh_fail_error(in, &err);
		free(list);
		return;
	}
	drover__v1__node_list__init(list);
	list->revision = c->fleet->revision;
	list->nodes = xcalloc(HASH_COUNT(c->fleet->nodes), sizeof(*list->nodes));
	HASH_ITER (hh, c->fleet->nodes, node, next) {
		if ((!r->node[0] || strcmp(r->node, node->kept.name) == 0) &&
		    (!r->selector[0] || node_is_selected(node, r->selector)))
			list->nodes[list->n_nodes++] = view_node_new(c->fleet, node,
			                                             clock_now_ms());
	}
	if (r->selector[0])
		list->note = fleet_describe_unheard_labels(c->fleet);
	if (!list->note)
		list->note = xstrdup("");
	mesh_reply(in, &list->base);
	view_free(list);
}

static bool vm_matches(const struct vm *vm, const Drover__V1__ListRequest *r)
{
	if (r->vm[0] && strcmp(r->vm, vm->name) != 0 && strcmp(r->vm, vm->uuid) != 0)
		return false;
	return !r->node[0] || (vm->node && strcmp(r->node, vm->node->kept.name) == 0);
}

static void handle_vms(struct mesh_incoming *in, const Drover__V1__ListRequest *r, void *context)
{
	struct coordinator *c = context;
	Drover__V1__VmList *list = xmalloc(sizeof(*list));
	struct vm *vm, *next;

	drover__v1__vm_list__init(list);
	list->revision = c->fleet->revision;
	list->vms = xcalloc(HASH_COUNT(c->fleet->vms), sizeof(*list->vms));
	HASH_ITER (hh, c->fleet->vms, vm, next) {
		if (vm->sightings && vm_matches(vm, r))
			list->vms[list->n_vms++] = view_vm_new(c->fleet, vm);
	}
	list->not_heard = xcalloc(HASH_COUNT(c->fleet->nodes) + 1, sizeof(*list->not_heard));
	for (const struct node *node = c->fleet->nodes; node; node = node->hh.next) {
		if (!node->listed && (!r->node[0] || strcmp(r->node, node->kept.name) == 0))
			list->not_heard[list->n_not_heard++] = xstrdup(node->kept.name);
	}
	mesh_reply(in, &list->base);
	view_free(list);
}

static bool migration_matches(const struct migration_record *k, const Drover__V1__ListRequest *r)
{
	if (r->active_only && migration_state_is_final(k->state))
		return false;
	if (r->vm[0] && strcmp(r->vm, k->vm_name) != 0 && strcmp(r->vm, k->vm_uuid) != 0)
		return false;
	/* One that waits has no target yet, but perhaps the one that was asked for. */
	return !r->node[0] || strcmp(r->node, k->source) == 0 || strcmp(r->node, k->target) == 0 ||
	       strcmp(r->node, k->wanted_target) == 0;
}

/* Into a list of our own: the order of the fleet's is the core's. */
static int by_number_falling(const void *a, const void *b)
{
	const struct migration *x = *(struct migration *const *)a;
	const struct migration *y = *(struct migration *const *)b;

	return x->kept.number < y->kept.number ? 1 : -1;
}

static void handle_migrations(struct mesh_incoming *in, const Drover__V1__ListRequest *r,
                              void *context)
{
	struct coordinator *c = context;
	Drover__V1__MigrationList *list = xmalloc(sizeof(*list));
	struct migration **found = xcalloc(HASH_COUNT(c->fleet->migrations) + 1, sizeof(*found));
	uint64_t limit = list_limit(r);
	size_t n = 0;

	for (struct migration *m = c->fleet->migrations; m; m = m->hh.next) {
		if (migration_matches(&m->kept, r))
			found[n++] = m;
	}
	qsort(found, n, sizeof(*found), by_number_falling);
	drover__v1__migration_list__init(list);
	list->revision = c->fleet->revision;
	list->migrations = xcalloc(limit, sizeof(*list->migrations));
	for (size_t i = 0; i < n && i < limit; i++)
		list->migrations[list->n_migrations++] = view_migration_new(found[i]);
	free(found);
	mesh_reply(in, &list->base);
	view_free(list);
}

static bool drain_matches(const struct drain *drain, const Drover__V1__ListRequest *r)
{
	return (!r->active_only || !drain_state_is_final(drain->kept.state)) &&
	       (!r->node[0] || strcmp(r->node, drain->kept.node) == 0);
}

static int drains_falling(const void *a, const void *b)
{
	const struct drain *x = *(struct drain *const *)a, *y = *(struct drain *const *)b;

	return x->kept.number < y->kept.number ? 1 : -1;
}

static void handle_drains(struct mesh_incoming *in, const Drover__V1__ListRequest *r, void *context)
{
	struct coordinator *c = context;
	Drover__V1__DrainList *list = xmalloc(sizeof(*list));
	struct drain **found = xcalloc(HASH_COUNT(c->fleet->drains) + 1, sizeof(*found));
	uint64_t limit = list_limit(r);
	size_t n = 0;

	for (struct drain *drain = c->fleet->drains; drain; drain = drain->hh.next) {
		if (drain_matches(drain, r))
			found[n++] = drain;
	}
	qsort(found, n, sizeof(*found), drains_falling);
	drover__v1__drain_list__init(list);
	list->revision = c->fleet->revision;
	list->drains = xcalloc(limit, sizeof(*list->drains));
	for (size_t i = 0; i < n && i < limit; i++)
		list->drains[list->n_drains++] = view_drain_new(c->fleet, found[i],
		                                                clock_wall_ms());
	free(found);
	mesh_reply(in, &list->base);
	view_free(list);
}

static void handle_events(struct mesh_incoming *in, const Drover__V1__ListRequest *r, void *context)
{
	struct coordinator *c = context;
	Drover__V1__EventList *list = xmalloc(sizeof(*list));
	uint64_t limit = list_limit(r);
	size_t n = c->fleet->n_events;

	drover__v1__event_list__init(list);
	list->revision = c->fleet->revision;
	list->events = xcalloc(limit, sizeof(*list->events));
	for (size_t i = n > limit ? n - limit : 0; i < n; i++)
		list->events[list->n_events++] = view_event_new(fleet_get_event(c->fleet, i));
	mesh_reply(in, &list->base);
	view_free(list);
}

static void handle_watch(struct mesh_incoming *in, const Drover__V1__WatchRequest *r, void *context)
{
	const uint64_t *drains = r->drain_number ? &r->drain_number : r->drain_numbers;
	size_t n_drains = r->drain_number ? 1 : r->n_drain_numbers;
	struct coordinator *c = context;
	struct error err;

	if (n_drains > LIST_LIMIT) {
		error_set(&err, ERROR_INVALID,
		          "%zu drains are to be watched; the most at a time are %d", n_drains,
		          LIST_LIMIT);
		mesh_fail_error(in, &err);
		return;
	}
	for (size_t i = 0; i < n_drains; i++) {
		if (fleet_find_drain(c->fleet, drains[i]))
			continue;
		error_set(&err, ERROR_NOT_FOUND, "there is no drain/%llu",
		          (unsigned long long)drains[i]);
		mesh_fail_error(in, &err);
		return;
	}
	if (r->migration_number && !fleet_find_migration(c->fleet, r->migration_number)) {
		error_set(&err, ERROR_NOT_FOUND, "there is no migration/%llu",
		          (unsigned long long)r->migration_number);
		mesh_fail_error(in, &err);
	} else {
		watchers_add(c, in, r->since_revision, drains, n_drains, r->migration_number);
	}
}

/* --- status --- */

struct setting_list {
	Drover__V1__Setting **items;
	size_t n;
};

static void add_setting(const struct coordinator *c, struct setting_list *to, const char *name,
                        const char *value, bool from_file)
{
	to->items = xreallocarray(to->items, to->n + 1, sizeof(Drover__V1__Setting *));
	to->items[to->n++] = view_setting_new(name, value,
	                                      from_file ? c->settings_path : "built-in default");
}

size_t service_list_settings(const struct coordinator *c, Drover__V1__Setting ***ret)
{
	const struct coordinator_settings *s = c->settings;
	char text[UNITS_TEXT_BYTES];
	struct setting_list list = { 0 };

#define NUMBER(name, value, noted)                                         \
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(value)); \
	add_setting(c, &list, name, text, noted)
	NUMBER("parallelMigrationsPerCluster", s->migrations_per_cluster,
	       s->set.migrations_per_cluster);
	NUMBER("parallelOutboundMigrationsPerNode", s->outbound_per_node, s->set.outbound_per_node);
	NUMBER("parallelInboundMigrationsPerNode", s->inbound_per_node, s->set.inbound_per_node);
	NUMBER("preparingMigrationsPerNode", s->preparing_per_node, s->set.preparing_per_node);
#undef NUMBER
	add_setting(c, &list, "completionTimeoutPerGiB",
	            units_format_duration(s->completion_timeout_per_gib_ms, text),
	            s->set.completion_timeout);
	add_setting(c, &list, "progressTimeout",
	            units_format_duration(s->progress_timeout_ms, text), s->set.progress_timeout);
	add_setting(c, &list, "shutdownTimeout",
	            units_format_duration(s->shutdown_timeout_ms, text), s->set.shutdown_timeout);
	add_setting(c, &list, "bandwidthPerMigration",
	            s->bandwidth_per_migration_bytes_per_s
	                    ? units_format_rate(s->bandwidth_per_migration_bytes_per_s, text)
	                    : "no limit",
	            s->set.bandwidth);
	add_setting(c, &list, "maxDowntime", units_format_duration(s->max_downtime_ms, text),
	            s->set.max_downtime);
	add_setting(c, &list, "ladder", strategy_ladder_name(s->strategy.ladder), s->set.ladder);
#define PERMISSION(name, value, noted) add_setting(c, &list, name, (value) ? "yes" : "no", noted)
	PERMISSION("allowAutoConverge", s->strategy.allow_auto_converge, s->set.auto_converge);
	PERMISSION("allowPostCopy", s->strategy.allow_post_copy, s->set.post_copy);
	PERMISSION("allowWorkloadDisruption", s->strategy.allow_disruption, s->set.disruption);
#undef PERMISSION
	snprintf(text, sizeof(text), "%u", s->transfer.connections ? s->transfer.connections : 1);
	add_setting(c, &list, "parallelConnections", text, s->set.connections);
	add_setting(c, &list, "compression", compression_name(s->transfer.compression),
	            s->set.compression);
	add_setting(c, &list, "offMigrationNetwork", s->stop_off_network ? "stop" : "warn",
	            s->set.off_network);
	add_setting(c, &list, "lanes", s->shortest_first ? "shortest-first" : "fair", s->set.lanes);
	*ret = list.items;
	return list.n;
}

#define ATTENTION_LIMIT 10
/* What happened longer ago is in `drover events`. */
#define ATTENTION_MS MINUTES_MS(15)

/* Whether what an event was about is over: it needs nobody any more. */
static bool is_settled(const struct fleet *fleet, const struct event_record *e)
{
	unsigned long long number;
	char rest;

	if (sscanf(e->subject, "drain/%llu%c", &number, &rest) == 1) {
		const struct drain *drain = fleet_find_drain(fleet, number);

		return drain && drain_state_is_final(drain->kept.state);
	}
	if (strncmp(e->subject, "node/", 5) == 0) {
		const struct node *node = fleet_find_node(fleet, e->subject + 5);

		return node && node->state != NODE_UNREACHABLE && node->host.libvirt_connected;
	}
	if (strncmp(e->subject, "policy/", 7) == 0) {
		const struct policy *policy = policy_find(fleet, e->subject + 7);

		return !policy || !policy->kept.violated_wall_ms;
	}
	return false;
}

static void fill_attention(struct coordinator *c, Drover__V1__Status *s)
{
	uint64_t wall_ms = clock_wall_ms();

	s->needs_attention = xcalloc(ATTENTION_LIMIT, sizeof(*s->needs_attention));
	for (size_t i = c->fleet->n_events; i > 0 && s->n_needs_attention < ATTENTION_LIMIT; i--) {
		const struct event_record *e = fleet_get_event(c->fleet, i - 1);

		if (e->severity != SEVERITY_INFO && e->wall_ms + ATTENTION_MS > wall_ms &&
		    (e->severity == SEVERITY_ALARM || !is_settled(c->fleet, e)))
			s->needs_attention[s->n_needs_attention++] = view_event_new(e);
	}
}

static void handle_status(struct mesh_incoming *in, const Drover__V1__GetStatusRequest *r,
                          void *context)
{
	struct coordinator *c = context;
	Drover__V1__Status *s = xmalloc(sizeof(*s));
	struct node *node, *next_node;
	struct drain *drain, *next_drain;

	(void)r;
	drover__v1__status__init(s);
	s->cluster = xstrdup(c->settings->cluster);
	s->coordinator = xstrdup(c->settings->name);
	s->version = xstrdup(DROVER_VERSION);
	s->epoch = c->fleet->epoch;
	s->revision = c->fleet->revision;
	HASH_ITER (hh, c->fleet->nodes, node, next_node) {
		s->nodes++;
		s->nodes_ready += node->state == NODE_READY;
		s->vms += (uint32_t)node->active_vms;
	}
	s->migrations_active = (uint32_t)c->fleet->n_active;
	HASH_ITER (hh, c->fleet->drains, drain, next_drain)
		s->drains_active += !drain_state_is_final(drain->kept.state);
	for (const struct policy *policy = c->fleet->policies; policy; policy = policy->hh.next) {
		s->policies++;
		s->policies_violated += policy->kept.violated_wall_ms != 0;
	}
	fill_attention(c, s);
	s->n_limits = service_list_settings(c, &s->limits);
	mesh_reply(in, &s->base);
	view_free(s);
}

/* --- explain --- */

static void explain_found(struct coordinator *c, struct mesh_incoming *in, const char *subject,
                          const struct migration *migration, const struct drain *drain,
                          const struct node *node)
{
	Drover__V1__Explanation *x = xmalloc(sizeof(*x));

	drover__v1__explanation__init(x);
	x->subject = xstrdup(subject);
	if (migration)
		x->migration = view_migration_new(migration);
	if (drain) {
		x->drain = view_drain_new(c->fleet, drain, clock_wall_ms());
		if (!drain_state_is_final(drain->kept.state))
			x->n_lines = capacity_view_explain(
				c->fleet, fleet_find_node(c->fleet, drain->kept.node),
				clock_now_ms(), &x->lines);
	}
	if (node) {
		x->lines = xcalloc(1, sizeof(*x->lines));
		x->lines[x->n_lines++] = xasprintf("%s is %s%s%s", node->kept.name,
		                                   node_state_name(node->state),
		                                   node->reason[0] ? ": " : "", node->reason);
		view_add_counting_lines(node, x);
		drain = fleet_find_node_drain(c->fleet, node);
		if (drain)
			x->drain = view_drain_new(c->fleet, drain, clock_wall_ms());
	}
	if (migration) {
		const struct vm *vm = fleet_find_vm(c->fleet, migration->kept.vm_uuid);

		if (vm && vm->migration == migration)
			view_add_waiting_lines(c->fleet, vm, x);
		x->n_settings = view_settings_new(&migration->kept, &x->settings);
	} else {
		x->n_settings = service_list_settings(c, &x->settings);
	}
	mesh_reply(in, &x->base);
	view_free(x);
}

static void handle_explain(struct mesh_incoming *in, const Drover__V1__ExplainRequest *r,
                           void *context)
{
	struct coordinator *c = context;
	unsigned long long number = strtoull(r->name, NULL, 10);
	const struct migration *migration = NULL;
	const struct drain *drain = NULL;
	struct node *node = NULL;
	struct error err;
	char subject[NODE_NAME_BYTES + 16];

	if (strcmp(r->kind, "vm") == 0) {
		struct event e = { .kind = EVENT_EXPLAIN_VM };

		e.explain.vm = r->name;
		e.explain.node = r->node;
		e.request = requests_add(c, in);
		requests_set_subject(c, e.request, "vm", r->name);
		coordinator_step(c, &e);
		return;
	}
	if (strcmp(r->kind, "plan") == 0) {
		struct event e = { .kind = EVENT_EXPLAIN_PLAN };

		e.explain.plan = r->name;
		e.request = requests_add(c, in);
		requests_set_subject(c, e.request, "plan", r->name);
		coordinator_step(c, &e);
		return;
	}
	if (strcmp(r->kind, "policy") == 0) {
		explain_policy(c, in, r->name);
		return;
	}
	snprintf(subject, sizeof(subject), "%.15s/%.120s", r->kind, r->name);
	error_set(&err, ERROR_NOT_FOUND, "there is no %s", subject);
	if (strcmp(r->kind, "migration") == 0)
		migration = fleet_find_migration(c->fleet, number);
	else if (strcmp(r->kind, "drain") == 0)
		drain = fleet_find_drain(c->fleet, number);
	else if (strcmp(r->kind, "node") == 0)
		(void)fleet_get_node(c->fleet, r->name, &node, &err);
	else
		error_set(&err, ERROR_INVALID,
		          "\"%.32s\" cannot be explained; a vm, node, migration, drain, plan or "
		          "policy can",
		          r->kind);
	if (migration || drain || node)
		explain_found(c, in, subject, migration, drain, node);
	else
		mesh_fail_error(in, &err);
}

static const struct coordinator_handlers handlers = {
	.attach = handle_attach,
	.get_status = handle_status,
	.list_nodes = handle_nodes,
	.list_vms = handle_vms,
	.list_migrations = handle_migrations,
	.list_drains = handle_drains,
	.list_policies = handle_policies,
	.list_events = handle_events,
	.watch = handle_watch,
	.explain = handle_explain,
	.export = handle_export,
	.get_capacity = handle_capacity,
	.place = handle_place,
	.list_links = handle_links,
	.get_rates = handle_rates,
	.drain = order_drain,
	.undrain = order_undrain,
	.cordon = order_cordon,
	.uncordon = order_uncordon,
	.label = order_label,
	.set_policy = order_set_policy,
	.remove_policy = order_remove_policy,
	.migrate = order_migrate,
	.cancel = order_cancel,
	.tune = order_tune,
	.collect_garbage = order_garbage,
	.probe_path = order_probe,
	.fence = order_fence,
	.unfence = order_unfence,
};

const struct mesh_service coordinator_service = COORDINATOR_SERVICE(handlers);
