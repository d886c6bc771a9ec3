/* SPDX-License-Identifier: Apache-2.0 */
/* Guests on their way here when their source was declared dead: the matrix of resolve.h, with the
 * source as "gone" where it would have been "unreachable" for ever.
 *
 *	the tunnel is cut first      nothing of the source can reach libvirt here any more
 *	running here                 it has arrived: lease, port and tunnel go
 *	paused, two-step             complete, and nobody else can resume it: commit, then as above
 *	paused otherwise             a person's pause: it stays, the lease goes
 *	incoming                     incomplete; libvirt drops it with the control connection, once that is
 *	                             cut. If it does not, that is said: we destroy nothing (invariant I7)
 *	not here                     the lease goes; the guest was on the dead host, or has run here since
 *
 * When it was this host that was declared dead, and is back, its sources have decided without it: what
 * is not here is released, and a paused copy is left to a person.
 *
 * Level-triggered: each second every reservation that a fence covers and that is not settled. */
#include "agent/fence.h"

#include "agent/kernel/resolve.h"
#include "agent/target/target.h"
#include "agent/target/target_images.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many settled ones are told about. */
#define SETTLED_KEPT 64
/* How long libvirt may take to drop an incomplete guest before people are asked. */
#define DROP_PATIENCE_MS 15000

struct settlement {
	struct attempt_name attempt;
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char source_node[128];
	enum target_view view; /* the last one taken */
	bool settled;
	bool has_run; /* here, before or after */
	bool looking; /* an errand is under way */
	bool told;
	uint64_t since_ms;
	char text[256];
	struct settlement *next;
};

struct settle_errand {
	struct errand errand;
	struct agent *agent;
	struct settlement *settlement; /* borrowed; not freed while it is looking */
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	struct tunnel tunnel;
	bool has_tunnel;
	enum guard guard;
	bool arrives_paused, arrives_autostart, has_run;
	bool images_kept, wants_images; /* its images are its own; must become so first */
	bool self; /* this host was declared dead, not the source: nothing is resumed */
	enum target_view view;
	enum resolution resolution;
	struct error error;
};

static enum target_view look(struct settle_errand *s)
{
	struct error ignored; /* the code says all: not found, or cannot be asked */
	struct vm_summary vm;
	int rc = s->hypervisor->ops->find(s->hypervisor, s->uuid, &vm, &ignored);

	return target_view_from(rc == 0 || rc == -ERROR_NOT_FOUND, rc == 0, &vm);
}

static enum resolution judge(const struct settle_errand *s)
{
	struct resolve_input in = {
		.source = SOURCE_GONE,
		.target = s->view,
		.job = JOB_NONE,
		.guard = s->guard,
		.target_is_ours = true,
		.paused_before = s->arrives_paused,
		.target_has_run = s->has_run,
	};

	/* The source has decided without us, and may have the guest. */
	if (s->self && (s->view == TARGET_PAUSED || s->view == TARGET_INCOMING))
		return RESOLVE_WAIT;
	return resolve(&in);
}

static void settle_work(struct errand *e)
{
	struct settle_errand *s = (struct settle_errand *)e;

	if (s->has_tunnel && s->agent->tunnels->stop(&s->tunnel, 2000, &s->error) < 0) {
		/* The source, if it lived, could still reach libvirt here: do nothing yet. */
		s->view = TARGET_UNREACHABLE;
		s->resolution = RESOLVE_WAIT;
		return;
	}
	s->view = look(s);
	s->resolution = judge(s);
	/* What is complete here is all there is of the guest, its copied disks too. */
	if (!s->images_kept && (s->resolution == RESOLVE_COMMIT_TARGET ||
	                        (s->resolution == RESOLVE_DONE && !s->self))) {
		s->wants_images = true;
		s->resolution = RESOLVE_WAIT;
		return;
	}
	if (s->resolution == RESOLVE_COMMIT_TARGET) {
		if (s->hypervisor->ops->resume(s->hypervisor, s->uuid, &s->error) < 0)
			return;
		s->view = look(s);
		s->resolution = judge(s);
	}
	/* As the source's commit would have: its own autostart was switched off for the move. */
	if (s->resolution == RESOLVE_DONE && s->arrives_autostart && !s->self &&
	    s->view != TARGET_ABSENT)
		(void)s->hypervisor->ops->set_autostart(s->hypervisor, s->uuid, true, &s->error);
}

