/* SPDX-License-Identifier: Apache-2.0 */
/* What destinations would refuse is known beforehand: the dry run goes round it, says which check stands in
 * the way with its figures, and agrees with what drover says of each host and guest alone. */
#include "coordinator/core/drain/drain.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/capacity/capacity.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/plan/plan.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- hosts and guests --- */

struct host_change {
	uint64_t capacity_mib;
	uint32_t ports; /* 0: as core_world has them */
	const char *bridge;
	const char *machine;
	const char *signature;
	struct host_rooms rooms;
};

static struct host_offers *offers_of(const struct host_change *change)
{
	struct host_offers *o = xnew(struct host_offers);

	o->machines_known = o->networks_known = true;
	o->machines = xcalloc(1, sizeof(*o->machines));
	snprintf(o->machines[0].arch, sizeof(o->machines[0].arch), "x86_64");
	snprintf(o->machines[0].name, sizeof(o->machines[0].name), "%s",
	         change->machine ? change->machine : "pc-q35-7.2");
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
	         change->bridge ? change->bridge : "br0");
	o->n_networks = 1;
	snprintf(o->signature, sizeof(o->signature), "%s",
	         change->signature ? change->signature : "cpu A");
	host_offers_sort(o);
	return o;
}

static void tell(struct core_world *world, const char *name, const struct host_change *change)
{
	struct event event = { .kind = EVENT_HOST };
	struct host_state host;

	host_state_copy(&host, &fleet_find_node(world->fleet, name)->host);
	host_offers_free(host.offers);
	host.offers = offers_of(change);
	host.rooms = change->rooms;
	host.port_pool = change->ports ? change->ports : host.port_pool;
	event.host.node = name;
	event.host.host = &host;
	core_world_step(world, &event);
	host_state_deinit(&host);
}

static void add_host(struct core_world *world, const char *name, const struct host_change *change)
{
	core_world_host(world, name, change->capacity_mib ? change->capacity_mib : 8192, NULL, 0);
	tell(world, name, change);
}

static struct needed_network nic = { .type = "bridge", .source = "br0" };

/* Its networks are not its own. */
static struct vm_state guest_of(const char *name, uint64_t memory_mib)
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

static struct host_rooms vcpus(uint32_t cpus, uint32_t guests)
{
	return (struct host_rooms){
		.known = true,
		.vcpus = { .cpus = cpus, .guests = guests, .overcommit_percent = 100 }
	};
}

static struct host_rooms pages(uint64_t page_bytes, uint64_t free_bytes)
{
	return (struct host_rooms){ .known = true,
		                    .pools_known = true,
		                    .pools = { { .page_bytes = page_bytes,
		                                 .free_bytes = free_bytes } },
		                    .n_pools = 1 };
}

static const struct reply *ask_with(struct core_world *world, const char *node, bool copy_disks)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.copy_disks = copy_disks;
	event.drain.node = node;
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_forget(world);
	core_world_step(world, &event);
	core_world_wait(world, PREVIEW_DEADLINE_MS / 1000 + 1);
	return core_world_reply(world);
}

static const struct reply *ask(struct core_world *world, const char *node)
{
	return ask_with(world, node, false);
}

static const struct drain_vm *find(const struct reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		if (strcmp(reply->plan->vms[i].name, name) == 0)
			return &reply->plan->vms[i];
	}
	fail_msg("the plan does not know %s", name);
	return &reply->plan->vms[0];
}

/* host2 lacks it, and is the roomier one; host3 has it. */
static struct core_world *two_hosts(const struct host_change *lacks, const struct vm_state *guest)
{
	struct core_world *world = core_world_new();
	struct host_change roomy = *lacks;

	roomy.capacity_mib = 16384;
	add_host(world, "host1", &(struct host_change){ 0 });
	core_world_see(world, "host1", guest);
	add_host(world, "host2", &roomy);
	return world;
}

static void expect_blocked(struct core_world *world, const char *word)
{
	const struct drain_vm *dv = find(ask(world, "host1"), "web");

	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	if (!strstr(dv->reason, word))
		fail_msg("\"%s\" does not say \"%s\"", dv->reason, word);
}

