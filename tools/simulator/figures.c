/* SPDX-License-Identifier: Apache-2.0 */
/* What came of it, and the least that any order of moves could have taken:
 *
 *	of a guest   t(v) = the time of its pre-copy with its way to itself, b(v) = what is sent then
 *	links        for each source: sum of b(v) / its link; all that arrives / all links of those that
 *	             take guests; the longest single move
 *	limits       sum of (t(v) + overhead) over the migrations that run at a time: in the cluster, and
 *	             from each source; without what may be done before one of them has its slot
 *
 * Only guests that moved are counted, so a drain that is blocked is not flattered by what it left. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "coordinator/core/plan/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* --- the bound --- */

/* A pre-copy with all of the bandwidth; the passes that a guest needs that converges are far fewer. */
#define PASSES_MAX 200

static double least_seconds(const struct world *w, const struct world_guest *g, double *ret_bytes)
{
	double rate = w->out[g->first_host] < w->in[g->host] ? w->out[g->first_host]
	                                                     : w->in[g->host];
	double downtime = (double)w->core.settings.max_downtime_ms / 1000, seconds = 0;
	struct fluid_copy copy = { .curve = g->curve,
		                   .dirty_bytes_per_s = g->dirty_bytes_per_s,
		                   .working_set_bytes = g->working_set_bytes,
		                   .downtime_s = downtime > 0 ? downtime : 0.3,
		                   .rate = rate };

	fluid_begin(&copy, g->in_use_bytes);
	do {
		double next = fluid_next(&copy);

		seconds += next;
		fluid_advance(&copy, next);
	} while (!fluid_turn(&copy) && copy.passes < PASSES_MAX);
	*ret_bytes = copy.sent;
	return seconds;
}

static bool has_moved(const struct world_guest *g)
{
	return g->attempts && g->host != g->first_host;
}

struct sums {
	double *link_s, *slot_s; /* by source */
	double arrives, all_slot_s, longest_s;
};

static void add_sums(const struct world *w, struct sums *s)
{
	double prepare = (double)w->options.prepare_ms / 1000;
	double around = (double)MOVES_AROUND_MS / 1000;
	double slot = w->core.caps.preparing ? around : around + prepare;

	for (size_t i = 0; i < w->n_guests; i++) {
		const struct world_guest *g = &w->guests[i];
		double bytes, seconds;

		if (!has_moved(g))
			continue;
		seconds = least_seconds(w, g, &bytes);
		s->link_s[g->first_host] += bytes / w->out[g->first_host];
		s->slot_s[g->first_host] += seconds + slot;
		s->all_slot_s += seconds + slot;
		s->arrives += bytes;
		s->longest_s = fmax(s->longest_s, seconds + prepare + around);
	}
}

static bool is_drained(const struct world *w, size_t host)
{
	for (size_t i = 0; i < w->n_drained; i++) {
		if (w->drained[i] == host)
			return true;
	}
	return false;
}

static void bound(const struct world *w, Drover__V1__Simulation *m)
{
	struct sums s = { .link_s = xcalloc(w->n_hosts, sizeof(double)),
		          .slot_s = xcalloc(w->n_hosts, sizeof(double)) };
	const struct caps *caps = &w->fleet->options.caps;
	double links, limits, in = 0;

	add_sums(w, &s);
	links = s.longest_s;
	limits = s.all_slot_s / caps->cluster;
	for (size_t i = 0; i < w->n_hosts; i++) {
		links = fmax(links, s.link_s[i]);
		limits = fmax(limits, s.slot_s[i] / caps->outbound);
		in += is_drained(w, i) || !w->hosts[i].reachable ? 0 : w->in[i];
	}
	if (in > 0)
		links = fmax(links, s.arrives / in);
	m->bound_links_ms = (uint64_t)(links * 1000);
	m->bound_limits_ms = (uint64_t)(limits * 1000);
	m->bound_ms = m->bound_links_ms > m->bound_limits_ms ? m->bound_links_ms
	                                                     : m->bound_limits_ms;
	if (m->bound_ms)
		m->percent_of_bound = (uint32_t)(m->makespan_ms * 100 / m->bound_ms);
	free(s.link_s);
	free(s.slot_s);
}

/* --- guests --- */

static const char *outcome_of(const struct world *w, const struct world_guest *g)
{
	const struct vm *vm = fleet_find_vm(w->fleet, g->facts.uuid);

	if (g->outcome[0])
		return g->outcome;
	return vm && !vm->movable ? "cannot move" : "waiting";
}

