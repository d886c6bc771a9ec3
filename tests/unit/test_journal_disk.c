/* SPDX-License-Identifier: Apache-2.0 */
/* The journal on a disk that fails: each call into the kernel that it makes fails once, the first, the
 * second, the third ... of its kind, until a run has none left to fail. What was confirmed is there
 * afterwards, in order, and nothing is there that was never written. The linker puts the calls below in
 * the place of libc's (tests/unit/kernel.cmake). */
#include "agent/journal/journal.h"

#include "agent/journal/journal_format.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum call { PWRITE, PREAD, FSYNC, FDATASYNC, FTRUNCATE, RENAME, LINK, OPEN, FSTAT, CALLS };

enum way { WITH_EIO, WITH_ENOSPC, WITH_EINTR, HALF, WAYS };

static struct {
	bool armed;
	enum call call;
	enum way way;
	unsigned left; /* calls of that kind until it fails */
	bool failed;
} fault;

/* Whether this is the one; errno is set. */
static bool fails(enum call call)
{
	if (!fault.armed || fault.failed || fault.call != call || --fault.left > 0)
		return false;
	fault.failed = true;
	errno = fault.way == WITH_ENOSPC ? ENOSPC : fault.way == WITH_EINTR ? EINTR : EIO;
	return true;
}

ssize_t __real_pwrite(int fd, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
	if (!fails(PWRITE))
		return __real_pwrite(fd, data, bytes, at);
	/* What a full disk does: part of it is there. */
	if (fault.way == HALF || fault.way == WITH_ENOSPC)
		(void)__real_pwrite(fd, data, bytes / 2, at);
	return fault.way == HALF ? (ssize_t)(bytes / 2) : -1;
}

ssize_t __real_pread(int fd, void *data, size_t bytes, off_t at);
ssize_t __wrap_pread(int fd, void *data, size_t bytes, off_t at);
ssize_t __wrap_pread(int fd, void *data, size_t bytes, off_t at)
{
	if (!fails(PREAD))
		return __real_pread(fd, data, bytes, at);
	return fault.way == HALF ? __real_pread(fd, data, (bytes + 1) / 2, at) : -1;
}

#define WRAP(name, CALL, declaration, arguments)                   \
	int __real_##name declaration;                             \
	int __wrap_##name declaration;                             \
	int __wrap_##name declaration                              \
	{                                                          \
		return fails(CALL) ? -1 : __real_##name arguments; \
	}

WRAP(fsync, FSYNC, (int fd), (fd))
WRAP(fdatasync, FDATASYNC, (int fd), (fd))
WRAP(ftruncate, FTRUNCATE, (int fd, off_t bytes), (fd, bytes))
WRAP(rename, RENAME, (const char *from, const char *to), (from, to))
WRAP(link, LINK, (const char *from, const char *to), (from, to))
WRAP(fstat, FSTAT, (int fd, struct stat *ret), (fd, ret))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return fails(OPEN) ? -1 : __real_open(path, flags, mode);
}

/* --- one life of a journal --- */

enum beginning { NEW, WHOLE, TORN, DAMAGED, BEGINNINGS };

#define RECORDS 6

struct story {
	char directory[64], path[128];
	bool confirmed[RECORDS]; /* record n is surely there */
	bool written[RECORDS];   /* it may be there */
	unsigned found[RECORDS];
	unsigned n_found;
};

static int take(const struct journal_record *r, void *context, struct error *err)
{
	struct story *s = context;
	unsigned n = r->payload[0];

	(void)err;
	assert_int_equal(r->type, 1);
	assert_int_equal(r->bytes, 100);
	assert_in_range(n, 0, RECORDS - 1);
	assert_true(s->n_found < RECORDS);
	s->found[s->n_found++] = n;
	return 0;
}

static void payload_make(unsigned n, uint8_t *ret_payload)
{
	memset(ret_payload, (int)n, 100);
}

static void append(struct story *s, struct journal *j, unsigned n)
{
	uint8_t payload[100];
	struct error err = { 0 };

	payload_make(n, payload);
	s->written[n] = true;
	if (journal_append(j, 1, payload, sizeof(payload), &err) == 0)
		s->confirmed[n] = true;
	else
		assert_non_null(strstr(err.text, s->path));
}

