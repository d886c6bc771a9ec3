/* SPDX-License-Identifier: Apache-2.0 */
/* See host.h. Configuration files are texts with names and addresses in them that were checked: none
 * has a character that means something in YAML within quotes. */
#include "pki/host.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/libvirt_conf.h"
#include "common/libvirt_restart.h"
#include "pki/files.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COORDINATOR_PORT 7780
#define AGENT_PORT       7788

void host_paths_deinit(struct host_paths *p)
{
	free(p->prefix);
	free(p->etc);
	free(p->state);
	free(p->run);
	free(p->authority);
	free(p->coordinator_yaml);
	free(p->agent_yaml);
	free(p->ca);
	free(p->qemu_tls);
	free(p->libvirt_pki);
	*p = (struct host_paths){ 0 };
}

/* What drover makes is known by its name (authority_create). */
bool host_is_foreign_authority(const char *path, const char *name)
{
	_cleanup_free_ char *pem = NULL;
	struct certificate_facts facts;

	return files_exist(path) &&
	       (files_read(path, &pem, NULL) < 0 || certificate_read(pem, &facts, NULL) < 0 ||
	        strncmp(facts.name, name, strlen(name)) != 0);
}

static void find_foreign(struct host_paths *p)
{
	_cleanup_free_ char *path = xasprintf("%s/ca-cert.pem", p->qemu_tls);

	p->qemu_tls_is_foreign = host_is_foreign_authority(path, AUTHORITY_MIGRATION_NAME);
}

/* libvirt's rule: its own key, else /etc/pki/libvirt-migrate if that exists, else what all of QEMU's
 * TLS shares if that is set. Where nothing is set the second is made. */
static int find_qemu_tls(struct host_paths *p, const char *conf, struct error *err)
{
	_cleanup_free_ char *usual = xasprintf("%s/etc/pki/libvirt-migrate", p->prefix);
	char directory[PATH_MAX];
	int rc = libvirt_conf_get_string(conf, "migrate_tls_x509_cert_dir", directory,
	                                 sizeof(directory), err);

	if (rc == 0 && !directory[0] && !files_exist(usual))
		rc = libvirt_conf_get_string(conf, "default_tls_x509_cert_dir", directory,
		                             sizeof(directory), err);
	if (rc < 0)
		return rc;
	p->qemu_tls = directory[0] ? xasprintf("%s%s", p->prefix, directory) : take_pointer(usual);
	p->qemu_tls_is_new = !files_exist(p->qemu_tls);
	find_foreign(p);
	return 0;
}

/* QEMU reads the keys itself, as the user that qemu.conf names; "+0" is how it writes numbers. */
static int find_qemu_group(struct host_paths *p, const char *conf, struct error *err)
{
	static const char *const usual[] = { "libvirt-qemu", "qemu" };
	char user[128];
	const struct passwd *entry = NULL;
	int rc = libvirt_conf_get_string(conf, "user", user, sizeof(user), err);

	p->qemu_group = (gid_t)-1;
	if (rc < 0)
		return rc;
	if (user[0]) {
		entry = getpwnam(user);
		if (!entry && user[strspn(user, "+0123456789")] == '\0')
			entry = getpwuid((uid_t)strtoul(user + (user[0] == '+'), NULL, 10));
	}
	for (size_t i = 0; !user[0] && !entry && i < ARRAY_SIZE(usual); i++)
		entry = getpwnam(usual[i]);
	if (!entry || entry->pw_uid == 0)
		return 0;
	p->qemu_group = entry->pw_gid;
	/* A group of QEMU's own is better than one that it shares: Debian has both. */
	if (getgrnam(entry->pw_name))
		p->qemu_group = getgrnam(entry->pw_name)->gr_gid;
	return 0;
}

