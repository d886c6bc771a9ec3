/* SPDX-License-Identifier: Apache-2.0 */
/* See storage_image.h. Couriers only; no state.
 *
 * qcow2 images are made by qemu-img, which gets a descriptor instead of a name: the file is created by
 * us alone, so that no link in its way leads elsewhere. */
#include "agent/storage/storage_image.h"

#include "agent/storage/storage_internal.h"
#include "common/cleanup.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the source's image --- */

/* docs/interop/qcow2.txt of QEMU; all numbers big-endian. */
struct qcow2_header {
	uint32_t magic, version;
	uint64_t backing_file_offset;
	uint32_t backing_file_bytes, cluster_bits;
	uint64_t size;
	uint32_t crypt_method, l1_entries;
	uint64_t l1_offset, refcount_offset;
	uint32_t refcount_clusters, snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible_features; /* from version 3 on */
};
#define QCOW2_MAGIC         0x514649fb
#define QCOW2_CORRUPT       ((uint64_t)1 << 1)
#define QCOW2_EXTERNAL_DATA ((uint64_t)1 << 2)

__attribute__((format(printf, 2, 3))) static void problem(struct vm_disk *d, const char *format,
                                                          ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->copy_problem, sizeof(d->copy_problem), format, args);
	va_end(args);
}

static void describe_qcow2(int fd, struct vm_disk *d)
{
	struct qcow2_header h = { 0 };
	uint32_t version;
	uint64_t features;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || be32toh(h.magic) != QCOW2_MAGIC) {
		problem(d, "it does not hold a qcow2 image");
		return;
	}
	version = be32toh(h.version);
	features = version >= 3 ? be64toh(h.incompatible_features) : 0;
	d->capacity_bytes = be64toh(h.size);
	d->built_on_another = h.backing_file_offset != 0;
	if (version < 2 || version > 3)
		problem(d, "its qcow2 version %u is not known", version);
	else if (h.crypt_method)
		problem(d, "it is encrypted");
	else if (h.snapshots)
		problem(d, "it holds %u internal snapshots, which a copy does not carry",
		        be32toh(h.snapshots));
	else if (features & QCOW2_EXTERNAL_DATA)
		problem(d, "its data is in another file");
	else if (features & QCOW2_CORRUPT)
		problem(d, "it is marked as corrupt: qemu-img check");
}

void storage_image_describe(struct vm_disk *d)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (strcmp(d->type, "file") != 0 || d->read_only || !d->source[0])
		return;
	d->capacity_bytes = d->allocated_bytes = 0;
	d->built_on_another = false;
	d->copy_problem[0] = '\0';
	fd = open(d->source, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		problem(d, "it cannot be read at the source: %.60s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		problem(d, "it is no plain file at the source");
	} else {
		d->allocated_bytes = (uint64_t)st.st_blocks * 512;
		if (strcmp(d->format, "qcow2") == 0)
			describe_qcow2(fd, d);
		else
			d->capacity_bytes = (uint64_t)st.st_size;
	}
}

/* --- the destination's place --- */

/* The directory of an absolute path and the name in it. */
struct place {
	int directory;
	char directory_path[VM_PATH_BYTES];
	const char *name;
};

static void place_close(struct place *p)
{
	cleanup_close_fd(&p->directory);
}

static int place_open(const char *path, struct place *ret, struct error *err)
{
	const char *slash = strrchr(path, '/');

	*ret = (struct place){ .directory = -1 };
	if (path[0] != '/' || !slash[1] || strlen(path) >= VM_PATH_BYTES)
		return error_set(err, ERROR_INVALID, "\"%.100s\" is no path of an image", path);
	ret->name = slash + 1;
	snprintf(ret->directory_path, sizeof(ret->directory_path), "%.*s",
	         slash == path ? 1 : (int)(slash - path), path);
	ret->directory = open(ret->directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->directory < 0)
		return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM, errno,
		                       "%.100s", ret->directory_path);
	return 0;
}

