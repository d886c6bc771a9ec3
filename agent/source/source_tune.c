/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator changes about a move while it runs: bandwidth, downtime, post-copy now, pause now.
 *
 *	request --> may it? --> order, with a line of its own --> journal --> libvirt --> answer
 *
 * As with the ladder's steps the journal comes first: an agent that dies in between sets the values once
 * more when it is back, and knows whose pause it was. Only one step, the ladder's or an operator's, is
 * under way at a time. The ladder leaves a downtime alone that an operator has set; a bandwidth it never
 * touches. What libvirt refused is taken back; what may or may not have been done is believed done.
 * Owner thread, but for libvirt's calls. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOWNTIME_MAX_MS ((uint64_t)2000 * 1000) /* QEMU's own limit */
#define VALUES_MAX      3
/* "uid 0:", and for each value its name and two texts. */
#define LINE_BYTES (80 + VALUES_MAX * (32 + 2 * UNITS_TEXT_BYTES))

/* What of the order an operator sets. */
struct limits {
	uint64_t bandwidth_bytes_per_s, max_downtime_ms;
	bool bandwidth_tuned, max_downtime_tuned;
};

struct value {
	const char *name;
	char before[UNITS_TEXT_BYTES], after[UNITS_TEXT_BYTES];
};

struct tune_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char uuid[VM_UUID_BYTES];
	struct limits before, after;
	bool set_bandwidth, set_downtime;
	enum ladder_step step; /* LADDER_PAUSE, LADDER_SWITCH, or LADDER_GO_ON: none */
	struct value values[VALUES_MAX];
	size_t n_values;
	char note[256];
	bool bandwidth_done;
	int rc;
	struct error error;
};

static struct limits get_limits(const struct source_attempt *a)
{
	return (struct limits){ .bandwidth_bytes_per_s = a->order.bandwidth_bytes_per_s,
		                .max_downtime_ms = a->order.max_downtime_ms,
		                .bandwidth_tuned = a->order.bandwidth_tuned,
		                .max_downtime_tuned = a->order.max_downtime_tuned };
}

static void put_limits(struct source_attempt *a, const struct limits *l)
{
	a->order.bandwidth_bytes_per_s = l->bandwidth_bytes_per_s;
	a->order.max_downtime_ms = l->max_downtime_ms;
	a->order.bandwidth_tuned = l->bandwidth_tuned;
	a->order.max_downtime_tuned = l->max_downtime_tuned;
}

/* --- may it? --- */

static int judge_phase(const struct source_attempt *a, struct error *err)
{
	const char *vm = a->order.vm_name, *target = a->order.target_node;

	if (a->order.post_copy)
		return error_set(err, ERROR_REFUSED,
		                 "%s has switched to post-copy: it runs on %s, and what is left "
		                 "follows without a limit",
		                 vm, target);
	if (a->stage > SOURCE_MOVING || a->switching || a->call_returned)
		return error_set(
			err, ERROR_REFUSED,
			"the move of %s to %s is past its switchover: nothing about it can "
			"be changed any more",
			vm, target);
	if (a->abort_wanted)
		return error_set(err, ERROR_REFUSED,
		                 "the move of %s to %s is being given up: %.300s", vm, target,
		                 a->reason.text);
	if (a->stage < SOURCE_MOVING || !a->job_seen)
		return error_set(
			err, ERROR_REFUSED,
			"the move of %s to %s does not copy yet (it is %s); ask again in a "
			"moment",
			vm, target, source_stage_name(a->stage));
	if (a->ladder_acting)
		return error_set(err, ERROR_BUSY,
		                 "a step of the move of %s is being taken just now; ask again in a "
		                 "moment",
		                 vm);
	return 0;
}

/* Before its memory is under way a pause would last for all of the disks. */
static int judge_step(const struct source_attempt *a, const Drover__V1__Tuning *t,
                      struct error *err)
{
	const char *vm = a->order.vm_name;

	if (t->post_copy && t->pause)
		return error_set(
			err, ERROR_INVALID,
			"post-copy and a pause exclude each other: with post-copy the guest "
			"runs on at once");
	if (t->post_copy && a->guard == GUARD_TWO_STEP)
		return error_set(
			err, ERROR_REFUSED,
			"%s is kept from running twice by a two-step commit, which excludes "
			"post-copy: it needs a lock manager, or image locks",
			vm);
	if (t->post_copy && !source_ladder_permits_post_copy(a))
		return error_set(
			err, ERROR_REFUSED,
			"the move of %s was not begun with permission for post-copy, and QEMU "
			"has to know from the start: cancel it, and begin again with "
			"--allow-post-copy",
			vm);
	if ((t->post_copy || t->pause) && a->job.iteration == 0)
		return error_set(err, ERROR_REFUSED,
		                 "none of the memory of %s is under way yet%s; ask again then", vm,
		                 a->n_copied ? ": its disks are being copied" : "");
	return 0;
}

