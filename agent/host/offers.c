/* SPDX-License-Identifier: Apache-2.0 */
/* See offers.h. */
#include "agent/host/offers.h"

#include "agent/host/hugepages.h"
#include "agent/target/target.h"
#include "common/alloc.h"
#include "common/log.h"
#include "proto/fit_message.h"

#include <stdlib.h>
#include <string.h>

struct offers {
	struct host_offers *known; /* owned; NULL: not yet */
	bool changed;              /* since the last that was told to all */
	bool asked;                /* a look is under way */
	bool failed;               /* the last one: said once */
	bool pools_known;
	struct hugepage_pool pools[HOST_POOLS_MAX];
	size_t n_pools;
};

struct offers *offers_new(void)
{
	return xnew(struct offers);
}

void offers_free(struct offers *offers)
{
	if (!offers)
		return;
	host_offers_free(offers->known);
	free(offers);
}

/* --- looking --- */

struct look {
	struct errand errand;
	struct agent *agent;
	int rc;
	struct error error;
	struct host_offers *found; /* owned */
	bool pools_known;
	struct hugepage_pool pools[HOST_POOLS_MAX];
	size_t n_pools;
};

static void look_work(struct errand *e)
{
	struct look *l = (struct look *)e;
	struct hypervisor *h = l->agent->hypervisor; /* its operations are for any thread */

	l->rc = h->ops->offers(h, &l->found, &l->error);
	l->pools_known = hugepages_list("", l->pools, &l->n_pools);
}

static void look_done(struct errand *e)
{
	struct look *l = (struct look *)e;
	struct offers *o = l->agent->offers;

	o->asked = false;
	o->pools_known = l->pools_known;
	o->n_pools = l->n_pools;
	memcpy(o->pools, l->pools, sizeof(o->pools));
	if (l->rc < 0 && !o->failed)
		log_warning("what this host has for guests could not be asked for, and is not told "
		            "to who plans: %s",
		            l->error.text);
	o->failed = l->rc < 0;
	/* What was true before a libvirtd went away is as good a guess as any: it decides nothing. */
	if (l->rc == 0 && !host_offers_equal(o->known, l->found)) {
		host_offers_free(o->known);
		o->known = l->found;
		o->changed = true;
	} else if (l->rc == 0) {
		host_offers_free(l->found);
	}
	free(l);
}

void offers_tick(struct agent *agent)
{
	struct offers *o = agent->offers;
	struct look *l;

	if (!agent->inventory.valid || o->asked ||
	    (o->known && agent->seconds % OFFERS_SECONDS != 0))
		return;
	l = xnew(struct look);
	l->errand.work = look_work;
	l->errand.done = look_done;
	l->agent = agent;
	o->asked = true;
	courier_send(agent->couriers, &l->errand);
}

/* --- telling --- */

static void count_rooms(const struct agent *agent, struct host_rooms *ret)
{
	const struct offers *o = agent->offers;

	*ret = (struct host_rooms){ .known = true,
		                    .vcpus = target_count_vcpus(agent, agent->facts.cpus),
		                    .pools_known = o->pools_known,
		                    .n_pools = o->n_pools };
	memcpy(ret->pools, o->pools, sizeof(ret->pools));
	for (size_t i = 0; i < ret->n_pools; i++)
		ret->pools[i].promised_bytes = reservations_get_pages(agent->reservations,
		                                                      ret->pools[i].page_bytes);
}

void offers_fill_host(struct agent *agent, bool whole, Drover__V1__HostState *h)
{
	const struct offers *o = agent->offers;
	struct host_rooms rooms;

	count_rooms(agent, &rooms);
	h->rooms = fit_message_rooms_new(&rooms);
	if (o->known && (whole || o->changed))
		h->offers = fit_message_offers_new(o->known);
}

void offers_told(struct agent *agent)
{
	agent->offers->changed = false;
}
