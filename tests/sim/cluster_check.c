/* SPDX-License-Identifier: Apache-2.0 */
/* See cluster.h. The invariants, looked at after every event (I1, I2, I3, I8, I9) and when all
 * should be over (I4, I15), from the true state of the world. I6 and I7: cluster_hands.c.
 *
 * What somebody else did to a guest meanwhile (killed it, suspended it) excuses what is said of that
 * guest's move, for nobody could know; it never excuses two that run. */
#include "tests/sim/cluster.h"

#include "agent/kernel/overhead.h"
#include "agent/source/source.h"
#include "agent/target/target.h"

#include <stdio.h>
#include <string.h>

/* What was last seen of each attempt, to see it end. */
#define SEEN_MAX 4096

struct seen_attempt {
	struct attempt_name name;
	bool open; /* it was under way: its end is judged once, when it comes */
};

static struct seen_attempt seen[SEEN_MAX];
static size_t n_seen;

void cluster_check_begin(void)
{
	n_seen = 0;
}

/* --- I1 --- */

static void check_running(void)
{
	for (size_t i = 0; i < cluster.n_guests; i++) {
		if (fake_world_get_most_running(cluster.world, cluster.guests[i].uuid) > 1)
			cluster_violated("I1: %s runs on two hosts", cluster.guests[i].name);
	}
}

/* --- I2 --- */

static void check_memory(const struct cluster_host *h)
{
	const struct fake_host *host = fake_world_get_host_locked(cluster.world, h->name);
	uint64_t used = 0;
	size_t count;
	const struct reservation *all;

	if (!h->agent || h->eaten)
		return;
	for (const struct fake_copy *c = host->copies; c; c = c->next) {
		if (fake_is_active(c))
			used += c->guest->description.summary.memory_bytes +
			        c->guest->description.overhead_bytes;
	}
	all = reservations_get_all(h->agent->reservations, &count);
	for (size_t i = 0; i < count; i++) {
		const struct fake_copy *c = cluster_find_copy(h, all[i].vm_uuid);

		if (!c || !fake_is_active(c))
			used += cluster_get_memory(all[i].vm_uuid);
	}
	if (used > h->settings.memory_capacity_bytes)
		cluster_violated("I2: %s has promised and given %llu MiB of %llu MiB", h->name,
		                 (unsigned long long)(used >> 20),
		                 (unsigned long long)(h->settings.memory_capacity_bytes >> 20));
}

/* --- I3 --- */

static void check_caps(const struct cluster_host *h)
{
	unsigned in = 0, out = 0;

	for (const struct fake_move *m = cluster.world->moves; m; m = m->next) {
		if (m->phase == FAKE_PHASE_OVER)
			continue;
		in += strcmp(m->target->name, h->name) == 0;
		out += strcmp(m->source->name, h->name) == 0;
	}
	if (in > 2 || out > 2)
		cluster_violated("I3: %u moves to and %u from %s; the caps are 2 and 2", in, out,
		                 h->name);
}

/* --- I8 --- */

static void check_end(const struct cluster_host *h, const struct source_attempt *a)
{
	const struct cluster_guest *g = cluster_find_guest(a->order.vm_uuid);
	const struct fake_copy *here, *there = NULL;

	if (!g || g->touched_us)
		return;
	here = cluster_find_copy(h, g->uuid);
	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		if (strcmp(cluster.hosts[i].name, a->order.target_node) == 0)
			there = cluster_find_copy(&cluster.hosts[i], g->uuid);
	}
	if (a->state == DROVER__V1__MIGRATION_STATE__DONE) {
		cluster.moves_done++;
		if (!there || there->state != VM_RUNNING)
			cluster_violated("I8: %s says that %s was moved to %s, where it does not "
			                 "run",
			                 h->name, g->name, a->order.target_node);
		if (here && fake_is_active(here))
			cluster_violated("I8: %s says that %s was moved, and has it still", h->name,
			                 g->name);
	} else if (a->state == DROVER__V1__MIGRATION_STATE__FAILED ||
	           a->state == DROVER__V1__MIGRATION_STATE__CANCELLED) {
		cluster.moves_failed++;
		if (!here || here->state != VM_RUNNING)
			cluster_violated("I8: %s says that %s stays, and it does not run there",
			                 h->name, g->name);
	}
}

static struct seen_attempt *remember(const struct source_attempt *a)
{
	for (size_t i = 0; i < n_seen; i++) {
		if (attempt_name_equal(&seen[i].name, &a->order.attempt))
			return &seen[i];
	}
	if (n_seen == SEEN_MAX)
		return NULL;
	seen[n_seen] = (struct seen_attempt){ .name = a->order.attempt };
	return &seen[n_seen++];
}