/* Without host3 the guest has no place, and it is said why; with it, it goes there. */
static void avoids(const struct host_change *lacks, const struct host_change *has,
                   const struct vm_state *guest, const char *word)
{
	struct core_world *world = two_hosts(lacks, guest);

	expect_blocked(world, word);
	add_host(world, "host3", has);
	assert_string_equal(find(ask(world, "host1"), "web")->target, "host3");
	core_world_free(world);
}

static void test_networks(void **state)
{
	struct vm_state guest = guest_of("web", 512);

	(void)state;
	avoids(&(struct host_change){ .bridge = "br1" }, &(struct host_change){ 0 }, &guest,
	       "host2 has no bridge \"br0\" that is up");
}

static void test_machines(void **state)
{
	struct vm_state guest = guest_of("web", 512);

	(void)state;
	avoids(&(struct host_change){ .machine = "pc-q35-6.2" }, &(struct host_change){ 0 }, &guest,
	       "host2 has no QEMU for x86_64 with machine type pc-q35-7.2");
}

static void test_processors(void **state)
{
	struct vm_state guest = guest_of("web", 512);

	(void)state;
	guest.needs.sees_host = true;
	avoids(&(struct host_change){ .signature = "cpu B" }, &(struct host_change){ 0 }, &guest,
	       "here cpu B, there cpu A");
}

static void test_vcpus(void **state)
{
	struct vm_state guest = guest_of("web", 512);

	(void)state;
	avoids(&(struct host_change){ .rooms = vcpus(4, 3) },
	       &(struct host_change){ .rooms = vcpus(4, 2) }, &guest,
	       "host2 has 1 of 4 vCPUs left (4 CPUs x 1.00), 2 needed");
}

static void test_huge_pages(void **state)
{
	struct vm_state guest = guest_of("web", 512);

	(void)state;
	guest.needs.hugepage_bytes = 2 * MIB;
	avoids(&(struct host_change){ .rooms = pages(2 * MIB, 510 * MIB) },
	       &(struct host_change){ .rooms = pages(2 * MIB, 512 * MIB) }, &guest,
	       "host2 has 510 MiB free in pages of 2 MiB, 512 MiB needed");
	avoids(&(struct host_change){ .rooms = pages(GIB, 8 * GIB) },
	       &(struct host_change){ .rooms = pages(2 * MIB, 512 * MIB) }, &guest,
	       "host2 has 0 B free in pages of 2 MiB");
}

/* Memory and disks take a port each: a host with one takes no guest whose disks are to be copied, and one
 * that it would take without. */
static void test_two_ports(void **state)
{
	struct vm_state web = guest_of("web", 512);
	struct core_world *world = two_hosts(&(struct host_change){ .ports = 1 }, &web);
	const struct drain_vm *dv;

	(void)state;
	assert_string_equal(find(ask(world, "host1"), "web")->target, "host2");
	dv = find(ask_with(world, "host1", true), "web");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(dv->reason, "0 of 1 migration ports of host2 in use, two needed"));
	add_host(world, "host3", &(struct host_change){ 0 });
	dv = find(ask_with(world, "host1", true), "web");
	assert_string_equal(dv->target, "host3");
	/* It was found out that nothing is to be copied. */
	fleet_find_vm(world->fleet, web.uuid)->copies = COPIES_NONE;
	assert_string_equal(find(ask_with(world, "host1", true), "web")->target, "host2");
	core_world_free(world);
}

/* Two guests of 2 vCPUs do not both go where 3 are left; nor is a pool given twice. */
static void test_rooms_are_counted(void **state)
{
	struct vm_state a = guest_of("a", 512), b = guest_of("b", 512);
	struct core_world *world = two_hosts(&(struct host_change){ .rooms = vcpus(4, 1) }, &a);
	const struct reply *reply;

	(void)state;
	core_world_see(world, "host1", &b);
	reply = ask(world, "host1");
	assert_int_equal((find(reply, "a")->state == DRAIN_VM_BLOCKED) +
	                         (find(reply, "b")->state == DRAIN_VM_BLOCKED),
	                 1);
	add_host(world, "host3", &(struct host_change){ .rooms = vcpus(4, 2) });
	reply = ask(world, "host1");
	assert_string_not_equal(find(reply, "a")->target, find(reply, "b")->target);
	assert_string_not_equal(find(reply, "a")->target, "");
	core_world_free(world);
}

