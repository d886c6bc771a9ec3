/* SPDX-License-Identifier: Apache-2.0 */
/* "drover drain": asks, shows the plan or the refusal, and follows what was started; of one node, or
 * of several together. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/strategy.h"
#include "tools/drover/by.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/progress.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"
#include "tools/drover/watch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is to be drained, for the request and for what is said about it. */
struct drained {
	const char *names[WORDS_MAX];
	size_t count;
	const char *selector;
	char *words;   /* "host1 and host2", "the nodes with rack=a"; owned */
	char *command; /* "host1 host2", "-l rack=a"; owned */
	char *again; /* "drover drain host1 --leave db1": what was typed, but for how it is shown; owned */
	uint64_t by_wall_ms;
};

/* What is no part of what is asked for. */
#define SHOWN                                                                                  \
	(OPTION_BIT(OPTION_DRY_RUN) | OPTION_BIT(OPTION_OUTPUT) | OPTION_BIT(OPTION_QUIET) |   \
	 OPTION_BIT(OPTION_COLOR) | OPTION_BIT(OPTION_NO_HEADERS) | OPTION_BIT(OPTION_BYTES) | \
	 OPTION_BIT(OPTION_NO_INPUT) | OPTION_BIT(OPTION_PLAN))

/* Whether a person is there to answer. */
static bool can_ask(const struct session *s)
{
	return !s->options->no_input && !s->options->dry_run && s->err.terminal &&
	       isatty(STDIN_FILENO);
}

/* Exactly "y": anything else, and the end of input, is no. */
static bool ask_to_leave(struct session *s, const char *node, size_t n)
{
	_cleanup_free_ char *shown = text_escape(node, s->err.ascii);
	char answer[16];

	fprintf(s->err.file, "Leave %s running on %s and move the rest? [y/N] ",
	        n == 1 ? "it" : "them", shown);
	fflush(s->err.file);
	return fgets(answer, sizeof(answer), stdin) && strcmp(answer, "y\n") == 0;
}

static char *join(const struct drained *d, const char *between, const char *last, bool shell)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < d->count; i++) {
		const char *glue = i == 0 ? "" : i + 1 < d->count ? between : last;
		_cleanup_free_ char *word = shell ? text_shell_word(d->names[i])
		                                  : xstrdup(d->names[i]);
		char *longer = xasprintf("%s%s%s", text, glue, word);

		free(text);
		text = longer;
	}
	return text;
}

static void fill_request(const struct options *options, const struct drained *d,
                         struct id *request_id, char **leave, char **shut_down,
                         Drover__V1__DrainRequest *ret_request)
{
	/* A coordinator that knows only one drains none of several. */
	if (d->count == 1 && !d->selector) {
		ret_request->node = (char *)d->names[0];
	} else {
		ret_request->nodes = (char **)d->names;
		ret_request->n_nodes = d->count;
	}
	if (d->selector)
		ret_request->selector = (char *)d->selector;
	ret_request->dry_run = options->dry_run;
	for (size_t i = 0; i < options->leave.count; i++)
		leave[i] = (char *)(strncmp(options->leave.items[i], "vm/", 3) == 0
		                            ? options->leave.items[i] + 3
		                            : options->leave.items[i]);
	for (size_t i = 0; i < options->shut_down.count; i++)
		shut_down[i] = (char *)(strncmp(options->shut_down.items[i], "vm/", 3) == 0
		                                ? options->shut_down.items[i] + 3
		                                : options->shut_down.items[i]);
	ret_request->shut_down = shut_down;
	ret_request->n_shut_down = options->shut_down.count;
	ret_request->shutdown_timeout_ms = options->shutdown_timeout_ms;
	ret_request->leave = leave;
	ret_request->n_leave = options->leave.count;
	ret_request->leave_unmovable = options->yes || options->unmovable == UNMOVABLE_LEAVE;
	if (options->reason)
		ret_request->reason = (char *)options->reason;
	ret_request->parallel = (uint32_t)options->parallel;
	ret_request->copy_disks = options->copy_disks;
	ret_request->plain_ladder = options->ladder == LADDERS;
	if (options->ladder < LADDERS)
		ret_request->ladder = (Drover__V1__Ladder)options->ladder;
	ret_request->allow_auto_converge = options->allow_auto_converge;
	ret_request->allow_post_copy = options->allow_post_copy;
	ret_request->allow_workload_disruption = options->allow_pause;
	ret_request->forbid_auto_converge = options->forbid_auto_converge;
	ret_request->forbid_post_copy = options->forbid_post_copy;
	ret_request->forbid_workload_disruption = options->forbid_pause;
	ret_request->bandwidth_bytes_per_s = options->bandwidth_bytes_per_s;
	ret_request->max_downtime_ms = options->max_downtime_ms;
	ret_request->completion_timeout_ms_per_gib = options->completion_timeout_ms_per_gib;
	ret_request->progress_timeout_ms = options->progress_timeout_ms;
	ret_request->request_id.data = request_id->bytes;
	ret_request->request_id.len = ID_BYTES;
}

