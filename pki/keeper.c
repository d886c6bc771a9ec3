/* SPDX-License-Identifier: Apache-2.0 */
/* See keeper.h. */
#include "pki/keeper.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/files.h"
#include "proto/mesh/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACED ((struct file_mode){ 0644, (gid_t)-1, true })

void keeper_files_init(struct keeper_files *files, const char *ca, const char *certificate,
                       const char *key, const char *crl, const char *qemu, const char *libvirt)
{
	static const char *const sides[] = { "server", "client" };
	struct keeper_kind *mesh = &files->of[AUTHORITY_MESH];
	struct keeper_kind *q = &files->of[AUTHORITY_MIGRATION];
	struct keeper_kind *l = &files->of[AUTHORITY_LIBVIRT];

	*files = (struct keeper_files){ 0 };
	mesh->ca = xstrdup(ca);
	mesh->certificates[0] = xstrdup(certificate);
	mesh->keys[0] = xstrdup(key);
	mesh->crl = crl ? xstrdup(crl) : NULL;
	/* Where GnuTLS finds them for QEMU, at each start of a move, and for libvirt, at its own. */
	if (qemu) {
		q->ca = xasprintf("%s/ca-cert.pem", qemu);
		q->crl = xasprintf("%s/ca-crl.pem", qemu);
	}
	if (libvirt) {
		l->ca = xasprintf("%s/CA/cacert.pem", libvirt);
		l->crl = xasprintf("%s/CA/cacrl.pem", libvirt);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		if (qemu) {
			q->certificates[i] = xasprintf("%s/%s-cert.pem", qemu, sides[i]);
			q->keys[i] = xasprintf("%s/%s-key.pem", qemu, sides[i]);
		}
		if (libvirt) {
			l->certificates[i] = xasprintf("%s/libvirt/%scert.pem", libvirt, sides[i]);
			l->keys[i] = xasprintf("%s/libvirt/private/%skey.pem", libvirt, sides[i]);
		}
	}
}

void keeper_files_deinit(struct keeper_files *files)
{
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		struct keeper_kind *k = &files->of[i];

		free(k->ca);
		free(k->crl);
		for (size_t side = 0; side < ARRAY_SIZE(k->keys); side++) {
			free(k->certificates[side]);
			free(k->keys[side]);
		}
	}
	*files = (struct keeper_files){ 0 };
}

/* --- looking --- */

/* A certificate file and the authorities beside it. */
static int look_at(const char *certificate_path, const char *ca_path,
                   struct certificate_facts *ret_facts, struct certificate_set *ret_trusts,
                   uint8_t *ret_signer, struct error *err)
{
	_cleanup_free_ char *certificate = NULL, *ca = NULL;
	int rc = files_read(certificate_path, &certificate, err);

	if (rc == 0)
		rc = certificate_read(certificate, ret_facts, err);
	if (rc < 0)
		return error_context(err, "%s", certificate_path);
	rc = files_read(ca_path, &ca, err);
	if (rc == 0)
		rc = certificate_read_set(ca, ret_trusts, err);
	if (rc < 0)
		return error_context(err, "%s", ca_path);
	/* One that nobody has signed is reported as just that. */
	if (certificate_find_signer(certificate, ca, ret_signer, NULL) < 0)
		memset(ret_signer, 0, CERTIFICATE_SHA256_BYTES);
	return 0;
}

static int look_at_kind(const struct keeper_kind *k, struct certificate_set *ret_trusts,
                        uint8_t *ret_signer, struct keeper_view *view, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(k->certificates) && k->certificates[i]; i++) {
		uint8_t signer[CERTIFICATE_SHA256_BYTES];
		struct certificate_facts facts = { 0 };
		int rc = look_at(k->certificates[i], k->ca, &facts, ret_trusts, signer, err);

		if (rc < 0)
			return rc;
		/* Two sides that differ are a renewal that was broken off. */
		if (i > 0 && memcmp(signer, ret_signer, sizeof(signer)) != 0)
			memset(signer, 0, sizeof(signer));
		memcpy(ret_signer, signer, sizeof(signer));
		view->due |= certificate_is_due(&facts, clock_wall_ms());
		if (facts.not_after_ms < view->holdings.until_ms)
			view->holdings.until_ms = facts.not_after_ms;
		if (!facts.uri[0])
			continue;
		snprintf(view->uri, sizeof(view->uri), "%s", facts.uri);
		snprintf(view->serial, sizeof(view->serial), "%s", facts.serial);
	}
	return 0;
}

