/* SPDX-License-Identifier: Apache-2.0 */
/* A migration that nobody has given a limit leaves others on the migration network what they had: pace.h
 * decides, here it is done. Nothing of it is journaled: the limit goes with the migration, and an agent
 * that adopts one decides anew, and sets what it decides whatever is set. An operator's limit, given
 * before or while it runs, is never touched. Owner thread, but for pace_work. */
#include "agent/source/source.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pace_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	uint64_t limit_bytes_per_s;
	bool begin_anew;
	int rc;
	struct error error;
};

static void pace_work(struct errand *e)
{
	struct pace_errand *w = (struct pace_errand *)e;

	w->rc = w->hypervisor->ops->set_max_speed(w->hypervisor, w->uuid, w->limit_bytes_per_s,
	                                          &w->error);
}

static void paced(struct errand *e)
{
	struct pace_errand *w = (struct pace_errand *)e;
	struct source_attempt *a = w->base.attempt;
	bool moving = source_home(&w->base, SOURCE_MOVING);
	uint64_t now_ms = clock_now_ms();

	a->ladder_acting = false;
	/* It is tried again when the next change is due. */
	if (w->rc < 0 && moving)
		log_warning("%s: its speed limit was not changed: %s", a->order.vm_name,
		            w->error.text);
	if (w->rc < 0)
		pace_fail(&a->pace, now_ms);
	else
		pace_take(&a->pace, w->limit_bytes_per_s, now_ms);
	if (w->rc == 0 && moving && w->begin_anew) {
		ladder_begin_anew(&a->ladder, now_ms);
		convergence_begin_anew(&a->convergence, now_ms);
	}
	free(w);
}

/* @begin_anew: what was seen under the limit says nothing of the move without. Never with each change:
 * they could keep a move from being given up. */
static void set(struct source_attempt *a, uint64_t limit_bytes_per_s, bool begin_anew)
{
	struct pace_errand *w = xnew(struct pace_errand);

	w->base.errand.work = pace_work;
	w->base.errand.done = paced;
	w->hypervisor = a->agent->hypervisor;
	memcpy(w->uuid, a->order.vm_uuid, sizeof(w->uuid));
	w->limit_bytes_per_s = limit_bytes_per_s;
	w->begin_anew = begin_anew;
	a->ladder_acting = true;
	source_send(a, &w->base, a->agent->couriers);
}

static const char *why_free(const struct pace *p, const struct pace_input *in)
{
	if (p->exempt)
		return "it has trouble to converge";
	if (in->stands_still)
		return "the guest stands still";
	if (in->copies_disks)
		return "its disks are copied";
	return in->counted ? NULL : "not all moves of this host are counted";
}

static void tell_lane(struct source_attempt *a, uint64_t limit)
{
	char text[VM_NAME_BYTES + 80] = "held no more", to[UNITS_TEXT_BYTES];

	if (limit)
		snprintf(text, sizeof(text), "held at %s so that %s is out first",
		         units_format_speed(limit, to), a->held_for);
	/* A stream of small ones would fill its story. */
	if (!a->held_ms && limit)
		source_ladder_remember(a, text);
	else
		log_info("%s -> %s: %s", a->order.vm_name, a->order.target_node, text);
}

static void tell(struct source_attempt *a, uint64_t limit, const struct pace_input *in)
{
	const char *why = why_free(&a->pace, in);
	char text[256], to[UNITS_TEXT_BYTES], others[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];

	units_format_rate(in->others_bytes_per_s, others);
	units_format_rate(in->path->capacity_bytes_per_s, all);
	if (!limit && why)
		snprintf(text, sizeof(text), "no limit any more: %s", why);
	else if (!limit)
		snprintf(text, sizeof(text),
		         "no limit any more: others use %s of %s of the migration network", others,
		         all);
	else
		snprintf(text, sizeof(text),
		         "limited to %s, for others use %s of %s of the migration network",
		         units_format_speed(limit, to), others, all);
	/* The first and the end are part of its story; the rest is for the log. */
	if (!a->pace.failed_ms && (!a->pace.changed_ms || a->pace.exempt))
		source_ladder_remember(a, text);
	else
		log_info("%s -> %s: %s", a->order.vm_name, a->order.target_node, text);
}

static bool struggles(const struct source_attempt *a)
{
	return a->ladder.passes_without_low >= 1 || a->job.throttle_percent || a->order.rung;
}

/* An operator has set what it may have: ours goes if he wants no limit, and so does what an agent before
 * us may have set. */
static void leave_it(struct source_attempt *a, uint64_t now_ms)
{
	uint64_t his = a->order.bandwidth_bytes_per_s;

	if (!a->pace.unknown && (!a->pace.limit_bytes_per_s || his))
		a->pace.limit_bytes_per_s = 0;
	else if (pace_may_try(&a->pace, now_ms))
		set(a, his, !his);
}

void source_pace(struct source_attempt *a)
{
	struct path_estimate path;
	struct pace_input in = { .path = &path,
		                 .least_bytes_per_s = a->agent->settings->min_bytes_per_s,
		                 .dirty_bytes_per_s = a->progress.dirty_bytes_per_s,
		                 .counted = paths_see_others(a->agent),
		                 .stands_still = a->order.paused_by_us || a->guest_paused,
		                 .struggles = struggles(a),
		                 .copies_disks = a->disk_port != 0,
		                 .now_ms = clock_now_ms() };
	uint64_t limit;
	bool was_held = a->pace.held;

	source_lanes(a);
	if (a->ladder_acting || a->switching || a->call_returned || a->abort_wanted ||
	    a->order.post_copy)
		return;
	if (a->order.bandwidth_tuned || a->order.bandwidth_bytes_per_s) {
		leave_it(a, in.now_ms);
		return;
	}
	paths_estimate(a->agent, a->order.target_node, &path);
	in.others_bytes_per_s = paths_get_others_sent(a->agent);
	in.moves = source_lanes_count_free(a->agent);
	in.hold_bytes_per_s = hypervisor_round_speed(a->lane.hold_bytes_per_s);
	in.rate_known = source_traffic_get_rate(a, &in.rate_bytes_per_s);
	if (!pace_step(&a->pace, &in, &limit))
		return;
	limit = hypervisor_round_speed(limit);
	if (in.hold_bytes_per_s || (was_held && !limit && !a->pace.exempt))
		tell_lane(a, limit);
	else if (limit || !a->pace.unknown)
		tell(a, limit, &in);
	set(a, limit, !limit && a->pace.exempt);
}
