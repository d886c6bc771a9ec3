/* SPDX-License-Identifier: Apache-2.0 */
/* From the order to the move: describe the guest, have the destination admit it, link the tunnels.
 * Nothing here touches the guest, so every failure simply ends in source_fail.
 *
 * The same description and question serve dry runs (source_preview), which reserve nothing. */
#include "agent/source.h"

#include "agent/failpoints.h"
#include "agent/host_places.h"
#include "agent/storage/storage_image.h"
#include "agent/storage/storage_proof_wire.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONNECT_TIMEOUT_MS 10000
#define ADMIT_TIMEOUT_MS   30000
#define LINK_TIMEOUT_MS    10000
#define LINK_POLL_MS       50
#define LEASE_TTL_MS       RESERVATION_TTL_MS_DEFAULT

/* --- what the destination must know of the guest --- */

/* Everything that a courier gathers; used by moves and by dry runs. */
struct gathered {
	struct vm_description description;
	struct host_facts facts;
	struct storage_proof *proofs; /* owned; one per disk, then the lockspace's */
	size_t n_proofs;
	bool has_lockspace;
	int rc;
	struct error error;
};

static void gather(struct hypervisor *h, const char *uuid, const struct attempt_name *name,
                   struct gathered *g)
{
	g->rc = h->ops->describe(h, uuid, &g->description, &g->error);
	if (g->rc == 0)
		g->rc = h->ops->host_facts(h, &g->facts, &g->error);
	if (g->rc < 0)
		return;
	host_describe_loader("", &g->description.firmware);
	g->proofs = xcalloc(g->description.n_disks + 1, sizeof(*g->proofs));
	for (size_t i = 0; i < g->description.n_disks; i++)
		storage_proof_make(&g->description.disks[i], name, &g->proofs[g->n_proofs++]);
	for (size_t i = 0; i < g->description.n_disks; i++)
		storage_image_describe(&g->description.disks[i]);
	if (g->facts.lockspace[0]) {
		storage_proof_make_directory(g->facts.lockspace, name, &g->proofs[g->n_proofs++]);
		g->has_lockspace = true;
	}
}

static void gathered_deinit(struct gathered *g)
{
	vm_description_deinit(&g->description);
	free(g->proofs);
}

static Drover__V1__AdmitRequest *admit_request_new(const struct gathered *g,
                                                   const struct attempt_name *name,
                                                   const struct agent_settings *own, bool dry_run,
                                                   bool tls, bool no_guard, bool copy_disks,
                                                   uint64_t bandwidth_bytes_per_s)
{
	Drover__V1__AdmitRequest *r = xmalloc(sizeof(*r));

	drover__v1__admit_request__init(r);
	r->attempt = wire_attempt_new(name);
	r->source_node = xstrdup(own->node);
	r->source_address = xstrdup(own->migration_address);
	r->vm = wire_description_new(&g->description);
	for (size_t i = 0; i < r->vm->n_disks; i++)
		r->vm->disks[i]->proof = storage_proof_message_new(&g->proofs[i]);
	r->dry_run = dry_run;
	r->lease_ttl_ms = LEASE_TTL_MS;
	r->tls = tls;
	r->no_guard = no_guard;
	r->copy_disks = copy_disks;
	r->bandwidth_bytes_per_s = bandwidth_bytes_per_s;
	r->agent_version = xstrdup(DROVER_VERSION);
	r->libvirt_version = xstrdup(g->facts.libvirt_version);
	r->hypervisor_version = xstrdup(g->facts.hypervisor_version);
	r->lock_manager = xstrdup(g->facts.lock_manager);
	if (g->has_lockspace)
		r->lockspace = storage_proof_message_new(&g->proofs[g->n_proofs - 1]);
	return r;
}

/* --- DESCRIBING --- */

struct describe_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	struct attempt_name name;
	struct gathered gathered;
};

static void describe_work(struct errand *e)
{
	struct describe_errand *d = (struct describe_errand *)e;

	gather(d->hypervisor, d->uuid, &d->name, &d->gathered);
	FAILPOINT(source_after_proofs_made);
}

