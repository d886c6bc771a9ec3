/* SPDX-License-Identifier: Apache-2.0 */
/* "drover fence". A wrong word here can run a guest twice, so the coordinator says
 * first what it would allow, and a person answers by typing the node's name, or said --yes. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static bool type_name(const struct session *s, const char *node)
{
	_cleanup_free_ char *shown = text_escape(node, s->err.ascii);
	char answer[256];

	fprintf(s->err.file, "\nIs %s powered off? Type its name to declare it dead: ", shown);
	fflush(s->err.file);
	if (!fgets(answer, sizeof(answer), stdin))
		return false;
	answer[strcspn(answer, "\n")] = '\0';
	return strcmp(answer, node) == 0;
}

static void print_effects(const struct session *s, const char *title,
                          const Drover__V1__FenceReply *reply)
{
	if (s->options->quiet)
		return;
	fprintf(s->err.file, "%s\n", title);
	for (size_t i = 0; i < reply->n_effects; i++) {
		_cleanup_free_ char *shown = text_escape(reply->effects[i], s->err.ascii);

		fprintf(s->err.file, "  - %s\n", shown);
	}
}

/* EXIT_DONE and the reply in @ret; or it was refused, failed, or is so already, and that was said. */
static enum exit_code ask(struct session *s, const char *node, bool dry_run,
                          Drover__V1__FenceReply **ret)
{
	Drover__V1__FenceRequest request = DROVER__V1__FENCE_REQUEST__INIT;
	_cleanup_free_ char *what = xasprintf("fencing %s", node);
	const Drover__V1__FenceReply *reply;
	struct error err = { 0 };

	request.node = (char *)node;
	request.reason = (char *)(s->options->reason ? s->options->reason : "");
	request.dry_run = dry_run;
	if (coordinator_ask_fence(s->client, &request, ret, &err) < 0)
		return client_is_interrupted(s->client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(s, what, "node", node, &err);
	reply = *ret;
	if (reply->refused) {
		_cleanup_free_ char *shown = text_escape(reply->refusal, s->err.ascii);

		fprintf(s->err.file, "drover: refused: %s\n", shown);
		return EXIT_REFUSED;
	}
	return EXIT_DONE;
}

static enum exit_code fence(struct session *s, const char *node)
{
	_cleanup_reply_ Drover__V1__FenceReply *before = NULL, *after = NULL;
	_cleanup_free_ char *shown = text_escape(node, s->err.ascii);
	_cleanup_free_ char *title = xasprintf("Declaring %s dead means:", shown);
	enum exit_code code = ask(s, node, true, &before);
	const Drover__V1__FenceReply *reply;

	if (code != EXIT_DONE)
		return code;
	assert(before);
	reply = before;
	if (reply->node && reply->node->fenced) {
		_cleanup_free_ char *by = text_escape(reply->node->fenced_by, s->err.ascii);

		session_say(s, "%s was declared dead already, by %s.", shown, by);
		if (s->out.format == OUTPUT_JSON)
			output_message(&s->out, &before->base);
		return EXIT_DONE;
	}
	print_effects(s, title, reply);
	if (s->options->dry_run) {
		if (s->out.format == OUTPUT_JSON)
			output_message(&s->out, &before->base);
		return EXIT_DONE;
	}
	if (!s->options->yes) {
		if (s->options->no_input || !s->err.terminal || !isatty(STDIN_FILENO)) {
			fprintf(s->err.file,
			        "drover: nothing was done: nobody is there to confirm it; with "
			        "--yes it is done unasked\n");
			return EXIT_REFUSED;
		}
		if (!type_name(s, node)) {
			fprintf(s->err.file, "drover: nothing was done\n");
			return EXIT_REFUSED;
		}
	}
	code = ask(s, node, false, &after);
	if (code != EXIT_DONE)
		return code;
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &after->base);
	session_say(s,
	            "%s is declared dead. What it had begun is being settled: drover migrations "
	            "--node %s",
	            shown, shown);
	return EXIT_DONE;
}

enum exit_code fence_run(const struct invocation *invocation)
{
	struct session s;
	const char *node;
	enum exit_code code;

	session_init(&s, invocation);
	node = session_name_of_kind(&s, "node", invocation->words.items[0]);
	if (!node)
		return EXIT_USAGE;
	if (!invocation->options.dry_run &&
	    (!invocation->options.reason || !*invocation->options.reason)) {
		fprintf(s.err.file,
		        "drover: say why it is declared dead, for whoever reads it later: -m "
		        "REASON\n");
		return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	code = fence(&s, node);
	session_close(&s);
	return code;
}