/* Hosts that lack the same are said once, with how many they are. */
static void test_many_that_lack_the_same(void **state)
{
	static const char *const names[] = { "host2", "host3", "host4" };
	struct vm_state guest = guest_of("web", 4096);
	struct core_world *world = core_world_new();

	(void)state;
	add_host(world, "host1", &(struct host_change){ 0 });
	core_world_see(world, "host1", &guest);
	for (size_t i = 0; i < 3; i++)
		add_host(world, names[i], &(struct host_change){ .bridge = "br1" });
	add_host(world, "host5", &(struct host_change){ .capacity_mib = 4096 });
	expect_blocked(world, "3 of 4 nodes have no bridge \"br0\" that is up: host2, host3, "
	                      "host4; host5 80 MiB short of memory");
	core_world_free(world);
}

/* A destination that refused a guest for its CPU has refused all guests of that CPU, until it says that it
 * has changed. */
static void test_denials(void **state)
{
	struct check cpu = { .id = "cpu",
		             .verdict = CHECK_FAIL,
		             .measured = "missing: avx512f",
		             .required = "every CPU feature that the guest sees" };
	struct vm_state a = guest_of("web", 512), b = guest_of("b", 512), c = guest_of("c", 512);
	struct core_world *world = two_hosts(&(struct host_change){ 0 }, &a);
	struct checks checks = { .items = &cpu, .count = 1 };

	(void)state;
	c.needs.digest = 8;
	core_world_see(world, "host1", &b);
	core_world_see(world, "host1", &c);
	denials_learn(fleet_find_node(world->fleet, "host2"), fleet_find_vm(world->fleet, b.uuid),
	              &checks, world->now_ms);
	expect_blocked(world,
	               "host2 has refused a guest of the same host, CPU and machine type: cpu: "
	               "missing: avx512f");
	assert_string_equal(find(core_world_reply(world), "c")->target, "host2");
	tell(world, "host2", &(struct host_change){ .signature = "cpu C" });
	assert_string_equal(find(ask(world, "host1"), "web")->target, "host2");
	core_world_free(world);
}

/* A digest is the word of the host that has the guest: what came of it on a destination shuts out no guest
 * of another host, whoever errs or lies. */
static void i12_denials_are_of_one_home(void **state)
{
	struct check cpu = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512" };
	struct checks checks = { .items = &cpu, .count = 1 };
	struct vm_state a = guest_of("web", 512), b = guest_of("b", 512), c = guest_of("c", 512);
	struct core_world *world = two_hosts(&(struct host_change){ 0 }, &a);
	struct node *node = fleet_find_node(world->fleet, "host2");
	struct vm *there, *same;

	(void)state;
	add_host(world, "host3", &(struct host_change){ 0 });
	core_world_see(world, "host1", &b);
	core_world_see(world, "host3", &c);
	same = fleet_find_vm(world->fleet, b.uuid);
	there = fleet_find_vm(world->fleet, c.uuid);
	denials_learn(node, fleet_find_vm(world->fleet, a.uuid), &checks, world->now_ms);
	assert_non_null(denials_find(node, fleet_find_sighting(same, same->node), world->now_ms));
	assert_null(denials_find(node, fleet_find_sighting(there, there->node), world->now_ms));
	/* Nor does one that passes there take back what was said of the others. */
	cpu.verdict = CHECK_PASS;
	denials_learn(node, there, &checks, world->now_ms);
	assert_non_null(denials_find(node, fleet_find_sighting(same, same->node), world->now_ms));
	core_world_free(world);
}

/* ... in plans and answers, too: of guests alike on two hosts the one that was refused is refused, in whatever
 * order they are looked at, and the other one is not. */
