/* SPDX-License-Identifier: Apache-2.0 */
/* Before a drain or a migration: the plan, or the refusal. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tools/drover/by.h"
#include "tools/drover/text.h"

#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

/* --- the plan --- */

/* Why a guest waits or goes where it goes: what the coordinator says, else the check that failed. */
static const char *plan_reason(const Drover__V1__DrainVm *vm)
{
	if (*vm->reason)
		return vm->reason;
	for (size_t i = 0; i < vm->n_checks; i++) {
		if (vm->checks[i]->verdict == DROVER__V1__CHECK__VERDICT__FAIL ||
		    vm->checks[i]->verdict == DROVER__V1__CHECK__VERDICT__BLOCK)
			return vm->checks[i]->measured;
	}
	return vm->why;
}

/* What the coordinator found by trying, else what the host says that refused it. */
static const char *what_helps(const Drover__V1__DrainVm *vm)
{
	if (*vm->helps || strcmp(vm->state, "blocked") != 0)
		return vm->helps;
	for (size_t i = 0; i < vm->n_checks; i++) {
		if (vm->checks[i]->verdict == DROVER__V1__CHECK__VERDICT__FAIL &&
		    *vm->checks[i]->remedy)
			return vm->checks[i]->remedy;
	}
	return "";
}

/* What would make room for those that have none, one line each; and where that is not proved. */
static void helps_note(const struct output *o, const Drover__V1__Drain *drain)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		const Drover__V1__DrainVm *vm = drain->vms[i];
		_cleanup_free_ char *name = NULL, *helps = NULL;

		if (!*what_helps(vm))
			continue;
		name = text_escape(vm->name, o->ascii);
		helps = text_escape(what_helps(vm), o->ascii);
		fprintf(o->file, "%s: would help: %s\n", name, helps);
	}
}

/* Wishes that are not met, one line each. */
static void against_note(const struct output *o, const Drover__V1__Drain *drain)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		_cleanup_free_ char *name = text_escape(drain->vms[i]->name, o->ascii);
		_cleanup_free_ char *against = text_escape(drain->vms[i]->against_policy, o->ascii);

		if (*against)
			fprintf(o->file, "%s: against a wish: %s\n", name, against);
	}
}

/* Guests that are not foretold to converge, and those of which that is not certain or not known: one line
 * each. */
static void predictions_note(const struct output *o, const Drover__V1__Drain *drain)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		const Drover__V1__DrainVm *vm = drain->vms[i];
		const Drover__V1__Prediction *p = vm->prediction;
		_cleanup_free_ char *name = NULL, *help = NULL, *basis = NULL;
		char uncertain[PREDICTION_TEXT_BYTES];

		if (!p || strcmp(vm->state, "blocked") == 0 || strcmp(vm->state, "left") == 0 ||
		    (p->end == DROVER__V1__PREDICTION__END__CONVERGES && p->certain))
			continue;
		name = text_escape(vm->name, o->ascii);
		help = text_escape(p->help, o->ascii);
		basis = text_escape(p->basis, o->ascii);
		prediction_uncertain(o, p, uncertain);
		fprintf(o->file, "%s: %s%s%s%s%s%s%s%s\n", name, prediction_end_words(p),
		        p->end == DROVER__V1__PREDICTION__END__GIVES_UP
		                ? ", then gives up and stays where it is"
		                : "",
		        *uncertain ? "; " : "", uncertain, *help ? "; " : "", help,
		        *basis ? "; " : "", basis);
	}
}

static const char *would(const Drover__V1__DrainVm *vm)
{
	bool blocked = strcmp(vm->state, "blocked") == 0;

	if (strcmp(vm->state, "left") == 0)
		return "stay";
	if (vm->starts)
		return blocked ? "not start" : "start";
	if (*vm->power)
		return blocked ? "not shut down" : "shut down";
	return blocked ? "not move" : "move";
}

/* What being shut down means: once, below the table. */
static void shutdowns_note(const struct output *o, const Drover__V1__Drain *drain)
{
	char given[OUTPUT_TEXT_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < drain->n_vms; i++)
		n += *drain->vms[i]->power && strcmp(drain->vms[i]->state, "waiting") == 0;
	if (n)
		fprintf(o->file,
		        "%zu %s shut down: asked last, given %s, never ended; off until the node "
		        "is "
		        "undrained with --bring-back.\n",
		        n, n == 1 ? "guest is" : "guests are",
		        output_duration(o, drain->shutdown_timeout_ms, given));
}

