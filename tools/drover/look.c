/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that only look: they ask, filter by what was named, and print. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"

#include <string.h>

/* Whether @name is among the words; none means all. Marks the word as found. */
static bool is_wanted(const struct word_list *words, const char *kind, const char *name,
                      const char *other_name, bool *found)
{
	size_t prefix = strlen(kind);
	bool wanted = words->count == 0;

	for (size_t i = 0; i < words->count; i++) {
		const char *word = words->items[i];

		if (strncmp(word, kind, prefix) == 0 && word[prefix] == '/')
			word += prefix + 1;
		if (strcmp(word, name) == 0 || (other_name && strcmp(word, other_name) == 0))
			wanted = found[i] = true;
	}
	return wanted;
}

static bool is_all_found(const struct word_list *words, const bool *found)
{
	for (size_t i = 0; i < words->count; i++) {
		if (!found[i])
			return false;
	}
	return true;
}

/* EXIT_DONE if every word was found; else says which there is not. */
static enum exit_code check_found(struct session *s, const char *kind, const bool *found)
{
	const struct word_list *words = &s->invocation->words;
	enum exit_code code = EXIT_DONE;

	for (size_t i = 0; i < words->count; i++) {
		struct error err;

		if (found[i])
			continue;
		error_set(&err, ERROR_NOT_FOUND, "there is no such %s", kind);
		code = session_fail_object(s, words->items[i], kind, words->items[i], &err);
	}
	return code;
}

/* The list as objects: @list whole, or its @items one a line. */
static void print_objects(struct session *s, const ProtobufCMessage *list, void *items, size_t n)
{
	ProtobufCMessage **messages = items;

	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, list);
	for (size_t i = 0; s->out.format == OUTPUT_JSONL && i < n; i++)
		output_message(&s->out, messages[i]);
}

static bool prints_objects(const struct session *s)
{
	return s->out.format == OUTPUT_JSON || s->out.format == OUTPUT_JSONL;
}

/* An empty table says nothing; a person is told so. */
static void say_if_none(struct session *s, const char *what, size_t n)
{
	if (n == 0 && !prints_objects(s) && s->out.format != OUTPUT_NAME)
		session_say(s, "There are no %s.", what);
}

/* A list that is empty because of a typing error must not look like a host without guests. Of what is
 * gone there may be a history: so this is asked only where nothing was found. */
static enum exit_code check_named(struct session *s, const char *kind, const char *word, size_t n)
{
	const char *name = word ? session_name_of_kind(s, kind, word) : NULL;
	struct error err;

	if (!name || n || session_knows(s, kind, name))
		return EXIT_DONE;
	error_set(&err, ERROR_NOT_FOUND, "there is no such %s", kind);
	return session_fail_object(s, word, kind, name, &err);
}

enum exit_code nodes_run(const struct invocation *invocation)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeList *list = NULL;
	bool found[WORDS_MAX] = { false };
	struct session s;
	size_t n = 0;
	enum exit_code code = session_open(&s, invocation);

	if (invocation->options.selector)
		request.selector = (char *)invocation->options.selector;
	if (code == EXIT_DONE)
		code = session_ask_list_nodes(&s, "listing the nodes", &request, &list);
	if (code == EXIT_DONE) {
		for (size_t i = 0; i < list->n_nodes; i++) {
			Drover__V1__Node *node = list->nodes[i];

			if (is_wanted(&invocation->words, "node", node->name, NULL, found)) {
				list->nodes[i] = list->nodes[n];
				list->nodes[n++] = node;
			}
		}
		if (prints_objects(&s)) {
			size_t all = list->n_nodes;

			list->n_nodes = n;
			print_objects(&s, &list->base, list->nodes, n);
			list->n_nodes = all;
		} else {
			nodes_print(&s.out, list->nodes, n);
			say_if_none(&s, "such nodes", n);
		}
		if (*list->note)
			session_say(&s, "%s", list->note);
		code = check_found(&s, "node", found);
	}
	session_close(&s);
	return code;
}

#define UNHEARD_NAMED 5

/* After a restart a coordinator knows of a guest only what a host has told it since. */
static void say_not_heard(struct session *s, const Drover__V1__VmList *list)
{
	_cleanup_free_ char *names = xstrdup("");
	char more[32] = "";

	for (size_t i = 0; i < list->n_not_heard && i < UNHEARD_NAMED; i++) {
		char *longer = xasprintf("%s%s%s", names, i ? ", " : "", list->not_heard[i]);

		free(names);
		names = longer;
	}
	if (list->n_not_heard > UNHEARD_NAMED)
		snprintf(more, sizeof(more), " and %zu more", list->n_not_heard - UNHEARD_NAMED);
	if (list->n_not_heard)
		session_say(s,
		            "Not heard yet since the coordinator was started, so which guests are "
		            "there is not known: %s%s",
		            names, more);
}

