/* SPDX-License-Identifier: Apache-2.0 */
/* See books.h. A line of each file:
 *
 *	ID SECRET_SHA256 CREATED_MS EXPIRES_MS USES_LEFT NODE USED_BY        "-" = none
 *	ROLE NAME ADDRESS MIGRATION_ADDRESS ISSUED_MS EXPIRES_MS
 */
#include "pki/books.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/certificate.h"
#include "pki/files.h"
#include "proto/mesh/identity.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MS ((uint64_t)7 * 24 * 60 * MINUTES_MS(1)) /* after a token's end */

void books_deinit(struct books *books)
{
	free(books->tokens);
	free(books->issued);
	*books = (struct books){ 0 };
}

void books_add_token(struct books *books, const struct books_token *token)
{
	books->tokens = xreallocarray(books->tokens, books->n_tokens + 1, sizeof(*books->tokens));
	books->tokens[books->n_tokens++] = *token;
}

static void add_issued(struct books *books, const struct books_issued *issued)
{
	/* Doubling: there is a line for every host. */
	if ((books->n_issued & (books->n_issued - 1)) == 0)
		books->issued = xreallocarray(books->issued,
		                              books->n_issued ? 2 * books->n_issued : 1,
		                              sizeof(*books->issued));
	books->issued[books->n_issued++] = *issued;
}

void books_put_issued(struct books *books, const struct books_issued *issued)
{
	for (size_t i = 0; i < books->n_issued; i++) {
		if (books->issued[i].role == issued->role &&
		    strcmp(books->issued[i].name, issued->name) == 0) {
			books->issued[i] = *issued;
			return;
		}
	}
	add_issued(books, issued);
}

void books_prune(struct books *books, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < books->n_tokens; i++) {
		if (books->tokens[i].expires_ms + KEPT_MS > now_ms)
			books->tokens[kept++] = books->tokens[i];
	}
	books->n_tokens = kept;
}

/* --- the files --- */

static bool parse_hex(const char *text, uint8_t *ret_bytes, size_t count)
{
	if (strlen(text) != 2 * count || strspn(text, "0123456789abcdef") != 2 * count)
		return false;
	for (size_t i = 0; i < count; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		ret_bytes[i] = (uint8_t)byte;
	}
	return true;
}

static void none_to_empty(char *text)
{
	if (strcmp(text, "-") == 0)
		*text = '\0';
}

static const char *or_none(const char *text)
{
	return *text ? text : "-";
}

static bool parse_token(const char *line, struct books *books)
{
	struct books_token t = { 0 };
	char id[TOKEN_ID_TEXT_BYTES], sha256[2 * TOKEN_SHA256_BYTES + 1], rest;

	if (sscanf(line, "%8s %64s %" SCNu64 " %" SCNu64 " %" SCNu32 " %127s %127s %c", id, sha256,
	           &t.created_ms, &t.expires_ms, &t.uses_left, t.node, t.used_by, &rest) != 7 ||
	    !parse_hex(id, t.id, sizeof(t.id)) ||
	    !parse_hex(sha256, t.secret_sha256, sizeof(t.secret_sha256)))
		return false;
	none_to_empty(t.node);
	none_to_empty(t.used_by);
	books_add_token(books, &t);
	return true;
}

static bool parse_issued(const char *line, struct books *books)
{
	struct books_issued i = { 0 };
	char role[32], rest;

	if (sscanf(line, "%31s %127s %63s %63s %" SCNu64 " %" SCNu64 " %c", role, i.name, i.address,
	           i.migration_address, &i.issued_ms, &i.expires_ms, &rest) != 6)
		return false;
	i.role = mesh_role_from_name(role);
	none_to_empty(i.address);
	none_to_empty(i.migration_address);
	if (i.role == MESH_ROLE_NONE || !identity_name_is_valid(i.name))
		return false;
	add_issued(books, &i);
	return true;
}

static int read_lines(const char *directory, const char *name, struct books *books,
                      bool (*parse)(const char *line, struct books *books), struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	_cleanup_free_ char *text = NULL;
	unsigned number = 1;
	int rc = files_read(path, &text, err);
	char *rest = text;

	if (rc == -ERROR_NOT_FOUND)
		return 0;
	if (rc < 0)
		return rc;
	for (char *line; (line = strsep(&rest, "\n")); number++) {
		if (*line && !parse(line, books))
			return error_set(err, ERROR_INVALID,
			                 "%s, line %u, cannot be understood; restore the file from "
			                 "a backup",
			                 path, number);
	}
	return 0;
}

int books_load(const char *directory, struct books *ret, struct error *err)
{
	struct books books = { 0 };
	int rc = read_lines(directory, "tokens", &books, parse_token, err);

	if (rc == 0)
		rc = read_lines(directory, "issued", &books, parse_issued, err);
	if (rc < 0) {
		books_deinit(&books);
		return rc;
	}
	*ret = books;
	return 0;
}

static int write_text(const char *directory, const char *name, const char *text, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	struct file_mode mode = FILES_SECRET;

	mode.replace = true;
	return files_write(path, text, mode, err);
}

