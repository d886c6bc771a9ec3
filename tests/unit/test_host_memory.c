/* SPDX-License-Identifier: Apache-2.0 */
/* A host's memory figures: what contradicts itself or cannot be is said, with both figures. */
#include "agent/hypervisor/meminfo.h"
#include "common/host_memory.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct host_memory sound(void)
{
	struct host_memory m = { .physical_bytes = 8 * GIB,
		                 .available_bytes = 5 * GIB,
		                 .capacity_bytes = 8 * GIB,
		                 .reserve_bytes = GIB,
		                 .guests_bytes = 2 * GIB,
		                 .reserved_bytes = GIB };

	return m;
}

/* A sound host is believed; so is one that tells only half, or promises more than it has. */
static void f59_sound_figures(void **state)
{
	struct host_memory m = sound(), unknown = { 0 };
	char why[HOST_MEMORY_TEXT_BYTES];

	(void)state;
	assert_true(host_memory_makes_sense(&m, why));
	assert_true(host_memory_makes_sense(&unknown, why));
	m.guests_bytes = 20 * GIB;
	assert_true(host_memory_makes_sense(&m, why));
}

/* -1, 2^63 and 2^64 - 1 in any of the figures are no amount of memory. */
static void f59_impossible_figures(void **state)
{
	static const uint64_t nonsense[] = { UINT64_MAX, (uint64_t)1 << 63, (uint64_t)INT64_MIN,
		                             HOST_MEMORY_MAX_BYTES + 1 };
	char why[HOST_MEMORY_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
		for (size_t field = 0; field < sizeof(struct host_memory) / 8; field++) {
			struct host_memory m = sound();

			((uint64_t *)&m)[field] = nonsense[i];
			why[0] = '\0';
			assert_false(host_memory_makes_sense(&m, why));
			assert_non_null(strstr(why, "1 PiB are believed"));
		}
	}
	{
		struct host_memory m = sound();

		m.available_bytes = (uint64_t)-1;
		assert_false(host_memory_makes_sense(&m, why));
		assert_non_null(strstr(why, "(-1 if it was meant"));
	}
}

/* More than /proc/meminfo has is not there, whoever configured it. */
static void f59_contradictions(void **state)
{
	struct host_memory m = sound();
	char why[HOST_MEMORY_TEXT_BYTES];

	(void)state;
	m.capacity_bytes = 9 * GIB;
	assert_false(host_memory_makes_sense(&m, why));
	assert_string_equal(why,
	                    "memory/capacity is 9 GiB, more than the RAM of /proc/meminfo, 8 GiB");
	m = sound();
	m.available_bytes = 9 * GIB;
	assert_false(host_memory_makes_sense(&m, why));
	assert_string_equal(why, "MemAvailable is 9 GiB, more than MemTotal, 8 GiB");
	m = sound();
	m.reserve_bytes = 9 * GIB;
	assert_false(host_memory_makes_sense(&m, why));
	assert_non_null(strstr(why, "memory/reserve is 9 GiB"));
}

/* /proc/meminfo is read as the kernel writes it. */
static void f59_meminfo(void **state)
{
	uint64_t total, available;
	struct error err;

	(void)state;
	assert_int_equal(meminfo_parse("MemTotal:       1048576 kB\nMemFree: 1 kB\n"
	                               "MemAvailable:    524288 kB\nBuffers: 3 kB\n",
	                               &total, &available, &err),
	                 0);
	assert_int_equal(total, GIB);
	assert_int_equal(available, 512 * MIB);
}

/* A sign, letters, too many digits, another unit, a missing line: an error that shows the line. */
static void f59_meminfo_nonsense(void **state)
{
	static const char *const totals[] = { "-1048576 kB",
		                              "nan kB",
		                              "18446744073709551616 kB",
		                              "18446744073709551615 kB",
		                              "0 kB",
		                              "1048576",
		                              "1048576 MB",
		                              "1048576 kBx",
		                              "",
		                              " kB" };
	uint64_t total = 7, available = 7;
	struct error err;
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(totals); i++) {
		snprintf(text, sizeof(text), "MemTotal: %s\nMemAvailable: 1 kB\n", totals[i]);
		assert_int_equal(meminfo_parse(text, &total, &available, &err), -ERROR_INVALID);
		assert_non_null(strstr(err.text, "MemTotal:"));
	}
	assert_int_equal(meminfo_parse("MemTotal: 5 kB\n", &total, &available, &err),
	                 -ERROR_INVALID);
	assert_non_null(strstr(err.text, "no MemAvailable:"));
	assert_int_equal(meminfo_parse("", &total, &available, &err), -ERROR_INVALID);
	assert_int_equal(total, 7);
	assert_int_equal(available, 7);
}

/* The kernel's count of processes it ended; a kernel without one counts none. */
static void f58_oom_kills(void **state)
{
	(void)state;
	assert_int_equal(vmstat_parse_oom_kills("a 1\noom_kill 3\nb 2\n"), 3);
	assert_int_equal(vmstat_parse_oom_kills("oom_kill 12"), 12);
	assert_int_equal(vmstat_parse_oom_kills("oom_killer 12\n"), 0);
	assert_int_equal(vmstat_parse_oom_kills("oom_kill -1\n"), 0);
	assert_int_equal(vmstat_parse_oom_kills(""), 0);
}

/* A host that is a control group is counted by it; a machine's agent, which is a service, by the machine. */
static void f58_oom_file(void **state)
{
	static const struct {
		const char *text, *file;
	} cases[] = {
		{ "0::/drover-lab-host1\n", "/sys/fs/cgroup/drover-lab-host1/memory.events" },
		{ "5:cpu:/a\n4:memory:/host1\n0::/\n",
		  "/sys/fs/cgroup/memory/host1/memory.oom_control" },
		{ "4:memory:/host1\n0::/other", "/sys/fs/cgroup/memory/host1/memory.oom_control" },
		{ "0::/other\n4:memory:/host1\n",
		  "/sys/fs/cgroup/memory/host1/memory.oom_control" },
		{ "0::/system.slice/drover-agent.service\n", NULL },
		{ "0::/user.slice/user-0.slice/session-3.scope\n", NULL },
		{ "4:memory:/system.slice/drover-agent.service\n0::/system.slice/"
		  "drover-agent.service",
		  NULL },
		{ "0::/\n", NULL },
		{ "4:cpu:/host1\n", NULL },
		{ "nonsense\n:\n::\n0:\n0::\n", NULL },
		{ "", NULL },
	};
	char file[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool found = cgroup_find_oom_file(cases[i].text, file, sizeof(file));

		assert_int_equal(found, cases[i].file != NULL);
		if (found)
			assert_string_equal(file, cases[i].file);
	}
	assert_false(cgroup_find_oom_file("0::/a-path-that-is-too-long", file, 32));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f59_sound_figures),    cmocka_unit_test(f59_impossible_figures),
		cmocka_unit_test(f59_contradictions),   cmocka_unit_test(f59_meminfo),
		cmocka_unit_test(f59_meminfo_nonsense), cmocka_unit_test(f58_oom_kills),
		cmocka_unit_test(f58_oom_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
