/* SPDX-License-Identifier: Apache-2.0 */
/* See journal.h. The file: opening, appending, replacing. Used by one courier at a time.
 *
 * Invariant: [0, bytes) of the file is whole records on the disk, whatever happens in between. A
 * write that failed is cut off again; after a failed fsync the kernel may have dropped the pages
 * and would say "done" to the next one, so the journal is broken from then on and a restart reads
 * what the disk really has.
 */
#include "agent/journal/journal.h"

#include "agent/failpoints.h"
#include "agent/journal/journal_format.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Compaction keeps it far below; more than this is not ours, or something went very wrong. */
#define JOURNAL_FILE_MAX ((off_t)256 * 1024 * 1024)

struct journal {
	char *path, *new_path; /* owned */
	int fd, lock_fd;
	size_t bytes;
	bool broken;
};

static int system_error(struct error *err, const char *doing, const char *path)
{
	int saved = errno;

	return error_set_errno(err,
	                       saved == ENOSPC || saved == EDQUOT ? ERROR_NO_SPACE : ERROR_SYSTEM,
	                       saved, "%s %s", doing, path);
}

static int sync_directory(const char *path, struct error *err)
{
	_cleanup_free_ char *directory = xstrdup(path);
	char *slash = strrchr(directory, '/');
	_cleanup_close_ int fd = -1;

	if (slash)
		slash[slash == directory ? 1 : 0] = '\0';
	fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return system_error(err, "syncing the directory of", path);
	return 0;
}

