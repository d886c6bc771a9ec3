/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_identity.h. */
#include "proto/mesh/tls_identity.h"

#include "common/cleanup.h"
#include "proto/mesh/identity.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free);
DEFINE_CLEANUP(BIGNUM *, BN_free);

/* One that is longer than a serial may be stays unknown. */
static void format_serial(X509 *certificate, char ret_serial[MESH_SERIAL_BYTES])
{
	_cleanup_(BN_freep)
		BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	char *hex = serial ? BN_bn2hex(serial) : NULL;

	if (hex && strlen(hex) < MESH_SERIAL_BYTES)
		snprintf(ret_serial, MESH_SERIAL_BYTES, "%s", hex);
	OPENSSL_free(hex);
}

int tls_identity_read(X509 *certificate, struct mesh_identity *ret_identity, struct error *err)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = X509_get_ext_d2i(
		certificate, NID_subject_alt_name, NULL, NULL);
	const ASN1_IA5STRING *uri = NULL;
	int rc;

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_URI)
			continue;
		if (uri)
			return error_set(err, ERROR_IDENTITY,
			                 "the certificate has more than one URI in its SAN");
		uri = name->d.uniformResourceIdentifier;
	}
	if (!uri)
		return error_set(
			err, ERROR_IDENTITY,
			"the certificate has no URI drover://CLUSTER/ROLE/NAME in its SAN");
	rc = identity_parse_uri((const char *)ASN1_STRING_get0_data(uri),
	                        (size_t)ASN1_STRING_length(uri), ret_identity, err);
	if (rc == 0)
		format_serial(certificate, ret_identity->serial);
	return rc;
}
