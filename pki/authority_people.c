/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for people: who may look, who may act, who may do all. A name is one person's: it is not
 * given a second time while its certificate is good, so that the audit log stays true. */
#include "pki/authority_files.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/mesh/identity.h"

#include <string.h>

#define LIFE_MOST_S ((uint64_t)CERTIFICATE_CA_DAYS * 24 * 3600)

static int check_order(const struct authority_order *o, struct error *err)
{
	const struct books_claim claim = { NULL, NULL, o->name, "::", "::" };

	if (o->role != MESH_ROLE_OPERATOR && o->role != MESH_ROLE_VIEWER &&
	    o->role != MESH_ROLE_ADMIN)
		return error_set(err, ERROR_INVALID,
		                 "a person is operator, viewer or admin; hosts join with a token");
	if (o->life_s && (o->life_s < CERTIFICATE_LIFE_LEAST_S || o->life_s > LIFE_MOST_S))
		return error_set(err, ERROR_INVALID,
		                 "a certificate is valid from %d s to %d days, the authority's own "
		                 "life",
		                 CERTIFICATE_LIFE_LEAST_S, CERTIFICATE_CA_DAYS);
	return books_check_claim(&claim, err);
}

static int check_free(const char *directory, const struct books *books,
                      const struct authority_order *o, struct error *err)
{
	const struct books_issued *k = authority_find_issued(books, o->role, o->name);
	const struct authority_member member = { o->role, o->name, NULL };
	char when[CLOCK_TEXT_BYTES];
	int rc;

	if (!k || k->expires_ms <= clock_wall_ms())
		return 0;
	rc = authority_check_not_revoked(directory, &member, err);
	if (rc == -ERROR_PERMISSION)
		return 0;
	if (rc < 0)
		return rc;
	return error_set(err, ERROR_REFUSED,
	                 "%s %s has a certificate until %s; its holder renews it with \"drover pki "
	                 "renew\", and if it is lost: drover pki revoke %s/%s",
	                 mesh_role_name(o->role), o->name, clock_format_wall(k->expires_ms, when),
	                 mesh_role_name(o->role), o->name);
}

int authority_issue_person(const char *directory, const struct authority_order *order,
                           const struct bytes *request, struct authority_grant *ret,
                           struct error *err)
{
	const struct bytes requests[AUTHORITY_REQUESTS] = { [AUTHORITY_MESH] = *request };
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	struct authority_grant grant = { 0 };
	int rc = check_order(order, err);

	if (rc == 0)
		rc = authority_lock(directory, &fd, err);
	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = check_free(directory, &books, order, err);
	if (rc == 0 && books.n_issued >= BOOKS_ISSUED_MAX)
		rc = error_set(err, ERROR_NO_SPACE, "there are %d names already", BOOKS_ISSUED_MAX);
	if (rc == 0)
		rc = authority_sign(directory, order, requests, &grant, err);
	if (rc < 0)
		return rc;
	rc = authority_note(directory, &books, order, requests, err);
	if (rc < 0)
		authority_grant_deinit(&grant);
	else
		*ret = grant;
	return rc;
}
