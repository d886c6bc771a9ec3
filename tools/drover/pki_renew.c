/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki renew: new files for a person's certificate, from the coordinator. What a daemon does by
 * itself (agent/credentials.c) is done here once, by hand. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/keeper.h"
#include "proto/pki.pb-c.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#include <stdlib.h>

static enum exit_code ask_sync(struct session *s, struct keeper_view *view,
                               Drover__V1__PkiSyncReply **ret)
{
	Drover__V1__PkiSyncRequest request = DROVER__V1__PKI_SYNC_REQUEST__INIT;
	ProtobufCBinaryData trusts[CERTIFICATE_TRUSTED_MAX];
	Drover__V1__PkiHeld held = DROVER__V1__PKI_HELD__INIT, *items[] = { &held };
	struct certificate_set *set = &view->holdings.held[AUTHORITY_MESH].trusts;

	for (size_t i = 0; i < set->count; i++)
		trusts[i] = (ProtobufCBinaryData){ CERTIFICATE_SHA256_BYTES, set->sha256[i] };
	held.trusts = trusts;
	held.n_trusts = set->count;
	held.signer = (ProtobufCBinaryData){ CERTIFICATE_SHA256_BYTES,
		                             view->holdings.held[AUTHORITY_MESH].signer };
	request.held = items;
	request.n_held = 1;
	request.until_wall_ms = view->holdings.until_ms;
	return session_call(s, "asking what to trust", "drover.v1.Pki/Sync", &request.base,
	                    (ProtobufCMessage **)ret);
}

static enum exit_code ask_renew(struct session *s, const struct bytes *request,
                                Drover__V1__PkiRenewReply **ret)
{
	Drover__V1__PkiRenewRequest r = DROVER__V1__PKI_RENEW_REQUEST__INIT;
	ProtobufCBinaryData item = { request->count, request->data };

	r.requests = &item;
	r.n_requests = 1;
	return session_call(s, "renewing the certificate", "drover.v1.Pki/Renew", &r.base,
	                    (ProtobufCMessage **)ret);
}

static enum exit_code renew(struct session *s, const struct keeper_files *files)
{
	_cleanup_reply_ Drover__V1__PkiSyncReply *orders = NULL;
	_cleanup_reply_ Drover__V1__PkiRenewReply *renewed = NULL;
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	struct keeper_view view = { 0 };
	struct error err = { 0 };
	char until[CLOCK_TEXT_BYTES], *taken[AUTHORITY_REQUESTS] = { 0 };
	bool changed = false;
	enum exit_code code;

	if (keeper_look(files, &view, &err) < 0)
		return setup_fail(s, "the certificate", &err);
	code = ask_sync(s, &view, &orders);
	if (code != EXIT_DONE)
		return code;
	taken[AUTHORITY_MESH] = orders->n_trusted ? orders->trusted[0] : NULL;
	if (keeper_take_trusted(files, taken, &changed, &err) < 0 ||
	    keeper_make_requests(files, requests, &err) < 0)
		return setup_fail(s, "the certificate", &err);
	code = ask_renew(s, &requests[AUTHORITY_MESH], &renewed);
	keeper_requests_deinit(requests);
	if (code != EXIT_DONE)
		return code;
	taken[AUTHORITY_MESH] = renewed->n_certificates ? renewed->certificates[0] : NULL;
	if (keeper_take_certificates(files, taken, &err) < 0 || keeper_look(files, &view, &err) < 0)
		return setup_fail(s, "the new certificate", &err);
	session_say(s, "%s is that of %s until %s.", s->options->cert, view.uri,
	            clock_format_wall(view.holdings.until_ms, until));
	return EXIT_DONE;
}

enum exit_code pki_renew_run(const struct invocation *invocation)
{
	const struct options *o = &invocation->options;
	_cleanup_(keeper_files_deinit) struct keeper_files files = { 0 };
	struct session s;
	enum exit_code code;

	if (!o->ca || !o->cert || !o->key) {
		fprintf(stderr, "drover: pki renew: --ca, --cert and --key name the files that are "
		                "to be renewed\n");
		return EXIT_USAGE;
	}
	keeper_files_init(&files, o->ca, o->cert, o->key, NULL, NULL, NULL);
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	code = renew(&s, &files);
	session_close(&s);
	return code;
}