void storage_image_look(const struct vm_disk *disk, struct image_finding *ret)
{
	struct image_finding f = { 0 };
	__attribute__((cleanup(place_close))) struct place place = { .directory = -1 };
	struct statvfs fs;
	struct stat st;
	struct error err;
	int rc = place_open(disk->source, &place, &err);

	f.measured = rc == 0 || rc == -ERROR_NOT_FOUND;
	f.present = rc == 0;
	if (rc < 0) {
		snprintf(f.why, sizeof(f.why), "%.140s", err.text);
	} else if (fstat(place.directory, &st) < 0 || fstatvfs(place.directory, &fs) < 0) {
		f.measured = false;
		snprintf(f.why, sizeof(f.why), "%.80s: %.60s", place.directory_path,
		         strerror(errno));
	} else {
		struct stat there;

		f.device = st.st_dev;
		f.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
		snprintf(f.filesystem, sizeof(f.filesystem), "%.23s",
		         storage_filesystem_name(place.directory));
		f.writable = faccessat(AT_FDCWD, place.directory_path, W_OK, AT_EACCESS) == 0;
		if (!f.writable)
			snprintf(f.why, sizeof(f.why), "%.60s", strerror(errno));
		/* Anything else than "not there" is something that is in the way. */
		f.exists = fstatat(place.directory, place.name, &there, AT_SYMLINK_NOFOLLOW) == 0 ||
		           errno != ENOENT;
	}
	*ret = f;
}

/* --- making --- */

