/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki issue: a certificate for a person. The key is made here; what goes to the coordinator is a
 * request for it. Nothing is overwritten, and nothing is asked for that could not be written. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/certificate.h"
#include "pki/files.h"
#include "proto/mesh/identity.h"
#include "proto/pki.pb-c.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_S ((uint64_t)24 * 3600)

struct issue {
	struct session s;
	const char *role, *name;
	char *ca, *certificate, *key; /* paths */
};

static int check_order(const struct issue *i, struct error *err)
{
	enum mesh_role role = mesh_role_from_name(i->role);
	const struct books_claim claim = { NULL, NULL, i->name, "::", "::" };

	if (role != MESH_ROLE_OPERATOR && role != MESH_ROLE_VIEWER && role != MESH_ROLE_ADMIN)
		return error_set(err, ERROR_INVALID,
		                 "\"%.40s\" is no role for a person: viewer looks, operator drains "
		                 "and migrates, admin does all; hosts join with a token",
		                 i->role);
	if (i->s.options->days > CERTIFICATE_CA_DAYS)
		return error_set(err, ERROR_INVALID, "--days: at most %d, ten years",
		                 CERTIFICATE_CA_DAYS);
	return books_check_claim(&claim, err);
}

static int check_free(const struct issue *i, struct error *err)
{
	const char *const paths[] = { i->certificate, i->key, i->ca };
	const char *into = i->s.options->into ? i->s.options->into : ".";

	if (access(into, W_OK) < 0)
		return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_PERMISSION,
		                       errno, "writing to %s", into);
	for (size_t n = 0; n < ARRAY_SIZE(paths); n++) {
		if (files_exist(paths[n]))
			return error_set(err, ERROR_REFUSED,
			                 "%s is there; nothing was touched. --into names another "
			                 "directory",
			                 paths[n]);
	}
	return 0;
}

/* The key first: a certificate without it is of no use to anybody. */
static int write_all(const struct issue *i, const char *key, const Drover__V1__PkiIssueReply *reply,
                     struct error *err)
{
	int rc = files_write(i->key, key, FILES_SECRET, err);

	if (rc == 0)
		rc = files_write(i->ca, reply->ca, FILES_PUBLIC, err);
	if (rc == 0)
		rc = files_write(i->certificate, reply->certificate, FILES_PUBLIC, err);
	return rc < 0 ? error_context(err,
	                              "the certificate %s was made and is lost (drover pki revoke "
	                              "%s/%s, then again)",
	                              reply->serial, i->role, i->name)
	              : 0;
}

static enum exit_code say_issued(struct issue *i, const Drover__V1__PkiIssueReply *reply)
{
	struct certificate_facts facts = { 0 };
	struct error err = { 0 };
	char until[CLOCK_TEXT_BYTES];

	if (certificate_read(reply->certificate, &facts, &err) < 0)
		return setup_fail(&i->s, i->certificate, &err);
	session_say(&i->s, "issued     %s until %s, serial %s", facts.uri,
	            clock_format_wall(facts.not_after_ms, until), facts.serial);
	session_say(&i->s,
	            "files      %s, %s, and the key %s, which was made here and is for its "
	            "holder alone",
	            i->certificate, i->ca, i->key);
	session_say(&i->s, "use        drover -H tcp://COORDINATOR:7780 --ca %s --cert %s --key %s",
	            i->ca, i->certificate, i->key);
	session_say(&i->s, "take back  drover pki revoke %s/%s", i->role, i->name);
	return EXIT_DONE;
}

static enum exit_code ask(struct issue *i, const char *key)
{
	Drover__V1__PkiIssueRequest request = DROVER__V1__PKI_ISSUE_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__PkiIssueReply *reply = NULL;
	struct bytes bytes = { 0 };
	struct error err = { 0 };
	enum exit_code code;

	if (certificate_new_request(key, &bytes, &err) < 0)
		return setup_fail(&i->s, "making a request", &err);
	request.role = (char *)i->role;
	request.name = (char *)i->name;
	request.request = (ProtobufCBinaryData){ bytes.count, bytes.data };
	request.life_s = i->s.options->days * DAY_S;
	code = session_call(&i->s, "issuing a certificate", "drover.v1.Pki/Issue", &request.base,
	                    (ProtobufCMessage **)&reply);
	free(bytes.data);
	if (code != EXIT_DONE)
		return code;
	assert(reply);
	if (certificate_check(reply->certificate, key, reply->ca, NULL, &err) < 0 ||
	    write_all(i, key, reply, &err) < 0)
		return setup_fail(&i->s, "the new certificate", &err);
	return say_issued(i, reply);
}

static enum exit_code issue(struct issue *i, const struct invocation *invocation)
{
	struct error err = { 0 };
	enum exit_code code;
	char *key;

	if (check_order(i, &err) < 0 || check_free(i, &err) < 0)
		return setup_fail(&i->s, "issuing a certificate", &err);
	code = session_open(&i->s, invocation);
	if (code != EXIT_DONE)
		return code;
	key = certificate_new_key();
	code = ask(i, key);
	certificate_forget(key, strlen(key));
	free(key);
	session_close(&i->s);
	return code;
}

enum exit_code pki_issue_run(const struct invocation *invocation)
{
	const struct options *o = &invocation->options;
	struct issue i = { .role = invocation->words.items[0], .name = invocation->words.items[1] };
	const char *into = o->into ? o->into : "", *slash = o->into ? "/" : "";
	enum exit_code code;

	session_init(&i.s, invocation);
	i.ca = xasprintf("%s%s%s-ca.pem", into, slash, i.name);
	i.certificate = xasprintf("%s%s%s.pem", into, slash, i.name);
	i.key = xasprintf("%s%s%s-key.pem", into, slash, i.name);
	code = issue(&i, invocation);
	free(i.ca);
	free(i.certificate);
	free(i.key);
	return code;
}
