/* SPDX-License-Identifier: Apache-2.0 */
/* See join_client.h. */
#include "pki/join_client.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/channel.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/message.h"
#include "proto/pki.pb-c.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 100

DEFINE_CLEANUP(struct channel *, channel_free);

static void forget_key(char *key)
{
	if (key)
		certificate_forget(key, strlen(key));
	free(key);
}

void join_result_deinit(struct join_result *result)
{
	authority_grant_deinit(&result->grant);
	forget_key(result->key);
	forget_key(result->migration_key);
	forget_key(result->libvirt_key);
	*result = (struct join_result){ 0 };
}

void join_requests_deinit(struct bytes *requests)
{
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++)
		free(requests[i].data);
}

int join_new_keys(struct join_result *ret, struct bytes *ret_requests, struct error *err)
{
	struct join_result keys = { .key = certificate_new_key(),
		                    .migration_key = certificate_new_key(),
		                    .libvirt_key = certificate_new_key() };
	const char *const of[AUTHORITY_REQUESTS] = { [AUTHORITY_MESH] = keys.key,
		                                     [AUTHORITY_MIGRATION] = keys.migration_key,
		                                     [AUTHORITY_LIBVIRT] = keys.libvirt_key };
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++)
		rc = certificate_new_request(of[i], &requests[i], err);
	if (rc < 0) {
		join_result_deinit(&keys);
		join_requests_deinit(requests);
		return rc;
	}
	*ret = keys;
	memcpy(ret_requests, requests, sizeof(requests));
	return 0;
}

int join_check(const struct join_result *result, const char *role, const char *name,
               struct error *err)
{
	const struct authority_grant *g = &result->grant;
	_cleanup_free_ char *uri = xasprintf("drover://%s/%s/%s", g->cluster, role, name);
	int rc = certificate_check(g->certificate, result->key, g->ca, uri, err);

	if (rc < 0)
		return error_context(err, "what the coordinator signed for the mesh");
	if (!g->migration_certificate)
		return 0;
	rc = certificate_check(g->migration_certificate, result->migration_key, g->migration_ca,
	                       NULL, err);
	if (rc < 0)
		return error_context(err, "what the coordinator signed for migrations");
	if (!g->libvirt_certificate)
		return 0;
	rc = certificate_check(g->libvirt_certificate, result->libvirt_key, g->libvirt_ca, NULL,
	                       err);
	return rc < 0 ? error_context(err, "what the coordinator signed for libvirt") : 0;
}

static enum error_code code_of_name(const char *name)
{
	for (int code = 0; code < ERROR_CODES; code++) {
		if (strcmp(error_code_name((enum error_code)code), name) == 0)
			return (enum error_code)code;
	}
	return ERROR_REFUSED;
}

static ProtobufCBinaryData binary(const struct bytes *bytes)
{
	return (ProtobufCBinaryData){ bytes->count, bytes->data };
}

static int send_request(struct channel *channel, const struct token *token,
                        const struct join_order *order, const struct bytes *requests,
                        struct error *err)
{
	Drover__V1__PkiJoinRequest r = DROVER__V1__PKI_JOIN_REQUEST__INIT;
	_cleanup_free_ uint8_t *packed = NULL;
	size_t count;

	r.token_id = (ProtobufCBinaryData){ TOKEN_ID_BYTES, (uint8_t *)token->id };
	r.token_secret = (ProtobufCBinaryData){ TOKEN_SECRET_BYTES, (uint8_t *)token->secret };
	r.name = (char *)order->name;
	r.address = (char *)order->address;
	r.migration_address = (char *)order->migration_address;
	r.request = binary(&requests[AUTHORITY_MESH]);
	r.migration_request = binary(&requests[AUTHORITY_MIGRATION]);
	r.libvirt_request = binary(&requests[AUTHORITY_LIBVIRT]);
	r.drover_version = (char *)DROVER_VERSION;
	count = drover__v1__pki_join_request__get_packed_size(&r);
	packed = xmalloc(count + 1);
	drover__v1__pki_join_request__pack(&r, packed);
	return channel_send(channel, packed, count, err);
}

/* What goes into a configuration file must be what it should be, whoever said it. */
static bool is_url(const char *text)
{
	return strncmp(text, "tcp://", 6) == 0 && strlen(text) < MESH_NAME_BYTES &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                    ".-_:/[]") == strlen(text);
}