/* One that is not there, or cannot be read, is none. */
static void look_at_list(const struct keeper_kind *k, uint8_t *ret_sha256)
{
	_cleanup_free_ char *text = NULL;

	if (k->crl && files_read(k->crl, &text, NULL) == 0)
		certificate_sha256(text, strlen(text), ret_sha256);
}

int keeper_look(const struct keeper_files *files, struct keeper_view *ret, struct error *err)
{
	struct keeper_view view = { .holdings.until_ms = UINT64_MAX };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++) {
		if (!files->of[i].ca)
			continue;
		rc = look_at_kind(&files->of[i], &view.holdings.held[i].trusts,
		                  view.holdings.held[i].signer, &view, err);
		look_at_list(&files->of[i], view.holdings.held[i].list);
	}
	if (rc == 0)
		*ret = view;
	return rc;
}

/* --- taking --- */

static bool same_set(const struct certificate_set *a, const struct certificate_set *b)
{
	for (size_t i = 0; i < a->count; i++) {
		if (!certificate_set_has(b, a->sha256[i]))
			return false;
	}
	return a->count == b->count;
}

/* One file of authorities, beside the certificate that must go on to pass. */
static int take_ca(const struct keeper_kind *k, const char *pem, bool *ret_changed,
                   struct error *err)
{
	_cleanup_free_ char *have = NULL, *certificate = NULL;
	uint8_t signer[CERTIFICATE_SHA256_BYTES];
	struct certificate_set old = { 0 }, new = { 0 };
	int rc = certificate_read_set(pem, &new, err);

	if (rc < 0)
		return error_context(err, "the authorities that were sent");
	if (files_read(k->ca, &have, NULL) == 0 && certificate_read_set(have, &old, NULL) == 0 &&
	    same_set(&old, &new))
		return 0;
	rc = files_read(k->certificates[0], &certificate, err);
	if (rc == 0)
		rc = certificate_find_signer(certificate, pem, signer, err);
	if (rc < 0)
		return error_context(err,
		                     "%s would not pass by the authorities that were sent, so %s "
		                     "stays as it is",
		                     k->certificates[0], k->ca);
	*ret_changed = true;
	return files_write(k->ca, pem, REPLACED, err);
}

int keeper_take_trusted(const struct keeper_files *files, char *const *trusted, bool *ret_changed,
                        struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++) {
		if (files->of[i].ca && trusted[i] && trusted[i][0])
			rc = take_ca(&files->of[i], trusted[i], ret_changed, err);
	}
	return rc;
}

static int take_list(const struct keeper_kind *k, const char *lists, bool *ret_changed,
                     struct error *err)
{
	_cleanup_free_ char *ca = NULL, *have = NULL;
	uint64_t number = 0, had = 0;
	int rc = files_read(k->ca, &ca, err);

	if (rc == 0)
		rc = certificate_list_check(lists, ca, &number, err);
	if (rc < 0)
		return error_context(err, "%s stays as it is", k->crl);
	if (files_read(k->crl, &have, NULL) == 0) {
		if (strcmp(have, lists) == 0)
			return 0;
		if (certificate_list_check(have, ca, &had, NULL) == 0 && had > number)
			return 0;
	}
	*ret_changed = true;
	return files_write(k->crl, lists, REPLACED, err);
}

int keeper_take_revoked(const struct keeper_files *files, char *const *lists, bool *ret_changed,
                        struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++) {
		if (files->of[i].crl && lists[i] && lists[i][0])
			rc = take_list(&files->of[i], lists[i], ret_changed, err);
	}
	return rc;
}

