/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt as its AttemptReport: what the coordinator stores and people read. */
#include "agent/source/source.h"

#include "agent/kernel/verification.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *source_state_name(Drover__V1__MigrationState state)
{
	static const char *const names[] = {
		[DROVER__V1__MIGRATION_STATE__MIGRATION_STATE_UNSPECIFIED] = "unknown",
		[DROVER__V1__MIGRATION_STATE__PLANNED] = "planned",
		[DROVER__V1__MIGRATION_STATE__RESERVED] = "reserved",
		[DROVER__V1__MIGRATION_STATE__RUNNING] = "running",
		[DROVER__V1__MIGRATION_STATE__SWITCHING] = "switching",
		[DROVER__V1__MIGRATION_STATE__DONE] = "done",
		[DROVER__V1__MIGRATION_STATE__FAILED] = "failed",
		[DROVER__V1__MIGRATION_STATE__CANCELLED] = "cancelled",
		[DROVER__V1__MIGRATION_STATE__UNRESOLVED] = "unresolved",
	};

	assert((unsigned)state < ARRAY_SIZE(names));
	return names[state];
}

static Drover__V1__Connection *connection_new(const struct source_attempt *a)
{
	const struct connection_quality *q = a->connections ? &a->connections->quality : NULL;
	Drover__V1__Connection *c;

	if (!q || !q->known)
		return NULL;
	c = xnew(Drover__V1__Connection);
	drover__v1__connection__init(c);
	c->connections = (uint32_t)q->n_connections;
	c->bytes_per_s = q->bytes_per_s;
	c->rtt_us = q->rtt_us;
	c->min_rtt_us = q->min_rtt_us;
	c->resent_ppm = q->resent_ppm;
	c->limited_by = xstrdup(quality_limit_name(q->limit));
	c->usual_bytes_per_s = q->usual_bytes_per_s;
	c->collapsed = q->collapsed;
	return c;
}

/* NULL: it is not held, or not yet. */
static Drover__V1__Hold *hold_new(const struct source_attempt *a)
{
	Drover__V1__Hold *h;

	if (a->stage != SOURCE_MOVING || !a->lane.hold_bytes_per_s || !a->pace.limit_bytes_per_s)
		return NULL;
	h = xnew(Drover__V1__Hold);
	drover__v1__hold__init(h);
	h->first_vm = xstrdup(a->held_for);
	h->bytes_per_s = a->pace.limit_bytes_per_s;
	h->left_ms = a->lane.wait_ms;
	return h;
}

static_assert((int)OUTLOOK_GIVES_UP == (int)DROVER__V1__PREDICTION__END__GIVES_UP,
              "the wire has other numbers");

static Drover__V1__Progress *progress_new(const struct source_attempt *a)
{
	Drover__V1__Progress *p = xmalloc(sizeof(*p));
	uint64_t bytes_per_s;

	drover__v1__progress__init(p);
	p->elapsed_ms = a->progress.elapsed_ms;
	p->memory_total_bytes = a->job.memory_total_bytes;
	p->memory_processed_bytes = a->job.memory_processed_bytes;
	p->memory_remaining_bytes = a->job.memory_remaining_bytes;
	p->iteration = a->job.iteration;
	p->expected_downtime_ms = a->job.expected_downtime_ms;
	p->eta_ms = outlook_left_ms(&a->outlook, clock_now_ms());
	p->eta_known = a->outlook.known;
	p->end = (Drover__V1__Prediction__End)(a->outlook.known ? a->outlook.end : OUTLOOK_UNKNOWN);
	p->later_why = xstrdup(a->outlook.later_why);
	p->percent = a->state == DROVER__V1__MIGRATION_STATE__DONE ? 100 : a->outlook.percent;
	p->dirty_bytes_per_s = a->progress.dirty_bytes_per_s;

	/* The wire says what really flows; QEMU's figure stays when nothing does any more. */
	if (source_traffic_get_rate(a, &bytes_per_s)) {
		const struct bandwidth_interface *i = bandwidth_find_interface(
			&a->agent->bandwidth, a->agent->settings->migration_interface);

		p->transfer_bytes_per_s = bytes_per_s;
		p->rate_source = xstrdup(traffic_source_name(i ? i->source : TRAFFIC_SOURCE_NONE));
	} else {
		p->transfer_bytes_per_s = a->progress.transfer_bytes_per_s;
		p->rate_source = xstrdup("qemu");
	}
	p->connection = connection_new(a);
	p->hold = hold_new(a);
	return p;
}

