/* SPDX-License-Identifier: Apache-2.0 */
/* See source.h. Here: the list of attempts, and the end of each. Orders are in source_orders.c, what
 * happens before the guest is touched in source_prepare.c, the move in source_move.c, the judgement
 * in source_resolve.c, what an agent before us began in source_adopt.c. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/garbage/leftovers.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ended attempts that stay in memory, so that a coordinator which was away hears of them. */
#define SOURCE_ENDED_KEPT 256
/* A reservation that could not be given back: asked again this often, and so many times (an hour). A
 * guest that lives there keeps it from expiring, and with it a port and a tunnel. */
#define RELEASE_AGAIN_MS 5000
#define END_AGAIN_MS     5000 /* a full disk */
#define RELEASE_TRIES    720

static const char *const stage_names[] = {
	[SOURCE_ACCEPTING] = "accepting", [SOURCE_DESCRIBING] = "describing",
	[SOURCE_ADMITTING] = "admitting", [SOURCE_LINKING] = "linking",
	[SOURCE_PREPARED] = "prepared",   [SOURCE_MOVING] = "moving",
	[SOURCE_RESOLVING] = "resolving", [SOURCE_CLEANING] = "cleaning",
	[SOURCE_ENDED] = "ended",
};
static_assert(ARRAY_SIZE(stage_names) == SOURCE_STAGES, "every stage has a name");

const char *source_stage_name(enum source_stage stage)
{
	return stage_names[stage];
}

struct source_attempt *source_find(struct agent *agent, const struct attempt_name *name)
{
	for (struct source_attempt *a = agent->attempts; a; a = a->next) {
		if (attempt_name_equal(&a->order.attempt, name))
			return a;
	}
	return NULL;
}

struct source_attempt *source_find_vm(struct agent *agent, const char *uuid)
{
	for (struct source_attempt *a = agent->attempts; a; a = a->next) {
		if (a->stage != SOURCE_ENDED && strcmp(a->order.vm_uuid, uuid) == 0)
			return a;
	}
	return NULL;
}

unsigned source_count_active(const struct agent *agent)
{
	unsigned count = 0;

	for (const struct source_attempt *a = agent->attempts; a; a = a->next)
		count += a->stage != SOURCE_ENDED;
	return count;
}

unsigned source_count_slots(const struct agent *agent)
{
	unsigned count = 0;

	for (const struct source_attempt *a = agent->attempts; a; a = a->next)
		count += a->stage != SOURCE_ENDED && !a->order.waits_for_slot;
	return count;
}

unsigned source_count_moving(const struct agent *agent)
{
	unsigned count = 0;

	for (const struct source_attempt *a = agent->attempts; a; a = a->next)
		count += a->stage >= SOURCE_LINKING && a->stage <= SOURCE_RESOLVING;
	return count;
}

static void attempt_free(struct source_attempt *a)
{
	loop_timer_stop(a->agent->loop, &a->timer);
	loop_timer_stop(a->agent->loop, &a->end_timer);
	loop_timer_stop(a->agent->loop, &a->verify_timer);
	courier_pool_free(a->mover);
	wire_free(a->left);
	free(a->checks);
	free(a->connections);
	free(a->proofs);
	free(a->disks);
	source_remnants_free(a);
	free(a);
}

void source_forget(struct source_attempt *a)
{
	for (struct source_attempt **at = &a->agent->attempts; *at; at = &(*at)->next) {
		if (*at == a) {
			*at = a->next;
			attempt_free(a);
			return;
		}
	}
}

static void forget_oldest(struct agent *agent)
{
	struct source_attempt **oldest = NULL;
	unsigned ended = 0;

	for (struct source_attempt **at = &agent->attempts; *at; at = &(*at)->next) {
		if ((*at)->stage == SOURCE_ENDED && (*at)->errands == 0) {
			ended++;
			oldest = at;
		}
	}
	if (ended > SOURCE_ENDED_KEPT) {
		struct source_attempt *a = *oldest;

		*oldest = a->next;
		attempt_free(a);
	}
}