/* That a guest stands still for longer than it was allowed to is no surprise then. */
static void guards_note(const struct output *o, const Drover__V1__Drain *drain)
{
	size_t n = 0;

	for (size_t i = 0; i < drain->n_vms; i++)
		n += drain->vms[i]->guard == DROVER__V1__GUARD__GUARD_TWO_STEP &&
		     strcmp(drain->vms[i]->state, "waiting") == 0;
	if (n)
		fprintf(o->file,
		        "%zu %s kept from running twice by a two-step commit, which adds to %s "
		        "pause, beyond --max-downtime: 0.3 to 0.4 s, and 10 ms for each GiB\n",
		        n, n == 1 ? "guest is" : "guests are", n == 1 ? "its" : "their");
}

/* Longer ones are told below the table. */
#define WHY_MOST 40

/* It goes where it goes because that was the best of so many. */
static bool is_chosen(const Drover__V1__DrainVm *vm)
{
	return vm->could && *vm->target && !*vm->reason;
}

/* In a few words: all that is known of it is in explain plan/ID. */
static void set_why(struct table *t, size_t column, const struct output *o,
                    const Drover__V1__DrainVm *vm)
{
	const char *reason = plan_reason(vm);
	char left[OUTPUT_TEXT_BYTES];

	output_bytes(o, vm->left_bytes, left);
	if (is_chosen(vm) && vm->could == 1)
		table_set(t, column, "only one, %s left", left);
	else if (is_chosen(vm))
		table_set(t, column, "best of %u, %s left", vm->could, left);
	else
		table_set(t, column, "%s", strlen(reason) > WHY_MOST ? "see below" : reason);
}

/* One line each, of those that the table has no room for. */
static void reasons_note(const struct output *o, const Drover__V1__Drain *drain)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		const Drover__V1__DrainVm *vm = drain->vms[i];
		_cleanup_free_ char *name = NULL, *reason = NULL;

		if (is_chosen(vm) || strlen(plan_reason(vm)) <= WHY_MOST)
			continue;
		name = text_escape(vm->name, o->ascii);
		reason = text_escape(plan_reason(vm), o->ascii);
		fprintf(o->file, "%s: %s\n", name, reason);
	}
}

enum { TURN, NAME, FROM, MEM, TO, STARTS, ENDS, RANGE, PAUSE, CHECKS, STATE, WHY, COLUMNS };

static void set_times(struct table *t, const struct output *o, const Drover__V1__DrainVm *vm)
{
	const char *about = o->exact ? "" : output_get_glyphs(o)->about;
	const Drover__V1__Prediction *p = vm->prediction;
	char text[OUTPUT_TEXT_BYTES], low[OUTPUT_TEXT_BYTES], high[OUTPUT_TEXT_BYTES];

	if (vm->start_ms)
		table_set(t, STARTS, "%s%s", about, output_duration(o, vm->start_ms, text));
	else if (vm->order)
		table_set(t, STARTS, "%s", o->exact ? "0" : "at once");
	if (vm->end_ms)
		table_set(t, ENDS, "%s%s", about, output_duration(o, vm->end_ms, text));
	if (!p)
		return;
	table_set(t, RANGE, "%s-%s", output_clock(o, p->low_ms, low),
	          p->high_known ? output_clock(o, p->high_ms, high) : "?");
	if (p->downtime_ms)
		table_set(t, PAUSE, "%s%s", about, output_duration(o, p->downtime_ms, text));
}

static bool all_pass(const Drover__V1__DrainVm *vm)
{
	for (size_t i = 0; i < vm->n_checks; i++) {
		if (vm->checks[i]->verdict != DROVER__V1__CHECK__VERDICT__PASS)
			return false;
	}
	return true;
}

