/* SPDX-License-Identifier: Apache-2.0 */
/* "drover export": the state of the cluster as one JSON document, to stdout or a file. A large one
 * comes in parts, which are put together here; a file is there whole or not at all. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/json.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More guests than a person reads: then a line is shorter to store and to send. */
#define PRETTY_VMS 500

/* Moves what is in the list of @part to the end of @whole's. */
#define APPEND(whole, part, list)                                                       \
	do {                                                                            \
		(whole)->list = xreallocarray((whole)->list,                            \
		                              (whole)->n_##list + (part)->n_##list + 1, \
		                              sizeof(*(whole)->list));                  \
		for (size_t i_ = 0; i_ < (part)->n_##list; i_++)                        \
			(whole)->list[(whole)->n_##list++] = (part)->list[i_];          \
		(part)->n_##list = 0;                                                   \
	} while (0)

static enum exit_code fetch(struct session *s, Drover__V1__FleetState **ret)
{
	Drover__V1__ExportRequest request = DROVER__V1__EXPORT_REQUEST__INIT;
	Drover__V1__FleetState *whole = NULL;
	_cleanup_free_ char *from = xstrdup("");

	while (!whole || *from) {
		_cleanup_reply_ Drover__V1__FleetState *part = NULL;
		enum exit_code code;

		request.from = from;
		code = session_ask_export(s, "exporting the state", &request, &part);
		if (code != EXIT_DONE) {
			session_free_reply(&whole);
			return code;
		}
		free(from);
		from = xstrdup(part->next);
		if (!whole) {
			whole = take_pointer(part);
			continue;
		}
		whole->changed |= part->revision != whole->revision || part->epoch != whole->epoch;
		APPEND(whole, part, nodes);
		APPEND(whole, part, vms);
		APPEND(whole, part, migrations);
		APPEND(whole, part, drains);
		APPEND(whole, part, policies);
		APPEND(whole, part, experience);
	}
	if (*whole->next) {
		free(whole->next);
		whole->next = xstrdup("");
	}
	*ret = whole;
	return EXIT_DONE;
}

static bool write_document(FILE *to, const Drover__V1__FleetState *state)
{
	json_write(to, &state->base, state->n_vms <= PRETTY_VMS);
	fputc('\n', to);
	return fflush(to) == 0 && !ferror(to);
}

static enum exit_code save(struct session *s, const char *path, const Drover__V1__FleetState *state)
{
	_cleanup_free_ char *beside = xasprintf("%s.new", path);
	_cleanup_free_ char *shown = text_escape(path, s->err.ascii);
	FILE *to = fopen(beside, "we");
	bool written = to && write_document(to, state);
	int error = errno;

	if (to && fclose(to) != 0)
		written = false;
	if (written && rename(beside, path) == 0) {
		session_say(s, "%zu nodes, %zu guests in %s", state->n_nodes, state->n_vms, shown);
		return EXIT_DONE;
	}
	fprintf(s->err.file, "drover: %s cannot be written: %s; nothing was left there\n", shown,
	        strerror(written ? errno : error));
	if (to)
		unlink(beside);
	return EXIT_FAILED;
}

enum exit_code export_run(const struct invocation *invocation)
{
	_cleanup_reply_ Drover__V1__FleetState *state = NULL;
	const char *path = invocation->words.count ? invocation->words.items[0] : "-";
	struct session s;
	enum exit_code code = session_open(&s, invocation);

	if (code == EXIT_DONE)
		code = fetch(&s, &state);
	if (code == EXIT_DONE && state->changed)
		session_say(&s, "The cluster changed while it was read in several parts; the "
		                "document says so (\"changed\").");
	if (code == EXIT_DONE && strcmp(path, "-") != 0)
		code = save(&s, path, state);
	else if (code == EXIT_DONE && !write_document(s.out.file, state))
		code = EXIT_FAILED;
	session_close(&s);
	return code;
}
