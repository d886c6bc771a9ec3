/* SPDX-License-Identifier: Apache-2.0 */
/* What is left here of attempts that are over, found and removed on an operator's word.
 *
 *	CollectGarbage --> courier: files of ours --> judged (agent/kernel/garbage.h) --> courier: removed
 *	               --> leases that are over, images whose attempt has ended
 *	               --> own attempts that were not clean: looked at once more (source_remnants.c)
 *	               --> reply: what went, what stays and why
 *
 * The judgement is made here and not where the coordinator is: an attempt that this host drives is over
 * when this host says so, and what it promised is needed until its source has said so. A person is not
 * kept waiting for more than QUIET_MS by what takes longer. Repeating it is harmless. Owner thread, but
 * for the errands. */
#include "agent/garbage/garbage.h"

#include "agent/garbage/garbage_sweep.h"
#include "agent/garbage/leftovers.h"
#include "agent/source/source.h"
#include "agent/target/target.h"
#include "agent/target/target_images.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_MS 9000 /* above the waits between two releases of a lease */
#define POLL_MS  100

struct collection {
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	bool dry_run, of_one;
	struct id operation; /* of_one */
	struct attempt_name over[RESERVATIONS_MAX];
	size_t n_over;
	struct garbage_finds finds;
	struct image_leftover images[RESERVATIONS_MAX]; /* when it began */
	size_t n_images;
	struct loop_timer timer;
	uint64_t give_up_ms;
};

struct sweep {
	struct errand errand;
	struct agent *agent;
	bool remove; /* else: scan */
	struct garbage_finds finds;
	size_t n_places;
	char place_paths[GARBAGE_FINDS_MAX][VM_PATH_BYTES];
};

static bool is_meant(const struct collection *c, const struct attempt_name *attempt)
{
	return !c->of_one || id_equal(&attempt->operation, &c->operation);
}

static bool is_over(const struct source_attempt *a)
{
	return a->stage == SOURCE_ENDED && !a->ending;
}

/* Own attempts of which something was left, or that were asked for by name. */
static bool is_open(const struct collection *c, const struct source_attempt *a)
{
	if (!is_over(a) || !is_meant(c, &a->order.attempt) || a->order.phase == JOURNAL_TOMBSTONED)
		return false;
	return c->of_one || a->order.lease_owed ||
	       remnants_count_open(a->remnants, a->n_remnants) > 0;
}

/* --- judging --- */

static enum garbage_owner owner_of(struct agent *agent, const struct attempt_name *attempt)
{
	const struct source_attempt *a = source_find(agent, attempt);

	if (!a)
		return GARBAGE_STRANGE;
	return is_over(a) ? GARBAGE_OVER : GARBAGE_UNDER_WAY;
}

static enum garbage_guest guest_of(struct agent *agent, const struct reservation *r)
{
	const struct inventory_vm *vm = inventory_find(&agent->inventory, r->vm_uuid);

	if (!agent->inventory.valid || target_is_acting_on(agent, r->vm_uuid))
		return GARBAGE_GUEST_UNKNOWN;
	if (!vm || !vm->summary.active)
		return GARBAGE_GUEST_GONE;
	return vm->summary.state == VM_RUNNING ? GARBAGE_GUEST_RUNS : GARBAGE_GUEST_STILL;
}

/* False: it is needed, and not spoken of. */
static bool judge(struct collection *c, struct garbage_find *f)
{
	struct agent *agent = c->agent;
	const struct reservation *r = reservations_find(agent->reservations, &f->attempt);
	char ignored[REMNANT_TEXT_BYTES];
	struct garbage_facts facts = {
		.thing = f->thing,
		.safe_mode = agent->safe_mode,
		.owner = owner_of(agent, &f->attempt),
		/* Images that are still ours are removed as what they are. */
		.reserved = r ||
		            target_images_find_left(agent, &f->attempt, ignored, sizeof(ignored)),
		.over = f->thing == GARBAGE_LEASE,
		.guest = r && f->thing == GARBAGE_LEASE ? guest_of(agent, r)
		                                        : GARBAGE_GUEST_UNKNOWN,
	};
	const char *why;
	enum garbage_verdict verdict = garbage_judge(&facts, &why);

	f->remove = verdict == GARBAGE_REMOVE && !c->dry_run;
	f->outcome = verdict == GARBAGE_REMOVE && c->dry_run ? GARBAGE_WOULD_GO : GARBAGE_IS_LEFT;
	snprintf(f->text, sizeof(f->text), "%s", why);
	return verdict != GARBAGE_NEEDED;
}

