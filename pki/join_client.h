/* SPDX-License-Identifier: Apache-2.0 */
/* A new host's side of a join: makes its keys, asks, and checks what it was given. Keys never leave
 * the host; nothing is sent before the coordinator was known by the token's fingerprint. Blocks. */
#pragma once

#include "common/error.h"
#include "pki/authority.h"
#include "pki/token.h"

struct join_order {
	const char *name, *address, *migration_address;
	uint64_t timeout_ms;
	/* Called once, if the coordinator does not listen yet: it is waited for. May be NULL. */
	void (*waiting)(const struct error *why, void *context);
	void *context;
};

/* PEM texts, owned. */
struct join_result {
	struct authority_grant grant;
	char *key, *migration_key, *libvirt_key;
};

void join_result_deinit(struct join_result *result);

/* New keys with their requests, for whoever is to sign them; those of @ret_requests
 * (AUTHORITY_REQUESTS) are to be freed with join_requests_deinit. */
int join_new_keys(struct join_result *ret, struct bytes *ret_requests, struct error *err);
void join_requests_deinit(struct bytes *requests);

/* Whether what was signed fits the keys, passes, and names us. */
int join_check(const struct join_result *result, const char *role, const char *name,
               struct error *err);

/* -ERROR_PERMISSION, -ERROR_REFUSED, -ERROR_BUSY with the coordinator's words; -ERROR_IDENTITY if it is
 * not the coordinator of the token; -ERROR_UNKNOWN_OUTCOME if the answer did not come. */
int join_ask(const struct token *token, const struct join_order *order, struct join_result *ret,
             struct error *err);
