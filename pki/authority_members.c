/* SPDX-License-Identifier: Apache-2.0 */
/* What the authority keeps of each member: in the books, which certificates it was given, and what it
 * says that it has; and what it is told to have then. What a member says of itself decides only about
 * itself: when the next stage of a replacement may begin, and whether a newer list is sent. */
#include "pki/authority_files.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPLACED(mode_) ((struct file_mode){ (mode_), (gid_t)-1, true })

const struct books_issued *authority_find_issued(const struct books *books, enum mesh_role role,
                                                 const char *name)
{
	for (size_t i = 0; i < books->n_issued; i++) {
		if (books->issued[i].role == role && strcmp(books->issued[i].name, name) == 0)
			return &books->issued[i];
	}
	return NULL;
}

int authority_fail_unknown(enum mesh_role role, const char *name, struct error *err)
{
	return error_set(err, ERROR_PERMISSION,
	                 "%s %s has no certificate in the books of this authority: it never "
	                 "joined, or was forgotten; it can join with a token",
	                 mesh_role_name(role), name);
}

/* --- its files --- */

static char *member_path(const char *directory, enum mesh_role role, const char *name)
{
	/* With an end of its own, no name becomes another file, not even "..". */
	return xasprintf("%s/members/%s/%s.holds", directory, mesh_role_name(role), name);
}

int authority_write_member(const char *directory, enum mesh_role role, const char *name,
                           const struct rotation_member *member, struct error *err)
{
	_cleanup_free_ char *path = member_path(directory, role, name);
	_cleanup_free_ char *above = xasprintf("%s/members/%s", directory, mesh_role_name(role));
	char text[ROTATION_MEMBER_BYTES];
	int rc = files_make_directory(above, 0755, err);

	rotation_format_member(member, text);
	return rc < 0 ? rc : files_write(path, text, REPLACED(0600), err);
}

int authority_read_member(const char *directory, enum mesh_role role, const char *name,
                          struct rotation_member *ret, struct error *err)
{
	_cleanup_free_ char *path = member_path(directory, role, name);
	_cleanup_free_ char *text = NULL;
	int rc = files_read(path, &text, err);

	if (rc == 0)
		rc = rotation_parse_member(text, ret, err);
	return rc < 0 && rc != -ERROR_NOT_FOUND ? error_context(err, "%s", path) : rc;
}

int authority_remove_member(const char *directory, enum mesh_role role, const char *name,
                            struct error *err)
{
	_cleanup_free_ char *path = member_path(directory, role, name);

	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", path);
	return 0;
}

int authority_note(const char *directory, struct books *books, const struct authority_order *order,
                   const struct bytes *requests, struct error *err)
{
	uint64_t now_ms = clock_wall_ms();
	struct authority_facts facts = { 0 };
	struct rotation r = { 0 };
	struct books_issued issued = { .role = order->role, .issued_ms = now_ms };
	struct rotation_member member = { 0 };
	int rc = authority_read_facts(directory, &facts, err);

	if (rc == 0)
		rc = authority_read_rotation(directory, &r, err);
	if (rc < 0)
		return rc;
	issued.expires_ms = now_ms + (order->life_s ? order->life_s : facts.life_s) * 1000;
	snprintf(issued.name, sizeof(issued.name), "%s", order->name);
	snprintf(issued.address, sizeof(issued.address), "%s",
	         order->address ? order->address : "");
	snprintf(issued.migration_address, sizeof(issued.migration_address), "%s",
	         order->migration_address ? order->migration_address : "");
	books_put_issued(books, &issued);
	rc = books_save_issued(directory, books, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		if (i == AUTHORITY_MESH ||
		    (order->role == MESH_ROLE_AGENT && requests[i].count > 0))
			member.held[i] = (struct rotation_held){ true,
				                                 { r.signs, r.other },
				                                 r.signs };
	}
	member.until_ms = issued.expires_ms;
	return authority_write_member(directory, order->role, order->name, &member, err);
}

int authority_note_signed(const char *directory, const struct authority_order *order,
                          const struct ledger_entry *entries, size_t count, struct error *err)
{
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	int rc = ledger_load(directory, order->role, order->name, &l, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		ledger_add(&l, &entries[i]);
	return ledger_save(directory, order->role, order->name, &l, clock_wall_ms(), err);
}

/* --- what members hold --- */

static int find_generations(const char *directory, enum authority_request kind,
                            const struct rotation *r, const struct authority_holdings *h,
                            struct rotation_held *ret, struct error *err)
{
	const unsigned generations[] = { r->signs, r->other };
	struct rotation_held held = { .there = true };
	size_t n_found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(generations) && generations[i]; i++) {
		_cleanup_free_ char *name = authority_file_name(kind, generations[i], false);
		_cleanup_free_ char *pem = NULL;
		uint8_t sha256[CERTIFICATE_SHA256_BYTES];
		int rc = authority_read(directory, name, &pem, err);

		if (rc == 0)
			rc = certificate_fingerprint(pem, sha256, err);
		if (rc < 0)
			return error_context(err, "%s/%s", directory, name);
		if (certificate_set_has(&h->held[kind].trusts, sha256))
			held.trusts[n_found++] = generations[i];
		if (memcmp(h->held[kind].signer, sha256, sizeof(sha256)) == 0)
			held.signer = generations[i];
	}
	*ret = held;
	return 0;
}