static void admit_answered(const struct mesh_result *result, void *context);

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
		mesh_call(c, "drover.v1.Agent/Admit", &w->request->base, ADMIT_TIMEOUT_MS,
		          admit_answered, a);
	}
	wire_free(w->request);
	free(w);
}

/* From here on the attempt removes them. */
static void keep_proofs(struct source_attempt *a, struct gathered *g)
{
	a->proofs = take_pointer(g->proofs);
	a->n_proofs = g->n_proofs;
}

static void described(struct errand *e)
{
	struct describe_errand *d = (struct describe_errand *)e;
	struct source_attempt *a = d->base.attempt;
	struct gathered *g = &d->gathered;
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
		gathered_deinit(g);
		source_clean(a);
	} else if (g->rc < 0) {
		error_context(&g->error, "describing the guest on %s", a->agent->settings->node);
		keep_proofs(a, g);
		gathered_deinit(g);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &g->error);
	} else {
		struct attempt_name name = a->order.attempt;

		/* A coordinator that took over since the order has this attempt as its own: it
		 * heard of it when we attached. */
		name.epoch = a->agent->highest_epoch;
		/* libvirt tells nobody that these were changed; the inventory may be older. */
		a->order.paused = g->description.summary.state == VM_PAUSED;
		a->order.persistent = g->description.summary.persistent;
		a->order.autostart = g->description.summary.autostart;
		w = xnew(struct admit_wait);
		w->attempt = a;
		w->request = admit_request_new(g, &name, a->agent->settings, false, a->order.tls,
		                               a->order.no_guard, a->order.copy_disks,
		                               a->order.bandwidth_bytes_per_s);
		source_copy_remember(a, &g->description);
		keep_proofs(a, g);
		gathered_deinit(g);
		source_enter(a, SOURCE_ADMITTING);
		a->errands++;
		peers_with_connection(a->agent, a->order.target_node, a->order.target_address,
		                      CONNECT_TIMEOUT_MS, ask_admission, w);
	}
	free(d);
}

void source_prepare(struct source_attempt *a)
{
	struct describe_errand *d = xnew(struct describe_errand);

	source_enter(a, SOURCE_DESCRIBING);
	d->base.errand.work = describe_work;
	d->base.errand.done = described;
	d->hypervisor = a->agent->hypervisor;
	memcpy(d->uuid, a->order.vm_uuid, sizeof(d->uuid));
	d->name = a->order.attempt;
	a->preparing = true;
	source_send(a, &d->base, a->agent->couriers);
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

static void link_tunnel(struct source_attempt *a);

static void admit_answered(const struct mesh_result *result, void *context)
{
	struct source_attempt *a = context;
	const Drover__V1__AdmitReply *reply = (const Drover__V1__AdmitReply *)result->message;
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
		link_tunnel(a);
	}
}

/* --- LINKING --- */

struct link_errand {
	struct source_errand base;
	const struct agent_settings *settings;
	struct attempt_name name;
	char target_node[128];
	char tunnel_address[128];
	struct storage_proof *proofs; /* owned: read by the destination, and now in the way */
	size_t n_proofs;
	struct error leftover;
	struct tunnel tunnel;
	int rc;
	struct error error;
};

static void link_work(struct errand *e)
{
	struct link_errand *l = (struct link_errand *)e;
	const struct agent_settings *s = l->settings;
	char text[ATTEMPT_TEXT_BYTES];
	char *directory = xasprintf("%s/attempts/%s", s->run_dir,
	                            attempt_name_format(&l->name, text));
	char *socket_path = xasprintf("%s/libvirt.sock", directory);
	char *status_path = xasprintf("%s/status", directory);
	char *log_path = xasprintf("%s/tunnel.log", directory);
	char *expect = xasprintf("agent/%s", l->target_node);
	struct tunnel_options o = {
		.side = TUNNEL_SOURCE,
		.attempt = l->name,
		.cluster = s->cluster,
		.expect = expect,
		.ca_path = s->tls_ca,
		.cert_path = s->tls_certificate,
		.key_path = s->tls_key,
		.status_path = status_path,
		.listen_unix = socket_path,
		.connect = l->tunnel_address,
		.log_path = log_path,
	};
	struct tunnel_status status;

	for (size_t i = 0; i < l->n_proofs; i++)
		(void)storage_proof_clean(&l->proofs[i], &l->leftover);
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		l->rc = error_set_errno(&l->error, ERROR_SYSTEM, errno, "creating %s", directory);
	else
		l->rc = FAILPOINT_ERROR(source_before_tunnel_made, &l->error);
	if (l->rc == 0)
		l->rc = l->base.attempt->agent->tunnels->spawn(&o, &l->tunnel, &status, &l->error);
	FAILPOINT(source_after_tunnel_made);
	free(directory);
	free(socket_path);
	free(status_path);
	free(log_path);
	free(expect);
}