static int judge(const struct source_attempt *a, const Drover__V1__Tuning *t, struct error *err)
{
	if (!t->bandwidth_given && !t->max_downtime_given && !t->post_copy && !t->pause)
		return error_set(err, ERROR_INVALID, "nothing is to be changed");
	if (t->max_downtime_given &&
	    (t->max_downtime_ms < 1 || t->max_downtime_ms > DOWNTIME_MAX_MS))
		return error_set(err, ERROR_INVALID,
		                 "a downtime of %llu ms: it can be 1 ms to 2000 s",
		                 (unsigned long long)t->max_downtime_ms);
	if (judge_phase(a, err) < 0)
		return -(int)err->code;
	return judge_step(a, t, err);
}

/* --- what becomes different --- */

static void note_bandwidth(struct tune_errand *w, const struct source_attempt *a,
                           uint64_t asked_bytes_per_s)
{
	char asked[UNITS_TEXT_BYTES];

	if (w->after.bandwidth_bytes_per_s != asked_bytes_per_s)
		snprintf(w->note, sizeof(w->note), "libvirt takes whole MiB/s: %s was made of %s",
		         w->values[0].after, units_format_speed(asked_bytes_per_s, asked));
	else if (w->after.bandwidth_bytes_per_s == 0 ||
	         (w->before.bandwidth_bytes_per_s &&
	          w->after.bandwidth_bytes_per_s > w->before.bandwidth_bytes_per_s))
		snprintf(w->note, sizeof(w->note),
		         "%.100s has promised a share of its link for the limit before, and is not "
		         "asked again",
		         a->order.target_node);
}

static struct value *add_value(struct tune_errand *w, const char *name)
{
	struct value *v = &w->values[w->n_values++];

	v->name = name;
	return v;
}

static void read_limits(struct tune_errand *w, const struct source_attempt *a,
                        const Drover__V1__Tuning *t)
{
	struct value *v;

	w->before = w->after = get_limits(a);
	if (t->bandwidth_given) {
		w->after.bandwidth_tuned = true;
		w->after.bandwidth_bytes_per_s = hypervisor_round_speed(t->bandwidth_bytes_per_s);
		w->set_bandwidth = w->after.bandwidth_bytes_per_s !=
		                   w->before.bandwidth_bytes_per_s;
	}
	if (w->set_bandwidth) {
		v = add_value(w, "bandwidthPerMigration");
		units_format_speed(w->before.bandwidth_bytes_per_s, v->before);
		units_format_speed(w->after.bandwidth_bytes_per_s, v->after);
		note_bandwidth(w, a, t->bandwidth_bytes_per_s);
	}
	if (t->max_downtime_given) {
		w->after.max_downtime_tuned = true;
		w->after.max_downtime_ms = t->max_downtime_ms;
		w->set_downtime = t->max_downtime_ms != ladder_get_downtime_ms(&a->ladder);
	}
	if (w->set_downtime) {
		v = add_value(w, "maxDowntime");
		units_format_duration(ladder_get_downtime_ms(&a->ladder), v->before);
		units_format_duration(w->after.max_downtime_ms, v->after);
	}
}

static void read_step(struct tune_errand *w, const struct source_attempt *a,
                      const Drover__V1__Tuning *t)
{
	struct value *v;

	if (t->post_copy)
		w->step = LADDER_SWITCH;
	else if (t->pause && !a->order.paused_by_us && !a->guest_paused)
		w->step = LADDER_PAUSE;
	else
		return;
	v = add_value(w, "mode");
	snprintf(v->before, sizeof(v->before), "pre-copy");
	snprintf(v->after, sizeof(v->after), "%s",
	         w->step == LADDER_SWITCH ? "post-copy" : "paused until it is moved");
}

/* "root: bandwidthPerMigration 8 MiB/s = 67.1 Mbit/s -> no limit" */
static int put_line(struct source_attempt *a, const struct tune_errand *w, const char *by,
                    struct error *err)
{
	char line[LINE_BYTES];
	int n = snprintf(line, sizeof(line), "%.64s:", by);

