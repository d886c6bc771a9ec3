/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's certificates: kept valid, and through a change of the cluster's authority.
 *
 *	look at the files -> Pki.Sync -> take what is to be trusted -> Pki.Renew -> take certificates
 *	   (courier)                        (courier)      (if due or asked to)        (courier)
 *
 * One round after the other; the coordinator says when the next begins. What is reported as held is
 * what the mesh has in use, never what was only written. The certificate of the connection is the
 * proof. Where the coordinator has no authority somebody else renews, and we only ask now and then.
 * Owner thread; the round's own state belongs to the courier while one is out. */
#include "agent/agent.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "pki/keeper.h"
#include "proto/pki.rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS         20000
#define SOON_MS         1000 /* no connection, or files that are not in use yet */
#define REPORT_MS       200  /* what was taken is in use by then, and others wait to hear that */
#define RETRY_MS        30000
#define NO_AUTHORITY_MS (10 * 60 * 1000)
#define AGAIN_MOST_MS   (60 * 60 * 1000) /* whatever the coordinator says */

struct credentials {
	struct agent *agent;
	struct loop_timer timer;
	struct keeper_files files;
	char problem[ERROR_TEXT_BYTES]; /* as it was last logged */
	bool under_way;                 /* a round */
	bool hurry;                     /* there is news that the round under way may have missed */

	/* Of this round. */
	struct keeper_view view;
	char *trusted[AUTHORITY_REQUESTS], *revoked[AUTHORITY_REQUESTS];
	char *certificates[AUTHORITY_REQUESTS];
	struct bytes requests[AUTHORITY_REQUESTS];
	bool renew, changed, lists_changed;
	uint64_t again_ms;
	int rc;
	struct error error;
};

struct step {
	struct errand errand;
	struct credentials *credentials;
};

static void end_round(struct credentials *c, uint64_t again_ms)
{
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		free(c->trusted[i]);
		free(c->revoked[i]);
		free(c->certificates[i]);
		c->trusted[i] = c->revoked[i] = c->certificates[i] = NULL;
	}
	keeper_requests_deinit(c->requests);
	c->renew = c->changed = c->lists_changed = c->under_way = false;
	if (!c->agent->stopping)
		loop_timer_start(c->agent->loop, &c->timer, c->hurry ? 0 : again_ms);
}

/* The same trouble is told once. */
static void fail_round(struct credentials *c, const struct error *why, uint64_t again_ms)
{
	if (strcmp(c->problem, why->text) != 0)
		log_warning("certificates: %s", why->text);
	snprintf(c->problem, sizeof(c->problem), "%s", why->text);
	end_round(c, again_ms);
}

static void send_step(struct credentials *c, void (*work)(struct errand *e),
                      void (*done)(struct errand *e))
{
	struct step *s = xnew(struct step);

	s->errand.work = work;
	s->errand.done = done;
	s->credentials = c;
	courier_send(c->agent->couriers, &s->errand);
}

/* What the courier brought home; NULL: the round is over. */
static struct credentials *take_home(struct errand *e)
{
	struct credentials *c = ((struct step *)e)->credentials;

	free(e);
	if (c->agent->stopping)
		end_round(c, 0);
	else if (c->rc < 0)
		fail_round(c, &c->error, RETRY_MS);
	else
		return c;
	return NULL;
}

/* --- new certificates --- */

static void store_work(struct errand *e)
{
	struct credentials *c = ((struct step *)e)->credentials;

	c->rc = keeper_take_certificates(&c->files, c->certificates, &c->error);
}

static void store_done(struct errand *e)
{
	struct credentials *c = take_home(e);

	if (!c)
		return;
	log_info("certificates: renewed by the coordinator");
	mesh_look_at_files(c->agent->mesh);
	end_round(c, SOON_MS);
}

static void renewed(const struct mesh_result *result, const Drover__V1__PkiRenewReply *reply,
                    void *context)
{
	struct credentials *c = context;
	struct error why = result->error;

	if (result->status != MESH_OK) {
		error_context(&why, "they should be renewed, and are not");
		fail_round(c, &why, c->again_ms);
		return;
	}
	for (size_t i = 0; i < reply->n_certificates && i < AUTHORITY_REQUESTS; i++)
		c->certificates[i] = xstrdup(reply->certificates[i]);
	send_step(c, store_work, store_done);
}

/* --- what is to be trusted --- */

static void take_work(struct errand *e)
{
	struct credentials *c = ((struct step *)e)->credentials;

	c->rc = keeper_take_trusted(&c->files, c->trusted, &c->changed, &c->error);
	if (c->rc == 0)
		c->rc = keeper_take_revoked(&c->files, c->revoked, &c->lists_changed, &c->error);
	if (c->rc == 0 && c->renew)
		c->rc = keeper_make_requests(&c->files, c->requests, &c->error);
}

static void take_done(struct errand *e)
{
	Drover__V1__PkiRenewRequest request = DROVER__V1__PKI_RENEW_REQUEST__INIT;
	struct credentials *c = take_home(e);
	ProtobufCBinaryData requests[AUTHORITY_REQUESTS];
	struct mesh_connection *connection;

	if (!c)
		return;
	c->problem[0] = '\0';
	if (c->changed)
		log_info("certificates: other authorities are trusted now, as the coordinator "
		         "says");
	if (c->lists_changed)
		log_info("certificates: there is a new list of what is revoked");
	if (c->changed || c->lists_changed)
		mesh_look_at_files(c->agent->mesh);
	connection = coordinators_find_connection(c->agent);
	if (!c->renew || !connection) {
		end_round(c, c->changed ? REPORT_MS : c->again_ms);
		return;
	}
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++)
		requests[i] = (ProtobufCBinaryData){ c->requests[i].count, c->requests[i].data };
	request.requests = requests;
	request.n_requests = AUTHORITY_REQUESTS;
	pki_call_renew(connection, &request, CALL_MS, renewed, c);
}

