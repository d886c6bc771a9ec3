/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out what the ladder of an outgoing move decides (agent/kernel/ladder.h): each step is written
 * down with its reason, then taken.
 *
 *	reading --> ladder_step --> order.decisions, and what the step means --> journal --> libvirt
 *
 * The journal comes first because the next agent has to know: a guest that we paused is to be resumed
 * if it stays, and one that may have switched to post-copy has two halves that nobody may destroy. Both
 * are believed from the moment they are intended; that a guest runs here proves that it was not
 * switched. Owner thread, but for libvirt's calls. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After so many vain tries post-copy is not to be had. */
#define SWITCH_TRIES 3
/* A command that an agent gave as it died has been carried out by then, or never will be. */
#define ADOPTED_SETTLE_MS 5000

struct ladder_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	enum ladder_step step;
	uint64_t downtime_ms;
	/* Of a step that somebody asked for: told once it was taken, or not. */
	void (*told)(int rc, const struct error *err, void *context);
	void *context;
	int rc;
	struct error error;
};

/* The journal and the wire take only what can be read back. */
static struct strategy get_strategy(const struct source_attempt *a)
{
	struct strategy strategy;

	if (strategy_unpack(a->order.strategy, &strategy) < 0)
		abort();
	return strategy;
}

bool source_ladder_permits_post_copy(const struct source_attempt *a)
{
	struct strategy strategy = get_strategy(a);

	return strategy_permits_post_copy(&strategy);
}

void source_ladder_start(struct source_attempt *a)
{
	struct ladder_settings settings = {
		.strategy = get_strategy(a),
		.max_downtime_ms = a->order.max_downtime_ms,
		.two_step = a->guard == GUARD_TWO_STEP,
	};
	uint64_t now_ms = clock_now_ms();

	ladder_init(&a->ladder, &settings, now_ms);
	if (a->order.max_downtime_tuned)
		ladder_fix_downtime(&a->ladder, a->order.max_downtime_ms, now_ms);
	if (!a->adopted)
		return;
	ladder_adopt(&a->ladder, a->order.rung, a->order.paused_by_us, a->order.post_copy);
	a->ladder_settled_ms = now_ms + ADOPTED_SETTLE_MS;
}

/* --- acting --- */

static void ladder_work(struct errand *e)
{
	struct ladder_errand *w = (struct ladder_errand *)e;
	const struct hypervisor_ops *ops = w->hypervisor->ops;

	w->rc = FAILPOINT_ERROR(source_before_ladder_step, &w->error);
	if (w->rc < 0)
		return;
	switch (w->step) {
	case LADDER_RAISE_DOWNTIME:
		w->rc = ops->set_max_downtime(w->hypervisor, w->uuid, w->downtime_ms, &w->error);
		break;
	case LADDER_PAUSE:
		w->rc = ops->suspend(w->hypervisor, w->uuid, &w->error);
		break;
	case LADDER_SWITCH:
		w->rc = ops->start_postcopy(w->hypervisor, w->uuid, &w->error);
		break;
	default:
		abort();
	}
	FAILPOINT(source_after_ladder_step);
}

void source_ladder_remember(struct source_attempt *a, const char *why)
{
	char *text = a->order.decisions, elapsed[UNITS_TEXT_BYTES];
	size_t used = strlen(text);
	int n;

	log_info("%s -> %s: %s", a->order.vm_name, a->order.target_node, why);
	units_format_duration(a->progress.elapsed_ms, elapsed);
	n = snprintf(text + used, sizeof(a->order.decisions) - used, "%safter %s: %s",
	             used ? "\n" : "", elapsed, why);
	/* Half a line would say something else. */
	if (n < 0 || (size_t)n >= sizeof(a->order.decisions) - used)
		text[used] = '\0';
}

/* libvirt said no, or nobody asked it. */
static void not_switched(struct source_attempt *a)
{
	a->order.post_copy = false;
	a->ladder.switched = ++a->switch_tries >= SWITCH_TRIES;
	source_journal_order(a);
}

static void ladder_acted(struct errand *e)
{
	struct ladder_errand *w = (struct ladder_errand *)e;
	struct source_attempt *a = w->base.attempt;
	bool moving = source_home(&w->base, SOURCE_MOVING);

	a->ladder_acting = false;
	if (w->rc < 0) {
		char why[ERROR_TEXT_BYTES];

		log_warning("%s: %s: %s", a->order.vm_name, ladder_step_name(w->step),
		            w->error.text);
		snprintf(why, sizeof(why), "%s did not happen: %.400s", ladder_step_name(w->step),
		         w->error.text);
		source_ladder_remember(a, why);
	}
	/* Anything else may have been done although the answer was lost. */
	if (w->step == LADDER_SWITCH && w->rc == -ERROR_REFUSED)
		not_switched(a);
	if (w->step == LADDER_RAISE_DOWNTIME && w->rc == 0 && moving)
		convergence_begin_anew(&a->convergence, clock_now_ms());
	if (w->step == LADDER_PAUSE && w->rc == 0 && moving) {
		a->pause_done_ms = clock_now_ms();
		/* It stands still from here on; a two-step commit counts it until its end. */
		if (!a->switched_ms)
			a->switched_ms = a->pause_done_ms;
		convergence_extend(&a->convergence, a->pause_done_ms);
	}
	if (w->told)
		w->told(w->rc, &w->error, w->context);
	free(w);
	source_changed(a);
}