/* Guests that stay or are shut down are named each time: a plan is no permission. */
static void say_exactly(struct session *s, const struct drained *d, const char *plan_id)
{
	_cleanup_free_ char *flags = xstrdup("");
	const struct {
		const char *flag;
		const struct word_list *words;
	} lists[] = { { "--leave", &s->options->leave }, { "--shutdown", &s->options->shut_down } };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (size_t n = 0; n < lists[i].words->count; n++) {
			_cleanup_free_ char *word = text_shell_word(lists[i].words->items[n]);
			char *longer = xasprintf("%s %s %s", flags, lists[i].flag, word);

			free(flags);
			flags = longer;
		}
	}
	session_say(s, "Exactly this: drover drain %s --plan %s%s%s", d->command, plan_id, flags,
	            s->options->yes || s->options->unmovable == UNMOVABLE_LEAVE
	                    ? " --unmovable leave"
	                    : "");
	session_say(s, "Why so: drover explain plan/%s", plan_id);
}

/* The commands that do without those that have no destination: the first shows the plan of the others, with
 * an id, the second moves them. */
static void say_without(struct session *s, const struct drained *d, const Drover__V1__Drain *drain)
{
	_cleanup_free_ char *flags = xstrdup("");

	for (size_t i = 0; i < drain->n_vms; i++) {
		_cleanup_free_ char *word = text_shell_word(drain->vms[i]->name);
		char *longer;

		if (strcmp(drain->vms[i]->state, "blocked") != 0)
			continue;
		longer = xasprintf("%s --leave %s", flags, word);
		free(flags);
		flags = longer;
	}
	session_say(s, "  plan of the others   %s%s --dry-run", d->again, flags);
	session_say(s, "  move the others      %s%s", d->again, flags);
}

