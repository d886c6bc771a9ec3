/* SPDX-License-Identifier: Apache-2.0 */
/* The dry run of a rolling operation: for each turn what a dry run of its drain says, as things are now, since
 * the hosts before it are back by then. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

char *roll_describe_refusal(const Drover__V1__DrainReply *reply)
{
	char *text;

	if (!reply->n_blockers)
		return xstrdup(*reply->refusal ? reply->refusal
		                               : "the coordinator does not say why");
	text = reply->n_blockers == 1 ? xstrdup("")
	                              : xasprintf("%zu guests cannot move: ", reply->n_blockers);
	for (size_t i = 0; i < reply->n_blockers; i++) {
		const Drover__V1__Check *check = reply->blockers[i];
		const char *name = strncmp(check->id, "vm/", 3) == 0 ? check->id + 3 : check->id;
		bool said = strncmp(check->measured, check->reason, strlen(check->reason)) == 0;
		_cleanup_free_ char *shorter = text;

		text = xasprintf("%s%s%s%s (%s%s%s)", shorter, i ? ", " : "", name,
		                 reply->n_blockers == 1 ? " cannot move" : "",
		                 said ? "" : check->reason, !said && *check->measured ? ": " : "",
		                 check->measured);
	}
	return text;
}

/* --- what the coordinator says of one turn --- */

static void count_guest(struct roll_turn *turn, const Drover__V1__DrainVm *vm)
{
	if (strcmp(vm->state, "blocked") == 0)
		turn->no_place++;
	else if (*vm->power)
		turn->shut_down++;
	else
		turn->moves++;
	turn->given_up += strcmp(vm->state, "waiting") == 0 && !*vm->power &&
	                  prediction_gives_up(vm->prediction);
}

/* "2 guests would move, 1 would be shut down, 1 has no place". Owned. */
static char *describe(const struct roll_turn *turn)
{
	_cleanup_free_ char *off = turn->shut_down
	                                   ? xasprintf(", %zu would be shut down", turn->shut_down)
	                                   : xstrdup("");
	_cleanup_free_ char *blocked = turn->no_place
	                                       ? xasprintf(", %zu %s no place", turn->no_place,
	                                                   turn->no_place == 1 ? "has" : "have")
	                                       : xstrdup("");
	_cleanup_free_ char *endless =
		turn->given_up ? xasprintf("; %zu of them %s foretold not to converge, and to stay",
	                                   turn->given_up, turn->given_up == 1 ? "is" : "are")
			       : xstrdup("");

	if (turn->refusal)
		return xasprintf("would be refused: %s", turn->refusal);
	return xasprintf("%zu %s would move%s%s%s", turn->moves,
	                 turn->moves == 1 ? "guest" : "guests", off, blocked, endless);
}

static enum exit_code plan_turn(struct roll *roll, struct roll_host **group, size_t count,
                                unsigned number)
{
	_cleanup_reply_ Drover__V1__DrainReply *reply = NULL;
	enum exit_code code = roll_ask_drain(roll, group, count, true, &reply);

	for (size_t i = 0; i < count; i++) {
		struct roll_turn *turn = &group[i]->turn;

		turn->number = number;
		if (code != EXIT_DONE && !reply) {
			turn->refusal = xstrdup("the coordinator refused the question");
			continue;
		}
		for (size_t v = 0; reply->drain && v < reply->drain->n_vms; v++) {
			if (strcmp(reply->drain->vms[v]->node, group[i]->name) == 0)
				count_guest(turn, reply->drain->vms[v]);
		}
		if (reply->refused)
			turn->refusal = roll_describe_refusal(reply);
		if (turn->refusal || turn->no_place || turn->given_up)
			code = EXIT_REFUSED;
	}
	return code;
}

/* --- on the screen --- */

enum { NODE, TURN, MOVE, SHUT_DOWN, NO_PLACE, GIVEN_UP, WOULD, COLUMNS };

static const char *would(const struct roll_host *host)
{
	if (host->stage == ROLL_DONE)
		return "nothing: it is done";
	if (host->stage == ROLL_BACK)
		return "bring its guests back: its hook has ended well";
	if (host->turn.refusal)
		return "be refused";
	return host->turn.no_place || host->turn.given_up ? "not become empty" : "be emptied";
}

