/* SPDX-License-Identifier: Apache-2.0 */
/* See ledger.h. A line of each file, the second after one of "number N":
 *
 *	KIND GENERATION SERIAL ISSUED_MS EXPIRES_MS
 *	KIND GENERATION SERIAL ISSUED_MS EXPIRES_MS REVOKED_MS ROLE NAME        "none -" = unknown
 */
#include "pki/ledger.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/files.h"
#include "pki/rotation.h"
#include "proto/mesh/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Clocks differ, and some are set back. */
#define KEPT_MS   ((uint64_t)24 * 60 * MINUTES_MS(1))
#define END_NAME  ".serials"
#define ROLES_MAX 5

static const enum mesh_role roles[ROLES_MAX] = { MESH_ROLE_COORDINATOR, MESH_ROLE_AGENT,
	                                         MESH_ROLE_ADMIN, MESH_ROLE_OPERATOR,
	                                         MESH_ROLE_VIEWER };

void ledger_deinit(struct ledger *l)
{
	free(l->entries);
	*l = (struct ledger){ 0 };
}

void ledger_add(struct ledger *l, const struct ledger_entry *entry)
{
	l->entries = xreallocarray(l->entries, l->count + 1, sizeof(*l->entries));
	l->entries[l->count++] = *entry;
}

const struct ledger_entry *ledger_find(const struct ledger *l, unsigned kind, const char *serial)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->entries[i].kind == kind && strcmp(l->entries[i].serial, serial) == 0)
			return &l->entries[i];
	}
	return NULL;
}

/* --- the files --- */

static char *member_path(const char *directory, enum mesh_role role, const char *name)
{
	return xasprintf("%s/members/%s/%s%s", directory, mesh_role_name(role), name, END_NAME);
}

static bool is_serial(const char *text)
{
	return *text && strspn(text, "0123456789ABCDEF") == strlen(text);
}

static bool parse_signed(const char *line, struct ledger *l, struct ledger_entry *e)
{
	char rest;

	if (sscanf(line, "%9u %9u %40s %" SCNu64 " %" SCNu64 " %c", &e->kind, &e->generation,
	           e->serial, &e->issued_ms, &e->expires_ms, &rest) != 5 ||
	    e->kind >= ROTATION_KINDS || !is_serial(e->serial))
		return false;
	ledger_add(l, e);
	return true;
}

static bool parse_revoked(const char *line, struct ledger *l)
{
	struct ledger_entry e = { 0 };
	char role[32], rest;

	if (l->number == 0)
		return sscanf(line, "number %" SCNu64 " %c", &l->number, &rest) == 1 &&
		       l->number > 0;
	if (sscanf(line, "%9u %9u %40s %" SCNu64 " %" SCNu64 " %" SCNu64 " %31s %127s %c", &e.kind,
	           &e.generation, e.serial, &e.issued_ms, &e.expires_ms, &e.revoked_ms, role,
	           e.name, &rest) != 8 ||
	    e.kind >= ROTATION_KINDS || !is_serial(e.serial))
		return false;
	e.role = mesh_role_from_name(role);
	if (strcmp(e.name, "-") == 0)
		e.name[0] = '\0';
	if ((e.role == MESH_ROLE_NONE) != (e.name[0] == '\0'))
		return false;
	ledger_add(l, &e);
	return true;
}

static int fail_line(const char *path, unsigned number, struct error *err)
{
	return error_set(err, ERROR_INVALID,
	                 "%s, line %u, cannot be understood; restore the file from a backup", path,
	                 number);
}

/* NULL: there is none yet, which is nobody's error. */
static int read_if_there(const char *path, char **ret_text, struct error *err)
{
	struct error why;
	int rc = files_read(path, ret_text, &why);

	if (rc == -ERROR_NOT_FOUND)
		return 0;
	if (rc < 0 && err)
		*err = why;
	return rc;
}

int ledger_load(const char *directory, enum mesh_role role, const char *name, struct ledger *ret,
                struct error *err)
{
	_cleanup_free_ char *path = member_path(directory, role, name);
	_cleanup_free_ char *text = NULL;
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	unsigned number = 1;
	int rc = read_if_there(path, &text, err);
	char *rest = text;

	if (rc < 0)
		return rc;
	for (char *line; (line = strsep(&rest, "\n")); number++) {
		struct ledger_entry e = { .role = role };

		snprintf(e.name, sizeof(e.name), "%s", name);
		if (*line && !parse_signed(line, &l, &e))
			return fail_line(path, number, err);
	}
	*ret = l;
	l = (struct ledger){ 0 };
	return 0;
}

