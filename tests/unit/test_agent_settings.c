/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's settings of room and caps: defaults, ranges, and what is refused. */
#include "agent/settings.h"

#include "common/units.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int load(const char *more, struct agent_settings *s, struct error *err)
{
	char path[] = "/tmp/test_agent_settings.XXXXXX";
	int fd = mkstemp(path), rc;
	FILE *file = fdopen(fd, "w");

	assert_non_null(file);
	fprintf(file,
	        "node: host1\ncluster: test\ncoordinators: [\"tcp://10.0.0.9:7780\"]\n"
	        "listen: tcp://10.0.0.1:7788\n%s",
	        more);
	fclose(file);
	rc = agent_settings_load(path, s, err);
	unlink(path);
	return rc;
}

#define MIGRATION "migration: {address: 10.1.0.1, interface: eth1"

/* What is not said is the default of the documents. */
static void test_defaults(void **state)
{
	struct agent_settings s;
	struct error err;

	(void)state;
	assert_int_equal(load(MIGRATION "}\n", &s, &err), 0);
	assert_int_equal(s.memory_overcommit_percent, 100);
	assert_int_equal(s.memory_reserve_bytes, GIB);
	assert_int_equal(s.parallel_inbound, 2);
	assert_int_equal(s.parallel_outbound, 2);
	assert_int_equal(s.min_bytes_per_s, 8 * MIB);
	assert_int_equal(s.max_round_trip_ms, 150);
	agent_settings_deinit(&s);
}

/* A ratio has at most two decimals and lies between 1 and 10. */
static void test_overcommit(void **state)
{
	static const struct {
		const char *text;
		uint32_t percent;
	} good[] = { { "1", 100 },    { "1.0", 100 },  { "1.5", 150 },
		     { "1.25", 125 }, { "2.05", 205 }, { "10", 1000 } };
	static const char *const bad[] = { "0.9", "0",     "-1", "1.",   "1.255", "ten",
		                           "nan", "10.01", "11", "1.5x", "1e3" };
	struct agent_settings s;
	struct error err;
	char text[160];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), MIGRATION "}\nmemory: {overcommit: \"%s\"}\n",
		         good[i].text);
		assert_int_equal(load(text, &s, &err), 0);
		assert_int_equal(s.memory_overcommit_percent, good[i].percent);
		agent_settings_deinit(&s);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), MIGRATION "}\nmemory: {overcommit: \"%s\"}\n", bad[i]);
		assert_int_equal(load(text, &s, &err), -ERROR_INVALID);
		assert_non_null(strstr(err.text, "memory/overcommit"));
	}
}

/* vCPUs have no limit unless one is set, and then it is a ratio up to 64. */
static void test_cpu_overcommit(void **state)
{
	static const struct {
		const char *text;
		uint32_t percent;
	} good[] = { { "0", 0 }, { "0.5", 50 }, { "4", 400 }, { "2.25", 225 }, { "64.0", 6400 } };
	static const char *const bad[] = { "-1", "64.01", "99", "many", "4x", "" };
	struct agent_settings s;
	struct error err;
	char text[160];

	(void)state;
	assert_int_equal(load(MIGRATION "}\n", &s, &err), 0);
	assert_int_equal(s.cpu_overcommit_percent, 0);
	agent_settings_deinit(&s);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), MIGRATION "}\ncpu: {overcommit: \"%s\"}\n",
		         good[i].text);
		assert_int_equal(load(text, &s, &err), 0);
		assert_int_equal(s.cpu_overcommit_percent, good[i].percent);
		agent_settings_deinit(&s);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), MIGRATION "}\ncpu: {overcommit: \"%s\"}\n", bad[i]);
		assert_true(load(text, &s, &err) < 0);
		assert_non_null(strstr(err.text, "cpu/overcommit"));
	}
}

/* Caps and limits are read, and none is zero. */
static void test_caps(void **state)
{
	struct agent_settings s;
	struct error err;

	(void)state;
	assert_int_equal(load(MIGRATION ", parallelInbound: 3, parallelOutbound: 4, "
	                                "minBandwidth: 1Gbit/s, maxRoundTrip: 20ms}\n",
	                      &s, &err),
	                 0);
	assert_int_equal(s.parallel_inbound, 3);
	assert_int_equal(s.parallel_outbound, 4);
	assert_int_equal(s.min_bytes_per_s, 125000000);
	assert_int_equal(s.max_round_trip_ms, 20);
	agent_settings_deinit(&s);
	assert_true(load(MIGRATION ", parallelInbound: 0}\n", &s, &err) < 0);
	assert_true(load(MIGRATION ", parallelOutbound: 65}\n", &s, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_overcommit),
		cmocka_unit_test(test_cpu_overcommit),
		cmocka_unit_test(test_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