static void add_guest(struct table *t, const struct output *o, const Drover__V1__Drain *drain,
                      const Drover__V1__DrainVm *vm, bool say_would)
{
	bool blocked = strcmp(vm->state, "blocked") == 0, left = strcmp(vm->state, "left") == 0;
	bool off = *vm->power && !vm->starts;
	char text[OUTPUT_TEXT_BYTES], checks[CHECKS_SUMMARY_BYTES];

	table_add_row(t);
	if (vm->order)
		table_set(t, TURN, "%u", vm->order);
	table_set(t, NAME, "%s", vm->name);
	/* Of one node it is in the command. */
	if (strcmp(vm->node, drain->node) != 0)
		table_set(t, FROM, "%s", vm->node);
	table_set(t, MEM, "%s", output_bytes(o, vm->memory_bytes, text));
	table_set(t, TO, "%s", vm->target);
	if (!blocked && !left)
		set_times(t, o, vm);
	if (!all_pass(vm))
		table_set(t, CHECKS, "%s", checks_summary(vm->checks, vm->n_checks, checks));
	if (say_would)
		table_set(t, STATE, "%s", would(vm));
	table_set_colour(t, STATE,
	                 blocked       ? COLOUR_RED
	                 : left || off ? COLOUR_YELLOW
	                               : COLOUR_NONE);
	set_why(t, WHY, o, vm);
}

