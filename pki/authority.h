/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's authority: who may be what. A directory of the coordinator's host, mode 0700:
 *
 *	authority         what is handed to those who join: cluster, coordinator, join address
 *	ca.pem ca-key.pem                       signs who is who in the mesh
 *	migration-ca.pem migration-ca-key.pem   signs for QEMU's TLS alone: QEMU takes any certificate of
 *	                                        its CA as a client, so no other role may have one
 *	libvirt-ca.pem libvirt-ca-key.pem       signs for libvirt's remote connection alone: a libvirtd
 *	                                        that listens obeys any client of its CA as root, so
 *	                                        neither QEMU, which reads its own keys, nor any role
 *	                                        of the mesh may have one
 *	tokens            rights to join, each as the hash of its secret (pki/books.h)
 *	issued            which names and addresses are taken
 *	members/ROLE/NAME.holds                 what each has, as it said last (pki/rotation.h)
 *	members/ROLE/NAME.serials, revoked      what was signed, and what is taken back (pki/ledger.h)
 *	crl.pem, migration-crl.pem ...          the same as signed lists; made anew when they are old
 *	rotation          not there: generation 1 signs, as ca.pem. Else which one does, and which
 *	                  other one is trusted: ca-2.pem and so on
 *	lock              held while any of it is changed
 *
 * Whoever can read the directory is root on that host: that is the right to make tokens. Nothing is
 * kept in memory between calls, so the command line and a running coordinator use it side by side.
 * A join is persisted before it is answered: a token whose answer got lost is used up, and the name
 * is taken; a token bound to that name repairs it. All calls block. Any thread.
 */
#pragma once

#include "common/error.h"
#include "pki/books.h"
#include "pki/certificate.h"
#include "pki/ledger.h"
#include "pki/rotation.h"
#include "pki/token.h"
#include "proto/mesh/mesh.h"

#include <stdbool.h>
#include <stdint.h>

/* How the CN of the authority for QEMU's TLS begins; the cluster's name follows. */
#define AUTHORITY_MIGRATION_NAME "drover migration "
/* The same of the authority for libvirt's remote connection. */
#define AUTHORITY_LIBVIRT_NAME "drover libvirt "

/* A host's requests, one for each authority; only agents have more than the first. */
enum authority_request {
	AUTHORITY_MESH,
	AUTHORITY_MIGRATION,
	AUTHORITY_LIBVIRT,
	AUTHORITY_REQUESTS
};

struct authority_place {
	const char *cluster;
	const char *coordinator;  /* tcp://HOST:PORT of the mesh */
	const char *join_address; /* HOST:PORT of the join listener */
	const char *
		migration_network; /* "10.9.0.0/24", for the line that people paste; NULL: not known */
	uint64_t life_s;           /* of certificates; 0: CERTIFICATE_LIFE_S */
};

/* Makes a new authority; -ERROR_EXISTS if there is one. It appears whole or not at all. */
int authority_create(const char *directory, const struct authority_place *place, struct error *err);

bool authority_exists(const char *directory);

/* What authority_create was told, "" if nothing; to be freed. */
int authority_read_network(const char *directory, char **ret, struct error *err);

/* One who gets a certificate on the coordinator's own host, without a token. */
struct authority_order {
	enum mesh_role role;
	const char *name;
	const char *address, *migration_address; /* agents; NULL: none */
	uint64_t life_s;                         /* 0: as the cluster's */
};

/* PEM texts, owned. */
struct authority_grant {
	char *cluster, *coordinator;
	char *ca, *certificate; /* ca: all that are trusted, the one that signs first */
	char *migration_ca, *migration_certificate; /* agents only */
	char *libvirt_ca, *libvirt_certificate;     /* agents only; NULL: not asked for */
};

void authority_grant_deinit(struct authority_grant *grant);

/* @requests: AUTHORITY_REQUESTS; those after the first count for agents only. */
int authority_issue(const char *directory, const struct authority_order *order,
                    const struct bytes *requests, struct authority_grant *ret, struct error *err);

/* --- tokens --- */

struct authority_token_order {
	const char *
		node; /* the only name it is good for, also one that is taken; NULL: any free one */
	uint64_t ttl_ms;
	uint32_t uses;
};

/* The only time that the secret is seen. */
int authority_create_token(const char *directory, const struct authority_token_order *order,
                           struct token *ret, struct error *err);

/* *ret is to be freed with books_deinit. */
int authority_list(const char *directory, struct books *ret, struct error *err);

/* @id: 8 hex digits. -ERROR_NOT_FOUND. */
int authority_revoke_token(const char *directory, const char *id, struct error *err);

/* --- joining --- */

