/* SPDX-License-Identifier: Apache-2.0 */
/* Who a certificate says its holder is: the one URI of its SAN, drover://CLUSTER/ROLE/NAME. Whether the
 * CA says so, too, is not asked here (tls.c). Reads what strangers send; fuzzed in
 * tests/fuzz/fuzz_certificate.c. Any thread. */
#pragma once

#include "common/error.h"
#include "proto/mesh/mesh.h"

#include <openssl/x509.h>

/* @ret_identity gets role, name, cluster and serial, and is untouched on failure. -ERROR_IDENTITY. */
int tls_identity_read(X509 *certificate, struct mesh_identity *ret_identity, struct error *err);
