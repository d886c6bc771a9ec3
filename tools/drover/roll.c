/* SPDX-License-Identifier: Apache-2.0 */
/* "drover roll": host by host, empty it, run a hook, wait until it is ready, bring its guests back.
 *
 *	not begun --> draining --> (hook) --> back --> done
 *
 * It stops at the first thing that fails and says where it stands; the same command goes on from there.
 * Nothing is undone: a host that stands empty is safe, and somebody is about to look at it. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/commands.h"
#include "tools/drover/text.h"
#include "tools/drover/undrain.h"

#include <stdlib.h>
#include <string.h>

#define HOOK_TIMEOUT_MS  (60 * 60 * 1000)
#define READY_TIMEOUT_MS (30 * 60 * 1000)

static size_t count_stage(const struct roll *roll, enum roll_stage stage)
{
	size_t n = 0;

	for (size_t i = 0; i < roll->count; i++)
		n += roll->hosts[i].stage == stage;
	return n;
}

static char *list_stage(const struct roll *roll, enum roll_stage stage)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < roll->count; i++) {
		char *longer;

		if (roll->hosts[i].stage != stage)
			continue;
		longer = xasprintf("%s%s%s", text, *text ? ", " : "", roll->hosts[i].name);
		free(text);
		text = longer;
	}
	return text;
}

/* --- one group --- */

/* Those of the group that are not empty yet are emptied together, and their hooks run. */
static enum exit_code empty_and_hook(struct roll *roll, struct roll_host **group, size_t count)
{
	struct roll_host *open[WORDS_MAX];
	enum exit_code code = EXIT_DONE;
	size_t n = 0;

	for (size_t i = 0; i < count && code == EXIT_DONE; i++) {
		if (group[i]->stage == ROLL_BACK)
			continue;
		open[n++] = group[i];
		code = roll_state_save(roll, group[i], ROLL_DRAINING);
		roll->failed_node = code == EXIT_DONE ? NULL : group[i]->name;
	}
	if (n && code == EXIT_DONE) {
		code = roll_drain(roll, open, n);
		/* What was refused has not begun: the next command must not take another's drain for ours. */
		for (size_t i = 0; i < n && code == EXIT_REFUSED; i++) {
			if (!open[i]->begun)
				(void)roll_state_save(roll, open[i], ROLL_NOT_BEGUN);
		}
	}
	for (size_t i = 0; i < n && code == EXIT_DONE; i++)
		open[i]->begun = true;
	if (n && code == EXIT_DONE)
		code = roll_check_empty(roll, open, n);
	return n && code == EXIT_DONE ? roll_run_hooks(roll, open, n) : code;
}

static enum exit_code bring_back(struct roll *roll, struct roll_host *host)
{
	enum exit_code code = roll_wait_ready(roll, host);
	size_t off = 0;

	if (code == EXIT_DONE) {
		code = undrain_bring_back(roll->s, host->name, &off);
		/* Who stayed where it is was named, and is no reason to stop; who is off is. */
		if (code == EXIT_PARTLY)
			code = off ? EXIT_FAILED : EXIT_DONE;
		if (code != EXIT_DONE)
			roll->failed_node = host->name;
		if (off)
			roll_tell(roll, host->name, "failed",
			          "%zu %s shut down, and cannot be started again now", off,
			          off == 1 ? "guest was" : "guests were");
	}
	if (code == EXIT_DONE)
		code = roll_state_save(roll, host, ROLL_DONE);
	if (code == EXIT_DONE)
		roll_tell(roll, host->name, "done", "done; %zu of %zu",
		          count_stage(roll, ROLL_DONE), roll->count);
	return code;
}

static enum exit_code run_group(struct roll *roll, struct roll_host **group, size_t count)
{
	enum exit_code code = roll_check_ready(roll, group, count);

	if (code == EXIT_DONE)
		code = empty_and_hook(roll, group, count);
	for (size_t i = 0; i < count && code == EXIT_DONE; i++)
		code = bring_back(roll, group[i]);
	return code;
}

/* --- all --- */

/* The next hosts that are not done: those that were begun first. */
static size_t next_group(struct roll *roll, size_t most, struct roll_host **ret_group)
{
	static const enum roll_stage order[] = { ROLL_BACK, ROLL_DRAINING, ROLL_NOT_BEGUN };
	size_t n = 0;

	for (size_t o = 0; o < ARRAY_SIZE(order); o++) {
		for (size_t i = 0; i < roll->count && n < most; i++) {
			if (roll->hosts[i].stage == order[o])
				ret_group[n++] = &roll->hosts[i];
		}
	}
	return n;
}

