/* SPDX-License-Identifier: Apache-2.0 */
/* See deadline.h. */
#include "coordinator/core/drain/deadline.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/lanes.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/core/power/power.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The estimate of a drain under way wavers: missed is what is late by more than this part of it. What is late
 * stays so until it is in time without any such allowance; and beforehand there is none. */
#define WAVERS_PART 20
/* That it will be met after all, or missed again, is told when it has stayed so. */
#define STEADY_MS ((uint64_t)30000)
#define NAMED_MAX 5
/* In all the schedules that are made to find the one without which the others are in time: 0.1 s. */
#define TRIED_GUESTS 1000000
/* Of more nobody names one by one. */
#define LEFT_MAX 100

/* Of a heap with the earliest first: that one has become later. */
static void sift_down(uint64_t *heap, size_t n)
{
	uint64_t later = heap[0];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n && heap[child + 1] < heap[child])
			child++;
		if (heap[child] >= later)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = later;
}

/* Hundreds of these answer what would help thousands of guests of a set. */
void deadline_schedule(const uint64_t *durations_ms, size_t count, uint32_t slots,
                       uint64_t *ret_ends_ms)
{
	size_t n = slots ? slots : 1;
	uint64_t *free_ms = xcalloc(n, sizeof(*free_ms)); /* a heap; all are free now */

	for (size_t i = 0; i < count; i++) {
		free_ms[0] += durations_ms[i];
		ret_ends_ms[i] = free_ms[0];
		sift_down(free_ms, n);
	}
	free(free_ms);
}

static int compare_turns(const void *a, const void *b)
{
	const struct drain_vm *x = *(struct drain_vm *const *)a, *y = *(struct drain_vm *const *)b;
	uint32_t turn_x = x->order ? x->order : UINT32_MAX;
	uint32_t turn_y = y->order ? y->order : UINT32_MAX;

	if (turn_x != turn_y)
		return turn_x < turn_y ? -1 : 1;
	return x < y ? -1 : x > y; /* as they are listed */
}

/* Those that are still to go, in the order in which they are taken; NULL-terminated. Owned. */
static struct drain_vm **list_going(const struct drain *drain)
{
	struct drain_vm **list = xcalloc(drain->n_vms + 1, sizeof(*list));
	size_t n = 0, first = 0;

	for (int moving = 1; moving >= 0; moving--) {
		for (size_t i = 0; i < drain->n_vms; i++) {
			struct drain_vm *dv = &drain->vms[i];

			if (!dv->shuts &&
			    dv->state == (moving ? DRAIN_VM_MOVING : DRAIN_VM_WAITING))
				list[n++] = dv;
		}
		if (moving)
			first = n;
	}
	qsort(list + first, n - first, sizeof(*list), compare_turns);
	return list;
}

/* The same of those that leave by lanes. */
static uint64_t schedule_lanes(struct drain_vm **list, size_t count, uint32_t slots,
                               unsigned percent, const struct drain_vm *without, bool set)
{
	struct lane_time *times = xcalloc(count + 1, sizeof(*times));
	uint64_t last_ms = 0;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct drain_vm *dv = list[i];

		if (dv == without)
			continue;
		/* One that is started there needs no link. */
		times[n].around_ms = dv->alone_ms ? dv->around_ms : dv->eta_ms;
		times[n++].link_ms = dv->state == DRAIN_VM_MOVING ? dv->alone_ms
		                                                  : dv->alone_ms * percent / 100;
	}
	lanes_schedule(times, n, slots);
	for (size_t i = 0; i < n; i++) {
		if (times[i].end_ms > last_ms)
			last_ms = times[i].end_ms;
		if (set) {
			list[i]->begin_ms = times[i].begin_ms;
			list[i]->end_ms = times[i].end_ms;
		}
	}
	free(times);
	return last_ms;
}

/* When the last of @list ends, each of those that wait taking @percent of its time; @without: as if it
 * were not there. The ends go into the guests if @set. */
