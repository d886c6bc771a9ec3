/* SPDX-License-Identifier: Apache-2.0 */
/* See authority_files.h. */
#include "pki/authority_files.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static_assert(ROTATION_KINDS == AUTHORITY_REQUESTS, "one of each");

#define REPLACED(mode_) ((struct file_mode){ (mode_), (gid_t)-1, true })

int authority_write(const char *directory, const char *name, const char *text,
                    struct file_mode mode, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return files_write(path, text, mode, err);
}

int authority_read(const char *directory, const char *name, char **ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return files_read(path, ret, err);
}

int authority_lock(const char *directory, int *ret_fd, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/lock", directory);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERROR_NOT_FOUND,
		                 "there is no cluster authority in %s; it is on the host where "
		                 "\"drover init\" was run",
		                 directory);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return error_set(err, ERROR_PERMISSION, "the cluster's authority (%s) is for root",
		                 directory);
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "opening %s", path);
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, ERROR_SYSTEM, errno, "locking %s", path);
	}
	*ret_fd = take_fd(fd);
	return 0;
}

int authority_read_facts(const char *directory, struct authority_facts *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int rc = authority_read(directory, "authority", &text, err);
	struct authority_facts f = { .life_s = CERTIFICATE_LIFE_S };

	if (rc < 0)
		return rc;
	if (sscanf(text, "cluster %127s coordinator %127s join %63s", f.cluster, f.coordinator,
	           f.join_address) != 3)
		return error_set(err, ERROR_INVALID, "%s/authority cannot be understood",
		                 directory);
	for (const char *line = text; (line = strchr(line, '\n')) != NULL;) {
		line++;
		/* Lines that need not be there. */
		(void)(sscanf(line, "life %" SCNu64, &f.life_s) == 1 ||
		       sscanf(line, "migration-network %63s", f.migration_network) == 1);
	}
	if (f.life_s < CERTIFICATE_LIFE_LEAST_S)
		return error_set(err, ERROR_INVALID, "%s/authority: a life of %" PRIu64 " s",
		                 directory, f.life_s);
	*ret = f;
	return 0;
}

/* --- generations --- */

char *authority_file_name(enum authority_request kind, unsigned generation, bool key)
{
	static const char *const stems[AUTHORITY_REQUESTS] = { "ca", "migration-ca", "libvirt-ca" };
	const char *stem = stems[kind];
	const char *end = key ? "-key.pem" : ".pem";

	if (generation == 1)
		return xasprintf("%s%s", stem, end);
	return xasprintf("%s-%u%s", stem, generation, end);
}

/* The key first: a certificate that is there can sign. */
static int write_pair(const char *directory, enum authority_request kind, unsigned generation,
                      const char *certificate, const char *key, struct error *err)
{
	_cleanup_free_ char *certificate_name = authority_file_name(kind, generation, false);
	_cleanup_free_ char *key_name = authority_file_name(kind, generation, true);
	int rc = authority_write(directory, key_name, key, REPLACED(0600), err);

	if (rc < 0)
		return rc;
	return authority_write(directory, certificate_name, certificate, REPLACED(0644), err);
}

static int make_pair(const char *directory, enum authority_request kind, unsigned generation,
                     const char *name, struct error *err)
{
	_cleanup_free_ char *certificate = NULL, *key = NULL;
	int rc;

	certificate_new_authority(name, &certificate, &key);
	rc = write_pair(directory, kind, generation, certificate, key, err);
	certificate_forget(key, strlen(key));
	return rc;
}

int authority_replace_pair(const char *directory, unsigned generation, const char *certificate,
                           const char *key, struct error *err)
{
	return write_pair(directory, AUTHORITY_MESH, generation, certificate, key, err);
}

int authority_make_generation(const char *directory, const char *cluster, unsigned generation,
                              struct error *err)
{
	static const char *const names[AUTHORITY_REQUESTS] = { "drover ", AUTHORITY_MIGRATION_NAME,
		                                               AUTHORITY_LIBVIRT_NAME };
	int rc = 0;

	for (unsigned kind = 0; rc == 0 && kind < AUTHORITY_REQUESTS; kind++) {
		_cleanup_free_ char *name = generation == 1
		                                    ? xasprintf("%s%s", names[kind], cluster)
		                                    : xasprintf("%s%s (%u)", names[kind], cluster,
		                                                generation);

		rc = make_pair(directory, (enum authority_request)kind, generation, name, err);
	}
	return rc;
}

int authority_read_rotation(const char *directory, struct rotation *ret, struct error *err)
{
	struct rotation r = { .signs = 1 };
	_cleanup_free_ char *text = NULL;
	struct error none;
	int rc = authority_read(directory, "rotation", &text, &none);
	char rest;

	if (rc < 0 && rc != -ERROR_NOT_FOUND) {
		*err = none;
		return rc;
	}
	if (rc == 0 && (sscanf(text, "signs %9u other %9u since %" SCNu64 " %c", &r.signs, &r.other,
	                       &r.since_ms, &rest) != 3 ||
	                r.signs == 0))
		return error_set(err, ERROR_INVALID, "%s/rotation cannot be understood", directory);
	*ret = r;
	return 0;
}