static void add_host(struct table *t, const struct roll_host *host)
{
	const struct roll_turn *turn = &host->turn;
	bool bad = turn->refusal || turn->no_place || turn->given_up;

	table_add_row(t);
	table_set(t, NODE, "%s", host->name);
	if (turn->number) {
		table_set(t, TURN, "%u", turn->number);
		table_set(t, MOVE, "%zu", turn->moves);
	}
	if (turn->shut_down)
		table_set(t, SHUT_DOWN, "%zu", turn->shut_down);
	if (turn->no_place)
		table_set(t, NO_PLACE, "%zu", turn->no_place);
	if (turn->given_up)
		table_set(t, GIVEN_UP, "%zu", turn->given_up);
	table_set(t, WOULD, "%s", would(host));
	if (bad)
		table_set_colour(t, WOULD, COLOUR_RED);
}

static void print_lines(const struct output *o, const char *node, const char *refusal)
{
	_cleanup_free_ char *name = text_escape(node, o->ascii), *text = xstrdup(refusal);
	char *rest = text;
	const char *line;

	fprintf(o->file, "%s: would be refused:", name);
	while ((line = strsep(&rest, "\n")) != NULL) {
		_cleanup_free_ char *shown = text_escape(line, o->ascii);

		fprintf(o->file, " %s\n", shown);
	}
}

static void print_table(const struct roll *roll)
{
	static const struct column columns[COLUMNS] = {
		[NODE] = { "NODE" },
		[TURN] = { "TURN", COLUMN_RIGHT },
		[MOVE] = { "MOVE", COLUMN_RIGHT },
		[SHUT_DOWN] = { "SHUT DOWN", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[NO_PLACE] = { "NO PLACE", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[GIVEN_UP] = { "GIVEN UP", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[WOULD] = { "WOULD" },
	};
	const struct output *o = &roll->s->out;
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);

	for (size_t i = 0; i < roll->count; i++)
		add_host(t, &roll->hosts[i]);
	table_print(t);
	for (size_t i = 0; i < roll->count; i++) {
		if (roll->hosts[i].turn.refusal)
			print_lines(o, roll->hosts[i].name, roll->hosts[i].turn.refusal);
	}
	fflush(o->file);
}

/* Whichever way it went: what to type now. */
static void say_next(struct roll *roll, enum exit_code code)
{
	_cleanup_free_ char *again = command_repeat(
		roll->s->invocation, OPTION_BIT(OPTION_DRY_RUN) | OPTION_BIT(OPTION_OUTPUT) |
					     OPTION_BIT(OPTION_QUIET) | OPTION_BIT(OPTION_COLOR));

	if (code == EXIT_DONE) {
		session_say(roll->s, "Nothing was changed. To do it: %s%s", again,
		            roll->hook ? "" : " --hook CMD");
		return;
	}
	session_say(roll->s,
	            "Nothing was changed. It would stop there; who is in the way, and what "
	            "would help:");
	for (size_t i = 0; i < roll->count; i++) {
		const struct roll_turn *turn = &roll->hosts[i].turn;

		if (turn->refusal || turn->no_place || turn->given_up)
			session_say(roll->s, "  drover drain %s --dry-run", roll->hosts[i].name);
	}
}

enum exit_code roll_plan(struct roll *roll, size_t group_size)
{
	struct roll_host *group[WORDS_MAX];
	enum exit_code worst = EXIT_DONE;
	unsigned number = 0;
	size_t n = 0;

	for (size_t i = 0; i < roll->count; i++) {
		enum exit_code code = EXIT_DONE;

		if (roll->hosts[i].stage == ROLL_NOT_BEGUN || roll->hosts[i].stage == ROLL_DRAINING)
			group[n++] = &roll->hosts[i];
		if (n && (n == group_size || i + 1 == roll->count)) {
			code = plan_turn(roll, group, n, ++number);
			n = 0;
		}
		if (code != EXIT_DONE)
			worst = code;
	}
	for (size_t i = 0; i < roll->count && roll->s->out.format == OUTPUT_JSONL; i++) {
		_cleanup_free_ char *text = roll->hosts[i].turn.number
		                                    ? describe(&roll->hosts[i].turn)
		                                    : xstrdup(would(&roll->hosts[i]));

		roll_print_turn(roll, &roll->hosts[i], text);
	}
	if (roll->s->out.format == OUTPUT_TABLE)
		print_table(roll);
	say_next(roll, worst);
	return worst;
}
