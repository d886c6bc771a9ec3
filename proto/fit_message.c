/* SPDX-License-Identifier: Apache-2.0 */
/* See fit_message.h. */
#include "proto/fit_message.h"

#include "common/alloc.h"
#include "common/units.h"

#include <string.h>

#define NEW_MESSAGE(variable, type, init)       \
	type *variable = xmalloc(sizeof(type)); \
	init(variable)

Drover__V1__GuestNeeds *fit_message_needs_new(const struct guest_needs *needs)
{
	NEW_MESSAGE(m, Drover__V1__GuestNeeds, drover__v1__guest_needs__init);

	m->vcpus_maximum = needs->vcpus_maximum;
	m->hugepage_bytes = needs->hugepage_bytes;
	m->arch = xstrdup(needs->arch);
	m->virt_type = xstrdup(needs->virt_type);
	m->machine = xstrdup(needs->machine);
	m->sees_host = needs->sees_host;
	m->digest = needs->digest;
	m->networks = xcalloc(needs->n_networks + 1, sizeof(*m->networks));
	for (size_t i = 0; i < needs->n_networks; i++) {
		NEW_MESSAGE(n, Drover__V1__GuestNeeds__Network,
		            drover__v1__guest_needs__network__init);

		n->type = xstrdup(needs->networks[i].type);
		n->source = xstrdup(needs->networks[i].source);
		n->virtual_port = xstrdup(needs->networks[i].virtual_port);
		n->mtu = needs->networks[i].mtu;
		m->networks[m->n_networks++] = n;
	}
	return m;
}

Drover__V1__HostOffers *fit_message_offers_new(const struct host_offers *offers)
{
	NEW_MESSAGE(m, Drover__V1__HostOffers, drover__v1__host_offers__init);

	m->machines_known = offers->machines_known;
	m->networks_known = offers->networks_known;
	m->signature = xstrdup(offers->signature);
	m->machines = xcalloc(offers->n_machines + 1, sizeof(*m->machines));
	for (size_t i = 0; i < offers->n_machines; i++) {
		NEW_MESSAGE(one, Drover__V1__HostOffers__Machine,
		            drover__v1__host_offers__machine__init);

		one->arch = xstrdup(offers->machines[i].arch);
		one->name = xstrdup(offers->machines[i].name);
		one->vcpus_max = offers->machines[i].vcpus_max;
		m->machines[m->n_machines++] = one;
	}
	m->types = xcalloc(offers->n_types + 1, sizeof(*m->types));
	for (size_t i = 0; i < offers->n_types; i++)
		m->types[m->n_types++] = xstrdup(offers->types[i]);
	m->networks = xcalloc(offers->n_networks + 1, sizeof(*m->networks));
	for (size_t i = 0; i < offers->n_networks; i++) {
		NEW_MESSAGE(one, Drover__V1__HostOffers__Network,
		            drover__v1__host_offers__network__init);

		one->name = xstrdup(offers->networks[i].name);
		one->device = offers->networks[i].device;
		one->kind = (uint32_t)offers->networks[i].kind;
		one->mtu = offers->networks[i].mtu;
		m->networks[m->n_networks++] = one;
	}
	return m;
}

Drover__V1__HostRooms *fit_message_rooms_new(const struct host_rooms *rooms)
{
	NEW_MESSAGE(m, Drover__V1__HostRooms, drover__v1__host_rooms__init);

	m->vcpus_guests = rooms->vcpus.guests;
	m->vcpus_reserved = rooms->vcpus.reserved;
	m->cpu_overcommit_percent = rooms->vcpus.overcommit_percent;
	m->pools_known = rooms->pools_known;
	m->pools = xcalloc(rooms->n_pools + 1, sizeof(*m->pools));
	for (size_t i = 0; i < rooms->n_pools; i++) {
		NEW_MESSAGE(pool, Drover__V1__HostRooms__Pool, drover__v1__host_rooms__pool__init);

		pool->page_bytes = rooms->pools[i].page_bytes;
		pool->free_bytes = rooms->pools[i].free_bytes;
		pool->promised_bytes = rooms->pools[i].promised_bytes;
		m->pools[m->n_pools++] = pool;
	}
	return m;
}

/* Over what there is: QEMU's own machine types are some 150 for each architecture. */
#define MACHINES_MAX           4096
#define TYPES_MAX              64
#define NETWORKS_MAX           1024
#define NEEDS_MAX              64
#define VCPUS_MAX              1000000
#define OVERCOMMIT_MAX_PERCENT 100000
#define PAGES_BYTES_MAX        (64 * 1024 * GIB)

/* A name that does not fit is another name when it is cut. */
static bool take_whole(char *to, size_t bytes, const char *from)
{
	if (strlen(from) >= bytes)
		return false;
	memcpy(to, from, strlen(from) + 1);
	return true;
}