static uint64_t schedule(struct drain_vm **list, uint32_t slots, unsigned percent,
                         const struct drain_vm *without, bool set)
{
	uint64_t *durations_ms, *ends_ms, last_ms = 0;
	size_t count = 0, n = 0;

	while (list[count])
		count++;
	if (count && list[0]->alone_ms)
		return schedule_lanes(list, count, slots, percent, without, set);
	durations_ms = xcalloc(count + 1, sizeof(*durations_ms));
	ends_ms = xcalloc(count + 1, sizeof(*ends_ms));
	for (size_t i = 0; i < count; i++) {
		if (list[i] != without)
			durations_ms[n++] = list[i]->state == DRAIN_VM_MOVING
			                            ? list[i]->eta_ms
			                            : list[i]->eta_ms / 100 * percent;
	}
	deadline_schedule(durations_ms, n, slots, ends_ms);
	for (size_t i = 0; i < n; i++) {
		if (ends_ms[i] > last_ms)
			last_ms = ends_ms[i];
		if (set)
			list[i]->end_ms = ends_ms[i];
	}
	free(durations_ms);
	free(ends_ms);
	return last_ms;
}

static bool is_late(const struct drain *drain, uint64_t end_ms, uint64_t left_ms, bool was)
{
	bool exactly = was || drain->kept.state == DRAIN_PLANNED;

	return end_ms > left_ms + (exactly ? 0 : end_ms / WAVERS_PART);
}