static void link_poll(void *context);

/* The order with what is known now: a later agent needs the guard to judge the outcome. */
static void move_when_journaled(int rc, const struct error *err, void *context)
{
	struct source_attempt *a = context;

	a->errands--;
	if (a->stage != SOURCE_LINKING)
		return;
	if (rc < 0)
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, err);
	else
		source_confirm(a);
}

static void journal_guard(struct source_attempt *a)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT };

	a->order.guard = (uint32_t)a->guard;
	w.attempt = a->order;
	a->errands++;
	journal_keeper_write(a->agent->journal, &w, move_when_journaled, a);
}

static void linked(struct errand *e)
{
	struct link_errand *l = (struct link_errand *)e;
	struct source_attempt *a = l->base.attempt;
	bool wanted = source_home(&l->base, SOURCE_LINKING);

	if (l->leftover.code != ERROR_NONE)
		snprintf(a->leftover, sizeof(a->leftover), "%.250s", l->leftover.text);
	for (size_t i = 0; i < l->n_proofs; i++)
		source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_PROOF_FILE,
		                     l->proofs[i].nonce_path, NULL);
	free(l->proofs);
	if (l->rc == 0)
		source_journal_thing(a, JOURNAL_WRITE_MADE, JOURNAL_TUNNEL, l->tunnel.status_path,
		                     &l->tunnel);
	a->preparing = false;
	a->tunnel = l->tunnel;
	a->tunnel_made = l->rc == 0;
	if (!wanted) {
		source_clean(a);
	} else if (l->rc < 0) {
		error_context(&l->error, "starting the tunnel to %s", a->order.target_node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &l->error);
	} else {
		a->timer.fire = link_poll;
		loop_timer_start(a->agent->loop, &a->timer, LINK_POLL_MS);
	}
	free(l);
}

/* The status file is a page in memory: reading it does not block. */
static void link_poll(void *context)
{
	struct source_attempt *a = context;
	struct tunnel_status status = { 0 };
	struct error err;
	int rc = a->agent->tunnels->read_status(&a->tunnel, &status, &err);

	if (rc == 0 && status.state == TUNNEL_LINKED) {
		FAILPOINT(source_after_linked);
		journal_guard(a);
		return;
	}
	if (rc == 0 && status.state == TUNNEL_FAILED)
		rc = error_set(&err, (enum error_code)status.error_code, "%s", status.error_text);
	else if (rc == 0 && clock_now_ms() - a->stage_since_ms > LINK_TIMEOUT_MS)
		rc = error_set(&err, ERROR_TIMEOUT, "no answer at %s within %d s",
		               a->tunnel_address, LINK_TIMEOUT_MS / 1000);
	if (rc < 0) {
		error_context(&err, "tunnel to %s", a->order.target_node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &err);
		return;
	}
	loop_timer_start(a->agent->loop, &a->timer, LINK_POLL_MS);
}

static void link_tunnel(struct source_attempt *a)
{
	struct link_errand *l = xnew(struct link_errand);

	source_enter(a, SOURCE_LINKING);
	l->base.errand.work = link_work;
	l->base.errand.done = linked;
	l->settings = a->agent->settings;
	l->name = a->order.attempt;
	snprintf(l->target_node, sizeof(l->target_node), "%s", a->order.target_node);
	snprintf(l->tunnel_address, sizeof(l->tunnel_address), "%s", a->tunnel_address);
	l->proofs = take_pointer(a->proofs);
	l->n_proofs = a->n_proofs;
	a->n_proofs = 0;
	a->preparing = true;
	source_send(a, &l->base, a->agent->couriers);
}

