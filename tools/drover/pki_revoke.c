/* SPDX-License-Identifier: Apache-2.0 */
/* drover pki revoke: a certificate that nobody is to let in any more. It cannot be taken back, so the
 * coordinator says first which ones are meant, and a person answers by typing what was asked for, or
 * said --yes. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/pki.pb-c.h"
#include "tools/drover/commands.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static const char *purpose_name(unsigned purpose)
{
	static const char *const names[] = { "the mesh", "QEMU's TLS", "libvirt's remote" };

	return purpose < ARRAY_SIZE(names) ? names[purpose] : "something new";
}

static void print_certificates(const struct session *s, const Drover__V1__PkiRevokeReply *reply)
{
	char until[CLOCK_TEXT_BYTES];

	if (s->options->quiet)
		return;
	for (size_t i = 0; i < reply->n_certificates; i++) {
		const Drover__V1__PkiCertificate *c = reply->certificates[i];
		_cleanup_free_ char *serial = text_escape(c->serial, s->err.ascii);
		_cleanup_free_ char *name = text_escape(c->name, s->err.ascii);
		_cleanup_free_ char *role = text_escape(c->role, s->err.ascii);

		if (reply->unknown)
			fprintf(s->err.file,
			        "  - %s, for %s; in no book: nobody here knows whose\n", serial,
			        purpose_name(c->purpose));
		else
			fprintf(s->err.file, "  - %s, for %s, of %s %s, good until %s\n", serial,
			        purpose_name(c->purpose), role, name,
			        clock_format_wall(c->expires_wall_ms, until));
	}
}

static enum exit_code ask(struct session *s, const char *what, bool dry_run,
                          Drover__V1__PkiRevokeReply **ret)
{
	Drover__V1__PkiRevokeRequest request = DROVER__V1__PKI_REVOKE_REQUEST__INIT;
	_cleanup_free_ char *shown = text_escape(what, s->err.ascii);
	_cleanup_free_ char *doing = xasprintf("revoking %s", shown);

	request.name = (char *)what;
	request.reason = (char *)(s->options->reason ? s->options->reason : "");
	request.dry_run = dry_run;
	request.even_own = s->options->even_own;
	return session_call(s, doing, "drover.v1.Pki/Revoke", &request.base,
	                    (ProtobufCMessage **)ret);
}

static bool confirm(const struct session *s, const char *what)
{
	_cleanup_free_ char *shown = text_escape(what, s->err.ascii);
	char answer[512];

	if (s->options->yes)
		return true;
	if (s->options->no_input || !s->err.terminal || !isatty(STDIN_FILENO)) {
		fprintf(s->err.file,
		        "drover: nothing was done: nobody is there to confirm it; with "
		        "--yes it is done unasked\n");
		return false;
	}
	fprintf(s->err.file, "\nThis cannot be taken back. Type %s to go on: ", shown);
	fflush(s->err.file);
	if (fgets(answer, sizeof(answer), stdin)) {
		answer[strcspn(answer, "\n")] = '\0';
		if (strcmp(answer, what) == 0)
			return true;
	}
	fprintf(s->err.file, "drover: nothing was done\n");
	return false;
}

static void say_done(struct session *s, const Drover__V1__PkiRevokeReply *reply)
{
	bool qemu = false, libvirt = false;

	for (size_t i = 0; i < reply->n_certificates; i++) {
		qemu |= reply->certificates[i]->purpose == 1;
		libvirt |= reply->certificates[i]->purpose == 2;
	}
	session_say(s, "Revoked. Hosts that are connected refuse it from now on and end its "
	               "connections within ten seconds; others when they are back.");
	session_say(s, "Moves that are under way go on to their end.");
	if (qemu)
		session_say(s,
		            "QEMU reads the list where a guest arrives; where one leaves it knows "
		            "no such list: there only \"drover pki rotate\" makes it useless.");
	if (libvirt)
		session_say(s, "A libvirtd that listens for qemu+tls:// reads the new list when it "
		               "starts, or by \"virt-admin server-update-tls libvirtd\".");
}

static enum exit_code take_back(struct session *s, const char *what)
{
	_cleanup_reply_ Drover__V1__PkiRevokeReply *before = NULL, *after = NULL;
	enum exit_code code = ask(s, what, true, &before);

	if (code != EXIT_DONE)
		return code;
	assert(before);
	if (before->n_certificates == 0) {
		session_say(s, "Nothing to do: it was revoked already.");
		return EXIT_DONE;
	}
	session_say(s, "%s", s->options->dry_run ? "This would be revoked:" : "To be revoked:");
	print_certificates(s, before);
	if (s->options->dry_run)
		return EXIT_DONE;
	if (!confirm(s, what))
		return EXIT_REFUSED;
	code = ask(s, what, false, &after);
	if (code != EXIT_DONE)
		return code;
	assert(after);
	say_done(s, after);
	return EXIT_DONE;
}

enum exit_code pki_revoke_run(const struct invocation *invocation)
{
	struct session s;
	enum exit_code code = session_open(&s, invocation);

	if (code != EXIT_DONE)
		return code;
	code = take_back(&s, invocation->words.items[0]);
	session_close(&s);
	return code;
}
