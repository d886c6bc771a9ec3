/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki status: the certificates of this host, whose they are, until when, and when they renew
 * themselves; what is revoked; and on the authority's own host, where its replacement stands. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/certificate_list.h"
#include "pki/files.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#define DAY_MS    ((uint64_t)24 * 60 * MINUTES_MS(1))
#define WARN_DAYS 30

DEFINE_CLEANUP(struct table *, table_free);

enum pki_column { PKI_FILE, PKI_WHOSE, PKI_BY, PKI_UNTIL, PKI_RENEWS, PKI_STATE, PKI_COLUMNS };

static const struct column pki_columns[PKI_COLUMNS] = {
	[PKI_FILE] = { "FILE" },   [PKI_WHOSE] = { "WHOSE" },        [PKI_BY] = { "SIGNED BY" },
	[PKI_UNTIL] = { "UNTIL" }, [PKI_RENEWS] = { "RENEWS FROM" }, [PKI_STATE] = { "STATE" },
};

/* Whether nobody needs to do anything about it. */
static bool set_state(struct table *t, const struct certificate_facts *f, uint64_t now_ms)
{
	unsigned long long days;

	if (f->not_before_ms > now_ms) {
		table_set(t, PKI_STATE, "not valid yet: check the clock");
		table_set_colour(t, PKI_STATE, COLOUR_RED);
		return false;
	}
	if (f->not_after_ms <= now_ms) {
		table_set(t, PKI_STATE, "ended");
		table_set_colour(t, PKI_STATE, COLOUR_RED);
		return false;
	}
	days = (f->not_after_ms - now_ms) / DAY_MS;
	/* Of a life that is short on purpose. */
	if (days < WARN_DAYS && !f->authority && !certificate_is_due(f, now_ms)) {
		table_set(t, PKI_STATE, "good");
		return true;
	}
	table_set(t, PKI_STATE, days < WARN_DAYS ? "ends in %llu days" : "good for %llu days",
	          days);
	if (days < WARN_DAYS)
		table_set_colour(t, PKI_STATE, COLOUR_YELLOW);
	return days >= WARN_DAYS;
}

/* A file that is not there is no row. */
static bool add_file(struct table *t, const char *path, size_t *count)
{
	_cleanup_free_ char *pem = NULL;
	struct certificate_facts f;
	struct error err = { 0 };
	char text[CLOCK_TEXT_BYTES];

	if (!files_exist(path))
		return true;
	++*count;
	table_add_row(t);
	table_set(t, PKI_FILE, "%s", path);
	if (files_read(path, &pem, &err) < 0 || certificate_read(pem, &f, &err) < 0) {
		table_set(t, PKI_STATE, "%s", err.text);
		table_set_colour(t, PKI_STATE, COLOUR_RED);
		return false;
	}
	table_set(t, PKI_WHOSE, "%s", f.uri[0] ? f.uri : f.name);
	table_set(t, PKI_BY, "%s", f.authority ? "itself" : f.issuer);
	table_set(t, PKI_UNTIL, "%s", clock_format_wall(f.not_after_ms, text));
	if (!f.authority)
		table_set(t, PKI_RENEWS, "%s", clock_format_wall(certificate_get_due_ms(&f), text));
	return set_state(t, &f, clock_wall_ms());
}

/* Only where it is. */
static bool add_authority(struct session *s, const struct host_paths *paths)
{
	_cleanup_(authority_progress_deinit) struct authority_progress p = { 0 };
	struct error err = { 0 };

	if (!authority_exists(paths->authority))
		return true;
	if (authority_get_progress(paths->authority, &p, &err) < 0) {
		setup_fail(s, "the authority", &err);
		return false;
	}
	pki_print_progress(s->out.file, &p);
	return true;
}

/* --- what is revoked --- */

static void say_revoked(const struct session *s, const char *serial, uint64_t revoked_ms,
                        const char *rest)
{
	char when[CLOCK_TEXT_BYTES];

	fprintf(s->out.file, "revoked    %s since %s%s\n", serial,
	        clock_format_wall(revoked_ms, when), rest);
}

/* As the authority has it: with names, and for which purpose. */
static int print_book(const struct session *s, const char *authority, struct error *err)
{
	static const char *const purposes[AUTHORITY_REQUESTS] = { "", " for QEMU's TLS",
		                                                  " for libvirt's remote" };
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	int rc = authority_list_revoked(authority, &l, err);

	for (size_t i = 0; rc == 0 && i < l.count; i++) {
		const struct ledger_entry *e = &l.entries[i];
		_cleanup_free_ char *rest = e->role == MESH_ROLE_NONE
		                                    ? xstrdup(", of nobody that is known here")
		                                    : xasprintf(", of %s %s%s",
		                                                mesh_role_name(e->role), e->name,
		                                                purposes[e->kind]);

		say_revoked(s, e->serial, e->revoked_ms, rest);
	}
	return rc;
}

/* As a member has it: what it refuses in the mesh. */
static int print_list(const struct session *s, const char *path, struct error *err)
{
	_cleanup_free_ struct certificate_list_entry *entries = NULL;
	_cleanup_free_ char *text = NULL;
	size_t count = 0;
	int rc = files_read(path, &text, err);

	if (rc == -ERROR_NOT_FOUND)
		return 0;
	if (rc == 0)
		rc = certificate_list_read(text, &entries, &count, err);
	if (rc < 0)
		return error_context(err, "%s", path);
	for (size_t i = 0; i < count; i++)
		say_revoked(s, entries[i].serial, entries[i].revoked_ms, "");
	return 0;
}

static bool add_revoked(struct session *s, const struct host_paths *paths)
{
	_cleanup_free_ char *path = xasprintf("%s/crl.pem", paths->etc);
	struct error err = { 0 };
	int rc = authority_exists(paths->authority) ? print_book(s, paths->authority, &err)
	                                            : print_list(s, path, &err);

	if (rc < 0)
		setup_fail(s, "what is revoked", &err);
	return rc == 0;
}

enum exit_code pki_status_run(const struct invocation *invocation)
{
	static const char *const ours[] = { "ca", "coordinator", "agent", "admin" };
	static const char *const qemu[] = { "ca-cert", "server-cert", "client-cert" };
	static const char *const libvirt[] = { "CA/cacert", "libvirt/servercert",
		                               "libvirt/clientcert" };
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	_cleanup_(table_freep) struct table *t = NULL;
	struct session s;
	enum exit_code code = setup_begin(&s, invocation, &paths);
	bool good = true;
	size_t count = 0;

	if (code != EXIT_DONE)
		return code;
	t = table_new(&s.out, pki_columns, PKI_COLUMNS);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		_cleanup_free_ char *path = host_certificate_path(&paths, ours[i]);

		good &= add_file(t, path, &count);
	}
	for (size_t i = 0; i < ARRAY_SIZE(qemu); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s.pem", paths.qemu_tls, qemu[i]);

		good &= add_file(t, path, &count);
	}
	for (size_t i = 0; i < ARRAY_SIZE(libvirt); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s.pem", paths.libvirt_pki, libvirt[i]);

		good &= add_file(t, path, &count);
	}
	if (count == 0) {
		fprintf(s.err.file,
		        "drover: this host has no certificates of drover's: drover init, or drover "
		        "join\n");
		return EXIT_NOT_FOUND;
	}
	table_print(t);
	good &= add_authority(&s, &paths);
	good &= add_revoked(&s, &paths);
	return good ? EXIT_DONE : EXIT_PARTLY;
}
