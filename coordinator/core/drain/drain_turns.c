/* SPDX-License-Identifier: Apache-2.0 */
/* See drain_turns.h. */
#include "coordinator/core/drain/drain_turns.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of times that were computed in different ways. */
#define SAME_S      1e-6
#define NAMED_MOST  3
#define NAMES_BYTES 160

static const char *const critical_names[] = {
	[PLAN_CRITICAL_NONE] = "",       [PLAN_CRITICAL_OUT] = "out",   [PLAN_CRITICAL_IN] = "in",
	[PLAN_CRITICAL_GUEST] = "guest", [PLAN_CRITICAL_ROOM] = "room",
};
static_assert(ARRAY_SIZE(critical_names) == PLAN_CRITICALS, "what is critical without a name");

const char *plan_critical_name(enum plan_critical critical)
{
	assert((unsigned)critical < PLAN_CRITICALS);
	return critical_names[critical];
}

/* What is left to go from a host, from a turn on. */
struct left {
	uint32_t count;
	double longest_s, shortest_s;
};

struct turns {
	const struct drain_problem *p;
	const struct planner_plan *plan;
	uint32_t *busy; /* owned; moves that have begun and were not over at the turn before */
	uint32_t n_busy;
	struct left *left; /* owned; of each move's host, with itself */
};

static const char *name_of_host(const struct turns *t, uint32_t host)
{
	return t->p->plan->nodes[host].node->kept.name;
}

static const char *name_of_guest(const struct turns *t, uint32_t move)
{
	uint32_t v = t->plan->schedule.moves[move].vm;

	if (t->p->guests[v])
		return t->p->guests[v]->name;
	return t->p->who[v] ? t->p->who[v]->name : "one that moves already";
}

static double seconds_of(const struct turns *t, uint32_t move)
{
	const struct schedule_move *m = &t->plan->schedule.moves[move];

	return instance_seconds(&t->p->in, &t->p->in.vms[m->vm], m->from, m->to);
}

static bool is_same(double a_s, double b_s)
{
	return fabs(a_s - b_s) <= SAME_S * (1 + fabs(a_s));
}

static void add(char *text, size_t bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void add(char *text, size_t bytes, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, bytes - used, format, args);
	va_end(args);
}

/* From the last turn to the first. */
static void count_left(struct turns *t)
{
	const struct schedule *s = &t->plan->schedule;
	struct left *hosts = xcalloc((size_t)t->p->in.n_hosts + 1, sizeof(*hosts));

	for (uint32_t m = s->n_moves; m-- > 0;) {
		struct left *host = &hosts[s->moves[m].from];
		double seconds = seconds_of(t, m);

		if (s->moves[m].running)
			continue;
		if (!host->count || seconds > host->longest_s)
			host->longest_s = seconds;
		if (!host->count || seconds < host->shortest_s)
			host->shortest_s = seconds;
		host->count++;
		t->left[m] = *host;
	}
	free(hosts);
}

/* --- what it waits for --- */

/* Those whose room it takes. */
static void say_after(const struct turns *t, const struct schedule_move *move, char *text)
{
	const struct schedule *s = &t->plan->schedule;
	char names[NAMES_BYTES] = "";

	for (uint32_t i = 0; i < move->n_after && i < NAMED_MOST; i++)
		add(names, sizeof(names), "%s%.40s", i ? ", " : "",
		    name_of_guest(t, s->after[move->first_after + i]));
	if (move->n_after > NAMED_MOST)
		add(names, sizeof(names), " and %u more", move->n_after - NAMED_MOST);
	add(text, TURN_WHY_BYTES, "when %s %s left %.60s, which has room then", names,
	    move->n_after == 1 ? "has" : "have", name_of_host(t, move->to));
}

/* Which limit was reached until then, and whose end makes way. */
static void say_limit(const struct turns *t, const struct schedule_move *move, uint32_t ended,
                      char *text)
{
	const struct instance *in = &t->p->in;
	const struct schedule *s = &t->plan->schedule;
	uint32_t out = 0, inbound = 0;

	for (uint32_t i = 0; i < t->n_busy; i++) {
		out += s->moves[t->busy[i]].from == move->from;
		inbound += s->moves[t->busy[i]].to == move->to;
	}
	add(text, TURN_WHY_BYTES, "when %.60s is out", name_of_guest(t, ended));
	if (out >= in->hosts[move->from].slots_out)
		add(text, TURN_WHY_BYTES, ": %u at a time leave %.60s", out,
		    name_of_host(t, move->from));
	else if (inbound >= in->hosts[move->to].slots_in)
		add(text, TURN_WHY_BYTES, ": %u at a time go to %.60s", inbound,
		    name_of_host(t, move->to));
	else if (t->n_busy >= in->slots)
		add(text, TURN_WHY_BYTES, ": %u at a time in the cluster", t->n_busy);
	else if (out)
		add(text, TURN_WHY_BYTES, ": %u at a time fill the link out of %.60s", out,
		    name_of_host(t, move->from));
}

/* Those that are over by @now_s make way; the last of them that ends just then, or NONE: one from or to
 * the same hosts rather than any. */
static uint32_t find_ended(const struct turns *t, const struct schedule_move *move)
{
	const struct schedule *s = &t->plan->schedule;
	uint32_t found = INSTANCE_NONE;

	for (uint32_t i = 0; i < t->n_busy; i++) {
		const struct schedule_move *other = &s->moves[t->busy[i]];

		if (!is_same(other->end_s, move->start_s))
			continue;
		if (other->from == move->from)
			return t->busy[i];
		if (found == INSTANCE_NONE || other->to == move->to)
			found = t->busy[i];
	}
	return found;
}

