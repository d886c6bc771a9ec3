/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an audit log. A line that passes says what it says; lines that were written here form a
 * chain, and none of them can be changed unnoticed, whatever is in them.
 *
 * A hash would stop the fuzzer at the first line, so the input is also taken as the fields of lines: the
 * pieces between newlines. The first byte chooses which byte of that log is
 * changed then, or that the input is a file. */
#include "proto/audit/audit_line.h"
#include "proto/audit/audit_read.h"
#include "proto/audit/audit_text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOG_BYTES   (64 * 1024)
#define VALUE_BYTES 512
#define INPUT_MAX   512 /* longer logs only take longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line, size_t bytes)
{
	struct audit_chain chain = { .seq = 77 };
	char prev[AUDIT_HASH_BYTES];
	struct error err;

	if (audit_line_check(line, bytes, &chain, prev, &err) < 0)
		assert(err.code == ERROR_INVALID && err.text[0] && chain.seq == 77);
	else
		assert(strlen(chain.hash) == AUDIT_HASH_BYTES - 1);
}

/* The reader of files, which takes anything. */
static void read_file(const void *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	struct audit_verdict verdict;
	struct error err;

	if (fd < 0) {
		fd = memfd_create("audit", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	assert(fd >= 0 && ftruncate(fd, 0) == 0);
	assert(pwrite(fd, data, size, 0) == (ssize_t)size);
	assert(audit_read(path, NULL, NULL, &verdict, &err) == 0);
	assert(verdict.lines <= size && verdict.torn_bytes <= size);
}

/* Whether the lines of @log are whole, and follow each other from the first. */
static bool holds(const char *log, size_t bytes)
{
	struct audit_chain last, chain;
	char prev[AUDIT_HASH_BYTES];
	struct error err;

	audit_chain_init(&last);
	while (bytes > 0) {
		const char *newline = memchr(log, '\n', bytes);

		if (!newline ||
		    audit_line_check(log, (size_t)(newline - log), &chain, prev, &err) < 0 ||
		    audit_line_follows(&last, &chain, prev, &err) < 0)
			return false;
		last = chain;
		bytes -= (size_t)(newline - log) + 1;
		log = newline + 1;
	}
	return true;
}

/* A log of ours, one line for each piece. */
static size_t write_log(const uint8_t *data, size_t size, char *ret_log)
{
	static struct audit_text text;
	struct audit_chain chain;
	size_t used = 0;

	audit_chain_init(&chain);
	while (size > 0 && used + AUDIT_LINE_BYTES <= LOG_BYTES) {
		const uint8_t *newline = memchr(data, '\n', size);
		size_t piece = newline ? (size_t)(newline - data) : size;
		char value[VALUE_BYTES];

		snprintf(value, sizeof(value), "%.*s", (int)piece, (const char *)data);
		audit_text_init(&text);
		audit_text_add(&text, "reason", value);
		audit_text_add_number(&text, "n", piece);
		audit_text_end(&text);
		used += audit_line_make(&chain, text.data, ret_log + used, &chain);
		piece += newline ? 1 : 0;
		data += piece;
		size -= piece;
	}
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char log[LOG_BYTES];
	size_t bytes;
	uint8_t change;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	change = *data++;
	size--;
	check_line((const char *)data, size);
	if (change % 16 == 0) {
		read_file(data, size);
		return 0;
	}
	bytes = write_log(data, size, log);
	assert(bytes > 0 && holds(log, bytes));
	log[(size_t)change * bytes / 256] ^= 1 + (change & 0x7e);
	assert(!holds(log, bytes));
	return 0;
}