static enum exit_code show_plan(struct session *s, const struct drained *d,
                                const Drover__V1__DrainReply *reply)
{
	size_t blocked = reply->drain ? drain_plan_count_blocked(reply->drain) : 0;
	size_t endless = reply->drain ? drain_plan_count_endless(reply->drain) : 0;

	if (s->out.format != OUTPUT_TABLE) {
		output_message(&s->out, &reply->base);
	} else if (reply->drain && reply->drain->n_vms) {
		if (!reply->refused && !blocked && !s->options->quiet)
			progress_print_plan(&s->err, reply->drain,
			                    s->options->bandwidth_bytes_per_s);
		drain_plan_print(&s->out, reply->drain);
		deadline_print(&s->out, reply->drain, clock_wall_ms());
	} else if (!reply->refused) {
		session_say(s, "%s %s no guests to move.", d->words,
		            d->count == 1 ? "has" : "have");
	}
	fflush(s->out.file);
	if (reply->refused) {
		drain_refusal_print(&s->err, d->words, d->again, reply, true);
		return EXIT_REFUSED;
	}
	/* Such a drain would be taken: it waits for room and says for what. But who asks beforehand
	 * asks whether it ends. */
	if (blocked) {
		session_say(s,
		            "%s would not become empty: %zu of %zu guests have no destination as "
		            "things are. A drain would move the others and wait for room.",
		            d->words, blocked, reply->drain->n_vms);
		say_without(s, d, reply->drain);
		return EXIT_REFUSED;
	}
	if (endless)
		session_say(
			s,
			"%s would not become empty: %zu of %zu guests %s foretold not to converge, "
			"and to stay. A drain would move the others and try %s again.",
			d->words, endless, reply->drain->n_vms, endless == 1 ? "is" : "are",
			endless == 1 ? "it" : "them");
	if (*reply->plan_id)
		say_exactly(s, d, reply->plan_id);
	if (endless || (reply->drain && reply->drain->late_ms))
		return EXIT_REFUSED;
	return EXIT_DONE;
}

static enum exit_code follow_started(struct session *s, const struct drained *d,
                                     const Drover__V1__DrainReply *reply)
{
	const Drover__V1__Drain *first = reply->drain;
	const uint64_t *numbers = first->n_together ? first->together : &first->number;
	size_t n = first->n_together ? first->n_together : 1;
	_cleanup_free_ char *subjects = xstrdup("");

	for (size_t i = 0; i < n; i++) {
		char *longer = xasprintf("%s%sdrain/%llu", subjects, i ? " " : "",
		                         (unsigned long long)numbers[i]);

		free(subjects);
		subjects = longer;
	}
	if (reply->already)
		session_say(s, "%s %s being drained already: %s. What was asked for then holds.",
		            d->words, n == 1 ? "is" : "are", subjects);
	if (s->options->detach) {
		for (size_t i = 0; i < n && s->out.format == OUTPUT_TABLE; i++)
			fprintf(s->out.file, "drain/%llu\n", (unsigned long long)numbers[i]);
		if (s->out.format != OUTPUT_TABLE)
			output_message(&s->out, &first->base);
		session_say(s, "  watch it   drover watch %s", subjects);
		session_say(s, "  stop it    drover cancel %s", subjects);
		return EXIT_DONE;
	}
	if (s->err.terminal && !s->options->quiet && s->out.format == OUTPUT_TABLE && n == 1) {
		progress_print_plan(&s->err, first, s->options->bandwidth_bytes_per_s);
		fputc('\n', s->err.file);
	}
	if (*first->deadline && !s->options->quiet && s->out.format == OUTPUT_TABLE)
		deadline_print(&s->err, first, clock_wall_ms());
	return watch_drains(s, numbers, n);
}

/* The coordinator's text says which of the names it does not know. */
static enum exit_code fail_drain(struct session *s, const struct drained *d,
                                 const struct error *err)
{
	_cleanup_free_ char *what = xasprintf("draining %s", d->words);
	const char *node = d->count ? d->names[0] : "";

	for (size_t i = 0; i < s->options->leave.count + s->options->shut_down.count; i++) {
		const char *vm = i < s->options->leave.count
		                         ? s->options->leave.items[i]
		                         : s->options->shut_down.items[i - s->options->leave.count];

		if (strstr(err->text, "guest") && strstr(err->text, vm))
			return session_fail_object(s, what, "vm", vm, err);
	}
	for (size_t i = 0; i < d->count; i++) {
		if (strstr(err->text, d->names[i]))
			node = d->names[i];
	}
	return session_fail_object(s, what, "node", node, err);
}

static enum exit_code drain(struct session *s, const struct drained *d)
{
	Drover__V1__DrainRequest request = DROVER__V1__DRAIN_REQUEST__INIT;
	struct id request_id = id_new();
	char *leave[WORDS_MAX], *shut_down[WORDS_MAX];

