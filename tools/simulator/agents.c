/* SPDX-License-Identifier: Apache-2.0 */
/* Agents as the core sees them: what they say, and what they answer to calls, after CALL_MS. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 5

uint64_t agents_free_bytes(const struct world *w, size_t host)
{
	const struct world_host *h = &w->hosts[host];
	uint64_t limit = host_state_limit_bytes(&h->facts);
	uint64_t used = h->other_bytes + h->guests_bytes + h->leased_bytes;

	return limit > used ? limit - used : 0;
}

/* As a destination judges: by the same rules as its agent would (common/fit.h). */
bool agents_admit(const struct world *w, size_t guest, size_t target, bool copy_disks,
                  struct check *ret)
{
	const struct world_guest *g = &w->guests[guest];
	const struct host_state *host = &w->hosts[target].facts;
	uint64_t room = agents_free_bytes(w, target), need = vm_state_need_bytes(&g->facts);
	uint64_t vcpus = host_state_room_vcpus(host), page_bytes = g->facts.needs.hugepage_bytes;
	char amount[UNITS_TEXT_BYTES], text[FIT_TEXT_BYTES];
	enum fit fit;

	const Drover__V1__Denial *denial = intent_find_denial(w, guest, target);
	const Drover__V1__Check *refused = denial ? denial->check
	                                          : intent_find_refusal(w, guest, target,
	                                                                copy_disks);

	*ret = (struct check){ .id = "memory", .verdict = CHECK_FAIL };
	if (refused) {
		text_copy(ret->id, sizeof(ret->id), refused->id);
		text_copy(ret->measured, sizeof(ret->measured), refused->measured);
		text_copy(ret->required, sizeof(ret->required), refused->required);
		text_copy(ret->remedy, sizeof(ret->remedy), refused->remedy);
		return false;
	}
	snprintf(ret->measured, sizeof(ret->measured), "%s free", units_format_bytes(room, amount));
	snprintf(ret->required, sizeof(ret->required), "%s", units_format_bytes(need, amount));
	if (room < need)
		return false;
	if (vcpus < g->facts.vcpus) {
		snprintf(ret->id, sizeof(ret->id), "vcpus");
		snprintf(ret->measured, sizeof(ret->measured), "%" PRIu64 " left", vcpus);
		snprintf(ret->required, sizeof(ret->required), "%u vCPUs", g->facts.vcpus);
		return false;
	}
	if (page_bytes && host_state_room_pages(host, page_bytes) < g->facts.memory_bytes) {
		snprintf(ret->id, sizeof(ret->id), "hugepages");
		snprintf(ret->measured, sizeof(ret->measured), "%s free in them",
		         units_format_bytes(host_state_room_pages(host, page_bytes), amount));
		return false;
	}
	fit = fit_judge(&g->facts.needs, w->hosts[g->host].facts.offers, host->offers, text);
	if (fit == FIT_YES) {
		ret->verdict = CHECK_PASS;
		return true;
	}
	snprintf(ret->measured, sizeof(ret->measured), "%.190s", text);
	switch (fit) {
	case FIT_NETWORK:
		snprintf(ret->id, sizeof(ret->id), "network");
		return false;
	case FIT_CPU:
		snprintf(ret->id, sizeof(ret->id), "cpu");
		return false;
	default:
		snprintf(ret->id, sizeof(ret->id), "machine");
		return false;
	}
}

/* --- what they say --- */

/* *@ret_leases is to be freed. Only borrowed by the core. */
static struct host_state state_of(const struct world *w, size_t host, struct lease **ret_leases)
{
	const struct world_host *h = &w->hosts[host];
	struct host_state state = h->facts;
	size_t n = 0;

	*ret_leases = xcalloc(w->n_attempts - w->first_live + 1, sizeof(**ret_leases));
	for (size_t i = w->first_live; i < w->n_attempts; i++) {
		if (w->attempts[i].lease && w->attempts[i].target == host)
			(*ret_leases)[n++].attempt = w->attempts[i].id;
	}
	state.leases = *ret_leases;
	state.n_leases = n;
	state.memory_guests_bytes = h->other_bytes + h->guests_bytes;
	state.memory_reserved_bytes = h->leased_bytes;
	state.ports_in_use = state.slots_in = (uint32_t)n;
	return state;
}

