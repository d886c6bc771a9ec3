/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the host: versions, firmware, addresses and paths. What is missing is named. */
#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/admission_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The same versions pass; an older QEMU or libvirt here is a warning, a newer one is not. */
static void test_versions(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c = admission_judged(&in, "version");

	(void)state;
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_string_equal(c->measured, "QEMU 7.2.22, libvirt 9.0.0, agent 0.1.0");
	assert_string_equal(c->required, "as host1: QEMU 7.2.22, libvirt 9.0.0, agent 0.1.0");
	strcpy(in.versions.hypervisor, "10.0.2");
	strcpy(in.versions.libvirt, "11.3.0");
	assert_int_equal(admission_judged(&in, "version")->verdict, CHECK_PASS);
	strcpy(in.versions.libvirt, "8.10.0");
	c = admission_judged(&in, "version");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_non_null(strstr(c->remedy, "libvirt here is older"));
	strcpy(in.versions.hypervisor, "7.2.9");
	c = admission_judged(&in, "version");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_non_null(strstr(c->remedy, "QEMU here is older"));
	assert_true(admission_passes(&fixture_list));
	/* Without the machine type there is nothing that it promised to keep. */
	in.machine.verdict = CHECK_FAIL;
	assert_non_null(strstr(admission_refused(&in, "version")->remedy, "bring QEMU here"));
}

/* Agents of another major version do not work together. */
static void test_agent_versions(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	strcpy(in.source_versions.agent, "0.9.3");
	assert_int_equal(admission_judged(&in, "version")->verdict, CHECK_PASS);
	strcpy(in.source_versions.agent, "1.0.0");
	assert_non_null(strstr(admission_refused(&in, "version")->remedy, "same major version"));
}

/* A version that nobody told is not one that fits. */
static void test_versions_not_measured(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.source_versions.agent[0] = '\0';
	assert_non_null(strstr(admission_refused(&in, "version")->remedy, "bring its agent"));
	in = admission_fixture();
	strcpy(in.source_versions.hypervisor, "unknown");
	admission_refused(&in, "version");
	in = admission_fixture();
	in.versions.hypervisor[0] = '\0';
	assert_non_null(strstr(admission_refused(&in, "version")->measured, "not measured"));
}

/* A guest of UEFI with NVRAM, all of which is here. */
static struct admission_input with_firmware(void)
{
	struct admission_input in = admission_fixture();
	struct vm_firmware *f = &fixture_vm.firmware;

	strcpy(f->loader, "/usr/share/OVMF/OVMF_CODE_4M.fd");
	f->loader_bytes = 4 * MIB;
	strcpy(f->loader_digest, "crc32c 00000001");
	strcpy(f->nvram, "/var/lib/libvirt/qemu/nvram/web1_VARS.fd");
	strcpy(f->nvram_template, "/usr/share/OVMF/OVMF_VARS_4M.fd");
	in.firmware = (struct firmware_finding){ .measured = true,
		                                 .loader_present = true,
		                                 .loader_bytes = 4 * MIB,
		                                 .loader_digest = "crc32c 00000001",
		                                 .template_present = true };
	return in;
}

/* The same loader passes, one that differs does not. */
static void test_loader(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	assert_string_equal(admission_judged(&in, "firmware")->measured, "QEMU's own BIOS, no TPM");
	in = with_firmware();
	assert_int_equal(admission_judged(&in, "firmware")->verdict, CHECK_PASS);
	in.firmware.loader_present = false;
	assert_string_equal(admission_refused(&in, "firmware")->measured,
	                    "/usr/share/OVMF/OVMF_CODE_4M.fd is missing here");
	in = with_firmware();
	in.firmware.loader_bytes = 2 * MIB;
	in.capabilities.loader_listed = true; /* QEMU needs the size all the same */
	assert_string_equal(admission_refused(&in, "firmware")->measured,
	                    "/usr/share/OVMF/OVMF_CODE_4M.fd has 2 MiB here, 4 MiB at the source");
	in = with_firmware();
	strcpy(in.firmware.loader_digest, "crc32c 00000002");
	assert_non_null(strstr(admission_refused(&in, "firmware")->measured,
	                       "crc32c 00000002 here, crc32c 00000001 at the source"));
	in.capabilities.loader_listed = true;
	c = admission_judged(&in, "firmware");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_true(c->remedy[0]);
}

/* What one of the hosts could not read is known only if libvirt lists it. */
static void test_firmware_not_measured(void **state)
{
	struct admission_input in = with_firmware();

	(void)state;
	fixture_vm.firmware.loader_bytes = 0;
	assert_non_null(strstr(admission_refused(&in, "firmware")->measured, "not measured"));
	in.capabilities.loader_listed = true;
	assert_int_equal(admission_judged(&in, "firmware")->verdict, CHECK_PASS);
	in = with_firmware();
	fixture_vm.firmware.loader_digest[0] = '\0';
	admission_refused(&in, "firmware");
	in = with_firmware();
	in.firmware.measured = false;
	strcpy(in.firmware.why, "Input/output error");
	assert_string_equal(admission_refused(&in, "firmware")->measured,
	                    "not measured: Input/output error");
	/* NVRAM alone, as with a firmware that libvirt chose. */
	fixture_vm.firmware.loader[0] = '\0';
	admission_refused(&in, "firmware");
	in.firmware.measured = true;
	assert_int_equal(admission_judged(&in, "firmware")->verdict, CHECK_PASS);
}

