/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's limits as its file has them: KubeVirt's names and semantics, ours where there is none,
 * and what is refused. */
#include "coordinator/settings.h"

#include "common/units.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int load(const char *limits, struct coordinator_settings *s, struct error *err)
{
	char path[] = "/tmp/test_coordinator_settings.XXXXXX";
	int fd = mkstemp(path), rc;
	FILE *file = fdopen(fd, "w");

	assert_non_null(file);
	fprintf(file, "name: c1\ncluster: test\nlisten: [\"tcp://10.0.0.9:7780\"]\n%s", limits);
	fclose(file);
	rc = coordinator_settings_load(path, s, err);
	unlink(path);
	return rc;
}

/* What is not said is built in, and nothing is permitted about a guest that does not converge. */
static void test_defaults(void **state)
{
	struct coordinator_settings s;
	struct error err;

	(void)state;
	assert_int_equal(load("", &s, &err), 0);
	assert_int_equal(s.completion_timeout_per_gib_ms, 800000);
	assert_int_equal(s.progress_timeout_ms, 150000);
	assert_int_equal(s.bandwidth_per_migration_bytes_per_s, 0);
	assert_int_equal(s.max_downtime_ms, 300);
	assert_int_equal(strategy_pack(&s.strategy), 0);
	assert_false(s.set.max_downtime);
	assert_false(s.set.progress_timeout);
	assert_true(s.shortest_first);
	assert_false(s.set.lanes);
	assert_int_equal(s.preparing_per_node, 1);
	coordinator_settings_deinit(&s);
}

/* allowWorkloadDisruption: false takes allowPostCopy back, as in KubeVirt; left out, it does not. */
static void test_disruption_forbidden(void **state)
{
	struct coordinator_settings s;
	struct error err;

	(void)state;
	assert_int_equal(
		load("limits: {allowPostCopy: true, allowWorkloadDisruption: false}\n", &s, &err),
		0);
	assert_false(s.strategy.allow_post_copy || s.strategy.allow_disruption);
	coordinator_settings_deinit(&s);
	assert_int_equal(load("limits: {allowPostCopy: true}\n", &s, &err), 0);
	assert_true(s.strategy.allow_post_copy && !s.strategy.allow_disruption);
	coordinator_settings_deinit(&s);
}

/* Every limit of a migration can be set for the cluster, under KubeVirt's name; what was set is known as
 * set. A time-out of 0 is none. */
static void test_limits(void **state)
{
	struct coordinator_settings s;
	struct error err;

	(void)state;
	if (load("limits:\n  completionTimeoutPerGiB: 20\n  progressTimeout: 0\n"
	         "  bandwidthPerMigration: 64Mi\n  maxDowntimeMs: 900\n  ladder: very-large\n"
	         "  allowAutoConverge: true\n  allowPostCopy: true\n"
	         "  allowWorkloadDisruption: true\n",
	         &s, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(s.completion_timeout_per_gib_ms, 20000);
	assert_int_equal(s.progress_timeout_ms, 0);
	assert_int_equal(s.bandwidth_per_migration_bytes_per_s, 64 * MIB);
	assert_int_equal(s.max_downtime_ms, 900);
	assert_int_equal(s.strategy.ladder, LADDER_VERY_LARGE);
	assert_true(s.strategy.allow_auto_converge && s.strategy.allow_post_copy &&
	            s.strategy.allow_disruption);
	assert_true(s.set.completion_timeout && s.set.progress_timeout && s.set.bandwidth &&
	            s.set.max_downtime && s.set.ladder && s.set.auto_converge && s.set.post_copy &&
	            s.set.disruption);
	coordinator_settings_deinit(&s);
	assert_int_equal(load("limits: {parallelConnections: 4, compression: xbzrle}\n", &s, &err),
	                 0);
	assert_int_equal(s.transfer.connections, 4);
	assert_int_equal(s.transfer.compression, COMPRESSION_XBZRLE);
	assert_true(s.set.connections && s.set.compression);
	coordinator_settings_deinit(&s);
	/* With post-copy for all, several connections for all would lose guests. */
	assert_int_equal(load("limits: {parallelConnections: 4, allowPostCopy: true}\n", &s, &err),
	                 -ERROR_INVALID);
	assert_non_null(strstr(err.text, "exclude each other"));
	assert_int_equal(load("limits: {compression: zstd}\n", &s, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "limits/compression"));
	assert_int_equal(load("limits: {preparingMigrationsPerNode: 0}\n", &s, &err), 0);
	assert_true(s.preparing_per_node == 0 && s.set.preparing_per_node);
	coordinator_settings_deinit(&s);
	assert_int_equal(load("limits: {lanes: fair}\n", &s, &err), 0);
	assert_true(!s.shortest_first && s.set.lanes);
	coordinator_settings_deinit(&s);
	assert_int_equal(load("limits: {lanes: shortest-first}\n", &s, &err), 0);
	assert_true(s.shortest_first && s.set.lanes);
	coordinator_settings_deinit(&s);
	assert_int_equal(load("limits: {maxDowntime: 250ms}\n", &s, &err), 0);
	assert_int_equal(s.max_downtime_ms, 250);
	coordinator_settings_deinit(&s);
}

/* What makes no sense is refused by name. */
static void test_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "limits: {maxDowntime: 250ms, maxDowntimeMs: 250}\n", "leave one out" },
		{ "limits: {maxDowntimeMs: 0}\n", "maxDowntimeMs" },
		{ "limits: {maxDowntimeMs: 2000001}\n", "maxDowntimeMs" },
		{ "limits: {bandwidthPerMigration: 500}\n", "bandwidthPerMigration" },
		{ "limits: {lanes: two}\n", "neither shortest-first nor fair" },
		{ "limits: {preparingMigrationsPerNode: 5}\n", "preparingMigrationsPerNode" },
		{ "limits: {ladder: fast}\n", "minimal-downtime" },
		{ "limits: {progresTimeout: 1}\n", "progresTimeout" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct coordinator_settings s;
		struct error err;

		assert_int_equal(load(rows[i][0], &s, &err), -ERROR_INVALID);
		if (!strstr(err.text, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_disruption_forbidden),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
