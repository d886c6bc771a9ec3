/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware, directories, devices and addresses of a host: what is there is seen, what cannot be looked
 * at is not called missing. */
#include "agent/host/host_places.h"

#include "common/units.h"
#include "tests/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[64];

static void put(const char *name, const char *text)
{
	assert_int_equal(scratch_put(root, name, text), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_host_places.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return scratch_remove(root);
}

/* A loader is told by size and content, the same at both ends; one that is not there by nothing. */
static void test_loader(void **state)
{
	struct vm_firmware f = { .loader = "/fw/CODE.fd" };
	struct firmware_finding here;

	(void)state;
	host_describe_loader(root, &f);
	assert_int_equal(f.loader_bytes, 0);
	assert_string_equal(f.loader_digest, "");
	host_find_firmware(root, &f, &here);
	assert_true(here.measured);
	assert_false(here.loader_present);

	put("fw/CODE.fd", "123456789");
	host_describe_loader(root, &f);
	assert_int_equal(f.loader_bytes, 9);
	assert_string_equal(f.loader_digest, "crc32c e3069283"); /* CRC-32C's check value */
	host_find_firmware(root, &f, &here);
	assert_true(here.measured && here.loader_present);
	assert_int_equal(here.loader_bytes, 9);
	assert_string_equal(here.loader_digest, f.loader_digest);
}

/* What is in the way of looking, as a directory in the place of the file, is said; it is not "missing". */
static void test_loader_that_cannot_be_read(void **state)
{
	struct vm_firmware f = { .loader = "/fw" };
	struct firmware_finding here;

	(void)state;
	put("fw/CODE.fd", "x");
	host_find_firmware(root, &f, &here);
	assert_false(here.measured);
	assert_non_null(strstr(here.why, "/fw: "));
}

/* NVRAM is here, or its template is; its directory must be. */
static void test_nvram(void **state)
{
	struct vm_firmware f = { .nvram = "/nvram/web1.fd", .nvram_template = "/fw/VARS.fd" };
	struct firmware_finding here;

	(void)state;
	host_find_firmware(root, &f, &here);
	assert_true(here.measured);
	assert_non_null(strstr(here.nvram_problem, "No such file or directory"));
	assert_false(here.nvram_present || here.template_present);
	put("nvram", "a file");
	host_find_firmware(root, &f, &here);
	assert_non_null(strstr(here.nvram_problem, "/nvram is not a directory"));
	put("fw/VARS.fd", "x");
	strcpy(f.nvram, "/new/web1.fd");
	put("new/other.fd", "x");
	host_find_firmware(root, &f, &here);
	assert_string_equal(here.nvram_problem, "");
	assert_true(here.template_present);
	assert_false(here.nvram_present);
	put("new/web1.fd", "x");
	host_find_firmware(root, &f, &here);
	assert_true(here.nvram_present);
}

static struct place_finding find(enum vm_place_kind kind, const char *where)
{
	struct vm_place place = { .kind = kind };
	struct place_finding f;

	snprintf(place.where, sizeof(place.where), "%s", where);
	host_find_place(root, &place, &f);
	return f;
}

/* Addresses are the kernel's to know; a name is nobody's until QEMU looks it up. */
static void test_addresses(void **state)
{
	struct place_finding f = find(VM_PLACE_ADDRESS, "127.0.0.2");

	(void)state;
	assert_true(f.measured && f.usable);
	assert_true(find(VM_PLACE_ADDRESS, "::1").measured);
	f = find(VM_PLACE_ADDRESS, "192.0.2.1"); /* of documentation: nobody's */
	assert_true(f.measured);
	assert_false(f.usable);
	assert_non_null(strstr(f.text, "not an address of this host"));
	f = find(VM_PLACE_ADDRESS, "2001:db8::1");
	assert_false(f.usable);
	f = find(VM_PLACE_ADDRESS, "console.example.com");
	assert_false(f.measured);
	assert_non_null(strstr(f.text, "console.example.com is a name"));
}

/* A directory must be one, a path must only be there. */
static void test_paths(void **state)
{
	struct place_finding f = find(VM_PLACE_DIRECTORY, "/log");

	(void)state;
	assert_true(f.measured && !f.usable);
	assert_non_null(strstr(f.text, "No such file"));
	put("log/x.log", "");
	assert_true(find(VM_PLACE_DIRECTORY, "/log").usable);
	f = find(VM_PLACE_DIRECTORY, "/log/x.log");
	assert_true(f.measured && !f.usable);
	assert_true(find(VM_PLACE_PATH, "/log/x.log").usable);
	f = find(VM_PLACE_PATH, "/dev/ttyS77");
	assert_true(f.measured && !f.usable);
	assert_false(find(VM_PLACE_KINDS, "/log").measured);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_loader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loader_that_cannot_be_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nvram, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