static void help(struct drain *drain, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void help(struct drain *drain, const char *format, ...)
{
	char text[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	names_add(&drain->deadline.helps, text);
}

/* --- what would help --- */

static void try_parallel(const struct fleet *fleet, struct drain *drain, struct drain_vm **list,
                         uint32_t slots, uint64_t left_ms)
{
	uint32_t allowed = fleet->options.caps.outbound < fleet->options.caps.cluster
	                           ? fleet->options.caps.outbound
	                           : fleet->options.caps.cluster;
	char text[UNITS_TEXT_BYTES];

	for (uint32_t more = slots + 1; more <= 2 * slots + 2; more++) {
		uint64_t end_ms = schedule(list, more, 100, NULL, false) + drain->deadline.tail_ms;

		if (end_ms > left_ms)
			continue;
		units_format_duration(end_ms, text);
		if (more <= allowed)
			help(drain, "--parallel %u: %s, if the network carries as much for each",
			     more, text);
		else
			help(drain,
			     "parallelOutboundMigrationsPerNode: %u (coordinator.yaml; %u at a "
			     "time now): %s, if the network carries as much for each",
			     more, slots, text);
		return;
	}
}

static void try_bandwidth(const struct fleet *fleet, struct drain *drain, struct drain_vm **list,
                          uint32_t slots, uint64_t left_ms)
{
	uint64_t limit = drain->kept.bandwidth_bytes_per_s
	                         ? drain->kept.bandwidth_bytes_per_s
	                         : fleet->options.settings.bandwidth_bytes_per_s;
	const struct node *node = list[0] ? fleet_find_node(fleet, list[0]->node) : NULL;
	uint64_t limited_ms = plan_estimate_ms(node, GIB, limit);
	uint64_t free_ms = plan_estimate_ms(node, GIB, 0), end_ms;
	char rate[UNITS_TEXT_BYTES], text[UNITS_TEXT_BYTES];

	if (!limit || !limited_ms || free_ms >= limited_ms)
		return;
	end_ms = schedule(list, slots, (unsigned)(free_ms * 100 / limited_ms), NULL, false) +
	         drain->deadline.tail_ms;
	help(drain, "without the limit of %s for each: %s%s", units_format_rate(limit, rate),
	     units_format_duration(end_ms, text), end_ms > left_ms ? ", still late" : "");
}

/* Guests of which one each is left out: of a set of thousands the first that are late. */
static size_t count_tries(struct drain_vm *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n ? TRIED_GUESTS / n + 1 : 0;
}

/* One that alone makes the difference. */
static void try_without(struct drain *drain, struct drain_vm **list, uint32_t slots,
                        uint64_t left_ms)
{
	char memory[UNITS_TEXT_BYTES], text[UNITS_TEXT_BYTES];
	size_t tries = count_tries(list);

	/* Without the only one it were no drain. */
	for (size_t i = 0; list[0] && list[1] && list[i] && tries; i++) {
		uint64_t end_ms;

		if (!list[i]->late)
			continue;
		tries--;
		end_ms = schedule(list, slots, 100, list[i], false) + drain->deadline.tail_ms;
		if (end_ms > left_ms)
			continue;
		help(drain, "without %.100s (%s): %s: --leave %.100s", list[i]->name,
		     units_format_bytes(list[i]->memory_bytes, memory),
		     units_format_duration(end_ms, text), list[i]->name);
		return;
	}
}

/* Likewise, of those that may be asked: it is given its time after the last move. */
static void try_shutdown(const struct fleet *fleet, struct drain *drain, struct drain_vm **list,
                         uint32_t slots, uint64_t left_ms)
{
	uint64_t given_ms = power_get_timeout(fleet, &drain->kept);
	char text[UNITS_TEXT_BYTES], given[UNITS_TEXT_BYTES], why[REASON_BYTES];
	size_t tries = count_tries(list);

	for (size_t i = 0; list[i] && tries; i++) {
		const struct vm *vm = fleet_find_vm(fleet, list[i]->uuid);
		const struct sighting *home = vm && vm->node ? fleet_find_sighting(vm, vm->node)
		                                             : NULL;
		uint64_t end_ms;

		if (!list[i]->late || list[i]->state == DRAIN_VM_MOVING || !home ||
		    power_finds_obstacle(home, why))
			continue;
		tries--;
		end_ms = schedule(list, slots, 100, list[i], false);
		end_ms += given_ms > drain->deadline.tail_ms ? given_ms : drain->deadline.tail_ms;
		if (end_ms > left_ms)
			continue;
		help(drain, "shut down %.100s (--shutdown %.100s): %s, with %s for that",
		     list[i]->name, list[i]->name, units_format_duration(end_ms, text),
		     units_format_duration(given_ms, given));
		return;
	}
}

/* Without those that take longest the others may be in time: by name, for the flags. One at least goes, or it
 * would be no drain; who is on the way is not left. */
static void try_fewer(struct drain *drain, struct drain_vm **list, uint32_t slots, uint64_t left_ms)
{
	struct drain_vm *rest[LEFT_MAX + 2];
	char flags[REASON_BYTES / 2] = "", text[UNITS_TEXT_BYTES];
	size_t n = 0, used = 0, gone = 0;
	uint64_t end_ms;

	while (list[n])
		n++;
	if (n > LEFT_MAX)
		return;
	memcpy(rest, list, (n + 1) * sizeof(*list));
	for (;; n--, gone++) {
		size_t longest = n;

		end_ms = schedule(rest, slots, 100, NULL, false) + drain->deadline.tail_ms;
		for (size_t i = 0; i < n; i++) {
			if (rest[i]->state == DRAIN_VM_WAITING &&
			    (longest == n || rest[i]->eta_ms > rest[longest]->eta_ms))
				longest = i;
		}
		if (end_ms <= left_ms || n < 2 || longest == n)
			break;
		if (used < sizeof(flags))
			used += (size_t)snprintf(flags + used, sizeof(flags) - used,
			                         " --leave %.60s", rest[longest]->name);
		memmove(&rest[longest], &rest[longest + 1], (n - longest) * sizeof(*rest));
	}
	/* One alone is try_without's. */
	if (end_ms <= left_ms && gone > 1 && used < sizeof(flags))
		help(drain, "without %zu of them: %s:%s", gone, units_format_duration(end_ms, text),
		     flags);
}

/* A network that carries more, to the tenth; past ten times it is no advice. */
static void try_network(struct drain *drain, struct drain_vm **list, uint32_t slots,
                        uint64_t left_ms)
{
	uint64_t end_ms;
	char text[UNITS_TEXT_BYTES];

	for (unsigned tenths = 11; tenths <= 100; tenths++) {
		end_ms = schedule(list, slots, 1000 / tenths, NULL, false) +
		         drain->deadline.tail_ms;
		if (end_ms > left_ms)
			continue;
		help(drain, "a migration network that carries %u.%u times as much: %s", tenths / 10,
		     tenths % 10, units_format_duration(end_ms, text));
		return;
	}
}

/* There is a time at which it would be over. In what --by takes, rounded up. */
static void name_earliest(struct drain *drain, uint64_t end_ms)
{
	uint64_t s = (end_ms + 999) / 1000;
	char text[UNITS_TEXT_BYTES];

	s += s / WAVERS_PART;
	units_format_duration(end_ms, text);
	if (s < 600)
		help(drain, "a later time: about %s are needed: --by %" PRIu64 "s", text, s);
	else
		help(drain, "a later time: about %s are needed: --by %" PRIu64 "m", text,
		     (s + 59) / 60);
}

/* Is foretold, or seen, to be given up: it stays where it is. */
static bool is_endless(const struct fleet *fleet, const struct drain_vm *dv)
{
	const struct migration *m = fleet_find_migration(fleet, dv->migration_number);
	const struct progress *p = m ? &m->kept.report.progress : NULL;

	if (dv->state != DRAIN_VM_MOVING || !p || !p->elapsed_ms)
		return dv->prediction.end == PREDICTION_GIVES_UP;
	/* An agent that is older says nothing of the end. */
	if (p->end == PREDICTION_UNKNOWN)
		return p->iteration >= 2 && p->dirty_bytes_per_s >= p->transfer_bytes_per_s;
	return p->end == PREDICTION_GIVES_UP;
}

/* Guests that write faster than is carried have no end of their own. False: there are none. */
static bool name_endless(const struct fleet *fleet, struct drain *drain, struct drain_vm **list)
{
	bool found = false;

	for (size_t i = 0; list[i]; i++) {
		const struct migration *m = fleet_find_migration(fleet, list[i]->migration_number);
		const struct progress *p = m ? &m->kept.report.progress : NULL;
		char dirty[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES];
		bool moves = list[i]->state == DRAIN_VM_MOVING && p && p->transfer_bytes_per_s;

		if (!is_endless(fleet, list[i]))
			continue;
		found = true;
		units_format_rate(moves ? p->dirty_bytes_per_s
		                        : list[i]->prediction.dirty_bytes_per_s,
		                  dirty);
		units_format_rate(moves ? p->transfer_bytes_per_s
		                        : list[i]->prediction.bandwidth_bytes_per_s,
		                  rate);
		help(drain,
		     "%.100s writes %s and %s are carried: --allow-post-copy, --allow-pause or a "
		     "ladder beforehand%s%.100s%s",
		     list[i]->name, dirty, rate, moves ? "; now drover tune " : "",
		     moves ? list[i]->name : "", moves ? " --max-downtime, or --pause" : "");
	}
	return found;
}

/* --- the verdict --- */

static void name_late(struct drain *drain, struct drain_vm **list, char *ret, size_t bytes)
{
	size_t n = 0, used = 0;

	ret[0] = '\0';
	for (size_t i = 0; list[i]; i++) {
		if (!list[i]->late)
			continue;
		if (n++ < NAMED_MAX && used < bytes)
			used += (size_t)snprintf(ret + used, bytes - used, "%s%.60s",
			                         n > 1 ? ", " : "", list[i]->name);
	}
	for (size_t i = 0; i < drain->n_vms; i++) {
		const struct drain_vm *dv = &drain->vms[i];

		if (!dv->shuts || !dv->late)
			continue;
		if (n++ < NAMED_MAX && used < bytes)
			used += (size_t)snprintf(ret + used, bytes - used, "%s%.60s",
			                         n > 1 ? ", " : "", dv->name);
	}
	if (n > NAMED_MAX && used < bytes)
		snprintf(ret + used, bytes - used, " and %zu more", n - NAMED_MAX);
	drain->deadline.n_late = n;
}

/* How many will not leave as things are; the reasons, as far as there is room. */
static size_t count_stuck(const struct fleet *fleet, const struct drain *drain, char *ret_why,
                          size_t bytes)
{
	size_t blocked = 0, endless = 0;
	const char *first = "";

	for (size_t i = 0; i < drain->n_vms; i++) {
		const struct drain_vm *dv = &drain->vms[i];

		blocked += dv->state == DRAIN_VM_BLOCKED;
		if (dv->shuts || dv->starts || !is_endless(fleet, dv) ||
		    (dv->state != DRAIN_VM_WAITING && dv->state != DRAIN_VM_MOVING))
			continue;
		if (!endless++)
			first = dv->name;
	}
	ret_why[0] = '\0';
	if (blocked)
		snprintf(ret_why, bytes, "%zu blocked%s", blocked, endless ? ", " : "");
	if (endless == 1)
		snprintf(ret_why + strlen(ret_why), bytes - strlen(ret_why),
		         "%.60s does not converge", first);
	else if (endless)
		snprintf(ret_why + strlen(ret_why), bytes - strlen(ret_why), "%zu do not converge",
		         endless);
	return blocked + endless;
}

/* What follows "its deadline". */
static void put_verdict(const struct drain *drain, struct deadline *d, const char *stuck,
                        const char *late, uint64_t left_ms)
{
	char needed[UNITS_TEXT_BYTES], left[UNITS_TEXT_BYTES], most[UNITS_TEXT_BYTES];

	units_format_duration(d->end_ms, needed);
	units_format_duration(left_ms, left);
	if (d->late_ms)
		snprintf(d->text, sizeof(d->text),
		         "will be missed by about %s: %zu %s: %.380s%s%.80s",
		         units_format_duration(d->late_ms, most), d->n_late,
		         d->n_late == 1 ? "guest is late" : "guests are late", late,
		         *stuck ? "; no end in sight: " : "", stuck);
	else if (*stuck)
		snprintf(d->text, sizeof(d->text), "has no end in sight: %.80s", stuck);
	else if (d->end_ms > left_ms) /* by no more than estimates waver */
		snprintf(d->text, sizeof(d->text),
		         "will be met only just, or missed by little: about %s are needed, %s "
		         "are left",
		         needed, left);
	else if (drain->eta_high_ms > left_ms)
		snprintf(
			d->text, sizeof(d->text),
			"will probably be met: about %s are needed, %s at the bad end; %s are left",
			needed, units_format_duration(drain->eta_high_ms, most), left);
	else
		snprintf(d->text, sizeof(d->text), "will be met: about %s are needed", needed);
}

static void find_helps(const struct fleet *fleet, struct drain *drain, struct drain_vm **list,
                       uint32_t slots, uint64_t left_ms)
{
	if (drain->deadline.late_ms) {
		try_parallel(fleet, drain, list, slots, left_ms);
		try_bandwidth(fleet, drain, list, slots, left_ms);
		try_network(drain, list, slots, left_ms);
		try_without(drain, list, slots, left_ms);
		try_fewer(drain, list, slots, left_ms);
		try_shutdown(fleet, drain, list, slots, left_ms);
	}
	if (!name_endless(fleet, drain, list) && drain->deadline.late_ms)
		name_earliest(drain, drain->deadline.end_ms);
}

void deadline_judge(const struct fleet *fleet, struct drain *drain, uint32_t slots, bool with_helps)
{
	uint64_t now_ms = fleet->step->wall_ms, by_ms = drain->kept.by_wall_ms;
	uint64_t left_ms = by_ms > now_ms ? by_ms - now_ms : 0;
	struct drain_vm **list = list_going(drain);
	struct deadline *d = &drain->deadline;
	uint64_t end_ms = schedule(list, slots, 100, NULL, true);
	char stuck[96], names[400];

	names_deinit(&d->helps);
	for (size_t i = 0; list[i]; i++)
		list[i]->late = by_ms && is_late(drain, list[i]->end_ms, left_ms, list[i]->late);
	for (size_t i = 0; i < drain->n_vms; i++) {
		struct drain_vm *dv = &drain->vms[i];

		if (!dv->shuts)
			continue;
		dv->end_ms = end_ms + dv->eta_ms;
		dv->late = by_ms && is_late(drain, dv->end_ms, left_ms, dv->late) &&
		           (dv->state == DRAIN_VM_WAITING || dv->state == DRAIN_VM_STOPPING);
	}
	end_ms += d->tail_ms;
	d->end_ms = end_ms;
	d->late_ms = by_ms && is_late(drain, end_ms, left_ms, d->late_ms > 0) ? end_ms - left_ms
	                                                                      : 0;
	d->latest_start_wall_ms = by_ms > end_ms ? by_ms - end_ms : 0;
	d->missed = by_ms && (count_stuck(fleet, drain, stuck, sizeof(stuck)) || d->late_ms);
	name_late(drain, list, names, sizeof(names));
	if (by_ms)
		put_verdict(drain, d, stuck, names, left_ms);
	if (by_ms && with_helps && d->missed)
		find_helps(fleet, drain, list, slots, left_ms);
	free(list);
}

/* Each retry of what is blocked leads through a moment in which nothing is. */
static bool has_changed(struct fleet *fleet, struct drain *drain)
{
	enum deadline_told told = drain->kept.deadline_told;
	struct deadline *d = &drain->deadline;
	uint64_t now_ms = change_now(fleet);
	/* That nobody is seen on a host which is not heard of, as after a restart, is no good news. */
	bool is_sure = d->missed || node_is_sure(fleet_find_node(fleet, drain->kept.node), now_ms);

	if (d->missed == (told == DEADLINE_TOLD_MISSED) || !is_sure) {
		d->differs_since_ms = 0;
		return false;
	}
	if (!d->differs_since_ms)
		d->differs_since_ms = now_ms;
	/* The first news is told at once. */
	if (told != DEADLINE_UNTOLD && now_ms - d->differs_since_ms < STEADY_MS)
		return false;
	d->differs_since_ms = 0;
	return true;
}

/* What was told is kept with the news of it, in one batch: no coordinator says it again. */
static void note_told(struct fleet *fleet, struct drain *drain, enum deadline_told told)
{
	drain->kept.deadline_told = told;
	save_drain(fleet, drain);
}

void deadline_watch(struct fleet *fleet, struct drain *drain, uint32_t slots)
{
	struct deadline *d = &drain->deadline;
	bool was_missed = d->missed;

	deadline_judge(fleet, drain, slots, false);
	if (!drain->kept.by_wall_ms)
		return;
	if (drain->kept.deadline_told == DEADLINE_TOLD_PASSED) {
		; /* that was the last word, whatever the clock is set to */
	} else if (fleet->step->wall_ms >= drain->kept.by_wall_ms) {
		note_told(fleet, drain, DEADLINE_TOLD_PASSED);
		change_tell_number(
			fleet, SEVERITY_WARNING, "drain", drain->kept.number,
			"its deadline has passed; nothing is stopped, it goes on: %.380s",
			drain->status);
	} else if (has_changed(fleet, drain)) {
		note_told(fleet, drain, d->missed ? DEADLINE_TOLD_MISSED : DEADLINE_TOLD_MET);
		if (d->missed)
			deadline_judge(fleet, drain, slots, true);
		change_tell_number(fleet, d->missed ? SEVERITY_WARNING : SEVERITY_INFO, "drain",
		                   drain->kept.number, "its deadline %s%s%s", d->text,
		                   d->helps.count ? "; what would help: " : "",
		                   d->helps.count ? d->helps.items[0] : "");
	}
	if (d->missed != was_missed)
		change_drain(fleet, drain);
}