static void say(struct settlement *t, const struct settle_errand *s, const char *node)
{
	if (s->error.code != ERROR_NONE)
		snprintf(t->text, sizeof(t->text), "%.250s", s->error.text);
	else if (t->view == TARGET_UNREACHABLE)
		snprintf(t->text, sizeof(t->text), "libvirt on %s does not answer", node);
	else if (t->view == TARGET_PAUSED)
		snprintf(
			t->text, sizeof(t->text),
			"a paused copy of %.64s is left on %.64s, which was declared dead while it "
			"arrived; once it is certain that it runs elsewhere: virsh destroy %.64s",
			t->vm_name, node, t->vm_name);
	else
		snprintf(t->text, sizeof(t->text),
		         "an incomplete copy of %.64s is still on %.64s; it can never run: virsh "
		         "destroy %.64s",
		         t->vm_name, node, t->vm_name);
	if (!t->told && clock_now_ms() - t->since_ms > DROP_PATIENCE_MS) {
		log_error("%s from %s: %s", t->vm_name, t->source_node, t->text);
		t->told = true;
	}
}

static void settled(struct errand *e)
{
	struct settle_errand *s = (struct settle_errand *)e;
	struct settlement *t = s->settlement;
	struct agent *agent = s->agent;

	t->looking = false;
	t->view = s->view;
	t->has_run = s->has_run || s->view == TARGET_RUNNING;
	switch (s->resolution) {
	case RESOLVE_DONE:
	case RESOLVE_LOST: /* not here: it was on the dead host */
		t->settled = true;
		snprintf(t->text, sizeof(t->text), "%s%s%.180s",
		         s->view == TARGET_PAUSED ? "complete, and paused" : "",
		         s->error.code != ERROR_NONE ? "; autostart is not set: " : "",
		         s->error.code != ERROR_NONE ? s->error.text : "");
		log_warning("%s from %s, %s declared dead: %s; its reservation ends", t->vm_name,
		            t->source_node, s->self ? "when this host was" : "which was",
		            s->view == TARGET_RUNNING  ? "it runs here"
		            : s->view == TARGET_PAUSED ? "it is here, paused"
		            : s->has_run               ? "it ran here, and does not any more"
		                                       : "it is not here");
		if (!agent->stopping)
			inbound_end(agent, &t->attempt);
		break;
	default:
		say(t, s, agent->settings->node);
		break;
	}
	if (s->wants_images && !agent->stopping)
		target_images_keep(agent, &t->attempt, NULL, NULL);
	if (!agent->stopping)
		inventory_refresh(&agent->inventory);
	free(s);
}

static struct settlement *find(const struct agent *agent, const struct attempt_name *name)
{
	for (struct settlement *t = agent->settlements; t; t = t->next) {
		if (attempt_name_equal(&t->attempt, name))
			return t;
	}
	return NULL;
}

static struct settlement *get(struct agent *agent, const struct reservation *r)
{
	struct settlement *t = find(agent, &r->attempt);

	if (t)
		return t;
	t = xnew(struct settlement);
	t->attempt = r->attempt;
	memcpy(t->vm_uuid, r->vm_uuid, sizeof(t->vm_uuid));
	memcpy(t->vm_name, r->vm_name, sizeof(t->vm_name));
	memcpy(t->source_node, r->source_node, sizeof(t->source_node));
	t->since_ms = clock_now_ms();
	t->next = agent->settlements;
	agent->settlements = t;
	return t;
}

static void forget_old(struct agent *agent)
{
	unsigned kept = 0;

	for (struct settlement **at = &agent->settlements; *at;) {
		struct settlement *t = *at;

		if (!t->settled || t->looking || kept++ < SETTLED_KEPT) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		free(t);
	}
}

