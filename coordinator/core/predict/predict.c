/* SPDX-License-Identifier: Apache-2.0 */
/* See predict.h. */
#include "coordinator/core/predict/predict.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/change.h"
#include "coordinator/core/fleet_path.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/core/recall.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a two-step commit: measured 200 to 350 ms on a small host (tests/bench/twostep). */
#define COMMIT_MS ((uint64_t)275)
/* And for each GiB whose pages are given back meanwhile: what agents announce (agent/kernel/guard.c). */
#define COMMIT_PER_GIB_MS ((uint64_t)10)
/* How wrong a path's figure may be: 3 % when it is believed wholly, a third when not at all. */
#define PATH_ERROR_LEAST 0.03
#define PATH_ERROR_MOST  0.33
/* Others that share the way do not all send all the time. */
#define SHARED_ERROR 0.25
/* Older than that a measurement is still the best there is, and is said to be old. */
#define OLD_MS ((uint64_t)3600000)

/* Key: "host1 host2"; "": all pairs together. Names have no blanks. */
struct predict_pair {
	char key[2 * NODE_NAME_BYTES];
	struct calibration calibration;
	UT_hash_handle hh;
};

static void make_key(const char *source, const char *target, char *ret)
{
	snprintf(ret, 2 * NODE_NAME_BYTES, "%s%s%s", source, *source ? " " : "", target);
}

static struct predict_pair *find_pair(const struct fleet *fleet, const char *source,
                                      const char *target)
{
	struct predict_pair *pair;
	char key[2 * NODE_NAME_BYTES];

	make_key(source, target, key);
	HASH_FIND_STR(fleet->predict_pairs, key, pair);
	return pair;
}

static struct predict_pair *get_pair(struct fleet *fleet, const char *source, const char *target)
{
	struct predict_pair *pair = find_pair(fleet, source, target);

	if (!pair) {
		pair = xnew(struct predict_pair);
		make_key(source, target, pair->key);
		HASH_ADD_STR(fleet->predict_pairs, key, pair);
	}
	return pair;
}

void predict_forget_all(struct fleet *fleet)
{
	struct predict_pair *pair, *next;

	HASH_ITER (hh, fleet->predict_pairs, pair, next) {
		HASH_DEL(fleet->predict_pairs, pair);
		free(pair);
	}
}

size_t recall_list_experience(const struct fleet *fleet, struct recalled_experience **ret)
{
	size_t n = 0;

	*ret = xcalloc(HASH_COUNT(fleet->predict_pairs) + 1, sizeof(**ret));
	for (const struct predict_pair *pair = fleet->predict_pairs; pair; pair = pair->hh.next) {
		struct recalled_experience *to = &(*ret)[n++];
		size_t source = strcspn(pair->key, " ");

		snprintf(to->source, sizeof(to->source), "%.*s", (int)source, pair->key);
		text_copy(to->target, sizeof(to->target),
		          pair->key[source] ? pair->key + source + 1 : "");
		to->sums = pair->calibration;
	}
	return n;
}

void recall_experience(struct fleet *fleet, const struct recalled_experience *experience)
{
	get_pair(fleet, experience->source, experience->target)->calibration = experience->sums;
}

/* --- facts --- */

static void take_path(const struct predict_question *q, uint64_t now_ms,
                      struct prediction_input *in)
{
	struct path_estimate path = { 0 };
	uint32_t sharers = q->beside + 1;

	if (q->target && fleet_get_path(q->source, q->target, now_ms, &path) &&
	    path.available_bytes_per_s) {
		in->bandwidth_bytes_per_s = prediction_stream_bytes_per_s(
			path.available_bytes_per_s);
		in->bandwidth_error = PATH_ERROR_LEAST +
		                      (100 - path.confidence_percent) / 100.0 *
		                              (PATH_ERROR_MOST - PATH_ERROR_LEAST);
	} else {
		in->bandwidth_bytes_per_s = PLAN_DEFAULT_BYTES_PER_S;
		in->bandwidth_error = PATH_ERROR_MOST;
	}
	in->bandwidth_bytes_per_s /= sharers;
	if (sharers > 1 && in->bandwidth_error < SHARED_ERROR)
		in->bandwidth_error = SHARED_ERROR;
}

static void take_settings(const struct migration_settings *s, uint64_t bytes,
                          struct prediction_input *in)
{
	/* Guests under one GiB get the time of one. */
	double gib = bytes > GIB ? (double)bytes / (double)GIB : 1;