static int write_at(int fd, const void *data, size_t bytes, off_t at)
{
	const uint8_t *p = data;

	while (bytes) {
		ssize_t n = pwrite(fd, p, bytes, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* The file as one buffer. */
static int read_whole(int fd, const char *path, uint8_t **ret, size_t *ret_bytes, struct error *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct stat st;
	size_t got = 0;

	if (fstat(fd, &st) < 0)
		return system_error(err, "reading", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID, "%s is not a file", path);
	if (st.st_size > JOURNAL_FILE_MAX)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%s has %lld bytes: that is no journal of ours", path,
		                 (long long)st.st_size);
	data = xmalloc((size_t)st.st_size + 1);
	while (got < (size_t)st.st_size) {
		ssize_t n = pread(fd, data + got, (size_t)st.st_size - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return system_error(err, "reading", path);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_bytes = got;
	*ret = take_pointer(data);
	return 0;
}

/* A new file of @data beside the journal, on the disk, then in its place. */
static int replace_file(struct journal *j, const uint8_t *data, size_t bytes, struct error *err)
{
	_cleanup_close_ int fd = open(j->new_path,
	                              O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return system_error(err, "creating", j->new_path);
	if (write_at(fd, data, bytes, 0) < 0 || fsync(fd) < 0) {
		rc = system_error(err, "writing", j->new_path);
		unlink(j->new_path);
		return rc;
	}
	if (rename(j->new_path, j->path) < 0) {
		rc = system_error(err, "replacing", j->path);
		unlink(j->new_path);
		return rc;
	}
	cleanup_close_fd(&j->fd);
	j->fd = take_fd(fd);
	j->bytes = bytes;
	/* The new file is in place now, but a power cut could bring the old one back, which misses
	 * what is appended from here on. */
	rc = sync_directory(j->path, err);
	if (rc < 0)
		j->broken = true;
	return rc;
}

static int quarantine(struct journal *j, const uint8_t *data, size_t good_bytes,
                      struct journal_report *report, struct error *err)
{
	unsigned long long time = clock_wall_ms();
	int tries = 0;

	/* link, not rename: no file there may be overwritten, and no moment without a journal. */
	for (;;) {
		snprintf(report->quarantine_path, sizeof(report->quarantine_path),
		         "%s.corrupt-%llu", j->path, time++);
		if (link(j->path, report->quarantine_path) == 0)
			break;
		if (errno != EEXIST || ++tries == 100)
			return system_error(err, "setting aside the damaged", j->path);
	}
	report->quarantined = true;
	return replace_file(j, good_bytes ? data : (const uint8_t *)JOURNAL_MAGIC,
	                    good_bytes ? good_bytes : JOURNAL_MAGIC_BYTES, err);
}

static int load(struct journal *j,
                int (*record)(const struct journal_record *r, void *context, struct error *err),
                void *context, struct journal_report *report, struct error *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct error damage = { 0 };
	size_t bytes = 0, good;
	bool damaged;
	int rc = read_whole(j->fd, j->path, &data, &bytes, err);

	if (rc < 0)
		return rc;
	journal_scan(data, bytes, record, context, &good, &damaged, &damage);
	if (damaged) {
		snprintf(report->damage, sizeof(report->damage), "%.159s", damage.text);
		return quarantine(j, data, good, report, err);
	}
	if (good == 0)
		return replace_file(j, (const uint8_t *)JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES, err);
	report->dropped_bytes = bytes - good;
	if (good < bytes && (ftruncate(j->fd, (off_t)good) < 0 || fsync(j->fd) < 0))
		return system_error(err, "dropping the torn end of", j->path);
	j->bytes = good;
	return 0;
}

struct counter {
	int (*record)(const struct journal_record *r, void *context, struct error *err);
	void *context;
	size_t n;
};

static int count_record(const struct journal_record *r, void *context, struct error *err)
{
	struct counter *c = context;
	int rc = c->record(r, c->context, err);

	if (rc == 0)
		c->n++;
	return rc;
}

static int open_files(struct journal *j, struct error *err)
{
	_cleanup_free_ char *lock_path = xasprintf("%s.lock", j->path);

	/* A file of its own: the journal itself is replaced by compaction. */
	j->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (j->lock_fd < 0)
		return system_error(err, "opening", lock_path);
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, ERROR_BUSY, "%s is in use: is another agent running?",
		                 j->path);
	unlink(j->new_path);
	j->fd = open(j->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (j->fd < 0)
		return system_error(err, "opening", j->path);
	return 0;
}

int journal_open(const char *path,
                 int (*record)(const struct journal_record *r, void *context, struct error *err),
                 void *context, struct journal **ret, struct journal_report *ret_report,
                 struct error *err)
{
	struct counter counter = { record, context, 0 };
	struct journal_report report = { 0 };
	struct journal *j;
	int rc;

	if (strlen(path) >= PATH_MAX)
		return error_set(err, ERROR_INVALID, "the journal's path is over %d bytes",
		                 PATH_MAX);
	j = xnew(struct journal);
	j->fd = j->lock_fd = -1;
	j->path = xstrdup(path);
	j->new_path = xasprintf("%s.new", path);
	rc = open_files(j, err);
	if (rc == 0)
		rc = load(j, count_record, &counter, &report, err);
	if (rc < 0) {
		journal_close(j);
		return rc;
	}
	report.records = counter.n;
	*ret = j;
	*ret_report = report;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	cleanup_close_fd(&j->fd);
	cleanup_close_fd(&j->lock_fd);
	free(j->path);
	free(j->new_path);
	free(j);
}

size_t journal_get_bytes(const struct journal *j)
{
	return j->bytes;
}

static int refuse_broken(const struct journal *j, struct error *err)
{
	if (!j->broken)
		return 0;
	return error_set(
		err, ERROR_SYSTEM,
		"%s could not be synced to disk earlier and is no longer written: check the "
		"disk, then restart the agent",
		j->path);
}

int journal_append(struct journal *j, uint32_t type, const void *payload, size_t bytes,
                   struct error *err)
{
	_cleanup_free_ uint8_t *record = NULL;
	int rc = refuse_broken(j, err);

	if (rc < 0)
		return rc;
	assert(type != 0);
	if (bytes > JOURNAL_RECORD_MAX)
		return error_set(err, ERROR_TOO_LARGE, "a journal record of %zu bytes, at most %d",
		                 bytes, JOURNAL_RECORD_MAX);
	record = xmalloc(JOURNAL_HEADER_BYTES + bytes);
	journal_format_header(type, payload, bytes, record);
	if (bytes)
		memcpy(record + JOURNAL_HEADER_BYTES, payload, bytes);
	rc = FAILPOINT_ERROR(journal_before_append, err);
	if (rc < 0)
		return rc;
	if (write_at(j->fd, record, JOURNAL_HEADER_BYTES + bytes, (off_t)j->bytes) < 0) {
		rc = system_error(err, "writing", j->path);
		if (ftruncate(j->fd, (off_t)j->bytes) < 0)
			j->broken = true;
		return rc;
	}
	FAILPOINT(journal_before_sync);
	if (fdatasync(j->fd) < 0) {
		j->broken = true;
		return system_error(err, "syncing", j->path);
	}
	j->bytes += JOURNAL_HEADER_BYTES + bytes;
	FAILPOINT(journal_after_append);
	return 0;
}

int journal_compact(struct journal *j, const struct journal_record *records, size_t n,
                    struct error *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t total = JOURNAL_MAGIC_BYTES, at = JOURNAL_MAGIC_BYTES;
	int rc = refuse_broken(j, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		total += JOURNAL_HEADER_BYTES + records[i].bytes;
	data = xmalloc(total);
	memcpy(data, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES);
	for (size_t i = 0; i < n; i++) {
		assert(records[i].type != 0 && records[i].bytes <= JOURNAL_RECORD_MAX);
		journal_format_header(records[i].type, records[i].payload, records[i].bytes,
		                      data + at);
		if (records[i].bytes)
			memcpy(data + at + JOURNAL_HEADER_BYTES, records[i].payload,
			       records[i].bytes);
		at += JOURNAL_HEADER_BYTES + records[i].bytes;
	}
	return replace_file(j, data, total, err);
}