int host_find_paths(const char *prefix, struct host_paths *ret, struct error *err)
{
	struct host_paths p = { .prefix = xstrdup(prefix ? prefix : "") };
	_cleanup_free_ char *conf = xasprintf("%s/etc/libvirt/qemu.conf", p.prefix);
	int rc;

	if (p.prefix[0] && p.prefix[0] != '/') {
		rc = error_set(err, ERROR_INVALID, "\"%s\" is not a whole path", p.prefix);
		host_paths_deinit(&p);
		return rc;
	}
	p.etc = xasprintf("%s/etc/drover", p.prefix);
	p.state = xasprintf("%s/var/lib/drover", p.prefix);
	p.run = xasprintf("%s/run/drover", p.prefix);
	p.authority = xasprintf("%s/pki", p.state);
	p.coordinator_yaml = xasprintf("%s/coordinator.yaml", p.etc);
	p.agent_yaml = xasprintf("%s/agent.yaml", p.etc);
	p.ca = xasprintf("%s/ca.pem", p.etc);
	rc = find_qemu_tls(&p, conf, err);
	if (rc == 0)
		rc = find_qemu_group(&p, conf, err);
	if (rc == 0)
		rc = host_find_libvirt_tls(&p, err);
	if (rc < 0) {
		host_paths_deinit(&p);
		return rc;
	}
	*ret = p;
	return 0;
}

char *host_certificate_path(const struct host_paths *p, const char *name)
{
	return xasprintf("%s/%s.pem", p->etc, name);
}

char *host_key_path(const struct host_paths *p, const char *name)
{
	return xasprintf("%s/%s-key.pem", p->etc, name);
}

int host_check_free(const struct host_paths *p, const char *name, struct error *err)
{
	_cleanup_free_ char *certificate = host_certificate_path(p, name);
	_cleanup_free_ char *key = host_key_path(p, name);
	_cleanup_free_ char *yaml = xasprintf("%s/%s.yaml", p->etc, name);
	const char *const paths[] = { yaml, certificate, key };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (files_exist(paths[i]))
			return error_set(err, ERROR_REFUSED,
			                 "%s is there: this host belongs to a cluster already, or "
			                 "an earlier try ended half-way; nothing was touched. To "
			                 "begin anew, stop drover's daemons and move %s/* away",
			                 paths[i], p->etc);
	}
	return 0;
}

static int write_ca(const struct host_paths *p, const char *pem, struct error *err)
{
	_cleanup_free_ char *have = NULL;
	int rc = files_read(p->ca, &have, err);

	if (rc == -ERROR_NOT_FOUND)
		return files_write(p->ca, pem, FILES_PUBLIC, err);
	if (rc == 0 && strcmp(have, pem) != 0)
		return error_set(err, ERROR_REFUSED,
		                 "%s is there, and is of another cluster; nothing was touched",
		                 p->ca);
	return rc;
}

int host_write_identity(const struct host_paths *p, const char *name,
                        const struct join_result *result, struct error *err)
{
	_cleanup_free_ char *certificate = host_certificate_path(p, name);
	_cleanup_free_ char *key = host_key_path(p, name);
	int rc = files_make_directory(p->etc, 0755, err);

	if (rc == 0)
		rc = write_ca(p, result->grant.ca, err);
	if (rc == 0)
		rc = files_write(key, result->key, FILES_SECRET, err);
	return rc < 0 ? rc : files_write(certificate, result->grant.certificate, FILES_PUBLIC, err);
}

int host_write_qemu_tls(const struct host_paths *p, const struct join_result *result,
                        struct error *err)
{
	const struct file_mode public = { 0644, (gid_t)-1, true };
	const struct file_mode secret = { p->qemu_group == (gid_t)-1 ? 0600 : 0640, p->qemu_group,
		                          true };
	const struct {
		const char *name, *text;
		struct file_mode mode;
	} files[] = {
		{ "ca-cert.pem", result->grant.migration_ca, public },
		{ "server-key.pem", result->migration_key, secret },
		{ "server-cert.pem", result->grant.migration_certificate, public },
		{ "client-key.pem", result->migration_key, secret },
		{ "client-cert.pem", result->grant.migration_certificate, public },
	};
	int rc = 0;

	if (p->qemu_tls_is_foreign)
		return 0;
	rc = files_make_directory(p->qemu_tls, 0755, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->qemu_tls, files[i].name);

		rc = files_write(path, files[i].text, files[i].mode, err);
	}
	/* The agent refuses guests until libvirt has found the directory. */
	if (rc == 0 && p->qemu_tls_is_new)
		rc = files_make_directory(p->run, 0755, err);
	if (rc == 0 && p->qemu_tls_is_new)
		rc = libvirt_restart_note(p->prefix, p->run, err);
	return rc;
}