struct source_attempt *source_new(struct agent *agent, const struct journal_attempt *order)
{
	struct source_attempt *a = xnew(struct source_attempt);

	a->agent = agent;
	a->order = *order;
	a->state = DROVER__V1__MIGRATION_STATE__PLANNED;
	a->started_ms = clock_now_ms();
	a->stage_since_ms = a->started_ms;
	a->timer.context = a;
	a->next = agent->attempts;
	agent->attempts = a;
	forget_oldest(agent);
	return a;
}

void source_send(struct source_attempt *a, struct source_errand *e, struct courier_pool *pool)
{
	e->attempt = a;
	a->errands++;
	courier_send(pool, &e->errand);
}

bool source_home(struct source_errand *e, enum source_stage stage)
{
	struct source_attempt *a = e->attempt;

	assert(a->errands > 0);
	a->errands--;
	return a->stage == stage;
}

void source_changed(struct source_attempt *a)
{
	watchers_attempt(a->agent, a);
}

void source_enter(struct source_attempt *a, enum source_stage stage)
{
	log_debug("%s -> %s: %s", a->order.vm_name, a->order.target_node, source_stage_name(stage));
	loop_timer_stop(a->agent->loop, &a->timer);
	a->stage_ms[a->stage] += clock_now_ms() - a->stage_since_ms;
	if (a->stage == SOURCE_MOVING)
		source_lanes_left(a);
	a->stage = stage;
	a->stage_since_ms = clock_now_ms();
}

void source_journal_order(const struct source_attempt *a)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT, .attempt = a->order };

	journal_keeper_write(a->agent->journal, &w, NULL, NULL);
}

void source_journal_thing(struct source_attempt *a, enum journal_record_kind made_or_removed,
                          enum journal_thing_kind kind, const char *path,
                          const struct tunnel *tunnel)
{
	struct journal_write w = { .kind = made_or_removed };

	if (!path[0])
		return;
	w.thing.attempt = a->order.attempt;
	w.thing.kind = kind;
	if (tunnel) {
		w.thing.pid = (uint32_t)tunnel->pid;
		w.thing.start_ticks = tunnel->start_ticks;
	}
	snprintf(w.thing.path, sizeof(w.thing.path), "%s", path);
	journal_keeper_write(a->agent->journal, &w, NULL, NULL);
}

/* --- the end --- */

struct clean_errand {
	struct source_errand base;
	struct tunnel tunnel;
	bool has_tunnel;
	char directory[VM_PATH_BYTES];
	struct storage_proof *proofs; /* owned */
	size_t n_proofs;
	bool search_proofs; /* some may have been made that the journal does not know */
	struct attempt_name name;
	char uuid[VM_UUID_BYTES];
	struct error error; /* the first thing that could not be removed */
};

static void clean_work(struct errand *e)
{
	struct clean_errand *c = (struct clean_errand *)e;
	const struct tunnel_ops *tunnels = c->base.attempt->agent->tunnels;
	struct error err;

	FAILPOINT(source_before_cleaning);
	if (leftovers_stop_tunnel(tunnels, c->directory, &err) < 0 ||
	    (c->has_tunnel && tunnels->stop(&c->tunnel, 2000, &err) < 0))
		c->error = err;
	for (size_t i = 0; i < c->n_proofs; i++) {
		if (storage_proof_clean(&c->proofs[i], &err) < 0)
			c->error = err;
	}
	if (leftovers_remove_directory(tunnels, c->directory, &err) < 0)
		c->error = err;
	if (c->search_proofs)
		leftovers_remove_proofs(c->base.attempt->agent->hypervisor, c->uuid, &c->name);
	FAILPOINT(source_after_cleaning);
}

static void write_end(struct source_attempt *a);

static void write_end_again(void *context)
{
	struct source_attempt *a = context;

	a->errands--;
	write_end(a);
}

