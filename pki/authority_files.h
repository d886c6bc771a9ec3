/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the authority: its directory, and signing with what is in it. Private to them;
 * all of it is called with the lock held. */
#pragma once

#include "pki/authority.h"
#include "pki/files.h"
#include "pki/rotation.h"

/* What the file "authority" says. */
struct authority_facts {
	char cluster[MESH_NAME_BYTES];
	char coordinator[MESH_NAME_BYTES];
	char join_address[TOKEN_ADDRESS_BYTES];
	char migration_network[BOOKS_ADDRESS_BYTES]; /* "" = not known */
	uint64_t life_s;                             /* of certificates */
};

/* The descriptor that holds the lock. */
int authority_lock(const char *directory, int *ret_fd, struct error *err);

int authority_write(const char *directory, const char *name, const char *text,
                    struct file_mode mode, struct error *err);
int authority_read(const char *directory, const char *name, char **ret, struct error *err);
int authority_read_facts(const char *directory, struct authority_facts *ret, struct error *err);

/* The name of its file: "ca.pem", "migration-ca-2-key.pem"; to be freed. */
char *authority_file_name(enum authority_request kind, unsigned generation, bool key);

/* Makes the pairs of @generation; what is there of an earlier try is replaced. */
int authority_make_generation(const char *directory, const char *cluster, unsigned generation,
                              struct error *err);

/* The mesh's pair of @generation by one that somebody else has made. */
int authority_replace_pair(const char *directory, unsigned generation, const char *certificate,
                           const char *key, struct error *err);

int authority_read_rotation(const char *directory, struct rotation *ret, struct error *err);

/* All that is to be trusted, PEM, the one that signs first; to be freed. */
int authority_read_trusted(const char *directory, enum authority_request kind,
                           const struct rotation *rotation, char **ret, struct error *err);

int authority_sign(const char *directory, const struct authority_order *order,
                   const struct bytes *requests, struct authority_grant *ret, struct error *err);

/* --- authority_members.c --- */

/* NULL: it never joined, or was forgotten. */
const struct books_issued *authority_find_issued(const struct books *books, enum mesh_role role,
                                                 const char *name);
int authority_fail_unknown(enum mesh_role role, const char *name, struct error *err);

/* In the books, and as what it holds from now on. */
int authority_note(const char *directory, struct books *books, const struct authority_order *order,
                   const struct bytes *requests, struct error *err);

int authority_write_member(const char *directory, enum mesh_role role, const char *name,
                           const struct rotation_member *member, struct error *err);
/* -ERROR_NOT_FOUND: nothing was heard of it. */
int authority_read_member(const char *directory, enum mesh_role role, const char *name,
                          struct rotation_member *ret, struct error *err);
int authority_remove_member(const char *directory, enum mesh_role role, const char *name,
                            struct error *err);

/* Remembers what was signed, before anybody gets it. */
int authority_note_signed(const char *directory, const struct authority_order *order,
                          const struct ledger_entry *entries, size_t count, struct error *err);

/* --- authority_revoke.c --- */

/* -ERROR_PERMISSION: the certificate that it showed, or the newest that it got, is revoked. */
int authority_check_not_revoked(const char *directory, const struct authority_member *member,
                                struct error *err);

/* The signed lists of all authorities of @kind that are trusted, PEM, to be freed; NULL: nothing was
 * ever revoked here. */
int authority_read_lists(const char *directory, enum authority_request kind,
                         const struct rotation *rotation, char **ret, struct error *err);