void fit_message_read_needs(const Drover__V1__GuestNeeds *from, struct guest_needs *ret)
{
	struct guest_needs needs = { .known = true };

	if (!from || from->n_networks > NEEDS_MAX || from->vcpus_maximum > VCPUS_MAX ||
	    !take_whole(needs.arch, sizeof(needs.arch), from->arch) ||
	    !take_whole(needs.virt_type, sizeof(needs.virt_type), from->virt_type) ||
	    !take_whole(needs.machine, sizeof(needs.machine), from->machine))
		return;
	needs.vcpus_maximum = from->vcpus_maximum;
	needs.hugepage_bytes = from->hugepage_bytes;
	needs.sees_host = from->sees_host;
	needs.digest = from->digest & DIGEST_MAX;
	needs.networks = from->n_networks ? xcalloc(from->n_networks, sizeof(*needs.networks))
	                                  : NULL;
	for (size_t i = 0; i < from->n_networks; i++) {
		const Drover__V1__GuestNeeds__Network *n = from->networks[i];
		struct needed_network *to = &needs.networks[needs.n_networks];

		/* The destination will be asked for it by its whole name. */
		if (!take_whole(to->type, sizeof(to->type), n->type) ||
		    !take_whole(to->source, sizeof(to->source), n->source))
			continue;
		(void)take_whole(to->virtual_port, sizeof(to->virtual_port), n->virtual_port);
		to->mtu = n->mtu;
		needs.n_networks++;
	}
	*ret = needs;
}

void fit_message_read_rooms(const Drover__V1__HostRooms *from, uint32_t cpus,
                            struct host_rooms *ret)
{
	struct host_rooms rooms = { .known = true };

	if (!from || from->vcpus_guests > VCPUS_MAX || from->vcpus_reserved > VCPUS_MAX ||
	    from->cpu_overcommit_percent > OVERCOMMIT_MAX_PERCENT)
		return;
	rooms.vcpus = (struct vcpu_totals){ .cpus = cpus,
		                            .guests = from->vcpus_guests,
		                            .reserved = from->vcpus_reserved,
		                            .overcommit_percent = from->cpu_overcommit_percent };
	rooms.pools_known = from->pools_known && from->n_pools <= HOST_POOLS_MAX;
	for (size_t i = 0; rooms.pools_known && i < from->n_pools; i++) {
		const Drover__V1__HostRooms__Pool *p = from->pools[i];

		if (p->free_bytes > PAGES_BYTES_MAX || p->promised_bytes > PAGES_BYTES_MAX) {
			rooms.pools_known = false;
			break;
		}
		rooms.pools[rooms.n_pools++] = (struct hugepage_pool){
			.page_bytes = p->page_bytes,
			.free_bytes = p->free_bytes,
			.promised_bytes = p->promised_bytes
		};
	}
	*ret = rooms;
}

static void read_machines(const Drover__V1__HostOffers *from, struct host_offers *to)
{
	to->machines_known = from->machines_known && from->n_machines <= MACHINES_MAX &&
	                     from->n_types <= TYPES_MAX;
	if (!to->machines_known)
		return;
	to->machines = xcalloc(from->n_machines + 1, sizeof(*to->machines));
	for (size_t i = 0; i < from->n_machines; i++) {
		const Drover__V1__HostOffers__Machine *m = from->machines[i];
		struct offered_machine *one = &to->machines[to->n_machines];

		if (!take_whole(one->arch, sizeof(one->arch), m->arch) ||
		    !take_whole(one->name, sizeof(one->name), m->name))
			continue;
		one->vcpus_max = m->vcpus_max;
		to->n_machines++;
	}
	to->types = xcalloc(from->n_types + 1, sizeof(*to->types));
	for (size_t i = 0; i < from->n_types; i++)
		to->n_types += take_whole(to->types[to->n_types], sizeof(*to->types),
		                          from->types[i]);
}

static void read_networks(const Drover__V1__HostOffers *from, struct host_offers *to)
{
	to->networks_known = from->networks_known && from->n_networks <= NETWORKS_MAX;
	if (!to->networks_known)
		return;
	to->networks = xcalloc(from->n_networks + 1, sizeof(*to->networks));
	for (size_t i = 0; i < from->n_networks; i++) {
		const Drover__V1__HostOffers__Network *n = from->networks[i];
		struct offered_network *one = &to->networks[to->n_networks];

		/* A kind that a later version knows is not for this one to judge. */
		if (n->kind > NETWORK_OPEN_VSWITCH)
			to->networks_known = false;
		else if (take_whole(one->name, sizeof(one->name), n->name))
			to->n_networks++;
		one->device = n->device;
		one->kind = n->kind > NETWORK_OPEN_VSWITCH ? NETWORK_OTHER
		                                           : (enum network_kind)n->kind;
		one->mtu = n->mtu;
	}
}

struct host_offers *fit_message_read_offers(const Drover__V1__HostOffers *from)
{
	struct host_offers *offers;

	if (!from)
		return NULL;
	offers = xnew(struct host_offers);
	read_machines(from, offers);
	read_networks(from, offers);
	if (!take_whole(offers->signature, sizeof(offers->signature), from->signature))
		offers->signature[0] = '\0';
	host_offers_sort(offers);
	return offers;
}