static void judge_all(struct collection *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->finds.n; i++) {
		struct garbage_find *f = &c->finds.items[i];

		if (!is_meant(c, &f->attempt) || !judge(c, f))
			continue;
		if (n != i)
			c->finds.items[n] = *f;
		n++;
	}
	c->finds.n = n;
}

/* --- the answer --- */

static const char *name_of(struct agent *agent, const struct attempt_name *attempt)
{
	const struct source_attempt *a = source_find(agent, attempt);

	return a ? a->order.vm_name : "";
}

static Drover__V1__Garbage *item_add(Drover__V1__CollectReply *reply, struct agent *agent,
                                     const struct attempt_name *attempt, const char *thing)
{
	Drover__V1__Garbage *g = xmalloc(sizeof(*g));

	drover__v1__garbage__init(g);
	g->attempt = wire_attempt_new(attempt);
	g->vm_name = xstrdup(name_of(agent, attempt));
	g->thing = xstrdup(thing);
	g->node = xstrdup(agent->settings->node);
	reply->items = xreallocarray(reply->items, reply->n_items + 1, sizeof(*reply->items));
	reply->items[reply->n_items++] = g;
	return g;
}

static void put_finds(struct collection *c, Drover__V1__CollectReply *reply)
{
	for (size_t i = 0; i < c->finds.n; i++) {
		const struct garbage_find *f = &c->finds.items[i];
		Drover__V1__Garbage *g = item_add(reply, c->agent, &f->attempt,
		                                  garbage_thing_name(f->thing));

		g->outcome = (Drover__V1__Garbage__Outcome)f->outcome;
		g->what = xstrdup(f->path);
		g->text = xstrdup(f->text);
		if (f->outcome != GARBAGE_IS_LEFT)
			continue;
		if (f->thing == GARBAGE_PROOF || f->thing == GARBAGE_HALF_IMAGE)
			g->remedy = xasprintf(
				"if no host migrates a guest of that directory: rm %s", f->path);
		else
			g->remedy = xstrdup(
				f->thing == GARBAGE_LEASE
					? "virsh domstate --reason on both hosts tells "
					  "which guest may go on"
					: "remove what is in the way, then drover gc again");
	}
}

static void put_images(struct collection *c, Drover__V1__CollectReply *reply)
{
	char why[REMNANT_TEXT_BYTES];

	for (size_t i = 0; i < c->n_images; i++) {
		const struct image_leftover *image = &c->images[i];
		Drover__V1__Garbage *g = item_add(reply, c->agent, &image->attempt, "images");
		bool left = target_images_find_left(c->agent, &image->attempt, why, sizeof(why));

		g->what = xstrdup(image->path);
		if (!left) {
			g->outcome = DROVER__V1__GARBAGE__OUTCOME__REMOVED;
		} else if (c->dry_run && !c->agent->safe_mode) {
			g->outcome = DROVER__V1__GARBAGE__OUTCOME__WOULD_REMOVE;
		} else {
			g->text = xstrdup(why);
			g->remedy = xasprintf("if the guest is not here: rm %s", image->path);
		}
	}
}

static bool is_told(const struct collection *c, const struct source_attempt *a,
                    const struct remnant *r)
{
	if (strcmp(r->node, c->agent->settings->node) != 0)
		return false;
	for (size_t i = 0; i < c->finds.n; i++) {
		const struct garbage_find *f = &c->finds.items[i];

		if (attempt_name_equal(&f->attempt, &a->order.attempt) &&
		    (strcmp(garbage_thing_name(f->thing), r->thing) == 0 ||
		     /* It is stopped before its directory goes. */
		     (f->thing == GARBAGE_SOURCE_DIRECTORY && strcmp(r->thing, "tunnel") == 0)))
			return true;
	}
	return false;
}

static void put_remnants(const struct collection *c, const struct source_attempt *a,
                         Drover__V1__CollectReply *reply)
{
	for (size_t i = 0; i < a->n_remnants; i++) {
		const struct remnant *r = &a->remnants[i];
		Drover__V1__Garbage *g;

		if (r->verdict == REMNANT_GONE || is_told(c, a, r))
			continue;
		g = item_add(reply, c->agent, &a->order.attempt, r->thing);
		wire_set_text(&g->node, r->node);
		g->outcome = r->verdict == REMNANT_LEFT ? DROVER__V1__GARBAGE__OUTCOME__LEFT
		                                        : DROVER__V1__GARBAGE__OUTCOME__NOT_LOOKED;
		g->text = xstrdup(r->text);
		g->remedy = xstrdup(r->remedy);
	}
}

