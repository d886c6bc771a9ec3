/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on the guest: its health, its vCPUs and its clock, each with the next step. */
#include "common/alloc.h"
#include "tests/unit/admission_fixture.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void set_state(enum vm_run_state state, enum vm_pause_reason why, const char *word)
{
	fixture_vm.summary.state = state;
	fixture_vm.summary.pause_reason = why;
	memset(fixture_vm.summary.reason, 0, sizeof(fixture_vm.summary.reason));
	memcpy(fixture_vm.summary.reason, word, strlen(word));
}

/* A guest that runs, or that a person has paused, is well. */
static void test_well(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	assert_string_equal(admission_judged(&in, "guest")->measured, "running (booted)");
	assert_true(admission_passes(&fixture_list));
	set_state(VM_PAUSED, VM_PAUSE_USER, "user");
	assert_int_equal(admission_judged(&in, "guest")->verdict, CHECK_PASS);
	set_state(VM_PAUSED, VM_PAUSE_OTHER, "from snapshot");
	assert_int_equal(admission_judged(&in, "guest")->verdict, CHECK_PASS);
}

/* Every other state refuses, says which it is, and what to do about it. */
static void test_ailments(void **state)
{
	static const struct {
		enum vm_run_state state;
		enum vm_pause_reason why;
		const char *word, *remedy;
	} cases[] = {
		{ VM_PAUSED, VM_PAUSE_IO_ERROR, "I/O error", "virsh domblkerror" },
		{ VM_PAUSED, VM_PAUSE_OTHER, "crashed", "virsh reset" },
		{ VM_PAUSED, VM_PAUSE_OTHER, "saving", "domjobabort" },
		{ VM_PAUSED, VM_PAUSE_OTHER, "dumping", "domjobabort" },
		{ VM_PAUSED, VM_PAUSE_OTHER, "suspended by the guest", "dompmwakeup" },
		{ VM_PAUSED, VM_PAUSE_MIGRATION, "migrating", "domstate on both hosts" },
		{ VM_PAUSED, VM_PAUSE_POSTCOPY_FAILED, "post-copy failed", "another host" },
		{ VM_PAUSED, VM_PAUSE_OTHER, "a word of tomorrow", "domstate --reason" },
		{ VM_RUNNING, VM_PAUSE_NONE, "shutting down", "shut off" },
		{ VM_INCOMING, VM_PAUSE_MIGRATION, "migrating", "wait" },
		{ VM_SHUTOFF, VM_PAUSE_NONE, "destroyed", "start it" },
		{ VM_CRASHED, VM_PAUSE_NONE, "crashed", "virsh reset" },
		{ VM_UNKNOWN, VM_PAUSE_NONE, "QEMU does not answer", "QEMU answers" },
	};
	struct admission_input in = admission_fixture();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct check *c;

		set_state(cases[i].state, cases[i].why, cases[i].word);
		c = admission_refused(&in, "guest");
		assert_non_null(strstr(c->measured, cases[i].word));
		assert_non_null(strstr(c->remedy, cases[i].remedy));
		assert_string_equal(c->reason, "NotMigratable");
	}
}

/* Somebody else's job, and a disk that fails, refuse a guest that runs. */
static void test_jobs_and_errors(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	fixture_vm.summary.job_out = true;
	assert_string_equal(admission_refused(&in, "guest")->measured,
	                    "running, and somebody else's migration of it runs");
	in = admission_fixture();
	fixture_vm.job_other = true;
	assert_string_equal(admission_refused(&in, "guest")->measured,
	                    "running, and a backup, dump, save or snapshot of it runs");
	in = admission_fixture();
	strcpy(fixture_vm.disk_error, "vda: no space");
	assert_string_equal(admission_refused(&in, "guest")->measured,
	                    "running, with an I/O error on disk vda: no space");
}

/* A guest agent that does not answer is a warning; none at all is nothing to speak of. */
static void test_agent_channel(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	fixture_vm.agent_channel = VM_AGENT_CONNECTED;
	assert_int_equal(admission_judged(&in, "guest")->verdict, CHECK_PASS);
	fixture_vm.agent_channel = VM_AGENT_DISCONNECTED;
	c = admission_judged(&in, "guest");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_non_null(strstr(c->measured, "guest agent does not answer"));
	assert_true(c->remedy[0]);
	assert_true(admission_passes(&fixture_list));
	/* A paused one cannot. */
	set_state(VM_PAUSED, VM_PAUSE_USER, "user");
	assert_int_equal(admission_judged(&in, "guest")->verdict, CHECK_PASS);
}

/* A source that does not say how its guest is has not measured it. */
static void test_guest_not_measured(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	set_state(VM_RUNNING, VM_PAUSE_NONE, "");
	assert_non_null(strstr(admission_refused(&in, "guest")->measured, "not measured"));
}

/* QEMU's limit counts the vCPUs that could be plugged; the host's CPUs only make it slow. */
static void test_vcpus(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c = admission_judged(&in, "vcpus");

	(void)state;
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_string_equal(c->measured, "8 CPUs, 5 vCPUs promised, at most 255 for one guest");
	assert_string_equal(c->required, "2 vCPUs in use, 2 at most");
	fixture_vm.vcpus_maximum = 255;
	assert_int_equal(admission_judged(&in, "vcpus")->verdict, CHECK_PASS);
	fixture_vm.vcpus_maximum = 256;
	assert_string_equal(admission_refused(&in, "vcpus")->measured,
	                    "QEMU here gives a pc-q35-7.2 at most 255");
	fixture_vm.vcpus_maximum = fixture_vm.summary.vcpus = 8;
	assert_int_equal(admission_judged(&in, "vcpus")->verdict, CHECK_PASS);
	fixture_vm.summary.vcpus = 9;
	c = admission_judged(&in, "vcpus");
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_true(c->remedy[0]);
}

