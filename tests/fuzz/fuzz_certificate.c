/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a certificate, DER and PEM, and as a request for one: who it says its holder is, is a name
 * that can be one, or an error; what is told of it fits. The first byte of the input says which. */
#include "common/alloc.h"
#include "pki/certificate.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/tls_identity.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_identity(X509 *certificate)
{
	struct mesh_identity id = { .role = MESH_ROLE_NONE };
	struct error err;

	if (tls_identity_read(certificate, &id, &err) < 0) {
		assert(err.code == ERROR_IDENTITY && err.text[0] && id.role == MESH_ROLE_NONE);
		return;
	}
	assert(mesh_role_from_name(mesh_role_name(id.role)) == id.role && id.role);
	assert(identity_name_is_valid(id.name) && identity_name_is_valid(id.cluster));
}

static void read_der(const uint8_t *data, size_t bytes)
{
	X509 *certificate = d2i_X509(NULL, &data, (long)bytes);

	if (certificate)
		check_identity(certificate);
	X509_free(certificate);
}

/* A URI as it may stand in a certificate, without one around it. */
static void read_uri(const uint8_t *data, size_t bytes)
{
	struct mesh_identity id;
	char text[IDENTITY_TEXT_BYTES];
	struct error err;

	if (identity_parse_uri((const char *)data, bytes, &id, &err) < 0)
		return;
	assert(identity_name_is_valid(id.name) && identity_name_is_valid(id.cluster));
	assert(strlen(identity_format(&id, text)) < sizeof(text));
}

static void read_pem(const uint8_t *data, size_t bytes)
{
	char *pem = xstrndup((const char *)data, bytes);
	uint8_t sha256[CERTIFICATE_SHA256_BYTES];
	struct certificate_facts facts;
	struct error err;

	if (certificate_read(pem, &facts, &err) == 0) {
		assert(strlen(facts.name) < sizeof(facts.name));
		assert(strlen(facts.uri) < sizeof(facts.uri));
		assert(certificate_fingerprint(pem, sha256, &err) == 0);
	} else {
		assert(err.text[0]);
	}
	free(pem);
}

static void read_request(const uint8_t *data, size_t bytes)
{
	struct bytes request = { (uint8_t *)data, bytes };
	struct error err;

	if (certificate_check_request(&request, &err) < 0)
		assert(err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 1)
		return 0;
	switch (data[0] % 4) {
	case 0:
		read_der(data + 1, bytes - 1);
		break;
	case 1:
		read_uri(data + 1, bytes - 1);
		break;
	case 2:
		read_pem(data + 1, bytes - 1);
		break;
	case 3:
		read_request(data + 1, bytes - 1);
		break;
	}
	ERR_clear_error();
	return 0;
}
