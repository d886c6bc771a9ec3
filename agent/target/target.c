/* SPDX-License-Identifier: Apache-2.0 */
/* See target.h. Here: who may speak for an attempt, the end of a reservation and its adoption. Leases
 * are renewed in target_lease.c, the books kept in target_books.c, and what a source wants to know or
 * have done at the end of its move is in target_inspect.c. */
#include "agent/target/target.h"

#include "agent/failpoints.h"
#include "agent/garbage/leftovers.h"
#include "agent/target/target_images.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int target_check_source(struct agent *agent, const struct mesh_incoming *in,
                        const Drover__V1__Attempt *attempt, const char *source_node,
                        struct attempt_name *ret_name, struct error *err)
{
	const struct reservation *r;
	struct attempt_name name;

	if (wire_attempt_read(attempt, &name, err) < 0)
		return -(int)err->code;
	if (agent_check_speaker(in, source_node, err) < 0)
		return -(int)err->code;
	/* An operation may have come by many hosts in its earlier attempts, and they know its id. */
	r = reservations_find(agent->reservations, &name);
	if (r && strcmp(r->source_node, source_node) != 0)
		return error_set(err, ERROR_PERMISSION,
		                 "%s has no part in this attempt: it moves %s from %s to %s",
		                 source_node, r->vm_name, r->source_node, agent->settings->node);
	if (strcmp(source_node, agent->settings->node) == 0)
		return error_set(err, ERROR_INVALID, "source and destination are both %s",
		                 source_node);
	if (fences_cover(&agent->fences, source_node, name.epoch))
		return error_set(
			err, ERROR_STALE,
			"%s was declared dead: what it began up to epoch %llu is over, and "
			"was settled on %s without it",
			source_node, (unsigned long long)name.epoch, agent->settings->node);
	*ret_name = name;
	return 0;
}

struct inbound *inbound_find(struct agent *agent, const struct attempt_name *name)
{
	for (struct inbound *i = agent->inbound; i; i = i->next) {
		if (attempt_name_equal(&i->attempt, name))
			return i;
	}
	return NULL;
}

void inbound_format_directory(const struct agent *agent, const struct attempt_name *name, char *ret)
{
	char text[ATTEMPT_TEXT_BYTES];

	snprintf(ret, VM_PATH_BYTES, "%s/inbound/%s", agent->settings->run_dir,
	         attempt_name_format(name, text));
}

struct inbound *inbound_get(struct agent *agent, const struct attempt_name *name)
{
	struct inbound *i = inbound_find(agent, name);

	if (!i) {
		i = xnew(struct inbound);
		i->attempt = *name;
		inbound_format_directory(agent, name, i->directory);
		i->next = agent->inbound;
		agent->inbound = i;
	}
	return i;
}

void inbound_free(struct inbound *inbound)
{
	if (inbound->admitted)
		vm_description_deinit(inbound->admitted);
	free(inbound->admitted);
	free(inbound);
}

/* --- the end of a reservation --- */

struct end_errand {
	struct errand errand;
	struct agent *agent;
	struct inbound inbound;
	struct error error;
};

static void end_work(struct errand *e)
{
	struct end_errand *w = (struct end_errand *)e;

	FAILPOINT(target_before_cleaning);
	(void)leftovers_stop_tunnel(w->agent->tunnels, w->inbound.directory, &w->error);
	if (w->error.code == ERROR_NONE && w->inbound.tunnel_made)
		(void)w->agent->tunnels->stop(&w->inbound.tunnel, 2000, &w->error);
	if (w->error.code == ERROR_NONE)
		(void)leftovers_remove_directory(w->agent->tunnels, w->inbound.directory,
		                                 &w->error);
	FAILPOINT(target_after_cleaning);
}

