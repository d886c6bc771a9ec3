/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/offers_world.h"

#include "common/alloc.h"
#include "coordinator/core/drain/drain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct host_offers *offers_of(const struct offers *offers)
{
	struct host_offers *o = xnew(struct host_offers);

	o->machines_known = o->networks_known = true;
	o->machines = xcalloc(1, sizeof(*o->machines));
	snprintf(o->machines[0].arch, sizeof(o->machines[0].arch), "x86_64");
	snprintf(o->machines[0].name, sizeof(o->machines[0].name), "%s",
	         offers->machine ? offers->machine : "pc-q35-7.2");
	o->machines[0].vcpus_max = 255;
	o->n_machines = 1;
	o->types = xcalloc(1, sizeof(*o->types));
	snprintf(o->types[0], sizeof(o->types[0]), "x86_64 kvm");
	o->n_types = 1;
	o->networks = xcalloc(1, sizeof(*o->networks));
	o->networks[0] = (struct offered_network){ .device = true,
		                                   .kind = NETWORK_BRIDGE,
		                                   .mtu = 1500 };
	snprintf(o->networks[0].name, sizeof(o->networks[0].name), "%s",
	         offers->bridge ? offers->bridge : "br0");
	o->n_networks = 1;
	snprintf(o->signature, sizeof(o->signature), "%s",
	         offers->signature ? offers->signature : "cpu A");
	host_offers_sort(o);
	return o;
}

void offers_tell(struct core_world *world, const char *name, const struct offers *offers)
{
	struct event event = { .kind = EVENT_HOST };
	struct host_state host;

	host_state_copy(&host, &fleet_find_node(world->fleet, name)->host);
	host_offers_free(host.offers);
	host.offers = offers_of(offers);
	host.rooms = offers->rooms;
	host.port_pool = offers->ports ? offers->ports : host.port_pool;
	event.host.node = name;
	event.host.host = &host;
	core_world_step(world, &event);
	host_state_deinit(&host);
}

void offers_add_host(struct core_world *world, const char *name, const struct offers *offers)
{
	core_world_host(world, name, offers->capacity_mib ? offers->capacity_mib : 8192, NULL, 0);
	offers_tell(world, name, offers);
}

static struct needed_network nic = { .type = "bridge", .source = "br0" };

struct vm_state offers_guest(const char *name, uint64_t memory_mib)
{
	struct vm_state vm = core_world_vm(name, memory_mib);

	vm.vcpus = 2;
	vm.needs = (struct guest_needs){ .known = true,
		                         .vcpus_maximum = 2,
		                         .arch = "x86_64",
		                         .virt_type = "kvm",
		                         .machine = "pc-q35-7.2",
		                         .digest = 7,
		                         .networks = &nic,
		                         .n_networks = 1 };
	return vm;
}

static const struct reply *ask(struct core_world *world, const char *node, bool copy_disks)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.copy_disks = copy_disks;
	event.drain.node = node;
	event.drain.reason = "";
	event.drain.dry_run = true;
	return core_world_ask(world, &event);
}

const struct reply *offers_ask(struct core_world *world)
{
	return ask(world, "host1", false);
}

const struct reply *offers_ask_of(struct core_world *world, const char *node)
{
	return ask(world, node, false);
}

const struct reply *offers_ask_copying(struct core_world *world)
{
	return ask(world, "host1", true);
}

struct core_world *offers_two_hosts(const struct offers *lacks, const struct vm_state *guest)
{
	struct core_world *world = core_world_new();
	struct offers roomy = *lacks;

	roomy.capacity_mib = 16384;
	offers_add_host(world, "host1", &(struct offers){ 0 });
	core_world_see(world, "host1", guest);
	offers_add_host(world, "host2", &roomy);
	return world;
}

void offers_expect_blocked(struct core_world *world, const char *word)
{
	const struct drain_vm *dv = reply_guest(offers_ask(world), "web");

	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	if (!strstr(dv->reason, word))
		fail_msg("\"%s\" does not say \"%s\"", dv->reason, word);
}
