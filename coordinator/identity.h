/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by identity.c and identity_admin.c: the authority that this coordinator has, and the courier
 * that goes to it. Private to them. Owner thread. */
#pragma once

#include "common/courier.h"
#include "coordinator/coordinator.h"
#include "pki/authority.h"
#include "proto/pki.rpc.h"

#define IDENTITY_REQUEST_BYTES 4096 /* of one certificate request */

struct identity {
	struct courier_pool *courier;
	struct loop_timer look;
	char problem[ERROR_TEXT_BYTES]; /* as it was last logged */
};

/* Whether the authority is here; else @in is answered. */
bool identity_is_here(const struct coordinator *c, struct mesh_incoming *in);

/* Our own files, now rather than in a while. */
void identity_look_now(struct coordinator *c);

/* Pki/Issue and Pki/Revoke. */
void identity_issue(struct mesh_incoming *in, const Drover__V1__PkiIssueRequest *r,
                    void *coordinator);
void identity_revoke(struct mesh_incoming *in, const Drover__V1__PkiRevokeRequest *r,
                     void *coordinator);
