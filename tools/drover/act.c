/* SPDX-License-Identifier: Apache-2.0 */
/* The small commands that act: cordon, uncordon, cancel, and migrate, which may follow. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/id.h"
#include "common/strategy.h"
#include "common/transfer.h"
#include "proto/transfer_message.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"
#include "tools/drover/watch.h"

#include <string.h>

static void say_done(struct session *s, const char *text)
{
	_cleanup_free_ char *shown = text_escape(text, s->out.ascii);

	if (!s->options->quiet)
		fprintf(s->out.file, "%s\n", shown);
}

/* A call about one node. @done and @already have a %s for its name. */
static enum exit_code node_call(const struct invocation *invocation,
                                int (*ask)(struct client *client,
                                           const Drover__V1__NodeRequest *request,
                                           Drover__V1__NodeReply **ret_reply, struct error *err),
                                const char *doing, const char *done, const char *already)
{
	Drover__V1__NodeRequest request = DROVER__V1__NODE_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeReply *reply = NULL;
	_cleanup_free_ char *what = NULL;
	struct error err = { 0 };
	struct session s;
	const char *node;
	enum exit_code code;

	session_init(&s, invocation);
	node = session_name_of_kind(&s, "node", invocation->words.items[0]);
	if (!node)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	what = xasprintf("%s %s", doing, node);
	request.node = (char *)node;
	if (invocation->options.reason)
		request.reason = (char *)invocation->options.reason;
	if (ask(s.client, &request, &reply, &err) < 0) {
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, what, "node", node, &err);
	} else {
		_cleanup_free_ char *text = NULL;

		text = xasprintf("%s %s", node, reply->changed ? done : already);
		if (s.out.format == OUTPUT_JSON)
			output_message(&s.out, &reply->base);
		else
			say_done(&s, text);
	}
	session_close(&s);
	return code;
}

enum exit_code cordon_run(const struct invocation *invocation)
{
	return node_call(invocation, coordinator_ask_cordon, "cordoning",
	                 "gets no new guests any more; those there stay.", "was cordoned already.");
}

enum exit_code uncordon_run(const struct invocation *invocation)
{
	return node_call(invocation, coordinator_ask_uncordon, "uncordoning", "takes guests again.",
	                 "was not cordoned; nothing to do.");
}

enum exit_code unfence_run(const struct invocation *invocation)
{
	return node_call(invocation, coordinator_ask_unfence, "unfencing",
	                 "is not declared dead any more, and stays cordoned.",
	                 "was not declared dead; nothing to do.");
}

/* "drain/7" -> "drain" and "7"; false, and an explanation was printed, for what cannot be cancelled. */
static bool read_cancelled(struct session *s, const char *word, Drover__V1__CancelRequest *request)
{
	static const char *const kinds[] = { "migration", "drain", "vm" };
	const char *slash = strchr(word, '/');

	for (size_t i = 0; slash && slash[1] && i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i]) == (size_t)(slash - word) &&
		    strncmp(word, kinds[i], strlen(kinds[i])) == 0)
			request->kind = (char *)kinds[i];
	}
	if (!*request->kind) {
		_cleanup_free_ char *shown = text_escape(word, s->err.ascii);

		fprintf(s->err.file,
		        "drover: what is to be cancelled? \"%s\" is none of migration/N, drain/N, "
		        "vm/NAME\n  what runs   drover status\n",
		        shown);
		return false;
	}
	request->name = (char *)slash + 1;
	return strcmp(request->kind, "vm") == 0 || session_number(s, word, request->name) != 0;
}

static enum exit_code cancel(struct session *s, const char *word,
                             const Drover__V1__CancelRequest *request)
{
	_cleanup_reply_ Drover__V1__CancelReply *reply = NULL;
	_cleanup_free_ char *what = xasprintf("cancelling %s", word), *text = NULL;
	struct error err = { 0 };

	if (coordinator_ask_cancel(s->client, request, &reply, &err) < 0)
		return client_is_interrupted(s->client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(s, what, request->kind, request->name, &err);
	text = xasprintf("%s %s", word,
	                 reply->changed ? "is being cancelled." : "is over already.");
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &reply->base);
	else
		say_done(s, *reply->text ? reply->text : text);
	if (reply->changed && strcmp(request->kind, "migration") == 0)
		session_say(s, "  what is left of it, when it has ended   drover show %s", word);
	return EXIT_DONE;
}

enum exit_code cancel_run(const struct invocation *invocation)
{
	const struct word_list *words = &invocation->words;
	Drover__V1__CancelRequest requests[WORDS_MAX];
	enum exit_code code, worst = EXIT_DONE;
	struct session s;