static void put_verification(Drover__V1__AttemptReport *r, const char *text)
{
	struct verification *v = xnew(struct verification);

	verification_parse(text, v);
	r->verification = wire_checks_new(v->checks.items, v->checks.count);
	r->n_verification = v->checks.count;
	r->not_verified = xstrdup(v->not_verified);
	free(v);
}

/* A line each. */
static void put_decisions(Drover__V1__AttemptReport *r, const char *text)
{
	for (const char *end; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		r->decisions = xreallocarray(r->decisions, r->n_decisions + 1,
		                             sizeof(*r->decisions));
		r->decisions[r->n_decisions++] = xasprintf("%.*s", (int)(end - text), text);
	}
}

/* An agent that took it over knows only of what came after; zeros are left out. */
static Drover__V1__StageTimes *times_new(const struct source_attempt *a)
{
	Drover__V1__StageTimes *t = xmalloc(sizeof(*t));

	drover__v1__stage_times__init(t);
	t->describing_ms = a->stage_ms[SOURCE_ACCEPTING] + a->stage_ms[SOURCE_DESCRIBING];
	t->admitting_ms = a->stage_ms[SOURCE_ADMITTING];
	t->linking_ms = a->stage_ms[SOURCE_LINKING];
	t->moving_ms = a->stage_ms[SOURCE_MOVING];
	t->resolving_ms = a->stage_ms[SOURCE_RESOLVING];
	t->cleaning_ms = a->stage_ms[SOURCE_CLEANING];
	t->prepared_ms = a->stage_ms[SOURCE_PREPARED];
	return t;
}

static void put_leftover(Drover__V1__AttemptReport *r, char *text)
{
	r->leftovers = xreallocarray(r->leftovers, r->n_leftovers + 1, sizeof(*r->leftovers));
	r->leftovers[r->n_leftovers++] = text;
}

/* What was looked for at the end says more than what one step noted on the way there. */
static void put_remnants(Drover__V1__AttemptReport *r, const struct source_attempt *a)
{
	for (size_t i = 0; i < a->n_remnants; i++) {
		const struct remnant *one = &a->remnants[i];

		if (one->verdict == REMNANT_LEFT)
			put_leftover(r, xasprintf("%s: %s", one->text, one->remedy));
	}
	if (a->leftover[0] && r->n_leftovers == 0 &&
	    (a->n_remnants == 0 || remnants_count_open(a->remnants, a->n_remnants) > 0))
		put_leftover(r, xstrdup(a->leftover));
	r->remnants = wire_remnants_new(a->remnants, a->n_remnants);
	r->n_remnants = a->n_remnants;
}

/* NULL: nothing was sent yet. */
static Drover__V1__PathProof *path_new(const struct path_proof *from)
{
	Drover__V1__PathProof *p;

	if (!from->text[0])
		return NULL;
	p = xmalloc(sizeof(*p));
	drover__v1__path_proof__init(p);
	p->verdict = (Drover__V1__PathProof__Verdict)from->verdict;
	p->deviated = from->deviated;
	p->text = xstrdup(from->text);
	p->interfaces = xcalloc(from->n, sizeof(*p->interfaces));
	for (size_t i = 0; i < from->n; i++) {
		Drover__V1__PathInterface *to = xmalloc(sizeof(*to));

		drover__v1__path_interface__init(to);
		to->name = xstrdup(from->interfaces[i].name);
		to->migration = from->interfaces[i].migration;
		to->wire_bytes = from->interfaces[i].wire_bytes;
		to->bytes_per_s = from->interfaces[i].bytes_per_s;
		to->percent = from->interfaces[i].percent;
		p->interfaces[p->n_interfaces++] = to;
	}
	return p;
}