static void send_errand(struct agent *agent, const struct reservation *r, bool self)
{
	struct settlement *t = get(agent, r);
	const struct inbound *inbound = inbound_find(agent, &r->attempt);
	struct settle_errand *s;

	/* An admission still starts its tunnel; it is ended as soon as that stands. */
	if (t->looking || target_is_acting_on(agent, r->vm_uuid))
		return;
	t->looking = true;
	s = xnew(struct settle_errand);
	s->errand.work = settle_work;
	s->errand.done = settled;
	s->agent = agent;
	s->settlement = t;
	s->hypervisor = agent->hypervisor;
	memcpy(s->uuid, r->vm_uuid, sizeof(s->uuid));
	s->has_tunnel = inbound && inbound->tunnel_made;
	if (s->has_tunnel)
		s->tunnel = inbound->tunnel;
	s->guard = r->guard;
	s->arrives_paused = r->arrives_paused;
	s->arrives_autostart = r->arrives_autostart;
	s->has_run = r->has_run;
	s->self = self;
	s->images_kept = target_images_are_kept(agent, &r->attempt);
	courier_send(agent->couriers, &s->errand);
}

void target_settle_fenced(struct agent *agent)
{
	const struct reservation *all;
	size_t count;

	if (!agent->fences.count || agent->stopping)
		return;
	all = reservations_get_all(agent->reservations, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t epoch = all[i].attempt.epoch;

		if (fences_cover(&agent->fences, all[i].source_node, epoch))
			send_errand(agent, &all[i], false);
		else if (fences_cover(&agent->fences, agent->settings->node, epoch))
			send_errand(agent, &all[i], true);
	}
	forget_old(agent);
}

bool target_is_settling(const struct agent *agent, const char *vm_uuid)
{
	for (const struct settlement *t = agent->settlements; t; t = t->next) {
		if (t->looking && strcmp(t->vm_uuid, vm_uuid) == 0)
			return true;
	}
	return false;
}

Drover__V1__FencedGuest **target_list_fenced(const struct agent *agent, const char *node,
                                             size_t *ret_count)
{
	static const Drover__V1__InspectReply__Presence presences[] = {
		[TARGET_UNREACHABLE] = DROVER__V1__INSPECT_REPLY__PRESENCE__UNKNOWN,
		[TARGET_ABSENT] = DROVER__V1__INSPECT_REPLY__PRESENCE__ABSENT,
		[TARGET_SHUTOFF] = DROVER__V1__INSPECT_REPLY__PRESENCE__SHUTOFF,
		[TARGET_INCOMING] = DROVER__V1__INSPECT_REPLY__PRESENCE__INCOMING,
		[TARGET_PAUSED] = DROVER__V1__INSPECT_REPLY__PRESENCE__PAUSED,
		[TARGET_RUNNING] = DROVER__V1__INSPECT_REPLY__PRESENCE__RUNNING_HERE,
		[TARGET_RECEIVING] = DROVER__V1__INSPECT_REPLY__PRESENCE__RECEIVING,
		[TARGET_BROKEN] = DROVER__V1__INSPECT_REPLY__PRESENCE__BROKEN,
	};
	Drover__V1__FencedGuest **list = NULL;
	size_t n = 0;

	for (const struct settlement *t = agent->settlements; t; t = t->next) {
		Drover__V1__FencedGuest *g;

		if (strcmp(t->source_node, node) != 0)
			continue;
		g = xmalloc(sizeof(*g));
		drover__v1__fenced_guest__init(g);
		g->attempt = wire_attempt_new(&t->attempt);
		g->vm_uuid = xstrdup(t->vm_uuid);
		g->presence = presences[t->view];
		g->settled = t->settled;
		g->has_run = t->has_run;
		g->text = xstrdup(t->text);
		list = xreallocarray(list, n + 1, sizeof(*list));
		list[n++] = g;
	}
	*ret_count = n;
	return list;
}

void target_settlements_free(struct agent *agent)
{
	for (struct settlement *t = agent->settlements, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	agent->settlements = NULL;
}
