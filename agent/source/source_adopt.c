/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent before us began, taken up from the journal: what had a tunnel may be moving or moved
 * and is watched and judged as any other; what had none never touched its guest. Owner thread only. */
#include "agent/source/source.h"

#include "agent/garbage/leftovers.h"
#include "common/alloc.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the agent before had measured. The clock may have begun anew since (a reboot), so the start is
 * counted back from now. */
static void take_figures(struct source_attempt *a)
{
	a->guard = (enum guard)a->order.guard;
	if (a->order.duration_ms < a->started_ms)
		a->started_ms -= a->order.duration_ms;
	a->downtime_ms = a->order.downtime_ms;
	a->transferred_bytes = a->order.transferred_bytes;
	a->wire_bytes = a->order.wire_bytes;
}

static void take_tunnel(struct source_attempt *a, const struct journal_thing *t)
{
	a->tunnel.pid = (pid_t)t->pid;
	a->tunnel.start_ticks = t->start_ticks;
	snprintf(a->tunnel.status_path, sizeof(a->tunnel.status_path), "%s", t->path);
}

static void adopt_ended(struct agent *agent, const struct journal_attempt *order,
                        const struct journal_state *past)
{
	struct source_attempt *a = source_new(agent, order);

	a->stage = SOURCE_ENDED;
	a->ended_ms = a->started_ms;
	take_figures(a);
	a->state = order->phase == JOURNAL_TOMBSTONED ? DROVER__V1__MIGRATION_STATE__CANCELLED
	                                              : (Drover__V1__MigrationState)order->state;
	a->reason.code = (enum error_code)order->error_code;
	memcpy(a->reason.text, order->reason, sizeof(a->reason.text));
	/* Had it been refused, the destination would know of nothing, and say so. */
	a->lease_taken = order->phase == JOURNAL_ENDED;
	for (size_t i = 0; i < past->n_things; i++) {
		const struct journal_thing *t = &past->things[i];

		if (!attempt_name_equal(&t->attempt, &order->attempt))
			continue;
		if (t->kind == JOURNAL_PROOF_FILE)
			source_remnants_add_place(a, t->path);
		if (t->kind == JOURNAL_TUNNEL)
			take_tunnel(a, t);
	}
	if (order->lease_owed)
		source_release_owed(a);
}

static void adopt_running(struct agent *agent, const struct journal_attempt *order,
                          const struct journal_state *past)
{
	struct source_attempt *a = source_new(agent, order);
	struct error why;

	take_figures(a);
	a->adopted = a->counted_late = true;
	a->pace.unknown = true;
	memcpy(a->migration_address, order->migration_address, sizeof(a->migration_address));
	a->port = order->port;
	a->disk_port = order->disk_port;
	snprintf(a->path.text, sizeof(a->path.text),
	         "not measured: the agent of %s was restarted while it moved",
	         agent->settings->node);
	for (size_t i = 0; i < past->n_things; i++) {
		const struct journal_thing *t = &past->things[i];

		if (!attempt_name_equal(&t->attempt, &order->attempt))
			continue;
		if (t->kind == JOURNAL_TUNNEL) {
			take_tunnel(a, t);
			a->tunnel_made = true;
		} else if (t->kind == JOURNAL_PROOF_FILE) {
			a->proofs = xreallocarray(a->proofs, a->n_proofs + 1, sizeof(*a->proofs));
			a->proofs[a->n_proofs] = (struct storage_proof){
				.method = STORAGE_INODE_NONCE
			};
			snprintf(a->proofs[a->n_proofs].nonce_path, sizeof(a->proofs[0].nonce_path),
			         "%s", t->path);
			a->n_proofs++;
			source_remnants_add_place(a, t->path);
		}
	}
	a->lease_taken = true; /* or may have been: releasing what is not there is harmless */
	if (order->state != 0) {
		/* Decided, and not yet cleaned up. */
		why.code = (enum error_code)order->error_code;
		memcpy(why.text, order->reason, sizeof(why.text));
		source_fail(a, (Drover__V1__MigrationState)order->state, &why);
		return;
	}
	/* The guard is written down as the last thing before libvirt is asked; that it waits no more, with it. */
	if (!order->waits_for_slot &&
	    (a->tunnel_made || a->guard != GUARD_NONE || order->no_guard)) {
		log_info("%s -> %s: adopted from the agent before", order->vm_name,
		         order->target_node);
		source_move_start(a);
		return;
	}
	/* Without a tunnel, or without a slot, libvirt was never asked to do anything. */
	error_set(&why, ERROR_CANCELLED,
	          "the agent of %s was restarted before the guest was touched",
	          agent->settings->node);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

/* --- what no record speaks of --- */

struct sweep_errand {
	struct errand errand;
	struct agent *agent;
	char directory[VM_PATH_BYTES];
	struct error error;
};

static void sweep_work(struct errand *e)
{
	struct sweep_errand *w = (struct sweep_errand *)e;

	(void)leftovers_remove_directory(w->agent->tunnels, w->directory, &w->error);
}

static void swept(struct errand *e)
{
	struct sweep_errand *w = (struct sweep_errand *)e;

	if (w->error.code != ERROR_NONE)
		log_warning("something of an attempt is left: %s", w->error.text);
	free(w);
}

/* Their records were in a journal that was damaged, and somebody has said since that all is over. */
static void sweep(struct agent *agent)
{
	char *parent = xasprintf("%s/attempts", agent->settings->run_dir);
	struct attempt_name *names = NULL;
	size_t n = leftovers_list(parent, &names);
	char text[ATTEMPT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		struct sweep_errand *w;

		if (source_find(agent, &names[i]))
			continue;
		w = xnew(struct sweep_errand);
		w->errand.work = sweep_work;
		w->errand.done = swept;
		w->agent = agent;
		snprintf(w->directory, sizeof(w->directory), "%s/%s", parent,
		         attempt_name_format(&names[i], text));
		log_info("removing %s, of an attempt that the journal does not know", w->directory);
		courier_send(agent->couriers, &w->errand);
	}
	free(names);
	free(parent);
}

void source_adopt(struct agent *agent, const struct journal_state *past)
{
	size_t first = past->n_attempts > SOURCE_ENDED_KEPT ? past->n_attempts - SOURCE_ENDED_KEPT
	                                                    : 0;

	for (size_t i = 0; i < past->n_attempts; i++) {
		if (past->attempts[i].phase == JOURNAL_STARTED)
			adopt_running(agent, &past->attempts[i], past);
		else if (i >= first)
			adopt_ended(agent, &past->attempts[i], past);
	}
	if (!agent->safe_mode)
		sweep(agent);
}