/* Prepared, and waiting for its slot: no part of the move. */
static uint64_t held_ms(const struct source_attempt *a)
{
	return a->stage_ms[SOURCE_PREPARED] +
	       (a->stage == SOURCE_PREPARED ? clock_now_ms() - a->stage_since_ms : 0);
}

Drover__V1__AttemptReport *source_report_new(const struct source_attempt *a)
{
	Drover__V1__AttemptReport *r = xmalloc(sizeof(*r));
	char *note;
	uint64_t end_ms = a->stage == SOURCE_ENDED ? a->ended_ms : clock_now_ms();

	drover__v1__attempt_report__init(r);
	r->attempt = wire_attempt_new(&a->order.attempt);
	r->vm_uuid = xstrdup(a->order.vm_uuid);
	r->vm_name = xstrdup(a->order.vm_name);
	r->source_node = xstrdup(a->agent->settings->node);
	r->target_node = xstrdup(a->order.target_node);
	/* Until the clean-up is through and written down the attempt has not ended: its slot is
	 * still in use. */
	r->state = a->stage == SOURCE_CLEANING || a->ending
	                   ? (a->job_seen ? DROVER__V1__MIGRATION_STATE__SWITCHING
	                                  : DROVER__V1__MIGRATION_STATE__RESERVED)
	                   : a->state;
	r->reason = xstrdup(a->reason.text);
	r->error_code = (uint32_t)a->reason.code;
	if (a->checks) {
		r->checks = wire_checks_new(a->checks->items, a->checks->count);
		r->n_checks = a->checks->count;
	}
	r->guard = (Drover__V1__Guard)a->guard;
	r->progress = progress_new(a);
	r->disk_total_bytes = a->job.disk_total_bytes;
	r->disk_processed_bytes = a->job.disk_processed_bytes;
	r->disk_remaining_bytes = a->job.disk_remaining_bytes;
	r->duration_ms = end_ms - a->started_ms - held_ms(a);
	r->times = times_new(a);
	r->held_ms = a->held_ms;
	r->waits_for_slot = a->order.waits_for_slot && a->stage < SOURCE_CLEANING;
	r->downtime_ms = a->downtime_ms;
	r->transferred_bytes = a->transferred_bytes;
	r->wire_bytes = a->wire_bytes;
	r->tombstoned = a->stage == SOURCE_ENDED && !a->ending;
	r->alarm = a->alarm && a->state == DROVER__V1__MIGRATION_STATE__UNRESOLVED;
	r->notes = xcalloc(2, sizeof(*r->notes));
	note = source_copy_note_new(a);
	if (note)
		r->notes[r->n_notes++] = note;
	if (a->cancel_refused)
		r->notes[r->n_notes++] = xstrdup(
			"it was not cancelled: it had switched to post-copy, and the guest needs "
			"what is still at its source");
	r->bandwidth_tuned = a->order.bandwidth_tuned && !a->tuning_acts;
	if (r->bandwidth_tuned)
		r->bandwidth_bytes_per_s = a->order.bandwidth_bytes_per_s;
	r->max_downtime_tuned = a->order.max_downtime_tuned && !a->tuning_acts;
	if (r->max_downtime_tuned)
		r->max_downtime_ms = a->order.max_downtime_ms;
	put_decisions(r, a->order.decisions);
	if (a->order.verification[0])
		put_verification(r, a->order.verification);
	put_remnants(r, a);
	r->path = path_new(&a->path);
	return r;
}