	in->limit_bytes_per_s = s->bandwidth_bytes_per_s;
	in->max_downtime_ms = s->max_downtime_ms;
	in->completion_ms = (uint64_t)(gib * (double)s->completion_timeout_ms_per_gib);
	in->progress_ms = s->progress_timeout_ms;
	in->auto_converge = strategy_permits_auto_converge(&s->strategy);
	in->post_copy = strategy_permits_post_copy(&s->strategy);
	in->pause = strategy_permits_pause(&s->strategy);
}

void predict_vm(const struct fleet *fleet, const struct vm *vm, const struct predict_question *q,
                uint64_t now_ms, struct prediction *ret)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	const struct predict_pair *pair, *general = find_pair(fleet, "", "");
	static const struct dirty_shape nothing;
	struct prediction_input in = { 0 };

	*ret = (struct prediction){ 0 };
	if (!home || !q->source)
		return;
	in.memory_bytes = home->state.memory_bytes;
	in.touched_bytes = vm->memory_use.touched_bytes;
	in.disk_bytes = q->copied_bytes;
	if (q->guard == GUARD_TWO_STEP)
		in.commit_ms = COMMIT_MS + in.memory_bytes / GIB * COMMIT_PER_GIB_MS;
	in.dirty = vm->writes;
	/* A guest that stands still writes nothing. */
	if (strcmp(home->state.state, "paused") == 0)
		in.dirty = dirty_curve_of(&nothing, 0.01);
	take_path(q, now_ms, &in);
	take_settings(q->settings, in.memory_bytes + in.disk_bytes, &in);
	prediction_make(&in, ret);
	pair = q->target ? find_pair(fleet, q->source->kept.name, q->target->kept.name) : NULL;
	calibration_apply(pair ? &pair->calibration : NULL, general ? &general->calibration : NULL,
	                  ret);
}

/* --- begin and end --- */

/* Whether @other, which leaves the same host, will be held for one that takes @alone_ms (agent/kernel/lanes.h).
 * If it is the other way round equal shares tell the end well enough: it is the same. */
static bool goes_before(const struct migration *m, uint64_t alone_ms, const struct migration *other)
{
	const struct progress *p = &other->kept.report.progress;

	return m->kept.settings.shortest_first && other->kept.settings.shortest_first &&
	       strcmp(other->kept.source, m->kept.source) == 0 && p->eta_known &&
	       p->iteration <= 1 && alone_ms && alone_ms < p->eta_ms;
}

/* Times what it needs alone: for longer nobody is held, all in all (agent/kernel/lanes.h). */
#define HELD_MOST 2

/* How long it may be held for those of its drain that still wait, leave the same host and are out sooner. When
 * they come nobody knows: at the bad end all of them do before it is out. */
static uint64_t held_at_most_ms(const struct fleet *fleet, const struct migration *m,
                                const struct prediction *alone)
{
	const struct drain *drain = fleet_find_drain(fleet, m->kept.drain_number);
	uint64_t most_ms = HELD_MOST * alone->transfer_ms, sum_ms = 0;

	if (!drain || !alone->bandwidth_bytes_per_s || !m->kept.settings.shortest_first ||
	    m->kept.settings.bandwidth_bytes_per_s || m->kept.report.progress.disk_total_bytes)
		return 0;
	for (size_t i = 0; i < drain->n_vms; i++) {
		const struct drain_vm *dv = &drain->vms[i];
		uint64_t ms = dv->memory_bytes / 1000 * 1000000 / alone->bandwidth_bytes_per_s;

		if (dv->state == DRAIN_VM_WAITING && ms < alone->transfer_ms &&
		    strcmp(dv->node, m->kept.source) == 0 && strcmp(dv->uuid, m->kept.vm_uuid) != 0)
			sum_ms += ms;
	}
	return sum_ms < most_ms ? sum_ms : most_ms;
}

