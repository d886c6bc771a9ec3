/* SPDX-License-Identifier: Apache-2.0 */
/* The source's half of a storage proof, and what both halves share. See storage_proof.h. Couriers
 * only; no state but the nonce files, which the caller has removed after Admit. */
#include "agent/storage/storage_proof.h"

#include "agent/storage/storage_device.h"
#include "agent/storage/storage_internal.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

static const char *const method_names[] = {
	[STORAGE_UNPROVED] = "unproved",
	[STORAGE_INODE_NONCE] = "inode and nonce",
	[STORAGE_DEVICE_ID] = "device id",
	[STORAGE_NETWORK_URI] = "network URI",
};
static_assert(ARRAY_SIZE(method_names) == STORAGE_METHODS, "every method has a name");

const char *storage_method_name(enum storage_method method)
{
	return (unsigned int)method < STORAGE_METHODS ? method_names[method] : "unknown";
}

const char *storage_filesystem_name(int fd)
{
	/* linux/magic.h has only some of them. */
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
		{ 0xEF53, "ext4" },      { 0x58465342, "xfs" },     { 0x9123683E, "btrfs" },
		{ 0x01021994, "tmpfs" }, { 0x794C7630, "overlay" }, { 0x6969, "nfs" },
		{ 0x01161970, "gfs2" },  { 0x7461636F, "ocfs2" },   { 0xFF534D42, "cifs" },
		{ 0xFE534D42, "smb" },   { 0x00C36400, "ceph" },    { 0x65735546, "fuse" },
		{ 0x2FC12FC1, "zfs" },   { 0x9660, "iso9660" },     { 0x73717368, "squashfs" },
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			if ((unsigned long)fs.f_type == known[i].magic)
				return known[i].name;
	return "unknown filesystem";
}

void storage_format_identity(const struct stat *st, char *ret, size_t bytes)
{
	snprintf(ret, bytes, "inode=%llu size=%llu", (unsigned long long)st->st_ino,
	         (unsigned long long)st->st_size);
}

int storage_parse_identity(const char *text, unsigned long long *ret_inode,
                           unsigned long long *ret_size)
{
	unsigned long long inode, size;
	int end = 0;

	if (sscanf(text, "inode=%20llu size=%20llu%n", &inode, &size, &end) != 2 || text[end])
		return -ERROR_INVALID;
	*ret_inode = inode;
	*ret_size = size;
	return 0;
}

bool storage_nonce_name_is_ours(const char *name)
{
	size_t prefix = strlen(STORAGE_NONCE_PREFIX);

	if (strncmp(name, STORAGE_NONCE_PREFIX, prefix) != 0 || !name[prefix] ||
	    strlen(name) > NAME_MAX)
		return false;
	for (const char *p = name + prefix; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-')
			return false;
	return true;
}

__attribute__((format(printf, 4, 5))) static int explain(char *why, size_t bytes, int rc,
                                                         const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, bytes, format, args);
	va_end(args);
	return rc;
}

void storage_place_close(struct storage_place *place)
{
	cleanup_close_fd(&place->fd);
	cleanup_close_fd(&place->directory);
	place->fd = place->directory = -1;
}

/* The directory of a resolved path. */
static void cut_to_directory(const char *path, char *ret)
{
	char *slash;

	snprintf(ret, VM_PATH_BYTES, "%s", path);
	slash = strrchr(ret, '/');
	slash[slash == ret ? 1 : 0] = '\0';
}

static int resolve_path(const char *path, struct storage_place *p, char *why, size_t bytes)
{
	_cleanup_free_ char *real = NULL;

	if (path[0] != '/')
		return explain(why, bytes, -ERROR_INVALID, "not an absolute path");
	real = realpath(path, NULL);
	if (!real)
		return explain(why, bytes, errno == ENOENT ? -ERROR_NOT_FOUND : -ERROR_SYSTEM, "%s",
		               strerror(errno));
	if (strlen(real) >= sizeof(p->path))
		return explain(why, bytes, -ERROR_UNSUPPORTED, "its path is over %d bytes",
		               VM_PATH_BYTES - 1);
	memcpy(p->path, real, strlen(real) + 1);
	return 0;
}

