/* SPDX-License-Identifier: Apache-2.0 */
/* See setup.h. */
#include "tools/drover/setup.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "pki/files.h"
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

static int read_name(const struct options *o, struct setup_node *n, struct error *err)
{
	int rc = 0;

	if (o->name)
		rc = snprintf(n->name, sizeof(n->name), "%s", o->name) >= (int)sizeof(n->name);
	else
		rc = gethostname(n->name, sizeof(n->name)) < 0 ||
		     !memchr(n->name, '\0', sizeof(n->name));
	return rc == 0 ? 0
	               : error_set(err, ERROR_INVALID,
	                           "the name of this host as a node has at most %d characters; "
	                           "say another with --name",
	                           BOOKS_NAME_MAX);
}

static int read_address(const struct options *o, const char *coordinator, struct setup_node *n,
                        struct error *err)
{
	struct local_place place;
	int rc;

	if (!o->address && coordinator)
		return local_find_towards(coordinator, n->address, err);
	rc = need(o->address, "address", err);
	/* What is made for another host cannot be looked at here. */
	if (rc == 0 && !o->prefix)
		rc = local_find_address(o->address, &place, err);
	if (rc < 0)
		return rc;
	snprintf(n->address, sizeof(n->address), "%s", o->address);
	return 0;
}

/* One of network and address must be said; the rest is looked up, or checked. */
static int read_migration(const struct options *o, struct setup_node *n, struct error *err)
{
	struct local_network network;
	struct local_place place = { 0 };
	int rc = 0;

	if (!o->migration_network && !o->migration_address)
		return error_set(
			err, ERROR_INVALID,
			"--migration-network is needed, the network that memory and disks "
			"of guests cross, for example 10.9.0.0/24; or --migration-address");
	if (o->migration_network)
		rc = local_parse_network(o->migration_network, &network, err);
	if (rc < 0)
		return rc;
	if (o->migration_address && o->migration_network &&
	    !local_network_has(&network, o->migration_address))
		return error_set(err, ERROR_INVALID, "%.60s is not in %s", o->migration_address,
		                 o->migration_network);
	if (!o->migration_address)
		rc = local_find_in(&network, &place, err);
	else if (!o->prefix || !o->migration_interface)
		rc = local_find_address(o->migration_address, &place, err);
	if (rc < 0)
		return error_context(err, "the migration network");
	if (o->migration_interface)
		rc = check_interface(o, err);
	snprintf(n->migration_address, sizeof(n->migration_address), "%s",
	         o->migration_address ? o->migration_address : place.address);
	snprintf(n->migration_interface, sizeof(n->migration_interface), "%s",
	         o->migration_interface ? o->migration_interface : place.interface);
	snprintf(n->migration_network, sizeof(n->migration_network), "%s",
	         o->migration_network ? o->migration_network : place.network);
	return rc;
}

static int read_migration_network(const struct options *o, struct setup_node *n, struct error *err)
{
	struct local_network network;
	int rc = need(o->migration_network, "migration-network", err);

	if (rc == 0 && (o->migration_address || o->migration_interface))
		return error_set(err, ERROR_INVALID,
		                 "--coordinator-only: this host needs no migration address; "
		                 "--migration-network says what the others have");
	if (rc == 0)
		rc = local_parse_network(o->migration_network, &network, err);
	if (rc == 0)
		snprintf(n->migration_network, sizeof(n->migration_network), "%s",
		         o->migration_network);
	return rc;
}

int setup_read_node(const struct options *o, const char *coordinator, struct setup_node *ret,
                    struct error *err)
{
	struct setup_node n = { 0 };
	struct books_claim claim = { .name = n.name,
		                     .address = n.address,
		                     .migration_address = n.migration_address };
	int rc = read_name(o, &n, err);

	if (rc == 0)
		rc = read_address(o, coordinator, &n, err);
	if (rc == 0)
		rc = o->coordinator_only ? read_migration_network(o, &n, err)
		                         : read_migration(o, &n, err);
	if (o->coordinator_only)
		claim.migration_address = n.address;
	if (rc == 0)
		rc = books_check_claim(&claim, err);
	if (rc == 0)
		*ret = n;
	return rc;
}

struct host_agent setup_agent_of(const struct setup_node *n)
{
	return (struct host_agent){ n->name, n->address, n->migration_address,
		                    n->migration_interface };
}

void setup_say_tls(struct session *s, const struct host_paths *p)
{
	_cleanup_free_ char *libvirt_ca = xasprintf("%s/CA/cacert.pem", p->libvirt_pki);

	if (p->qemu_tls_is_foreign)
		session_say(
			s,
			"QEMU       %s has certificates that are not drover's: left as they are. "
			"Encrypted migration needs those of one CA on all hosts",
			p->qemu_tls);
	else
		session_say(s, "QEMU       its certificates for encrypted migration are in %s",
		            p->qemu_tls);
	if (p->libvirt_tls_is_foreign)
		session_say(s,
		            "libvirt    certificates for its remote connection are there that are "
		            "not drover's: left as they are");
	else if (files_exist(libvirt_ca))
		session_say(
			s,
			"libvirt    its certificates for qemu+tls:// are in %s; drover needs no "
			"libvirtd that listens",
			p->libvirt_pki);
}

void setup_say_next(struct session *s, bool restart_libvirt, const char *daemons)
{
	if (restart_libvirt)
		session_say(
			s,
			"next       systemctl restart libvirtd (or virtqemud): it looks for that "
			"directory when it starts; guests go on");
	session_say(s, "%s  start %s", restart_libvirt ? "         " : "next     ", daemons);
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