void predict_begin(struct fleet *fleet, struct migration *m)
{
	const struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	struct predict_question q = {
		.source = fleet_find_node(fleet, m->kept.source),
		.target = fleet_find_node(fleet, m->kept.target),
		.settings = &m->kept.settings,
		.guard = m->kept.report.attempt.number == m->kept.attempt.number
		                 ? m->kept.report.guard
		                 : GUARD_NONE,
		.copied_bytes = m->kept.report.progress.disk_total_bytes,
	};
	struct prediction *p = &m->kept.prediction;
	uint64_t alone_ms, held_ms;

	if (!vm || !q.source || !q.target)
		return;
	predict_vm(fleet, vm, &q, change_now(fleet), p);
	alone_ms = p->expected_ms;
	held_ms = held_at_most_ms(fleet, m, p);
	/* Its own slot may be counted in already. */
	for (const struct migration *other = fleet->active; other; other = other->next_active) {
		if (other != m && other->kept.holds_slot && !goes_before(m, alone_ms, other) &&
		    (strcmp(other->kept.source, m->kept.source) == 0 ||
		     strcmp(other->kept.target, m->kept.target) == 0))
			q.beside++;
	}
	predict_vm(fleet, vm, &q, change_now(fleet), p);
	if (p->high_known)
		p->high_ms += held_ms;
}

void predict_learn(struct fleet *fleet, const struct migration_record *m)
{
	const struct attempt_report *report = &m->report;
	struct calibration *general, *pair;

	if (report->state != MIGRATION_DONE || report->bandwidth_tuned ||
	    report->max_downtime_tuned || report->held_ms ||
	    m->prediction.end != PREDICTION_CONVERGES || !report->duration_ms)
		return;
	/* Its interval reaches from one that arrives to one that is given up: what it took was the guest's, and
	 * says nothing of the way. */
	if (!m->prediction.certain)
		return;
	general = &get_pair(fleet, "", "")->calibration;
	pair = &get_pair(fleet, m->source, m->target)->calibration;
	calibration_take(pair, general, &m->prediction, report->duration_ms);
	calibration_take(general, NULL, &m->prediction, report->duration_ms);
}

/* --- words --- */

char *predict_help(const struct prediction *p, const struct migration_settings *settings,
                   char *ret_text)
{
	const struct strategy *s = &settings->strategy;
	bool stays = p->end == PREDICTION_GIVES_UP;
	char enough[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES], flags[96];

	*ret_text = '\0';
	if (p->end == PREDICTION_UNKNOWN || p->end == PREDICTION_CONVERGES)
		return ret_text;
	snprintf(flags, sizeof(flags), "%s%s%s",
	         strategy_permits_auto_converge(s) ? "" : ", --allow-auto-converge",
	         strategy_permits_post_copy(s) || !stays ? "" : ", --allow-post-copy",
	         strategy_permits_pause(s) || !stays ? "" : ", --allow-pause");
	if (p->enough_bytes_per_s > p->bandwidth_bytes_per_s)
		snprintf(ret_text, PREDICT_TEXT_BYTES,
		         "it would converge from %s on (%s are there)%s%s",
		         units_format_rate(p->enough_bytes_per_s, enough),
		         units_format_rate(p->bandwidth_bytes_per_s, rate),
		         *flags ? "; what helps: " : "", *flags ? flags + 2 : "");
	else
		snprintf(ret_text, PREDICT_TEXT_BYTES,
		         "it would converge, but not in its time; what helps: "
		         "--completion-timeout%s",
		         flags);
	return ret_text;
}

char *predict_doubt(const struct vm *vm, const struct prediction *p, uint64_t now_ms,
                    char *ret_text)
{
	const struct memory_used *use = &vm->memory_use;
	uint64_t newest_ms = UINT64_MAX;
	char age[UNITS_TEXT_BYTES];

	*ret_text = '\0';
	for (size_t i = 0; i < use->n_windows; i++) {
		uint64_t age_ms = use->windows[i].age_ms + (now_ms - vm->memory_use_ms);

		if (age_ms < newest_ms)
			newest_ms = age_ms;
	}
	if (!p->expected_ms)
		snprintf(ret_text, PREDICT_TEXT_BYTES, "nothing is known of it");
	else if (!use->n_windows)
		snprintf(ret_text, PREDICT_TEXT_BYTES, "how it writes was not measured%s%.150s",
		         use->problem[0] ? ": " : " yet", use->problem);
	else if (newest_ms > OLD_MS)
		snprintf(ret_text, PREDICT_TEXT_BYTES, "how it writes was measured %s ago%s%.120s",
		         units_format_duration(newest_ms, age), use->problem[0] ? ": " : "",
		         use->problem);
	else if (use->n_windows < 2)
		snprintf(ret_text, PREDICT_TEXT_BYTES,
		         "how it writes was measured in one window only");
	return ret_text;
}
