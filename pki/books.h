/* SPDX-License-Identifier: Apache-2.0 */
/* What the authority knows of tokens and names, and how it judges one who wants to join.
 *
 * Two text files, one line each; read whole, written whole. The judgement is a pure function of the
 * books and the time. The time is the wall clock: a token must end although the host was restarted,
 * and so must a certificate; a clock that is set back prolongs both.
 */
#pragma once

#include "common/error.h"
#include "pki/token.h"
#include "proto/mesh/mesh.h"

#include <stddef.h>
#include <stdint.h>

#define BOOKS_TOKENS_MAX    1000
#define BOOKS_ISSUED_MAX    100000
#define BOOKS_NAME_MAX      63 /* characters of a host's name */
#define BOOKS_ADDRESS_BYTES 64

struct books_token {
	uint8_t id[TOKEN_ID_BYTES];
	uint8_t secret_sha256[TOKEN_SHA256_BYTES];
	uint64_t created_ms, expires_ms; /* wall clock */
	uint32_t uses_left;
	char node[MESH_NAME_BYTES];    /* the only name it is for; "" = any that is free */
	char used_by[MESH_NAME_BYTES]; /* the last one; "" = nobody yet */
};

struct books_issued {
	enum mesh_role role;
	char name[MESH_NAME_BYTES];
	char address[BOOKS_ADDRESS_BYTES], migration_address[BOOKS_ADDRESS_BYTES]; /* "" = none */
	uint64_t issued_ms, expires_ms;                                            /* wall clock */
};

struct books {
	struct books_token *tokens; /* owned */
	size_t n_tokens;
	struct books_issued *issued; /* owned */
	size_t n_issued;
};

/* Files that are not there are empty. A line that cannot be understood is an error: a token or a name
 * that is forgotten would be given twice. */
int books_load(const char *directory, struct books *ret, struct error *err);
int books_save_tokens(const char *directory, const struct books *books, struct error *err);
int books_save_issued(const char *directory, const struct books *books, struct error *err);
void books_deinit(struct books *books);

/* What somebody asks for. */
struct books_claim {
	const uint8_t *token_id, *token_secret;
	const char *name, *address, *migration_address;
};

/* Whether a name can be a host's, and an address one. */
int books_check_claim(const struct books_claim *claim, struct error *err);

/* The token that gives @claim the right to join, to be counted down by the caller. -ERROR_PERMISSION,
 * -ERROR_REFUSED: see authority_admit; -ERROR_INVALID: see books_check_claim. The token is looked at
 * first: to one who has none nothing is said about the rest. */
int books_judge(const struct books *books, const struct books_claim *claim, uint64_t now_ms,
                struct books_token **ret_token, struct error *err);

void books_add_token(struct books *books, const struct books_token *token);
/* In the place of what this role and name had. */
void books_put_issued(struct books *books, const struct books_issued *issued);
/* Forgets tokens that ended long before @now_ms: until then one is told what became of them. */
void books_prune(struct books *books, uint64_t now_ms);
