/* SPDX-License-Identifier: Apache-2.0 */
/* Coordinator.Export: the fleet as one document, in as many parts as the size of messages makes it.
 *
 *	first part     header, limits, settings, then nodes, vms, migrations, drains, policies, experience
 *	               in that order
 *	next           "KIND/N": where the next part begins, N objects of that kind are behind it
 *
 * A small fleet is one part, and so of one moment. Between two parts the fleet may change; who puts
 * them together compares their revisions. Keys, tokens and certificates are not part of the fleet,
 * and so not of this. Owner thread. */
#include "coordinator/service/service_plan.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/recall.h"
#include "coordinator/service/service_policies.h"
#include "coordinator/view/view.h"
#include "proto/fit_message.h"
#include "proto/transfer_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A quarter of what the mesh carries, and little to unpack at a time. */
#define PART_BYTES ((size_t)1024 * 1024)
#define FORMAT     2

enum part {
	PART_NODES,
	PART_VMS,
	PART_MIGRATIONS,
	PART_DRAINS,
	PART_POLICIES,
	PART_EXPERIENCE,
	PARTS
};

static const char *const part_names[PARTS] = { "nodes",  "vms",      "migrations",
	                                       "drains", "policies", "experience" };

struct cursor {
	enum part part;
	size_t skip;
	size_t bytes; /* packed so far */
};

static int cursor_read(const char *text, struct cursor *ret, struct error *err)
{
	struct cursor c = { 0 };

	if (!*text) {
		*ret = c;
		return 0;
	}
	for (; c.part < PARTS; c.part++) {
		size_t length = strlen(part_names[c.part]);
		char *end;

		if (strncmp(text, part_names[c.part], length) != 0 || text[length] != '/')
			continue;
		c.skip = strtoul(text + length + 1, &end, 10);
		if (text[length + 1] < '0' || text[length + 1] > '9' || *end)
			break;
		*ret = c;
		return 0;
	}
	return error_set(err, ERROR_INVALID,
	                 "\"%.40s\" is no place in the document; begin anew, with none", text);
}

/* Whether another object has its place in this part; else @at says where the next one begins. */
static bool has_room(struct cursor *at, const ProtobufCMessage *message, size_t done)
{
	at->bytes += protobuf_c_message_get_packed_size(message);
	if (at->bytes < PART_BYTES)
		return true;
	at->skip = done;
	return false;
}

static bool go_on(struct cursor *at, enum part next)
{
	at->part = next;
	at->skip = 0;
	return true;
}

/* What no agent tells of it. */
static void add_learned(const struct node *node, Drover__V1__Node *m)
{
	struct recalled_denial *denials;
	size_t n = recall_list_denials(node, clock_now_ms(), &denials);

	m->measured_bytes_per_s = node->measured_bytes_per_s;
	m->denials = xcalloc(n + 1, sizeof(*m->denials));
	for (size_t i = 0; i < n; i++) {
		Drover__V1__Denial *denial = xmalloc(sizeof(*denial));

		drover__v1__denial__init(denial);
		denial->home = xstrdup(denials[i].home);
		denial->digest = denials[i].digest;
		denial->check = view_check_new(&denials[i].check);
		denial->left_ms = denials[i].left_ms;
		m->denials[m->n_denials++] = denial;
	}
	free(denials);
}

static bool fill_nodes(const struct fleet *fleet, Drover__V1__FleetState *m, struct cursor *at)
{
	size_t i = 0;

	m->nodes = xcalloc(HASH_COUNT(fleet->nodes) + 1, sizeof(*m->nodes));
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (i++ < at->skip)
			continue;
		m->nodes[m->n_nodes] = view_node_new(fleet, node, clock_now_ms());
		if (node->host.offers)
			m->nodes[m->n_nodes]->host->offers = fit_message_offers_new(
				node->host.offers);
		add_learned(node, m->nodes[m->n_nodes]);
		if (!has_room(at, &m->nodes[m->n_nodes++]->base, i))
			return false;
	}
	return go_on(at, PART_VMS);
}