static void synced(const struct mesh_result *result, const Drover__V1__PkiSyncReply *reply,
                   void *context)
{
	struct credentials *c = context;

	switch (result->status) {
	case MESH_OK:
		break;
	case MESH_UNAVAILABLE:
	case MESH_CANCELLED:
		end_round(c, SOON_MS);
		return;
	case MESH_FAILED_PRECONDITION:
	case MESH_UNIMPLEMENTED:
		log_debug("certificates: %s", result->error.text);
		end_round(c, NO_AUTHORITY_MS);
		return;
	default:
		fail_round(c, &result->error, RETRY_MS);
		return;
	}
	for (size_t i = 0; i < reply->n_trusted && i < AUTHORITY_REQUESTS; i++)
		c->trusted[i] = xstrdup(reply->trusted[i]);
	for (size_t i = 0; i < reply->n_revoked && i < AUTHORITY_REQUESTS; i++)
		c->revoked[i] = xstrdup(reply->revoked[i]);
	c->renew = reply->renew || c->view.due;
	c->again_ms = reply->again_ms < SOON_MS         ? SOON_MS
	              : reply->again_ms > AGAIN_MOST_MS ? AGAIN_MOST_MS
	                                                : reply->again_ms;
	send_step(c, take_work, take_done);
}

/* --- what there is --- */

static void look_work(struct errand *e)
{
	struct credentials *c = ((struct step *)e)->credentials;

	c->rc = keeper_look(&c->files, &c->view, &c->error);
}

static void fill_held(struct keeper_view *view, size_t kind, Drover__V1__PkiHeld *ret,
                      ProtobufCBinaryData *ret_trusts)
{
	struct certificate_set *set = &view->holdings.held[kind].trusts;

	drover__v1__pki_held__init(ret);
	for (size_t i = 0; i < set->count; i++)
		ret_trusts[i] = (ProtobufCBinaryData){ CERTIFICATE_SHA256_BYTES, set->sha256[i] };
	ret->trusts = ret_trusts;
	ret->n_trusts = set->count;
	if (set->count)
		ret->signer = (ProtobufCBinaryData){ CERTIFICATE_SHA256_BYTES,
			                             view->holdings.held[kind].signer };
	ret->list = (ProtobufCBinaryData){ CERTIFICATE_SHA256_BYTES,
		                           view->holdings.held[kind].list };
}

static void look_done(struct errand *e)
{
	Drover__V1__PkiSyncRequest request = DROVER__V1__PKI_SYNC_REQUEST__INIT;
	ProtobufCBinaryData trusts[AUTHORITY_REQUESTS][CERTIFICATE_TRUSTED_MAX];
	Drover__V1__PkiHeld held[AUTHORITY_REQUESTS], *items[AUTHORITY_REQUESTS];
	struct credentials *c = take_home(e);
	struct mesh_connection *connection;

	if (!c)
		return;
	connection = coordinators_find_connection(c->agent);
	if (!connection || !mesh_uses_files(c->agent->mesh)) {
		end_round(c, SOON_MS);
		return;
	}
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		fill_held(&c->view, i, &held[i], trusts[i]);
		items[i] = &held[i];
	}
	request.held = items;
	request.n_held = AUTHORITY_REQUESTS;
	request.until_wall_ms = c->view.holdings.until_ms;
	pki_call_sync(connection, &request, CALL_MS, synced, c);
}

static void begin_round(void *context)
{
	struct credentials *c = context;

	c->under_way = true;
	c->hurry = false;
	/* Before they are looked at: what changes after that is not in use, and so not reported. */
	mesh_look_at_files(c->agent->mesh);
	if (mesh_uses_files(c->agent->mesh) && coordinators_find_connection(c->agent))
		send_step(c, look_work, look_done);
	else
		end_round(c, SOON_MS);
}

void credentials_hurry(struct agent *agent)
{
	struct credentials *c = agent->credentials;

	if (!c)
		return;
	c->hurry = true;
	if (!c->under_way)
		loop_timer_start(agent->loop, &c->timer, 0);
}

void credentials_start(struct agent *agent)
{
	const struct agent_settings *s = agent->settings;
	struct credentials *c = xnew(struct credentials);

	c->agent = agent;
	keeper_files_init(&c->files, s->serving.tls_ca, s->serving.tls_certificate,
	                  s->serving.tls_key, s->serving.tls_crl, s->tls_qemu, s->tls_libvirt);
	c->timer = (struct loop_timer){ .fire = begin_round, .context = c };
	agent->credentials = c;
	loop_timer_start(agent->loop, &c->timer, SOON_MS);
}

void credentials_stop(struct agent *agent)
{
	if (agent->credentials)
		loop_timer_stop(agent->loop, &agent->credentials->timer);
}

void credentials_free(struct agent *agent)
{
	if (!agent->credentials)
		return;
	end_round(agent->credentials, 0);
	keeper_files_deinit(&agent->credentials->files);
	free(agent->credentials);
	agent->credentials = NULL;
}
