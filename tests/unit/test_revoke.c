/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that are taken back: what the authority keeps, whom it refuses, the lists that it signs,
 * and what a member takes of them. An authority in a directory of its own, no connections. */
#include "pki/authority.h"
#include "pki/certificate_list.h"
#include "pki/files.h"
#include "pki/join_client.h"
#include "pki/keeper.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct world {
	char directory[32];
	char *authority;
};

static int setup(void **state)
{
	struct world *w = xnew(struct world);
	const struct authority_place place = { "lab7", "tcp://127.0.0.1:7780", "127.0.0.1:7781" };
	struct error err;

	snprintf(w->directory, sizeof(w->directory), "/tmp/test_revoke.XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	w->authority = xasprintf("%s/pki", w->directory);
	assert_int_equal(authority_create(w->authority, &place, &err), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	scratch_remove(w->directory);
	free(w->authority);
	free(w);
	return 0;
}

/* A member with its keys. */
static void issue(struct world *w, enum mesh_role role, const char *name, struct join_result *ret)
{
	const struct authority_order order = { .role = role, .name = name, .address = "127.0.0.1" };
	struct bytes requests[AUTHORITY_REQUESTS];
	struct error err;

	assert_int_equal(join_new_keys(ret, requests, &err), 0);
	assert_int_equal(authority_issue(w->authority, &order, requests, &ret->grant, &err), 0);
	join_requests_deinit(requests);
}

static void read_serial(const char *certificate, char ret_serial[CERTIFICATE_SERIAL_BYTES])
{
	struct certificate_facts facts = { 0 };
	struct error err;

	assert_int_equal(certificate_read(certificate, &facts, &err), 0);
	snprintf(ret_serial, CERTIFICATE_SERIAL_BYTES, "%s", facts.serial);
}

/* How many certificates it takes back; below 0: why not. */
static int revoke_by(struct world *w, const struct authority_member *caller, const char *what,
                     bool even_own, struct error *err)
{
	const struct authority_revoke_order order = { .what = what,
		                                      .caller = caller,
		                                      .even_own = even_own };
	_cleanup_(authority_revocation_deinit) struct authority_revocation r = { 0 };
	int rc = authority_revoke(w->authority, &order, &r, err);

	return rc < 0 ? rc : (int)r.certificates.count;
}

static int revoke_one(struct world *w, const char *what, struct error *err)
{
	return revoke_by(w, NULL, what, false, err);
}

static int renew(struct world *w, enum mesh_role role, const char *name, const char *serial,
                 const struct join_result *keys, struct error *err)
{
	const struct authority_member member = { role, name, serial };
	_cleanup_(authority_grant_deinit) struct authority_grant grant = { 0 };
	struct bytes requests[AUTHORITY_REQUESTS] = { 0 };
	int rc = certificate_new_request(keys->key, &requests[AUTHORITY_MESH], err);

	if (rc == 0)
		rc = authority_renew(w->authority, &member, requests, &grant, err);
	free(requests[AUTHORITY_MESH].data);
	return rc;
}

/* F75: all that a name has is taken back, for each purpose; it is renewed no more, by whichever of its
 * certificates; others are, and a new one for the name is good again. */
static void f75_all_of_a_name(void **state)
{
	struct world *w = *state;
	_cleanup_(join_result_deinit) struct join_result two = { 0 };
	_cleanup_(join_result_deinit) struct join_result three = { 0 };
	_cleanup_(join_result_deinit) struct join_result again = { 0 };
	char serial[CERTIFICATE_SERIAL_BYTES], other[CERTIFICATE_SERIAL_BYTES];
	struct error err;

	issue(w, MESH_ROLE_AGENT, "host2", &two);
	issue(w, MESH_ROLE_AGENT, "host3", &three);
	read_serial(two.grant.certificate, serial);
	read_serial(three.grant.certificate, other);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", serial, &two, &err), 0);
	/* The one that it got by that, too. */
	assert_int_equal(revoke_one(w, "host2", &err), 4);
	assert_int_equal(revoke_one(w, "agent/host2", &err), 0);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", serial, &two, &err), -ERROR_PERMISSION);
	assert_non_null(strstr(err.text, "was revoked at"));
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", NULL, &two, &err), -ERROR_PERMISSION);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host3", other, &three, &err), 0);
	issue(w, MESH_ROLE_AGENT, "host2", &again);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", serial, &two, &err), -ERROR_PERMISSION);
	read_serial(again.grant.certificate, serial);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", serial, &again, &err), 0);
}

