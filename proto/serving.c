/* SPDX-License-Identifier: Apache-2.0 */
/* See serving.h. */
#include "proto/serving.h"

#include "common/alloc.h"

#include <stdio.h>

#define MIB ((uint64_t)1024 * 1024)

void serving_settings_init(struct serving_settings *ret)
{
	*ret = (struct serving_settings){
		.tls_ca = xstrdup("/etc/drover/ca.pem"),
		.tls_certificate = xstrdup("/etc/drover/cert.pem"),
		.tls_key = xstrdup("/etc/drover/key.pem"),
		.tls_crl = xstrdup("/etc/drover/crl.pem"),
		.max_handshakes = 256,
		.max_handshakes_per_address = 32,
		.handshake_ms = 10000,
		/* A line is about 500 bytes: the last 350,000 of them. */
		.audit_rotate_bytes = 16 * MIB,
		.audit_keep = 10,
	};
}

void serving_fill_mesh(const struct serving_settings *s, bool tls, struct mesh_options *options)
{
	if (tls) {
		options->tls_ca = s->tls_ca;
		options->tls_certificate = s->tls_certificate;
		options->tls_key = s->tls_key;
		options->tls_crl = s->tls_crl;
	}
	options->max_connections = (uint32_t)s->max_connections;
	options->max_connections_per_address = (uint32_t)s->max_connections_per_address;
	options->max_handshakes = (uint32_t)s->max_handshakes;
	options->max_handshakes_per_address = (uint32_t)s->max_handshakes_per_address;
	/* Tests that have no settings keep the mesh's own. */
	if (s->handshake_ms)
		options->handshake_ms = (uint32_t)s->handshake_ms;
}

struct audit *serving_start_audit(const struct serving_settings *s, const char *role,
                                  const char *name)
{
	char self[MESH_NAME_BYTES + 16];

	snprintf(self, sizeof(self), "%s %s", role, name);
	return audit_start(&(struct audit_options){ .path = s->audit_file,
	                                            .self = self,
	                                            .rotate_bytes = s->audit_rotate_bytes,
	                                            .keep = (unsigned)s->audit_keep });
}
