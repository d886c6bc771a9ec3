/* SPDX-License-Identifier: Apache-2.0 */
/* Who becomes and stays a member of the cluster, where the coordinator has the authority.
 *
 * A join is told to the administrator twice: in the log, and in the audit chain. A host that joins has
 * proved no name yet, so what it claims is not written as one.
 *
 * Members ask what they are to have, and for new certificates; whom a request is about is the caller's
 * certificate and nothing in it. The coordinator's own files, and an administrator's beside them, are
 * looked after every few seconds. The authority's files block, so one courier goes there. Owner thread.
 */
#include "coordinator/identity.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "pki/files.h"
#include "pki/join_server.h"
#include "pki/keeper.h"
#include "proto/audit/audit.h"
#include "proto/audit/audit_text.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS           1000
#define REPORT_MS         200
#define AGAIN_LEAST_MS    2000
#define AGAIN_MOST_MS     120000
#define AGAIN_MS_A_MEMBER 20 /* so that there are at most fifty questions a second */

/* --- joins --- */

static void log_join(const struct join_event *e)
{
	const char *claim = e->claim ? e->claim : "nobody";

	if (e->code == ERROR_NONE)
		log_info("join: %s, as %s: joined", e->address, claim);
	else
		log_warning("join refused: %s, as %s: %s", e->address, claim, e->text);
}

void identity_join_told(const struct join_event *e, void *coordinator)
{
	const struct coordinator *c = coordinator;
	struct audit_text object;

	log_join(e);
	audit_text_init(&object);
	audit_text_add(&object, "claims", e->claim);
	audit_write(c->audit, &(struct audit_record){
				      .refused = e->code != ERROR_NONE,
				      .noise = e->code != ERROR_NONE,
				      .address = e->address,
				      .method = "join",
				      .object = object.data,
				      .outcome = mesh_status_name(mesh_status_from_error(e->code)),
				      .reason = e->code == ERROR_NONE ? NULL : e->text,
			      });
}

/* --- members --- */

/* Flat: one that is dropped at the end is freed with free(). */
struct inquiry {
	struct errand errand;
	struct coordinator *c;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	const char *authority;
	enum mesh_role role;
	char name[MESH_NAME_BYTES], serial[MESH_SERIAL_BYTES];
	bool renew; /* else sync */
	struct authority_holdings holdings;
	uint8_t requests[AUTHORITY_REQUESTS][IDENTITY_REQUEST_BYTES];
	size_t request_bytes[AUTHORITY_REQUESTS];

	int rc;
	struct error error;
	struct authority_orders orders;
	struct authority_grant grant;
};

static void unwanted(void *context)
{
	((struct inquiry *)context)->in = NULL;
}

/* Only read. */
static char *or_empty(char *text)
{
	return text ? text : (char *)"";
}

static void reply_orders(const struct inquiry *q)
{
	Drover__V1__PkiSyncReply m = DROVER__V1__PKI_SYNC_REPLY__INIT;
	uint64_t again_ms = agents_count(q->c) * AGAIN_MS_A_MEMBER;
	char *trusted[AUTHORITY_REQUESTS], *revoked[AUTHORITY_REQUESTS];

	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		trusted[i] = or_empty(q->orders.trusted[i]);
		revoked[i] = or_empty(q->orders.revoked[i]);
	}
	m.trusted = trusted;
	m.n_trusted = AUTHORITY_REQUESTS;
	m.revoked = revoked;
	m.n_revoked = AUTHORITY_REQUESTS;
	m.renew = q->orders.renew;
	m.again_ms = again_ms < AGAIN_LEAST_MS  ? AGAIN_LEAST_MS
	             : again_ms > AGAIN_MOST_MS ? AGAIN_MOST_MS
	                                        : again_ms;
	mesh_reply(q->in, &m.base);
}

static void reply_grant(const struct inquiry *q)
{
	Drover__V1__PkiRenewReply m = DROVER__V1__PKI_RENEW_REPLY__INIT;
	char *certificates[AUTHORITY_REQUESTS] = {
		[AUTHORITY_MESH] = q->grant.certificate,
		[AUTHORITY_MIGRATION] = or_empty(q->grant.migration_certificate),
		[AUTHORITY_LIBVIRT] = or_empty(q->grant.libvirt_certificate),
	};

	m.certificates = certificates;
	m.n_certificates = AUTHORITY_REQUESTS;
	log_info("%s %s has a new certificate", mesh_role_name(q->role), q->name);
	mesh_reply(q->in, &m.base);
}