static Drover__V1__SimulatedGuest *guest_new(const struct world *w, const struct world_guest *g)
{
	Drover__V1__SimulatedGuest *m = xmalloc(sizeof(*m));

	drover__v1__simulated_guest__init(m);
	m->vm = xstrdup(g->facts.name);
	m->source = xstrdup(w->hosts[g->first_host].name);
	m->target = xstrdup(w->hosts[g->host].name);
	m->outcome = xstrdup(outcome_of(w, g));
	m->memory_bytes = g->facts.memory_bytes;
	m->waited_ms = g->began_ms ? g->began_ms - w->asked_ms : w->now_ms - w->asked_ms;
	m->duration_ms = g->began_ms && g->ended_ms > g->began_ms ? g->ended_ms - g->began_ms : 0;
	m->downtime_ms = g->downtime_us / 1000;
	m->sent_bytes = (uint64_t)g->sent;
	m->attempts = g->attempts;
	m->passes = g->passes;
	return m;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void fill_guests(const struct world *w, Drover__V1__Simulation *m)
{
	_cleanup_free_ uint64_t *downtimes = xcalloc(w->n_guests + 1, sizeof(*downtimes));
	size_t n = 0;

	m->guests = xcalloc(w->n_guests + 1, sizeof(*m->guests));
	for (size_t i = 0; i < w->n_guests; i++) {
		const struct world_guest *g = &w->guests[i];

		if ((!is_drained(w, g->first_host) && !g->attempts) ||
		    !vm_state_is_active(&g->facts))
			continue;
		m->guests[m->n_guests++] = guest_new(w, g);
		m->sent_bytes += (uint64_t)g->sent;
		if (!has_moved(g)) {
			m->left++;
			continue;
		}
		m->moved++;
		m->memory_bytes += g->facts.memory_bytes;
		downtimes[n++] = g->downtime_us / 1000;
	}
	qsort(downtimes, n, sizeof(*downtimes), compare_numbers);
	m->downtime_median_ms = n ? downtimes[n / 2] : 0;
	m->downtime_most_ms = n ? downtimes[n - 1] : 0;
}

/* --- the rest --- */

static Drover__V1__SimulatedAmount *amount_new(const char *name, uint64_t ms)
{
	Drover__V1__SimulatedAmount *m = xmalloc(sizeof(*m));

	drover__v1__simulated_amount__init(m);
	m->name = xstrdup(name);
	m->ms = ms;
	return m;
}

static void fill_amounts(const struct world *w, Drover__V1__Simulation *m)
{
	m->waits = xcalloc(WAITS_MAX, sizeof(*m->waits));
	for (size_t i = 0; i < WAITS_MAX && w->waits[i].reason; i++)
		m->waits[m->n_waits++] = amount_new(w->waits[i].reason, w->waits[i].ms);
	m->limits = xcalloc(3, sizeof(*m->limits));
	m->limits[m->n_limits++] = amount_new("cluster", w->cluster_full_ms);
	m->limits[m->n_limits++] = amount_new("outbound", w->outbound_full_ms);
	m->limits[m->n_limits++] = amount_new("inbound", w->inbound_full_ms);
}

static int compare_steps(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void fill_cost(const struct world *w, Drover__V1__Simulation *m)
{
	_cleanup_free_ uint32_t *sorted = xmemdup(w->step_us, w->n_step_us * sizeof(*sorted));
	struct rusage usage;

	qsort(sorted, w->n_step_us, sizeof(*sorted), compare_steps);
	m->core_cpu_us = w->cpu_ns / 1000;
	m->core_steps = w->steps;
	m->core_step_p99_us = sorted[w->n_step_us * 99 / 100];
	m->core_step_most_us = sorted[w->n_step_us - 1];
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		m->memory_used_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

static void fill_policies(const struct world *w, Drover__V1__Simulation *m)
{
	m->policies = xcalloc(w->n_policies + 1, sizeof(*m->policies));
	for (size_t p = 0; p < w->n_policies; p++) {
		const struct world_policy *policy = &w->judged[p];
		Drover__V1__SimulatedPolicy *to = xmalloc(sizeof(*to));

		drover__v1__simulated_policy__init(to);
		to->name = xstrdup(policy->kept->name);
		to->kind = xstrdup(policy_kind_name(policy->kept->kind));
		to->soft = policy->kept->soft;
		to->held = policy->holds;
		to->holds = policies_hold(w, policy);
		m->soft_held += to->soft && to->held;
		m->soft_holds += to->soft && to->holds;
		m->policies[m->n_policies++] = to;
	}
	for (size_t i = 0; i < w->n_attempts; i++)
		m->held_ms += w->attempts[i].held_ms;
}

static void judge(const struct world *w, Drover__V1__Simulation *m)
{
	const char *outcome = "completed", *reason = "";
	bool moves = false;

	for (const struct drain *d = w->fleet->drains; d; d = d->hh.next) {
		if (drain_state_is_final(d->kept.state))
			continue;
		outcome = d->kept.state == DRAIN_BLOCKED ? "blocked" : "overdue";
		moves |= d->kept.state != DRAIN_BLOCKED;
		reason = d->status;
	}
	if (w->broken[0]) {
		outcome = "broken";
		reason = w->broken;
	} else if (w->refused) {
		outcome = "refused";
		reason = w->refusal;
	} else if (moves) {
		outcome = w->options.most_ms && w->now_ms >= w->asked_ms + w->options.most_ms
		                  ? "overdue"
		                  : "blocked";
	}
	m->outcome = xstrdup(outcome);
	m->reason = xstrdup(reason);
}

Drover__V1__Simulation *figures_new(const struct world *w, char *const *notes, size_t n_notes)
{
	Drover__V1__Simulation *m = xmalloc(sizeof(*m));

	drover__v1__simulation__init(m);
	m->cluster = xstrdup(w->core.cluster);
	m->seed = w->options.seed;
	m->hosts = (uint32_t)w->n_hosts;
	m->vms = (uint32_t)w->n_guests;
	m->drained = xcalloc(w->n_drained + 1, sizeof(*m->drained));
	for (size_t i = 0; i < w->n_drained; i++)
		m->drained[m->n_drained++] = xstrdup(w->hosts[w->drained[i]].name);
	judge(w, m);
	m->makespan_ms = w->last_end_ms > w->asked_ms ? w->last_end_ms - w->asked_ms : 0;
	m->simulated_ms = w->now_ms - w->asked_ms;
	m->failed_attempts = w->n_failed;
	m->prepared = w->n_prepared;
	m->given_back = w->n_given_back;
	bound(w, m);
	fill_guests(w, m);
	fill_amounts(w, m);
	fill_cost(w, m);
	fill_policies(w, m);
	m->notes = xcalloc(n_notes + 1, sizeof(*m->notes));
	for (size_t i = 0; i < n_notes; i++)
		m->notes[m->n_notes++] = xstrdup(notes[i]);
	return m;
}

/* --- for people --- */

static void amount_line(FILE *to, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void amount_line(FILE *to, const char *name, const char *format, ...)
{
	va_list args;

	fprintf(to, "%-18s ", name);
	va_start(args, format);
	vfprintf(to, format, args);
	va_end(args);
	fputc('\n', to);
}

static void policies_line(FILE *to, const Drover__V1__Simulation *m)
{
	size_t soft = 0, hard_held = 0, hard_hold = 0;

	if (!m->n_policies)
		return;
	for (size_t i = 0; i < m->n_policies; i++) {
		soft += m->policies[i]->soft;
		hard_held += !m->policies[i]->soft && m->policies[i]->held;
		hard_hold += !m->policies[i]->soft && m->policies[i]->holds;
	}
	amount_line(to, "policies",
	            "hard: %zu of %zu held before, %zu hold now; soft: %u of %zu, %u now",
	            hard_held, m->n_policies - soft, hard_hold, m->soft_held, soft, m->soft_holds);
}

#define TIME(ms, text) units_format_duration(ms, text)
#define BYTES(n, text) units_format_bytes(n, text)

void figures_print(FILE *to, const Drover__V1__Simulation *m)
{
	char a[UNITS_TEXT_BYTES], b[UNITS_TEXT_BYTES], c[UNITS_TEXT_BYTES];

	amount_line(to, "outcome", "%s%s%s", m->outcome, *m->reason ? ": " : "", m->reason);
	amount_line(to, "fleet", "%u nodes, %u guests; %zu nodes drained", m->hosts, m->vms,
	            m->n_drained);
	amount_line(to, "makespan", "%s, %u %% of the lower bound %s", TIME(m->makespan_ms, a),
	            m->percent_of_bound, TIME(m->bound_ms, b));
	amount_line(to, "lower bounds", "%s by the links, %s by the limits",
	            TIME(m->bound_links_ms, a), TIME(m->bound_limits_ms, b));
	amount_line(to, "guests", "%u moved, %u left, %u attempts failed", m->moved, m->left,
	            m->failed_attempts);
	amount_line(to, "bytes", "%s sent for %s of memory", BYTES(m->sent_bytes, a),
	            BYTES(m->memory_bytes, b));
	amount_line(to, "downtime", "median %s, at most %s", TIME(m->downtime_median_ms, a),
	            TIME(m->downtime_most_ms, b));
	policies_line(to, m);
	if (m->held_ms)
		amount_line(to, "lanes", "%s held for others of the same node (limits/lanes)",
		            TIME(m->held_ms, a));
	if (m->prepared || m->given_back)
		amount_line(to, "prepared",
		            "%u migrations ahead of their slot, %u in vain "
		            "(limits/preparingMigrationsPerNode)",
		            m->prepared, m->given_back);
	for (size_t i = 0; i < m->n_waits; i++)
		amount_line(to, i ? "" : "guests waited", "%s for %s", TIME(m->waits[i]->ms, a),
		            m->waits[i]->name);
	amount_line(to, "limits reached", "cluster %s, outbound %s, inbound %s",
	            TIME(m->limits[0]->ms, a), TIME(m->limits[1]->ms, b),
	            TIME(m->limits[2]->ms, c));
	amount_line(to, "core",
	            "%" PRIu64 ".%03" PRIu64 " s CPU for %" PRIu64 " steps, p99 %" PRIu64
	            " us, at most %" PRIu64 " us; the simulator used %s of memory",
	            m->core_cpu_us / 1000000, m->core_cpu_us / 1000 % 1000, m->core_steps,
	            m->core_step_p99_us, m->core_step_most_us, BYTES(m->memory_used_bytes, a));
	for (size_t i = 0; i < m->n_notes; i++)
		amount_line(to, i ? "" : "notes", "%s", m->notes[i]);
}
