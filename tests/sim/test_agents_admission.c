/* SPDX-License-Identifier: Apache-2.0 */
/* What the destination's agent measures and the source's carries: a guest that host2 cannot have is
 * refused by name, before anything is touched; one that it can have moves. See tests/sim/agents.h. */
#include "tests/sim/agents_story.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The order fails for a reason that has all of @words (NULL-terminated), and the guest stays. */
static void refuse(struct agents *t, const char *const *words)
{
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_REFUSED);
	for (; *words; words++)
		if (!strstr(t->report.reason, *words))
			fail_msg("\"%s\" does not say %s", t->report.reason, *words);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

static void refuse_on(const struct agents_options *o, const struct fake_guest_settings *guest,
                      const char *const *words)
{
	struct agents *t = agents_new(o);

	agents_add_guest(t, guest);
	refuse(t, words);
}

/* More vCPUs than QEMU there gives to a guest. */
static void test_too_many_vcpus(void **state)
{
	struct agents_options o = { .target = { .vcpus_max = 4 } };
	struct fake_guest_settings guest = { .name = "wide", .memory_bytes = 64 * MIB, .vcpus = 5 };

	(void)state;
	refuse_on(&o, &guest, (const char *[]){ "vcpus", "at most 4", NULL });
}

/* More vCPUs than an administrator lets that host promise, guests that run there counted. */
static void test_cpu_overcommit(void **state)
{
	struct fake_guest_settings there = { .name = "there",
		                             .memory_bytes = 64 * MIB,
		                             .vcpus = 3 };
	struct fake_guest_settings guest = { .name = "web", .memory_bytes = 64 * MIB, .vcpus = 2 };
	struct agents *t = agents_new(NULL);

	(void)state;
	t->settings[1].cpu_overcommit_percent = 100;
	fake_world_add_guest(t->world, "host2", &there, NULL);
	agents_add_guest(t, &guest);
	refuse(t, (const char *[]){ "vcpus", "3 of 4 promised", NULL });
}

/* A promised TSC that this host cannot keep. */
static void test_tsc(void **state)
{
	struct fake_guest_settings guest = { .name = "clock",
		                             .memory_bytes = 64 * MIB,
		                             .tsc_hz = UINT64_C(3000000000) };

	(void)state;
	refuse_on(NULL, &guest, (const char *[]){ "tsc", "2600000 kHz", "3000000 kHz", NULL });
}

/* An emulated TPM where swtpm is not installed. */
static void test_tpm(void **state)
{
	struct vm_firmware firmware = { .tpm = "emulator" };
	struct fake_guest_settings guest = { .name = "sealed",
		                             .memory_bytes = 64 * MIB,
		                             .firmware = &firmware };

	(void)state;
	refuse_on(NULL, &guest, (const char *[]){ "firmware", "swtpm", NULL });
}

/* Firmware that neither host can read. */
static void test_firmware_missing(void **state)
{
	struct vm_firmware firmware = { .loader = "/nonexistent/CODE.fd" };
	struct fake_guest_settings guest = { .name = "uefi",
		                             .memory_bytes = 64 * MIB,
		                             .firmware = &firmware };

	(void)state;
	refuse_on(NULL, &guest,
	          (const char *[]){ "firmware", "/nonexistent/CODE.fd is missing", NULL });
}

/* Packets that do not fit through the bridge there, and a bridge of the other kind. */
static void test_networks(void **state)
{
	struct vm_interface nic = {
		.mac = "52:54:00:00:00:01", .type = "bridge", .source = "br0", .mtu = 9000
	};
	struct fake_guest_settings guest = {
		.name = "wired", .memory_bytes = 64 * MIB, .interfaces = &nic, .n_interfaces = 1
	};
	struct agents_options o = { .target = { .open_vswitches = "br0" } };

	(void)state;
	refuse_on(NULL, &guest, (const char *[]){ "network/", "1500 bytes", NULL });
	nic.mtu = 0;
	refuse_on(&o, &guest, (const char *[]){ "network/", "Open vSwitch", NULL });
}

/* A guest whose disk has failed stays where somebody can look at it. */
static void test_io_error(void **state)
{
	struct fake_guest_settings guest = { .name = "ill", .memory_bytes = 64 * MIB };
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &guest);
	fake_world_fail_disk(t->world, "host1", t->uuid);
	fake_world_settle(t->world);
	refuse(t, (const char *[]){ "guest", "I/O error", NULL });
}

/* A guest that needs all of it moves to a host that has all of it; an older QEMU only warns. */
static void test_all_there(void **state)
{
	struct agents_options o = { .target = { .open_vswitches = "br0",
		                                .network_mtu = 9000,
		                                .swtpm = true,
		                                .tsc_scaling = true,
		                                .qemu_version = "7.2.1" } };
	struct vm_interface nic = { .mac = "52:54:00:00:00:01",
		                    .type = "bridge",
		                    .source = "br0",
		                    .virtual_port = "openvswitch",
		                    .mtu = 9000 };
	struct vm_firmware firmware = { .tpm = "emulator", .secure_boot = true };
	struct fake_guest_settings guest = { .name = "needy",
		                             .memory_bytes = 64 * MIB,
		                             .vcpus = 4,
		                             .agent_channel = VM_AGENT_CONNECTED,
		                             .tsc_hz = UINT64_C(3000000000),
		                             .firmware = &firmware,
		                             .interfaces = &nic,
		                             .n_interfaces = 1 };
	struct agents *t = agents_new(&o);
	_cleanup_free_ char *loader = xasprintf("%s/CODE.fd", t->directory);
	FILE *file = fopen(loader, "we");

	(void)state;
	assert_non_null(file);
	fputs("firmware", file);
	fclose(file);
	snprintf(firmware.loader, sizeof(firmware.loader), "%s", loader);
	snprintf(firmware.nvram, sizeof(firmware.nvram), "%s/VARS.fd", t->directory);
	snprintf(firmware.nvram_template, sizeof(firmware.nvram_template), "%s", loader);
	t->settings[1].cpu_overcommit_percent = 100;
	agents_add_guest(t, &guest);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many_vcpus),
		cmocka_unit_test(test_cpu_overcommit),
		cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_tpm),
		cmocka_unit_test(test_firmware_missing),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_io_error),
		cmocka_unit_test(test_all_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
