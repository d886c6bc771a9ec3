/* SPDX-License-Identifier: Apache-2.0 */
/* The ways over the migration network to other hosts: a record of each, fed with what is measured here, and
 * what others use of the migration interface. See path_estimate.h for what follows from them.
 *
 * All of it is of this life of the agent: a path is measured again in 300 ms, and what was true before a
 * restart may not be. The least recently used record goes first. Owner thread. */
#include "agent/agent.h"

#include "agent/link/path_estimate.h"
#include "agent/source/source.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "proto/path_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 64

struct known_path {
	char node[128];
	uint64_t used_ms;
	/* The last probe failed, not because it was a bad moment: it is not tried at every move. */
	uint64_t failed_ms; /* 0 = it did not */
	char problem[96];
	struct path_record record;
};

struct paths {
	struct path_traffic traffic;
	uint64_t last_window_ns;
	bool other_known;               /* the newest window was measured without migrations */
	bool was_moving, was_uncounted; /* at the end of the window before */
	uint64_t received_bytes_per_s;  /* the most that a probe brought here */
	size_t n;
	struct known_path items[PATHS_MAX];
};

struct paths *paths_new(void)
{
	return xnew(struct paths);
}

void paths_free(struct paths *paths)
{
	free(paths);
}

static struct known_path *find(const struct paths *paths, const char *node)
{
	for (size_t i = 0; i < paths->n; i++) {
		if (strcmp(paths->items[i].node, node) == 0)
			return (struct known_path *)&paths->items[i];
	}
	return NULL;
}

static struct known_path *get(struct paths *paths, const char *node)
{
	struct known_path *p = find(paths, node);

	if (!p && paths->n < PATHS_MAX)
		p = &paths->items[paths->n++];
	if (!p) {
		p = &paths->items[0];
		for (size_t i = 1; i < paths->n; i++) {
			if (paths->items[i].used_ms < p->used_ms)
				p = &paths->items[i];
		}
	}
	if (strcmp(p->node, node) != 0) {
		*p = (struct known_path){ 0 };
		snprintf(p->node, sizeof(p->node), "%s", node);
	}
	p->used_ms = clock_now_ms();
	return p;
}

static const struct bandwidth_interface *interface_of(const struct agent *agent)
{
	const struct bandwidth_interface *i = bandwidth_find_interface(
		&agent->bandwidth, agent->settings->migration_interface);

	return i && i->known ? i : NULL;
}

/* Whether anything of drover's may be inside of the interface's totals. */
static bool is_moving(const struct agent *agent)
{
	size_t leases;

	(void)reservations_get_all(agent->reservations, &leases);
	return leases || source_count_moving(agent);
}

static uint64_t others(const struct bandwidth_interface *i, int direction)
{
	const struct bandwidth_rate *r = &i->rates[direction];
	uint64_t own = i->classified ? r->migration_bytes_per_s : 0;

	return r->bytes_per_s > own ? r->bytes_per_s - own : 0;
}

void paths_tick(struct agent *agent)
{
	const struct bandwidth_interface *i = interface_of(agent);
	struct paths *paths = agent->paths;
	bool moving, uncounted, was_moving, was_uncounted;

	if (!i) {
		paths->other_known = false;
		return;
	}
	if (i->at_ns == paths->last_window_ns)
		return;
	paths->last_window_ns = i->at_ns;
	was_moving = paths->was_moving;
	was_uncounted = paths->was_uncounted;
	paths->was_moving = moving = is_moving(agent);
	paths->was_uncounted = uncounted = !source_traffic_is_complete(agent);
	/* Totals with migrations inside say nothing, nor do those of a window in which one ended; what
	 * was known before stands for a while. */
	if ((!i->classified && (moving || was_moving)) || uncounted || was_uncounted)
		return;
	paths->other_known = true;
	path_traffic_add(&paths->traffic, others(i, TRAFFIC_RECEIVED), others(i, TRAFFIC_SENT));
}

void paths_saturated(struct agent *agent, const char *node)
{
	const struct bandwidth_interface *i = interface_of(agent);

	if (i)
		path_record_history(&get(agent->paths, node)->record,
		                    i->rates[TRAFFIC_SENT].bytes_per_s, clock_now_ms());
}

void paths_probed(struct agent *agent, const char *node, const struct path_probe *probe)
{
	struct known_path *p = get(agent->paths, node);

	p->failed_ms = 0;
	p->problem[0] = '\0';
	path_record_probe(&p->record, probe);
}

