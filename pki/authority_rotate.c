/* SPDX-License-Identifier: Apache-2.0 */
/* The authority after the join: certificates renewed, authorities replaced, hosts forgotten. Where a
 * replacement stands is one file, replaced whole; what belongs to no generation that is trusted is
 * removed after that, and again at the next look if we were interrupted. */
#include "pki/authority_files.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Those whose processes show certificates to others; a person's are used from anywhere. */
static bool is_waited_for(enum mesh_role role)
{
	return role == MESH_ROLE_AGENT || role == MESH_ROLE_COORDINATOR;
}

static bool is_person(enum mesh_role role)
{
	return !is_waited_for(role);
}

/* --- renewal --- */

int authority_renew(const char *directory, const struct authority_member *member,
                    const struct bytes *requests, struct authority_grant *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	_cleanup_(authority_grant_deinit) struct authority_grant grant = { 0 };
	struct authority_facts facts = { 0 };
	const struct books_issued *known;
	struct authority_order order = { .role = member->role, .name = member->name };
	struct books_issued issued;
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = authority_read_facts(directory, &facts, err);
	if (rc < 0)
		return rc;
	known = authority_find_issued(&books, member->role, member->name);
	if (!known)
		return authority_fail_unknown(member->role, member->name, err);
	rc = authority_check_not_revoked(directory, member, err);
	if (rc < 0)
		return rc;
	issued = *known;
	/* Who was given a week gets a week. */
	order.life_s = is_person(issued.role) && issued.expires_ms > issued.issued_ms
	                       ? (issued.expires_ms - issued.issued_ms) / 1000
	                       : facts.life_s;
	order.address = issued.address[0] ? issued.address : NULL;
	order.migration_address = issued.migration_address[0] ? issued.migration_address : NULL;
	rc = authority_sign(directory, &order, requests, &grant, err);
	if (rc < 0)
		return rc;
	issued.issued_ms = clock_wall_ms();
	issued.expires_ms = issued.issued_ms + order.life_s * 1000;
	books_put_issued(&books, &issued);
	rc = books_save_issued(directory, &books, err);
	if (rc < 0)
		return rc;
	*ret = grant;
	grant = (struct authority_grant){ 0 };
	return 0;
}

/* --- replacing the authorities --- */

void authority_progress_deinit(struct authority_progress *p)
{
	free(p->waits);
	*p = (struct authority_progress){ 0 };
}

static void add_wait(struct authority_progress *p, const struct books_issued *k, const char *why)
{
	struct authority_wait *w;

	p->waits = xreallocarray(p->waits, p->n_waits + 1, sizeof(*p->waits));
	w = &p->waits[p->n_waits++];
	w->role = k->role;
	snprintf(w->name, sizeof(w->name), "%s", k->name);
	snprintf(w->why, sizeof(w->why), "%s", why);
}

static int find_waits(const char *directory, const struct books *books,
                      struct authority_progress *p, struct error *err)
{
	uint64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < books->n_issued; i++) {
		const struct books_issued *k = &books->issued[i];
		const struct authority_member member = { k->role, k->name, NULL };
		struct rotation_member m = { 0 };
		struct error why;
		int rc;

		if (!is_waited_for(k->role))
			continue;
		/* It is cut off, and gets nothing. */
		rc = authority_check_not_revoked(directory, &member, &why);
		if (rc == -ERROR_PERMISSION)
			continue;
		if (rc < 0) {
			*err = why;
			return rc;
		}
		rc = authority_read_member(directory, k->role, k->name, &m, err);
		if (rc < 0 && rc != -ERROR_NOT_FOUND)
			return rc;
		if (rc == -ERROR_NOT_FOUND)
			add_wait(p, k, "has never said what it trusts");
		else if (!rotation_waits_for(&p->rotation, &m, &why))
			continue;
		else if (m.until_ms <= now_ms)
			add_wait(p, k, "cannot be reached by this: its certificate has ended");
		else
			add_wait(p, k, why.text);
	}
	return 0;
}

static int write_rotation(const char *directory, const struct rotation *r, struct error *err)
{
	const struct file_mode mode = { 0600, (gid_t)-1, true };
	_cleanup_free_ char *text = xasprintf("signs %u\nother %u\nsince %" PRIu64 "\n", r->signs,
	                                      r->other, r->since_ms);

	return authority_write(directory, "rotation", text, mode, err);
}