static Drover__V1__NextMigration *next_new(const struct vm_record *kept)
{
	Drover__V1__NextMigration *m;

	if (!kept->bandwidth_given && !kept->max_downtime_given)
		return NULL;
	m = xmalloc(sizeof(*m));
	drover__v1__next_migration__init(m);
	m->bandwidth_given = kept->bandwidth_given;
	m->bandwidth_bytes_per_s = kept->bandwidth_bytes_per_s;
	m->max_downtime_given = kept->max_downtime_given;
	m->max_downtime_ms = kept->max_downtime_ms;
	m->by = xstrdup(kept->by);
	return m;
}

/* What no agent tells of it. */
static void add_known(const struct vm *vm, Drover__V1__Vm *m)
{
	static const char *const copies[] = {
		[COPIES_UNKNOWN] = "", [COPIES_NONE] = "none", [COPIES_SOME] = "some"
	};
	uint64_t now_ms = clock_now_ms();
	size_t n = 0;

	m->next = next_new(&vm->kept);
	m->copies = xstrdup(copies[vm->copies]);
	for (const struct refusal *r = vm->refusals; r; r = r->next)
		n++;
	m->refusals = xcalloc(n + 1, sizeof(*m->refusals));
	for (const struct refusal *r = vm->refusals; r; r = r->next) {
		Drover__V1__Refusal *refusal;

		bool known = r->lasting && now_ms < r->known_ms;

		if (now_ms >= r->again_ms && !known)
			continue;
		refusal = xmalloc(sizeof(*refusal));
		drover__v1__refusal__init(refusal);
		refusal->node = xstrdup(r->target);
		refusal->why = xstrdup(r->why);
		refusal->left_ms = now_ms < r->again_ms ? r->again_ms - now_ms : 0;
		refusal->fault = r->fault;
		refusal->lasting = known;
		refusal->known_ms = known ? r->known_ms - now_ms : 0;
		if (known) {
			refusal->checks = view_checks_new(&r->checks);
			refusal->n_checks = r->checks.count;
		}
		m->refusals[m->n_refusals++] = refusal;
	}
}

static bool fill_vms(const struct fleet *fleet, Drover__V1__FleetState *m, struct cursor *at)
{
	size_t i = 0;

	m->vms = xcalloc(HASH_COUNT(fleet->vms) + 1, sizeof(*m->vms));
	for (const struct vm *vm = fleet->vms; vm; vm = vm->hh.next) {
		/* One that no host lists any more is history. */
		if (i++ < at->skip || !vm->sightings)
			continue;
		m->vms[m->n_vms] = view_vm_new(fleet, vm);
		add_known(vm, m->vms[m->n_vms]);
		if (!has_room(at, &m->vms[m->n_vms++]->base, i))
			return false;
	}
	return go_on(at, PART_MIGRATIONS);
}

static bool fill_migrations(const struct fleet *fleet, Drover__V1__FleetState *m, struct cursor *at)
{
	size_t i = 0;

	m->migrations = xcalloc(HASH_COUNT(fleet->migrations) + 1, sizeof(*m->migrations));
	for (const struct migration *o = fleet->migrations; o; o = o->hh.next) {
		if (i++ < at->skip)
			continue;
		m->migrations[m->n_migrations] = view_migration_new(o);
		if (!has_room(at, &m->migrations[m->n_migrations++]->base, i))
			return false;
	}
	return go_on(at, PART_DRAINS);
}

static bool fill_drains(const struct fleet *fleet, Drover__V1__FleetState *m, struct cursor *at)
{
	size_t i = 0;

	m->drains = xcalloc(HASH_COUNT(fleet->drains) + 1, sizeof(*m->drains));
	for (const struct drain *o = fleet->drains; o; o = o->hh.next) {
		if (i++ < at->skip)
			continue;
		m->drains[m->n_drains] = view_drain_new(fleet, o, clock_wall_ms());
		if (!has_room(at, &m->drains[m->n_drains++]->base, i))
			return false;
	}
	return go_on(at, PART_POLICIES);
}

