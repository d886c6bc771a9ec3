/* SPDX-License-Identifier: Apache-2.0 */
/* Hard policies, judged on the simulated hosts after every event, whatever the core believes: a guest is
 * where it runs, and from its START on where it goes.
 *
 *	apart      no member is sent to a host where another one is, or goes
 *	together   a member is sent where those are that have moved, move, or stay; those that leave, too,
 *	           have not begun yet
 *	on         no member is sent to a host that is none of those
 *
 * Drover moves nobody to repair what the file says was so already: it is broken by who was sent. */
#include "tools/simulator/world.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_numbers(const void *a, const void *b, void *context)
{
	const struct world *w = context;

	return strcmp(w->guests[*(const size_t *)a].facts.uuid,
	              w->guests[*(const size_t *)b].facts.uuid);
}

static size_t find_guest(const struct world *w, const size_t *by_uuid, const char *uuid)
{
	size_t low = 0, high = w->n_guests;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(w->guests[by_uuid[middle]].facts.uuid, uuid);

		if (order == 0)
			return by_uuid[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NOWHERE;
}

static bool *list_hosts(const struct world *w, const struct policy_record *kept)
{
	bool *on = xcalloc(w->n_hosts + 1, sizeof(*on));

	for (size_t h = 0; h < w->n_hosts; h++) {
		char labels[LABELS_BYTES];

		labels_merge(w->hosts[h].facts.labels, w->records[h].labels, labels);
		on[h] = kept->selector[0] ? selector_matches(kept->selector, labels)
		                          : names_contain(&kept->nodes, w->hosts[h].name);
	}
	return on;
}

void policies_init(struct world *w)
{
	size_t *by_uuid = xcalloc(w->n_guests + 1, sizeof(*by_uuid));

	for (size_t i = 0; i < w->n_guests; i++)
		by_uuid[i] = i;
	qsort_r(by_uuid, w->n_guests, sizeof(*by_uuid), compare_numbers, w);
	w->judged = xcalloc(w->n_policies + 1, sizeof(*w->judged));
	for (size_t p = 0; p < w->n_policies; p++) {
		struct world_policy *policy = &w->judged[p];
		const struct policy_record *kept = policy->kept = &w->policies[p];

		policy->guests = xcalloc(kept->vms.count + 1, sizeof(*policy->guests));
		for (size_t i = 0; i < kept->vms.count; i++) {
			size_t guest = find_guest(w, by_uuid, kept->vms.items[i]);
			struct world_guest *g;

			if (guest == NOWHERE)
				continue;
			policy->guests[policy->n_guests++] = guest;
			g = &w->guests[guest];
			g->policies = xreallocarray(g->policies, g->n_policies + 1,
			                            sizeof(*g->policies));
			g->policies[g->n_policies++] = p;
		}
		if (kept->kind == POLICY_ON)
			policy->on = list_hosts(w, kept);
		policy->holds = policies_hold(w, policy);
	}
	free(by_uuid);
}

void policies_deinit(struct world *w)
{
	for (size_t p = 0; w->judged && p < w->n_policies; p++) {
		free(w->judged[p].guests);
		free(w->judged[p].on);
	}
	for (size_t i = 0; i < w->n_guests; i++)
		free(w->guests[i].policies);
	free(w->judged);
	free(w->touched);
}

bool policies_hold(const struct world *w, const struct world_policy *policy)
{
	size_t first = NOWHERE;

	for (size_t i = 0; i < policy->n_guests; i++) {
		const struct world_guest *g = &w->guests[policy->guests[i]];

		if (!vm_state_is_active(&g->facts))
			continue;
		if (policy->on && !policy->on[g->host])
			return false;
		if (policy->kept->kind == POLICY_TOGETHER) {
			if (first != NOWHERE && g->host != first)
				return false;
			first = g->host;
		}
		for (size_t k = 0; k < i && policy->kept->kind == POLICY_APART; k++) {
			const struct world_guest *other = &w->guests[policy->guests[k]];

			if (vm_state_is_active(&other->facts) && other->host == g->host)
				return false;
		}
	}
	return true;
}

void policies_touch(struct world *w, size_t guest)
{
	if (!w->guests[guest].n_policies)
		return;
	if (w->n_touched == w->touched_capacity) {
		w->touched_capacity = w->touched_capacity ? 2 * w->touched_capacity : 64;
		w->touched = xreallocarray(w->touched, w->touched_capacity, sizeof(*w->touched));
	}
	w->touched[w->n_touched++] = guest;
}

/* --- judging --- */

static bool is_drained(const struct world *w, size_t host)
{
	for (size_t i = 0; i < w->n_drained; i++) {
		if (w->drained[i] == host)
			return true;
	}
	return false;
}

static bool is_present(const struct world_guest *g, size_t host)
{
	return g->host == host || g->incoming == host || g->going == host;
}

/* Whether @g may be at @host, where it was not in the beginning, as far as @other is concerned. */
static bool may_be_with(const struct world *w, const struct world_policy *policy,
                        const struct world_guest *other, size_t host)
{
	size_t place = other->going != NOWHERE ? other->going : other->host;

	if (policy->kept->kind == POLICY_APART)
		return !is_present(other, host);
	/* It has not left yet. */
	if (other->going == NOWHERE && is_drained(w, other->host))
		return true;
	return place == host;
}

static void judge_policy(struct world *w, const struct world_policy *policy, size_t guest,
                         size_t host)
{
	const struct world_guest *g = &w->guests[guest];

	if (policy->on && !policy->on[host])
		snprintf(w->broken, sizeof(w->broken),
		         "policy %s lets %.100s not be on %.100s, and it was sent there",
		         policy->kept->name, g->facts.name, w->hosts[host].name);
	for (size_t i = 0; !policy->on && i < policy->n_guests; i++) {
		const struct world_guest *other = &w->guests[policy->guests[i]];

		if (other == g || may_be_with(w, policy, other, host))
			continue;
		snprintf(w->broken, sizeof(w->broken),
		         "policy %s keeps %.100s %s %.100s, and it was sent to %.100s",
		         policy->kept->name, g->facts.name,
		         policy->kept->kind == POLICY_APART ? "apart from" : "together with",
		         other->facts.name, w->hosts[host].name);
	}
}

void policies_judge(struct world *w)
{
	for (size_t t = 0; t < w->n_touched && !w->broken[0]; t++) {
		const struct world_guest *g = &w->guests[w->touched[t]];
		size_t host = g->going != NOWHERE ? g->going : g->host;

		for (size_t i = 0; host != g->first_host && i < g->n_policies; i++) {
			const struct world_policy *policy = &w->judged[g->policies[i]];

			if (!policy->kept->soft)
				judge_policy(w, policy, w->touched[t], host);
		}
		if (w->broken[0])
			world_trace(w, "broken", g->facts.name, w->hosts[g->host].name,
			            w->hosts[host].name, w->broken);
	}
	w->n_touched = 0;
}
