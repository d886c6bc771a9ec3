/* SPDX-License-Identifier: Apache-2.0 */
/* See migration_tls.h. */
#include "agent/link/migration_tls.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/files.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

__attribute__((format(printf, 2, 3))) static void problem(struct migration_tls *t,
                                                          const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->problem, sizeof(t->problem), format, args);
	va_end(args);
}

static char *read_file(const char *directory, const char *name, struct error *err)
{
	char path[4096], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return files_read(path, &text, err) < 0 ? NULL : text;
}

static void judge_time(struct migration_tls *t, const char *name, const char *certificate)
{
	uint64_t now_ms = clock_wall_ms(); /* the certificate's own scale */
	struct certificate_facts facts;
	struct error ignored;
	char text[32];
	struct tm tm;
	time_t at;

	if (certificate_read(certificate, &facts, &ignored) < 0) {
		problem(t, "%s holds no certificate that can be read", name);
		return;
	}
	if (now_ms >= facts.not_before_ms && now_ms <= facts.not_after_ms)
		return;
	at = (time_t)((now_ms > facts.not_after_ms ? facts.not_after_ms : facts.not_before_ms) /
	              1000);
	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
	problem(t, now_ms > facts.not_after_ms ? "%s ended at %s UTC" : "%s begins at %s UTC", name,
	        text);
}

static void judge_signer(struct migration_tls *t, const char *name, const char *certificate,
                         const char *authorities)
{
	struct error why;
	int rc = certificate_find_signer(certificate, authorities, t->signer, &why);

	t->has_signer = rc == 0;
	if (rc == -ERROR_IDENTITY)
		problem(t, "%s is signed by none of the authorities of ca-cert.pem beside it",
		        name);
}

void migration_tls_look(const char *directory, const char *address, struct migration_tls *ret)
{
	const char *name = address ? "server-cert.pem" : "client-cert.pem";
	const char *key_name = address ? "server-key.pem" : "client-key.pem";
	_cleanup_free_ char *authorities = NULL, *certificate = NULL, *key = NULL;
	struct migration_tls t = { 0 };
	struct error why;

	*ret = t;
	authorities = read_file(directory, "ca-cert.pem", &why);
	if (!authorities || certificate_read_set(authorities, &t.trusted, &why) < 0)
		return;
	t.looked = true;
	certificate = read_file(directory, name, &why);
	key = read_file(directory, key_name, &why);
	if (certificate && key) {
		if (certificate_check_key(certificate, key, &why) < 0)
			problem(&t, "%s and %s do not belong together", name, key_name);
		if (!t.problem[0])
			judge_time(&t, name, certificate);
		if (!t.problem[0])
			judge_signer(&t, name, certificate, authorities);
		if (!t.problem[0] && address &&
		    certificate_check_address(certificate, address, &why) < 0)
			problem(&t, "%s does not name %.46s, where the source connects to", name,
			        address);
	}
	*ret = t;
}

bool migration_tls_find_conflict(const struct migration_tls *server,
                                 const struct migration_tls *client,
                                 char ret_why[MIGRATION_TLS_WHY_BYTES])
{
	ret_why[0] = '\0';
	if (server->problem[0])
		snprintf(ret_why, MIGRATION_TLS_WHY_BYTES, "%.150s", server->problem);
	else if (client->problem[0])
		snprintf(ret_why, MIGRATION_TLS_WHY_BYTES, "at the source: %.130s",
		         client->problem);
	else if (!server->looked || !client->looked)
		return false;
	else if (server->has_signer && !certificate_set_has(&client->trusted, server->signer))
		snprintf(ret_why, MIGRATION_TLS_WHY_BYTES,
		         "the source does not know the authority that signed server-cert.pem here "
		         "(its ca-cert.pem has others)");
	else if (client->has_signer && !certificate_set_has(&server->trusted, client->signer))
		snprintf(ret_why, MIGRATION_TLS_WHY_BYTES,
		         "ca-cert.pem here lacks the authority that signed the source's "
		         "client-cert.pem");
	return ret_why[0] != '\0';
}