static void ended_in_journal(int rc, const struct error *err, void *context)
{
	struct source_attempt *a = context;

	FAILPOINT(source_after_end_journaled);
	a->errands--;
	/* Until it is there, nobody may rely on this end: an agent that finds the attempt open would
	 * look for a guest that has moved on since, and could not tell how it ended. */
	if (rc < 0 && !a->agent->stopping) {
		log_error("%s: the end could not be journaled and is tried again: %s",
		          a->order.vm_name, err->text);
		a->errands++; /* for the timer */
		a->end_timer.fire = write_end_again;
		a->end_timer.context = a;
		loop_timer_start(a->agent->loop, &a->end_timer, END_AGAIN_MS);
		return;
	}
	a->ending = false;
	source_changed(a);
}

static struct journal_write write_outcome(struct source_attempt *a)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT };

	a->order.state = (uint32_t)a->state;
	a->order.error_code = (uint32_t)a->reason.code;
	memcpy(a->order.reason, a->reason.text, sizeof(a->order.reason));
	a->order.wall_ms = clock_wall_ms();
	/* As it is reported: what it waited for its slot is no part of it. */
	a->order.duration_ms = (a->ended_ms ? a->ended_ms : clock_now_ms()) - a->started_ms -
	                       a->stage_ms[SOURCE_PREPARED];
	a->order.downtime_ms = a->downtime_ms;
	a->order.transferred_bytes = a->transferred_bytes;
	a->order.wire_bytes = a->wire_bytes;
	w.attempt = a->order;
	return w;
}

static void decided_in_journal(int rc, const struct error *err, void *context)
{
	(void)context;
	FAILPOINT(source_after_decided_journaled);
	if (rc < 0)
		log_error("journal: %s", err->text);
}

/* Before the things are removed by which a later agent could judge. */
static void write_decided(struct source_attempt *a)
{
	struct journal_write w = write_outcome(a);

	FAILPOINT(source_before_decided_journaled);
	journal_keeper_write(a->agent->journal, &w, decided_in_journal, NULL);
}

static void write_end(struct source_attempt *a)
{
	struct journal_write w;

	a->order.phase = JOURNAL_ENDED;
	w = write_outcome(a);
	a->ending = true;
	a->errands++;
	journal_keeper_write(a->agent->journal, &w, ended_in_journal, a);
}

void source_end(struct source_attempt *a)
{
	source_enter(a, SOURCE_ENDED);
	a->ended_ms = clock_now_ms();
	source_traffic_stop(a);
	/* Its call has returned: after MOVING there is none, and before there was none. */
	courier_pool_free(a->mover);
	a->mover = NULL;
	write_end(a);
	if (a->order.lease_owed && !a->agent->stopping && !a->target_fenced)
		source_release_owed(a);
	log_info("%s -> %s %s%s%s", a->order.vm_name, a->order.target_node,
	         source_state_name(a->state), a->reason.text[0] ? ": " : "", a->reason.text);
	inventory_refresh(&a->agent->inventory);
}

static void release_lease(struct mesh_connection *c, const struct error *err, void *context);

static void release(struct source_attempt *a)
{
	a->errands++;
	a->releasing = true;
	peers_with_connection(a->agent, a->order.target_node, a->order.target_address, 3000,
	                      release_lease, a);
}

static void release_again(void *context)
{
	struct source_attempt *a = context;

	a->errands--;
	release(a);
}

void source_release_owed(struct source_attempt *a)
{
	a->errands++; /* for the timer */
	a->releasing = true;
	a->timer.fire = release_again;
	loop_timer_start(a->agent->loop, &a->timer, RELEASE_AGAIN_MS);
}

void source_release_now(struct source_attempt *a)
{
	a->release_tries = 0;
	if (!a->releasing)
		release(a);
}

/* The attempt ends without waiting for it: the destination may be gone for good. */
static void release_later(struct source_attempt *a, const struct error *why)
{
	a->releasing = false;
	if (a->stage == SOURCE_CLEANING) {
		log_warning("%s: %s still holds the reservation and is asked again: %s",
		            a->order.vm_name, a->order.target_node, why->text);
		a->order.lease_owed = true;
		source_remnants_look(a, why); /* once it has ended the release goes on */
		return;
	}
	if (a->agent->stopping || a->target_fenced || ++a->release_tries > RELEASE_TRIES)
		return;
	source_release_owed(a);
}

