/* SPDX-License-Identifier: Apache-2.0 */
/* See authority.h. */
#include "pki/authority.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/id.h"
#include "pki/files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#define DAY_MS ((uint64_t)24 * 60 * MINUTES_MS(1))

/* What the file "authority" says. */
struct place {
	char cluster[MESH_NAME_BYTES];
	char coordinator[MESH_NAME_BYTES];
	char join_address[TOKEN_ADDRESS_BYTES];
	char migration_network[BOOKS_ADDRESS_BYTES]; /* "" = not known */
};

static int write_in(const char *directory, const char *name, const char *text,
                    struct file_mode mode, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return files_write(path, text, mode, err);
}

static int read_in(const char *directory, const char *name, char **ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return files_read(path, ret, err);
}

bool authority_exists(const char *directory)
{
	return files_exist(directory);
}

static int write_pair(const char *directory, const char *name, const char *stem, struct error *err)
{
	_cleanup_free_ char *certificate = NULL, *key = NULL;
	_cleanup_free_ char *certificate_name = xasprintf("%s.pem", stem);
	_cleanup_free_ char *key_name = xasprintf("%s-key.pem", stem);
	int rc;

	certificate_new_authority(name, &certificate, &key);
	rc = write_in(directory, key_name, key, FILES_SECRET, err);
	certificate_forget(key, strlen(key));
	return rc < 0 ? rc : write_in(directory, certificate_name, certificate, FILES_PUBLIC, err);
}

int authority_create(const char *directory, const struct authority_place *place, struct error *err)
{
	struct id unique = id_new();
	char hex[ID_TEXT_BYTES];
	_cleanup_free_ char *beside = xasprintf("%s.new-%.8s", directory, id_format(&unique, hex));
	_cleanup_free_ char *name = xasprintf("drover %s", place->cluster);
	_cleanup_free_ char *migration_name = xasprintf(AUTHORITY_MIGRATION_NAME "%s",
	                                                place->cluster);
	_cleanup_free_ char *libvirt_name = xasprintf(AUTHORITY_LIBVIRT_NAME "%s", place->cluster);
	_cleanup_free_ char *text = xasprintf(
		"cluster %s\ncoordinator %s\njoin %s\n%s%s%s", place->cluster, place->coordinator,
		place->join_address, place->migration_network ? "migration-network " : "",
		place->migration_network ? place->migration_network : "",
		place->migration_network ? "\n" : "");
	int rc;

	if (authority_exists(directory))
		return error_set(err, ERROR_EXISTS, "there is an authority in %s already",
		                 directory);
	rc = files_make_directory(beside, 0700, err);
	if (rc == 0)
		rc = write_pair(beside, name, "ca", err);
	if (rc == 0)
		rc = write_pair(beside, migration_name, "migration-ca", err);
	if (rc == 0)
		rc = write_pair(beside, libvirt_name, "libvirt-ca", err);
	if (rc == 0)
		rc = write_in(beside, "authority", text, FILES_SECRET, err);
	if (rc == 0)
		rc = write_in(beside, "lock", "", FILES_SECRET, err);
	return rc < 0 ? rc : files_move_new(beside, directory, err);
}

/* The descriptor that holds the lock. */
static int lock(const char *directory, int *ret_fd, struct error *err)
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

static int read_place(const char *directory, struct place *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int rc = read_in(directory, "authority", &text, err);

	if (rc < 0)
		return rc;
	ret->migration_network[0] = '\0';
	if (sscanf(text, "cluster %127s coordinator %127s join %63s migration-network %63s",
	           ret->cluster, ret->coordinator, ret->join_address, ret->migration_network) < 3)
		return error_set(err, ERROR_INVALID, "%s/authority cannot be understood",
		                 directory);
	return 0;
}

