/* SPDX-License-Identifier: Apache-2.0 */
/* See generate_kinds.h. */
#include "tools/simulator/generate_kinds.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define RACK_HOSTS  8
#define MEMBERS_MAX 4
#define TRIES       20

static bool draw_chance(struct world *random, double percent)
{
	return world_draw(random) * 100 < percent;
}

/* --- hosts and guests --- */

void kinds_draw_host(struct world *random, struct host_kind *ret)
{
	ret->ssd = draw_chance(random, 50);
	ret->newer = draw_chance(random, 60);
	ret->dmz = draw_chance(random, 50);
	ret->cpu = draw_chance(random, 70) ? 1 : 2;
}

enum guest_kind kinds_draw_guest(struct world *random, unsigned percent)
{
	double what = world_draw(random) * 100;

	if (!draw_chance(random, percent))
		return GUEST_PLAIN;
	return what < 40 ? GUEST_NEWER : what < 80 ? GUEST_DMZ : GUEST_SEES_HOST;
}

bool kinds_suit(enum guest_kind guest, const struct host_kind *host)
{
	return (guest != GUEST_NEWER || host->newer) && (guest != GUEST_DMZ || host->dmz);
}

static void add_machine(Drover__V1__HostOffers *offers, const char *name)
{
	Drover__V1__HostOffers__Machine *m = xmalloc(sizeof(*m));

	drover__v1__host_offers__machine__init(m);
	m->arch = xstrdup("x86_64");
	m->name = xstrdup(name);
	m->vcpus_max = 255;
	offers->machines[offers->n_machines++] = m;
}

static void add_bridge(Drover__V1__HostOffers *offers, const char *name)
{
	Drover__V1__HostOffers__Network *m = xmalloc(sizeof(*m));

	drover__v1__host_offers__network__init(m);
	m->name = xstrdup(name);
	m->device = true;
	m->kind = NETWORK_BRIDGE;
	m->mtu = 1500;
	offers->networks[offers->n_networks++] = m;
}

void kinds_fill_host(Drover__V1__HostState *host, size_t number, const struct host_kind *kind)
{
	Drover__V1__HostOffers *offers = xmalloc(sizeof(*offers));

	drover__v1__host_offers__init(offers);
	offers->machines_known = offers->networks_known = true;
	offers->machines = xcalloc(2, sizeof(*offers->machines));
	add_machine(offers, "pc-q35-7.2");
	if (kind->newer)
		add_machine(offers, "pc-q35-8.2");
	offers->types = xcalloc(1, sizeof(*offers->types));
	offers->types[offers->n_types++] = xstrdup("x86_64 kvm");
	offers->networks = xcalloc(2, sizeof(*offers->networks));
	add_bridge(offers, "br0");
	if (kind->dmz)
		add_bridge(offers, "br1");
	offers->signature = xasprintf("cpu generation %u", kind->cpu);
	host->offers = offers;
	host->labels = xcalloc(2, sizeof(*host->labels));
	host->labels[host->n_labels++] = xasprintf("disk=%s", kind->ssd ? "ssd" : "hdd");
	host->labels[host->n_labels++] = xasprintf("rack=r%zu", number / RACK_HOSTS + 1);
}

static void add_network(Drover__V1__GuestNeeds *needs, const char *bridge)
{
	Drover__V1__GuestNeeds__Network *m = xmalloc(sizeof(*m));

	drover__v1__guest_needs__network__init(m);
	m->type = xstrdup("bridge");
	m->source = xstrdup(bridge);
	needs->networks[needs->n_networks++] = m;
}

void kinds_fill_guest(Drover__V1__VmState *guest, enum guest_kind kind)
{
	Drover__V1__GuestNeeds *needs = xmalloc(sizeof(*needs));

	drover__v1__guest_needs__init(needs);
	needs->vcpus_maximum = guest->vcpus;
	needs->arch = xstrdup("x86_64");
	needs->virt_type = xstrdup("kvm");
	needs->machine = xstrdup(kind == GUEST_NEWER ? "pc-q35-8.2" : "pc-q35-7.2");
	needs->sees_host = kind == GUEST_SEES_HOST;
	needs->digest = 1 + (uint64_t)kind;
	needs->networks = xcalloc(2, sizeof(*needs->networks));
	add_network(needs, "br0");
	if (kind == GUEST_DMZ)
		add_network(needs, "br1");
	guest->needs = needs;
}

