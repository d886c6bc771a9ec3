/* SPDX-License-Identifier: Apache-2.0 */
/* What destinations would refuse by what they tell of themselves is known beforehand: the dry run goes round
 * it, and says which check stands in the way with its figures. */
#include "coordinator/core/drain/drain.h"

#include "common/units.h"
#include "tests/unit/offers_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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

/* Without host3 the guest has no place, and it is said why; with it, it goes there. */
static void avoids(const struct offers *lacks, const struct offers *has,
                   const struct vm_state *guest, const char *word)
{
	struct core_world *world = offers_two_hosts(lacks, guest);

	offers_expect_blocked(world, word);
	offers_add_host(world, "host3", has);
	assert_string_equal(reply_guest(offers_ask(world), "web")->target, "host3");
	core_world_free(world);
}

static void test_networks(void **state)
{
	struct vm_state guest = offers_guest("web", 512);

	(void)state;
	avoids(&(struct offers){ .bridge = "br1" }, &(struct offers){ 0 }, &guest,
	       "host2 has no bridge \"br0\" that is up");
}

static void test_machines(void **state)
{
	struct vm_state guest = offers_guest("web", 512);

	(void)state;
	avoids(&(struct offers){ .machine = "pc-q35-6.2" }, &(struct offers){ 0 }, &guest,
	       "host2 has no QEMU for x86_64 with machine type pc-q35-7.2");
}

static void test_processors(void **state)
{
	struct vm_state guest = offers_guest("web", 512);

	(void)state;
	guest.needs.sees_host = true;
	avoids(&(struct offers){ .signature = "cpu B" }, &(struct offers){ 0 }, &guest,
	       "here cpu B, there cpu A");
}

static void test_vcpus(void **state)
{
	struct vm_state guest = offers_guest("web", 512);

	(void)state;
	avoids(&(struct offers){ .rooms = vcpus(4, 3) }, &(struct offers){ .rooms = vcpus(4, 2) },
	       &guest, "host2 has 1 of 4 vCPUs left (4 CPUs x 1.00), 2 needed");
}

static void test_huge_pages(void **state)
{
	struct vm_state guest = offers_guest("web", 512);

	(void)state;
	guest.needs.hugepage_bytes = 2 * MIB;
	avoids(&(struct offers){ .rooms = pages(2 * MIB, 510 * MIB) },
	       &(struct offers){ .rooms = pages(2 * MIB, 512 * MIB) }, &guest,
	       "host2 has 510 MiB free in pages of 2 MiB, 512 MiB needed");
	avoids(&(struct offers){ .rooms = pages(GIB, 8 * GIB) },
	       &(struct offers){ .rooms = pages(2 * MIB, 512 * MIB) }, &guest,
	       "host2 has 0 B free in pages of 2 MiB");
}

/* Memory and disks take a port each: a host with one takes no guest whose disks are to be copied, and one
 * that it would take without. */
static void test_two_ports(void **state)
{
	struct vm_state web = offers_guest("web", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ .ports = 1 }, &web);
	const struct drain_vm *dv;

	(void)state;
	assert_string_equal(reply_guest(offers_ask(world), "web")->target, "host2");
	dv = reply_guest(offers_ask_copying(world), "web");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(dv->reason, "0 of 1 migration ports of host2 in use, two needed"));
	offers_add_host(world, "host3", &(struct offers){ 0 });
	dv = reply_guest(offers_ask_copying(world), "web");
	assert_string_equal(dv->target, "host3");
	/* It was found out that nothing is to be copied. */
	fleet_find_vm(world->fleet, web.uuid)->copies = COPIES_NONE;
	assert_string_equal(reply_guest(offers_ask_copying(world), "web")->target, "host2");
	core_world_free(world);
}

/* Two guests of 2 vCPUs do not both go where 3 are left; nor is a pool given twice. */
static void test_rooms_are_counted(void **state)
{
	struct vm_state a = offers_guest("a", 512), b = offers_guest("b", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ .rooms = vcpus(4, 1) }, &a);
	const struct reply *reply;

	(void)state;
	core_world_see(world, "host1", &b);
	reply = offers_ask(world);
	assert_int_equal((reply_guest(reply, "a")->state == DRAIN_VM_BLOCKED) +
	                         (reply_guest(reply, "b")->state == DRAIN_VM_BLOCKED),
	                 1);
	offers_add_host(world, "host3", &(struct offers){ .rooms = vcpus(4, 2) });
	reply = offers_ask(world);
	assert_string_not_equal(reply_guest(reply, "a")->target, reply_guest(reply, "b")->target);
	assert_string_not_equal(reply_guest(reply, "a")->target, "");
	core_world_free(world);
}

/* Hosts that lack the same are said once, with how many they are. */
static void test_many_that_lack_the_same(void **state)
{
	static const char *const names[] = { "host2", "host3", "host4" };
	struct vm_state guest = offers_guest("web", 4096);
	struct core_world *world = core_world_new();

	(void)state;
	offers_add_host(world, "host1", &(struct offers){ 0 });
	core_world_see(world, "host1", &guest);
	for (size_t i = 0; i < 3; i++)
		offers_add_host(world, names[i], &(struct offers){ .bridge = "br1" });
	offers_add_host(world, "host5", &(struct offers){ .capacity_mib = 4096 });
	offers_expect_blocked(world,
	                      "3 of 4 nodes have no bridge \"br0\" that is up: host2, host3, "
	                      "host4; host5 80 MiB short of memory");
	core_world_free(world);
}

/* An agent that tells nothing of it, as one of an earlier version, shuts nobody out. */
static void test_silent_agents(void **state)
{
	struct vm_state guest = offers_guest("web", 512);
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	core_world_see(world, "host1", &guest);
	core_world_host(world, "host2", 4096, NULL, 0);
	assert_string_equal(reply_guest(offers_ask(world), "web")->target, "host2");
	core_world_free(world);
}

/* What is told only when it changes stays until then. */
static void test_offers_stay(void **state)
{
	struct vm_state guest = offers_guest("web", 512);
	struct core_world *world = offers_two_hosts(&(struct offers){ .bridge = "br1" }, &guest);
	struct node *node = fleet_find_node(world->fleet, "host2");

	(void)state;
	core_world_figures(world, "host2", 16384, 0);
	assert_non_null(node->host.offers);
	core_world_host(world, "host2", 16384, NULL, 0);
	assert_null(node->host.offers);
	core_world_free(world);
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
		cmocka_unit_test(test_silent_agents),
		cmocka_unit_test(test_offers_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