void agents_say_host(struct world *w, size_t host)
{
	struct event event = { .kind = EVENT_HOST };
	_cleanup_free_ struct lease *leases = NULL;
	struct host_state state = state_of(w, host, &leases);

	if (!w->hosts[host].attached)
		return;
	state.offers = NULL; /* as in the snapshot */
	event.host.node = w->hosts[host].name;
	event.host.host = &state;
	world_step(w, &event);
}

static struct vm_state vm_of(const struct world_guest *g, size_t host)
{
	struct vm_state state = g->facts;

	if (g->incoming == host)
		text_copy(state.state, sizeof(state.state), "incoming");
	return state;
}

void agents_say_vm(struct world *w, size_t host, size_t guest)
{
	const struct world_guest *g = &w->guests[guest];
	struct vm_state state = vm_of(g, host);
	struct event event = { 0 };

	if (g->host == host || g->incoming == host) {
		event.kind = EVENT_VM;
		event.vm.node = w->hosts[host].name;
		event.vm.vm = &state;
	} else {
		event.kind = EVENT_VM_GONE;
		event.vm_gone.node = w->hosts[host].name;
		event.vm_gone.uuid = g->facts.uuid;
	}
	world_step(w, &event);
	agents_say_host(w, host);
}

static struct attempt_report report_of(const struct world *w, const struct world_attempt *a)
{
	const struct world_guest *g = &w->guests[a->guest];
	struct attempt_report r = { .attempt = a->id, .state = a->state, .tombstoned = a->over };
	double all = (double)g->facts.memory_bytes;

	text_copy(r.vm_uuid, sizeof(r.vm_uuid), g->facts.uuid);
	text_copy(r.vm_name, sizeof(r.vm_name), g->facts.name);
	text_copy(r.source, sizeof(r.source), w->hosts[a->source].name);
	text_copy(r.target, sizeof(r.target), w->hosts[a->target].name);
	text_copy(r.reason, sizeof(r.reason), a->reason);
	r.error_code = a->given_back ? ERROR_CANCELLED : 0;
	r.waits_for_slot = a->hold && !a->over;
	r.times.prepared_ms = a->waited_ms;
	r.progress.elapsed_ms = (a->over ? a->ended_ms : w->now_ms) - a->began_ms - a->waited_ms;
	r.progress.memory_total_bytes = g->facts.memory_bytes;
	r.progress.memory_processed_bytes = (uint64_t)a->copy.sent;
	r.progress.memory_remaining_bytes = (uint64_t)a->copy.left;
	r.progress.transfer_bytes_per_s = a->copying ? (uint64_t)a->copy.rate : 0;
	r.progress.dirty_bytes_per_s = (uint64_t)g->dirty_bytes_per_s;
	r.progress.iteration = a->copy.passes + 1;
	r.progress.eta_known = a->copying && a->eta_ms != UINT64_MAX;
	r.progress.eta_ms = r.progress.eta_known ? a->eta_ms : 0;
	r.held_ms = a->held_ms;
	if (a->copying && a->hold_bytes_per_s) {
		r.progress.hold_bytes_per_s = a->hold_bytes_per_s;
		r.progress.hold_left_ms = a->hold_left_ms;
		text_copy(r.progress.hold_for, sizeof(r.progress.hold_for),
		          w->guests[a->held_for].facts.name);
	}
	r.progress.percent = a->state == MIGRATION_DONE ? 100
	                     : a->copy.passes           ? 99
	                                                : (uint32_t)(99 * a->copy.sent / (all + 1));
	r.transferred_bytes = (uint64_t)a->copy.sent;
	if (a->refused.verdict == CHECK_FAIL)
		checks_add(&r.checks, &a->refused);
	if (a->over)
		r.duration_ms = a->ended_ms - a->began_ms - a->waited_ms;
	r.downtime_ms = a->state == MIGRATION_DONE
	                        ? MOVES_SWITCH_MS + (uint64_t)(a->copy.downtime * 1000)
	                        : 0;
	return r;
}