/* F75: one serial is one certificate: the same host's newer one stays good, and the old one gets
 * nothing. How it is written does not matter. */
static void f75_one_serial(void **state)
{
	struct world *w = *state;
	_cleanup_(join_result_deinit) struct join_result old = { 0 };
	_cleanup_(join_result_deinit) struct join_result new = { 0 };
	char serial[CERTIFICATE_SERIAL_BYTES], newer[CERTIFICATE_SERIAL_BYTES], text[64] = "0x00";
	struct error err;

	issue(w, MESH_ROLE_AGENT, "host2", &old);
	issue(w, MESH_ROLE_AGENT, "host2", &new);
	read_serial(old.grant.certificate, serial);
	read_serial(new.grant.certificate, newer);
	strcat(text, serial);
	assert_int_equal(revoke_one(w, text, &err), 1);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", serial, &old, &err), -ERROR_PERMISSION);
	assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", newer, &new, &err), 0);
}

/* What cannot be meant is refused and changes nothing; what is one's own only with the word for it. */
static void test_refused(void **state)
{
	static const struct {
		const char *what;
		int rc;
	} bad[] = {
		{ "nobody", -ERROR_NOT_FOUND },
		{ "agent/nobody", -ERROR_NOT_FOUND },
		{ "king/arthur", -ERROR_INVALID },
		{ "agent/../x", -ERROR_INVALID },
		{ "/", -ERROR_INVALID },
		{ "12AB", -ERROR_NOT_FOUND },
		{ "coordinator/c1", -ERROR_REFUSED },
		{ "ann", -ERROR_REFUSED },
		{ "both", -ERROR_INVALID },
		{ "", -ERROR_NOT_FOUND },
	};
	struct world *w = *state;
	const struct authority_member ann = { MESH_ROLE_ADMIN, "ann", NULL };
	static const struct {
		enum mesh_role role;
		const char *name;
	} members[] = { { MESH_ROLE_COORDINATOR, "c1" },
		        { MESH_ROLE_ADMIN, "ann" },
		        { MESH_ROLE_AGENT, "both" },
		        { MESH_ROLE_VIEWER, "both" } };
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		_cleanup_(join_result_deinit) struct join_result r = { 0 };

		issue(w, members[i].role, members[i].name, &r);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int rc = revoke_by(w, &ann, bad[i].what, false, &err);

		if (rc != bad[i].rc)
			fail_msg("\"%s\": %d", bad[i].what, rc);
	}
	assert_int_equal(authority_list_revoked(w->authority, &l, &err), 0);
	assert_int_equal(l.number, 0);
	assert_int_equal(revoke_by(w, &ann, "ann", true, &err), 1);
	assert_int_equal(revoke_by(w, &ann, "viewer/both", false, &err), 1);
	/* Signed by somebody else with our key: in no book, and taken back all the same. */
	assert_int_equal(revoke_by(w, &ann, "0123456789ABCDEF0123", false, &err), 1);
}

/* A line of what is revoked that cannot be understood stops everything: nobody may be let in by a
 * mistake. */
static void test_nonsense(void **state)
{
	static const char *const texts[] = {
		"\n",
		"nonsense\n",
		"number 0\n",
		"number 7\n0 1 XYZ 1 2 3 agent host2\n",
		"number 7\n9 1 AB 1 2 3 agent host2\n",
		"number 7\n0 1 AB 1 2 3 agent\n",
		"number 7\n0 1 AB 1 2 3 none host2\n",
		"number 7\n0 1 AB 1 2 3 agent host2 more\n",
	};
	struct world *w = *state;
	_cleanup_free_ char *path = xasprintf("%s/revoked", w->authority);
	const struct file_mode mode = { 0600, (gid_t)-1, true };
	_cleanup_(join_result_deinit) struct join_result two = { 0 };
	struct error err;

	issue(w, MESH_ROLE_AGENT, "host2", &two);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct ledger l = { 0 };

		assert_int_equal(files_write(path, texts[i], mode, &err), 0);
		if (authority_list_revoked(w->authority, &l, &err) != -ERROR_INVALID)
			fail_msg("taken: %s", texts[i]);
		assert_int_equal(renew(w, MESH_ROLE_AGENT, "host2", NULL, &two, &err),
		                 -ERROR_INVALID);
	}
}

/* --- what members take --- */