int storage_place_open(const char *path, struct storage_place *ret, char *ret_why, size_t why_bytes)
{
	struct storage_place p = { .fd = -1, .directory = -1 };
	int rc = resolve_path(path, &p, ret_why, why_bytes);

	if (rc < 0)
		return rc;
	/* Not blocking: a peer may name a FIFO. */
	p.fd = open(p.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (p.fd < 0 || fstat(p.fd, &p.st) < 0) {
		rc = explain(ret_why, why_bytes, -ERROR_SYSTEM, "%s", strerror(errno));
	} else if (S_ISREG(p.st.st_mode)) {
		cut_to_directory(p.path, p.directory_path);
		p.directory = open(p.directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (p.directory < 0)
			rc = explain(ret_why, why_bytes, -ERROR_SYSTEM, "its directory: %s",
			             strerror(errno));
	} else if (!S_ISBLK(p.st.st_mode)) {
		rc = explain(ret_why, why_bytes, -ERROR_UNSUPPORTED,
		             "neither a file nor a block device");
	}
	if (rc < 0) {
		storage_place_close(&p);
		return rc;
	}
	*ret = p;
	return 0;
}

int storage_place_open_directory(const char *path, struct storage_place *ret, char *ret_why,
                                 size_t why_bytes)
{
	struct storage_place p = { .fd = -1, .directory = -1 };
	int rc = resolve_path(path, &p, ret_why, why_bytes);

	if (rc < 0)
		return rc;
	memcpy(p.directory_path, p.path, sizeof(p.path));
	p.directory = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p.directory < 0 || fstat(p.directory, &p.st) < 0) {
		rc = explain(ret_why, why_bytes, -ERROR_SYSTEM, "%s", strerror(errno));
		storage_place_close(&p);
		return rc;
	}
	/* The size of a directory says nothing. */
	p.st.st_size = 0;
	*ret = p;
	return 0;
}

static int create_nonce(int directory, const char *name)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(directory, name, flags, 0600);

	/* Only an earlier call for this very attempt can have left one. */
	if (fd < 0 && errno == EEXIST && unlinkat(directory, name, 0) == 0)
		fd = openat(directory, name, flags, 0600);
	return fd;
}

/* Closing tells whether a network filesystem took it. */
static int write_and_close(int fd, const char *text)
{
	size_t n = strlen(text);
	bool written = write(fd, text, n) == (ssize_t)n;
	int problem = written ? 0 : errno ? errno : EIO;

	if (close(fd) < 0 && written)
		problem = errno;
	return problem;
}

static void name_nonce(const struct attempt_name *attempt, const char *what, char *ret,
                       size_t bytes)
{
	char name[ATTEMPT_TEXT_BYTES];
	size_t n;

	snprintf(ret, bytes, STORAGE_NONCE_PREFIX "%s-", attempt_name_format(attempt, name));
	n = strlen(ret);
	for (; *what && n < bytes - 1; what++)
		if (islower((unsigned char)*what) || isdigit((unsigned char)*what))
			ret[n++] = *what;
	ret[n] = '\0';
}

