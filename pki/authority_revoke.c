/* SPDX-License-Identifier: Apache-2.0 */
/* Taking certificates back. What is revoked is one file, replaced whole: from then on it is, and no
 * crash takes that back. The signed lists are made of it when somebody asks for them, and say in their
 * first line of which state they are, so that they need not be kept in step by anybody.
 *
 * The number of a list is the wall clock, or one more than the last: also an authority that was restored
 * from a backup makes lists that are newer than those that its members have. */
#include "pki/authority_files.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/mesh/identity.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a serial that no book has: one that is cut off must not pass for a whole one. */
#define STRANGE_DIGITS_LEAST 16

void authority_revocation_deinit(struct authority_revocation *r)
{
	ledger_deinit(&r->certificates);
	*r = (struct authority_revocation){ 0 };
}

/* --- whether one is --- */

static const struct ledger_entry *find_newest(const struct ledger *l)
{
	const struct ledger_entry *newest = NULL;

	for (size_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = &l->entries[i];

		if (e->kind == AUTHORITY_MESH && (!newest || e->issued_ms >= newest->issued_ms))
			newest = e;
	}
	return newest;
}

int authority_check_not_revoked(const char *directory, const struct authority_member *member,
                                struct error *err)
{
	_cleanup_(ledger_deinit) struct ledger has = { 0 };
	_cleanup_(ledger_deinit) struct ledger revoked = { 0 };
	const struct ledger_entry *newest, *found = NULL;
	char when[CLOCK_TEXT_BYTES];
	int rc = ledger_load_revoked(directory, &revoked, err);

	if (rc == 0 && revoked.count > 0)
		rc = ledger_load(directory, member->role, member->name, &has, err);
	if (rc < 0 || revoked.count == 0)
		return rc;
	newest = find_newest(&has);
	if (member->serial)
		found = ledger_find(&revoked, AUTHORITY_MESH, member->serial);
	if (!found && newest)
		found = ledger_find(&revoked, AUTHORITY_MESH, newest->serial);
	if (!found)
		return 0;
	return error_set(
		err, ERROR_PERMISSION,
		"the certificate %s of %s %s was revoked at %s: it is not renewed; a host "
		"comes back with \"drover token create --node\", a person with \"drover pki "
		"issue\"",
		found->serial, mesh_role_name(member->role), member->name,
		clock_format_wall(found->revoked_ms, when));
}

/* --- the signed lists --- */

/* PEM readers skip it. */
static char *format_state(const struct ledger *revoked, const struct rotation *r)
{
	return xasprintf("# drover's list %" PRIu64 " of authorities %u and %u\n", revoked->number,
	                 r->signs, r->other);
}

static int sign_list(const char *directory, enum authority_request kind, unsigned generation,
                     const struct ledger *revoked, char **ret, struct error *err)
{
	_cleanup_free_ char *ca_name = authority_file_name(kind, generation, false);
	_cleanup_free_ char *key_name = authority_file_name(kind, generation, true);
	_cleanup_free_ char *ca = NULL, *key = NULL;
	_cleanup_free_ struct certificate_list_entry *entries = xcalloc(revoked->count + 1,
	                                                                sizeof(*entries));
	size_t count = 0;
	int rc = authority_read(directory, ca_name, &ca, err);

	if (rc == 0)
		rc = authority_read(directory, key_name, &key, err);
	if (rc < 0)
		return rc;
	assert(ca && key);
	for (size_t i = 0; i < revoked->count; i++) {
		const struct ledger_entry *e = &revoked->entries[i];

		if (e->kind != kind || e->generation != generation)
			continue;
		memcpy(entries[count].serial, e->serial, sizeof(e->serial));
		entries[count++].revoked_ms = e->revoked_ms;
	}
	rc = certificate_list_sign(ca, key, entries, count, revoked->number, ret, err);
	certificate_forget(key, strlen(key));
	return rc;
}

int authority_read_lists(const char *directory, enum authority_request kind,
                         const struct rotation *r, char **ret, struct error *err)
{
	static const char *const names[AUTHORITY_REQUESTS] = { "crl.pem", "migration-crl.pem",
		                                               "libvirt-crl.pem" };
	const struct file_mode mode = { 0644, (gid_t)-1, true };
	_cleanup_(ledger_deinit) struct ledger revoked = { 0 };
	_cleanup_free_ char *state = NULL, *have = NULL, *first = NULL, *other = NULL;
	int rc = ledger_load_revoked(directory, &revoked, err);

	if (rc < 0 || revoked.number == 0)
		return rc;
	state = format_state(&revoked, r);
	if (authority_read(directory, names[kind], &have, NULL) == 0 &&
	    strncmp(have, state, strlen(state)) == 0) {
		*ret = take_pointer(have);
		return 0;
	}
	rc = sign_list(directory, kind, r->signs, &revoked, &first, err);
	if (rc == 0 && r->other)
		rc = sign_list(directory, kind, r->other, &revoked, &other, err);
	if (rc < 0)
		return error_context(err, "the list of what is revoked");
	free(have);
	have = xasprintf("%s%s%s", state, first, other ? other : "");
	rc = authority_write(directory, names[kind], have, mode, err);
	if (rc == 0)
		*ret = take_pointer(have);
	return rc;
}