int books_save_tokens(const char *directory, const struct books *books, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);
	char id[TOKEN_ID_TEXT_BYTES];

	if (!to)
		abort();
	for (size_t i = 0; i < books->n_tokens; i++) {
		const struct books_token *t = &books->tokens[i];

		fprintf(to, "%s ", token_format_id(t->id, id));
		for (size_t b = 0; b < sizeof(t->secret_sha256); b++)
			fprintf(to, "%02x", t->secret_sha256[b]);
		fprintf(to, " %" PRIu64 " %" PRIu64 " %" PRIu32 " %s %s\n", t->created_ms,
		        t->expires_ms, t->uses_left, or_none(t->node), or_none(t->used_by));
	}
	if (fclose(to) != 0)
		abort();
	return write_text(directory, "tokens", text, err);
}

int books_save_issued(const char *directory, const struct books *books, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	if (!to)
		abort();
	for (size_t i = 0; i < books->n_issued; i++) {
		const struct books_issued *k = &books->issued[i];

		fprintf(to, "%s %s %s %s %" PRIu64 " %" PRIu64 "\n", mesh_role_name(k->role),
		        k->name, or_none(k->address), or_none(k->migration_address), k->issued_ms,
		        k->expires_ms);
	}
	if (fclose(to) != 0)
		abort();
	return write_text(directory, "issued", text, err);
}

/* --- judging --- */

static bool is_address(const char *text)
{
	struct in6_addr any;

	return strlen(text) < BOOKS_ADDRESS_BYTES &&
	       (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1);
}

/* IPv6 has many ways to write one address. */
static bool same_address(const char *a, const char *b)
{
	struct in6_addr x = { 0 }, y = { 0 };
	int family = strchr(a, ':') ? AF_INET6 : AF_INET;

	return inet_pton(family, a, &x) == 1 && inet_pton(family, b, &y) == 1 &&
	       memcmp(&x, &y, sizeof(x)) == 0;
}

int books_check_claim(const struct books_claim *c, struct error *err)
{
	if (!identity_name_is_valid(c->name) || strlen(c->name) > BOOKS_NAME_MAX ||
	    strcmp(c->name, "-") == 0)
		return error_set(err, ERROR_INVALID,
		                 "\"%.80s\" cannot be the name of a host or a person: 1 to %d "
		                 "letters, digits and .-_:@",
		                 c->name, BOOKS_NAME_MAX);
	if (!is_address(c->address))
		return error_set(err, ERROR_INVALID, "address: \"%.80s\" is not an IP address",
		                 c->address);
	if (!is_address(c->migration_address))
		return error_set(err, ERROR_INVALID,
		                 "migration address: \"%.80s\" is not an IP address",
		                 c->migration_address);
	return 0;
}

/* One who does not know the secret is told nothing about the token. */
static struct books_token *find_token(const struct books *books, const struct books_claim *c)
{
	uint8_t sha256[TOKEN_SHA256_BYTES];
	struct books_token *found = NULL;

	certificate_sha256(c->token_secret, TOKEN_SECRET_BYTES, sha256);
	for (size_t i = 0; i < books->n_tokens; i++) {
		struct books_token *t = &books->tokens[i];

		if (memcmp(t->id, c->token_id, sizeof(t->id)) == 0 &&
		    certificate_equal_secrets(t->secret_sha256, sha256, sizeof(sha256)))
			found = t;
	}
	return found;
}

static int check_free(const struct books *books, const struct books_claim *c, bool may_replace,
                      struct error *err)
{
	char when[CLOCK_TEXT_BYTES];

	for (size_t i = 0; i < books->n_issued; i++) {
		const struct books_issued *k = &books->issued[i];

		if (k->role != MESH_ROLE_AGENT)
			continue;
		if (strcmp(k->name, c->name) == 0) {
			if (may_replace)
				continue;
			return error_set(
				err, ERROR_REFUSED,
				"the name %s is taken since %s; if this is that host, set up "
				"anew, use a token of \"drover token create --node %s\"",
				k->name, clock_format_wall(k->issued_ms, when), k->name);
		}
		if (same_address(k->address, c->address))
			return error_set(err, ERROR_REFUSED, "the address %s is that of host %s",
			                 k->address, k->name);
		if (same_address(k->migration_address, c->migration_address))
			return error_set(err, ERROR_REFUSED,
			                 "the migration address %s is that of host %s",
			                 k->migration_address, k->name);
	}
	return 0;
}

int books_judge(const struct books *books, const struct books_claim *c, uint64_t now_ms,
                struct books_token **ret_token, struct error *err)
{
	struct books_token *token = find_token(books, c);
	char when[CLOCK_TEXT_BYTES];
	int rc;

	if (!token)
		return error_set(err, ERROR_PERMISSION,
		                 "the token is not known here: mistyped, revoked, or of another "
		                 "cluster; make one with \"drover token create\"");
	if (token->expires_ms <= now_ms)
		return error_set(err, ERROR_PERMISSION,
		                 "the token expired at %s; make another with \"drover token "
		                 "create\"",
		                 clock_format_wall(token->expires_ms, when));
	if (token->uses_left == 0)
		return error_set(err, ERROR_PERMISSION,
		                 "the token was used already, by %s; make another with \"drover "
		                 "token create\"",
		                 token->used_by);
	if (token->node[0] && strcmp(token->node, c->name) != 0)
		return error_set(err, ERROR_REFUSED,
		                 "the token is for a host named %s, and this one says that it is "
		                 "%s",
		                 token->node, c->name);
	rc = books_check_claim(c, err);
	if (rc == 0)
		rc = check_free(books, c, token->node[0], err);
	if (rc == 0)
		*ret_token = token;
	return rc;
}