/* The same for the same attempt and path, and short, however long the path's own name is. */
static void format_own_name(const struct storage_image *image, const struct attempt_name *attempt,
                            char *ret, size_t bytes)
{
	char text[ATTEMPT_TEXT_BYTES];
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (const char *p = image->path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	snprintf(ret, bytes, STORAGE_IMAGE_PREFIX "%s-%016llx", attempt_name_format(attempt, text),
	         (unsigned long long)hash);
}

#define OWN_NAME_BYTES (sizeof(STORAGE_IMAGE_PREFIX) + ATTEMPT_TEXT_BYTES + 20)

/* What it said, on one line. */
static void read_said(int fd, char *ret, size_t bytes)
{
	ssize_t n = pread(fd, ret, bytes - 1, 0);

	ret[n > 0 ? n : 0] = '\0';
	for (char *p = ret; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

static int run_qemu_img(int image, const struct storage_image *what, int said, struct error *err)
{
	char size[32];
	const char *arguments[] = { "qemu-img", "create", "-q", "-f", "qcow2", "/proc/self/fd/3",
		                    size,       NULL,     NULL, NULL, NULL,    NULL,
		                    NULL };
	extern char **environ;
	posix_spawn_file_actions_t actions;
	int problem, status = 0;
	pid_t child;

	snprintf(size, sizeof(size), "%llu", (unsigned long long)what->capacity_bytes);
	if (what->backing[0]) {
		/* -u: the image is named and not opened; that it is the right one was proved. */
		const char *more[] = { "-u", "-b", what->backing, "-F", what->backing_format };

		memcpy(&arguments[7], more, sizeof(more));
	}
	problem = posix_spawn_file_actions_init(&actions);
	if (problem)
		return error_set_errno(err, ERROR_SYSTEM, problem, "starting qemu-img");
	/* Duplicates lose their close-on-exec. */
	problem = posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
	if (!problem)
		problem = posix_spawn_file_actions_adddup2(&actions, image, 3);
	if (!problem)
		problem = posix_spawnp(&child, arguments[0], &actions, NULL,
		                       (char *const *)arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (problem)
		return error_set_errno(err, ERROR_SYSTEM, problem, "starting qemu-img");
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
	               ? 0
	               : error_set(err, ERROR_SYSTEM, "qemu-img ended with wait status %d", status);
}

static int make_qcow2(int fd, const struct storage_image *image, struct error *err)
{
	_cleanup_close_ int said = memfd_create("qemu-img", MFD_CLOEXEC);
	/* 3 is what it gets; dup2 onto itself would leave it closed on exec. */
	_cleanup_close_ int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	char text[160];

	if (said < 0 || high < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "starting qemu-img");
	if (run_qemu_img(high, image, said, err) == 0)
		return 0;
	read_said(said, text, sizeof(text));
	return text[0] ? error_context(err, "%s", text) : -(int)err->code;
}

/* 0: the file system does not tell. */
static uint64_t birth_of(int directory, const char *name)
{
	struct statx x;

	if (statx(directory, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &x) < 0 ||
	    !(x.stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)x.stx_btime.tv_sec * 1000000000 + x.stx_btime.tv_nsec;
}

static int fill(int fd, const struct storage_image *image, struct error *err)
{
	if (strcmp(image->format, "qcow2") == 0)
		return make_qcow2(fd, image, err);
	if (strcmp(image->format, "raw") != 0)
		return error_set(err, ERROR_UNSUPPORTED, "images of format %.15s are not made",
		                 image->format);
	if (ftruncate(fd, (off_t)image->capacity_bytes) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "its size");
	return 0;
}

int storage_image_create(struct storage_image *image, const struct attempt_name *attempt,
                         struct error *err)
{
	__attribute__((cleanup(place_close))) struct place place = { .directory = -1 };
	_cleanup_close_ int fd = -1;
	char name[OWN_NAME_BYTES];
	struct stat st = { 0 };
	int rc = place_open(image->path, &place, err);

	if (rc == 0) {
		format_own_name(image, attempt, name, sizeof(name));
		(void)unlinkat(place.directory, name, 0);
		fd = openat(place.directory, name,
		            O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		rc = fd < 0 ? error_set_errno(err, ERROR_SYSTEM, errno, "%.60s", name)
		            : fill(fd, image, err);
		if (rc == 0 && (fsync(fd) < 0 || fsync(place.directory) < 0 || fstat(fd, &st) < 0))
			rc = error_set_errno(err, ERROR_SYSTEM, errno, "%.60s", name);
		if (rc < 0 && fd >= 0)
			unlinkat(place.directory, name, 0);
	}
	if (rc < 0)
		return error_context(err, "making the image %.200s", image->path);
	image->device = st.st_dev;
	image->inode = st.st_ino;
	image->birth_ns = birth_of(place.directory, name);
	return 0;
}

int storage_image_publish(const struct storage_image *image, const struct attempt_name *attempt,
                          struct error *err)
{
	__attribute__((cleanup(place_close))) struct place place = { .directory = -1 };
	char name[OWN_NAME_BYTES];
	int rc = place_open(image->path, &place, err);

	if (rc < 0)
		return rc;
	format_own_name(image, attempt, name, sizeof(name));
	/* A second name and not a new one: it never replaces what is there. */
	if (linkat(place.directory, name, place.directory, place.name, 0) < 0)
		return error_set_errno(err, errno == EEXIST ? ERROR_EXISTS : ERROR_SYSTEM, errno,
		                       "giving the image its name %.200s", image->path);
	if (unlinkat(place.directory, name, 0) < 0 || fsync(place.directory) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "%.200s", place.directory_path);
	return 0;
}

int storage_image_remove(const struct storage_image *image, const struct attempt_name *attempt,
                         struct error *err)
{
	__attribute__((cleanup(place_close))) struct place place = { .directory = -1 };
	char name[OWN_NAME_BYTES];
	struct stat st;
	int rc = place_open(image->path, &place, err);

	if (rc < 0)
		return rc == -ERROR_NOT_FOUND ? 0 : rc;
	format_own_name(image, attempt, name, sizeof(name));
	if (unlinkat(place.directory, name, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %.100s/%.100s",
		                       place.directory_path, name);
	if (!image->inode)
		return 0;
	if (fstatat(place.directory, place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
		               ? 0
		               : error_set_errno(err, ERROR_SYSTEM, errno, "%.200s", image->path);
	if (!S_ISREG(st.st_mode) || st.st_dev != image->device || st.st_ino != image->inode ||
	    birth_of(place.directory, place.name) != image->birth_ns)
		return error_set(err, ERROR_EXISTS,
		                 "%.200s is not the file that was made for the move, and stays",
		                 image->path);
	if (unlinkat(place.directory, place.name, 0) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %.200s", image->path);
	return 0;
}