/* --- which ones are meant --- */

struct search {
	const char *name;   /* NULL: by serial */
	const char *serial; /* of any kind */
	uint64_t now_ms;
	struct ledger found;
	unsigned roles; /* that have that name */
};

static void take_good(struct search *s, const struct ledger *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = &l->entries[i];

		if (e->expires_ms > s->now_ms && (!s->serial || strcmp(e->serial, s->serial) == 0))
			ledger_add(&s->found, e);
	}
}

static bool visit_member(enum mesh_role role, const char *name, const struct ledger *l,
                         void *context)
{
	struct search *s = context;
	size_t before = s->found.count;

	if (s->name && strcmp(s->name, name) != 0)
		return false;
	take_good(s, l);
	if (s->found.count > before)
		s->roles |= role;
	/* A serial is one member's; a name may be two's. */
	return s->serial && s->found.count > before;
}

static int fail_many(const char *what, unsigned roles, struct error *err)
{
	char allowed[IDENTITY_TEXT_BYTES];

	return error_set(err, ERROR_INVALID,
	                 "%.80s is the name of more than one: %s; say which, as ROLE/%.80s", what,
	                 identity_format_roles(roles, allowed), what);
}

static int find_by_role(const char *directory, const char *what, struct search *s,
                        struct error *err)
{
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	const char *name = strchr(what, '/') + 1;
	_cleanup_free_ char *word = xstrndup(what, (size_t)(name - what) - 1);
	enum mesh_role role = mesh_role_from_name(word);
	int rc;

	if (role == MESH_ROLE_NONE || !identity_name_is_valid(name))
		return error_set(
			err, ERROR_INVALID,
			"\"%.120s\" is no member: ROLE/NAME with the role agent, operator, "
			"viewer, admin or coordinator",
			what);
	rc = ledger_load(directory, role, name, &l, err);
	if (rc == 0)
		take_good(s, &l);
	if (rc == 0 && s->found.count == 0)
		rc = error_set(err, ERROR_NOT_FOUND,
		               "%s %s has no certificate in the books that has not ended; one "
		               "that drover did not make is revoked by its serial",
		               word, name);
	return rc;
}

static int fail_nobody(const char *what, struct error *err)
{
	return error_set(err, ERROR_NOT_FOUND,
	                 "nobody called %.80s has a certificate in the books that has not ended, "
	                 "and no serial is %.80s",
	                 what, what);
}

/* One that somebody else has signed with our authority's key: only the mesh's can come from outside. */
static int take_strange(const char *what, const struct rotation *r, struct search *s,
                        struct error *err)
{
	const unsigned generations[] = { r->signs, r->other };
	struct ledger_entry e = { .kind = AUTHORITY_MESH, .expires_ms = UINT64_MAX };

	if (strlen(s->serial) < STRANGE_DIGITS_LEAST)
		return fail_nobody(what, err);
	snprintf(e.serial, sizeof(e.serial), "%s", s->serial);
	for (size_t i = 0; i < ARRAY_SIZE(generations) && generations[i]; i++) {
		e.generation = generations[i];
		ledger_add(&s->found, &e);
	}
	return 0;
}

static int find_targets(const char *directory, const char *what, const struct rotation *r,
                        struct search *s, bool *ret_known, struct error *err)
{
	char serial[CERTIFICATE_SERIAL_BYTES];
	bool found;
	int rc;

	*ret_known = true;
	if (strchr(what, '/'))
		return find_by_role(directory, what, s, err);
	s->name = what;
	rc = ledger_visit(directory, visit_member, s, &found, err);
	if (rc < 0 || s->found.count > 0)
		return rc < 0 || (s->roles & (s->roles - 1)) == 0 ? rc
		                                                  : fail_many(what, s->roles, err);
	if (certificate_parse_serial(what, serial, NULL) < 0)
		return fail_nobody(what, err);
	s->name = NULL;
	s->serial = serial;
	rc = ledger_visit(directory, visit_member, s, &found, err);
	if (rc == 0 && !found) {
		*ret_known = false;
		rc = take_strange(what, r, s, err);
	}
	s->serial = NULL;
	return rc;
}