struct authority_applicant {
	const uint8_t *token_id, *token_secret; /* TOKEN_ID_BYTES, TOKEN_SECRET_BYTES */
	const char *name, *address, *migration_address;
	struct bytes requests[AUTHORITY_REQUESTS]; /* borrowed; that for libvirt may be empty */
};

/* -ERROR_PERMISSION: the token is no good (this is what must be limited); -ERROR_REFUSED: the token
 * is good, but not for this name or address; it was not used up. */
int authority_admit(const char *directory, const struct authority_applicant *applicant,
                    struct authority_grant *ret, struct error *err);

/* --- afterwards, authority_rotate.c --- */

/* Who asks: what its certificate says. */
struct authority_member {
	enum mesh_role role;
	const char *name;
	const char *serial; /* of the certificate that it showed */
};

/* A new certificate for one that has one: for the name and the addresses in the books, whatever the
 * request says. -ERROR_PERMISSION: it is not in the books, or is revoked. */
int authority_renew(const char *directory, const struct authority_member *member,
                    const struct bytes *requests, struct authority_grant *ret, struct error *err);

/* What a member has, as it says; of a kind that it has not, no certificate is trusted. */
struct authority_holdings {
	struct {
		struct certificate_set trusts;
		uint8_t signer[CERTIFICATE_SHA256_BYTES]; /* zeros: none of these */
		uint8_t list[CERTIFICATE_SHA256_BYTES];   /* of its file of revoked ones */
	} held[AUTHORITY_REQUESTS];
	uint64_t until_ms; /* wall clock: when the first of its certificates ends */
};

/* What it is to have. */
struct authority_orders {
	char *trusted[AUTHORITY_REQUESTS]; /* PEM, owned: from now on; NULL: nothing is said */
	char *revoked[AUTHORITY_REQUESTS]; /* the same: the lists of revoked certificates */
	bool renew;                        /* however old its certificates are */
};

void authority_orders_deinit(struct authority_orders *orders);

/* Remembers @holdings. -ERROR_PERMISSION: it is not in the books. */
int authority_sync(const char *directory, const struct authority_member *member,
                   const struct authority_holdings *holdings, struct authority_orders *ret,
                   struct error *err);

/* Begins to replace the authorities by new ones; @certificate and @key: by these for the mesh, which
 * were checked. -ERROR_REFUSED: that is under way. */
int authority_begin_rotation(const char *directory, const char *certificate, const char *key,
                             struct error *err);

struct authority_wait {
	enum mesh_role role;
	char name[MESH_NAME_BYTES];
	char why[160]; /* "does not trust the new authority yet" */
};

struct authority_progress {
	struct rotation rotation;
	bool moved;                   /* by one stage, just now */
	struct authority_wait *waits; /* owned: who is in the way of the next stage */
	size_t n_waits;
	size_t tokens_ended; /* those that named the old authority */
};

void authority_progress_deinit(struct authority_progress *progress);

/* Goes on by one stage if nobody is in the way; does nothing if no replacement is under way. */
int authority_rotate(const char *directory, struct authority_progress *ret, struct error *err);
/* Only looks. */
int authority_get_progress(const char *directory, struct authority_progress *ret,
                           struct error *err);

/* A host that is gone for good: its name and addresses are free, it gets nothing any more and is not
 * waited for. -ERROR_NOT_FOUND. */
int authority_forget(const char *directory, const char *name, struct error *err);

/* --- people, authority_people.c --- */

/* A certificate for a person: role operator, viewer or admin. -ERROR_REFUSED: that name has one that is
 * good; -ERROR_INVALID: what it cannot be. */
int authority_issue_person(const char *directory, const struct authority_order *order,
                           const struct bytes *request, struct authority_grant *ret,
                           struct error *err);

/* --- taking back, authority_revoke.c --- */

struct authority_revoke_order {
	const char *what;                      /* NAME, ROLE/NAME: all that it has; or one serial */
	const struct authority_member *caller; /* NULL: none with a certificate */
	bool even_own;                         /* also the coordinator's, and the caller's */
	bool dry_run;
};

struct authority_revocation {
	struct ledger certificates; /* that are revoked by this */
	size_t already;             /* so many of it were before */
	bool known;                 /* false: a serial that is in no book */
};

void authority_revocation_deinit(struct authority_revocation *revocation);

/* Signs no certificate that replaces them, and brings the list to nobody: members ask (authority_sync).
 * -ERROR_NOT_FOUND; -ERROR_REFUSED: it is the coordinator's or the caller's own. */
int authority_revoke(const char *directory, const struct authority_revoke_order *order,
                     struct authority_revocation *ret, struct error *err);

/* All that is revoked and has not ended. To be freed with ledger_deinit. */
int authority_list_revoked(const char *directory, struct ledger *ret, struct error *err);