int authority_read_network(const char *directory, char **ret, struct error *err)
{
	struct place place;
	int rc = read_place(directory, &place, err);

	if (rc == 0)
		*ret = xstrdup(place.migration_network);
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

static int sign_with(const char *directory, const char *stem, const struct bytes *request,
                     const struct certificate_order *order, char **ret_ca, char **ret_certificate,
                     struct error *err)
{
	_cleanup_free_ char *certificate_name = xasprintf("%s.pem", stem);
	_cleanup_free_ char *key_name = xasprintf("%s-key.pem", stem);
	_cleanup_free_ char *ca = NULL, *key = NULL;
	char serial[CERTIFICATE_SERIAL_BYTES];
	int rc = read_in(directory, certificate_name, &ca, err);

	if (rc == 0)
		rc = read_in(directory, key_name, &key, err);
	if (rc < 0)
		return rc;
	assert(key);
	rc = certificate_sign(ca, key, request, order, ret_certificate, serial, err);
	certificate_forget(key, strlen(key));
	if (rc == 0)
		*ret_ca = take_pointer(ca);
	return rc;
}

/* What an agent's host has beside its identity in the mesh. */
static int sign_agent(const char *directory, const struct authority_order *order,
                      const struct bytes *requests, struct authority_grant *grant,
                      struct error *err)
{
	const struct certificate_order migration = {
		.name = order->name,
		.addresses = { order->migration_address },
		.server = true,
		.days = CERTIFICATE_DAYS,
	};
	/* People call it by either address. */
	const struct certificate_order libvirt = {
		.name = order->name,
		.addresses = { order->address, order->migration_address },
		.server = true,
		.days = CERTIFICATE_DAYS,
	};
	int rc = sign_with(directory, "migration-ca", &requests[AUTHORITY_MIGRATION], &migration,
	                   &grant->migration_ca, &grant->migration_certificate, err);

	/* Who joins with an older drover does not ask. */
	if (rc == 0 && requests[AUTHORITY_LIBVIRT].count > 0)
		rc = sign_with(directory, "libvirt-ca", &requests[AUTHORITY_LIBVIRT], &libvirt,
		               &grant->libvirt_ca, &grant->libvirt_certificate, err);
	return rc;
}

static int sign(const char *directory, const struct authority_order *order,
                const struct bytes *requests, struct authority_grant *ret, struct error *err)
{
	struct authority_grant grant = { 0 };
	struct place place;
	_cleanup_free_ char *uri = NULL;
	struct certificate_order mesh = {
		.name = order->name,
		.addresses = { order->address, order->migration_address },
		.server = order->role & (MESH_ROLE_AGENT | MESH_ROLE_COORDINATOR),
		.days = CERTIFICATE_DAYS,
	};
	int rc = read_place(directory, &place, err);

	if (rc < 0)
		return rc;
	uri = xasprintf("drover://%s/%s/%s", place.cluster, mesh_role_name(order->role),
	                order->name);
	mesh.uri = uri;
	grant.cluster = xstrdup(place.cluster);
	grant.coordinator = xstrdup(place.coordinator);
	rc = sign_with(directory, "ca", &requests[AUTHORITY_MESH], &mesh, &grant.ca,
	               &grant.certificate, err);
	if (rc == 0 && order->role == MESH_ROLE_AGENT)
		rc = sign_agent(directory, order, requests, &grant, err);
	if (rc < 0) {
		authority_grant_deinit(&grant);
		return rc;
	}
	*ret = grant;
	return 0;
}

static void note_issued(struct books *books, const struct authority_order *order)
{
	uint64_t now_ms = clock_wall_ms();
	struct books_issued issued = {
		.role = order->role,
		.issued_ms = now_ms,
		.expires_ms = now_ms + CERTIFICATE_DAYS * DAY_MS,
	};

	snprintf(issued.name, sizeof(issued.name), "%s", order->name);
	snprintf(issued.address, sizeof(issued.address), "%s",
	         order->address ? order->address : "");
	snprintf(issued.migration_address, sizeof(issued.migration_address), "%s",
	         order->migration_address ? order->migration_address : "");
	books_put_issued(books, &issued);
}

int authority_issue(const char *directory, const struct authority_order *order,
                    const struct bytes *requests, struct authority_grant *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	int rc = lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = sign(directory, order, requests, ret, err);
	if (rc < 0)
		return rc;
	note_issued(&books, order);
	rc = books_save_issued(directory, &books, err);
	if (rc < 0)
		authority_grant_deinit(ret);
	return rc;
}

/* --- tokens --- */

static void fill_random(void *to, size_t count)
{
	/* Up to 256 bytes come whole; without random numbers nothing is safe. */
	if (getrandom(to, count, 0) != (ssize_t)count)
		abort();
}

int authority_create_token(const char *directory, const struct authority_token_order *order,
                           struct token *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	_cleanup_free_ char *ca = NULL;
	struct token token = { 0 };
	struct books_token kept = { .created_ms = clock_wall_ms(), .uses_left = order->uses };
	struct place place;
	int rc = lock(directory, &fd, err);

	if (rc == 0)
		rc = read_place(directory, &place, err);
	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = read_in(directory, "ca.pem", &ca, err);
	if (rc == 0)
		rc = certificate_fingerprint(ca, token.ca_sha256, err);
	if (rc < 0)
		return rc;
	books_prune(&books, kept.created_ms);
	if (books.n_tokens >= BOOKS_TOKENS_MAX)
		return error_set(err, ERROR_NO_SPACE,
		                 "there are %d tokens already; revoke some: drover token list",
		                 BOOKS_TOKENS_MAX);
	memcpy(token.address, place.join_address, sizeof(token.address));
	fill_random(token.id, sizeof(token.id));
	fill_random(token.secret, sizeof(token.secret));
	memcpy(kept.id, token.id, sizeof(kept.id));
	certificate_sha256(token.secret, sizeof(token.secret), kept.secret_sha256);
	kept.expires_ms = kept.created_ms + order->ttl_ms;
	snprintf(kept.node, sizeof(kept.node), "%s", order->node ? order->node : "");
	books_add_token(&books, &kept);
	rc = books_save_tokens(directory, &books, err);
	if (rc == 0)
		*ret = token;
	certificate_forget(token.secret, sizeof(token.secret));
	return rc;
}

int authority_list(const char *directory, struct books *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int rc = lock(directory, &fd, err);

	return rc < 0 ? rc : books_load(directory, ret, err);
}

int authority_revoke_token(const char *directory, const char *id, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	char text[TOKEN_ID_TEXT_BYTES];
	size_t kept = 0;
	int rc = lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < books.n_tokens; i++) {
		if (strcmp(token_format_id(books.tokens[i].id, text), id) != 0)
			books.tokens[kept++] = books.tokens[i];
	}
	if (kept == books.n_tokens)
		return error_set(err, ERROR_NOT_FOUND, "there is no token %.40s", id);
	books.n_tokens = kept;
	return books_save_tokens(directory, &books, err);
}

