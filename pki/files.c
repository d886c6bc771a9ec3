/* SPDX-License-Identifier: Apache-2.0 */
/* See files.h. */
#include "pki/files.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/id.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new name in a directory is durable when the directory is. */
static int sync_parent(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	const char *parent = dirname(copy);
	_cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "making %s durable", parent);
	return 0;
}

static int write_all(int fd, const char *text, struct file_mode mode)
{
	size_t bytes = strlen(text);

	while (bytes > 0) {
		ssize_t n = write(fd, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		bytes -= (size_t)n;
	}
	if (mode.group != (gid_t)-1 && fchown(fd, (uid_t)-1, mode.group) < 0)
		return -1;
	if (fchmod(fd, mode.mode) < 0)
		return -1;
	return fsync(fd);
}

int files_write(const char *path, const char *text, struct file_mode mode, struct error *err)
{
	struct id unique = id_new();
	char hex[ID_TEXT_BYTES];
	_cleanup_free_ char *beside = xasprintf("%s.%.8s", path, id_format(&unique, hex));
	_cleanup_close_ int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
	                              0600);
	int failed;

	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "making %s", beside);
	if (write_all(fd, text, mode) < 0) {
		failed = errno;
		unlink(beside);
		return error_set_errno(err, ERROR_SYSTEM, failed, "writing %s", beside);
	}
	if (renameat2(AT_FDCWD, beside, AT_FDCWD, path, mode.replace ? 0 : RENAME_NOREPLACE) < 0) {
		failed = errno;
		unlink(beside);
		if (failed == EEXIST)
			return error_set(err, ERROR_EXISTS,
			                 "%s is there already; it was not touched", path);
		return error_set_errno(err, ERROR_SYSTEM, failed, "moving %s to its place", path);
	}
	return sync_parent(path, err);
}

int files_read(const char *path, char **ret_text, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t used = 0;

	if (fd < 0)
		return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM, errno,
		                       "reading %s", path);
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
	if (st.st_size < 0 || (size_t)st.st_size > FILES_READ_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%s has more than %zu KiB", path,
		                 FILES_READ_MAX / 1024);
	text = xcalloc(1, (size_t)st.st_size + 1);
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, text + used, (size_t)st.st_size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
		if (n == 0)
			break;
		used += (size_t)n;
	}
	if (strlen(text) != used)
		return error_set(err, ERROR_INVALID, "%s is not a text file", path);
	*ret_text = take_pointer(text);
	return 0;
}

bool files_exist(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

int files_make_directory(const char *path, mode_t mode, struct error *err)
{
	_cleanup_free_ char *part = xstrdup(path);

	for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return error_set_errno(err, ERROR_SYSTEM, errno, "making %s", part);
		*slash = '/';
	}
	if (mkdir(part, mode) < 0) {
		if (errno == EEXIST)
			return 0;
		return error_set_errno(err, ERROR_SYSTEM, errno, "making %s", part);
	}
	/* The mask of the process may take away what others must have. */
	if (chmod(part, mode) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "making %s", part);
	return sync_parent(part, err);
}

int files_move_new(const char *from, const char *to, struct error *err)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST)
			return error_set(err, ERROR_EXISTS, "%s is there already", to);
		return error_set_errno(err, ERROR_SYSTEM, errno, "moving %s to %s", from, to);
	}
	return sync_parent(to, err);
}