	session_init(&s, invocation);
	for (size_t i = 0; i < words->count; i++) {
		drover__v1__cancel_request__init(&requests[i]);
		if (!read_cancelled(&s, words->items[i], &requests[i]))
			return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	/* One that cannot be is no reason to let the others go on. */
	for (size_t i = 0; i < words->count && worst != EXIT_INTERRUPTED; i++) {
		code = cancel(&s, words->items[i], &requests[i]);
		if (code != EXIT_DONE)
			worst = code;
	}
	session_close(&s);
	return worst;
}

/* --- migrate --- */

static enum exit_code migrate_started(struct session *s, const char *vm,
                                      const Drover__V1__MigrateReply *reply)
{
	unsigned long long number = reply->migration ? reply->migration->number : 0;

	if (reply->refused) {
		if (s->options->dry_run && s->out.format == OUTPUT_TABLE && reply->n_checks)
			checks_print(&s->out, reply->checks, reply->n_checks);
		else if (s->out.format != OUTPUT_TABLE)
			output_message(&s->out, &reply->base);
		fflush(s->out.file);
		migrate_refusal_print(&s->err, vm, reply, s->options->dry_run);
		return EXIT_REFUSED;
	}
	if (s->options->dry_run) {
		if (s->out.format != OUTPUT_TABLE)
			output_message(&s->out, &reply->base);
		else
			migrate_plan_print(&s->out, vm, reply);
		if (!prediction_gives_up(reply->prediction))
			return EXIT_DONE;
		fflush(s->out.file);
		session_say(s, "%s is foretold not to converge, to be given up, and to stay.", vm);
		return EXIT_REFUSED;
	}
	if (number == 0) {
		struct error err;

		error_set(&err, ERROR_PROTOCOL, "the coordinator answered without a migration");
		return session_fail(s, vm, &err);
	}
	if (s->options->detach) {
		if (s->out.format == OUTPUT_TABLE)
			fprintf(s->out.file, "migration/%llu\n", number);
		else
			output_message(&s->out, &reply->migration->base);
		session_say(s, "  watch it   drover watch migration/%llu", number);
		session_say(s, "  stop it    drover cancel migration/%llu", number);
		return EXIT_DONE;
	}
	return watch_migration(s, number);
}

static bool take_transfer(struct session *s, struct transfer *ret)
{
	const struct options *o = s->options;
	struct error err;
	size_t used = 0;

	ret->connections = o->connections > UINT32_MAX ? UINT32_MAX : (uint32_t)o->connections;
	if (o->compression < COMPRESSIONS)
		ret->compression = (enum compression)o->compression;
	ret->copy_incremental = o->incremental;
	for (size_t i = 0; i < o->copy_only.count && used < sizeof(ret->copy_only); i++)
		used += (size_t)snprintf(ret->copy_only + used, sizeof(ret->copy_only) - used,
		                         "%s%s", i ? "," : "", o->copy_only.items[i]);
	if (used >= sizeof(ret->copy_only)) {
		fprintf(s->err.file, "drover: too many disks after --copy-disk\n");
		return false;
	}
	/* What the cluster permits is for the coordinator to add. */
	if (transfer_check(ret, true, o->allow_post_copy, &err) < 0) {
		_cleanup_free_ char *shown = text_escape(err.text, s->err.ascii);

		fprintf(s->err.file, "drover: %s\n", shown);
		return false;
	}
	return true;
}

static enum exit_code migrate(struct session *s, const char *vm, const char *target)
{
	Drover__V1__MigrateRequest request = DROVER__V1__MIGRATE_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__MigrateReply *reply = NULL;
	_cleanup_free_ char *what = xasprintf("migrating %s", vm);
	struct id request_id = id_new();
	Drover__V1__Transfer transfer_message;
	struct transfer transfer = { 0 };
	struct error err = { 0 };

	request.vm = (char *)vm;
	request.target = (char *)target;
	request.dry_run = s->options->dry_run;
	request.bandwidth_bytes_per_s = s->options->bandwidth_bytes_per_s;
	request.max_downtime_ms = s->options->max_downtime_ms;
	request.completion_timeout_ms_per_gib = s->options->completion_timeout_ms_per_gib;
	request.progress_timeout_ms = s->options->progress_timeout_ms;
	request.no_guard = s->options->no_guard;
	request.ignore_policies = s->options->ignore_policies;
	request.unsafe = s->options->unsafe;
	request.copy_disks = s->options->copy_disks || s->options->copy_only.count ||
	                     s->options->incremental;
	request.uncompressed = s->options->compression == COMPRESSIONS;
	if (!take_transfer(s, &transfer))
		return EXIT_USAGE;
	transfer_message_fill(&transfer, &transfer_message);
	request.transfer = &transfer_message;
	request.plain_ladder = s->options->ladder == LADDERS;
	if (s->options->ladder < LADDERS)
		request.ladder = (Drover__V1__Ladder)s->options->ladder;
	request.allow_auto_converge = s->options->allow_auto_converge;
	request.allow_post_copy = s->options->allow_post_copy;
	request.allow_workload_disruption = s->options->allow_pause;
	request.forbid_auto_converge = s->options->forbid_auto_converge;
	request.forbid_post_copy = s->options->forbid_post_copy;
	request.forbid_workload_disruption = s->options->forbid_pause;
	request.request_id.data = request_id.bytes;
	request.request_id.len = ID_BYTES;
	if (coordinator_ask_migrate(s->client, &request, &reply, &err) == 0)
		return migrate_started(s, vm, reply);
	if (client_is_interrupted(s->client)) {
		session_say(s,
		            "Interrupted before the coordinator answered; the migration may have "
		            "been accepted: drover migrations --active");
		return EXIT_INTERRUPTED;
	}
	/* The coordinator's text says which of the two it does not know. */
	return session_fail_object(s, what, *target && strstr(err.text, "node") ? "node" : "vm",
	                           *target && strstr(err.text, "node") ? target : vm, &err);
}

enum exit_code migrate_run(const struct invocation *invocation)
{
	struct session s;
	const char *vm, *target = "";
	enum exit_code code;

	session_init(&s, invocation);
	vm = session_name_of_kind(&s, "vm", invocation->words.items[0]);
	if (invocation->options.to)
		target = session_name_of_kind(&s, "node", invocation->options.to);
	if (!vm || !target)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = migrate(&s, vm, target);
	session_close(&s);
	return code;
}
