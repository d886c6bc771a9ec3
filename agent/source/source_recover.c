/* SPDX-License-Identifier: Apache-2.0 */
/* A post-copy that broke is resumed as soon as the network is back; one that stands still is noticed.
 * What is done when is agent/kernel/recovery.h.
 *
 *	MOVING     no bytes --> alarm --> network asked --> break, Relink: libvirt's call returns --.
 *	RESOLVING  both halves live --> back-off --> network asked --> Relink --> tunnel --.        |
 *	   ^-------------------------------------------------------------------------------+--------'
 *	   |                                                                               v
 *	   '------------------------- it returns --- MOVING: libvirt's call with "resume" -'
 *
 * Neither half is ever touched but by QEMU's own transfer: nothing here destroys, resumes or suspends a
 * guest, and every attempt is in the history. Owner thread, but for what waits. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/garbage/leftovers.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RELINK_TIMEOUT_MS 15000 /* the destination stops a tunnel and starts one */
#define LINK_TIMEOUT_MS   10000
#define LINK_POLL_MS      50
/* Attempts that are written down one by one: the history has room for the end, too. */
#define TOLD_ATTEMPTS 8

/* Into the history, and for the agent after this one. */
static void tell(struct source_attempt *a, const char *text)
{
	source_ladder_remember(a, text);
	source_journal_order(a);
}

static void failed(struct source_attempt *a, const struct error *why)
{
	uint64_t wait_ms = recovery_failed(&a->recovery, clock_now_ms());
	char text[ERROR_TEXT_BYTES], wait[UNITS_TEXT_BYTES];

	a->recovering = false;
	snprintf(text, sizeof(text),
	         "attempt %u to resume the post-copy has not ended it, the next one is in %s%s: "
	         "%.300s",
	         a->recovery.tries, units_format_duration(wait_ms, wait),
	         a->recovery.tries == TOLD_ATTEMPTS ? " (from here on only their number is told)"
	                                            : "",
	         why->text);
	if (a->recovery.tries <= TOLD_ATTEMPTS)
		tell(a, text);
	else
		log_warning("%s -> %s: %s", a->order.vm_name, a->order.target_node, text);
	source_changed(a);
}

static void failed_and_look(struct source_attempt *a, const struct error *why)
{
	failed(a, why);
	if (a->stage == SOURCE_RESOLVING)
		source_look_again(a, 0);
}

/* --- the new tunnel --- */

struct link_errand {
	struct source_errand base;
	struct tunnel old, tunnel;
	bool had_tunnel, made;
	char address[128], directory[VM_PATH_BYTES];
	int rc;
	struct error error;
};

static int await_link(const struct tunnel_ops *tunnels, const struct tunnel *t, struct error *err)
{
	uint64_t give_up_ms = clock_now_ms() + LINK_TIMEOUT_MS;
	struct tunnel_status status = { 0 };

	while (clock_now_ms() < give_up_ms) {
		if (tunnels->read_status(t, &status, err) < 0)
			return -(int)err->code;
		if (status.state == TUNNEL_LINKED)
			return 0;
		if (status.state == TUNNEL_FAILED)
			return error_set(err, (enum error_code)status.error_code, "%s",
			                 status.error_text);
		(void)poll(NULL, 0, LINK_POLL_MS);
	}
	return error_set(err, ERROR_TIMEOUT, "no answer within %d s", LINK_TIMEOUT_MS / 1000);
}

static void link_work(struct errand *e)
{
	struct link_errand *l = (struct link_errand *)e;
	struct source_attempt *a = l->base.attempt;
	const struct tunnel_ops *tunnels = a->agent->tunnels;

	/* The agent before us may have made one that it could not write down. */
	l->rc = leftovers_stop_tunnel(tunnels, l->directory, &l->error);
	if (l->rc == 0 && l->had_tunnel)
		l->rc = tunnels->stop(&l->old, 2000, &l->error);
	/* A host that was rebooted has no such directory any more. */
	if (l->rc == 0)
		(void)mkdir(l->directory, 0700);
	if (l->rc == 0)
		l->rc = FAILPOINT_ERROR(source_before_relink_tunnel, &l->error);
	if (l->rc == 0)
		l->rc = source_spawn_tunnel(a->agent, &a->order.attempt, a->order.target_node,
		                            l->address, &l->tunnel, &l->error);
	l->made = l->rc == 0;
	if (l->made)
		FAILPOINT(source_after_relink_tunnel);
	if (l->rc == 0)
		l->rc = await_link(tunnels, &l->tunnel, &l->error);
	if (l->rc < 0)
		error_context(&l->error, "tunnel to %s", a->order.target_node);
}