static void i12_denials_make_classes(void **state)
{
	struct check cpu = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512" };
	struct checks checks = { .items = &cpu, .count = 1 };
	struct vm_state here = guest_of("web", 512), there = guest_of("db", 512);
	struct core_world *world = two_hosts(&(struct host_change){ 0 }, &here);
	const struct node *nodes[2];
	struct vm *vms[2];

	(void)state;
	/* Neither has room for the other's guest. */
	add_host(world, "host3", &(struct host_change){ 0 });
	core_world_see(world, "host3", &there);
	core_world_figures(world, "host1", 1024, 900);
	core_world_figures(world, "host3", 1024, 900);
	vms[0] = fleet_find_vm(world->fleet, here.uuid);
	vms[1] = fleet_find_vm(world->fleet, there.uuid);
	denials_learn(fleet_find_node(world->fleet, "host2"), vms[0], &checks, world->now_ms);
	for (int first = 0; first < 2; first++) {
		struct capacity c;

		capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
		for (int i = 0; i < 2; i++) {
			int v = first ^ i;
			struct capacity_answer answer;

			nodes[v] = vms[v]->node;
			answer = capacity_ask_drain(&c, &nodes[v], 1);
			assert_int_equal(answer.verdict, v == 0 ? PACKING_NO : PACKING_YES);
			capacity_answer_deinit(&answer);
		}
		capacity_deinit(&c);
	}
	assert_int_equal(find(ask(world, "host1"), "web")->state, DRAIN_VM_BLOCKED);
	assert_string_equal(find(ask(world, "host3"), "db")->target, "host2");
	core_world_free(world);
}

/* What could not be measured on one day speaks for no other guest. */
static void test_no_denial_without_a_measurement(void **state)
{
	struct check cpu = { .id = "cpu",
		             .verdict = CHECK_FAIL,
		             .measured = "not measured: libvirt is away" };
	struct check memory = { .id = "memory", .verdict = CHECK_FAIL, .measured = "1 MiB free" };
	struct vm_state guest = guest_of("web", 512);
	struct core_world *world = two_hosts(&(struct host_change){ 0 }, &guest);
	struct node *node = fleet_find_node(world->fleet, "host2");
	const struct vm *vm = fleet_find_vm(world->fleet, guest.uuid);
	struct checks checks = { .items = &cpu, .count = 1 };

	(void)state;
	denials_learn(node, vm, &checks, world->now_ms);
	checks.items = &memory;
	denials_learn(node, vm, &checks, world->now_ms);
	assert_null(node->denials);
	core_world_free(world);
}

/* Kinds that were refused long ago take nobody's place. */
static void test_old_denials_go(void **state)
{
	struct check cpu = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "no avx512" };
	struct checks checks = { .items = &cpu, .count = 1 };
	struct vm_state guest = guest_of("web", 512);
	struct core_world *world = two_hosts(&(struct host_change){ 0 }, &guest);
	struct node *node = fleet_find_node(world->fleet, "host2");
	struct vm *vm = fleet_find_vm(world->fleet, guest.uuid);
	struct sighting *home = fleet_find_sighting(vm, vm->node);
	uint64_t later_ms = world->now_ms + DENIAL_MS + 1;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		home->state.needs.digest = i;
		denials_learn(node, vm, &checks, world->now_ms);
	}
	assert_null(denials_find(node, home, world->now_ms));
	denials_learn(node, vm, &checks, later_ms);
	assert_non_null(denials_find(node, home, later_ms));
	core_world_free(world);
}

/* An agent that tells nothing of it, as one of an earlier version, shuts nobody out. */
static void test_silent_agents(void **state)
{
	struct vm_state guest = guest_of("web", 512);
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	core_world_see(world, "host1", &guest);
	core_world_host(world, "host2", 4096, NULL, 0);
	assert_string_equal(find(ask(world, "host1"), "web")->target, "host2");
	core_world_free(world);
}