void paths_not_probed(struct agent *agent, const char *node, const struct error *why)
{
	struct known_path *p = get(agent->paths, node);

	snprintf(p->problem, sizeof(p->problem), "%s", why->text);
	if (why->code != ERROR_BUSY && why->code != ERROR_CANCELLED)
		p->failed_ms = clock_now_ms();
}

bool paths_is_stale(const struct agent *agent, const char *node)
{
	const struct known_path *p = find(agent->paths, node);
	uint64_t now_ms = clock_now_ms();

	if (p && p->failed_ms && now_ms - p->failed_ms < PATH_FRESH_MS)
		return false;
	return !p || path_record_is_stale(&p->record, now_ms);
}

static struct path_around around(const struct agent *agent)
{
	const struct path_traffic *t = &agent->paths->traffic;

	return (struct path_around){
		.link_bytes_per_s = agent->link_bytes_per_s,
		.other_known = agent->paths->other_known,
		.sent_p95_bytes_per_s = path_traffic_p95(t, PATH_SENT, PATH_TRAFFIC_SHORT),
		.sent_long_p95_bytes_per_s = path_traffic_p95(t, PATH_SENT, PATH_TRAFFIC_LONG),
		.now_ms = clock_now_ms(),
	};
}

static void estimate(const struct known_path *p, const struct path_around *a,
                     struct path_estimate *ret)
{
	const struct path_record nothing = { 0 };

	path_record_estimate(p ? &p->record : &nothing, a, ret);
	if (p && p->problem[0] && ret->method <= PATH_LINK_SPEED)
		memcpy(ret->why, p->problem, sizeof(ret->why));
}

void paths_estimate(const struct agent *agent, const char *node, struct path_estimate *ret)
{
	struct path_around a = around(agent);

	estimate(find(agent->paths, node), &a, ret);
}

bool paths_see_others(const struct agent *agent)
{
	const struct bandwidth_interface *i = interface_of(agent);

	return i && i->classified && source_traffic_is_complete(agent);
}

uint64_t paths_get_others_sent(const struct agent *agent)
{
	return path_traffic_p95(&agent->paths->traffic, PATH_SENT, PATH_TRAFFIC_SHORT);
}

void paths_received(const struct agent *agent, uint64_t bytes_per_s)
{
	struct paths *paths = agent->paths;

	if (bytes_per_s > paths->received_bytes_per_s)
		paths->received_bytes_per_s = bytes_per_s;
}

uint64_t paths_get_received(const struct agent *agent)
{
	return agent->paths->received_bytes_per_s;
}

void paths_complete(const struct agent *agent, struct path_estimate *e)
{
	const struct paths *paths = agent->paths;
	uint64_t received = path_traffic_p95(&paths->traffic, PATH_RECEIVED, PATH_TRAFFIC_SHORT);
	struct path_estimate here;

	if (e->method <= PATH_LINK_SPEED)
		return;
	path_limit(e, agent->link_bytes_per_s);
	/* What else the source sends is taken off already. */
	here = *e;
	if (e->available_bytes_per_s < here.near_bytes_per_s)
		here.near_bytes_per_s = e->available_bytes_per_s;
	e->available_bytes_per_s = path_available(&here, 0, received);
	if (!paths->other_known && e->confidence_percent >= PATH_BELIEVED_PERCENT) {
		e->confidence_percent = PATH_BELIEVED_PERCENT - 1;
		snprintf(e->why, sizeof(e->why),
		         "other traffic at the destination is not measured");
	}
}

void paths_fill_host(const struct agent *agent, Drover__V1__HostState *to)
{
	const struct paths *paths = agent->paths;
	struct path_around a = around(agent);

	to->other_traffic_known = paths->other_known;
	to->other_rx_bytes_per_s = path_traffic_p95(&paths->traffic, PATH_RECEIVED,
	                                            PATH_TRAFFIC_SHORT);
	to->other_tx_bytes_per_s = a.sent_p95_bytes_per_s;
	to->paths = xcalloc(paths->n, sizeof(*to->paths));
	for (size_t i = 0; i < paths->n; i++) {
		struct path_estimate e;

		estimate(&paths->items[i], &a, &e);
		to->paths[to->n_paths++] = path_message_new(paths->items[i].node, &e);
	}
}
