/* SPDX-License-Identifier: Apache-2.0 */
/* Who a peer is: names of roles, and the certificate's drover://CLUSTER/ROLE/NAME. */
#pragma once

#include "common/error.h"
#include "proto/mesh/mesh.h"

/* Takes role, name and cluster from a SAN's URI; @ret_identity is untouched on failure. */
int identity_parse_uri(const char *uri, size_t bytes, struct mesh_identity *ret_identity,
                       struct error *err);

/* "agent host2 of cluster lab" in @ret_text (IDENTITY_TEXT_BYTES); returns it. */
#define IDENTITY_TEXT_BYTES 320
char *identity_format(const struct mesh_identity *identity, char *ret_text);

/* Whether @text can be part of a name: 1 to MESH_NAME_BYTES - 1 letters, digits, and .-_:@ */
bool identity_name_is_valid(const char *text);

/* "operator, admin" for a set of roles, in @ret_text (IDENTITY_TEXT_BYTES); returns it. */
char *identity_format_roles(unsigned roles, char *ret_text);