static void linked(struct errand *e)
{
	struct link_errand *l = (struct link_errand *)e;
	struct source_attempt *a = l->base.attempt;
	bool wanted = source_home(&l->base, SOURCE_RESOLVING);

	if (l->had_tunnel && l->made)
		source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_TUNNEL, l->old.status_path,
		                     &l->old);
	if (l->made) {
		a->tunnel = l->tunnel;
		a->tunnel_made = true;
		source_journal_thing(a, JOURNAL_WRITE_MADE, JOURNAL_TUNNEL, l->tunnel.status_path,
		                     &l->tunnel);
	}
	a->preparing = false;
	if (!wanted) {
		a->recovering = false;
		if (a->stage == SOURCE_CLEANING)
			source_clean(a);
	} else if (l->rc < 0) {
		failed_and_look(a, &l->error);
	} else {
		char text[128];

		snprintf(text, sizeof(text), "the post-copy is being resumed, attempt %u",
		         a->recovery.tries);
		if (a->recovery.tries <= TOLD_ATTEMPTS)
			tell(a, text);
		a->recovering = false;
		FAILPOINT(source_before_postcopy_resume);
		source_move_resume(a);
	}
	free(l);
}

static void link_again(struct source_attempt *a, const char *address)
{
	struct link_errand *l = xnew(struct link_errand);
	char text[ATTEMPT_TEXT_BYTES];

	l->base.errand.work = link_work;
	l->base.errand.done = linked;
	l->old = a->tunnel;
	l->had_tunnel = a->tunnel_made;
	snprintf(l->address, sizeof(l->address), "%s", address);
	snprintf(l->directory, sizeof(l->directory), "%s/attempts/%s", a->agent->settings->run_dir,
	         attempt_name_format(&a->order.attempt, text));
	a->preparing = true;
	source_send(a, &l->base, a->agent->couriers);
}

/* --- asking the destination --- */

static int take_reply(struct source_attempt *a, const Drover__V1__RelinkReply *r, struct error *err)
{
	if (!r->tunnel_address[0] || r->memory_port == 0 || r->memory_port > UINT16_MAX ||
	    strlen(r->tunnel_address) >= sizeof(a->tunnel_address) ||
	    strlen(r->migration_address) >= sizeof(a->migration_address))
		return error_set(err, ERROR_PROTOCOL, "%s answered without a usable address",
		                 a->order.target_node);
	snprintf(a->tunnel_address, sizeof(a->tunnel_address), "%s", r->tunnel_address);
	snprintf(a->migration_address, sizeof(a->migration_address), "%s", r->migration_address);
	a->port = (uint16_t)r->memory_port;
	return 0;
}

static void relinked(const struct mesh_result *result, const Drover__V1__RelinkReply *reply,
                     void *context)
{
	struct source_attempt *a = context;
	struct error err;

	a->errands--;
	/* While libvirt's call has not returned that was only to make it return. */
	if (a->stage != SOURCE_RESOLVING || !a->recovering) {
		a->recovering = false;
		return;
	}
	if (result->status != MESH_OK) {
		err = result->error;
		error_context(&err, "asking %s to take the rest", a->order.target_node);
		failed_and_look(a, &err);
	} else if (take_reply(a, reply, &err) < 0) {
		failed_and_look(a, &err);
	} else {
		FAILPOINT(source_after_relink);
		link_again(a, a->tunnel_address);
	}
}

static void ask_relink(struct mesh_connection *c, const struct error *err, void *context)
{
	struct source_attempt *a = context;
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;

	if (!c || (a->stage != SOURCE_RESOLVING && a->stage != SOURCE_MOVING)) {
		a->errands--;
		if (a->stage == SOURCE_RESOLVING && a->recovering)
			failed_and_look(a, err);
		a->recovering = false;
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	FAILPOINT(source_before_relink);
	agent_call_relink(c, &request, RELINK_TIMEOUT_MS, relinked, a);
	wire_free(request.attempt);
}

static void relink(struct source_attempt *a)
{
	a->errands++;
	peers_with_connection(a->agent, a->order.target_node, a->order.target_address, 3000,
	                      ask_relink, a);
}

/* --- asking the network --- */

struct probe_errand {
	struct source_errand base;
	char from[64], to[64];
	uint16_t port;
	bool breaks; /* what stands still is broken if it answers */
	int rc;
	struct error error;
};

static void probe_work(struct errand *e)
{
	struct probe_errand *p = (struct probe_errand *)e;

	/* An agent that was restarted does not know where; the destination says it. */
	if (p->to[0])
		p->rc = p->base.attempt->agent->tunnels->probe(p->from, p->to, p->port, &p->error);
}

struct break_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	struct error error;
};