/* --- dry runs --- */

struct preview {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char uuid[VM_UUID_BYTES];
	char target_node[128];
	char target_address[128];
	struct attempt_name name;
	bool no_guard, copy_disks;
	struct gathered gathered;
};

struct preview_end {
	struct errand errand;
	struct storage_proof *proofs; /* owned */
	size_t n_proofs;
};

static void preview_clean(struct errand *e)
{
	struct preview_end *end = (struct preview_end *)e;
	struct error err;

	for (size_t i = 0; i < end->n_proofs; i++) {
		if (storage_proof_clean(&end->proofs[i], &err) < 0)
			log_warning("%s", err.text);
	}
}

static void preview_cleaned(struct errand *e)
{
	struct preview_end *end = (struct preview_end *)e;

	free(end->proofs);
	free(end);
}

static void preview_free(struct preview *p)
{
	struct preview_end *end = xnew(struct preview_end);

	end->errand.work = preview_clean;
	end->errand.done = preview_cleaned;
	end->proofs = take_pointer(p->gathered.proofs);
	end->n_proofs = p->gathered.n_proofs;
	courier_send(p->agent->couriers, &end->errand);
	gathered_deinit(&p->gathered);
	free(p);
}

static void preview_answered(const struct mesh_result *result, void *context)
{
	struct preview *p = context;

	if (p->in && result->status == MESH_OK)
		mesh_reply(p->in, result->message);
	else if (p->in)
		mesh_fail(p->in, result->status, &result->error);
	preview_free(p);
}

static void preview_ask(struct mesh_connection *c, const struct error *err, void *context)
{
	struct preview *p = context;
	Drover__V1__AdmitRequest *request;

	if (!c || !p->in) {
		if (p->in)
			mesh_fail_error(p->in, err);
		preview_free(p);
		return;
	}
	request = admit_request_new(&p->gathered, &p->name, p->agent->settings, true,
	                            p->agent->settings->migration_tls, p->no_guard, p->copy_disks,
	                            0);
	mesh_call(c, "drover.v1.Agent/Admit", &request->base, ADMIT_TIMEOUT_MS, preview_answered,
	          p);
	wire_free(request);
}

static void preview_work(struct errand *e)
{
	struct preview *p = (struct preview *)e;

	gather(p->agent->hypervisor, p->uuid, &p->name, &p->gathered);
}

static void preview_gathered(struct errand *e)
{
	struct preview *p = (struct preview *)e;

	if (p->gathered.rc < 0 || !p->in) {
		if (p->in)
			mesh_fail_error(p->in, &p->gathered.error);
		preview_free(p);
		return;
	}
	peers_with_connection(p->agent, p->target_node, p->target_address, CONNECT_TIMEOUT_MS,
	                      preview_ask, p);
}

static void preview_unwanted(void *context)
{
	((struct preview *)context)->in = NULL;
}

void source_preview(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__PreviewRequest *request)
{
	struct preview *p;
	struct error err;

	if (agent_see_epoch(agent, request->epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	p = xnew(struct preview);
	p->errand.work = preview_work;
	p->errand.done = preview_gathered;
	p->agent = agent;
	p->in = in;
	p->no_guard = request->no_guard;
	p->copy_disks = request->copy_disks;
	snprintf(p->uuid, sizeof(p->uuid), "%s", request->vm_uuid);
	snprintf(p->target_node, sizeof(p->target_node), "%s", request->target_node);
	snprintf(p->target_address, sizeof(p->target_address), "%s", request->target_address);
	/* An operation of its own: its proofs must not meet those of a real attempt. */
	p->name = (struct attempt_name){ .operation = id_new(),
		                         .number = 1,
		                         .epoch = request->epoch };
	mesh_incoming_on_cancel(in, preview_unwanted, p);
	courier_send(agent->couriers, &p->errand);
}