static void forget(struct collection *c)
{
	loop_timer_stop(c->agent->loop, &c->timer);
	c->agent->collection = NULL;
	free(c);
}

static void answer(struct collection *c)
{
	Drover__V1__CollectReply *reply = xmalloc(sizeof(*reply));

	drover__v1__collect_reply__init(reply);
	reply->more = c->finds.more;
	put_finds(c, reply);
	put_images(c, reply);
	for (const struct source_attempt *a = c->agent->attempts; a; a = a->next) {
		if (is_open(c, a))
			put_remnants(c, a, reply);
	}
	if (c->in)
		mesh_reply(c->in, &reply->base);
	wire_free(reply);
	forget(c);
}

/* --- what takes a while --- */

static bool is_quiet(const struct collection *c)
{
	char ignored[REMNANT_TEXT_BYTES];

	for (const struct source_attempt *a = c->agent->attempts; a; a = a->next) {
		if (is_open(c, a) && (a->remnants_run || (a->order.lease_owed && !c->dry_run)))
			return false;
	}
	for (size_t i = 0; i < c->n_images && !c->dry_run; i++) {
		if (target_images_find_left(c->agent, &c->images[i].attempt, ignored,
		                            sizeof(ignored)))
			return false;
	}
	return true;
}

static void poll_quiet(void *context)
{
	struct collection *c = context;

	if (is_quiet(c) || clock_now_ms() >= c->give_up_ms)
		answer(c);
	else
		loop_timer_start(c->agent->loop, &c->timer, POLL_MS);
}

static void look_again(struct collection *c)
{
	struct agent *agent = c->agent;

	for (struct source_attempt *a = agent->attempts; a; a = a->next) {
		if (!is_open(c, a))
			continue;
		if (a->order.lease_owed && !c->dry_run)
			source_release_now(a);
		source_remnants_look_again(a);
	}
	c->give_up_ms = clock_now_ms() + QUIET_MS;
	c->timer.fire = poll_quiet;
	c->timer.context = c;
	loop_timer_start(agent->loop, &c->timer, POLL_MS);
}

/* --- files --- */

static void sweep_work(struct errand *e)
{
	struct sweep *s = (struct sweep *)e;

	if (s->remove)
		garbage_remove(s->agent->tunnels, &s->finds);
	else
		garbage_scan_disks(s->agent->hypervisor, s->place_paths, s->n_places, &s->finds);
}

static void swept(struct errand *e);

static struct sweep *sweep_new(struct collection *c, bool remove)
{
	struct sweep *s = xnew(struct sweep);

	s->errand.work = sweep_work;
	s->errand.done = swept;
	s->agent = c->agent;
	s->remove = remove;
	s->finds = c->finds;
	return s;
}

static void note_removed(struct collection *c)
{
	for (size_t i = 0; i < c->finds.n; i++) {
		const struct garbage_find *f = &c->finds.items[i];
		struct source_attempt *a = source_find(c->agent, &f->attempt);
		char path[VM_PATH_BYTES + 8];

		if (f->outcome != GARBAGE_IS_REMOVED)
			continue;
		log_info("%s, of an attempt that is over, is removed on an operator's word",
		         f->path);
		snprintf(path, sizeof(path), "%s/status", f->path);
		if (a && f->thing == GARBAGE_PROOF)
			source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_PROOF_FILE, f->path,
			                     NULL);
		else if (a && f->thing == GARBAGE_SOURCE_DIRECTORY)
			source_journal_thing(a, JOURNAL_WRITE_REMOVED, JOURNAL_TUNNEL, path,
			                     &a->tunnel);
	}
}

static void release_leases(struct collection *c)
{
	for (size_t i = 0; i < c->finds.n; i++) {
		struct garbage_find *f = &c->finds.items[i];

		if (f->thing != GARBAGE_LEASE || !f->remove)
			continue;
		log_info("%s ends: its migration is over", f->path);
		inbound_end(c->agent, &f->attempt);
		f->remove = false; /* it is no file */
		f->outcome = GARBAGE_IS_REMOVED;
	}
}