void agents_say_attempt(struct world *w, const struct world_attempt *a)
{
	struct attempt_report report = report_of(w, a);
	struct event event = { .kind = EVENT_ATTEMPT };

	/* The steps may add attempts: nothing of @a is used after. */
	event.attempt.node = w->hosts[a->source].name;
	event.attempt.report = &report;
	if (a->state == MIGRATION_DONE) {
		struct check check = { .id = "state", .verdict = CHECK_PASS };

		checks_add(&report.verification, &check);
	}
	world_step(w, &event);
	attempt_report_deinit(&report);
}

void agents_attach(struct world *w, size_t host)
{
	struct event event = { .kind = EVENT_ATTACH, .request = host + 1 };

	event.attach.node = w->hosts[host].name;
	event.attach.mesh_address = w->hosts[host].facts.mesh_address;
	event.attach.agent_version = w->hosts[host].facts.agent_version;
	event.attach.boot_id = w->hosts[host].facts.boot_id;
	world_step(w, &event);
}

void agents_say_everything(struct world *w, size_t host)
{
	struct event event = { .kind = EVENT_SNAPSHOT };
	_cleanup_free_ struct lease *leases = NULL;
	struct host_state state = state_of(w, host, &leases);
	struct vm_state *vms = NULL;
	size_t n = 0, i = 0;

	w->hosts[host].attached = true;
	for (i = w->hosts[host].first_guest; i != NOWHERE; i = w->guests[i].next_guest)
		n++;
	vms = xcalloc(n + 1, sizeof(*vms));
	n = 0;
	for (i = w->hosts[host].first_guest; i != NOWHERE; i = w->guests[i].next_guest)
		vms[n++] = vm_of(&w->guests[i], host);
	event.snapshot.node = w->hosts[host].name;
	event.snapshot.host = &state;
	event.snapshot.vms = vms;
	event.snapshot.n_vms = n;
	event.snapshot.inventory_valid = w->hosts[host].facts.libvirt_connected;
	world_step(w, &event);
	free(vms);
}

/* --- calls --- */

static void answer_call(struct world *w, enum event_kind kind, const struct attempt_call *call,
                        size_t index)
{
	struct event event = { .kind = kind };
	struct attempt_report report = { 0 };

	event.call.migration = call->migration;
	event.call.attempt_number = call->attempt.number;
	event.call.outcome = CALL_ANSWERED;
	if (index == NOWHERE) {
		event.call.outcome = CALL_REFUSED;
		error_set(&event.call.error, ERROR_NOT_FOUND, "no such guest or node here");
	} else {
		report = report_of(w, &w->attempts[index]);
		event.call.accepted = true;
		event.call.report = &report;
	}
	world_step(w, &event);
	attempt_report_deinit(&report);
}

struct call {
	enum action_kind kind;
	union {
		struct attempt_call attempt;
		struct preview_call preview;
		struct tune_call tune;
		struct drain_mark mark;
		uint64_t epoch;
	};
};

static void take_tune(struct world *w, const struct tune_call *call)
{
	size_t index = moves_find(w, &call->attempt);
	struct event event = { .kind = EVENT_TUNE_OUTCOME, .request = call->request };
	struct world_attempt *a = index == NOWHERE ? NULL : &w->attempts[index];

	event.tuned.migration = call->migration;
	event.tuned.attempt_number = call->attempt.number;
	event.tuned.outcome = CALL_ANSWERED;
	event.tuned.note = "";
	if (a && call->tuning.bandwidth_given) {
		moves_flow(w);
		a->settings.bandwidth_bytes_per_s = call->tuning.bandwidth_bytes_per_s;
		a->limit_bytes_per_s = call->tuning.bandwidth_bytes_per_s;
		moves_share(w);
	}
	if (a && call->tuning.max_downtime_given)
		a->copy.downtime_s = (double)call->tuning.max_downtime_ms / 1000;
	world_step(w, &event);
}

