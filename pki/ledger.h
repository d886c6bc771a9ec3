/* SPDX-License-Identifier: Apache-2.0 */
/* Which certificates the authority has signed, and which of them it takes back: the files
 *
 *	members/ROLE/NAME.serials	all of one member that have not ended, the newest last
 *	revoked                         what is revoked, of all
 *
 * A certificate is revoked by its serial, so whoever has signed one must remember it. A line each; read
 * whole, written whole; what has ended is forgotten. Called with the authority's lock held.
 */
#pragma once

#include "common/error.h"
#include "pki/certificate_list.h"
#include "proto/mesh/mesh.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_entry {
	unsigned kind;       /* enum authority_request */
	unsigned generation; /* of the authority that signed it (pki/rotation.h) */
	char serial[CERTIFICATE_SERIAL_BYTES];
	uint64_t issued_ms, expires_ms; /* wall clock; issued 0: not known */
	uint64_t revoked_ms;            /* 0: it is not */
	enum mesh_role role;            /* NONE: nobody knows whose it is */
	char name[MESH_NAME_BYTES];
};

struct ledger {
	struct ledger_entry *entries; /* owned */
	size_t count;
	uint64_t number; /* of what is revoked: counts its changes; 0: there was none */
};

void ledger_deinit(struct ledger *ledger);
void ledger_add(struct ledger *ledger, const struct ledger_entry *entry);
/* NULL: none of @kind has that serial. */
const struct ledger_entry *ledger_find(const struct ledger *ledger, unsigned kind,
                                       const char *serial);

/* Files that are not there are empty. A line that cannot be understood is an error: what is revoked
 * would be let in again. */
int ledger_load(const char *directory, enum mesh_role role, const char *name, struct ledger *ret,
                struct error *err);
int ledger_load_revoked(const char *directory, struct ledger *ret, struct error *err);

/* Without what ended before @now_ms. All entries of one ledger are of that member. */
int ledger_save(const char *directory, enum mesh_role role, const char *name,
                const struct ledger *ledger, uint64_t now_ms, struct error *err);
int ledger_save_revoked(const char *directory, const struct ledger *ledger, uint64_t now_ms,
                        struct error *err);

/* Calls @visit for each member that has a ledger, until it returns true; *ret_found: whether it did. */
int ledger_visit(const char *directory,
                 bool (*visit)(enum mesh_role role, const char *name, const struct ledger *ledger,
                               void *context),
                 void *context, bool *ret_found, struct error *err);