static void break_work(struct errand *e)
{
	struct break_errand *b = (struct break_errand *)e;

	if (FAILPOINT_ERROR(source_before_break, &b->error) == 0)
		(void)b->hypervisor->ops->break_postcopy(b->hypervisor, b->uuid, &b->error);
	FAILPOINT(source_after_break);
}

static void broken(struct errand *e)
{
	struct break_errand *b = (struct break_errand *)e;
	struct source_attempt *a = b->base.attempt;

	/* If its source has noticed by itself, there is nothing to break; the destination may not have. */
	if (b->error.code != ERROR_NONE)
		log_debug("%s: %s", a->order.vm_name, b->error.text);
	if (source_home(&b->base, SOURCE_MOVING))
		relink(a);
	else
		a->recovering = false;
	free(b);
}

static void break_stalled(struct source_attempt *a)
{
	struct break_errand *b = xnew(struct break_errand);

	tell(a, "the migration network answers, and the post-copy's connection "
	        "is dead: it is broken, to be resumed over another");
	b->base.errand.work = break_work;
	b->base.errand.done = broken;
	b->hypervisor = a->agent->hypervisor;
	memcpy(b->uuid, a->order.vm_uuid, sizeof(b->uuid));
	source_send(a, &b->base, a->agent->couriers);
}

static void probed(struct errand *e)
{
	struct probe_errand *p = (struct probe_errand *)e;
	struct source_attempt *a = p->base.attempt;
	bool home = source_home(&p->base, p->breaks ? SOURCE_MOVING : SOURCE_RESOLVING);

	if (home && !p->breaks && p->rc < 0)
		failed_and_look(a, &p->error);
	else if (home && !p->breaks)
		relink(a);
	else if (home && recovery_answered(&a->recovery, p->rc == 0) == RECOVERY_BREAK)
		break_stalled(a);
	else
		a->recovering = false;
	free(p);
}

static void probe(struct source_attempt *a, bool breaks)
{
	struct probe_errand *p = xnew(struct probe_errand);

	a->recovering = true;
	p->base.errand.work = probe_work;
	p->base.errand.done = probed;
	snprintf(p->from, sizeof(p->from), "%s", a->agent->settings->migration_address);
	snprintf(p->to, sizeof(p->to), "%s", a->migration_address);
	p->port = a->port;
	p->breaks = breaks;
	source_send(a, &p->base, a->agent->couriers);
}

/* --- what the rest of the attempt calls --- */

static void alarm_stall(struct source_attempt *a, uint64_t silent_ms)
{
	char silent[UNITS_TEXT_BYTES];

	error_set(&a->reason, ERROR_TIMEOUT,
	          "the post-copy is stalled: nothing was received for %s, and the guest stands "
	          "still at the first page that is missing. Both halves are kept: destroy neither, "
	          "and repair the migration network from %s to %s; it goes on by itself then",
	          units_format_duration(silent_ms, silent), a->agent->settings->node,
	          a->order.target_node);
	log_error("%s -> %s: %s", a->order.vm_name, a->order.target_node, a->reason.text);
	tell(a, "the post-copy is stalled");
	a->state = DROVER__V1__MIGRATION_STATE__UNRESOLVED;
	a->alarm = true;
}

void source_recover_watch(struct source_attempt *a)
{
	uint64_t now_ms = clock_now_ms(), silent_ms = now_ms - a->convergence.last_growth_ms;
	bool silent = a->convergence.seen_bytes && silent_ms >= CONVERGENCE_STALL_MS;

	if (!a->order.post_copy || a->recovering)
		return;
	switch (recovery_watch(&a->recovery, silent, now_ms)) {
	case RECOVERY_ALARM:
		alarm_stall(a, silent_ms);
		break;
	case RECOVERY_PROBE:
		probe(a, true);
		break;
	case RECOVERY_RELIEF:
		tell(a, "the post-copy goes on");
		error_clear(&a->reason);
		a->state = DROVER__V1__MIGRATION_STATE__SWITCHING;
		a->alarm = false;
		break;
	default:
		break;
	}
}

bool source_recover(struct source_attempt *a)
{
	/* The call of a move that was not adopted has returned, or we would not be here. */
	if (a->recovering || recovery_step(&a->recovery, clock_now_ms()) != RECOVERY_TRY)
		return false;
	probe(a, false);
	return true;
}

void source_recover_returned(struct source_attempt *a, const struct error *why)
{
	struct error unclear;

	a->resuming = false;
	if (!why)
		return;
	/* No proof of anything: libvirt also says so of a transfer that goes on and ends well. */
	error_set(&unclear, why->code, "its outcome is looked at on both hosts: %.300s", why->text);
	failed(a, &unclear);
}

void source_recover_ended(struct source_attempt *a)
{
	if (a->recovery.tries > 0)
		tell(a, "the post-copy was resumed and has ended");
}