/* --- policies --- */

struct drawing {
	struct world *random;
	Drover__V1__FleetState *m;
	const size_t *host_of;
	const struct host_kind *hosts;
	bool *taken; /* a guest is in one policy: so no two contradict each other */
	size_t members[MEMBERS_MAX], n;
};

static bool is_fit(const struct drawing *d, enum policy_kind kind, size_t guest)
{
	for (size_t i = 0; i < d->n; i++) {
		bool same = d->host_of[d->members[i]] == d->host_of[guest];

		if (d->members[i] == guest || (kind == POLICY_APART && same) ||
		    (kind == POLICY_TOGETHER && !same))
			return false;
	}
	return !d->taken[guest] && (kind != POLICY_ON || d->hosts[d->host_of[guest]].ssd);
}

static bool is_free(const struct drawing *d, size_t guest)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->members[i] == guest)
			return false;
	}
	return !d->taken[guest];
}

static void draw_members(struct drawing *d, enum policy_kind kind, bool soft, size_t wanted)
{
	d->n = 0;
	for (unsigned i = 0; i < TRIES * MEMBERS_MAX && d->n < wanted; i++) {
		size_t guest = (size_t)(world_draw(d->random) * (double)d->m->n_vms);

		/* Those of a host are rare: look on from there. */
		for (size_t k = 0;
		     kind == POLICY_TOGETHER && !soft && k < d->m->n_vms && !is_fit(d, kind, guest);
		     k++)
			guest = (guest + 1) % d->m->n_vms;
		if (soft ? is_free(d, guest) : is_fit(d, kind, guest))
			d->members[d->n++] = guest;
	}
}

static void add_policy(struct drawing *d, enum policy_kind kind, bool soft)
{
	Drover__V1__Policy *policy = xmalloc(sizeof(*policy));

	drover__v1__policy__init(policy);
	policy->name = xasprintf("%s%zu", policy_kind_name(kind), d->m->n_policies + 1);
	policy->kind = xstrdup(policy_kind_name(kind));
	policy->soft = soft;
	policy->by = xstrdup("generated");
	if (kind == POLICY_ON)
		policy->selector = xstrdup("disk=ssd");
	policy->vms = xcalloc(MEMBERS_MAX, sizeof(*policy->vms));
	for (size_t i = 0; i < d->n; i++) {
		Drover__V1__PolicyMember *member = xmalloc(sizeof(*member));

		drover__v1__policy_member__init(member);
		member->uuid = xstrdup(d->m->vms[d->members[i]]->uuid);
		member->name = xstrdup(d->m->vms[d->members[i]]->name);
		policy->vms[policy->n_vms++] = member;
		d->taken[d->members[i]] = true;
	}
	d->m->policies[d->m->n_policies++] = policy;
}

void kinds_draw_policies(struct world *random, Drover__V1__FleetState *m, unsigned percent,
                         const size_t *host_of, const struct host_kind *hosts)
{
	_cleanup_free_ bool *taken = xcalloc(m->n_vms + 1, sizeof(*taken));
	struct drawing d = { random, m, host_of, hosts, taken, { 0 }, 0 };
	size_t wanted = m->n_vms * percent / 100, in_some = 0;

	m->policies = xcalloc(wanted + 1, sizeof(*m->policies));
	for (size_t tries = 0; in_some < wanted && tries < 2 * wanted; tries++) {
		double what = world_draw(random) * 100;
		enum policy_kind kind = what < 50   ? POLICY_APART
		                        : what < 75 ? POLICY_TOGETHER
		                                    : POLICY_ON;
		bool soft = draw_chance(random, 50);
		size_t most = kind == POLICY_APART ? 4 : 2;
		size_t least = kind == POLICY_ON ? 1 : 2;

		draw_members(&d, kind, soft,
		             least + (size_t)(world_draw(random) * (double)(most - least + 1)));
		if (d.n < least)
			continue;
		add_policy(&d, kind, soft);
		in_some += d.n;
	}
}
