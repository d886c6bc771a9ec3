/* SPDX-License-Identifier: Apache-2.0 */
/* See setup.h. */
#include "tools/drover/setup.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum exit_code setup_fail(struct session *s, const char *what, const struct error *err)
{
	_cleanup_free_ char *why = text_escape(err->text, s->err.ascii);

	fflush(s->out.file);
	fprintf(s->err.file, "drover: %s: %s\n", what, *why ? why : error_code_name(err->code));
	if (err->code == ERROR_SYSTEM && geteuid() != 0)
		fprintf(s->err.file, "  next step  run it as root\n");
	return exit_from_error(err->code);
}

enum exit_code setup_begin(struct session *s, const struct invocation *invocation,
                           struct host_paths *ret_paths)
{
	struct error err = { 0 };

	session_init(s, invocation);
	if (host_find_paths(invocation->options.prefix, ret_paths, &err) < 0)
		return setup_fail(s, "looking at this host", &err);
	return EXIT_DONE;
}

static int need(const char *value, const char *option, struct error *err)
{
	return value ? 0 : error_set(err, ERROR_INVALID, "--%s is needed", option);
}

static int check_interface(const struct options *o, struct error *err)
{
	const char *name = o->migration_interface;

	if (strlen(name) >= IF_NAMESIZE ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:@") !=
	            strlen(name))
		return error_set(err, ERROR_INVALID,
		                 "\"%.40s\" cannot be the name of a network interface", name);
	/* What is made for another host cannot be looked at here. */
	if (!o->prefix && if_nametoindex(name) == 0)
		return error_set(err, ERROR_INVALID, "this host has no network interface %s", name);
	return 0;
}

int setup_read_agent(const struct options *o, struct host_agent *ret, char *ret_host_name,
                     struct error *err)
{
	struct books_claim claim = { .address = o->address,
		                     .migration_address = o->migration_address };
	int rc = need(o->address, "address", err);

	if (rc == 0)
		rc = need(o->migration_address, "migration-address", err);
	if (rc == 0)
		rc = need(o->migration_interface, "migration-interface", err);
	if (rc < 0)
		return rc;
	claim.name = o->name;
	if (!claim.name) {
		if (gethostname(ret_host_name, BOOKS_NAME_MAX + 1) < 0 ||
		    !memchr(ret_host_name, '\0', BOOKS_NAME_MAX + 1))
			return error_set(err, ERROR_INVALID,
			                 "this host's name is too long for a node; say --name");
		claim.name = ret_host_name;
	}
	rc = books_check_claim(&claim, err);
	if (rc == 0)
		rc = check_interface(o, err);
	if (rc == 0)
		*ret = (struct host_agent){ claim.name, o->address, o->migration_address,
			                    o->migration_interface };
	return rc;
}

void setup_say_next(struct session *s, const struct host_paths *p, const char *daemons)
{
	if (p->qemu_tls_is_foreign)
		session_say(
			s,
			"QEMU       %s has certificates that are not drover's: left as they are. "
			"Encrypted migration needs those of one CA on all hosts",
			p->qemu_tls);
	else
		session_say(s, "QEMU       its certificates for encrypted migration are in %s",
		            p->qemu_tls);
	if (p->qemu_tls_is_new)
		session_say(
			s,
			"next       systemctl restart libvirtd (or virtqemud): it looks for that "
			"directory when it starts; guests go on");
	session_say(s, "%s  start %s", p->qemu_tls_is_new ? "         " : "next     ", daemons);
}

int setup_create_token(const struct options *o, const struct host_paths *p,
                       char ret_text[TOKEN_TEXT_BYTES], struct error *err)
{
	const struct authority_token_order order = {
		.node = o->node,
		.ttl_ms = o->ttl_ms ? o->ttl_ms : SETUP_TTL_MS,
		.uses = o->uses ? (uint32_t)o->uses : 1,
	};
	struct token token;
	int rc;

	if (o->uses > BOOKS_ISSUED_MAX)
		return error_set(err, ERROR_INVALID, "--uses: at most %d", BOOKS_ISSUED_MAX);
	if (order.ttl_ms > SETUP_TTL_MAX_MS)
		return error_set(err, ERROR_INVALID, "--ttl: at most 30 days (720h)");
	if (o->node) {
		struct books_claim claim = { NULL, NULL, o->node, "::", "::" };

		rc = books_check_claim(&claim, err);
		if (rc < 0)
			return rc;
	}
	rc = authority_create_token(p->authority, &order, &token, err);
	if (rc < 0)
		return rc;
	token_format(&token, ret_text);
	certificate_forget(&token, sizeof(token));
	return 0;
}
