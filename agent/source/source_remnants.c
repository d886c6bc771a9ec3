/* SPDX-License-Identifier: Apache-2.0 */
/* "clean: n/n": when an attempt is over and everything was removed, both hosts are looked at for what
 * could be left of it, and what was found goes into its report.
 *
 *	CLEANING: removed, reservation given back
 *	   --> look here (courier) --> ask the destination --> something is left: again in a moment
 *	                                                   '-> ENDED
 *	ENDED, not clean: again when the destination has taken its reservation back, or an operator asks
 *
 * What is still being removed (a tunnel is given two seconds to end) is waited for, so a few looks are
 * made before it is called left. The end does not wait for a host that is silent: what was not looked at
 * says so. Looking changes nothing. Owner thread, but for the look itself. See source.h. */
#include "agent/source/source.h"

#include "agent/garbage/remnants_look.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 250
#define LOOK_TIMES    12 /* three seconds: more than a tunnel is given to end */

struct remnants_run {
	unsigned looks;
	struct loop_timer timer;
	struct error silent; /* the destination cannot be asked; ERROR_NONE: it can */
	struct remnant items[REMNANTS_MAX];
	size_t n;
	void (*done)(struct source_attempt *a);
};

struct look_errand {
	struct source_errand base;
	struct remnants_look look;
};

static enum remnants_end end_of(const struct source_attempt *a)
{
	if (a->fenced)
		return REMNANTS_UNKNOWN;
	return a->state == DROVER__V1__MIGRATION_STATE__DONE ? REMNANTS_CAME : REMNANTS_STAYED;
}

static bool are_disks_copied(const struct source_attempt *a)
{
	/* Its answer may have been lost: then images may have been made all the same. */
	return a->order.copied[0] || (a->order.copy_disks && a->lease_taken && !a->port);
}

static void fill_input(const struct source_attempt *a, enum remnants_side side,
                       struct remnants_input *ret)
{
	bool source = side == REMNANTS_SOURCE;

	ret->side = side;
	ret->end = end_of(a);
	ret->late = a->stage == SOURCE_ENDED;
	ret->node = source ? a->agent->settings->node : a->order.target_node;
	ret->other_node = source ? a->order.target_node : a->agent->settings->node;
	ret->vm_name = a->order.vm_name;
	ret->autostart = a->order.autostart && a->order.persistent;
	ret->paused = a->order.paused;
	ret->paused_by_us = a->order.paused_by_us || a->order.ran_twice;
	ret->copied = are_disks_copied(a);
	ret->places = a->n_places > 0;
}

static void look(void *context);

/* --- the end of a look --- */

static size_t count_left(const struct remnants_run *run)
{
	size_t left = 0;

	for (size_t i = 0; i < run->n; i++)
		left += run->items[i].verdict == REMNANT_LEFT;
	return left;
}

static void keep(struct source_attempt *a, const struct remnants_run *run)
{
	struct remnant all[REMNANTS_MAX];
	size_t n = a->n_remnants;

	if (n)
		memcpy(all, a->remnants, n * sizeof(*all));
	remnants_merge(all, &n, run->items, run->n);
	free(a->remnants);
	a->remnants = xmemdup(all, n * sizeof(*all));
	a->n_remnants = n;
	for (size_t i = 0; i < n; i++) {
		if (all[i].verdict == REMNANT_LEFT)
			log_warning("%s -> %s: left on %s: %s: %s; %s", a->order.vm_name,
			            a->order.target_node, all[i].node, all[i].thing, all[i].text,
			            all[i].remedy);
	}
}

static void conclude(struct source_attempt *a)
{
	struct remnants_run *run = a->remnants_run;

	if (a->agent->stopping)
		return; /* the next agent cleans up, and looks, anew */
	if (count_left(run) > 0 && run->looks < LOOK_TIMES) {
		a->errands++; /* for the timer */
		run->timer.fire = look;
		run->timer.context = a;
		loop_timer_start(a->agent->loop, &run->timer, LOOK_EVERY_MS);
		return;
	}
	keep(a, run);
	a->remnants_run = NULL;
	run->done(a);
	free(run);
}

/* --- the destination --- */

static void add(struct remnants_run *run, const struct remnant *items, size_t n)
{
	for (size_t i = 0; i < n && run->n < REMNANTS_MAX; i++)
		run->items[run->n++] = items[i];
}

static void nobody_looked_there(struct source_attempt *a, const char *why)
{
	struct remnants_input in = { 0 };
	struct remnant items[REMNANT_THINGS] = { 0 };
	size_t n;

	fill_input(a, REMNANTS_TARGET, &in);
	n = remnants_not_looked(&in, why, items);
	add(a->remnants_run, items, n);
}

static void looked_there(const struct mesh_result *result, const Drover__V1__RemnantsReply *reply,
                         void *context)
{
	struct source_attempt *a = context;
	struct remnant items[REMNANTS_MAX];
	struct error err = result->error;
	char why[REMNANT_TEXT_BYTES];
	size_t n = 0;

	a->errands--;
	if (!a->remnants_run)
		return;
	if (result->status == MESH_OK &&
	    wire_remnants_read(reply->remnants, reply->n_remnants, items, &n, &err) == 0) {
		add(a->remnants_run, items, n);
	} else {
		snprintf(why, sizeof(why), "%.64s does not say: %.220s", a->order.target_node,
		         err.text);
		nobody_looked_there(a, why);
	}
	conclude(a);
}