static void lease_released(const struct mesh_result *result, const Drover__V1__LeaseReply *reply,
                           void *context)
{
	struct source_attempt *a = context;

	(void)reply;
	FAILPOINT(source_after_release);
	a->errands--;
	a->releasing = false;
	if (result->status != MESH_OK) {
		release_later(a, &result->error);
	} else if (a->stage == SOURCE_CLEANING) {
		source_remnants_look(a, NULL);
	} else if (a->order.lease_owed) {
		a->order.lease_owed = false;
		write_end(a);
		source_remnants_look_again(a);
	}
}

static void release_lease(struct mesh_connection *c, const struct error *err, void *context)
{
	struct source_attempt *a = context;
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;

	if (!c) {
		a->errands--;
		release_later(a, err);
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	FAILPOINT(source_before_release);
	agent_call_release_lease(c, &request, 5000, lease_released, a);
	wire_free(request.attempt);
}

/* Both are through: what is here is gone, and what is there was looked at. */
static void give_back(struct source_attempt *a)
{
	if (a->verifying || !a->cleaned)
		return;
	if (a->lease_taken)
		release(a);
	else
		source_remnants_look(a, NULL);
}

void source_verified(struct source_attempt *a)
{
	a->verifying = false;
	give_back(a);
}

static void cleaned(struct errand *e)
{
	struct clean_errand *c = (struct clean_errand *)e;
	struct source_attempt *a = c->base.attempt;

	if (source_home(&c->base, SOURCE_CLEANING)) {
		if (c->error.code != ERROR_NONE) {
			snprintf(a->leftover, sizeof(a->leftover), "%.250s", c->error.text);
		} else {
			for (size_t i = 0; i < c->n_proofs; i++)
				source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_PROOF_FILE,
				                     c->proofs[i].nonce_path, NULL);
			if (c->has_tunnel)
				source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_TUNNEL,
				                     c->tunnel.status_path, &c->tunnel);
		}
		a->tunnel_made = false;
		a->cleaned = true;
		give_back(a);
	}
	free(c->proofs);
	free(c);
}

void source_clean(struct source_attempt *a)
{
	struct clean_errand *c = xnew(struct clean_errand);
	char text[ATTEMPT_TEXT_BYTES];

	c->base.errand.work = clean_work;
	c->base.errand.done = cleaned;
	c->tunnel = a->tunnel;
	c->has_tunnel = a->tunnel_made;
	snprintf(c->directory, sizeof(c->directory), "%s/attempts/%s", a->agent->settings->run_dir,
	         attempt_name_format(&a->order.attempt, text));
	c->proofs = a->proofs;
	c->n_proofs = a->n_proofs;
	c->search_proofs = a->adopted && !a->tunnel_made;
	c->name = a->order.attempt;
	memcpy(c->uuid, a->order.vm_uuid, sizeof(c->uuid));
	a->proofs = NULL;
	a->n_proofs = 0;
	source_send(a, &c->base, a->agent->couriers);
}

void source_fail(struct source_attempt *a, Drover__V1__MigrationState state,
                 const struct error *why)
{
	if (a->stage >= SOURCE_CLEANING)
		return;
	a->state = state;
	if (why)
		a->reason = *why;
	source_enter(a, SOURCE_CLEANING);
	write_decided(a);
	if (state == DROVER__V1__MIGRATION_STATE__DONE)
		source_verify(a);
	if (!a->preparing)
		source_clean(a);
	source_changed(a);
}

void source_freeze(struct agent *agent)
{
	for (struct source_attempt *a = agent->attempts; a; a = a->next) {
		loop_timer_stop(agent->loop, &a->timer);
		loop_timer_stop(agent->loop, &a->end_timer);
		source_remnants_freeze(a);
		loop_timer_stop(agent->loop, &a->verify_timer);
		a->stage = SOURCE_ENDED;
		courier_pool_free(a->mover);
		a->mover = NULL;
	}
}

void source_stop(struct agent *agent)
{
	for (struct source_attempt *a = agent->attempts, *next; a; a = next) {
		next = a->next;
		attempt_free(a);
	}
	agent->attempts = NULL;
}
