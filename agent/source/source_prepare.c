/* SPDX-License-Identifier: Apache-2.0 */
/* From the order to the admission: describe the guest, have the destination admit it; then source_link.c.
 * Nothing here touches the guest, so every failure simply ends in source_fail. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/link/probe.h"
#include "agent/source/source_describe.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- DESCRIBING --- */

struct describe_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	struct attempt_name name;
	struct source_description description;
};

static void describe_work(struct errand *e)
{
	struct describe_errand *d = (struct describe_errand *)e;

	source_description_gather(&d->description, d->hypervisor, d->uuid, &d->name);
	FAILPOINT(source_after_proofs_made);
}

static void admit_answered(const struct mesh_result *result, const Drover__V1__AdmitReply *reply,
                           void *context);

/* The question on its way: the request must live until a connection is there. */
struct admit_wait {
	struct source_attempt *attempt;
	Drover__V1__AdmitRequest *request; /* owned */
};

static void ask_admission(struct mesh_connection *c, const struct error *err, void *context)
{
	struct admit_wait *w = context;
	struct source_attempt *a = w->attempt;

	if (a->stage != SOURCE_ADMITTING) {
		a->errands--; /* cancelled meanwhile: nothing was asked */
	} else if (!c) {
		a->errands--;
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, err);
	} else {
		a->lease_taken = true; /* from now on it may be */
		FAILPOINT(source_before_admit);
		agent_call_admit(c, w->request, SOURCE_ADMIT_TIMEOUT_MS, admit_answered, a);
	}
	wire_free(w->request);
	free(w);
}

/* From here on the attempt removes them. */
static void keep_proofs(struct source_attempt *a, struct source_description *g)
{
	a->proofs = take_pointer(g->proofs);
	a->n_proofs = g->n_proofs;
	for (size_t i = 0; i < a->n_proofs; i++)
		source_remnants_add_place(a, a->proofs[i].nonce_path);
}

static void described(struct errand *e)
{
	struct describe_errand *d = (struct describe_errand *)e;
	struct source_attempt *a = d->base.attempt;
	struct source_description *g = &d->description;
	struct admit_wait *w;

	/* Even if the attempt is over by now: what was made must be cleaned up. */
	for (size_t i = 0; i < g->n_proofs; i++) {
		if (g->proofs[i].nonce_path[0])
			source_journal_thing(a, JOURNAL_WRITE_MADE, JOURNAL_PROOF_FILE,
			                     g->proofs[i].nonce_path, NULL);
	}
	a->preparing = false;
	if (!source_home(&d->base, SOURCE_DESCRIBING)) {
		keep_proofs(a, g);
		source_description_deinit(g);
		source_clean(a);
	} else if (g->rc < 0) {
		error_context(&g->error, "describing the guest on %s", a->agent->settings->node);
		keep_proofs(a, g);
		source_description_deinit(g);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &g->error);
	} else {
		struct attempt_name name = a->order.attempt;
		struct source_wish wish = {
			.tls = a->order.tls,
			.no_guard = a->order.no_guard,
			.unsafe = a->order.unsafe,
			.copy_disks = a->order.copy_disks,
			.transfer = a->order.transfer,
			.post_copy = source_ladder_permits_post_copy(a),
			.bandwidth_bytes_per_s = a->order.bandwidth_bytes_per_s,
			.max_downtime_ms = a->order.max_downtime_ms,
		};

		/* A coordinator that took over since the order has this attempt as its own: it
		 * heard of it when we attached. */
		name.epoch = a->agent->highest_epoch;
		/* libvirt tells nobody that these were changed; the inventory may be older. */
		a->order.paused = g->vm.summary.state == VM_PAUSED;
		a->order.persistent = g->vm.summary.persistent;
		a->order.autostart = g->vm.summary.autostart;
		w = xnew(struct admit_wait);
		w->attempt = a;
		paths_estimate(a->agent, a->order.target_node, &wish.path);
		w->request = source_admit_request_new(g, &name, a->agent->settings, &wish);
		source_copy_remember(a, &g->vm);
		wire_free(a->left);
		a->left = wire_description_new(&g->vm);
		keep_proofs(a, g);
		source_description_deinit(g);
		source_enter(a, SOURCE_ADMITTING);
		a->errands++;
		peers_with_connection(a->agent, a->order.target_node, a->order.target_address,
		                      SOURCE_CONNECT_TIMEOUT_MS, ask_admission, w);
	}
	free(d);
}