	for (size_t i = 0; i < w->n_values; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%s %s %s -> %s", i ? "," : "",
		              w->values[i].name, w->values[i].before, w->values[i].after);
	if (strlen(a->order.decisions) + strlen(line) + UNITS_TEXT_BYTES >
	    JOURNAL_DECISIONS_BYTES - JOURNAL_LADDER_BYTES)
		return error_set(err, ERROR_NO_SPACE,
		                 "the move of %s was changed so often that no more of it can be "
		                 "written down; it goes on as it is, or cancel it",
		                 a->order.vm_name);
	source_ladder_remember(a, line);
	return 0;
}

/* --- the answer --- */

static void answer(struct tune_errand *w)
{
	Drover__V1__TuneMigrationReply reply = DROVER__V1__TUNE_MIGRATION_REPLY__INIT;
	Drover__V1__TunedValue values[VALUES_MAX], *pointers[VALUES_MAX];
	char *note = w->note;

	if (!w->in)
		return;
	if (w->rc < 0) {
		mesh_fail_error(w->in, &w->error);
		return;
	}
	for (size_t i = 0; i < w->n_values; i++) {
		drover__v1__tuned_value__init(&values[i]);
		values[i].name = (char *)w->values[i].name; /* only read */
		values[i].before = w->values[i].before;
		values[i].after = w->values[i].after;
		pointers[i] = &values[i];
	}
	reply.values = pointers;
	reply.n_values = w->n_values;
	reply.notes = &note;
	reply.n_notes = note[0] ? 1 : 0;
	reply.report = source_report_new(w->base.attempt);
	mesh_reply(w->in, &reply.base);
	wire_free(reply.report);
}

static void nobody_waits(void *context)
{
	((struct tune_errand *)context)->in = NULL;
}

/* --- doing it --- */

static void tune_work(struct errand *e)
{
	struct tune_errand *w = (struct tune_errand *)e;
	const struct hypervisor_ops *ops = w->hypervisor->ops;

	w->rc = FAILPOINT_ERROR(source_before_tune, &w->error);
	if (w->rc < 0)
		return;
	if (w->set_bandwidth)
		w->rc = ops->set_max_speed(w->hypervisor, w->uuid, w->after.bandwidth_bytes_per_s,
		                           &w->error);
	w->bandwidth_done = w->set_bandwidth && w->rc == 0;
	if (w->rc == 0 && w->set_downtime)
		w->rc = ops->set_max_downtime(w->hypervisor, w->uuid, w->after.max_downtime_ms,
		                              &w->error);
	FAILPOINT(source_after_tune);
}

/* What libvirt has not taken. Of what it may have taken, or not, the next look makes sure. */
static void take_back(struct source_attempt *a, const struct tune_errand *w)
{
	struct limits rest = w->before;
	char why[ERROR_TEXT_BYTES];

	if (w->rc == -ERROR_UNKNOWN_OUTCOME) {
		a->tuning_owed = true;
		snprintf(why, sizeof(why), "whether that happened is not known: %.400s",
		         w->error.text);
	} else {
		if (w->bandwidth_done) {
			rest.bandwidth_bytes_per_s = w->after.bandwidth_bytes_per_s;
			rest.bandwidth_tuned = true;
		}
		put_limits(a, &rest);
		snprintf(why, sizeof(why), "%s did not happen: %.400s",
		         w->bandwidth_done ? "maxDowntime" : "that", w->error.text);
	}
	source_ladder_remember(a, why);
	source_journal_order(a);
}

static void take_effect(struct source_attempt *a, const struct tune_errand *w)
{
	uint64_t now_ms = clock_now_ms();

	if (w->after.max_downtime_tuned) {
		ladder_fix_downtime(&a->ladder, w->after.max_downtime_ms, now_ms);
		a->convergence.limits.max_downtime_ms = w->after.max_downtime_ms;
	}
	ladder_begin_anew(&a->ladder, now_ms);
	convergence_begin_anew(&a->convergence, now_ms);
}

/* The step was taken, or not. */
static void stepped(int rc, const struct error *err, void *context)
{
	struct tune_errand *w = context;

	w->rc = rc;
	if (rc < 0)
		w->error = *err;
	answer(w);
	free(w);
}