void drain_plan_print(const struct output *o, const Drover__V1__Drain *drain)
{
	static const struct column columns[COLUMNS] = {
		[TURN] = { "#", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[NAME] = { "VM" },
		[FROM] = { "FROM", COLUMN_OPTIONAL },
		[MEM] = { "MEM", COLUMN_RIGHT },
		[TO] = { "TO" },
		[STARTS] = { "STARTS IN", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[ENDS] = { "ENDS IN", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[RANGE] = { "9 OF 10", COLUMN_OPTIONAL },
		[PAUSE] = { "PAUSE", COLUMN_RIGHT | COLUMN_OPTIONAL },
		[CHECKS] = { "CHECKS", COLUMN_OPTIONAL },
		[STATE] = { "WOULD", COLUMN_OPTIONAL },
		[WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
	};
	_cleanup_(table_freep) struct table *t = table_new(o, columns, COLUMNS);
	bool say_would = false;

	/* Where all move there is nothing to say. */
	for (size_t i = 0; i < drain->n_vms; i++)
		say_would |= strcmp(would(drain->vms[i]), "move") != 0;
	for (size_t i = 0; i < drain->n_vms; i++)
		add_guest(t, o, drain, drain->vms[i], say_would);
	table_print(t);
	reasons_note(o, drain);
	shutdowns_note(o, drain);
	helps_note(o, drain);
	against_note(o, drain);
	guards_note(o, drain);
	predictions_note(o, drain);
}

void deadline_print(const struct output *o, const Drover__V1__Drain *drain, uint64_t now_wall_ms)
{
	_cleanup_free_ char *text = text_escape(drain->deadline, o->ascii);
	char by[BY_TEXT_BYTES], start[BY_TEXT_BYTES];

	if (!drain->by_wall_ms || !*drain->deadline)
		return;
	fprintf(o->file, "  by %s      %s", by_format(drain->by_wall_ms, now_wall_ms, by), text);
	if (!drain->late_ms && drain->latest_start_wall_ms > now_wall_ms)
		fprintf(o->file, "; latest start %s %s", output_get_glyphs(o)->about,
		        by_format(drain->latest_start_wall_ms, now_wall_ms, start));
	fputc('\n', o->file);
	for (size_t i = 0; i < drain->n_deadline_helps; i++) {
		_cleanup_free_ char *shown = text_escape(drain->deadline_helps[i], o->ascii);

		fprintf(o->file, "  would help    %s\n", shown);
	}
}

size_t drain_plan_count_endless(const Drover__V1__Drain *drain)
{
	size_t count = 0;

	for (size_t i = 0; i < drain->n_vms; i++)
		count += strcmp(drain->vms[i]->state, "waiting") == 0 && !*drain->vms[i]->power &&
		         prediction_gives_up(drain->vms[i]->prediction);
	return count;
}

size_t drain_plan_count_blocked(const Drover__V1__Drain *drain)
{
	size_t count = 0;

	for (size_t i = 0; i < drain->n_vms; i++)
		count += strcmp(drain->vms[i]->state, "blocked") == 0;
	return count;
}

/* --- refusals --- */

/* The guest that blocker @check is about: "vm/build7" -> "build7". */
static const char *blocker_name(const Drover__V1__Check *check)
{
	return strncmp(check->id, "vm/", 3) == 0 ? check->id + 3 : check->id;
}

/* "HostDeviceNotLiveMigratable: PCI 0000:3b:00.0", escaped. Owned. */
static char *blocker_reason(const struct output *o, const Drover__V1__Check *check)
{
	bool said = strncmp(check->measured, check->reason, strlen(check->reason)) == 0;
	_cleanup_free_ char *text = xasprintf("%s%s%s", said ? "" : check->reason,
	                                      !said && *check->measured ? ": " : "",
	                                      check->measured);

	return text_escape(text, o->ascii);
}

/* " --leave build7 --leave build8", of those that may be shut down only; escaped. Owned. */
static char *flags_of(const struct output *o, const Drover__V1__DrainReply *reply, const char *flag,
                      bool only_shut_down)
{
	char *flags = xstrdup("");

	for (size_t i = 0; i < reply->n_blockers; i++) {
		_cleanup_free_ char *word = text_shell_word(blocker_name(reply->blockers[i]));
		_cleanup_free_ char *shown = text_escape(word, o->ascii);
		_cleanup_free_ char *shorter = NULL;

		if (only_shut_down && !strstr(reply->blockers[i]->remedy, "--shutdown "))
			continue;
		shorter = flags;
		flags = xasprintf("%s %s %s", shorter, flag, shown);
	}
	return flags;
}

/* "  leave it running     drover drain host1 --leave build7". @would: the same as a dry run, which shows the
 * plan of the others. */
static void print_leave(const struct output *o, const char *command,
                        const Drover__V1__DrainReply *reply, bool would)
{
	_cleanup_free_ char *shown = text_escape(command, o->ascii);
	_cleanup_free_ char *leave = flags_of(o, reply, "--leave", false);
	_cleanup_free_ char *shut_down = flags_of(o, reply, "--shutdown", true);
	const char *dry = would ? " --dry-run" : "";
	size_t n = 0;

	for (size_t i = 0; i < reply->n_blockers; i++)
		n += strstr(reply->blockers[i]->remedy, "--shutdown ") != NULL;
	fprintf(o->file, "  %-18s   %s%s%s\n",
	        reply->n_blockers == 1 ? "leave it running" : "leave them running", shown, leave,
	        dry);
	fprintf(o->file, "  or all such guests   %s --unmovable leave%s\n", shown, dry);
	if (n)
		fprintf(o->file, "  %-18s   %s%s%s\n", n == 1 ? "shut it down" : "shut them down",
		        shown, shut_down, dry);
}

/* The coordinator's own words, line by line: nobody but it knows of which nodes they are. */
static void print_words(const struct output *o, const char *node, const char *refusal, bool would)
{
	_cleanup_free_ char *shown = text_escape(node, o->ascii), *text = xstrdup(refusal);
	char *rest = text;

	fprintf(o->file, "drover: %s", would ? "would refuse: " : "");
	if (!strstr(refusal, "cannot be emptied"))
		fprintf(o->file, "%s cannot be emptied: %s", shown,
		        *refusal ? "" : "the coordinator does not say why\n");
	while (rest && *rest) {
		char *line = strsep(&rest, "\n");
		_cleanup_free_ char *line_shown = text_escape(line, o->ascii);

		fprintf(o->file, "%s\n", line_shown);
	}
}

void drain_refusal_print(const struct output *o, const char *node, const char *command,
                         const Drover__V1__DrainReply *reply, bool would)
{
	_cleanup_free_ char *shown_node = text_escape(node, o->ascii);
	const Drover__V1__Check *first = reply->n_blockers ? reply->blockers[0] : NULL;
	_cleanup_free_ char *first_word = NULL, *first_shown = NULL;

	if (!first) {
		print_words(o, node, reply->refusal, would);
		return;
	}
	fprintf(o->file, "drover: %s%s cannot be emptied: ", would ? "would refuse: " : "",
	        shown_node);
	first_word = text_shell_word(blocker_name(first));
	first_shown = text_escape(first_word, o->ascii);
	if (reply->n_blockers == 1) {
		_cleanup_free_ char *name = text_escape(blocker_name(first), o->ascii);
		_cleanup_free_ char *why = blocker_reason(o, first);

		fprintf(o->file, "%s cannot move%s%s%s\n", name, *why ? " (" : "", why,
		        *why ? ")" : "");
	} else {
		fprintf(o->file, "%zu guests cannot move\n", reply->n_blockers);
		for (size_t i = 0; i < reply->n_blockers; i++) {
			_cleanup_free_ char *name = text_escape(blocker_name(reply->blockers[i]),
			                                        o->ascii);
			_cleanup_free_ char *why = blocker_reason(o, reply->blockers[i]);

			fprintf(o->file, "  %-18s   %s\n", name, why);
		}
	}
	for (size_t i = 0; i < reply->n_blockers; i++) {
		_cleanup_free_ char *remedy = text_escape(reply->blockers[i]->remedy, o->ascii);

		/* That flag is in the command below. */
		if (*remedy && strncmp(remedy, "--leave ", 8) != 0)
			fprintf(o->file, "  what would help      %s\n", remedy);
	}
	print_leave(o, command, reply, would);
	fprintf(o->file, "  details              drover explain vm/%s\n", first_shown);
}

/* Why not the others, a line each. */
static void print_others(const struct output *o, const Drover__V1__MigrateReply *reply)
{
	for (size_t i = 0; i < reply->n_others; i++) {
		_cleanup_free_ char *why = text_escape(reply->others[i]->reason, o->ascii);

		fprintf(o->file, "  %-10s %s\n", i ? "" : "not there", why);
	}
	if (reply->others_unsaid)
		fprintf(o->file, "  %-10s and %u more\n", "", reply->others_unsaid);
}

void migrate_refusal_print(const struct output *o, const char *vm,
                           const Drover__V1__MigrateReply *reply, bool would)
{
	_cleanup_free_ char *shown = text_escape(vm, o->ascii);
	_cleanup_free_ char *why = text_escape(reply->refusal, o->ascii);
	_cleanup_free_ char *word = text_shell_word(vm), *shown_word = text_escape(word, o->ascii);

	fprintf(o->file, "drover: %s%s cannot be moved%s%s\n", would ? "would refuse: " : "", shown,
	        *why ? ": " : "", why);
	for (size_t i = 0; i < reply->n_checks; i++) {
		const Drover__V1__Check *check = reply->checks[i];
		_cleanup_free_ char *id = text_escape(check->id, o->ascii);
		_cleanup_free_ char *reason = blocker_reason(o, check);
		_cleanup_free_ char *required = text_escape(check->required, o->ascii);
		_cleanup_free_ char *remedy = text_escape(check->remedy, o->ascii);

		if (check->verdict != DROVER__V1__CHECK__VERDICT__FAIL &&
		    check->verdict != DROVER__V1__CHECK__VERDICT__BLOCK)
			continue;
		fprintf(o->file, "  %-10s %s%s%s\n", id, reason, *required ? "; required: " : "",
		        required);
		if (*remedy)
			fprintf(o->file, "  %-10s %s %s\n", "", output_get_glyphs(o)->arrow,
			        remedy);
	}
	print_others(o, reply);
	fprintf(o->file, "  details    drover explain vm/%s\n", shown_word);
}

/* "web1 -> host2: yes", and each check that says so. */
void migrate_plan_print(const struct output *o, const char *vm,
                        const Drover__V1__MigrateReply *reply)
{
	const char *target = reply->migration ? reply->migration->target : "?";
	_cleanup_free_ char *shown = text_escape(vm, o->ascii);
	_cleanup_free_ char *shown_target = text_escape(target, o->ascii);
	char text[OUTPUT_TEXT_BYTES];

	fprintf(o->file, "%s %s %s: yes", shown, output_get_glyphs(o)->arrow, shown_target);
	if (reply->eta_ms)
		fprintf(o->file, "   takes %s %s", output_get_glyphs(o)->about,
		        output_duration(o, reply->eta_ms, text));
	fprintf(o->file, "   guard against running twice: %s\n", guard_name(reply->guard));
	if (*reply->choice) {
		_cleanup_free_ char *why = text_escape(reply->choice, o->ascii);

		fprintf(o->file, "  %-10s %s\n", "why there", why);
	}
	print_others(o, reply);
	if (reply->prediction)
		prediction_print_plan(o, reply->prediction);
	if (reply->n_checks)
		checks_print(o, reply->checks, reply->n_checks);
}