static void begin(struct story *s, enum beginning beginning)
{
	struct journal_report report;
	struct journal *j;
	struct error err;
	FILE *file;

	memset(s, 0, sizeof(*s));
	strcpy(s->directory, "/tmp/drover-journal-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->path, sizeof(s->path), "%s/journal", s->directory);
	if (beginning == NEW)
		return;
	assert_int_equal(journal_open(s->path, take, s, &j, &report, &err), 0);
	append(s, j, 0);
	append(s, j, 1);
	journal_close(j);
	if (beginning == WHOLE)
		return;
	file = fopen(s->path, "a");
	assert_non_null(file);
	if (beginning == TORN)
		fputs("torn", file);
	else
		for (int i = 0; i < 100; i++)
			fputs("nonsense", file);
	fclose(file);
}

/* Everything a journal does in its life. What fails is told, and what follows is tried all the same. */
static void live(struct story *s)
{
	struct journal_record records[RECORDS];
	uint8_t payloads[RECORDS][100];
	struct journal_report report;
	struct journal *j;
	struct error err = { 0 };
	size_t n = 0;

	s->n_found = 0;
	if (journal_open(s->path, take, s, &j, &report, &err) < 0) {
		assert_non_null(strstr(err.text, s->directory));
		return;
	}
	append(s, j, 2);
	append(s, j, 3);
	for (unsigned i = 0; i < 4; i++) {
		/* What is not surely there is not taken over. */
		if (!s->confirmed[i])
			continue;
		payload_make(i, payloads[n]);
		records[n] = (struct journal_record){ 1, payloads[n], 100 };
		n++;
	}
	(void)journal_compact(j, records, n, &err);
	append(s, j, 4);
	append(s, j, 5);
	journal_close(j);
}

static void judge(struct story *s)
{
	struct journal_report report;
	struct journal *j;
	struct error err = { 0 };
	unsigned at = 0;

	s->n_found = 0;
	if (journal_open(s->path, take, s, &j, &report, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned n = 0; n < RECORDS; n++) {
		bool there = at < s->n_found && s->found[at] == n;

		assert_true(!there || s->written[n]);
		if (s->confirmed[n] && !there)
			fail_msg("record %u was confirmed and is not there", n);
		at += there;
	}
	assert_int_equal(at, s->n_found);
	journal_close(j);
}

static void end(const struct story *s)
{
	_cleanup_free_ char *command = xasprintf("rm -rf '%s'", s->directory);

	assert_int_equal(system(command), 0);
}

/* Each call of each kind fails in each way, at each beginning. */
static void test_every_call_fails_once(void **state)
{
	unsigned runs = 0, failures = 0;

	(void)state;
	for (int beginning = 0; beginning < BEGINNINGS; beginning++)
		for (int call = 0; call < CALLS; call++)
			for (int way = 0; way < WAYS; way++) {
				/* A signal interrupts what moves bytes; nothing else is done by halves. */
				if (way >= WITH_EINTR && call != PWRITE && call != PREAD)
					continue;
				for (unsigned n = 1;; n++) {
					struct story s;

					begin(&s, (enum beginning)beginning);
					fault.call = (enum call)call;
					fault.way = (enum way)way;
					fault.left = n;
					fault.failed = false;
					fault.armed = true;
					live(&s);
					fault.armed = false;
					judge(&s);
					end(&s);
					runs++;
					if (!fault.failed)
						break;
					failures++;
				}
			}
	assert_true(failures > 100 && runs > failures);
}

static int open_at(const char *path, struct error *err)
{
	struct journal_report report;
	struct story s = { 0 };
	struct journal *j;
	int rc = journal_open(path, take, &s, &j, &report, err);

	if (rc == 0)
		journal_close(j);
	return rc;
}

/* What is no file, or cannot be ours, is refused and left alone. */
static void test_refused_files(void **state)
{
	_cleanup_free_ char *long_path = xmalloc(5001);
	uint8_t *large = xcalloc(1, JOURNAL_RECORD_MAX + 1);
	char path[200];
	struct journal_report report;
	struct journal *j;
	struct error err;
	struct story s;

	(void)state;
	begin(&s, NEW);
	memset(long_path, 'a', 5000);
	long_path[5000] = '\0';
	assert_int_equal(open_at(long_path, &err), -ERROR_INVALID);

	snprintf(path, sizeof(path), "%s/pipe", s.directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(open_at(path, &err), -ERROR_INVALID);

	snprintf(path, sizeof(path), "%s/huge", s.directory);
	close(__real_open(path, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(truncate(path, (off_t)1 << 40), 0);
	assert_int_equal(open_at(path, &err), -ERROR_TOO_LARGE);

	assert_int_equal(journal_open(s.path, take, &s, &j, &report, &err), 0);
	assert_int_equal(journal_append(j, 1, large, JOURNAL_RECORD_MAX + 1, &err),
	                 -ERROR_TOO_LARGE);
	assert_int_equal(journal_append(j, 1, NULL, 0, &err), 0);
	journal_close(j);
	free(large);
	end(&s);
}

/* A path without a folder is one in the folder where we are. */
static void test_path_without_folder(void **state)
{
	_cleanup_free_ char *before = getcwd(NULL, 0);
	struct error err;
	struct story s;

	(void)state;
	begin(&s, NEW);
	assert_int_equal(chdir(s.directory), 0);
	assert_int_equal(open_at("journal", &err), 0);
	assert_int_equal(access(s.path, F_OK), 0);
	assert_int_equal(chdir(before), 0);
	end(&s);
}

static int no_record(const struct journal_record *r, void *context, struct error *err)
{
	(void)r;
	(void)context;
	(void)err;
	return 0;
}

static bool is_damaged(const uint8_t *data, size_t bytes, size_t *ret_good)
{
	struct error err;
	bool damaged;

	assert_int_equal(journal_scan(data, bytes, no_record, NULL, ret_good, &damaged, &err), 0);
	return damaged;
}

/* A beginning that is cut off or all zeros is what a crash leaves; any other is damage. So is a header
 * that is right by its checksum and still makes no sense. */
static void test_beginnings_and_headers(void **state)
{
	uint8_t data[JOURNAL_MAGIC_BYTES + JOURNAL_HEADER_BYTES] = { 0 };
	const uint32_t senseless[][2] = { { JOURNAL_RECORD_MAX + 1, 1 }, { 0, 0 } };
	size_t good;

	(void)state;
	for (size_t n = 0; n <= JOURNAL_MAGIC_BYTES; n++) {
		assert_false(is_damaged(data, n, &good)); /* zeros */
		assert_false(is_damaged((const uint8_t *)JOURNAL_MAGIC, n, &good));
		if (n > 0)
			assert_true(is_damaged((const uint8_t *)"somebody's file", n, &good));
	}
	memcpy(data, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(senseless); i++) {
		uint32_t crc;

		memcpy(data + JOURNAL_MAGIC_BYTES, senseless[i], 8);
		crc = crc32c(0, data + JOURNAL_MAGIC_BYTES, 8);
		memcpy(data + JOURNAL_MAGIC_BYTES + 8, &crc, 4);
		/* Its second checksum is not looked at any more. */
		memset(data + JOURNAL_MAGIC_BYTES + 12, 1, 4);
		assert_true(is_damaged(data, sizeof(data), &good));
		assert_int_equal(good, JOURNAL_MAGIC_BYTES);
	}
	/* An empty payload has no tail that could be missing. */
	journal_format_header(1, NULL, 0, data + JOURNAL_MAGIC_BYTES);
	assert_false(is_damaged(data, sizeof(data), &good));
	assert_int_equal(good, sizeof(data));
	data[sizeof(data) - 1] ^= 1;
	assert_true(is_damaged(data, sizeof(data), &good));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_fails_once),
		cmocka_unit_test(test_refused_files),
		cmocka_unit_test(test_path_without_folder),
		cmocka_unit_test(test_beginnings_and_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