int ledger_load_revoked(const char *directory, struct ledger *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/revoked", directory);
	_cleanup_free_ char *text = NULL;
	_cleanup_(ledger_deinit) struct ledger l = { 0 };
	unsigned number = 1;
	int rc = read_if_there(path, &text, err);
	char *rest = text;

	if (rc < 0)
		return rc;
	for (char *line; (line = strsep(&rest, "\n")); number++) {
		if (*line && !parse_revoked(line, &l))
			return fail_line(path, number, err);
	}
	if (text && l.number == 0)
		return fail_line(path, 1, err);
	*ret = l;
	l = (struct ledger){ 0 };
	return 0;
}

static bool is_over(const struct ledger_entry *e, uint64_t now_ms)
{
	return e->expires_ms < UINT64_MAX - KEPT_MS && e->expires_ms + KEPT_MS < now_ms;
}

static int write_text(const char *path, const char *text, struct error *err)
{
	struct file_mode mode = FILES_SECRET;

	mode.replace = true;
	return files_write(path, text, mode, err);
}

static void print_entry(FILE *to, const struct ledger_entry *e)
{
	fprintf(to, "%u %u %s %" PRIu64 " %" PRIu64, e->kind, e->generation, e->serial,
	        e->issued_ms, e->expires_ms);
}

int ledger_save(const char *directory, enum mesh_role role, const char *name,
                const struct ledger *l, uint64_t now_ms, struct error *err)
{
	_cleanup_free_ char *path = member_path(directory, role, name);
	_cleanup_free_ char *above = xasprintf("%s/members/%s", directory, mesh_role_name(role));
	_cleanup_free_ char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);
	int rc;

	if (!to)
		abort();
	for (size_t i = 0; i < l->count; i++) {
		if (is_over(&l->entries[i], now_ms))
			continue;
		print_entry(to, &l->entries[i]);
		fputc('\n', to);
	}
	if (fclose(to) != 0)
		abort();
	rc = files_make_directory(above, 0755, err);
	return rc < 0 ? rc : write_text(path, text, err);
}

int ledger_save_revoked(const char *directory, const struct ledger *l, uint64_t now_ms,
                        struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/revoked", directory);
	_cleanup_free_ char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	if (!to)
		abort();
	fprintf(to, "number %" PRIu64 "\n", l->number);
	for (size_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = &l->entries[i];

		if (is_over(e, now_ms))
			continue;
		print_entry(to, e);
		fprintf(to, " %" PRIu64 " %s %s\n", e->revoked_ms, mesh_role_name(e->role),
		        e->name[0] ? e->name : "-");
	}
	if (fclose(to) != 0)
		abort();
	return write_text(path, text, err);
}

/* --- all of them --- */

struct visitor {
	bool (*visit)(enum mesh_role role, const char *name, const struct ledger *ledger,
	              void *context);
	void *context;
};

static int visit_role(const char *directory, enum mesh_role role, const struct visitor *v,
                      bool *ret_found, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/members/%s", directory, mesh_role_name(role));
	_cleanup_closedir_ DIR *all = opendir(path);
	int rc = 0;

	if (!all && errno == ENOENT)
		return 0;
	if (!all)
		return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
	for (const struct dirent *e; rc == 0 && !*ret_found && (e = readdir(all)) != NULL;) {
		_cleanup_(ledger_deinit) struct ledger l = { 0 };
		_cleanup_free_ char *name = xstrdup(e->d_name);
		size_t end = strlen(name) < strlen(END_NAME) ? 0 : strlen(name) - strlen(END_NAME);

		/* What a crash left beside it has another end. */
		if (end == 0 || strcmp(name + end, END_NAME) != 0)
			continue;
		name[end] = '\0';
		rc = ledger_load(directory, role, name, &l, err);
		if (rc == 0 && v->visit(role, name, &l, v->context))
			*ret_found = true;
	}
	return rc;
}

int ledger_visit(const char *directory,
                 bool (*visit)(enum mesh_role role, const char *name, const struct ledger *ledger,
                               void *context),
                 void *context, bool *ret_found, struct error *err)
{
	const struct visitor v = { visit, context };
	bool found = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && !found && i < ROLES_MAX; i++)
		rc = visit_role(directory, roles[i], &v, &found, err);
	if (rc == 0)
		*ret_found = found;
	return rc;
}