struct member {
	struct keeper_files files;
	char *ca, *certificate, *key, *crl;
};

static void write_file(const char *path, const char *text)
{
	const struct file_mode mode = { 0600, (gid_t)-1, true };
	struct error err;

	assert_int_equal(files_write(path, text, mode, &err), 0);
}

static void member_init(struct member *m, struct world *w, const struct join_result *r)
{
	m->ca = xasprintf("%s/ca.pem", w->directory);
	m->certificate = xasprintf("%s/cert.pem", w->directory);
	m->key = xasprintf("%s/key.pem", w->directory);
	m->crl = xasprintf("%s/crl.pem", w->directory);
	write_file(m->ca, r->grant.ca);
	write_file(m->certificate, r->grant.certificate);
	write_file(m->key, r->key);
	keeper_files_init(&m->files, m->ca, m->certificate, m->key, m->crl, NULL, NULL);
}

static void member_deinit(struct member *m)
{
	keeper_files_deinit(&m->files);
	free(m->ca);
	free(m->certificate);
	free(m->key);
	free(m->crl);
}

static bool sync_changes(struct member *m, struct world *w)
{
	struct keeper_view view;
	bool changed;
	struct error err = { 0 };

	if (keeper_sync(&m->files, w->authority, &view, &changed, &err) < 0)
		fail_msg("%s", err.text);
	/* What was not there is no trouble that somebody would log. */
	assert_int_equal(err.code, ERROR_NONE);
	return changed;
}

/* A member has no list before somebody is revoked, gets it once, a newer one when there is one, and
 * through a replacement of the authority one that all that it trusts have signed. */
static void f75_lists_reach_members(void **state)
{
	struct world *w = *state;
	_cleanup_(join_result_deinit) struct join_result two = { 0 };
	_cleanup_(join_result_deinit) struct join_result three = { 0 };
	_cleanup_(member_deinit) struct member m = { 0 };
	_cleanup_free_ struct certificate_list_entry *entries = NULL;
	_cleanup_free_ char *text = NULL, *ca = NULL;
	char serial[CERTIFICATE_SERIAL_BYTES];
	uint64_t number = 0;
	size_t count = 0;
	struct error err;

	issue(w, MESH_ROLE_AGENT, "host2", &two);
	issue(w, MESH_ROLE_AGENT, "host3", &three);
	member_init(&m, w, &two);
	assert_false(sync_changes(&m, w));
	assert_false(files_exist(m.crl));
	assert_true(revoke_one(w, "host3", &err) > 0);
	assert_true(sync_changes(&m, w));
	assert_false(sync_changes(&m, w));
	assert_int_equal(files_read(m.crl, &text, &err), 0);
	assert_int_equal(certificate_list_read(text, &entries, &count, &err), 0);
	assert_int_equal(count, 1);
	read_serial(three.grant.certificate, serial);
	assert_string_equal(entries[0].serial, serial);
	assert_true(entries[0].revoked_ms + 60000 > clock_wall_ms());
	/* Both authorities have signed, and the new one has revoked nobody. */
	assert_int_equal(authority_begin_rotation(w->authority, NULL, NULL, &err), 0);
	assert_true(sync_changes(&m, w));
	assert_false(sync_changes(&m, w));
	free(text);
	text = NULL;
	assert_int_equal(files_read(m.crl, &text, &err), 0);
	assert_non_null(strstr(strstr(text, "BEGIN X509 CRL") + 1, "BEGIN X509 CRL"));
	assert_int_equal(files_read(m.ca, &ca, &err), 0);
	assert_int_equal(certificate_list_check(text, ca, &number, &err), 0);
	assert_true(number > 0);
}

/* A list that would cut off everybody is not taken: of another authority, or no list at all. Nor is an
 * older one than there is; one that cannot be read is replaced. */