/* --- joining --- */

int authority_admit(const char *directory, const struct authority_applicant *a,
                    struct authority_grant *ret, struct error *err)
{
	const struct books_claim claim = { a->token_id, a->token_secret, a->name, a->address,
		                           a->migration_address };
	const struct authority_order order = { MESH_ROLE_AGENT, a->name, a->address,
		                               a->migration_address };
	_cleanup_close_ int fd = -1;
	_cleanup_(books_deinit) struct books books = { 0 };
	struct authority_grant grant = { 0 };
	struct books_token *token = NULL;
	int rc = lock(directory, &fd, err);

	if (rc == 0)
		rc = books_load(directory, &books, err);
	if (rc == 0)
		rc = books_judge(&books, &claim, clock_wall_ms(), &token, err);
	if (rc == 0 && books.n_issued >= BOOKS_ISSUED_MAX)
		rc = error_set(err, ERROR_NO_SPACE, "there are %d names already", BOOKS_ISSUED_MAX);
	if (rc == 0)
		rc = sign(directory, &order, a->requests, &grant, err);
	if (rc < 0)
		return rc;
	assert(token);
	token->uses_left--;
	snprintf(token->used_by, sizeof(token->used_by), "%s", a->name);
	note_issued(&books, &order);
	rc = books_save_tokens(directory, &books, err);
	if (rc == 0)
		rc = books_save_issued(directory, &books, err);
	if (rc < 0) {
		authority_grant_deinit(&grant);
		return rc;
	}
	*ret = grant;
	return 0;
}
