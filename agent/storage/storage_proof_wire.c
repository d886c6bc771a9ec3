/* SPDX-License-Identifier: Apache-2.0 */
/* See storage_proof_wire.h. */
#include "agent/storage/storage_proof_wire.h"

#include "common/alloc.h"
#include "common/utf8.h"

#include <string.h>

/* Copies a text of a peer that is compared, opened or printed: all of it or nothing. */
static int copy(const char *from, char *to, size_t bytes, const char *what, struct error *err)
{
	size_t n = from ? strlen(from) : 0;

	if (n >= bytes)
		return error_set(err, ERROR_TOO_LARGE,
		                 "storage proof: %s of %zu bytes, at most %zu", what, n, bytes - 1);
	if (n && utf8_valid_bytes(from, n) != n)
		return error_set(err, ERROR_INVALID, "storage proof: %s is not UTF-8", what);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)from[i] < ' ' || from[i] == 0x7f)
			return error_set(err, ERROR_INVALID,
			                 "storage proof: %s has control characters", what);
	memcpy(to, from ? from : "", n);
	to[n] = '\0';
	return 0;
}

int storage_proof_read(const Drover__V1__StorageProof *from, struct storage_proof *ret,
                       struct error *err)
{
	struct storage_proof p = { .method = STORAGE_UNPROVED };
	int rc;

	if (!from) {
		*ret = p;
		return 0;
	}
	if ((unsigned int)from->method >= STORAGE_METHODS)
		return error_set(err, ERROR_INVALID, "storage proof: unknown method %d",
		                 (int)from->method);
	p.method = (enum storage_method)from->method;
	rc = copy(from->identity, p.identity, sizeof(p.identity), "identity", err);
	if (rc < 0)
		return rc;
	rc = copy(from->nonce_path, p.nonce_path, sizeof(p.nonce_path), "path", err);
	if (rc < 0)
		return rc;
	rc = copy(from->nonce, p.nonce, sizeof(p.nonce), "nonce", err);
	if (rc < 0)
		return rc;
	rc = copy(from->why_unproved, p.why_unproved, sizeof(p.why_unproved), "explanation", err);
	if (rc < 0)
		return rc;
	if (p.method == STORAGE_INODE_NONCE && p.nonce_path[0] != '/')
		return error_set(err, ERROR_INVALID,
		                 "storage proof: the nonce has no absolute path");
	*ret = p;
	return 0;
}

Drover__V1__StorageProof *storage_proof_message_new(const struct storage_proof *p)
{
	Drover__V1__StorageProof *m = xnew(Drover__V1__StorageProof);

	drover__v1__storage_proof__init(m);
	m->method = (Drover__V1__StorageProof__Method)p->method;
	m->identity = xstrdup(p->identity);
	m->nonce_path = xstrdup(p->nonce_path);
	m->nonce = xstrdup(p->nonce);
	m->why_unproved = xstrdup(p->why_unproved);
	return m;
}