static void test_lists_that_are_not_taken(void **state)
{
	struct world *w = *state;
	_cleanup_(join_result_deinit) struct join_result two = { 0 };
	_cleanup_(join_result_deinit) struct join_result three = { 0 };
	_cleanup_(member_deinit) struct member m = { 0 };
	_cleanup_free_ char *other = NULL, *other_key = NULL, *strange = NULL, *first = NULL;
	char *lists[AUTHORITY_REQUESTS] = { 0 };
	bool changed = false;
	struct error err;

	issue(w, MESH_ROLE_AGENT, "host2", &two);
	issue(w, MESH_ROLE_AGENT, "host3", &three);
	member_init(&m, w, &two);
	certificate_new_authority("drover lab7", &other, &other_key);
	assert_int_equal(certificate_list_sign(other, other_key, NULL, 0, 1, &strange, &err), 0);
	lists[0] = strange;
	assert_int_equal(keeper_take_revoked(&m.files, lists, &changed, &err), -ERROR_IDENTITY);
	lists[0] = (char *)"-----BEGIN X509 CRL-----\nMIIB\n";
	assert_int_equal(keeper_take_revoked(&m.files, lists, &changed, &err), -ERROR_INVALID);
	lists[0] = (char *)"nothing";
	assert_int_equal(keeper_take_revoked(&m.files, lists, &changed, &err), -ERROR_INVALID);
	assert_false(changed);
	assert_false(files_exist(m.crl));

	assert_true(revoke_one(w, "host3", &err) > 0);
	assert_true(sync_changes(&m, w));
	assert_int_equal(files_read(m.crl, &first, &err), 0);
	assert_int_equal(revoke_one(w, "0123456789ABCDEF0123", &err), 1);
	assert_true(sync_changes(&m, w));
	lists[0] = first;
	assert_int_equal(keeper_take_revoked(&m.files, lists, &changed, &err), 0);
	assert_false(changed);
	write_file(m.crl, "half a li");
	assert_true(sync_changes(&m, w));
	/* An old one that somebody has put back. */
	write_file(m.crl, first);
	assert_true(sync_changes(&m, w));
}

/* --- people --- */

static int issue_person(struct world *w, enum mesh_role role, const char *name, uint64_t life_s,
                        struct error *err)
{
	const struct authority_order order = { .role = role, .name = name, .life_s = life_s };
	_cleanup_(authority_grant_deinit) struct authority_grant grant = { 0 };
	_cleanup_free_ char *key = certificate_new_key();
	struct bytes request = { 0 };
	int rc;

	assert_int_equal(certificate_new_request(key, &request, err), 0);
	rc = authority_issue_person(w->authority, &order, &request, &grant, err);
	free(request.data);
	if (rc == 0) {
		struct certificate_facts facts = { 0 };

		assert_int_equal(certificate_read(grant.certificate, &facts, err), 0);
		assert_int_equal(certificate_check_use(grant.certificate, true, err),
		                 -ERROR_INVALID);
		if (life_s)
			assert_in_range(facts.not_after_ms, clock_wall_ms() + (life_s - 60) * 1000,
			                clock_wall_ms() + (life_s + 60) * 1000);
	}
	return rc;
}

/* F74: a person gets a person's role, once, for as long as was said; a name that was taken back can be
 * given again. */
static void f74_people(void **state)
{
	struct world *w = *state;
	struct error err;

	assert_int_equal(issue_person(w, MESH_ROLE_OPERATOR, "ann", 7 * 86400, &err), 0);
	assert_int_equal(issue_person(w, MESH_ROLE_OPERATOR, "ann", 0, &err), -ERROR_REFUSED);
	assert_non_null(strstr(err.text, "drover pki revoke operator/ann"));
	assert_int_equal(issue_person(w, MESH_ROLE_VIEWER, "ann", 0, &err), 0);
	assert_int_equal(issue_person(w, MESH_ROLE_AGENT, "host9", 0, &err), -ERROR_INVALID);
	assert_int_equal(issue_person(w, MESH_ROLE_COORDINATOR, "c9", 0, &err), -ERROR_INVALID);
	assert_int_equal(issue_person(w, MESH_ROLE_NONE, "x", 0, &err), -ERROR_INVALID);
	assert_int_equal(issue_person(w, MESH_ROLE_ADMIN, "../x", 0, &err), -ERROR_INVALID);
	assert_int_equal(issue_person(w, MESH_ROLE_ADMIN, "x", 1, &err), -ERROR_INVALID);
	assert_int_equal(issue_person(w, MESH_ROLE_ADMIN, "x", UINT64_MAX, &err), -ERROR_INVALID);
	assert_int_equal(revoke_one(w, "operator/ann", &err), 1);
	assert_int_equal(issue_person(w, MESH_ROLE_OPERATOR, "ann", 0, &err), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(f75_all_of_a_name),
		CASE(f75_one_serial),
		CASE(test_refused),
		CASE(test_nonsense),
		CASE(f75_lists_reach_members),
		CASE(test_lists_that_are_not_taken),
		CASE(f74_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