/* NVRAM is here, or can be made; its directory takes it. */
static void test_nvram(void **state)
{
	struct admission_input in = with_firmware();

	(void)state;
	in.firmware.template_present = false;
	assert_non_null(strstr(admission_refused(&in, "firmware")->measured, "OVMF_VARS_4M.fd"));
	fixture_vm.firmware.nvram_template[0] = '\0';
	assert_non_null(strstr(admission_refused(&in, "firmware")->measured, "web1_VARS.fd"));
	in.firmware.nvram_present = true;
	assert_string_equal(admission_judged(&in, "firmware")->measured, "present, with its NVRAM");
	assert_int_equal(fixture_list.items[9].verdict, CHECK_PASS);
	strcpy(in.firmware.nvram_problem,
	       "the directory cannot be written to: Read-only file system");
	assert_non_null(strstr(admission_refused(&in, "firmware")->measured, "Read-only"));
}

/* An emulated TPM needs swtpm; the host's own cannot come along. */
static void test_tpm(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	strcpy(fixture_vm.firmware.tpm, "emulator");
	c = admission_refused(&in, "firmware");
	assert_string_equal(c->measured, "libvirt here finds no swtpm");
	assert_non_null(strstr(c->remedy, "install swtpm"));
	in.capabilities.tpm_emulator = true;
	assert_int_equal(admission_judged(&in, "firmware")->verdict, CHECK_PASS);
	in.capabilities_known = false;
	assert_non_null(strstr(admission_refused(&in, "firmware")->measured, "not measured"));
	in.capabilities_known = true;
	in.capabilities.tpm_emulator = false;
	strcpy(fixture_vm.firmware.tpm, "external"); /* a socket that somebody serves */
	assert_int_equal(admission_judged(&in, "firmware")->verdict, CHECK_PASS);
	strcpy(fixture_vm.firmware.tpm, "passthrough");
	assert_int_equal(admission_refused(&in, "firmware")->verdict, CHECK_BLOCK);
	assert_string_equal(admission_refused(&in, "firmware")->reason,
	                    "HostDeviceNotLiveMigratable");
	in = with_firmware();
	fixture_vm.firmware.secure_boot = true;
	strcpy(fixture_vm.firmware.tpm, "emulator");
	in.capabilities.tpm_emulator = true;
	assert_string_equal(admission_judged(&in, "firmware")->required,
	                    "/usr/share/OVMF/OVMF_CODE_4M.fd, secure boot, TPM emulator");
}

/* Addresses of graphics and paths of serial lines are two checks; each names the element. */
static void test_places(void **state)
{
	static const struct place_finding well = { .measured = true, .usable = true };
	struct admission_input in = admission_fixture();
	const struct check *c = admission_judged(&in, "graphics");

	(void)state;
	assert_string_equal(c->measured, "its XML names no address or path of a host");
	fixture_vm.n_places = 3;
	fixture_vm.places[0] = (struct vm_place){ "graphics/vnc", VM_PLACE_ADDRESS, "10.0.0.1" };
	fixture_vm.places[1] = (struct vm_place){ "serial/0", VM_PLACE_DIRECTORY, "/srv/log" };
	fixture_vm.places[2] = (struct vm_place){ "channel/1", VM_PLACE_PATH, "/dev/ttyS4" };
	for (size_t i = 0; i < 3; i++)
		fixture_places[i] = well;
	assert_int_equal(admission_judged(&in, "graphics")->verdict, CHECK_PASS);
	c = admission_judged(&in, "serial");
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_string_equal(c->required, "what its XML names: 2 addresses and paths");

	fixture_places[0].usable = false;
	strcpy(fixture_places[0].text, "not an address of this host");
	c = admission_refused(&in, "graphics");
	assert_string_equal(c->measured, "<graphics/vnc>: 10.0.0.1: not an address of this host");
	assert_string_equal(c->required, "graphics/vnc: address 10.0.0.1");
	assert_int_equal(admission_judged(&in, "serial")->verdict, CHECK_PASS);
	fixture_places[2].usable = false;
	strcpy(fixture_places[2].text, "No such file or directory");
	c = admission_refused(&in, "serial");
	assert_non_null(strstr(c->measured, "<channel/1>: /dev/ttyS4: No such file"));
	fixture_places[1] = (struct place_finding){ .text = "nobody looked" };
	assert_string_equal(admission_refused(&in, "serial")->measured,
	                    "not measured: nobody looked");
}

/* A kernel that QEMU boots is firmware's: without it QEMU does not start. */
static void test_kernel(void **state)
{
	struct admission_input in = with_firmware();

	(void)state;
	fixture_vm.n_places = 1;
	fixture_vm.places[0] = (struct vm_place){ "os/kernel", VM_PLACE_PATH, "/boot/vmlinuz" };
	fixture_places[0] = (struct place_finding){ .measured = true, .usable = true };
	assert_int_equal(admission_judged(&in, "firmware")->verdict, CHECK_PASS);
	assert_string_equal(admission_judged(&in, "firmware")->measured, "present");
	assert_int_equal(admission_judged(&in, "serial")->verdict, CHECK_PASS);
	fixture_places[0] = (struct place_finding){ .measured = true, .text = "No such file" };
	assert_string_equal(admission_refused(&in, "firmware")->measured,
	                    "<os/kernel>: /boot/vmlinuz: No such file");
	assert_int_equal(admission_judged(&in, "serial")->verdict, CHECK_PASS);
	fixture_vm.firmware = (struct vm_firmware){ 0 };
	admission_refused(&in, "firmware");
	fixture_places[0].usable = true;
	assert_string_equal(admission_judged(&in, "firmware")->required,
	                    "what its XML names: 1 address or path");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_agent_versions),
		cmocka_unit_test(test_versions_not_measured),
		cmocka_unit_test(test_loader),
		cmocka_unit_test(test_firmware_not_measured),
		cmocka_unit_test(test_nvram),
		cmocka_unit_test(test_tpm),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