static void end_done(struct errand *e)
{
	struct end_errand *w = (struct end_errand *)e;

	if (w->error.code != ERROR_NONE) {
		log_warning("something of a tunnel is left: %s", w->error.text);
	} else if (w->inbound.tunnel_made) {
		inbound_journal_tunnel(w->agent, &w->inbound, JOURNAL_WRITE_REMOVED);
	}
	free(w);
}

void inbound_end(struct agent *agent, const struct attempt_name *name)
{
	inbound_end_then(agent, name, NULL, NULL);
}

void inbound_end_then(struct agent *agent, const struct attempt_name *name,
                      void (*durable)(int rc, const struct error *err, void *context),
                      void *context)
{
	struct journal_write released = { .kind = JOURNAL_WRITE_RELEASED, .released = *name };

	(void)reservations_release(agent->reservations, name);
	journal_keeper_write(agent->journal, &released, durable, context);
	target_images_end(agent, name);

	for (struct inbound **at = &agent->inbound; *at; at = &(*at)->next) {
		struct inbound *i = *at;
		struct end_errand *w;

		if (!attempt_name_equal(&i->attempt, name))
			continue;
		*at = i->next;
		inbound_forget_bytes(agent, i);
		w = xnew(struct end_errand);
		w->errand.work = end_work;
		w->errand.done = end_done;
		w->agent = agent;
		w->inbound = *i;
		w->inbound.admitted = NULL;
		courier_send(agent->couriers, &w->errand);
		inbound_free(i);
		break;
	}
	watchers_host(agent);
}

/* --- what an agent before us promised --- */

/* What has a directory and no reservation: released, or never recorded, when the agent died. */
static void sweep(struct agent *agent)
{
	char *parent = xasprintf("%s/inbound", agent->settings->run_dir);
	struct attempt_name *names = NULL;
	size_t n = leftovers_list(parent, &names);

	for (size_t i = 0; i < n; i++) {
		if (reservations_find(agent->reservations, &names[i]))
			continue;
		log_info("removing what is left in %s of an attempt that has ended", parent);
		inbound_get(agent, &names[i]);
		inbound_end(agent, &names[i]);
	}
	free(names);
	free(parent);
}

void target_adopt(struct agent *agent, const struct journal_state *past)
{
	struct error err;

	for (size_t i = 0; i < past->n_released; i++)
		reservations_tombstone(agent->reservations, &past->released[i]);
	for (size_t i = 0; i < past->n_reservations; i++) {
		const struct reservation *r = &past->reservations[i];
		struct inbound *inbound;

		if (reservations_restore(agent->reservations, r, clock_now_ms(), &err) < 0) {
			log_warning("a reservation of %s: %s", r->vm_name, err.text);
			continue;
		}
		inbound = inbound_get(agent, &r->attempt);
		inbound->guard = r->guard;
		for (size_t t = 0; t < past->n_things; t++) {
			const struct journal_thing *thing = &past->things[t];

			if (thing->kind != JOURNAL_TUNNEL ||
			    !attempt_name_equal(&thing->attempt, &r->attempt))
				continue;
			inbound->tunnel.pid = (pid_t)thing->pid;
			inbound->tunnel.start_ticks = thing->start_ticks;
			snprintf(inbound->tunnel.status_path, sizeof(inbound->tunnel.status_path),
			         "%s", thing->path);
			inbound->tunnel_made = true;
		}
		if (r->source_address[0])
			inbound_expect_bytes(agent, inbound, r->source_address, r->port,
			                     r->disk_port);
		log_info("the reservation for %s from %s goes on", r->vm_name, r->source_node);
	}
	target_images_adopt(agent, past);
	/* Whose reservation was in the part that cannot be read may be moving right now. */
	if (!agent->safe_mode)
		sweep(agent);
}

void target_stop(struct agent *agent)
{
	for (struct inbound *i = agent->inbound, *next; i; i = next) {
		next = i->next;
		inbound_free(i);
	}
	agent->inbound = NULL;
	target_images_stop(agent);
}
