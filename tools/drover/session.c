/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "tools/drover/session.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void session_init(struct session *s, const struct invocation *invocation)
{
	const struct options *options = &invocation->options;

	*s = (struct session){ .invocation = invocation, .options = options };
	output_init(&s->out, stdout, options->colour);
	output_init(&s->err, stderr, options->colour);
	s->out.format = options->format;
	s->out.headers = !options->no_headers;
	s->out.exact = options->bytes;
	s->err.exact = options->bytes;
}

enum exit_code session_open(struct session *s, const struct invocation *invocation)
{
	struct error err = { 0 };

	session_init(s, invocation);
	if (client_open(s->options, MESH_ROLE_COORDINATOR, &s->client, &err) < 0)
		return session_fail(s, "connecting to the coordinator", &err);
	return EXIT_DONE;
}

enum exit_code session_open_anybody(struct session *s, const struct invocation *invocation)
{
	struct error err = { 0 };

	session_init(s, invocation);
	s->anybody = true;
	if (client_open(s->options, MESH_ROLE_NONE, &s->client, &err) < 0)
		return session_fail(s, "connecting", &err);
	return EXIT_DONE;
}

void session_close(struct session *s)
{
	client_free(s->client);
	s->client = NULL;
}

void session_say(struct session *s, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *shown = NULL;
	va_list args;

	if (s->options->quiet)
		return;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	shown = text_escape(text, s->err.ascii);
	fprintf(s->err.file, "%s\n", shown);
}

/* What to do next, of the coordinator, and of a program whose address was the command's own word: -H and
 * DROVER_SERVER mean nothing there. NULL: nothing that is not said already. */
static const char *next_step(const struct session *s, enum error_code code)
{
	switch (code) {
	case ERROR_UNREACHABLE:
		return s->anybody
		               ? "see that it runs, and that ADDRESS is right: a coordinator's is "
		                 "tcp://HOST:7780 or, on its host, "
		                 "ipc:///run/drover/coordinator.sock; an agent's is tcp://HOST:7788"
		               : "start drover-coordinator there, or name another one: drover "
		                 "-H URL, or DROVER_SERVER";
	case ERROR_IDENTITY:
		return s->anybody
		               ? "check --ca, --cert and --key: all must be of that program's "
		                 "cluster"
		               : "check --ca, --cert and --key: all must be of the coordinator's "
		                 "cluster";
	case ERROR_PERMISSION:
		return s->anybody
		               ? "see which role it takes: drover rpc list ADDRESS; a certificate "
		                 "for that role: drover pki issue"
		               : "ask for an operator certificate, or run it as root on the "
		                 "coordinator's host";
	case ERROR_TIMEOUT:
		return s->anybody ? "wait longer: --timeout"
		                  : "see what it is doing: drover status; wait longer: --timeout";
	default:
		return NULL;
	}
}

enum exit_code session_fail(struct session *s, const char *what, const struct error *err)
{
	_cleanup_free_ char *shown_what = text_escape(what, s->err.ascii);
	_cleanup_free_ char *why = text_escape(err->text, s->err.ascii);
	_cleanup_free_ char *server = text_escape(s->options->server, s->err.ascii);
	const char *next = next_step(s, err->code);
	FILE *to = s->err.file;

	fflush(s->out.file);
	fprintf(to, "drover: %s: %s\n", shown_what, *why ? why : error_code_name(err->code));
	if (err->code == ERROR_UNREACHABLE || err->code == ERROR_IDENTITY)
		fprintf(to, "  tried      %s\n", server);
	else if (err->code == ERROR_TIMEOUT)
		fprintf(to, "  asked      %s\n", server);
	if (next)
		fprintf(to, "  next step  %s\n", next);
	return exit_from_error(err->code);
}

enum exit_code session_call(struct session *s, const char *what, const char *method,
                            const ProtobufCMessage *request, ProtobufCMessage **ret_reply)
{
	struct error err = { 0 };

	if (client_call(s->client, method, request, ret_reply, &err) == 0)
		return EXIT_DONE;
	if (err.code == ERROR_CANCELLED && client_is_interrupted(s->client)) {
		session_say(s, "Interrupted before the coordinator answered.");
		return EXIT_INTERRUPTED;
	}
	return session_fail(s, what, &err);
}

/* --- what there is, for somebody who named what there is not --- */

struct names {
	char **items; /* owned */
	size_t count;
};

static void take_name(struct names *names, char *name)
{
	names->items = xreallocarray(names->items, names->count + 1, sizeof(*names->items));
	names->items[names->count++] = name;
}

static void add_name(struct names *names, const char *name)
{
	take_name(names, xstrdup(name));
}

static void add_number(struct names *names, const char *kind, uint64_t number)
{
	take_name(names, xasprintf("%s/%llu", kind, (unsigned long long)number));
}