/* What is told only when it changes stays until then. */
static void test_offers_stay(void **state)
{
	struct vm_state guest = guest_of("web", 512);
	struct core_world *world = two_hosts(&(struct host_change){ .bridge = "br1" }, &guest);
	struct node *node = fleet_find_node(world->fleet, "host2");

	(void)state;
	core_world_figures(world, "host2", 16384, 0);
	assert_non_null(node->host.offers);
	core_world_host(world, "host2", 16384, NULL, 0);
	assert_null(node->host.offers);
	core_world_free(world);
}

/* --- what only a destination can see --- */

/* Answers every question that is open as the hosts would: @refuses says no to every guest's disk. */
static void answer_all(struct core_world *world, const char *const *refuses, size_t n)
{
	struct check disk = { .id = "disk/vda",
		              .verdict = CHECK_FAIL,
		              .measured = "no such file here",
		              .required = "the same disk" };
	struct check fine = { .id = "disk/vda", .verdict = CHECK_PASS };

	for (size_t i = 0; i < world->seen.count; i++) {
		struct action *action = &world->seen.items[i];
		struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
		struct checks checks = { .count = 1 };
		bool no = false;

		if (action->kind != ACTION_PREVIEW)
			continue;
		for (size_t k = 0; k < n; k++)
			no |= strcmp(action->preview.target, refuses[k]) == 0;
		checks.items = no ? &disk : &fine;
		answer.preview.preview = action->preview.preview;
		answer.preview.admitted = !no;
		answer.preview.checks = &checks;
		answer.preview.outcome = CALL_ANSWERED;
		core_world_step(world, &answer);
	}
}

static const struct reply *ask_hosts(struct core_world *world, const char *const *refuses, size_t n)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_forget(world);
	core_world_step(world, &event);
	answer_all(world, refuses, n);
	return core_world_reply(world);
}

/* A dry run asks until every planned pair is admitted. The guests that are refused are planned with the
 * others: two of 2 GiB do not both end up where there is room for one. */
static void test_refusals_are_planned_again(void **state)
{
	static const char *const refuses[] = { "host2", "host3" };
	struct vm_state a = guest_of("a", 2048), b = guest_of("b", 2048);
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	add_host(world, "host1", &(struct host_change){ 0 });
	core_world_see(world, "host1", &a);
	core_world_see(world, "host1", &b);
	add_host(world, "host2", &(struct host_change){ .capacity_mib = 16384 });
	add_host(world, "host3", &(struct host_change){ .capacity_mib = 8192 });
	add_host(world, "host4", &(struct host_change){ .capacity_mib = 4096 });
	add_host(world, "host5", &(struct host_change){ .capacity_mib = 3072 });
	reply = ask_hosts(world, refuses, 2);
	assert_int_equal(find(reply, "a")->state, DRAIN_VM_WAITING);
	assert_int_equal(find(reply, "b")->state, DRAIN_VM_WAITING);
	assert_string_not_equal(find(reply, "a")->target, find(reply, "b")->target);
	assert_true(strcmp(find(reply, "a")->target, "host3") > 0);
	assert_true(strcmp(find(reply, "b")->target, "host3") > 0);
	assert_int_equal(reply->plan->vms[0].order, 1);
	core_world_free(world);
}

/* With no destination left the guest is blocked, with what each has said. */
static void test_all_refuse(void **state)
{
	static const char *const refuses[] = { "host2", "host3" };
	struct vm_state web = guest_of("web", 512);
	struct core_world *world = two_hosts(&(struct host_change){ 0 }, &web);
	const struct reply *reply;
	const struct drain_vm *dv;

	(void)state;
	add_host(world, "host3", &(struct host_change){ 0 });
	reply = ask_hosts(world, refuses, 2);
	dv = find(reply, "web");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(dv->reason, "host2 refused: disk/vda: no such file here"));
	assert_non_null(strstr(dv->reason, "host3 refused: disk/vda: no such file here"));
	core_world_free(world);
}

/* --- agreement --- */

#define FLEETS 60
#define HOSTS  6
#define GUESTS 10

static unsigned draw(unsigned *seed, unsigned most)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % most;
}

