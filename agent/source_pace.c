/* SPDX-License-Identifier: Apache-2.0 */
/* A migration that nobody has given a limit leaves others on the migration network what they had: pace.h
 * decides, here it is done. Nothing of it is journaled: the limit goes with the migration, and an agent
 * that adopts one decides anew. An operator's limit, given before or while it runs, is never touched.
 * Owner thread, but for pace_work. */
#include "agent/source.h"

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

	a->ladder_acting = false;
	/* It is tried again when the next change is due. */
	if (w->rc < 0 && moving)
		log_warning("%s: its speed was not limited: %s", a->order.vm_name, w->error.text);
	pace_take(&a->pace, w->rc < 0 ? a->pace.limit_bytes_per_s : w->limit_bytes_per_s,
	          clock_now_ms());
	if (w->rc == 0 && moving)
		convergence_begin_anew(&a->convergence, clock_now_ms());
	free(w);
}

static void set(struct source_attempt *a, uint64_t limit_bytes_per_s)
{
	struct pace_errand *w = xnew(struct pace_errand);

	w->base.errand.work = pace_work;
	w->base.errand.done = paced;
	w->hypervisor = a->agent->hypervisor;
	memcpy(w->uuid, a->order.vm_uuid, sizeof(w->uuid));
	w->limit_bytes_per_s = limit_bytes_per_s;
	a->ladder_acting = true;
	source_send(a, &w->base, a->agent->couriers);
}

static void tell(struct source_attempt *a, uint64_t limit, const struct pace_input *in)
{
	char text[256], to[UNITS_TEXT_BYTES], others[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];

	units_format_rate(in->others_bytes_per_s, others);
	units_format_rate(in->path->capacity_bytes_per_s, all);
	if (!limit)
		snprintf(text, sizeof(text),
		         "no limit any more: others use %s of %s of the migration network", others,
		         all);
	else
		snprintf(text, sizeof(text),
		         "limited to %s, for others use %s of %s of the migration network",
		         units_format_speed(limit, to), others, all);
	/* The first is part of its story; what follows is for the log. */
	if (!a->pace.changed_ms)
		source_ladder_remember(a, text);
	else
		log_info("%s -> %s: %s", a->order.vm_name, a->order.target_node, text);
}

void source_pace(struct source_attempt *a)
{
	struct path_estimate path;
	struct pace_input in = { .path = &path,
		                 .least_bytes_per_s = a->agent->settings->min_bytes_per_s,
		                 .dirty_bytes_per_s = a->progress.dirty_bytes_per_s,
		                 .moves = source_count_moving(a->agent),
		                 .now_ms = clock_now_ms() };
	uint64_t limit;

	if (a->ladder_acting || a->switching || a->call_returned || a->abort_wanted ||
	    a->order.post_copy)
		return;
	if (a->order.bandwidth_tuned || a->order.bandwidth_bytes_per_s) {
		/* An operator has taken it over; if he wants no limit, ours goes. */
		if (a->pace.limit_bytes_per_s && !a->order.bandwidth_bytes_per_s)
			set(a, 0);
		else
			a->pace.limit_bytes_per_s = 0;
		return;
	}
	paths_estimate(a->agent, a->order.target_node, &path);
	in.others_bytes_per_s = paths_get_others_sent(a->agent);
	in.rate_known = source_traffic_get_rate(a, &in.rate_bytes_per_s);
	if (!pace_step(&a->pace, &in, &limit))
		return;
	limit = hypervisor_round_speed(limit);
	tell(a, limit, &in);
	set(a, limit);
}