static int make_request(const char *key_path, struct bytes *ret, struct error *err)
{
	_cleanup_free_ char *key = NULL;
	int rc = files_read(key_path, &key, err);

	if (rc < 0)
		return rc;
	rc = certificate_new_request(key, ret, err);
	certificate_forget(key, strlen(key));
	return rc < 0 ? error_context(err, "%s", key_path) : 0;
}

void keeper_requests_deinit(struct bytes requests[AUTHORITY_REQUESTS])
{
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		free(requests[i].data);
		requests[i] = (struct bytes){ 0 };
	}
}

int keeper_make_requests(const struct keeper_files *files,
                         struct bytes ret_requests[AUTHORITY_REQUESTS], struct error *err)
{
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++) {
		if (files->of[i].ca)
			rc = make_request(files->of[i].keys[0], &requests[i], err);
	}
	if (rc < 0)
		keeper_requests_deinit(requests);
	else
		memcpy(ret_requests, requests, sizeof(requests));
	return rc;
}

/* Who it is for must not change. */
static int take_certificate(const char *path, const char *key_path, const char *ca_path,
                            const char *pem, struct error *err)
{
	_cleanup_free_ char *have = NULL, *key = NULL, *ca = NULL;
	struct certificate_facts facts = { 0 };
	int rc = files_read(path, &have, err);

	if (rc == 0)
		rc = certificate_read(have, &facts, err);
	if (rc == 0)
		rc = files_read(key_path, &key, err);
	if (rc == 0)
		rc = files_read(ca_path, &ca, err);
	if (rc == 0)
		rc = certificate_check(pem, key, ca, facts.uri[0] ? facts.uri : NULL, err);
	if (key)
		certificate_forget(key, strlen(key));
	if (rc < 0)
		return error_context(err, "the new certificate for %s, which stays as it is", path);
	return files_write(path, pem, REPLACED, err);
}

int keeper_take_certificates(const struct keeper_files *files, char *const *certificates,
                             struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++) {
		const struct keeper_kind *k = &files->of[i];

		if (!k->ca || !certificates[i] || !certificates[i][0])
			continue;
		for (size_t side = 0; rc == 0 && side < ARRAY_SIZE(k->keys) && k->keys[side];
		     side++)
			rc = take_certificate(k->certificates[side], k->keys[side], k->ca,
			                      certificates[i], err);
	}
	return rc;
}

/* --- beside the authority --- */

static int renew(const struct keeper_files *files, const char *authority,
                 const struct authority_member *who, struct error *err)
{
	_cleanup_(authority_grant_deinit) struct authority_grant grant = { 0 };
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	int rc = keeper_make_requests(files, requests, err);

	if (rc == 0)
		rc = authority_renew(authority, who, requests, &grant, err);
	keeper_requests_deinit(requests);
	if (rc == 0) {
		char *const certificates[AUTHORITY_REQUESTS] = { grant.certificate,
			                                         grant.migration_certificate,
			                                         grant.libvirt_certificate };

		rc = keeper_take_certificates(files, certificates, err);
	}
	return rc;
}

int keeper_sync(const struct keeper_files *files, const char *authority,
                struct keeper_view *ret_view, bool *ret_changed, struct error *err)
{
	_cleanup_(authority_orders_deinit) struct authority_orders orders = { 0 };
	struct authority_member who = { 0 };
	struct mesh_identity identity = { 0 };
	struct keeper_view view = { 0 };
	bool changed = false;
	int rc = keeper_look(files, &view, err);

	if (rc == 0)
		rc = identity_parse_uri(view.uri, strlen(view.uri), &identity, err);
	who = (struct authority_member){ identity.role, identity.name, view.serial };
	if (rc == 0)
		rc = authority_sync(authority, &who, &view.holdings, &orders, err);
	if (rc == 0)
		rc = keeper_take_trusted(files, orders.trusted, &changed, err);
	if (rc == 0)
		rc = keeper_take_revoked(files, orders.revoked, &changed, err);
	if (rc == 0 && (orders.renew || view.due)) {
		rc = renew(files, authority, &who, err);
		changed = true;
	}
	if (rc < 0)
		return rc;
	*ret_view = view;
	*ret_changed = changed;
	return 0;
}