static void act(struct source_attempt *a, const struct ladder_errand *what)
{
	struct ladder_errand *w = xnew(struct ladder_errand);

	*w = *what;
	w->base.errand.work = ladder_work;
	w->base.errand.done = ladder_acted;
	source_send(a, &w->base, a->agent->couriers);
}

/* Between the decision and its record the move may have ended, or been cancelled. */
static void decision_in_journal(int rc, const struct error *err, void *context)
{
	struct ladder_errand *w = context;
	struct source_attempt *a = w->base.attempt;

	FAILPOINT(source_after_ladder_journaled);
	a->errands--;
	if (rc == 0 && a->stage == SOURCE_MOVING && !a->abort_wanted) {
		act(a, w);
		free(w);
		return;
	}
	if (rc < 0)
		log_warning("%s: %s: %s", a->order.vm_name, ladder_step_name(w->step), err->text);
	a->ladder_acting = false;
	if (w->step == LADDER_SWITCH)
		not_switched(a);
	if (w->step == LADDER_PAUSE) {
		a->order.paused_by_us = false;
		a->ladder.paused = false;
		source_journal_order(a);
	}
	if (w->told) {
		if (rc == 0)
			rc = error_set(&w->error, ERROR_REFUSED,
			               "the move of %s is past its switchover, or being given up",
			               a->order.vm_name);
		else
			w->error = *err;
		w->told(rc, &w->error, w->context);
	}
	free(w);
}

static struct ladder_errand *errand_new(struct source_attempt *a, enum ladder_step step)
{
	struct ladder_errand *w = xnew(struct ladder_errand);

	w->base.attempt = a;
	w->hypervisor = a->agent->hypervisor;
	w->step = step;
	memcpy(w->uuid, a->order.vm_uuid, sizeof(w->uuid));
	return w;
}

static void decide(struct source_attempt *a, struct ladder_errand *w)
{
	struct journal_write record = { .kind = JOURNAL_WRITE_ATTEMPT };

	a->order.rung = a->ladder.rung;
	a->order.paused_by_us |= w->step == LADDER_PAUSE;
	a->order.post_copy |= w->step == LADDER_SWITCH;
	a->ladder_acting = true;
	a->errands++;
	record.attempt = a->order;
	FAILPOINT(source_before_ladder_journaled);
	journal_keeper_write(a->agent->journal, &record, decision_in_journal, w);
}

bool source_ladder_judge(struct source_attempt *a, const struct vm_job *job, bool overdue,
                         struct error *ret_why)
{
	struct ladder_passes passes = convergence_get_passes(&a->convergence);
	struct ladder_decision d;

	if (a->ladder_acting || a->switching || a->abort_wanted)
		return true;
	ladder_step(&a->ladder, job, &passes, a->guest_paused, overdue, clock_now_ms(), &d);
	if (d.step == LADDER_GO_ON)
		return !overdue || ladder_has_measure(&a->ladder);
	source_ladder_remember(a, d.why);
	if (d.step == LADDER_ABORT) {
		error_set(ret_why, ERROR_TIMEOUT, "%s", d.why);
		source_journal_order(a);
		return false;
	}
	if (d.step == LADDER_NOTE) {
		source_journal_order(a);
	} else {
		struct ladder_errand *w = errand_new(a, d.step);

		w->downtime_ms = d.downtime_ms;
		decide(a, w);
	}
	return true;
}

void source_ladder_take(struct source_attempt *a, enum ladder_step step,
                        void (*told)(int rc, const struct error *err, void *context), void *context)
{
	struct ladder_errand *w = errand_new(a, step);

	ladder_take(&a->ladder, step, clock_now_ms());
	w->told = told;
	w->context = context;
	decide(a, w);
}

void source_ladder_see(struct source_attempt *a, const struct vm_summary *vm, uint64_t asked_ms)
{
	a->guest_paused = vm->state == VM_PAUSED;
	if (vm->state != VM_RUNNING || a->ladder_acting)
		return;
	/* Its vCPUs are here: the agent before had intended the switch, and did not come to it. */
	if (a->adopted && a->order.post_copy && asked_ms > a->ladder_settled_ms) {
		source_ladder_remember(
			a, "the switch to post-copy had not happened when the agent was restarted");
		not_switched(a);
	}
	/* A person has resumed it; from now on a pause is somebody else's. */
	if (a->order.paused_by_us && asked_ms > a->pause_done_ms &&
	    asked_ms > a->ladder_settled_ms) {
		a->order.paused_by_us = false;
		source_journal_order(a);
	}
}
