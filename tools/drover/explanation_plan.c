/* SPDX-License-Identifier: Apache-2.0 */
/* "drover explain plan/ID": whether the plan still holds, how good it is, and of each guest why there and
 * why then. */
#include "tools/drover/explanation.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

static void append_word(char **command, const char *flag, const char *word)
{
	_cleanup_free_ char *quoted = text_shell_word(word);
	char *longer = xasprintf("%s%s %s", *command, flag, quoted);

	free(*command);
	*command = longer;
}

/* "drover drain host1 --plan 5f1d9c02a77be340 --leave db1" */
static char *make_command(const Drover__V1__Plan *plan)
{
	const Drover__V1__Drain *d = plan->drain;
	char *command = xstrdup("drover drain");
	_cleanup_free_ char *nodes = xstrdup(d->node);
	char *rest = nodes;

	while (rest)
		append_word(&command, "", strsep(&rest, ","));
	append_word(&command, " --plan", plan->id);
	for (size_t i = 0; i < d->n_leave; i++)
		append_word(&command, " --leave", d->leave[i]);
	for (size_t i = 0; i < d->n_shut_down; i++)
		append_word(&command, " --shutdown", d->shut_down[i]);
	if (plan->leave_unmovable)
		append_word(&command, " --unmovable", "leave");
	return command;
}

static void print_holds(const struct output *o, const Drover__V1__Plan *plan)
{
	_cleanup_free_ char *command = make_command(plan);

	if (plan->holds) {
		explanation_fact(o, "holds",
		                 "yes: the same guests run there, and each has its place");
		explanation_fact(o, "do it", command);
	} else {
		explanation_fact(o, "holds", "NO: it would be refused, since then");
		for (size_t i = 0; i < plan->n_changes; i++)
			explanation_fact(o, "", plan->changes[i]);
	}
	explanation_fact(o, "outdated by",
	                 "a guest that comes to or leaves its nodes, or a destination that has no "
	                 "room any more;");
	explanation_fact(o, "", "forgotten when the coordinator starts again, or for newer plans");
}

static void print_takes(const struct output *o, const Drover__V1__Drain *d)
{
	char eta[OUTPUT_TEXT_BYTES], low[OUTPUT_TEXT_BYTES], high[OUTPUT_TEXT_BYTES];
	char bytes[OUTPUT_TEXT_BYTES];

	if (!d->eta_known)
		return;
	explanation_say(o, "  %-14s %s %s (9 of 10: %s to %s), %s of memory", "takes",
	                output_get_glyphs(o)->about, output_duration(o, d->eta_ms, eta),
	                output_duration(o, d->eta_low_ms, low),
	                d->eta_high_ms ? output_duration(o, d->eta_high_ms, high)
	                               : "no end in sight",
	                output_bytes(o, d->bytes_total, bytes));
}

static void print_bound(const struct output *o, const Drover__V1__PlanBound *b)
{
	char planned[OUTPUT_TEXT_BYTES], least[OUTPUT_TEXT_BYTES], capped[OUTPUT_TEXT_BYTES];

	if (!b || !b->least_ms)
		return;
	explanation_say(o,
	                "  %-14s %s as scheduled, and no order needs less than %s: %.0f %% of the "
	                "physical bound",
	                "how good", output_duration(o, b->planned_ms, planned),
	                output_duration(o, b->least_ms, least),
	                100.0 * (double)b->planned_ms / (double)b->least_ms);
	if (b->capped_ms > b->least_ms)
		explanation_say(
			o, "  %-14s %s at least, with as many at a time as are allowed: %.0f %%",
			"", output_duration(o, b->capped_ms, capped),
			100.0 * (double)b->planned_ms / (double)b->capped_ms);
	if (strcmp(b->critical, "out") == 0)
		explanation_say(o, "  %-14s the link out of %s decides: the critical one",
		                "bound by", b->node);
	else if (strcmp(b->critical, "in") == 0)
		explanation_say(o, "  %-14s the link into %s decides: the critical one", "bound by",
		                b->node);
	else if (strcmp(b->critical, "guest") == 0)
		explanation_say(o, "  %-14s %s alone takes as long", "bound by", b->vm);
	else
		explanation_say(o, "  %-14s a destination that is full until somebody has left it",
		                "bound by");
}

static void print_move(const struct output *o, const Drover__V1__Prediction *p)
{
	char text[PREDICTION_TEXT_BYTES], bytes[OUTPUT_TEXT_BYTES], pause[OUTPUT_TEXT_BYTES];

	if (!p)
		return;
	explanation_say(o, "  %-14s %s, %s to send, pause %s %s", "takes",
	                prediction_interval(o, p, text), output_bytes(o, p->bytes, bytes),
	                output_get_glyphs(o)->about, output_duration(o, p->downtime_ms, pause));
}

/* In the order in which they go. */
static void print_guests(const struct output *o, const Drover__V1__Drain *d)
{
	for (size_t i = 0; i < d->n_vms; i++) {
		const Drover__V1__DrainVm *vm = d->vms[i];

		fputc('\n', o->file);
		if (!*vm->target) {
			explanation_say(o, "%s  is shut down on %s", vm->name, vm->node);
			explanation_fact(o, "when", vm->why);
			continue;
		}
		explanation_say(o, "%u. %s  %s %s %s", vm->order, vm->name, vm->node,
		                output_get_glyphs(o)->arrow, vm->target);
		explanation_fact(o, "why there", vm->why);
		explanation_fact(o, "why then", vm->turn_why);
		print_move(o, vm->prediction);
	}
}

void explanation_print_plan(const struct output *o, const Drover__V1__Plan *plan,
                            uint64_t now_wall_ms)
{
	char made[OUTPUT_TEXT_BYTES];

	explanation_fact(o, "made", output_when(o, plan->made_wall_ms, now_wall_ms, made));
	print_holds(o, plan);
	if (!plan->drain)
		return;
	print_takes(o, plan->drain);
	print_bound(o, plan->drain->bound);
	fputc('\n', o->file);
	drain_plan_print(o, plan->drain);
	print_guests(o, plan->drain);
}
