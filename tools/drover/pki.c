/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki status: the certificates of this host, whose they are, until when, and when they renew
 * themselves; what is revoked; and on the authority's own host, where its replacement stands. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/files.h"
#include "tools/drover/commands.h"
#include "tools/drover/pki_report.h"
#include "tools/drover/setup.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS    ((uint64_t)24 * 60 * MINUTES_MS(1))
#define WARN_DAYS 30

/* Who looks after a file, and so what helps when nobody did. */
enum keeper {
	KEEPER_NONE, /* an authority */
	KEEPER_COORDINATOR,
	KEEPER_ADMIN,
	KEEPER_AGENT,
	KEEPER_AGENT_OF_OTHERS, /* of QEMU and libvirt: the agent, too */
};

static enum pki_state judge(const struct certificate_facts *f, uint64_t now_ms)
{
	bool due = certificate_is_due(f, now_ms);
	bool soon = f->not_after_ms < now_ms + WARN_DAYS * DAY_MS;

	if (f->not_before_ms > now_ms)
		return PKI_NOT_YET;
	if (f->not_after_ms <= now_ms)
		return PKI_ENDED;
	/* A life that is short on purpose is no reason to warn. */
	if (soon && (f->authority || due))
		return PKI_ENDS_SOON;
	return !f->authority && due ? PKI_DUE : PKI_GOOD;
}

/* --- what helps --- */

static char *help_agent(const struct host_paths *paths, const struct pki_row *row,
                        enum keeper keeper)
{
	const char *name = strrchr(row->facts.uri, '/');

	if (keeper == KEEPER_AGENT && (row->state == PKI_ENDED || row->state == PKI_UNREADABLE))
		return xasprintf("it cannot be renewed any more. On the host where the cluster was "
		                 "made: drover token create --node %s. Here: move agent.pem, "
		                 "agent-key.pem and agent.yaml out of %s, then drover join TOKEN",
		                 name ? name + 1 : "NAME", paths->etc);
	return xstrdup("see that drover-agent runs here and is connected (drover nodes); its log "
	               "says why it has not renewed it");
}

static char *help_admin(const struct host_paths *paths, const struct pki_row *row)
{
	if (row->state == PKI_ENDED || row->state == PKI_UNREADABLE)
		return xstrdup("as root on the coordinator's host: drover pki issue admin NAME");
	return xasprintf("drover pki renew -H tcp://COORDINATOR:7780 --ca %s --cert %s --key "
	                 "%s/admin-key.pem",
	                 paths->ca, row->path, paths->etc);
}

static char *find_help(const struct host_paths *paths, const struct pki_row *row,
                       enum keeper keeper, bool foreign)
{
	if (row->state == PKI_GOOD)
		return NULL;
	if (row->state == PKI_NOT_YET)
		return xstrdup("set this host's clock: timedatectl");
	if (foreign)
		return xstrdup("it is not drover's: whoever made it renews it");
	if (keeper == KEEPER_NONE && row->state == PKI_ENDED)
		return xstrdup("nobody whom it has signed is let in any more, so it cannot be "
		               "replaced over the mesh: make the cluster anew (drover help init); "
		               "guests go on");
	if (keeper == KEEPER_NONE)
		return xstrdup("on the host where the cluster was made, while all hosts are "
		               "connected: drover pki rotate");
	if (keeper == KEEPER_AGENT || keeper == KEEPER_AGENT_OF_OTHERS)
		return help_agent(paths, row, keeper);
	if (authority_exists(paths->authority))
		return xstrdup("see that drover-coordinator runs here; its log says why it has not "
		               "renewed it");
	if (keeper == KEEPER_ADMIN)
		return help_admin(paths, row);
	return xstrdup("this coordinator has no authority: drover pki import CERTIFICATE KEY CA");
}

/* --- looking --- */

/* A file that is not there is no row. */
static void look_at_file(struct pki_report *r, const struct host_paths *paths, char *path,
                         enum keeper keeper, bool foreign)
{
	struct pki_row *row = &r->rows[r->n_rows];
	_cleanup_free_ char *pem = NULL;
	struct error err = { 0 };