static void take_call(struct world *w, const struct call *call)
{
	size_t index;

	switch (call->kind) {
	case ACTION_START:
		index = moves_find(w, &call->attempt.attempt);
		if (index == NOWHERE)
			index = moves_add(w, &call->attempt);
		answer_call(w, EVENT_START_OUTCOME, &call->attempt, index);
		break;
	case ACTION_LET_GO:
		index = moves_find(w, &call->attempt.attempt);
		if (index != NOWHERE)
			prepared_let_go(w, index);
		answer_call(w, EVENT_LET_GO_OUTCOME, &call->attempt, index);
		break;
	case ACTION_CANCEL:
		index = moves_find(w, &call->attempt.attempt);
		if (index != NOWHERE)
			w->attempts[index].cancel = true;
		answer_call(w, EVENT_CANCEL_OUTCOME, &call->attempt, index);
		if (index != NOWHERE && (w->attempts[index].copying || w->attempts[index].waits))
			moves_end(w, index, MIGRATION_CANCELLED, "cancelled on request");
		break;
	case ACTION_PROBE:
		answer_call(w, EVENT_PROBE_OUTCOME, &call->attempt,
		            moves_find(w, &call->attempt.attempt));
		break;
	default:
		take_tune(w, &call->tune);
		break;
	}
}

static void take_mark(struct world *w, size_t host, const struct call *call)
{
	struct event event = { .kind = EVENT_MARK_OUTCOME };

	event.mark.node = w->hosts[host].name;
	event.mark.drain_id = call->mark.drain_id;
	event.mark.outcome = CALL_ANSWERED;
	event.mark.active_vms = w->hosts[host].n_guests;
	world_step(w, &event);
}

static void take_preview(struct world *w, const struct preview_call *call)
{
	struct event event = { .kind = EVENT_PREVIEW_OUTCOME };
	size_t guest = world_find_guest(w, call->vm_uuid);
	size_t target = world_find_host(w, call->target);
	struct check check = { .id = "node", .verdict = CHECK_FAIL };
	struct checks checks = { .items = &check, .count = 1 };

	event.preview.preview = call->preview;
	event.preview.outcome = CALL_ANSWERED;
	event.preview.checks = &checks;
	event.preview.admitted = target != NOWHERE && guest != NOWHERE &&
	                         agents_admit(w, guest, target, call->copy_disks, &check);
	world_step(w, &event);
}

void agents_take_action(struct world *w, struct action *action)
{
	struct call call = { .kind = action->kind };
	enum queued_kind kind = QUEUE_CALL;
	size_t host = 0;

	switch (action->kind) {
	case ACTION_START:
	case ACTION_LET_GO:
	case ACTION_CANCEL:
	case ACTION_PROBE:
		call.attempt = action->call;
		break;
	case ACTION_TUNE:
		call.tune = action->tune;
		break;
	case ACTION_PREVIEW:
		call.preview = action->preview;
		kind = QUEUE_PREVIEW;
		break;
	case ACTION_SET_DRAIN_MARK:
		call.mark = action->mark.mark;
		call.mark.leave = (struct names){ 0 }; /* stays with the action */
		host = world_find_host(w, action->mark.node);
		kind = QUEUE_MARK;
		break;
	default:
		return; /* fences: nobody declares a host dead here */
	}
	world_after(w, CALL_MS, kind, host, 0, xmemdup(&call, sizeof(call)));
}

void agents_take_queued(struct world *w, struct queued *q)
{
	switch (q->kind) {
	case QUEUE_ADMIT:
		moves_admit(w, q->index);
		break;
	case QUEUE_WAITED:
		prepared_give_back(w, q->index);
		break;
	case QUEUE_COPY:
		moves_begin_copy(w, q->index);
		break;
	case QUEUE_FLUID:
		if (q->tag == w->fluid_version)
			moves_turn_passes(w);
		break;
	case QUEUE_PROGRESS:
		moves_say_progress(w, q->index);
		break;
	case QUEUE_OVERDUE:
		moves_overdue(w, q->index);
		break;
	case QUEUE_END:
		if (!w->attempts[q->index].over)
			moves_end(w, q->index, MIGRATION_DONE, "");
		break;
	case QUEUE_MARK:
		take_mark(w, q->index, q->data);
		break;
	case QUEUE_PREVIEW:
		take_preview(w, &((const struct call *)q->data)->preview);
		break;
	default:
		take_call(w, q->data);
		break;
	}
}