static void swept(struct errand *e)
{
	struct sweep *s = (struct sweep *)e;
	struct collection *c = s->agent->collection;

	if (c && !s->agent->stopping) {
		c->finds = s->finds;
		if (s->remove) {
			note_removed(c);
			look_again(c);
		} else {
			judge_all(c);
			release_leases(c);
			target_images_try(c->agent, c->of_one ? &c->operation : NULL);
			courier_send(c->agent->couriers, &sweep_new(c, true)->errand);
		}
	}
	free(s);
}

/* --- the order --- */

static void find_directories(struct collection *c, const char *name, enum garbage_thing thing)
{
	char *parent = xasprintf("%s/%s", c->agent->settings->run_dir, name);
	struct attempt_name *names = NULL;
	size_t n = leftovers_list(parent, &names);
	char path[VM_PATH_BYTES], text[ATTEMPT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", parent, attempt_name_format(&names[i], text));
		garbage_add(&c->finds, thing, &names[i], path);
	}
	free(names);
	free(parent);
}

static void find_leases(struct collection *c)
{
	char what[VM_NAME_BYTES + 64];

	for (size_t i = 0; i < c->n_over; i++) {
		const struct reservation *r = reservations_find(c->agent->reservations,
		                                                &c->over[i]);

		if (!r)
			continue;
		snprintf(what, sizeof(what), "reservation of port %u for %.200s from %.30s",
		         r->port, r->vm_name, r->source_node);
		garbage_add(&c->finds, GARBAGE_LEASE, &r->attempt, what);
	}
}

/* Beside the disks of guests that have left. */
static void find_places(const struct collection *c, struct sweep *s)
{
	for (const struct source_attempt *a = c->agent->attempts; a; a = a->next) {
		if (!is_open(c, a))
			continue;
		for (size_t i = 0; i < a->n_places && s->n_places < GARBAGE_FINDS_MAX; i++)
			memcpy(s->place_paths[s->n_places++], a->places[i], sizeof(a->places[i]));
	}
}

static int read_request(struct collection *c, const Drover__V1__CollectRequest *request,
                        struct error *err)
{
	c->dry_run = request->dry_run;
	c->of_one = request->operation_id.len > 0;
	if (c->of_one &&
	    id_from_bytes(request->operation_id.data, request->operation_id.len, &c->operation) < 0)
		return error_set(err, ERROR_INVALID, "an operation id has 16 bytes, not %zu",
		                 request->operation_id.len);
	if (request->n_over > RESERVATIONS_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu leases that are over", request->n_over);
	for (size_t i = 0; i < request->n_over; i++) {
		if (wire_attempt_read(request->over[i], &c->over[c->n_over++], err) < 0)
			return -(int)err->code;
	}
	return agent_see_epoch(c->agent, request->epoch, err);
}

static void unwanted(void *context)
{
	((struct collection *)context)->in = NULL;
}

void garbage_collect(struct agent *agent, struct mesh_incoming *in,
                     const Drover__V1__CollectRequest *request)
{
	struct collection *c;
	struct sweep *s;
	struct error err;

	if (agent->collection) {
		error_set(&err, ERROR_BUSY,
		          "somebody has garbage collected on %s right now; again in "
		          "a few seconds",
		          agent->settings->node);
		mesh_fail_error(in, &err);
		return;
	}
	c = xnew(struct collection);
	c->agent = agent;
	c->in = in;
	if (read_request(c, request, &err) < 0) {
		mesh_fail_error(in, &err);
		free(c);
		return;
	}
	agent->collection = c;
	mesh_incoming_on_cancel(in, unwanted, c);
	find_directories(c, "attempts", GARBAGE_SOURCE_DIRECTORY);
	find_directories(c, "inbound", GARBAGE_TARGET_DIRECTORY);
	find_leases(c);
	c->n_images = target_images_list_ended(agent, c->of_one ? &c->operation : NULL, c->images,
	                                       RESERVATIONS_MAX);
	s = sweep_new(c, false);
	find_places(c, s);
	courier_send(agent->couriers, &s->errand);
}

void garbage_freeze(struct agent *agent)
{
	if (agent->collection)
		loop_timer_stop(agent->loop, &agent->collection->timer);
}

void garbage_stop(struct agent *agent)
{
	if (agent->collection)
		forget(agent->collection);
}