static void tuned(struct errand *e)
{
	struct tune_errand *w = (struct tune_errand *)e;
	struct source_attempt *a = w->base.attempt;
	bool moving = source_home(&w->base, SOURCE_MOVING);

	a->ladder_acting = a->tuning_acts = false;
	/* Without a value it is the second setting of an adopted one, which may be over. */
	if (w->rc < 0 && moving && w->n_values)
		take_back(a, w);
	else if (w->rc == 0 && moving)
		take_effect(a, w);
	if (w->rc == 0)
		a->tuning_owed = false;
	if (w->rc < 0 && w->n_values)
		log_warning("%s: %s", a->order.vm_name, w->error.text);
	if (w->rc == 0 && moving && w->step != LADDER_GO_ON) {
		source_ladder_take(a, w->step, stepped, w);
	} else {
		answer(w);
		free(w);
	}
	source_changed(a);
}

/* Between the question and its record the move may have ended, or been cancelled. */
static void tuning_in_journal(int rc, const struct error *err, void *context)
{
	struct tune_errand *w = context;
	struct source_attempt *a = w->base.attempt;

	a->errands--;
	a->ladder_acting = a->tuning_acts = false;
	if (rc == 0)
		rc = judge_phase(a, &w->error);
	else
		w->error = *err;
	if (rc == 0) {
		FAILPOINT(source_after_tune_journaled);
		a->ladder_acting = a->tuning_acts = true;
		source_send(a, &w->base, a->agent->couriers);
		return;
	}
	w->rc = rc;
	take_back(a, w);
	answer(w);
	free(w);
}

static struct tune_errand *errand_new(struct source_attempt *a)
{
	struct tune_errand *w = xnew(struct tune_errand);

	w->base.errand.work = tune_work;
	w->base.errand.done = tuned;
	w->base.attempt = a;
	w->hypervisor = a->agent->hypervisor;
	w->step = LADDER_GO_ON;
	memcpy(w->uuid, a->order.vm_uuid, sizeof(w->uuid));
	return w;
}

static void tune(struct source_attempt *a, struct mesh_incoming *in, const Drover__V1__Tuning *t,
                 const char *by)
{
	struct tune_errand *w = errand_new(a);
	struct journal_write record = { .kind = JOURNAL_WRITE_ATTEMPT };

	w->in = in;
	read_limits(w, a, t);
	read_step(w, a, t);
	if (w->n_values == 0) {
		/* As it is already; from now on it is the operator's, whoever set it. */
		put_limits(a, &w->after);
		if (t->max_downtime_given)
			ladder_fix_downtime(&a->ladder, t->max_downtime_ms, clock_now_ms());
		source_journal_order(a);
		answer(w);
		free(w);
		source_changed(a);
		return;
	}
	w->rc = put_line(a, w, by, &w->error);
	if (w->rc < 0) {
		answer(w);
		free(w);
		return;
	}
	put_limits(a, &w->after);
	a->ladder_acting = a->tuning_acts = true;
	a->errands++;
	mesh_incoming_on_cancel(in, nobody_waits, w);
	record.attempt = a->order;
	FAILPOINT(source_before_tune_journaled);
	journal_keeper_write(a->agent->journal, &record, tuning_in_journal, w);
}

static struct source_attempt *
find_asked(struct agent *agent, const Drover__V1__TuneMigrationRequest *r, struct error *err)
{
	struct source_attempt *a;
	struct attempt_name name;

	if (wire_attempt_read(r->attempt, &name, err) < 0 ||
	    agent_see_epoch(agent, name.epoch, err) < 0)
		return NULL;
	a = source_find(agent, &name);
	if (!a)
		error_set(err, ERROR_NOT_FOUND, "%s does not know this attempt",
		          agent->settings->node);
	return a;
}

void source_tune(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__TuneMigrationRequest *r)
{
	static const Drover__V1__Tuning nothing = DROVER__V1__TUNING__INIT;
	const Drover__V1__Tuning *t = r->tuning ? r->tuning : &nothing;
	struct error err;
	struct source_attempt *a = find_asked(agent, r, &err);

	if (!a || judge(a, t, &err) < 0)
		mesh_fail_error(in, &err);
	else
		tune(a, in, t, r->by[0] ? r->by : "an operator");
}

void source_tune_again(struct source_attempt *a)
{
	struct error ignored;
	struct tune_errand *w;

	if (!a->tuning_owed || a->ladder_acting || judge_phase(a, &ignored) < 0)
		return;
	w = errand_new(a);
	w->before = w->after = get_limits(a);
	w->set_bandwidth = a->order.bandwidth_tuned;
	w->set_downtime = a->order.max_downtime_tuned;
	a->ladder_acting = true;
	source_send(a, &w->base, a->agent->couriers);
}
