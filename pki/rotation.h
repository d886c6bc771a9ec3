/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the cluster's authorities: the stages, and who is in the way of the next one. Pure.
 *
 *	stage    signs   trusted   goes on when
 *	NONE     old     old       somebody asks for it
 *	SPREAD   old     both      everybody trusts both
 *	RENEW    new     both      everybody's certificate is of the new one
 *	NONE     new     new
 *
 * So at no time does a member show a certificate that another one does not trust. The authorities for
 * the mesh, QEMU's TLS and libvirt's are replaced together; each set is a generation, counted from 1. What a
 * member holds is what it said last, of itself.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum rotation_stage { ROTATION_NONE, ROTATION_SPREAD, ROTATION_RENEW };

struct rotation {
	unsigned signs;    /* generation */
	unsigned other;    /* trusted, too; 0: none */
	uint64_t since_ms; /* wall clock: when this stage began; 0 = with the cluster */
};

enum rotation_stage rotation_get_stage(const struct rotation *rotation);

/* "being trusted", as in: the new authority is ... */
const char *rotation_describe(const struct rotation *rotation);

/* The next stage; what comes after RENEW is the end. @newest: the generation that begins. */
struct rotation rotation_get_next(const struct rotation *rotation, uint64_t now_ms);

/* What a member has for one of the three, by generations; 0 = none, or one that is not known here. */
struct rotation_held {
	bool there; /* it has files for this that are drover's */
	unsigned trusts[2];
	unsigned signer;
};

#define ROTATION_KINDS 3 /* as enum authority_request */

struct rotation_member {
	struct rotation_held held[ROTATION_KINDS];
	uint64_t until_ms; /* wall clock: when the first of its certificates ends */
};

/* Whether @member stands in the way of the next stage, and why, as "host3 ...". */
bool rotation_waits_for(const struct rotation *rotation, const struct rotation_member *member,
                        struct error *ret_why);

/* One line, for a file. */
#define ROTATION_MEMBER_BYTES 192
void rotation_format_member(const struct rotation_member *member,
                            char ret_text[ROTATION_MEMBER_BYTES]);
int rotation_parse_member(const char *text, struct rotation_member *ret, struct error *err);
