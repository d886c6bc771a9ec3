/* SPDX-License-Identifier: Apache-2.0 */
/* See import.h. */
#include "pki/import.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "pki/files.h"
#include "proto/mesh/identity.h"

#include <stdlib.h>
#include <string.h>

void import_deinit(struct import *i)
{
	if (i->key.pem)
		certificate_forget(i->key.pem, strlen(i->key.pem));
	free(i->certificate.pem);
	free(i->key.pem);
	free(i->ca.pem);
	i->certificate.pem = i->key.pem = i->ca.pem = NULL;
}

static int check_time(const struct import *i, uint64_t now_ms, struct error *err)
{
	char when[CLOCK_TEXT_BYTES];

	if (i->facts.not_after_ms <= now_ms)
		return error_set(err, ERROR_INVALID, "%s: it ended at %s", i->certificate.path,
		                 clock_format_wall(i->facts.not_after_ms, when));
	if (i->facts.not_before_ms > now_ms)
		return error_set(err, ERROR_INVALID, "%s: it is valid from %s only",
		                 i->certificate.path,
		                 clock_format_wall(i->facts.not_before_ms, when));
	return 0;
}

static int check_authority(const struct import *i, struct error *err)
{
	uint8_t signer[CERTIFICATE_SHA256_BYTES];

	if (i->ca.path)
		return error_set(err, ERROR_INVALID,
		                 "%s: it is an authority; then no third file is needed",
		                 i->certificate.path);
	/* Members trust what is in their file to the root, and get this one alone. */
	if (certificate_find_signer(i->certificate.pem, i->certificate.pem, signer, NULL) < 0)
		return error_set(err, ERROR_INVALID,
		                 "%s: it is signed by \"%s\"; the cluster's authority must be "
		                 "signed by itself",
		                 i->certificate.path, i->facts.issuer);
	return 0;
}

static int check_member(struct import *i, struct error *err)
{
	uint8_t signer[CERTIFICATE_SHA256_BYTES];
	bool serves;
	int rc;

	if (!i->ca.path)
		return error_set(err, ERROR_INVALID,
		                 "%s: it is no authority (CA:FALSE); for the certificate of an "
		                 "agent, coordinator or admin a third file says whom to trust",
		                 i->certificate.path);
	rc = identity_parse_uri(i->facts.uri, strlen(i->facts.uri), &i->identity, err);
	if (rc < 0)
		return error_context(err,
		                     "%s: its SAN must have one URI drover://CLUSTER/ROLE/NAME",
		                     i->certificate.path);
	rc = certificate_find_signer(i->certificate.pem, i->ca.pem, signer, err);
	if (rc < 0)
		return error_context(err, "%s, for %s", i->ca.path, i->certificate.path);
	serves = i->identity.role & (MESH_ROLE_AGENT | MESH_ROLE_COORDINATOR);
	rc = certificate_check_use(i->certificate.pem, serves, err);
	if (rc == 0)
		rc = certificate_check(i->certificate.pem, i->key.pem, i->ca.pem, i->facts.uri,
		                       err);
	return rc < 0 ? error_context(err, "%s", i->certificate.path) : 0;
}

int import_load(struct import *i, uint64_t now_ms, struct error *err)
{
	struct import_file *const files[] = { &i->certificate, &i->key, &i->ca };
	int rc = 0;

	for (size_t n = 0; rc == 0 && n < ARRAY_SIZE(files); n++) {
		if (files[n]->path)
			rc = files_read(files[n]->path, &files[n]->pem, err);
	}
	if (rc < 0)
		return rc;
	rc = certificate_read(i->certificate.pem, &i->facts, err);
	if (rc < 0)
		return error_context(err, "%s", i->certificate.path);
	rc = certificate_check_key(i->certificate.pem, i->key.pem, err);
	if (rc < 0)
		return error_context(err, "%s, for %s", i->key.path, i->certificate.path);
	rc = check_time(i, now_ms, err);
	if (rc < 0)
		return rc;
	return i->facts.authority ? check_authority(i, err) : check_member(i, err);
}
