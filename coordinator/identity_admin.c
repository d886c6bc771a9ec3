/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator asks of the authority: certificates for people, and taking certificates back.
 *
 *	Revoke -> authority (courier) -> our own files -> everybody's: Agent.LookAtCertificates
 *
 * What is revoked is durable before it is answered; who is not connected now gets the list when it is.
 * Owner thread. */
#include "coordinator/identity.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Freed by its _done, or with free() if that never comes. */
struct wish {
	struct errand errand;
	struct coordinator *c;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	const char *authority;
	char who[2 * MESH_NAME_BYTES]; /* asks, for the log */
	int rc;
	struct error error;
};

struct issue {
	struct wish wish;
	enum mesh_role role;
	char name[MESH_NAME_BYTES];
	uint64_t life_s;
	uint8_t request[IDENTITY_REQUEST_BYTES];
	size_t request_bytes;
	struct authority_grant grant;
};

struct revoke {
	struct wish wish;
	char what[2 * MESH_NAME_BYTES];
	enum mesh_role caller_role;
	char caller_name[MESH_NAME_BYTES]; /* "" = without a certificate */
	char caller_serial[MESH_SERIAL_BYTES];
	bool even_own, dry_run;
	struct authority_revocation revocation;
};

static void unwanted(void *context)
{
	((struct wish *)context)->in = NULL;
}

static void wish_init(struct wish *w, struct coordinator *c, struct mesh_incoming *in,
                      void (*work)(struct errand *e), void (*done)(struct errand *e))
{
	const struct mesh_identity *who = mesh_incoming_get_identity(in);

	w->errand.work = work;
	w->errand.done = done;
	w->c = c;
	w->in = in;
	w->authority = c->settings->join_authority;
	snprintf(w->who, sizeof(w->who), "%s %s", mesh_role_name(who->role),
	         who->name[0] ? who->name : who->address);
}

static void wish_send(struct wish *w)
{
	mesh_incoming_on_cancel(w->in, unwanted, w);
	courier_send(w->c->identity->courier, &w->errand);
}

static void fail(struct mesh_incoming *in, const char *text)
{
	struct error err;

	error_set(&err, ERROR_INVALID, "%s", text);
	mesh_fail_error(in, &err);
}

/* --- certificates for people --- */

static void issue_work(struct errand *e)
{
	struct issue *i = (struct issue *)e;
	const struct authority_order order = { .role = i->role,
		                               .name = i->name,
		                               .life_s = i->life_s };
	const struct bytes request = { i->request, i->request_bytes };

	i->wish.rc = authority_issue_person(i->wish.authority, &order, &request, &i->grant,
	                                    &i->wish.error);
}

static void reply_issued(const struct issue *i)
{
	Drover__V1__PkiIssueReply m = DROVER__V1__PKI_ISSUE_REPLY__INIT;
	struct certificate_facts facts = { 0 };
	struct error err;

	if (certificate_read(i->grant.certificate, &facts, &err) < 0) {
		mesh_fail_error(i->wish.in, &err);
		return;
	}
	m.certificate = i->grant.certificate;
	m.ca = i->grant.ca;
	m.serial = facts.serial;
	mesh_reply(i->wish.in, &m.base);
}

static void issue_done(struct errand *e)
{
	struct issue *i = (struct issue *)e;

	if (i->wish.rc == 0)
		log_info("%s %s has a certificate, by %s", mesh_role_name(i->role), i->name,
		         i->wish.who);
	if (i->wish.in && i->wish.rc < 0)
		mesh_fail_error(i->wish.in, &i->wish.error);
	else if (i->wish.in)
		reply_issued(i);
	authority_grant_deinit(&i->grant);
	free(i);
}

void identity_issue(struct mesh_incoming *in, const Drover__V1__PkiIssueRequest *r,
                    void *coordinator)
{
	struct coordinator *c = coordinator;
	struct issue *i;

	if (!identity_is_here(c, in))
		return;
	if (r->request.len == 0 || r->request.len > IDENTITY_REQUEST_BYTES) {
		fail(in, "the certificate request must have 1 to 4096 bytes");
		return;
	}
	i = xnew(struct issue);
	wish_init(&i->wish, c, in, issue_work, issue_done);
	i->role = mesh_role_from_name(r->role);
	snprintf(i->name, sizeof(i->name), "%s", r->name);
	i->life_s = r->life_s;
	memcpy(i->request, r->request.data, r->request.len);
	i->request_bytes = r->request.len;
	wish_send(&i->wish);
}