int authority_read_trusted(const char *directory, enum authority_request kind,
                           const struct rotation *r, char **ret, struct error *err)
{
	_cleanup_free_ char *first_name = authority_file_name(kind, r->signs, false);
	_cleanup_free_ char *other_name = authority_file_name(kind, r->other, false);
	_cleanup_free_ char *first = NULL, *other = NULL;
	int rc = authority_read(directory, first_name, &first, err);

	if (rc == 0 && r->other)
		rc = authority_read(directory, other_name, &other, err);
	if (rc == 0)
		*ret = xasprintf("%s%s", first, other ? other : "");
	return rc;
}

/* --- signing --- */

void authority_grant_deinit(struct authority_grant *grant)
{
	free(grant->cluster);
	free(grant->coordinator);
	free(grant->ca);
	free(grant->certificate);
	free(grant->migration_ca);
	free(grant->migration_certificate);
	free(grant->libvirt_ca);
	free(grant->libvirt_certificate);
	*grant = (struct authority_grant){ 0 };
}

/* What was signed of one order. */
struct signing {
	struct ledger_entry entries[AUTHORITY_REQUESTS];
	size_t count;
};

static void add_signed(struct signing *s, enum authority_request kind, unsigned generation,
                       const char *serial, uint64_t life_s)
{
	struct ledger_entry *e = &s->entries[s->count++];

	*e = (struct ledger_entry){ .kind = kind, .generation = generation };
	snprintf(e->serial, sizeof(e->serial), "%s", serial);
	e->issued_ms = clock_wall_ms();
	e->expires_ms = e->issued_ms + life_s * 1000;
}

static int sign_with(const char *directory, enum authority_request kind, const struct rotation *r,
                     const struct bytes *request, const struct certificate_order *order,
                     struct signing *signing, char **ret_ca, char **ret_certificate,
                     struct error *err)
{
	_cleanup_free_ char *certificate_name = authority_file_name(kind, r->signs, false);
	_cleanup_free_ char *key_name = authority_file_name(kind, r->signs, true);
	_cleanup_free_ char *ca = NULL, *key = NULL, *trusted = NULL;
	char serial[CERTIFICATE_SERIAL_BYTES];
	int rc = authority_read_trusted(directory, kind, r, &trusted, err);

	if (rc == 0)
		rc = authority_read(directory, certificate_name, &ca, err);
	if (rc == 0)
		rc = authority_read(directory, key_name, &key, err);
	if (rc < 0)
		return rc;
	assert(key);
	rc = certificate_sign(ca, key, request, order, ret_certificate, serial, err);
	certificate_forget(key, strlen(key));
	if (rc < 0)
		return rc;
	add_signed(signing, kind, r->signs, serial, order->life_s);
	*ret_ca = take_pointer(trusted);
	return 0;
}

/* What an agent's host has beside its identity in the mesh. */
static int sign_agent(const char *directory, const struct authority_order *order,
                      const struct rotation *r, uint64_t life_s, const struct bytes *requests,
                      struct signing *signing, struct authority_grant *grant, struct error *err)
{
	const struct certificate_order migration = {
		.name = order->name,
		.addresses = { order->migration_address },
		.server = true,
		.life_s = life_s,
	};
	/* People call it by either address. */
	const struct certificate_order libvirt = {
		.name = order->name,
		.addresses = { order->address, order->migration_address },
		.server = true,
		.life_s = life_s,
	};
	int rc = 0;

	/* Who joins with an older drover, or has files of another origin, does not ask. */
	if (requests[AUTHORITY_MIGRATION].count > 0)
		rc = sign_with(directory, AUTHORITY_MIGRATION, r, &requests[AUTHORITY_MIGRATION],
		               &migration, signing, &grant->migration_ca,
		               &grant->migration_certificate, err);
	if (rc == 0 && requests[AUTHORITY_LIBVIRT].count > 0)
		rc = sign_with(directory, AUTHORITY_LIBVIRT, r, &requests[AUTHORITY_LIBVIRT],
		               &libvirt, signing, &grant->libvirt_ca, &grant->libvirt_certificate,
		               err);
	return rc;
}

int authority_sign(const char *directory, const struct authority_order *order,
                   const struct bytes *requests, struct authority_grant *ret, struct error *err)
{
	struct authority_grant grant = { 0 };
	struct authority_facts facts = { 0 };
	struct rotation r = { 0 };
	struct signing signing = { 0 };
	_cleanup_free_ char *uri = NULL;
	struct certificate_order mesh = {
		.name = order->name,
		.addresses = { order->address, order->migration_address },
		.server = order->role & (MESH_ROLE_AGENT | MESH_ROLE_COORDINATOR),
	};
	int rc = authority_read_facts(directory, &facts, err);

	if (rc == 0)
		rc = authority_read_rotation(directory, &r, err);
	if (rc < 0)
		return rc;
	uri = xasprintf("drover://%s/%s/%s", facts.cluster, mesh_role_name(order->role),
	                order->name);
	mesh.uri = uri;
	mesh.life_s = order->life_s ? order->life_s : facts.life_s;
	grant.cluster = xstrdup(facts.cluster);
	grant.coordinator = xstrdup(facts.coordinator);
	rc = sign_with(directory, AUTHORITY_MESH, &r, &requests[AUTHORITY_MESH], &mesh, &signing,
	               &grant.ca, &grant.certificate, err);
	if (rc == 0 && order->role == MESH_ROLE_AGENT)
		rc = sign_agent(directory, order, &r, mesh.life_s, requests, &signing, &grant, err);
	if (rc == 0)
		rc = authority_note_signed(directory, order, signing.entries, signing.count, err);
	if (rc < 0) {
		authority_grant_deinit(&grant);
		return rc;
	}
	*ret = grant;
	return 0;
}