/* Of the generation before the one that signs alone; a key that signs nothing can only be stolen. */
static int remove_old(const char *directory, const struct rotation *r, struct error *err)
{
	if (r->other || r->signs < 2)
		return 0;
	for (unsigned i = 0; i < 2 * AUTHORITY_REQUESTS; i++) {
		_cleanup_free_ char *name = authority_file_name((enum authority_request)(i / 2),
		                                                r->signs - 1, i % 2 == 0);
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

		if (unlink(path) < 0 && errno != ENOENT)
			return error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", path);
	}
	return 0;
}

/* Their fingerprint is that of the authority that does not sign any more. */
static int end_tokens(const char *directory, struct books *books, size_t *ret_ended,
                      struct error *err)
{
	uint64_t now_ms = clock_wall_ms();
	size_t ended = 0;

	for (size_t i = 0; i < books->n_tokens; i++) {
		struct books_token *t = &books->tokens[i];

		if (t->expires_ms > now_ms && t->uses_left) {
			t->expires_ms = now_ms;
			ended++;
		}
	}
	*ret_ended = ended;
	return ended ? books_save_tokens(directory, books, err) : 0;
}

static int go_on(const char *directory, struct books *books, struct authority_progress *p,
                 struct error *err)
{
	struct rotation next = rotation_get_next(&p->rotation, clock_wall_ms());
	int rc = 0;

	if (rotation_get_stage(&next) == ROTATION_RENEW)
		rc = end_tokens(directory, books, &p->tokens_ended, err);
	if (rc == 0)
		rc = write_rotation(directory, &next, err);
	if (rc < 0)
		return rc;
	p->rotation = next;
	p->moved = true;
	return remove_old(directory, &next, err);
}

static int look_or_go_on(const char *directory, bool go, struct authority_progress *ret,
                         struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	_cleanup_(authority_progress_deinit) struct authority_progress p = { 0 };
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = authority_read_rotation(directory, &p.rotation, err);
	if (rc == 0 && go)
		rc = remove_old(directory, &p.rotation, err);
	if (rc == 0)
		rc = find_waits(directory, &books, &p, err);
	if (rc == 0 && go && p.n_waits == 0 && rotation_get_stage(&p.rotation) != ROTATION_NONE)
		rc = go_on(directory, &books, &p, err);
	if (rc < 0)
		return rc;
	*ret = p;
	p = (struct authority_progress){ 0 };
	return 0;
}

int authority_rotate(const char *directory, struct authority_progress *ret, struct error *err)
{
	return look_or_go_on(directory, true, ret, err);
}

int authority_get_progress(const char *directory, struct authority_progress *ret, struct error *err)
{
	return look_or_go_on(directory, false, ret, err);
}

int authority_begin_rotation(const char *directory, const char *certificate, const char *key,
                             struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct authority_facts facts = { 0 };
	struct rotation r = { 0 }, next;
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = authority_read_facts(directory, &facts, err);
	if (rc == 0)
		rc = authority_read_rotation(directory, &r, err);
	if (rc < 0)
		return rc;
	if (rotation_get_stage(&r) != ROTATION_NONE)
		return error_set(err, ERROR_REFUSED,
		                 "the authority is being replaced already; drover pki rotate goes "
		                 "on with that");
	next = rotation_get_next(&r, clock_wall_ms());
	rc = authority_make_generation(directory, facts.cluster, next.other, err);
	if (rc == 0 && certificate)
		rc = authority_replace_pair(directory, next.other, certificate, key, err);
	/* From here on it is under way. */
	return rc < 0 ? rc : write_rotation(directory, &next, err);
}

/* --- forgetting --- */

int authority_forget(const char *directory, const char *name, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	size_t kept = 0;
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < books.n_issued; i++) {
		if (books.issued[i].role != MESH_ROLE_AGENT ||
		    strcmp(books.issued[i].name, name) != 0)
			books.issued[kept++] = books.issued[i];
	}
	if (kept == books.n_issued)
		return error_set(err, ERROR_NOT_FOUND, "no host %.80s has joined", name);
	books.n_issued = kept;
	rc = books_save_issued(directory, &books, err);
	return rc < 0 ? rc : authority_remove_member(directory, MESH_ROLE_AGENT, name, err);
}