static void inquiry_work(struct errand *e)
{
	struct inquiry *q = (struct inquiry *)e;
	const struct authority_member member = { q->role, q->name, q->serial };
	struct bytes requests[AUTHORITY_REQUESTS];

	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++)
		requests[i] = (struct bytes){ q->requests[i], q->request_bytes[i] };
	if (q->renew)
		q->rc = authority_renew(q->authority, &member, requests, &q->grant, &q->error);
	else
		q->rc = authority_sync(q->authority, &member, &q->holdings, &q->orders, &q->error);
}

static void inquiry_done(struct errand *e)
{
	struct inquiry *q = (struct inquiry *)e;

	if (q->in && q->rc < 0)
		mesh_fail_error(q->in, &q->error);
	else if (q->in && q->renew)
		reply_grant(q);
	else if (q->in)
		reply_orders(q);
	authority_orders_deinit(&q->orders);
	authority_grant_deinit(&q->grant);
	free(q);
}

bool identity_is_here(const struct coordinator *c, struct mesh_incoming *in)
{
	struct error err;

	if (c->identity)
		return true;
	error_set(&err, ERROR_REFUSED,
	          "coordinator %s does not have the cluster's authority (join/authority): "
	          "its certificates are somebody else's to make, renew and revoke",
	          c->settings->name);
	mesh_fail_error(in, &err);
	return false;
}

/* NULL: refused, and answered. */
static struct inquiry *inquiry_new(struct coordinator *c, struct mesh_incoming *in, bool renew)
{
	const struct mesh_identity *who = mesh_incoming_get_identity(in);
	struct inquiry *q;
	struct error err;

	if (!identity_is_here(c, in))
		return NULL;
	if (!who->certified) {
		error_set(&err, ERROR_PERMISSION,
		          "certificates are renewed over tcp:// only, with the one that ends as "
		          "the proof");
		mesh_fail_error(in, &err);
		return NULL;
	}
	q = xnew(struct inquiry);
	q->errand.work = inquiry_work;
	q->errand.done = inquiry_done;
	q->c = c;
	q->in = in;
	q->authority = c->settings->join_authority;
	q->role = who->role;
	q->renew = renew;
	snprintf(q->name, sizeof(q->name), "%s", who->name);
	memcpy(q->serial, who->serial, sizeof(q->serial));
	return q;
}

static void inquire(struct inquiry *q)
{
	mesh_incoming_on_cancel(q->in, unwanted, q);
	courier_send(q->c->identity->courier, &q->errand);
}

static void refuse(struct inquiry *q, const char *what)
{
	error_set(&q->error, ERROR_INVALID, "%s %s: %s cannot be used", mesh_role_name(q->role),
	          q->name, what);
	mesh_fail_error(q->in, &q->error);
	free(q);
}

static bool take_set(const ProtobufCBinaryData *items, size_t count, struct certificate_set *ret)
{
	if (count > CERTIFICATE_TRUSTED_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (items[i].len != CERTIFICATE_SHA256_BYTES)
			return false;
		memcpy(ret->sha256[ret->count++], items[i].data, CERTIFICATE_SHA256_BYTES);
	}
	return true;
}

/* Empty is none: all zeros. */
static bool take_hash(const ProtobufCBinaryData *data, uint8_t *ret)
{
	if (data->len == CERTIFICATE_SHA256_BYTES)
		memcpy(ret, data->data, CERTIFICATE_SHA256_BYTES);
	return data->len == CERTIFICATE_SHA256_BYTES || data->len == 0;
}

static void handle_sync(struct mesh_incoming *in, const Drover__V1__PkiSyncRequest *r,
                        void *context)
{
	struct inquiry *q = inquiry_new(context, in, false);
	bool good = r->n_held <= AUTHORITY_REQUESTS;

	if (!q)
		return;
	q->holdings.until_ms = r->until_wall_ms;
	for (size_t i = 0; good && i < r->n_held; i++)
		good = take_set(r->held[i]->trusts, r->held[i]->n_trusts,
		                &q->holdings.held[i].trusts) &&
		       take_hash(&r->held[i]->signer, q->holdings.held[i].signer) &&
		       take_hash(&r->held[i]->list, q->holdings.held[i].list);
	if (good)
		inquire(q);
	else
		refuse(q, "what it says that it has");
}

static void handle_renew(struct mesh_incoming *in, const Drover__V1__PkiRenewRequest *r,
                         void *context)
{
	struct inquiry *q = inquiry_new(context, in, true);
	bool good = r->n_requests > 0 && r->n_requests <= AUTHORITY_REQUESTS;

	if (!q)
		return;
	for (size_t i = 0; good && i < r->n_requests; i++) {
		good = r->requests[i].len <= IDENTITY_REQUEST_BYTES;
		q->request_bytes[i] = good ? r->requests[i].len : 0;
		if (q->request_bytes[i])
			memcpy(q->requests[i], r->requests[i].data, q->request_bytes[i]);
	}
	if (good)
		inquire(q);
	else
		refuse(q, "its list of requests (one to three, each of at most 4096 bytes)");
}

