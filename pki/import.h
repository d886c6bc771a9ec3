/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that somebody else has made, looked at before they are taken: each way in which one
 * could fail later, at a connection, is an error here, with the file that is wrong. Any thread. */
#pragma once

#include "pki/certificate.h"
#include "proto/mesh/mesh.h"

/* Paths, for texts, and what is in them. */
struct import_file {
	const char *path;
	char *pem; /* owned */
};

struct import {
	struct import_file certificate, key, ca; /* ca.path NULL: none was given */
	struct certificate_facts facts;
	struct mesh_identity identity; /* unless it is an authority */
};

/* Reads the files and fills the rest; -ERROR_INVALID, -ERROR_IDENTITY, -ERROR_NOT_FOUND. */
int import_load(struct import *import, uint64_t now_ms, struct error *err);
void import_deinit(struct import *import);