	fill_request(s->options, d, &request_id, leave, shut_down, &request);
	request.by_wall_ms = d->by_wall_ms;
	if (s->options->plan)
		request.plan_id = (char *)s->options->plan;
	for (;;) {
		_cleanup_reply_ Drover__V1__DrainReply *reply = NULL;
		struct error err = { 0 };

		if (coordinator_ask_drain(s->client, &request, &reply, &err) < 0) {
			if (!client_is_interrupted(s->client))
				return fail_drain(s, d, &err);
			session_say(s, "Interrupted before the coordinator answered; the drain may "
			               "have been accepted: drover drains --active");
			return EXIT_INTERRUPTED;
		}
		if (*reply->note)
			session_say(s, "%s", reply->note);
		if (s->options->dry_run)
			return show_plan(s, d, reply);
		if (!reply->refused && reply->drain)
			return follow_started(s, d, reply);
		if (!reply->refused) {
			error_set(&err, ERROR_PROTOCOL, "the coordinator answered without a drain");
			return fail_drain(s, d, &err);
		}
		drain_refusal_print(&s->err, d->words, d->again, reply, false);
		if (request.leave_unmovable || reply->n_blockers == 0 ||
		    s->options->unmovable == UNMOVABLE_REFUSE || !can_ask(s) ||
		    !ask_to_leave(s, d->words, reply->n_blockers))
			return EXIT_REFUSED;
		request.leave_unmovable = true;
		request_id = id_new();
	}
}

static bool is_among(const struct drained *d, const char *node)
{
	for (size_t i = 0; i < d->count; i++) {
		if (strcmp(d->names[i], node) == 0)
			return true;
	}
	return false;
}

/* EXIT_USAGE, and an explanation was printed, unless something is named and all names are nodes'. */
static enum exit_code read_drained(struct session *s, const struct word_list *words,
                                   struct drained *ret)
{
	struct error err;

	ret->selector = s->options->selector;
	if (s->options->by &&
	    by_parse(s->options->by, clock_wall_ms(), &ret->by_wall_ms, &err) < 0) {
		_cleanup_free_ char *shown = text_escape(err.text, s->err.ascii);

		fprintf(s->err.file, "drover: %s\n", shown);
		return EXIT_USAGE;
	}
	if (!session_check_shutdown(s))
		return EXIT_USAGE;
	for (size_t i = 0; i < words->count; i++) {
		const char *node = session_name_of_kind(s, "node", words->items[i]);

		if (!node)
			return EXIT_USAGE;
		if (!is_among(ret, node))
			ret->names[ret->count++] = node;
	}
	if (!ret->count && !ret->selector) {
		fprintf(s->err.file,
		        "drover: what is to be drained? Name nodes, or select them by labels: -l "
		        "rack=a\n  which there are   drover nodes\n");
		return EXIT_USAGE;
	}
	ret->again = command_repeat(s->invocation, SHOWN);
	if (ret->count) {
		ret->words = join(ret, ", ", " and ", false);
		ret->command = join(ret, " ", " ", true);
	}
	if (ret->selector) {
		char *words_of = ret->words, *command = ret->command;
		_cleanup_free_ char *word = text_shell_word(ret->selector);

		ret->words = xasprintf("%s%sthe nodes with %s", words_of ? words_of : "",
		                       words_of ? " and " : "", ret->selector);
		ret->command = xasprintf("%s%s-l %s", command ? command : "", command ? " " : "",
		                         word);
		free(words_of);
		free(command);
	}
	return EXIT_DONE;
}

enum exit_code drain_run(const struct invocation *invocation)
{
	struct drained drained = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	code = read_drained(&s, &invocation->words, &drained);
	if (code == EXIT_DONE) {
		code = session_open(&s, invocation);
		if (code == EXIT_DONE)
			code = drain(&s, &drained);
		session_close(&s);
	}
	free(drained.words);
	free(drained.command);
	free(drained.again);
	return code;
}