static size_t group_size(const struct roll *roll)
{
	uint64_t most = roll->s->options->max_unavailable;

	return most == 0 ? 1 : most > WORDS_MAX ? WORDS_MAX : (size_t)most;
}

static void say_where_it_stands(struct roll *roll, enum exit_code code)
{
	_cleanup_free_ char *done = list_stage(roll, ROLL_DONE);
	_cleanup_free_ char *open = list_stage(roll, ROLL_NOT_BEGUN);
	const char *node = roll->failed_node ? roll->failed_node : "";
	struct session *s = roll->s;

	roll_tell(roll, node, "stopped", "%s%s%s%s%s",
	          code == EXIT_INTERRUPTED ? "stopped by you" : "the rolling operation stops here",
	          *done ? "; done: " : "", done, *open ? "; not begun: " : "", open);
	if (!*node)
		return;
	session_say(s,
	            "  go on        the same command once more: it takes up %s where it stopped\n"
	            "  look         drover explain node/%s   drover drains --node %s\n"
	            "  give it up   drover undrain %s --bring-back   drover label %s %s-",
	            node, node, node, node, node, roll->label);
}

static enum exit_code run_all(struct roll *roll)
{
	struct roll_host *group[WORDS_MAX];
	enum exit_code code = EXIT_DONE;
	size_t n;

	if (count_stage(roll, ROLL_NOT_BEGUN) < roll->count) {
		_cleanup_free_ char *done = list_stage(roll, ROLL_DONE);

		roll_tell(roll, "", "goes-on",
		          "%s goes on where it stopped%s%s; to begin anew: --restart", roll->label,
		          *done ? "; done already: " : "", done);
	}
	while (code == EXIT_DONE && (n = next_group(roll, group_size(roll), group)) > 0)
		code = run_group(roll, group, n);
	if (code != EXIT_DONE) {
		say_where_it_stands(roll, code);
		return code;
	}
	code = roll_state_forget(roll);
	if (code == EXIT_DONE)
		roll_tell(roll, "", "completed", "all %zu nodes are done", roll->count);
	return code;
}

/* Of all, before anything is begun: better now than at the tenth host. */
static enum exit_code check_all(struct roll *roll)
{
	_cleanup_free_ struct roll_host **all = xcalloc(roll->count, sizeof(struct roll_host *));

	for (size_t i = 0; i < roll->count; i++)
		all[i] = &roll->hosts[i];
	return roll_check_ready(roll, all, roll->count);
}

static enum exit_code run(struct session *s, const struct word_list *words)
{
	struct roll roll = { .s = s,
		             .hook = s->options->hook,
		             .hook_timeout_ms = s->options->hook_timeout_ms,
		             .ready_timeout_ms = s->options->ready_timeout_ms };
	enum exit_code code = roll_state_load(&roll, words);

	if (!roll.hook_timeout_ms)
		roll.hook_timeout_ms = HOOK_TIMEOUT_MS;
	if (!roll.ready_timeout_ms)
		roll.ready_timeout_ms = READY_TIMEOUT_MS;
	if (code == EXIT_DONE && s->options->restart && !s->options->dry_run)
		code = roll_state_forget(&roll);
	if (code == EXIT_DONE)
		code = check_all(&roll);
	if (code == EXIT_DONE)
		code = roll_guests_load(&roll);
	if (code == EXIT_DONE && !s->options->dry_run)
		code = roll_guests_check(&roll);
	if (code == EXIT_DONE)
		code = s->options->dry_run ? roll_plan(&roll, group_size(&roll)) : run_all(&roll);
	if (roll.count && s->out.format == OUTPUT_JSON)
		roll_print_json(&roll, code);
	roll_print_deinit(&roll);
	roll_guests_deinit(&roll);
	roll_state_deinit(&roll);
	return code;
}

enum exit_code roll_run(const struct invocation *invocation)
{
	const struct options *o = &invocation->options;
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	if (!o->hook && !o->dry_run) {
		fprintf(s.err.file, "drover: what is to be done with each empty host? --hook CMD; "
		                    "the hook has DROVER_NODE\n");
		return EXIT_USAGE;
	}
	if (!o->selector && !invocation->words.count) {
		fprintf(s.err.file, "drover: which hosts? Name nodes, or select them by labels: -l "
		                    "rack=a\n");
		return EXIT_USAGE;
	}
	if (!session_check_shutdown(&s))
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = run(&s, &invocation->words);
	session_close(&s);
	return code;
}