static const struct pki_handlers handlers = {
	.sync = handle_sync,
	.renew = handle_renew,
	.issue = identity_issue,
	.revoke = identity_revoke,
};

const struct mesh_service coordinator_pki_service = PKI_SERVICE(handlers);

/* --- our own --- */

struct own_look {
	struct errand errand;
	struct coordinator *c;
	const struct coordinator_settings *settings;
	bool changed;
	struct error error;
};

/* @crl: NULL for an administrator's, which trusts nobody. */
static int look_after(const struct own_look *o, const char *certificate, const char *key,
                      const char *crl, bool *ret_changed, struct error *err)
{
	_cleanup_(keeper_files_deinit) struct keeper_files files;
	struct keeper_view view;

	keeper_files_init(&files, o->settings->serving.tls_ca, certificate, key, crl, NULL, NULL);
	return keeper_sync(&files, o->settings->join_authority, &view, ret_changed, err);
}

static void own_work(struct errand *e)
{
	struct own_look *o = (struct own_look *)e;
	_cleanup_free_ char *copy = xstrdup(o->settings->serving.tls_certificate);
	const char *directory = dirname(copy);
	_cleanup_free_ char *admin = xasprintf("%s/admin.pem", directory);
	_cleanup_free_ char *admin_key = xasprintf("%s/admin-key.pem", directory);
	bool of_admin = false;

	error_clear(&o->error);
	if (look_after(o, o->settings->serving.tls_certificate, o->settings->serving.tls_key,
	               o->settings->serving.tls_crl, &o->changed, &o->error) == 0 &&
	    files_exist(admin) && files_exist(admin_key))
		(void)look_after(o, admin, admin_key, NULL, &of_admin, &o->error);
}

static void own_done(struct errand *e)
{
	struct own_look *o = (struct own_look *)e;
	struct coordinator *c = o->c;

	if (!c->stopping) {
		if (o->error.code != ERROR_NONE && strcmp(c->identity->problem, o->error.text) != 0)
			log_warning("our own certificates: %s", o->error.text);
		snprintf(c->identity->problem, sizeof(c->identity->problem), "%s",
		         o->error.code == ERROR_NONE ? "" : o->error.text);
		/* What is new for us is new for all: a replacement of the authority goes on. */
		if (o->changed) {
			mesh_look_at_files(c->mesh);
			agents_look_at_certificates(c);
		}
		loop_timer_start(c->loop, &c->identity->look, o->changed ? REPORT_MS : LOOK_MS);
	}
	free(o);
}

static void look(void *context)
{
	struct coordinator *c = context;
	struct own_look *o;

	/* What is reported as held is what is in use. */
	mesh_look_at_files(c->mesh);
	if (!mesh_uses_files(c->mesh)) {
		loop_timer_start(c->loop, &c->identity->look, LOOK_MS);
		return;
	}
	o = xnew(struct own_look);
	o->errand.work = own_work;
	o->errand.done = own_done;
	o->c = c;
	o->settings = c->settings;
	courier_send(c->identity->courier, &o->errand);
}

static bool has_ended(const char *path)
{
	_cleanup_free_ char *pem = NULL;
	struct certificate_facts facts;

	return path && files_read(path, &pem, NULL) == 0 &&
	       certificate_read(pem, &facts, NULL) == 0 && facts.not_after_ms <= clock_wall_ms();
}

void identity_renew_ended(const struct coordinator_settings *settings)
{
	struct own_look o = { .settings = settings };

	if (!settings->join_authority || !authority_exists(settings->join_authority) ||
	    !has_ended(settings->serving.tls_certificate))
		return;
	own_work(&o.errand);
	if (o.error.code != ERROR_NONE)
		log_warning("our own certificate has ended, and cannot be renewed: %s",
		            o.error.text);
	else
		log_info("our own certificate had ended, and is renewed");
}

void identity_look_now(struct coordinator *c)
{
	loop_timer_start(c->loop, &c->identity->look, 0);
}

void identity_start(struct coordinator *c)
{
	if (!c->settings->join_authority)
		return;
	c->identity = xnew(struct identity);
	c->identity->courier = courier_pool_new(c->loop, 1);
	c->identity->look = (struct loop_timer){ .fire = look, .context = c };
	loop_timer_start(c->loop, &c->identity->look, 0);
}

void identity_stop(struct coordinator *c)
{
	if (!c->identity)
		return;
	loop_timer_stop(c->loop, &c->identity->look);
	courier_pool_free(c->identity->courier);
	c->identity->courier = NULL;
}

void identity_free(struct coordinator *c)
{
	free(c->identity);
	c->identity = NULL;
}