/* Every third fleet is small: then all have a place now and then. */
static struct core_world *draw_fleet(unsigned *seed, bool small)
{
	static const char *const bridges[] = { "br0", "br0", "br1" };
	static const char *const machines[] = { "pc-q35-7.2", "pc-q35-7.2", "pc-q35-8.0" };
	static const char *const signatures[] = { "cpu A", "cpu A", "cpu B" };
	struct core_world *world = core_world_new();

	for (unsigned i = 0; i < HOSTS; i++) {
		char name[16];
		struct host_change change = {
			.capacity_mib = i ? 1024 + 512 * draw(seed, 6) : 16384,
			.bridge = i ? bridges[draw(seed, 3)] : NULL,
			.machine = i ? machines[draw(seed, 3)] : NULL,
			.signature = i ? signatures[draw(seed, 3)] : NULL,
			.rooms = { .known = draw(seed, 4) > 0,
			           .vcpus = { .cpus = 8,
			                      .guests = draw(seed, 9),
			                      .overcommit_percent = 50 * draw(seed, 4) },
			           .pools_known = true,
			           .pools = { { .page_bytes = 2 * MIB,
			                        .free_bytes = 256 * MIB * draw(seed, 5) } },
			           .n_pools = draw(seed, 2) },
		};

		snprintf(name, sizeof(name), "host%u", i + 1);
		add_host(world, name, &change);
	}
	for (unsigned i = 0; i < (small ? 3 : GUESTS); i++) {
		char name[16];
		struct vm_state guest;

		snprintf(name, sizeof(name), "vm%02u", i);
		guest = guest_of(name, 128 + 128 * draw(seed, 6));
		guest.vcpus = guest.needs.vcpus_maximum = 1 + draw(seed, 4);
		guest.needs.sees_host = draw(seed, 3) == 0;
		guest.needs.hugepage_bytes = draw(seed, 3) ? 0 : 2 * MIB;
		core_world_see(world, "host1", &guest);
	}
	return world;
}

/* Places each planned guest on the books that drover place, why-not and the launch use, in its turn. */
static size_t check_places(struct core_world *world, const struct reply *reply)
{
	struct plan plan;
	size_t placed = 0;

	plan_init(&plan, world->fleet, world->now_ms);
	for (uint32_t turn = 1; turn <= reply->plan->n_vms; turn++) {
		for (size_t i = 0; i < reply->plan->n_vms; i++) {
			const struct drain_vm *dv = &reply->plan->vms[i];
			char why[REASON_BYTES] = "";

			if (dv->order != turn)
				continue;
			placed++;
			if (!plan_pick_target(&plan, world->fleet,
			                      fleet_find_vm(world->fleet, dv->uuid), dv->target,
			                      true, world->now_ms, why))
				fail_msg("%s is planned to %s: %s", dv->name, dv->target, why);
		}
	}
	plan_deinit(&plan);
	return placed;
}

/* A guest that no host would take alone has no place, and one that some host takes beside all the others
 * that are placed has one. */
static void check_blocked(struct core_world *world, const struct reply *reply)
{
	struct plan empty, full;
	char why[REASON_BYTES];

	plan_init(&full, world->fleet, world->now_ms);
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct drain_vm *dv = &reply->plan->vms[i];

		if (dv->state == DRAIN_VM_WAITING)
			(void)plan_pick_target(&full, world->fleet,
			                       fleet_find_vm(world->fleet, dv->uuid), dv->target,
			                       true, world->now_ms, why);
	}
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct drain_vm *dv = &reply->plan->vms[i];
		const struct vm *vm = fleet_find_vm(world->fleet, dv->uuid);
		bool alone = false, beside = false;

		plan_init(&empty, world->fleet, world->now_ms);
		for (size_t h = 0; h < empty.count; h++) {
			alone |= plan_judge(world->fleet, &empty.nodes[h], vm, true, world->now_ms,
			                    NULL) == PLAN_FITS;
			beside |= plan_judge(world->fleet, &full.nodes[h], vm, true, world->now_ms,
			                     NULL) == PLAN_FITS;
		}
		plan_deinit(&empty);
		if (dv->state == DRAIN_VM_WAITING)
			assert_true(alone);
		if (dv->state == DRAIN_VM_BLOCKED && beside)
			fail_msg("%s is blocked (%s), and there is a host for it", dv->name,
			         dv->reason);
		if (dv->state == DRAIN_VM_BLOCKED && !alone)
			assert_string_equal(drain_proof_name(dv->proof), "alone");
	}
	plan_deinit(&full);
}