/* --- taking back --- */

static void revoke_work(struct errand *e)
{
	struct revoke *r = (struct revoke *)e;
	const struct authority_member caller = { r->caller_role, r->caller_name, r->caller_serial };
	const struct authority_revoke_order order = {
		.what = r->what,
		.caller = r->caller_name[0] ? &caller : NULL,
		.even_own = r->even_own,
		.dry_run = r->dry_run,
	};

	r->wish.rc = authority_revoke(r->wish.authority, &order, &r->revocation, &r->wish.error);
}

static void fill_certificate(const struct ledger_entry *e, Drover__V1__PkiCertificate *ret)
{
	drover__v1__pki_certificate__init(ret);
	ret->purpose = e->kind;
	ret->serial = (char *)e->serial; /* only read */
	ret->role = (char *)(e->role == MESH_ROLE_NONE ? "" : mesh_role_name(e->role));
	ret->name = (char *)e->name;
	ret->issued_wall_ms = e->issued_ms;
	ret->expires_wall_ms = e->expires_ms;
	ret->revoked_wall_ms = e->revoked_ms;
}

static void reply_revoked(const struct revoke *r)
{
	const struct ledger *l = &r->revocation.certificates;
	Drover__V1__PkiRevokeReply m = DROVER__V1__PKI_REVOKE_REPLY__INIT;
	_cleanup_free_ Drover__V1__PkiCertificate *items = xcalloc(l->count + 1, sizeof(*items));
	_cleanup_free_ Drover__V1__PkiCertificate **list = xcalloc(l->count + 1, sizeof(*list));

	for (size_t i = 0; i < l->count; i++) {
		fill_certificate(&l->entries[i], &items[i]);
		list[i] = &items[i];
	}
	m.certificates = list;
	m.n_certificates = l->count;
	m.already = (uint32_t)r->revocation.already;
	m.unknown = !r->revocation.known;
	m.revoked = r->dry_run ? 0 : (uint32_t)l->count;
	mesh_reply(r->wish.in, &m.base);
}

static void revoke_done(struct errand *e)
{
	struct revoke *r = (struct revoke *)e;
	struct coordinator *c = r->wish.c;

	/* Before the reply: whoever has it may rely on that everybody was told. */
	if (r->wish.rc == 0 && !r->dry_run && !c->stopping) {
		log_warning("%s revoked %s: %zu certificates", r->wish.who, r->what,
		            r->revocation.certificates.count);
		identity_look_now(c);
		agents_look_at_certificates(c);
	}
	if (r->wish.in && r->wish.rc < 0)
		mesh_fail_error(r->wish.in, &r->wish.error);
	else if (r->wish.in)
		reply_revoked(r);
	authority_revocation_deinit(&r->revocation);
	free(r);
}

void identity_revoke(struct mesh_incoming *in, const Drover__V1__PkiRevokeRequest *request,
                     void *coordinator)
{
	const struct mesh_identity *who = mesh_incoming_get_identity(in);
	struct coordinator *c = coordinator;
	struct revoke *r;

	if (!identity_is_here(c, in))
		return;
	if (!request->name[0] || strlen(request->name) >= sizeof(r->what)) {
		fail(in, "whose certificate is to be revoked? NAME, ROLE/NAME or a serial number");
		return;
	}
	r = xnew(struct revoke);
	wish_init(&r->wish, c, in, revoke_work, revoke_done);
	snprintf(r->what, sizeof(r->what), "%s", request->name);
	if (who->certified) {
		r->caller_role = who->role;
		memcpy(r->caller_name, who->name, sizeof(r->caller_name));
		memcpy(r->caller_serial, who->serial, sizeof(r->caller_serial));
	}
	r->even_own = request->even_own;
	r->dry_run = request->dry_run;
	wish_send(&r->wish);
}
