/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that has moved is compared at its destination with what had left: what is told of it, whatever
 * was restarted meanwhile; and that nothing is done about a difference. See tests/sim/agents.h. */
#include "tests/sim/agents_story.h"

#include "agent/target/target.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* state, identity, definition, vcpus, memory, a disk, an interface, and what is left at the source. */
#define ALL 8

#define NO_AGENT "the guest's clock: the guest has no agent to ask"

/* --- a destination that cannot --- */

static struct {
	bool older;      /* the method is not known there */
	unsigned silent; /* so many times it is not answered at all */
	unsigned asked;
} peer;

void __real_target_verify(struct agent *agent, struct mesh_incoming *in,
                          const Drover__V1__VerifyRequest *request);
void __wrap_target_verify(struct agent *agent, struct mesh_incoming *in,
                          const Drover__V1__VerifyRequest *request);

void __wrap_target_verify(struct agent *agent, struct mesh_incoming *in,
                          const Drover__V1__VerifyRequest *request)
{
	struct error err;

	peer.asked++;
	if (peer.older) {
		error_set(&err, ERROR_UNSUPPORTED, "there is no method Agent/Verify");
		mesh_fail_error(in, &err);
	} else if (peer.silent) {
		peer.silent--;
		error_set(&err, ERROR_UNREACHABLE, "the agent is stopping");
		mesh_fail_error(in, &err);
	} else {
		__real_target_verify(agent, in, request);
	}
}

/* --- a guest with one of everything --- */

static void add_guest(struct agents *t, uint64_t memory_bytes, enum vm_agent_channel channel)
{
	struct vm_disk disk = { .target = "vda",
		                .type = "file",
		                .device = "disk",
		                .format = "raw",
		                .capacity_bytes = MIB };
	struct vm_interface nic = {
		.mac = "52:54:00:00:00:01", .type = "bridge", .source = "br0", .model = "virtio"
	};
	struct fake_guest_settings guest = { .name = "web",
		                             .memory_bytes = memory_bytes,
		                             .persistent = true,
		                             .autostart = true,
		                             .image_lock = true,
		                             .agent_channel = channel,
		                             .disks = &disk,
		                             .n_disks = 1,
		                             .interfaces = &nic,
		                             .n_interfaces = 1 };
	FILE *image;

	snprintf(disk.source, sizeof(disk.source), "%s/web.img", t->directory);
	image = fopen(disk.source, "we");
	assert_non_null(image);
	fclose(image);
	agents_add_guest(t, &guest);
}

static struct agents *begin(uint64_t memory_bytes)
{
	struct agents *t = agents_new(NULL);

	memset(&peer, 0, sizeof(peer));
	add_guest(t, memory_bytes, VM_AGENT_NONE);
	agents_order(t);
	return t;
}