static void check_attempts(const struct cluster_host *h)
{
	for (const struct source_attempt *a = h->agent ? h->agent->attempts : NULL; a;
	     a = a->next) {
		struct seen_attempt *s = a->order.vm_uuid[0] ? remember(a) : NULL;

		if (!s)
			continue;
		if (a->leftover[0] && cluster_find_guest(a->order.vm_uuid))
			cluster_find_guest(a->order.vm_uuid)->leftover_told = true;
		if (s->open && a->stage >= SOURCE_CLEANING)
			check_end(h, a);
		s->open = a->stage < SOURCE_CLEANING;
	}
}

/* --- I9 --- */

static void check_drains(void)
{
	const char *node;

	while ((node = leaders_next_completed())) {
		const struct fake_host *host = fake_world_get_host_locked(cluster.world, node);

		cluster.drains_completed++;
		for (const struct fake_copy *c = host->copies; c; c = c->next) {
			if (fake_is_active(c))
				cluster_violated("I9: the drain of %s is complete, and %s is there",
				                 node, c->guest->description.summary.name);
		}
	}
}

void cluster_check(void)
{
	check_running();
	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		check_memory(&cluster.hosts[i]);
		check_caps(&cluster.hosts[i]);
		check_attempts(&cluster.hosts[i]);
	}
	check_drains();
}

/* --- the end --- */

/* Somebody stopped it in the middle, or ended it so that no host has it: a person has to decide. */
static bool is_lost(const char *uuid)
{
	const struct cluster_guest *g = cluster_find_guest(uuid);

	if (!g || !g->touched_us)
		return false;
	if (!g->killed)
		return true;
	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		const struct fake_copy *c = cluster_find_copy(&cluster.hosts[i], uuid);

		if (c && c->state == VM_RUNNING)
			return false;
	}
	return true;
}

static const struct reservation *find_held(const struct cluster_host *h)
{
	size_t count;
	const struct reservation *all = reservations_get_all(h->agent->reservations, &count);

	for (size_t i = 0; i < count; i++) {
		if (!is_lost(all[i].vm_uuid))
			return &all[i];
	}
	return NULL;
}

/* Says what is not over yet; NULL: nothing. */
static const char *find_unsettled(char *text, size_t bytes)
{
	if (leaders_find_unsettled(is_lost, text, bytes))
		return text;
	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		const struct cluster_host *h = &cluster.hosts[i];

		if (!h->agent)
			return "an agent does not run";
		for (const struct source_attempt *a = h->agent->attempts; a; a = a->next) {
			if ((a->stage == SOURCE_ENDED && !a->ending) ||
			    (a->stage == SOURCE_RESOLVING && is_lost(a->order.vm_uuid)))
				continue;
			snprintf(text, bytes, "%s: a move of %s is %s: %s", h->name,
			         cluster_get_name(a->order.vm_uuid), source_stage_name(a->stage),
			         a->reason.text);
			return text;
		}
		if (find_held(h) || h->agent->acting) {
			snprintf(text, bytes, "%s holds a reservation%s", h->name,
			         h->agent->acting ? ", an act is under way" : "");
			return text;
		}
	}
	return cluster.world->moves ? "libvirt still moves something" : NULL;
}

bool cluster_is_settled(void)
{
	char text[512];

	return !find_unsettled(text, sizeof(text));
}

static void check_guest(const struct cluster_guest *g)
{
	unsigned active = 0, running = 0, defined = 0;

	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		const struct fake_copy *c = cluster_find_copy(&cluster.hosts[i], g->uuid);

		active += c && fake_is_active(c);
		running += c && c->state == VM_RUNNING;
		defined += c && !fake_is_active(c);
	}
	/* A guest that a person stopped in the middle is left on both, unresolved, for a person. */
	if (active > 1 && !g->touched_us)
		cluster_violated("I15: %u copies of %s are left", active, g->name);
	if (g->killed)
		return;
	if (active == 0)
		cluster_violated("%s is lost: no host has it", g->name);
	else if (!running && !g->paused_by_hand)
		cluster_violated("I14: %s stands still, and nobody stopped it", g->name);
	if (defined && !g->leftover_told)
		cluster_violated("I15: a definition of %s is left on a host that does not have it",
		                 g->name);
}

void cluster_check_end(void)
{
	char text[512];
	const char *what = find_unsettled(text, sizeof(text));

	if (what)
		cluster_violated("I4: not over long after the last fault: %s", what);
	for (size_t i = 0; i < cluster.n_guests; i++)
		check_guest(&cluster.guests[i]);
}