/* Only a limit that somebody has set refuses, and it counts guests on their way. */
static void test_vcpu_overcommit(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	in.vcpus.guests = 1000;
	assert_int_equal(admission_judged(&in, "vcpus")->verdict, CHECK_PASS);
	in.vcpus = (struct vcpu_totals){
		.cpus = 4, .guests = 3, .reserved = 1, .overcommit_percent = 150
	};
	assert_int_equal(admission_judged(&in, "vcpus")->verdict, CHECK_PASS);
	in.vcpus.reserved = 2;
	c = admission_refused(&in, "vcpus");
	assert_string_equal(c->measured, "5 of 6 promised: 4 CPUs x 1.50; 2 on their way");
	assert_non_null(strstr(c->remedy, "cpu/overcommit"));
	/* What is promised to this attempt is its own. */
	in.already_reserved = true;
	assert_int_equal(admission_judged(&in, "vcpus")->verdict, CHECK_PASS);
	in = admission_fixture();
	in.vcpus.guests = in.vcpus.reserved = UINT32_MAX;
	in.vcpus.overcommit_percent = 6400;
	admission_refused(&in, "vcpus");
}

/* What libvirt did not tell is not assumed. */
static void test_vcpus_not_measured(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.capabilities_known = false;
	strcpy(in.capabilities_why, "libvirt is away");
	assert_string_equal(admission_refused(&in, "vcpus")->measured,
	                    "not measured: libvirt is away");
	in = admission_fixture();
	in.capabilities.vcpus_max = 0;
	admission_refused(&in, "vcpus");
	in = admission_fixture();
	in.vcpus.cpus = 0;
	admission_refused(&in, "vcpus");
}

/* A promised TSC frequency is met within 250 ppm, or by scaling; else both numbers are shown. */
static void test_tsc(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c = admission_judged(&in, "tsc");

	(void)state;
	assert_string_equal(c->measured, "the guest was promised no frequency");
	fixture_vm.tsc_hz = in.capabilities.tsc_hz = UINT64_C(2600000000);
	assert_int_equal(admission_judged(&in, "tsc")->verdict, CHECK_PASS);
	in.capabilities.tsc_hz = UINT64_C(2600650000); /* exactly 250 ppm */
	assert_int_equal(admission_judged(&in, "tsc")->verdict, CHECK_PASS);
	in.capabilities.tsc_hz++;
	admission_refused(&in, "tsc");
	in.capabilities.tsc_hz = UINT64_C(2599350000);
	assert_int_equal(admission_judged(&in, "tsc")->verdict, CHECK_PASS);
	in.capabilities.tsc_hz--;
	admission_refused(&in, "tsc");
	in.capabilities.tsc_hz = UINT64_C(3000000000);
	c = admission_refused(&in, "tsc");
	assert_string_equal(c->measured, "3000000 kHz, cannot be scaled");
	assert_non_null(strstr(c->required, "2600000 kHz"));
	assert_string_equal(c->reason, "NoTSCFrequencyNotLiveMigratable");
	in.capabilities.tsc_scaling = true;
	assert_int_equal(admission_judged(&in, "tsc")->verdict, CHECK_PASS);
	in.capabilities.tsc_hz = 0;
	assert_non_null(strstr(admission_refused(&in, "tsc")->measured, "not measured"));
	in.capabilities_known = false;
	strcpy(in.capabilities_why, "libvirt is away");
	assert_string_equal(admission_refused(&in, "tsc")->measured,
	                    "not measured: libvirt is away");
}

/* One that is started by its definition has to fit by the same rules, but for what only a move needs. */
static void test_start(void **state)
{
	struct admission_input in = { .vm = &fixture_vm, .vcpus = { .cpus = 8, .guests = 7 } };
	struct error err;

	(void)state;
	(void)admission_fixture();
	fixture_vm.hugepage_bytes = 2 * MIB;
	in.hugepages.measured = true;
	in.hugepages.free_bytes = 256 * MIB;
	assert_int_equal(admission_check_start(&in, &err), 0);
	in.hugepages_promised_bytes = 2 * MIB;
	assert_int_equal(admission_check_start(&in, &err), -ERROR_NO_SPACE);
	assert_non_null(strstr(err.text, "hugepages: 256 MiB free in pages of 2 MiB"));
	assert_non_null(strstr(err.text, "2 MiB of them promised; needed: 256 MiB"));
	in.hugepages.measured = false;
	assert_int_equal(admission_check_start(&in, &err), -ERROR_NO_SPACE);
	fixture_vm.hugepage_bytes = 0;
	assert_int_equal(admission_check_start(&in, &err), 0);
	in.vcpus.overcommit_percent = 100;
	assert_int_equal(admission_check_start(&in, &err), -ERROR_NO_SPACE);
	assert_non_null(strstr(err.text, "vcpus: 7 of 8 promised"));
	in.vcpus.guests = 6;
	assert_int_equal(admission_check_start(&in, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well),
		cmocka_unit_test(test_ailments),
		cmocka_unit_test(test_jobs_and_errors),
		cmocka_unit_test(test_agent_channel),
		cmocka_unit_test(test_guest_not_measured),
		cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_vcpu_overcommit),
		cmocka_unit_test(test_vcpus_not_measured),
		cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
