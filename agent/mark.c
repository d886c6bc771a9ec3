/* SPDX-License-Identifier: Apache-2.0 */
/* The drained host's own copy of its drain: durable before it is confirmed, so that a coordinator which
 * lost its whole store learns the drain from the host.
 *
 *	SetDrainMark --> journal --> starts are blocked --> libvirt lists its guests --> reply: how many
 *
 * The number in the reply is from a list that was begun after the mark was on the disk and starts
 * were refused: only such a list can say that the host is empty (invariant I9). Owner thread. */
#include "agent/mark.h"

#include "agent/host/power.h"
#include "agent/host/start_block.h"
#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct marking {
	struct agent *agent;
	struct mesh_incoming *in;
	struct journal_drain_mark mark;
	bool counting;           /* in agent->markings */
	uint64_t wanted_reading; /* the first that began after the mark was durable */
	struct marking *next;
};

static void count_no_more(struct marking *w)
{
	for (struct marking **at = &w->agent->markings; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	free(w);
}

static void marking_unwanted(void *context)
{
	struct marking *w = context;

	w->in = NULL;
	if (w->counting)
		count_no_more(w);
}

static void reply_count(struct marking *w)
{
	Drover__V1__SetDrainMarkReply reply = DROVER__V1__SET_DRAIN_MARK_REPLY__INIT;
	struct inventory_vm *vm, *next;

	HASH_ITER (hh, w->agent->inventory.vms, vm, next)
		reply.active_vms += vm->summary.active;
	mesh_reply(w->in, &reply.base);
}

void mark_guests_listed(struct agent *agent)
{
	for (struct marking *w = agent->markings, *next; w; w = next) {
		next = w->next;
		if (agent->inventory.valid &&
		    (agent->inventory.readings < w->wanted_reading || power_is_starting(agent)))
			continue;
		reply_count(w);
		count_no_more(w);
	}
}

/* "Empty" is said of a list taken after the mark: before it guests could still be admitted
 * (invariant I9), and one that was being started is waited for. Without libvirt there is no such
 * list, and nobody relies on the last one. */
static void count_guests(struct marking *w)
{
	struct inventory *inv = &w->agent->inventory;

	/* A reading that is under way began before. */
	w->wanted_reading = inv->readings + (inv->reading ? 2 : 1);
	inventory_refresh(inv);
	if (!inv->valid) {
		reply_count(w);
		free(w);
		return;
	}
	w->counting = true;
	w->next = w->agent->markings;
	w->agent->markings = w;
}

static void mark_in_journal(int rc, const struct error *err, void *context)
{
	struct marking *w = context;

	if (rc == 0) {
		w->agent->drain_mark = w->mark;
		start_block_update(w->agent);
		power_marked(w->agent);
		watchers_host(w->agent);
	}
	if (rc == 0 && w->in) {
		count_guests(w);
		return;
	}
	if (w->in)
		mesh_fail_error(w->in, err);
	free(w);
}

static int read_mark(const Drover__V1__DrainMark *from, struct journal_drain_mark *to,
                     struct error *err)
{
	if (!from)
		return error_set(err, ERROR_INVALID, "the mark is missing");
	if (from->drain_id.len &&
	    id_from_bytes(from->drain_id.data, from->drain_id.len, &to->drain_id) < 0)
		return error_set(err, ERROR_INVALID, "a drain id has 16 bytes, not %zu",
		                 from->drain_id.len);
	if (from->n_leave > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_TOO_LARGE, "at most %d guests can be left, not %zu",
		                 JOURNAL_LEAVE_MAX, from->n_leave);
	if (from->n_shut_down > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_TOO_LARGE,
		                 "at most %d guests can be shut down, not %zu", JOURNAL_LEAVE_MAX,
		                 from->n_shut_down);
	to->epoch = from->epoch;
	to->draining = from->draining;
	to->cordoned = from->cordoned;
	to->leave_unmovable = from->leave_unmovable;
	to->copy_disks = from->copy_disks;
	to->strategy = from->strategy;
	to->parallel = from->parallel;
	to->bandwidth_bytes_per_s = from->bandwidth_bytes_per_s;
	to->max_downtime_ms = from->max_downtime_ms;
	to->completion_timeout_ms_per_gib = from->completion_timeout_ms_per_gib;
	to->progress_timeout_ms = from->progress_timeout_ms;
	to->maintenance = from->maintenance;
	snprintf(to->reason, sizeof(to->reason), "%s", from->reason);
	for (size_t i = 0; i < from->n_leave; i++) {
		if (strlen(from->leave[i]) >= sizeof(to->leave[i]))
			return error_set(err, ERROR_TOO_LARGE,
			                 "the guest name %.64s... is too long", from->leave[i]);
		snprintf(to->leave[i], sizeof(to->leave[i]), "%s", from->leave[i]);
	}
	to->n_leave = from->n_leave;
	for (size_t i = 0; i < from->n_shut_down; i++) {
		if (strlen(from->shut_down[i]) != VM_UUID_BYTES - 1)
			return error_set(err, ERROR_INVALID, "\"%.64s\" is not a UUID",
			                 from->shut_down[i]);
		snprintf(to->shut_down[i], sizeof(to->shut_down[i]), "%s", from->shut_down[i]);
	}
	to->n_shut_down = from->n_shut_down;
	to->shutdown_timeout_ms = from->shutdown_timeout_ms;
	return 0;
}

void mark_set(struct agent *agent, struct mesh_incoming *in,
              const Drover__V1__SetDrainMarkRequest *request)
{
	struct marking *w = xnew(struct marking);
	struct journal_write write = { .kind = JOURNAL_WRITE_DRAIN_MARK };
	struct error err;

	if (read_mark(request->mark, &w->mark, &err) < 0 ||
	    agent_see_epoch(agent, w->mark.epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		free(w);
		return;
	}
	w->agent = agent;
	w->in = in;
	write.drain_mark = w->mark;
	mesh_incoming_on_cancel(in, marking_unwanted, w);
	journal_keeper_write(agent->journal, &write, mark_in_journal, w);
}

/* --- for the wire --- */

Drover__V1__DrainMark *mark_new(const struct journal_drain_mark *from)
{
	Drover__V1__DrainMark *m = xmalloc(sizeof(*m));

	drover__v1__drain_mark__init(m);
	m->drain_id.data = xmemdup(from->drain_id.bytes, ID_BYTES);
	m->drain_id.len = ID_BYTES;
	m->epoch = from->epoch;
	m->draining = from->draining;
	m->cordoned = from->cordoned;
	m->reason = xstrdup(from->reason);
	m->leave = xcalloc(from->n_leave, sizeof(*m->leave));
	m->n_leave = from->n_leave;
	for (size_t i = 0; i < from->n_leave; i++)
		m->leave[i] = xstrdup(from->leave[i]);
	m->shut_down = xcalloc(from->n_shut_down, sizeof(*m->shut_down));
	for (size_t i = 0; i < from->n_shut_down; i++)
		m->shut_down[m->n_shut_down++] = xstrdup(from->shut_down[i]);
	m->shutdown_timeout_ms = from->shutdown_timeout_ms;
	m->leave_unmovable = from->leave_unmovable;
	m->copy_disks = from->copy_disks;
	m->strategy = from->strategy;
	m->parallel = from->parallel;
	m->bandwidth_bytes_per_s = from->bandwidth_bytes_per_s;
	m->max_downtime_ms = from->max_downtime_ms;
	m->completion_timeout_ms_per_gib = from->completion_timeout_ms_per_gib;
	m->progress_timeout_ms = from->progress_timeout_ms;
	m->maintenance = from->maintenance;
	return m;
}