enum exit_code vms_run(const struct invocation *invocation)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__VmList *list = NULL;
	bool found[WORDS_MAX] = { false };
	struct session s;
	size_t n = 0;
	enum exit_code code = session_open(&s, invocation);

	if (code == EXIT_DONE && invocation->options.node) {
		const char *node = session_name_of_kind(&s, "node", invocation->options.node);

		request.node = (char *)(node ? node : "");
		code = node ? EXIT_DONE : EXIT_USAGE;
	}
	if (code == EXIT_DONE)
		code = session_ask_list_vms(&s, "listing the guests", &request, &list);
	if (code == EXIT_DONE) {
		for (size_t i = 0; i < list->n_vms; i++) {
			Drover__V1__Vm *vm = list->vms[i];

			if (is_wanted(&invocation->words, "vm", vm->name, vm->uuid, found) &&
			    !(invocation->options.only_unmovable && vm->movable)) {
				list->vms[i] = list->vms[n];
				list->vms[n++] = vm;
			}
		}
		if (prints_objects(&s)) {
			size_t all = list->n_vms;

			list->n_vms = n;
			print_objects(&s, &list->base, list->vms, n);
			list->n_vms = all;
		} else {
			vms_print(&s.out, list->vms, n);
			if (!list->n_not_heard)
				say_if_none(&s, "such guests", n);
		}
		say_not_heard(&s, list);
		/* What was not found may be there. */
		if (list->n_not_heard)
			code = n && is_all_found(&invocation->words, found) ? EXIT_DONE
			                                                    : EXIT_PARTLY;
		else
			code = check_found(&s, "vm", found);
		if (code == EXIT_DONE)
			code = check_named(&s, "node", invocation->options.node, n);
	}
	session_close(&s);
	return code;
}

/* What --node, --vm, --active and --limit say; EXIT_USAGE for a name of the wrong kind. */
static enum exit_code fill_request(struct session *s, Drover__V1__ListRequest *request)
{
	const struct options *options = s->options;
	const char *node = options->node ? session_name_of_kind(s, "node", options->node) : "";
	const char *vm = options->vm ? session_name_of_kind(s, "vm", options->vm) : "";

	if (!node || !vm)
		return EXIT_USAGE;
	request->node = (char *)node;
	request->vm = (char *)vm;
	request->active_only = options->active;
	request->limit = (uint32_t)options->limit;
	return EXIT_DONE;
}

enum exit_code migrations_run(const struct invocation *invocation)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__MigrationList *list = NULL;
	struct session s;
	size_t n = 0;
	enum exit_code code = session_open(&s, invocation);

	if (code == EXIT_DONE)
		code = fill_request(&s, &request);
	if (code == EXIT_DONE)
		code = session_ask_list_migrations(&s, "listing the migrations", &request, &list);
	if (code == EXIT_DONE) {
		for (size_t i = 0; i < list->n_migrations; i++) {
			Drover__V1__Migration *m = list->migrations[i];

			if (!invocation->options.failed ||
			    m->state == DROVER__V1__MIGRATION_STATE__FAILED ||
			    m->state == DROVER__V1__MIGRATION_STATE__UNRESOLVED) {
				list->migrations[i] = list->migrations[n];
				list->migrations[n++] = m;
			}
		}
		if (prints_objects(&s)) {
			size_t all = list->n_migrations;

			list->n_migrations = n;
			print_objects(&s, &list->base, list->migrations, n);
			list->n_migrations = all;
		} else {
			migrations_print(&s.out, list->migrations, n, clock_wall_ms());
			say_if_none(&s, "such migrations", n);
		}
		code = check_named(&s, "node", invocation->options.node, n);
		if (code == EXIT_DONE)
			code = check_named(&s, "vm", invocation->options.vm, n);
	}
	session_close(&s);
	return code;
}

enum exit_code drains_run(const struct invocation *invocation)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__DrainList *list = NULL;
	struct session s;
	enum exit_code code = session_open(&s, invocation);

	if (code == EXIT_DONE)
		code = fill_request(&s, &request);
	if (code == EXIT_DONE)
		code = session_ask_list_drains(&s, "listing the drains", &request, &list);
	if (code == EXIT_DONE) {
		if (prints_objects(&s)) {
			print_objects(&s, &list->base, list->drains, list->n_drains);
		} else {
			drains_print(&s.out, list->drains, list->n_drains, clock_wall_ms());
			say_if_none(&s, "such drains", list->n_drains);
		}
		code = check_named(&s, "node", invocation->options.node, list->n_drains);
	}
	session_close(&s);
	return code;
}

enum exit_code status_run(const struct invocation *invocation)
{
	Drover__V1__GetStatusRequest status = DROVER__V1__GET_STATUS_REQUEST__INIT;
	Drover__V1__ListRequest all = DROVER__V1__LIST_REQUEST__INIT;
	Drover__V1__ListRequest active = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__Status *reply = NULL;
	_cleanup_reply_ Drover__V1__NodeList *nodes = NULL;
	_cleanup_reply_ Drover__V1__MigrationList *migrations = NULL;
	_cleanup_reply_ Drover__V1__DrainList *drains = NULL;
	const char *what = "asking for the status";
	struct session s;
	enum exit_code code = session_open(&s, invocation);

	active.active_only = true;
	if (code == EXIT_DONE)
		code = session_ask_get_status(&s, what, &status, &reply);
	if (code == EXIT_DONE && prints_objects(&s)) {
		output_message(&s.out, &reply->base);
		session_close(&s);
		return EXIT_DONE;
	}
	if (code == EXIT_DONE)
		code = session_ask_list_nodes(&s, what, &all, &nodes);
	if (code == EXIT_DONE)
		code = session_ask_list_migrations(&s, what, &active, &migrations);
	if (code == EXIT_DONE)
		code = session_ask_list_drains(&s, what, &active, &drains);
	if (code == EXIT_DONE)
		status_print(&s.out, reply, nodes, migrations, drains, clock_wall_ms());
	session_close(&s);
	return code;
}
