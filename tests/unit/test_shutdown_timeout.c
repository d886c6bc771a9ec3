/* SPDX-License-Identifier: Apache-2.0 */
/* limits/shutdownTimeout goes the whole way: from the coordinator's file into what it tells and plans with,
 * and a guest that is asked to shut down is given that time. */
#include "tests/unit/coordinator_bench.h"
#include "tests/unit/power_world.h"

#include "common/alloc.h"
#include "proto/coordinator.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void load(const char *limits, struct coordinator_settings *ret)
{
	char path[] = "/tmp/test_shutdown_timeout.XXXXXX";
	int fd = mkstemp(path), rc;
	FILE *file = fdopen(fd, "w");
	struct error err;

	assert_non_null(file);
	fprintf(file, "name: c1\ncluster: test\nlisten: [\"tcp://10.0.0.9:7780\"]\n%s", limits);
	assert_int_equal(fclose(file), 0);
	rc = coordinator_settings_load(path, ret, &err);
	unlink(path);
	if (rc < 0)
		fail_msg("%s", err.text);
}

/* A coordinator that was started with that file, but where it listens. */
static struct bench *start_with(const char *limits)
{
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	struct coordinator_settings settings;
	struct config_list listen;

	load(limits, &settings);
	coordinator_stop(b->coordinator);
	listen = settings.listen;
	settings.listen = b->settings.listen;
	b->settings.listen = listen;
	coordinator_settings_deinit(&b->settings);
	b->settings = settings;
	bench_start_coordinator(b);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, bench_is_ready, b));
	return b;
}

static void expect_told(struct bench *b, const char *value, const char *from)
{
	Drover__V1__GetStatusRequest request = DROVER__V1__GET_STATUS_REQUEST__INIT;
	const Drover__V1__Status *status = bench_ask(b, "drover.v1.Coordinator/GetStatus",
	                                             &request.base);
	size_t n = 0;

	assert_non_null(status);
	for (size_t i = 0; i < status->n_limits; i++) {
		if (strcmp(status->limits[i]->name, "shutdownTimeout") != 0)
			continue;
		assert_string_equal(status->limits[i]->value, value);
		assert_string_equal(status->limits[i]->from, from);
		n++;
	}
	assert_int_equal(n, 1);
	bench_forget(b);
}

/* db1 ignores that it is asked: it is stopping until that time has passed, then blocked, and asked again. */
static void expect_honoured(const struct fleet *fleet, unsigned seconds, const char *given)
{
	struct core_world *world = power_world();

	world->fleet->options.shutdown_timeout_ms = fleet->options.shutdown_timeout_ms;
	power_drain(world, "db1", NULL);
	core_world_confirm_mark(world, 2);
	power_arrive(world, "web1");
	while (!core_world_count(world, ACTION_SHUT_DOWN))
		core_world_wait(world, 1);
	power_answer(world, ACTION_SHUT_DOWN, CALL_ANSWERED, ERROR_NONE, "");
	core_world_wait(world, seconds - 8);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_STOPPING);
	assert_true(power_says(power_guest(world, "db1")->reason, given));
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	core_world_wait(world, 16);
	assert_int_equal(power_guest(world, "db1")->state, DRAIN_VM_BLOCKED);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 2);
	core_world_free(world);
}

static void test_of_the_file(void **state)
{
	struct bench *b = start_with("limits: {shutdownTimeout: 120s}\n");

	(void)state;
	expect_told(b, "2 min 0 s", "test.yaml");
	expect_honoured(b->coordinator->fleet, 120, "given 2 min");
	bench_free(b);
}

static void test_built_in(void **state)
{
	struct bench *b = start_with("");

	(void)state;
	expect_told(b, "5 min 0 s", "built-in default");
	expect_honoured(b->coordinator->fleet, 300, "given 5 min");
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_the_file),
		cmocka_unit_test(test_built_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