static void forget_ended(struct turns *t, double now_s)
{
	const struct schedule *s = &t->plan->schedule;

	for (uint32_t i = 0; i < t->n_busy;) {
		double end_s = s->moves[t->busy[i]].end_s;

		if (end_s < now_s && !is_same(end_s, now_s))
			t->busy[i] = t->busy[--t->n_busy];
		else
			i++;
	}
}

static void say_wait(const struct turns *t, const struct schedule_move *move, char *text)
{
	uint32_t ended = find_ended(t, move);

	if (move->n_after)
		say_after(t, move, text);
	else if (move->start_s <= SAME_S)
		add(text, TURN_WHY_BYTES, "at once");
	else if (ended != INSTANCE_NONE)
		say_limit(t, move, ended, text);
	else
		add(text, TURN_WHY_BYTES, "when what goes before it has begun to send");
}

/* --- why it rather than another --- */

static void say_lane(const struct turns *t, uint32_t m, char *text)
{
	const struct schedule_move *move = &t->plan->schedule.moves[m];
	const struct left *left = &t->left[m];
	const char *host = name_of_host(t, move->from);
	double seconds = seconds_of(t, m);

	if (move->detour)
		add(text, TURN_WHY_BYTES, "; by way of %.60s, to make room where others wait",
		    name_of_host(t, move->to));
	else if (left->count == 1)
		add(text, TURN_WHY_BYTES, "; the last that leaves %.60s", host);
	else if (is_same(left->longest_s, left->shortest_s))
		add(text, TURN_WHY_BYTES, "; as long as each of the %u left on %.60s", left->count,
		    host);
	else if (is_same(seconds, left->longest_s))
		add(text, TURN_WHY_BYTES,
		    "; long lane: the longest of the %u left on %.60s, begun early so that it is "
		    "not alone at the end",
		    left->count, host);
	else if (is_same(seconds, left->shortest_s))
		add(text, TURN_WHY_BYTES, "; short lane: the shortest of the %u left on %.60s",
		    left->count, host);
	else
		add(text, TURN_WHY_BYTES, "; of the orders that were tried this one ends first");
}

static bool is_on_critical_link(const struct plan_bound *b, const char *from, const char *to)
{
	return (b->critical == PLAN_CRITICAL_OUT && strcmp(b->node, from) == 0) ||
	       (b->critical == PLAN_CRITICAL_IN && strcmp(b->node, to) == 0);
}

/* --- the bound --- */

static uint64_t to_ms(double seconds)
{
	return seconds > 0 && isfinite(seconds) ? (uint64_t)llround(seconds * 1000) : 0;
}

static void judge_bound(const struct turns *t, struct plan_bound *ret)
{
	const struct bounds *b = &t->plan->bounds;
	const struct schedule *s = &t->plan->schedule;
	double longest_s = -1;

	*ret = (struct plan_bound){ 0 };
	if (!s->n_moves)
		return;
	ret->planned_ms = to_ms(s->makespan_s);
	ret->least_ms = to_ms(b->physical_s);
	ret->capped_ms = to_ms(b->all_s);
	if (b->link_s >= b->physical_s && b->host != INSTANCE_NONE) {
		ret->critical = b->inbound ? PLAN_CRITICAL_IN : PLAN_CRITICAL_OUT;
		text_copy(ret->node, sizeof(ret->node), name_of_host(t, b->host));
		return;
	}
	ret->critical = b->room_s > b->alone_s ? PLAN_CRITICAL_ROOM : PLAN_CRITICAL_GUEST;
	for (uint32_t m = 0; ret->critical == PLAN_CRITICAL_GUEST && m < s->n_moves; m++) {
		double seconds = seconds_of(t, m) + t->p->in.vms[s->moves[m].vm].overhead_s;

		if (seconds <= longest_s)
			continue;
		longest_s = seconds;
		text_copy(ret->vm, sizeof(ret->vm), name_of_guest(t, m));
	}
}

void drain_turns_explain(const struct drain_problem *problem, const struct planner_plan *plan,
                         struct plan_bound *ret_bound)
{
	const struct schedule *s = &plan->schedule;
	struct turns t = { .p = problem, .plan = plan };

	t.busy = xcalloc((size_t)s->n_moves + 1, sizeof(*t.busy));
	t.left = xcalloc((size_t)s->n_moves + 1, sizeof(*t.left));
	count_left(&t);
	judge_bound(&t, ret_bound);
	for (uint32_t m = 0; m < s->n_moves; m++) {
		const struct schedule_move *move = &s->moves[m];
		struct drain_vm *dv = problem->guests[move->vm];

		forget_ended(&t, move->start_s);
		/* The second leg of a detour has no turn of its own. */
		if (dv && !move->running && !dv->turn_why[0]) {
			say_wait(&t, move, dv->turn_why);
			say_lane(&t, m, dv->turn_why);
			if (is_on_critical_link(ret_bound, name_of_host(&t, move->from),
			                        name_of_host(&t, move->to)))
				add(dv->turn_why, sizeof(dv->turn_why), "; over the critical link");
		}
		t.busy[t.n_busy++] = m;
	}
	free(t.busy);
	free(t.left);
}