static void finish(struct agents *t)
{
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

static void expect(const struct agents *t, const char *differences, size_t passed, size_t all)
{
	assert_string_equal(t->report.differences, differences);
	assert_int_equal(t->report.n_verified, passed);
	assert_int_equal(t->report.n_verification, all);
}

/* What arrives as it had left is verified with every check, autostart as well, which was off meanwhile;
 * that the clock was not asked is told. */
static void test_arrives_as_it_left(void **state)
{
	struct agents *t = begin(64 * MIB);

	(void)state;
	assert_true(agents_wait(t, DONE));
	expect(t, "", ALL, ALL);
	assert_string_equal(t->report.not_verified, NO_AGENT);
	finish(t);
}

/* A guest with an agent is asked for its clock. */
static void test_clock(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	memset(&peer, 0, sizeof(peer));
	add_guest(t, 64 * MIB, VM_AGENT_CONNECTED);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	expect(t, "", ALL + 1, ALL + 1);
	assert_string_equal(t->report.not_verified, "");
	finish(t);
}

static void change(struct vm_description *d)
{
	d->interfaces[0].link_down = true;
	d->disks[0].capacity_bytes = 2 * MIB;
}

/* What was changed on its way is told with both values; the guest runs on, its source is free. */
static void test_differences(void **state)
{
	struct agents *t = begin(512 * MIB);
	char wanted[1024];

	(void)state;
	assert_true(agents_wait_moving(t));
	fake_world_change_guest(t->world, t->uuid, change);
	assert_true(agents_wait(t, DONE));
	expect(t, t->report.differences, ALL - 2, ALL);
	snprintf(wanted, sizeof(wanted),
	         "network/52:54:00:00:00:01: bridge br0, link down; its "
	         "tap vnet0 is in br0, required bridge br0, link up\n");
	assert_non_null(strstr(t->report.differences, wanted));
	assert_non_null(strstr(t->report.differences, "raw, 2 MiB, opened by QEMU, required "));
	assert_non_null(strstr(t->report.differences, "raw, 1 MiB\n"));
	finish(t);
}

/* An agent that is restarted in mid-copy at either end costs nothing: the other one has not forgotten what
 * the guest was. */
static void test_one_agent_restarted(void **state)
{
	(void)state;
	for (size_t i = 0; i < AGENTS; i++) {
		struct agents *t = begin(512 * MIB);

		assert_true(agents_wait_moving(t));
		agents_kill(t, i);
		agents_start(t, i);
		assert_true(agents_wait(t, DONE));
		expect(t, "", ALL, ALL);
		finish(t);
	}
}

static bool was_asked(void *context)
{
	(void)context;
	return peer.asked > 0;
}

/* An agent that dies while it asks is followed by one that asks again. */
static void test_source_restarted_while_it_asks(void **state)
{
	struct agents *t = begin(64 * MIB);

	(void)state;
	peer.silent = 1000;
	assert_true(agents_until(t, was_asked, NULL));
	agents_kill(t, 0);
	agents_start(t, 0);
	peer.silent = 0;
	assert_true(agents_wait(t, DONE));
	expect(t, "", ALL, ALL);
	finish(t);
}

/* Nor a destination's libvirt that is away for a moment. */
static void test_libvirt_there_is_away(void **state)
{
	struct agents *t = begin(64 * MIB);

	(void)state;
	peer.silent = 1000;
	assert_true(agents_until(t, was_asked, NULL));
	fake_world_set_libvirtd(t->world, "host2", FAKE_LIBVIRTD_DOWN);
	peer.asked = peer.silent = 0;
	assert_true(agents_until(t, was_asked, NULL));
	fake_world_set_libvirtd(t->world, "host2", FAKE_LIBVIRTD_UP);
	assert_true(agents_wait(t, DONE));
	expect(t, "", ALL, ALL);
	finish(t);
}

/* If both are, nobody knows: that is told, and is no difference. */
static void test_both_agents_restarted(void **state)
{
	struct agents *t = begin(512 * MIB);

	(void)state;
	assert_true(agents_wait_moving(t));
	for (size_t i = 0; i < AGENTS; i++) {
		agents_kill(t, i);
		agents_start(t, i);
	}
	assert_true(agents_wait(t, DONE));
	expect(t, "", 0, 0);
	assert_non_null(strstr(t->report.not_verified, "the agents of both hosts were restarted"));
	finish(t);
}

/* What was found is in the journal: the next agent of the source tells the same. */
static void test_told_by_the_next_agent(void **state)
{
	struct agents *t = begin(512 * MIB);
	char differences[sizeof(t->report.differences)];

	(void)state;
	assert_true(agents_wait_moving(t));
	fake_world_change_guest(t->world, t->uuid, change);
	assert_true(agents_wait(t, DONE));
	memcpy(differences, t->report.differences, sizeof(differences));
	agents_kill(t, 0);
	memset(&t->report, 0, sizeof(t->report));
	agents_start(t, 0);
	assert_true(agents_wait(t, DONE));
	expect(t, differences, ALL - 2, ALL);
	assert_string_equal(t->report.not_verified, NO_AGENT);
	finish(t);
}

/* An agent from before there was this cannot compare: the move is as good, and that it was not compared is
 * told with the reason. It is asked once. */
static void test_older_peer(void **state)
{
	struct agents *t = begin(64 * MIB);

	(void)state;
	peer.older = true;
	assert_true(agents_wait(t, DONE));
	expect(t, "", 0, 0);
	assert_string_equal(t->report.not_verified,
	                    "the agent of host2 is older, and cannot compare");
	assert_int_equal(peer.asked, 1);
	finish(t);
}

/* One that does not answer is asked again. */
static void test_asked_again(void **state)
{
	struct agents *t = begin(64 * MIB);

	(void)state;
	peer.silent = 2;
	assert_true(agents_wait(t, DONE));
	expect(t, "", ALL, ALL);
	assert_int_equal(peer.asked, 3);
	finish(t);
}

/* But not for ever: nothing waits for longer than ten seconds. */
static void test_never_answered(void **state)
{
	struct agents *t = begin(64 * MIB);

	(void)state;
	peer.silent = 1000;
	assert_true(agents_wait(t, DONE));
	expect(t, "", 0, 0);
	assert_non_null(strstr(t->report.not_verified, "the agent is stopping"));
	finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrives_as_it_left),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_one_agent_restarted),
		cmocka_unit_test(test_source_restarted_while_it_asks),
		cmocka_unit_test(test_libvirt_there_is_away),
		cmocka_unit_test(test_both_agents_restarted),
		cmocka_unit_test(test_told_by_the_next_agent),
		cmocka_unit_test(test_older_peer),
		cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_never_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