/* --- taking back --- */

static int check_own(const struct authority_revoke_order *o, const struct ledger *certificates,
                     struct error *err)
{
	for (size_t i = 0; i < certificates->count; i++) {
		const struct ledger_entry *e = &certificates->entries[i];

		if (e->role == MESH_ROLE_COORDINATOR)
			return error_set(
				err, ERROR_REFUSED,
				"it is that of coordinator %s: every host would refuse the "
				"coordinator until it has another (drover pki import). With "
				"--even-own it is done all the same",
				e->name);
		if (o->caller && e->role == o->caller->role &&
		    strcmp(e->name, o->caller->name) == 0)
			return error_set(err, ERROR_REFUSED,
			                 "it is your own, of %s %s: you would be refused from then "
			                 "on. With --even-own it is done all the same",
			                 mesh_role_name(e->role), e->name);
	}
	return 0;
}

/* Leaves in @r what is new, with the time. */
static void sort_out(struct authority_revocation *r, const struct ledger *found,
                     const struct ledger *revoked, uint64_t now_ms)
{
	for (size_t i = 0; i < found->count; i++) {
		struct ledger_entry e = found->entries[i];
		bool is_there = false;

		for (size_t n = 0; n < revoked->count; n++)
			is_there |= revoked->entries[n].kind == e.kind &&
			            revoked->entries[n].generation == e.generation &&
			            strcmp(revoked->entries[n].serial, e.serial) == 0;
		e.revoked_ms = now_ms;
		if (is_there)
			r->already++;
		else
			ledger_add(&r->certificates, &e);
	}
}

/* One that nobody can forget by its end goes with the authority. */
static int save(const char *directory, const struct ledger *revoked,
                const struct authority_revocation *r, const struct rotation *rotation,
                uint64_t now_ms, struct error *err)
{
	_cleanup_(ledger_deinit) struct ledger next = { 0 };

	for (size_t i = 0; i < revoked->count; i++) {
		const struct ledger_entry *e = &revoked->entries[i];

		if (e->role != MESH_ROLE_NONE || e->generation == rotation->signs ||
		    e->generation == rotation->other)
			ledger_add(&next, e);
	}
	for (size_t i = 0; i < r->certificates.count; i++)
		ledger_add(&next, &r->certificates.entries[i]);
	if (next.count > CERTIFICATE_LIST_MAX)
		return error_set(err, ERROR_NO_SPACE,
		                 "%zu certificates are revoked that have not ended, and the list "
		                 "has room for %d: drover pki rotate makes all of them useless",
		                 revoked->count, CERTIFICATE_LIST_MAX);
	next.number = revoked->number + 1 > now_ms ? revoked->number + 1 : now_ms;
	return ledger_save_revoked(directory, &next, now_ms, err);
}

int authority_revoke(const char *directory, const struct authority_revoke_order *o,
                     struct authority_revocation *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(ledger_deinit) struct ledger revoked = { 0 };
	_cleanup_(authority_revocation_deinit) struct authority_revocation r = { 0 };
	struct search s = { .now_ms = clock_wall_ms() };
	struct rotation rotation = { 0 };
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = authority_read_rotation(directory, &rotation, err);
	if (rc == 0)
		rc = ledger_load_revoked(directory, &revoked, err);
	if (rc == 0)
		rc = find_targets(directory, o->what, &rotation, &s, &r.known, err);
	if (rc == 0 && !o->even_own)
		rc = check_own(o, &s.found, err);
	if (rc == 0)
		sort_out(&r, &s.found, &revoked, s.now_ms);
	ledger_deinit(&s.found);
	if (rc == 0 && !o->dry_run && r.certificates.count > 0)
		rc = save(directory, &revoked, &r, &rotation, s.now_ms, err);
	if (rc < 0)
		return rc;
	*ret = r;
	r = (struct authority_revocation){ 0 };
	return 0;
}

int authority_list_revoked(const char *directory, struct ledger *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(ledger_deinit) struct ledger all = { 0 };
	struct ledger good = { 0 };
	uint64_t now_ms = clock_wall_ms();
	int rc = authority_lock(directory, &fd, err);

	if (rc == 0)
		rc = ledger_load_revoked(directory, &all, err);
	if (rc < 0)
		return rc;
	good.number = all.number;
	for (size_t i = 0; i < all.count; i++) {
		if (all.entries[i].expires_ms > now_ms)
			ledger_add(&good, &all.entries[i]);
	}
	*ret = good;
	return 0;
}