static int take_reply(const Drover__V1__PkiJoinReply *r, struct authority_grant *ret,
                      struct error *err)
{
	if (r->refusal[0])
		return error_set(err, code_of_name(r->refusal_code), "%s", r->refusal);
	if (r->n_coordinators == 0 || !is_url(r->coordinators[0]) ||
	    !identity_name_is_valid(r->cluster))
		return error_set(err, ERROR_PROTOCOL,
		                 "the coordinator's answer lacks its address or its cluster");
	ret->cluster = xstrdup(r->cluster);
	ret->coordinator = xstrdup(r->coordinators[0]);
	ret->ca = xstrdup(r->ca);
	ret->certificate = xstrdup(r->certificate);
	ret->migration_ca = xstrdup(r->migration_ca);
	ret->migration_certificate = xstrdup(r->migration_certificate);
	/* Of a coordinator that does not know of it yet there is none. */
	if (r->libvirt_certificate[0]) {
		ret->libvirt_ca = xstrdup(r->libvirt_ca);
		ret->libvirt_certificate = xstrdup(r->libvirt_certificate);
	}
	return 0;
}

/* The CA that was sent must be the one of the token, too: the server's chain is not what we keep. */
static int check_ca(const struct token *token, const struct authority_grant *grant,
                    struct error *err)
{
	uint8_t sha256[CERTIFICATE_SHA256_BYTES];
	int rc = certificate_fingerprint(grant->ca, sha256, err);

	if (rc == 0 && memcmp(sha256, token->ca_sha256, sizeof(sha256)) != 0)
		return error_set(err, ERROR_IDENTITY,
		                 "the CA that was sent is not that of the token");
	return rc;
}

static int receive_reply(struct channel *channel, struct authority_grant *ret, struct error *err)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_(arena_deinit) struct arena arena;
	ProtobufCMessage *message = NULL;
	size_t count;
	int rc;

	arena_init(&arena);
	rc = channel_receive(channel, &bytes, &count, err);
	if (rc == 0)
		rc = message_decode(&drover__v1__pki_join_reply__descriptor, bytes, count, &arena,
		                    &message, err);
	if (rc < 0) {
		error_context(err, "it was asked, but its answer did not arrive; the token may be "
		                   "used up (drover token list on the coordinator's host)");
		if (err)
			err->code = ERROR_UNKNOWN_OUTCOME;
		return -ERROR_UNKNOWN_OUTCOME;
	}
	assert(message);
	return take_reply((const Drover__V1__PkiJoinReply *)message, ret, err);
}

/* Nobody has seen anything of the token yet: asking again is harmless. */
static int connect_in_time(const struct token *token, const struct join_order *order,
                           struct channel **ret, struct error *err)
{
	uint64_t deadline_ms = clock_now_ms() + order->timeout_ms;
	bool told = false;

	for (;;) {
		struct error why = { 0 };
		int rc = channel_connect(token->address, token->ca_sha256, deadline_ms, ret, &why);

		if (rc != -ERROR_UNREACHABLE || clock_now_ms() + RETRY_MS >= deadline_ms) {
			if (rc < 0 && err)
				*err = why;
			return rc;
		}
		if (!told && order->waiting)
			order->waiting(&why, order->context);
		told = true;
		poll(NULL, 0, RETRY_MS);
	}
}

int join_ask(const struct token *token, const struct join_order *order, struct join_result *ret,
             struct error *err)
{
	_cleanup_(join_result_deinit) struct join_result result = { 0 };
	_cleanup_(channel_freep) struct channel *channel = NULL;
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	int rc = join_new_keys(&result, requests, err);

	if (rc < 0)
		return rc;
	rc = connect_in_time(token, order, &channel, err);
	if (rc == 0)
		rc = send_request(channel, token, order, requests, err);
	join_requests_deinit(requests);
	if (rc == 0)
		rc = receive_reply(channel, &result.grant, err);
	if (rc == 0)
		rc = check_ca(token, &result.grant, err);
	if (rc == 0)
		rc = join_check(&result, mesh_role_name(MESH_ROLE_AGENT), order->name, err);
	if (rc < 0)
		return rc;
	*ret = result;
	result = (struct join_result){ 0 };
	return 0;
}