/* drover capacity says yes where the drain has a place for each, never yes where a guest is proved to have
 * none, and never no where all have one. */
static void check_capacity(struct core_world *world, const struct reply *reply, size_t placed)
{
	const struct node *node = fleet_find_node(world->fleet, "host1");
	struct capacity_answer answer;
	bool proved = false;
	struct capacity c;

	for (size_t i = 0; i < reply->plan->n_vms; i++)
		proved |= reply->plan->vms[i].state == DRAIN_VM_BLOCKED &&
		          strcmp(drain_proof_name(reply->plan->vms[i].proof), "none") != 0;
	capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
	answer = capacity_ask_drain(&c, &node, 1);
	if (proved && answer.verdict == PACKING_YES)
		fail_msg("capacity says yes, and a guest is proved to have no place");
	if (placed == reply->plan->n_vms && answer.verdict != PACKING_YES)
		fail_msg("capacity says %s (%s), and the drain has a place for each",
		         capacity_verdict_name(answer.verdict), answer.reason);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
}

/* drover place, for a guest like one that there is, says of each host what the plan says. */
static void check_place(struct core_world *world, const struct reply *reply)
{
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct vm *vm = fleet_find_vm(world->fleet, reply->plan->vms[i].uuid);
		const struct sighting *home = fleet_find_sighting(vm, vm->node);
		struct capacity_place *places;
		struct capacity c;
		size_t count;

		capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
		places = capacity_list_places(&c, vm_state_need_bytes(&home->state),
		                              home->state.vcpus, vm, &count);
		for (size_t p = 0; p < count; p++) {
			const struct plan_node *node = &c.plan.nodes[places[p].node->plan_index];
			enum plan_refusal why = plan_judge(world->fleet, node, vm, true,
			                                   world->now_ms, NULL);

			if (why != PLAN_IS_SOURCE)
				assert_int_equal(places[p].why, why);
		}
		free(places);
		capacity_deinit(&c);
	}
}

static void test_drains_and_hosts_agree(void **state)
{
	size_t placed = 0, blocked = 0, whole = 0;

	(void)state;
	for (unsigned fleet = 0; fleet < FLEETS; fleet++) {
		unsigned seed = fleet + 1;
		struct core_world *world = draw_fleet(&seed, fleet % 3 == 0);
		const struct reply *reply = ask(world, "host1");
		size_t n = check_places(world, reply);

		check_blocked(world, reply);
		check_capacity(world, reply, n);
		check_place(world, reply);
		placed += n;
		blocked += reply->plan->n_vms - n;
		whole += n == reply->plan->n_vms;
		core_world_free(world);
	}
	/* All of it is looked at. */
	assert_true(whole > FLEETS / 20);
	assert_true(placed > 2 * FLEETS);
	assert_true(blocked > 2 * FLEETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_machines),
		cmocka_unit_test(test_processors),
		cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_two_ports),
		cmocka_unit_test(test_rooms_are_counted),
		cmocka_unit_test(test_many_that_lack_the_same),
		cmocka_unit_test(test_denials),
		cmocka_unit_test(test_no_denial_without_a_measurement),
		cmocka_unit_test(i12_denials_are_of_one_home),
		cmocka_unit_test(i12_denials_make_classes),
		cmocka_unit_test(test_old_denials_go),
		cmocka_unit_test(test_silent_agents),
		cmocka_unit_test(test_offers_stay),
		cmocka_unit_test(test_refusals_are_planned_again),
		cmocka_unit_test(test_all_refuse),
		cmocka_unit_test(test_drains_and_hosts_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