static void fill_request(const struct source_attempt *a, const struct remnants_input *in,
                         Drover__V1__RemnantsRequest *request, char **images)
{
	request->vm_uuid = (char *)a->order.vm_uuid;
	request->vm_name = (char *)a->order.vm_name;
	request->source_node = a->agent->settings->node;
	request->came = in->end == REMNANTS_CAME;
	request->late = in->late;
	request->memory_port = a->port;
	request->disk_port = a->disk_port;
	request->copied = in->copied;
	request->autostart = in->autostart;
	request->images = images;
	for (size_t c = 0; c < a->n_copied; c++) {
		for (size_t i = 0; i < a->n_disks; i++) {
			if (strcmp(a->disks[i].target, a->copied[c]) == 0)
				images[request->n_images++] = a->disks[i].source;
		}
	}
}

static void ask(struct mesh_connection *c, const struct error *err, void *context)
{
	struct source_attempt *a = context;
	Drover__V1__RemnantsRequest request = DROVER__V1__REMNANTS_REQUEST__INIT;
	struct remnants_input in = { 0 };
	char *images[VM_DISKS_MAX];
	char why[REMNANT_TEXT_BYTES];

	if (!a->remnants_run || !c) {
		a->errands--;
		if (!a->remnants_run)
			return;
		snprintf(why, sizeof(why), "%.64s does not answer: %.220s", a->order.target_node,
		         err ? err->text : "");
		nobody_looked_there(a, why);
		conclude(a);
		return;
	}
	fill_input(a, REMNANTS_TARGET, &in);
	fill_request(a, &in, &request, images);
	request.attempt = wire_attempt_new(&a->order.attempt);
	agent_call_look_for_remnants(c, &request, 10000, looked_there, a);
	wire_free(request.attempt);
}

static void look_there(struct source_attempt *a)
{
	struct remnants_run *run = a->remnants_run;
	char why[REMNANT_TEXT_BYTES];

	if (!a->lease_taken) {
		/* It was never asked for anything, or has refused: nothing was made there. */
		conclude(a);
	} else if (a->target_fenced || a->fenced) {
		snprintf(why, sizeof(why), "%.64s was declared dead",
		         a->fenced ? a->agent->settings->node : a->order.target_node);
		nobody_looked_there(a, why);
		conclude(a);
	} else if (run->silent.code != ERROR_NONE) {
		snprintf(why, sizeof(why), "%.64s does not answer: %.220s", a->order.target_node,
		         run->silent.text);
		nobody_looked_there(a, why);
		conclude(a);
	} else {
		a->errands++;
		peers_with_connection(a->agent, a->order.target_node, a->order.target_address, 3000,
		                      ask, a);
	}
}

/* --- this host --- */

static void look_work(struct errand *e)
{
	remnants_look(&((struct look_errand *)e)->look);
}

static void looked(struct errand *e)
{
	struct look_errand *l = (struct look_errand *)e;
	struct source_attempt *a = l->base.attempt;
	struct remnant items[REMNANT_THINGS] = { 0 };
	size_t n;

	a->errands--;
	if (a->remnants_run && !a->agent->stopping) {
		n = remnants_judge(&l->look.in, items);
		a->remnants_run->n = 0;
		add(a->remnants_run, items, n);
		look_there(a);
	}
	free(l);
}

static void send_look(struct source_attempt *a)
{
	struct look_errand *l = xnew(struct look_errand);
	char text[ATTEMPT_TEXT_BYTES];

	a->remnants_run->looks++;
	l->base.errand.work = look_work;
	l->base.errand.done = looked;
	fill_input(a, REMNANTS_SOURCE, &l->look.in);
	l->look.hypervisor = a->agent->hypervisor;
	l->look.attempt = a->order.attempt;
	memcpy(l->look.vm_uuid, a->order.vm_uuid, sizeof(l->look.vm_uuid));
	snprintf(l->look.directory, sizeof(l->look.directory), "%s/attempts/%s",
	         a->agent->settings->run_dir, attempt_name_format(&a->order.attempt, text));
	for (size_t i = 0; i < a->n_places; i++)
		memcpy(l->look.places[l->look.n_places++], a->places[i], sizeof(a->places[i]));
	source_send(a, &l->base, a->agent->couriers);
}

static void look(void *context)
{
	struct source_attempt *a = context;

	a->errands--;
	send_look(a);
}

static bool begin(struct source_attempt *a, void (*done)(struct source_attempt *a))
{
	if (a->remnants_run)
		return false;
	a->remnants_run = xnew(struct remnants_run);
	a->remnants_run->done = done;
	return true;
}

static void end(struct source_attempt *a)
{
	if (a->stage == SOURCE_CLEANING)
		source_end(a);
}

void source_remnants_look(struct source_attempt *a, const struct error *silent)
{
	if (!begin(a, end))
		return;
	if (silent)
		a->remnants_run->silent = *silent;
	send_look(a);
}

void source_remnants_look_again(struct source_attempt *a)
{
	if (begin(a, source_changed))
		send_look(a);
}

void source_remnants_add_place(struct source_attempt *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	char place[VM_PATH_BYTES];

	if (path[0] != '/' || !slash || a->n_places == REMNANT_PLACES_MAX)
		return;
	snprintf(place, sizeof(place), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	for (size_t i = 0; i < a->n_places; i++) {
		if (strcmp(a->places[i], place) == 0)
			return;
	}
	a->places = xreallocarray(a->places, a->n_places + 1, sizeof(*a->places));
	memcpy(a->places[a->n_places++], place, sizeof(place));
}

void source_remnants_freeze(struct source_attempt *a)
{
	if (a->remnants_run)
		loop_timer_stop(a->agent->loop, &a->remnants_run->timer);
}

void source_remnants_free(struct source_attempt *a)
{
	source_remnants_freeze(a);
	free(a->remnants_run);
	free(a->remnants);
	free(a->places);
}
