/* SPDX-License-Identifier: Apache-2.0 */
/* What agent and coordinator have in common as servers of the mesh: certificates, how many may connect,
 * and the audit log; as settings, with their keys in the configuration.
 */
#pragma once

#include "proto/audit/audit.h"
#include "proto/mesh/mesh.h"

#include <stdint.h>

struct serving_settings {
	char *tls_ca, *tls_certificate, *tls_key;
	char *tls_crl;                                         /* need not exist */
	uint64_t max_connections, max_connections_per_address; /* of each address listened at */
	uint64_t max_handshakes, max_handshakes_per_address;   /* under way at once */
	uint64_t handshake_ms;                                 /* the longest */
	char *audit_file;            /* who did what, and who was refused */
	uint64_t audit_rotate_bytes; /* then it becomes audit_file.1 */
	uint64_t audit_keep;         /* so many older ones */
};

/* Rows of a table of struct config_key; @at(field) is the offset of a field of the settings that have
 * these as their `serving`. */
/* clang-format off */
#define SERVING_CONFIG_KEYS(at)                                                                         \
	{ "tls/ca",                 CONFIG_STRING,   at(serving.tls_ca) },                              \
	{ "tls/certificate",        CONFIG_STRING,   at(serving.tls_certificate) },                     \
	{ "tls/key",                CONFIG_STRING,   at(serving.tls_key) },                             \
	{ "tls/crl",                CONFIG_STRING,   at(serving.tls_crl) },                             \
	{ "connections/total",      CONFIG_UINT,     at(serving.max_connections), .min = 16, .max = 65536 }, \
	{ "connections/perAddress", CONFIG_UINT,     at(serving.max_connections_per_address), .min = 2, .max = 65536 }, \
	{ "connections/handshakes", CONFIG_UINT,     at(serving.max_handshakes), .min = 8, .max = 65536 }, \
	{ "connections/handshakesPerAddress", CONFIG_UINT, at(serving.max_handshakes_per_address), .min = 2, .max = 65536 }, \
	{ "connections/handshakeTimeout", CONFIG_DURATION, at(serving.handshake_ms), .min = 1000, .max = 60000 }, \
	{ "audit/file",             CONFIG_STRING,   at(serving.audit_file) },                          \
	{ "audit/rotateAt",         CONFIG_BYTES,    at(serving.audit_rotate_bytes), .min = 65536 },    \
	{ "audit/keep",             CONFIG_UINT,     at(serving.audit_keep), .min = 1, .max = 999 }
/* clang-format on */

/* The defaults; what fits the role, the connections, is left at 0. Texts are owned by @ret. */
void serving_settings_init(struct serving_settings *ret);

/* Limits and certificates; without TLS only the limits. Texts are borrowed. */
void serving_fill_mesh(const struct serving_settings *s, bool tls, struct mesh_options *options);

/* @role, @name: who writes it. */
struct audit *serving_start_audit(const struct serving_settings *s, const char *role,
                                  const char *name);
