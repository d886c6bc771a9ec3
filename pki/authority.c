/* SPDX-License-Identifier: Apache-2.0 */
/* See authority.h. */
#include "pki/authority.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/id.h"
#include "pki/authority_files.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

bool authority_exists(const char *directory)
{
	return files_exist(directory);
}

int authority_create(const char *directory, const struct authority_place *place, struct error *err)
{
	struct id unique = id_new();
	char hex[ID_TEXT_BYTES];
	_cleanup_free_ char *beside = xasprintf("%s.new-%.8s", directory, id_format(&unique, hex));
	_cleanup_free_ char *text = xasprintf(
		"cluster %s\ncoordinator %s\njoin %s\nlife %" PRIu64 "\n%s%s%s", place->cluster,
		place->coordinator, place->join_address,
		place->life_s ? place->life_s : (uint64_t)CERTIFICATE_LIFE_S,
		place->migration_network ? "migration-network " : "",
		place->migration_network ? place->migration_network : "",
		place->migration_network ? "\n" : "");
	int rc;

	if (authority_exists(directory))
		return error_set(err, ERROR_EXISTS, "there is an authority in %s already",
		                 directory);
	rc = files_make_directory(beside, 0700, err);
	if (rc == 0)
		rc = authority_make_generation(beside, place->cluster, 1, err);
	if (rc == 0)
		rc = authority_write(beside, "authority", text, FILES_SECRET, err);
	if (rc == 0)
		rc = authority_write(beside, "lock", "", FILES_SECRET, err);
	return rc < 0 ? rc : files_move_new(beside, directory, err);
}

int authority_read_network(const char *directory, char **ret, struct error *err)
{
	struct authority_facts facts = { 0 };
	int rc = authority_read_facts(directory, &facts, err);

	if (rc == 0)
		*ret = xstrdup(facts.migration_network);
	return rc;
}

int authority_issue(const char *directory, const struct authority_order *order,
                    const struct bytes *requests, struct authority_grant *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = authority_sign(directory, order, requests, ret, err);
	if (rc < 0)
		return rc;
	rc = authority_note(directory, &books, order, requests, err);
	if (rc < 0)
		authority_grant_deinit(ret);
	return rc;
}

/* --- tokens --- */

static void fill_random(void *to, size_t count)
{
	/* Up to 256 bytes come whole; without random numbers nothing is safe. */
	if (getrandom(to, count, 0) != (ssize_t)count)
		abort();
}

int authority_create_token(const char *directory, const struct authority_token_order *order,
                           struct token *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	_cleanup_free_ char *ca = NULL;
	struct token token = { 0 };
	struct books_token kept = { .created_ms = clock_wall_ms(), .uses_left = order->uses };
	struct authority_facts place = { 0 };
	struct rotation r = { 0 };
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = authority_read_facts(directory, &place, err);
	if (rc == 0)
		rc = authority_read_rotation(directory, &r, err);
	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = authority_read_trusted(directory, AUTHORITY_MESH, &r, &ca, err);
	if (rc == 0)
		rc = certificate_fingerprint(ca, token.ca_sha256, err);
	if (rc < 0)
		return rc;
	books_prune(&books, kept.created_ms);
	if (books.n_tokens >= BOOKS_TOKENS_MAX)
		return error_set(err, ERROR_NO_SPACE,
		                 "there are %d tokens already; revoke some: drover token list",
		                 BOOKS_TOKENS_MAX);
	memcpy(token.address, place.join_address, sizeof(token.address));
	fill_random(token.id, sizeof(token.id));
	fill_random(token.secret, sizeof(token.secret));
	memcpy(kept.id, token.id, sizeof(kept.id));
	certificate_sha256(token.secret, sizeof(token.secret), kept.secret_sha256);
	kept.expires_ms = kept.created_ms + order->ttl_ms;
	snprintf(kept.node, sizeof(kept.node), "%s", order->node ? order->node : "");
	books_add_token(&books, &kept);
	rc = books_save_tokens(directory, &books, err);
	if (rc == 0)
		*ret = token;
	certificate_forget(token.secret, sizeof(token.secret));
	return rc;
}

int authority_list(const char *directory, struct books *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int rc = authority_lock(directory, &fd, err);

	return rc < 0 ? rc : books_load(directory, ret, err);
}

int authority_revoke_token(const char *directory, const char *id, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	char text[TOKEN_ID_TEXT_BYTES];
	size_t kept = 0;
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < books.n_tokens; i++) {
		if (strcmp(token_format_id(books.tokens[i].id, text), id) != 0)
			books.tokens[kept++] = books.tokens[i];
	}
	if (kept == books.n_tokens)
		return error_set(err, ERROR_NOT_FOUND, "there is no token %.40s", id);
	books.n_tokens = kept;
	return books_save_tokens(directory, &books, err);
}

/* --- joining --- */

int authority_admit(const char *directory, const struct authority_applicant *a,
                    struct authority_grant *ret, struct error *err)
{
	const struct books_claim claim = { a->token_id, a->token_secret, a->name, a->address,
		                           a->migration_address };
	const struct authority_order order = { MESH_ROLE_AGENT, a->name, a->address,
		                               a->migration_address };
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	struct authority_grant grant = { 0 };
	struct books_token *token = NULL;
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = books_judge(&books, &claim, clock_wall_ms(), &token, err);
	if (rc == 0 && books.n_issued >= BOOKS_ISSUED_MAX)
		rc = error_set(err, ERROR_NO_SPACE, "there are %d names already", BOOKS_ISSUED_MAX);
	if (rc == 0)
		rc = authority_sign(directory, &order, a->requests, &grant, err);
	if (rc < 0)
		return rc;
	assert(token);
	token->uses_left--;
	snprintf(token->used_by, sizeof(token->used_by), "%s", a->name);
	rc = books_save_tokens(directory, &books, err);
	if (rc == 0)
		rc = authority_note(directory, &books, &order, a->requests, err);
	if (rc < 0) {
		authority_grant_deinit(&grant);
		return rc;
	}
	*ret = grant;
	return 0;
}