static bool fill_policies(const struct fleet *fleet, Drover__V1__FleetState *m, struct cursor *at)
{
	size_t i = 0;

	m->policies = xcalloc(HASH_COUNT(fleet->policies) + 1, sizeof(*m->policies));
	for (const struct policy *o = fleet->policies; o; o = o->hh.next) {
		if (i++ < at->skip)
			continue;
		m->policies[m->n_policies] = policy_view_new(fleet, o);
		if (!has_room(at, &m->policies[m->n_policies++]->base, i))
			return false;
	}
	return go_on(at, PART_EXPERIENCE);
}

static Drover__V1__Experience *experience_new(const struct recalled_experience *from)
{
	Drover__V1__Experience *m = xmalloc(sizeof(*m));

	drover__v1__experience__init(m);
	m->source = xstrdup(from->source);
	m->target = xstrdup(from->target);
	m->w = from->sums.w;
	m->x = from->sums.x;
	m->y = from->sums.y;
	m->xx = from->sums.xx;
	m->xy = from->sums.xy;
	m->squares = from->sums.squares;
	m->squares_w = from->sums.squares_w;
	m->count = from->sums.count;
	return m;
}

static bool fill_experience(const struct fleet *fleet, Drover__V1__FleetState *m, struct cursor *at)
{
	_cleanup_free_ struct recalled_experience *all = NULL;
	size_t n = recall_list_experience(fleet, &all);

	m->experience = xcalloc(n + 1, sizeof(*m->experience));
	for (size_t i = at->skip; i < n; i++) {
		m->experience[m->n_experience] = experience_new(&all[i]);
		if (!has_room(at, &m->experience[m->n_experience++]->base, i + 1))
			return false;
	}
	return go_on(at, PARTS);
}

static void fill_head(const struct coordinator *c, Drover__V1__FleetState *m)
{
	const struct migration_settings *s = &c->fleet->options.settings;

	m->limits = xmalloc(sizeof(*m->limits));
	drover__v1__fleet_limits__init(m->limits);
	m->limits->cluster = c->fleet->options.caps.cluster;
	m->limits->outbound = c->fleet->options.caps.outbound;
	m->limits->inbound = c->fleet->options.caps.inbound;
	m->limits->preparing = c->fleet->options.caps.preparing;
	m->settings = view_settings_message_new(s);
	m->n_sources = service_list_settings(c, &m->sources);
}

static Drover__V1__FleetState *part_new(const struct coordinator *c, struct cursor *at)
{
	Drover__V1__FleetState *m = xmalloc(sizeof(*m));
	bool first = at->part == PART_NODES && at->skip == 0;
	char next[48];

	drover__v1__fleet_state__init(m);
	m->format = FORMAT;
	m->cluster = xstrdup(c->settings->cluster);
	m->coordinator = xstrdup(c->settings->name);
	m->version = xstrdup(DROVER_VERSION);
	m->wall_ms = clock_wall_ms();
	m->epoch = c->fleet->epoch;
	m->revision = c->fleet->revision;
	if (first)
		fill_head(c, m);
	if ((at->part != PART_NODES || fill_nodes(c->fleet, m, at)) &&
	    (at->part != PART_VMS || fill_vms(c->fleet, m, at)) &&
	    (at->part != PART_MIGRATIONS || fill_migrations(c->fleet, m, at)) &&
	    (at->part != PART_DRAINS || fill_drains(c->fleet, m, at)) &&
	    (at->part != PART_POLICIES || fill_policies(c->fleet, m, at)) &&
	    (at->part != PART_EXPERIENCE || fill_experience(c->fleet, m, at)))
		return m;
	snprintf(next, sizeof(next), "%s/%zu", part_names[at->part], at->skip);
	m->next = xstrdup(next);
	return m;
}

void handle_export(struct mesh_incoming *in, const Drover__V1__ExportRequest *r, void *context)
{
	struct coordinator *c = context;
	Drover__V1__FleetState *m;
	struct cursor at = { 0 };
	struct error err;

	if (cursor_read(r->from, &at, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	m = part_new(c, &at);
	mesh_reply(in, &m->base);
	view_free(m);
}