static int check_member(const char *directory, enum mesh_role role, const char *name,
                        struct rotation_member *ret, struct error *err)
{
	_cleanup_(books_deinit) struct books books = { 0 };
	int rc = authority_read_member(directory, role, name, ret, err);

	if (rc != -ERROR_NOT_FOUND)
		return rc;
	rc = books_load(directory, &books, err);
	if (rc == 0 && !authority_find_issued(&books, role, name))
		rc = authority_fail_unknown(role, name, err);
	return rc;
}

/* A certificate that an older version has signed, which kept no ledger, or somebody else. */
static int note_shown(const char *directory, const struct authority_member *member,
                      const struct rotation_member *holds, struct error *err)
{
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	const struct authority_order order = { .role = member->role, .name = member->name };
	struct ledger_entry e = { .kind = AUTHORITY_MESH, .expires_ms = holds->until_ms };
	int rc = ledger_load(directory, member->role, member->name, &l, err);

	e.generation = holds->held[AUTHORITY_MESH].signer;
	if (rc < 0 || e.generation == 0 || ledger_find(&l, AUTHORITY_MESH, member->serial))
		return rc;
	if (certificate_parse_serial(member->serial, e.serial, err) < 0)
		return -ERROR_INVALID;
	return authority_note_signed(directory, &order, &e, 1, err);
}

/* Empty: it has what it is to have. */
static int find_news(const char *directory, enum authority_request kind, const struct rotation *r,
                     const struct authority_holdings *h, char **ret_lists, struct error *err)
{
	uint8_t sha256[CERTIFICATE_SHA256_BYTES];
	_cleanup_free_ char *lists = NULL;
	int rc = authority_read_lists(directory, kind, r, &lists, err);

	if (rc < 0 || !lists)
		return rc;
	certificate_sha256(lists, strlen(lists), sha256);
	if (memcmp(sha256, h->held[kind].list, sizeof(sha256)) != 0)
		*ret_lists = take_pointer(lists);
	return 0;
}

int authority_sync(const char *directory, const struct authority_member *member,
                   const struct authority_holdings *h, struct authority_orders *ret,
                   struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct authority_orders orders = { 0 };
	struct rotation_member before = { 0 }, now = { .until_ms = h->until_ms };
	char text_before[ROTATION_MEMBER_BYTES], text_now[ROTATION_MEMBER_BYTES];
	struct rotation r = { 0 };
	struct error why;
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = authority_read_rotation(directory, &r, err);
	if (rc == 0)
		rc = check_member(directory, member->role, member->name, &before, err);
	for (unsigned i = 0; rc == 0 && i < AUTHORITY_REQUESTS; i++) {
		enum authority_request kind = (enum authority_request)i;

		/* For the mesh everybody has something. */
		if (kind != AUTHORITY_MESH && h->held[i].trusts.count == 0)
			continue;
		rc = find_generations(directory, kind, &r, h, &now.held[i], err);
		if (rc == 0)
			rc = authority_read_trusted(directory, kind, &r, &orders.trusted[i], err);
		if (rc == 0)
			rc = find_news(directory, kind, &r, h, &orders.revoked[i], err);
	}
	if (rc == 0 && member->serial && member->serial[0])
		rc = note_shown(directory, member, &now, err);
	rotation_format_member(&before, text_before);
	rotation_format_member(&now, text_now);
	if (rc == 0 && strcmp(text_before, text_now) != 0)
		rc = authority_write_member(directory, member->role, member->name, &now, err);
	if (rc < 0) {
		authority_orders_deinit(&orders);
		return rc;
	}
	orders.renew = rotation_get_stage(&r) == ROTATION_RENEW &&
	               rotation_waits_for(&r, &now, &why);
	*ret = orders;
	return 0;
}

void authority_orders_deinit(struct authority_orders *orders)
{
	for (size_t i = 0; i < AUTHORITY_REQUESTS; i++) {
		free(orders->trusted[i]);
		free(orders->revoked[i]);
	}
	*orders = (struct authority_orders){ 0 };
}