static void describe(struct source_attempt *a)
{
	struct describe_errand *d = xnew(struct describe_errand);

	d->base.errand.work = describe_work;
	d->base.errand.done = described;
	d->hypervisor = a->agent->hypervisor;
	memcpy(d->uuid, a->order.vm_uuid, sizeof(d->uuid));
	d->name = a->order.attempt;
	source_send(a, &d->base, a->agent->couriers);
}

/* Measured or not: the move goes on, and the destination is told what is known. */
static void way_measured(const struct probe_result *result, void *context)
{
	struct source_attempt *a = context;

	(void)result;
	a->errands--;
	if (a->stage == SOURCE_DESCRIBING) {
		describe(a);
	} else {
		a->preparing = false;
		source_clean(a);
	}
}

void source_prepare(struct source_attempt *a)
{
	source_enter(a, SOURCE_DESCRIBING);
	a->preparing = true;
	a->errands++;
	probe_path_if_stale(a->agent, a->order.target_node, a->order.target_address, way_measured,
	                    a);
}

/* --- ADMITTING --- */

static void refused(struct source_attempt *a)
{
	struct error why;
	const struct check *worst = NULL;

	for (size_t i = 0; i < a->checks->count; i++) {
		const struct check *c = &a->checks->items[i];

		if (c->verdict >= CHECK_FAIL && (!worst || c->verdict > worst->verdict))
			worst = c;
	}
	if (worst)
		error_set(&why, ERROR_REFUSED, "%s refused: %s: %s; required %s",
		          a->order.target_node, worst->id, worst->measured, worst->required);
	else
		error_set(&why, ERROR_PROTOCOL, "%s refused without saying why",
		          a->order.target_node);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

static int read_answer(struct source_attempt *a, const Drover__V1__AdmitReply *r, struct error *err)
{
	free(a->checks);
	a->checks = xnew(struct check_list);
	if (wire_checks_read(r->checks, r->n_checks, a->checks, err) < 0)
		return -(int)err->code;
	if (!r->admitted)
		return 0;
	if (r->memory_port == 0 || r->memory_port > UINT16_MAX || (unsigned)r->guard >= GUARDS ||
	    (r->guard == DROVER__V1__GUARD__GUARD_NONE && !a->order.no_guard) ||
	    strlen(r->migration_address) >= sizeof(a->migration_address) ||
	    strlen(r->tunnel_address) >= sizeof(a->tunnel_address))
		return error_set(err, ERROR_PROTOCOL,
		                 "%s admitted the guest without a usable address, port or guard",
		                 a->order.target_node);
	if (source_copy_read(a, r, err) < 0)
		return -(int)err->code;
	a->guard = (enum guard)r->guard;
	a->port = (uint16_t)r->memory_port;
	a->lease_ttl_ms = r->lease_ttl_ms;
	a->lease_renewed_ms = clock_now_ms();
	snprintf(a->migration_address, sizeof(a->migration_address), "%s", r->migration_address);
	snprintf(a->tunnel_address, sizeof(a->tunnel_address), "%s", r->tunnel_address);
	a->storage_proved = true;
	for (size_t i = 0; i < a->checks->count; i++) {
		const struct check *c = &a->checks->items[i];

		if (strncmp(c->id, "disk/", 5) == 0 && c->verdict != CHECK_PASS)
			a->storage_proved = false;
	}
	return 0;
}

static void admit_answered(const struct mesh_result *result, const Drover__V1__AdmitReply *reply,
                           void *context)
{
	struct source_attempt *a = context;
	struct error err;

	FAILPOINT(source_after_admit);
	a->errands--;
	if (a->stage != SOURCE_ADMITTING)
		return;
	if (result->status != MESH_OK) {
		err = result->error;
		error_context(&err, "asking %s for admission", a->order.target_node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &err);
	} else if (read_answer(a, reply, &err) < 0) {
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &err);
	} else if (!reply->admitted) {
		a->lease_taken = false;
		refused(a);
	} else {
		a->state = DROVER__V1__MIGRATION_STATE__RESERVED;
		source_changed(a);
		source_link(a);
	}
}