	if (!files_exist(path) || r->n_rows == PKI_ROWS_MAX) {
		free(path);
		return;
	}
	r->n_rows++;
	row->path = path;
	if (files_read(path, &pem, &err) < 0 || certificate_read(pem, &row->facts, &err) < 0) {
		row->state = PKI_UNREADABLE;
		snprintf(row->problem, sizeof(row->problem), "%s", err.text);
	} else {
		row->state = judge(&row->facts, r->now_ms);
	}
	row->helps = find_help(paths, row, keeper, foreign);
}

static void look_at_files(struct pki_report *r, const struct host_paths *paths)
{
	static const struct {
		const char *name;
		enum keeper keeper;
	} ours[] = { { "ca", KEEPER_NONE },
		     { "coordinator", KEEPER_COORDINATOR },
		     { "agent", KEEPER_AGENT },
		     { "admin", KEEPER_ADMIN } };
	static const char *const qemu[] = { "ca-cert", "server-cert", "client-cert" };
	static const char *const libvirt[] = { "CA/cacert", "libvirt/servercert",
		                               "libvirt/clientcert" };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		look_at_file(r, paths, host_certificate_path(paths, ours[i].name), ours[i].keeper,
		             false);
	for (size_t i = 0; i < ARRAY_SIZE(qemu); i++)
		look_at_file(r, paths, xasprintf("%s/%s.pem", paths->qemu_tls, qemu[i]),
		             i ? KEEPER_AGENT_OF_OTHERS : KEEPER_NONE, paths->qemu_tls_is_foreign);
	for (size_t i = 0; i < ARRAY_SIZE(libvirt); i++)
		look_at_file(r, paths, xasprintf("%s/%s.pem", paths->libvirt_pki, libvirt[i]),
		             i ? KEEPER_AGENT_OF_OTHERS : KEEPER_NONE,
		             paths->libvirt_tls_is_foreign);
}

/* As a member has it: what it refuses in the mesh. */
static int read_refused(struct pki_report *r, const char *path, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int rc = files_read(path, &text, err);

	if (rc == -ERROR_NOT_FOUND)
		return 0;
	if (rc == 0)
		rc = certificate_list_read(text, &r->refused, &r->n_refused, err);
	return rc < 0 ? error_context(err, "%s", path) : 0;
}

/* Only where it is; else what its members have of it. False, and it was said, if that cannot be read. */
static bool look_at_authority(struct session *s, struct pki_report *r,
                              const struct host_paths *paths)
{
	_cleanup_free_ char *path = xasprintf("%s/crl.pem", paths->etc);
	bool here = authority_exists(paths->authority), good = true;
	struct error err = { 0 };

	if (here && authority_get_progress(paths->authority, &r->progress, &err) < 0) {
		setup_fail(s, "the authority", &err);
		good = false;
	}
	r->has_authority = here && good;
	if ((here ? authority_list_revoked(paths->authority, &r->book, &err)
	          : read_refused(r, path, &err)) < 0) {
		setup_fail(s, "what is revoked", &err);
		good = false;
	}
	return good;
}

static void deinit(struct pki_report *r)
{
	for (size_t i = 0; i < r->n_rows; i++) {
		free(r->rows[i].path);
		free(r->rows[i].helps);
	}
	authority_progress_deinit(&r->progress);
	ledger_deinit(&r->book);
	free(r->refused);
}

enum exit_code pki_status_run(const struct invocation *invocation)
{
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	_cleanup_(deinit) struct pki_report report = { .now_ms = clock_wall_ms() };
	struct session s;
	enum exit_code code = setup_begin(&s, invocation, &paths);
	bool good;

	if (code != EXIT_DONE)
		return code;
	look_at_files(&report, &paths);
	if (report.n_rows == 0) {
		fprintf(s.err.file,
		        "drover: this host has no certificates of drover's: drover init, or drover "
		        "join\n");
		return EXIT_NOT_FOUND;
	}
	good = look_at_authority(&s, &report, &paths);
	if (s.out.format == OUTPUT_JSON)
		pki_report_print_json(&s.out, &report);
	else
		pki_report_print(&s.out, &report);
	for (size_t i = 0; i < report.n_rows; i++)
		good &= report.rows[i].state <= PKI_DUE;
	return good ? EXIT_DONE : EXIT_PARTLY;
}
