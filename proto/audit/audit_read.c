/* SPDX-License-Identifier: Apache-2.0 */
/* See audit_read.h. */
#include "proto/audit/audit_read.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 1000

struct reader {
	void (*line)(const char *text, void *context);
	void *context;
	struct audit_verdict verdict;
	bool begun; /* there was a good line */
};

static void note_bad(struct reader *r, const char *path, uint64_t number, const struct error *why)
{
	if (r->verdict.bad_line)
		return;
	r->verdict.bad_line = number;
	snprintf(r->verdict.bad_path, sizeof(r->verdict.bad_path), "%s", path);
	r->verdict.problem = *why;
}

static void take_line(struct reader *r, const char *path, uint64_t number, char *text, size_t bytes)
{
	char prev[AUDIT_HASH_BYTES];
	static const char lost[] = "\"kind\":\"lost\",\"lines\":";
	struct audit_chain chain;
	struct error err;
	const char *at;

	r->verdict.lines++;
	if (strlen(text) != bytes) {
		error_set(&err, ERROR_INVALID, "it has a NUL in it: it was changed");
		note_bad(r, path, number, &err);
	} else if (audit_line_check(text, bytes, &chain, prev, &err) < 0) {
		note_bad(r, path, number, &err);
	} else {
		if (r->begun && audit_line_follows(&r->verdict.last, &chain, prev, &err) < 0)
			note_bad(r, path, number, &err);
		if (!r->begun)
			r->verdict.first_seq = chain.seq;
		r->begun = true;
		r->verdict.last = chain;
		at = strstr(text, lost);
		if (at)
			r->verdict.lost += strtoull(at + sizeof(lost) - 1, NULL, 10);
	}
	if (r->line)
		r->line(text, r->context);
}

static int read_file(struct reader *r, const char *path, bool newest, struct error *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	uint64_t number = 0;
	size_t room = 0;
	ssize_t n;

	if (!file)
		return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM, errno,
		                       "%s", path);
	while ((n = getline(&text, &room, file)) > 0) {
		number++;
		if (text[n - 1] == '\n') {
			text[n - 1] = '\0';
			take_line(r, path, number, text, (size_t)n - 1);
			continue;
		}
		r->verdict.torn_bytes += (uint64_t)n;
		if (!newest) {
			error_set(err, ERROR_INVALID, "it does not end");
			note_bad(r, path, number, err);
		}
	}
	if (ferror(file))
		return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
	return 0;
}

int audit_read(const char *path, void (*line)(const char *text, void *context), void *context,
               struct audit_verdict *ret, struct error *err)
{
	struct reader r = { .line = line, .context = context };
	unsigned older = 0;
	int rc = 0;

	audit_chain_init(&r.verdict.last);
	for (bool there = true; there && older < FILES_MAX;) {
		_cleanup_free_ char *name = xasprintf("%s.%u", path, older + 1);

		there = access(name, F_OK) == 0;
		older += there;
	}
	for (unsigned n = older; n > 0 && rc == 0; n--) {
		_cleanup_free_ char *name = xasprintf("%s.%u", path, n);

		rc = read_file(&r, name, false, err);
	}
	if (rc == 0)
		rc = read_file(&r, path, true, err);
	if (rc < 0)
		return rc;
	/* The beginning that everybody knows: number 1 follows nothing. */
	*ret = r.verdict;
	return 0;
}
