/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki import: an authority, or the certificate of a member, that somebody else has made. The
 * first only begins what drover pki rotate then does. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/files.h"
#include "pki/import.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#include <string.h>

static int import_authority(struct session *s, const struct host_paths *paths,
                            const struct import *i, struct error *err)
{
	int rc = authority_begin_rotation(paths->authority, i->certificate.pem, i->key.pem, err);

	if (rc == 0) {
		session_say(s, "taken      \"%s\" as the cluster's next authority, into %s",
		            i->facts.name, paths->authority);
		session_say(s, "next       drover pki rotate: everybody comes to trust it, then to "
		               "have a certificate of it");
	}
	return rc;
}

/* The daemon that runs takes only what names the same. */
static int check_same(const char *path, const struct import *i, struct error *err)
{
	_cleanup_free_ char *have = NULL;
	struct certificate_facts facts = { 0 };

	if (files_read(path, &have, NULL) < 0 || certificate_read(have, &facts, NULL) < 0 ||
	    strcmp(facts.uri, i->facts.uri) == 0)
		return 0;
	return error_set(err, ERROR_REFUSED, "%s: it is that of %s, and %s is that of %s",
	                 i->certificate.path, i->facts.uri, path, facts.uri);
}

static int import_member(struct session *s, const struct host_paths *paths, const struct import *i,
                         struct error *err)
{
	const struct file_mode public = { 0644, (gid_t)-1, true },
			       secret = { 0600, (gid_t)-1, true };
	const char *name = mesh_role_name(i->identity.role);
	_cleanup_free_ char *certificate = host_certificate_path(paths, name);
	_cleanup_free_ char *key = host_key_path(paths, name);
	int rc = check_same(certificate, i, err);

	if (rc == 0)
		rc = files_make_directory(paths->etc, 0755, err);
	/* Interrupted between two of them, the same command again sets it right. */
	if (rc == 0)
		rc = files_write(paths->ca, i->ca.pem, public, err);
	if (rc == 0)
		rc = files_write(key, i->key.pem, secret, err);
	if (rc == 0)
		rc = files_write(certificate, i->certificate.pem, public, err);
	if (rc == 0)
		session_say(
			s,
			"taken      %s for %s; a daemon that runs uses it within 5 s, and whoever "
			"has made it renews it",
			certificate, i->facts.uri);
	return rc;
}

enum exit_code pki_import_run(const struct invocation *invocation)
{
	const struct word_list *words = &invocation->words;
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	_cleanup_(import_deinit) struct import i = {
		.certificate.path = words->items[0],
		.key.path = words->items[1],
		.ca.path = words->count > 2 ? words->items[2] : NULL,
	};
	struct session s;
	struct error err = { 0 };
	enum exit_code code = setup_begin(&s, invocation, &paths);
	int rc;

	if (code != EXIT_DONE)
		return code;
	rc = import_load(&i, clock_wall_ms(), &err);
	if (rc == 0)
		rc = i.facts.authority ? import_authority(&s, &paths, &i, &err)
		                       : import_member(&s, &paths, &i, &err);
	return rc < 0 ? setup_fail(&s, "import", &err) : EXIT_DONE;
}