/* --- configuration --- */

/* "10.0.0.1" -> "10.0.0.1:PORT", "::1" -> "[::1]:PORT". */
static char *with_port(const char *address, unsigned port)
{
	return strchr(address, ':') ? xasprintf("[%s]:%u", address, port)
	                            : xasprintf("%s:%u", address, port);
}

static char *tls_lines(const struct host_paths *p, const char *name)
{
	_cleanup_free_ char *certificate = host_certificate_path(p, name);
	_cleanup_free_ char *key = host_key_path(p, name);

	return xasprintf("tls:\n"
	                 "  ca: \"%s\"\n"
	                 "  certificate: \"%s\"\n"
	                 "  key: \"%s\"\n"
	                 "  crl: \"%s/crl.pem\"\n",
	                 p->ca, certificate, key, p->etc);
}

/* What is drover's is the agent's to renew. */
static char *renewed_line(const char *key, const char *directory, bool is_foreign)
{
	return is_foreign ? xstrdup("") : xasprintf("  %s: \"%s\"\n", key, directory);
}

int host_write_agent_yaml(const struct host_paths *p, const struct host_agent *agent,
                          const struct authority_grant *grant, struct error *err)
{
	_cleanup_free_ char *listen = with_port(agent->address, AGENT_PORT);
	_cleanup_free_ char *own = tls_lines(p, "agent");
	_cleanup_free_ char *qemu = renewed_line("qemu", p->qemu_tls, p->qemu_tls_is_foreign);
	_cleanup_free_ char *libvirt = renewed_line("libvirt", p->libvirt_pki,
	                                            p->libvirt_tls_is_foreign ||
	                                                    !grant->libvirt_certificate);
	_cleanup_free_ char *tls = xasprintf("%s%s%s", own, qemu, libvirt);
	_cleanup_free_ char *text = xasprintf("# Written by \"drover init\" or \"drover join\"; "
	                                      "\"drover-agent --check\" reads it.\n"
	                                      "node: \"%s\"\n"
	                                      "cluster: \"%s\"\n"
	                                      "run_dir: \"%s\"\n"
	                                      "state_dir: \"%s\"\n"
	                                      "coordinators: [\"%s\"]\n"
	                                      "listen: \"tcp://%s\"\n"
	                                      "%s"
	                                      "migration:\n"
	                                      "  address: \"%s\"\n"
	                                      "  interface: \"%s\"\n"
	                                      "  tls: true\n",
	                                      agent->name, grant->cluster, p->run, p->state,
	                                      grant->coordinator, listen, tls,
	                                      agent->migration_address, agent->migration_interface);

	return files_write(p->agent_yaml, text, FILES_PUBLIC, err);
}

int host_write_coordinator_yaml(const struct host_paths *p, const char *name, const char *address,
                                const struct authority_grant *grant, struct error *err)
{
	_cleanup_free_ char *join = with_port(address, HOST_JOIN_PORT);
	_cleanup_free_ char *tls = tls_lines(p, "coordinator");
	_cleanup_free_ char *text = xasprintf(
		"# Written by \"drover init\"; \"drover-coordinator --check\" reads it.\n"
		"name: \"%s\"\n"
		"cluster: \"%s\"\n"
		"listen: [\"%s\", \"ipc://%s/coordinator.sock\"]\n"
		"store:\n"
		"  sqlite: \"%s/coordinator.db\"\n"
		"%s"
		"# Where new hosts join, with a token. Without this nobody can.\n"
		"join:\n"
		"  listen: \"tcp://%s\"\n"
		"  authority: \"%s\"\n"
		"migration:\n"
		"  tls: true\n",
		name, grant->cluster, grant->coordinator, p->run, p->state, tls, join,
		p->authority);

	return files_write(p->coordinator_yaml, text, FILES_PUBLIC, err);
}

char *host_coordinator_url(const char *address)
{
	_cleanup_free_ char *at = with_port(address, COORDINATOR_PORT);

	return xasprintf("tcp://%s", at);
}

char *host_join_address(const char *address)
{
	return with_port(address, HOST_JOIN_PORT);
}