static void list_names(struct session *s, const char *kind, struct names *ret_names)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeList *nodes = NULL;
	_cleanup_reply_ Drover__V1__VmList *vms = NULL;
	_cleanup_reply_ Drover__V1__MigrationList *migrations = NULL;
	_cleanup_reply_ Drover__V1__DrainList *drains = NULL;
	Drover__V1__PoliciesRequest all = DROVER__V1__POLICIES_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__PolicyList *policies = NULL;

	if (strcmp(kind, "node") == 0)
		(void)coordinator_ask_list_nodes(s->client, &request, &nodes, NULL);
	else if (strcmp(kind, "vm") == 0)
		(void)coordinator_ask_list_vms(s->client, &request, &vms, NULL);
	else if (strcmp(kind, "migration") == 0)
		(void)coordinator_ask_list_migrations(s->client, &request, &migrations, NULL);
	else if (strcmp(kind, "policy") == 0)
		(void)coordinator_ask_list_policies(s->client, &all, &policies, NULL);
	else
		(void)coordinator_ask_list_drains(s->client, &request, &drains, NULL);
	/* What could not be had is not shown: the error itself is said by the caller. */
	for (size_t i = 0; nodes && i < nodes->n_nodes; i++)
		add_name(ret_names, nodes->nodes[i]->name);
	for (size_t i = 0; vms && i < vms->n_vms; i++)
		add_name(ret_names, vms->vms[i]->name);
	for (size_t i = 0; migrations && i < migrations->n_migrations; i++)
		add_number(ret_names, kind, migrations->migrations[i]->number);
	for (size_t i = 0; drains && i < drains->n_drains; i++)
		add_number(ret_names, kind, drains->drains[i]->number);
	for (size_t i = 0; policies && i < policies->n_policies; i++)
		add_name(ret_names, policies->policies[i]->name);
}

static const char *name_at(size_t i, void *context)
{
	const struct names *names = context;

	return i < names->count ? names->items[i] : NULL;
}

#define CANDIDATES_SHOWN 12

/* "nodes", "policies" */
static const char *plural_of(const char *kind)
{
	return strcmp(kind, "policy") == 0 ? "policies" : kind;
}

static const char *ending_of(const char *kind)
{
	return strcmp(kind, "policy") == 0 ? "" : "s";
}

static void free_names(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){ 0 };
}

static bool has_name(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i], name) == 0)
			return true;
	}
	return false;
}

bool session_knows(struct session *s, const char *kind, const char *name)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__VmList *vms = NULL;
	struct names names = { 0 };
	bool known;

	if (strcmp(kind, "vm") == 0) {
		(void)coordinator_ask_list_vms(s->client, &request, &vms, NULL);
		for (size_t i = 0; vms && i < vms->n_vms; i++) {
			add_name(&names, vms->vms[i]->name);
			add_name(&names, vms->vms[i]->uuid);
		}
	} else {
		list_names(s, kind, &names);
	}
	known = has_name(&names, name);
	free_names(&names);
	return known;
}

static void print_candidates(struct session *s, const char *kind, const char *name)
{
	struct names names = { 0 };
	const char *meant;
	FILE *to = s->err.file;

	list_names(s, kind, &names);
	/* It is there: what was not found is something else. */
	if (has_name(&names, name)) {
		free_names(&names);
		return;
	}
	meant = text_closest(name, name_at, &names);
	if (meant) {
		_cleanup_free_ char *shown = text_escape(meant, s->err.ascii);

		fprintf(to, "  did you mean  %s\n", shown);
	}
	if (names.count > 0)
		fprintf(to, "  %s%s there are ", plural_of(kind), ending_of(kind));
	else
		fprintf(to, "  there are no %s%s\n", plural_of(kind), ending_of(kind));
	for (size_t i = 0; i < names.count; i++) {
		_cleanup_free_ char *shown = text_escape(names.items[i], s->err.ascii);

		if (i < CANDIDATES_SHOWN)
			fprintf(to, "%s%s", i ? ", " : "", shown);
	}
	if (names.count > CANDIDATES_SHOWN)
		fprintf(to, " and more: drover %s%s", plural_of(kind), ending_of(kind));
	if (names.count > 0)
		fputc('\n', to);
	free_names(&names);
}

enum exit_code session_fail_object(struct session *s, const char *what, const char *kind,
                                   const char *name, const struct error *err)
{
	enum exit_code code = session_fail(s, what, err);

	/* Plans are told apart by nothing that anybody would know them by. */
	if (err->code == ERROR_NOT_FOUND && s->client && strcmp(kind, "plan") != 0)
		print_candidates(s, kind, name);
	return code;
}

/* --- names --- */

static const char *const kinds[] = { "node", "vm", "migration", "drain", "policy" };

const char *session_name_of_kind(struct session *s, const char *kind, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t bytes = strlen(kinds[i]);
		_cleanup_free_ char *shown = NULL;

		if (strncmp(word, kinds[i], bytes) != 0 || word[bytes] != '/')
			continue;
		if (strcmp(kinds[i], kind) == 0 && word[bytes + 1])
			return word + bytes + 1;
		shown = text_escape(word, s->err.ascii);
		fprintf(s->err.file, "drover: a %s is needed here, not \"%s\"\n", kind, shown);
		return NULL;
	}
	return word;
}

bool session_check_shutdown(struct session *s)
{
	if (!s->options->shutdown_timeout_ms || s->options->shut_down.count)
		return true;
	fprintf(s->err.file, "drover: --shutdown-timeout is for guests that are shut down: "
	                     "name them with --shutdown VM\n");
	return false;
}

uint64_t session_number(struct session *s, const char *word, const char *digits)
{
	_cleanup_free_ char *shown = text_escape(word, s->err.ascii);
	size_t bytes = strlen(digits);

	if (bytes > 0 && bytes <= 18 && strspn(digits, "0123456789") == bytes &&
	    strtoull(digits, NULL, 10) > 0)
		return strtoull(digits, NULL, 10);
	fprintf(s->err.file,
	        "drover: \"%s\" is not the name of a drain or migration: they are numbered, as in "
	        "drain/7 and migration/42\n",
	        shown);
	return 0;
}