/* Writes the nonce into @place's directory and fills identity, path and nonce. */
static void prove_by_nonce(const struct storage_place *place, const char *what,
                           const struct attempt_name *attempt, struct storage_proof *ret)
{
	struct storage_proof p = { .method = STORAGE_INODE_NONCE };
	struct id nonce = id_new();
	char name[NAME_MAX + 1];
	struct stat st;
	int fd, problem;

	id_format(&nonce, p.nonce);
	name_nonce(attempt, what, name, sizeof(name));
	if ((size_t)snprintf(p.nonce_path, sizeof(p.nonce_path), "%s/%s",
	                     strcmp(place->directory_path, "/") == 0 ? "" : place->directory_path,
	                     name) >= sizeof(p.nonce_path)) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0,
		        "its path leaves no room for a proof beside it");
		return;
	}
	errno = 0;
	fd = create_nonce(place->directory, name);
	if (fd < 0) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0,
		        "the source cannot write a proof into %.80s: %s", place->directory_path,
		        strerror(errno));
		return;
	}
	problem = fstat(fd, &st) < 0 ? errno : 0;
	if (problem)
		close(fd);
	else
		problem = write_and_close(fd, p.nonce);
	if (problem) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0,
		        "the source cannot write a proof into %.80s: %s", place->directory_path,
		        strerror(problem));
		goto remove_nonce;
	}
	if (st.st_dev != place->st.st_dev) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0,
		        "it is mounted by itself at the source: what lies beside it proves "
		        "nothing");
		goto remove_nonce;
	}
	storage_format_identity(&place->st, p.identity, sizeof(p.identity));
	*ret = p;
	return;

remove_nonce:
	unlinkat(place->directory, name, 0);
}

static void prove_device(const struct storage_place *place, struct storage_proof *ret)
{
	struct storage_proof p = { .method = STORAGE_DEVICE_ID };
	char why[128];

	if (storage_device_identify(place->fd, p.identity, sizeof(p.identity), why, sizeof(why)) <
	    0)
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0, "at the source: %s", why);
	else
		*ret = p;
}

void storage_proof_make(const struct vm_disk *disk, const struct attempt_name *attempt,
                        struct storage_proof *ret)
{
	struct storage_place place = { .fd = -1, .directory = -1 };
	char why[128];

	memset(ret, 0, sizeof(*ret));
	if (strcmp(disk->type, "none") == 0 || !disk->source[0])
		return;
	if (strcmp(disk->type, "network") == 0) {
		if (strlen(disk->source) >= sizeof(ret->identity)) {
			explain(ret->why_unproved, sizeof(ret->why_unproved), 0,
			        "its URI is over %zu bytes", sizeof(ret->identity) - 1);
			return;
		}
		ret->method = STORAGE_NETWORK_URI;
		memcpy(ret->identity, disk->source, strlen(disk->source) + 1);
		return;
	}
	if (strcmp(disk->type, "file") != 0 && strcmp(disk->type, "block") != 0) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0,
		        "disks of type \"%s\" cannot be proved the same", disk->type);
		return;
	}
	if (storage_place_open(disk->source, &place, why, sizeof(why)) < 0) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0, "at the source: %s", why);
		return;
	}
	if (S_ISBLK(place.st.st_mode))
		prove_device(&place, ret);
	else
		prove_by_nonce(&place, disk->target, attempt, ret);
	storage_place_close(&place);
}

void storage_proof_make_directory(const char *path, const struct attempt_name *attempt,
                                  struct storage_proof *ret)
{
	struct storage_place place = { .fd = -1, .directory = -1 };
	char why[128];

	memset(ret, 0, sizeof(*ret));
	if (storage_place_open_directory(path, &place, why, sizeof(why)) < 0) {
		explain(ret->why_unproved, sizeof(ret->why_unproved), 0, "at the source: %s", why);
		return;
	}
	prove_by_nonce(&place, "directory", attempt, ret);
	storage_place_close(&place);
}

int storage_proof_clean(const struct storage_proof *proof, struct error *err)
{
	const char *name;

	if (!proof->nonce_path[0])
		return 0;
	name = strrchr(proof->nonce_path, '/');
	if (!name || !storage_nonce_name_is_ours(name + 1))
		return error_set(err, ERROR_INVALID, "%s is not a proof of ours",
		                 proof->nonce_path);
	if (unlink(proof->nonce_path) < 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", proof->nonce_path);
	return 0;
}
