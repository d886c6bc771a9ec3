/* SPDX-License-Identifier: Apache-2.0 */
/* See audit_file.h. */
#include "proto/audit/audit_file.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the end of a file; several of the longest lines. */
#define LOOK_BYTES (8 * (size_t)AUDIT_LINE_BYTES)

void audit_file_init(struct audit_file *f, const char *path, uint64_t rotate_bytes, unsigned keep)
{
	*f = (struct audit_file){
		.path = xstrdup(path), .fd = -1, .rotate_bytes = rotate_bytes, .keep = keep
	};
	audit_chain_init(&f->chain);
}

static void close_file(struct audit_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void audit_file_deinit(struct audit_file *f)
{
	close_file(f);
	free(f->path);
	f->path = NULL;
}

static int open_log(const char *path, int *ret_fd, uint64_t *ret_bytes, struct error *err)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "opening the audit log %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return error_set(err, ERROR_BUSY,
		                 "another process writes the audit log %s; set audit/file", path);
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(err, ERROR_INVALID, "the audit log %s is not a file", path);
	}
	*ret_fd = fd;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/* The last good line in the end of @fd; whether it is the very last of the whole lines. */
static int find_last(int fd, uint64_t bytes, struct audit_chain *ret, uint64_t *ret_torn_bytes,
                     bool *ret_found, bool *ret_is_last, struct error *err)
{
	size_t look = bytes < LOOK_BYTES ? (size_t)bytes : LOOK_BYTES;
	_cleanup_free_ char *text = xmalloc(look + 1);
	ssize_t n = pread(fd, text, look, (off_t)(bytes - look));
	char prev[AUDIT_HASH_BYTES];
	struct error ignored;
	size_t end = look;

	if (n != (ssize_t)look)
		return error_set_errno(err, ERROR_SYSTEM, n < 0 ? errno : EIO,
		                       "reading the audit log");
	while (end > 0 && text[end - 1] != '\n')
		end--;
	*ret_torn_bytes = look - end;
	*ret_found = false;
	*ret_is_last = true;
	while (end > 0 && !*ret_found) {
		size_t begin = end - 1;

		while (begin > 0 && text[begin - 1] != '\n')
			begin--;
		*ret_found = audit_line_check(text + begin, end - 1 - begin, ret, prev, &ignored) ==
		             0;
		if (!*ret_found)
			*ret_is_last = false;
		end = begin;
	}
	return 0;
}

/* A crash may have come between a rotation and the first line of the new file. */
static void take_up_rotated(struct audit_file *f)
{
	_cleanup_free_ char *older = xasprintf("%s.1", f->path);
	int fd = open(older, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool found, is_last;
	struct error ignored;
	uint64_t torn;
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0)
		(void)find_last(fd, (uint64_t)st.st_size, &f->chain, &torn, &found, &is_last,
		                &ignored);
	close(fd);
}

int audit_file_open(struct audit_file *f, struct audit_recovery *ret, struct error *err)
{
	struct audit_recovery recovery = { 0 };
	bool found, is_last;
	int rc;

	close_file(f);
	rc = open_log(f->path, &f->fd, &f->bytes, err);
	if (rc < 0)
		return rc;
	rc = find_last(f->fd, f->bytes, &f->chain, &recovery.torn_bytes, &found, &is_last, err);
	if (rc == 0 && recovery.torn_bytes > 0 &&
	    ftruncate(f->fd, (off_t)(f->bytes - recovery.torn_bytes)) < 0)
		rc = error_set_errno(err, ERROR_SYSTEM, errno, "cutting a torn line off %s",
		                     f->path);
	if (rc < 0) {
		close_file(f);
		return rc;
	}
	f->bytes -= recovery.torn_bytes;
	recovery.damaged = f->bytes > 0 && (!found || !is_last);
	if (!found && f->bytes == 0)
		take_up_rotated(f);
	*ret = recovery;
	return 0;
}

/* The oldest goes. A crash in between leaves a gap in the numbers, which the next rotation fills. */
static int rotate(struct audit_file *f, struct error *err)
{
	_cleanup_free_ char *to = xasprintf("%s.%u", f->path, f->keep);
	uint64_t bytes;
	int fd;
	int rc;

	for (unsigned n = f->keep; n > 0; n--) {
		char *from = n > 1 ? xasprintf("%s.%u", f->path, n - 1) : xstrdup(f->path);

		if (rename(from, to) < 0 && errno != ENOENT) {
			rc = error_set_errno(err, ERROR_SYSTEM, errno, "renaming %s to %s", from,
			                     to);
			free(from);
			return rc;
		}
		free(to);
		to = from;
	}
	if (f->keep == 0 && unlink(f->path) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", f->path);
	rc = open_log(f->path, &fd, &bytes, err);
	/* Without the new file nothing more is written to the renamed one: it is opened anew. */
	close_file(f);
	if (rc < 0)
		return rc;
	f->fd = fd;
	f->bytes = bytes;
	return 0;
}

int audit_file_append(struct audit_file *f, const char *fields, struct error *err)
{
	char line[AUDIT_LINE_BYTES];
	struct audit_chain chain;
	size_t bytes = audit_line_make(&f->chain, fields, line, &chain);
	ssize_t n;
	int rc;

	if (f->bytes > 0 && f->bytes + bytes > f->rotate_bytes) {
		if (audit_file_sync(f, err) < 0)
			return -(int)err->code;
		rc = rotate(f, err);
		if (rc < 0)
			return rc;
	}
	n = write(f->fd, line, bytes);
	if (n != (ssize_t)bytes) {
		error_set_errno(err, ERROR_SYSTEM, n < 0 ? errno : ENOSPC, "writing %s", f->path);
		/* Half a line must not stand before the next; opening anew would cut it off, too. */
		if (n > 0 && ftruncate(f->fd, (off_t)f->bytes) < 0)
			close_file(f);
		return -(int)err->code;
	}
	f->bytes += bytes;
	f->chain = chain;
	return 0;
}

int audit_file_sync(struct audit_file *f, struct error *err)
{
	if (fdatasync(f->fd) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "writing %s to the disk", f->path);
	return 0;
}
