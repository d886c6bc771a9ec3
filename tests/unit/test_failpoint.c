/* SPDX-License-Identifier: Apache-2.0 */
/* A process dies, stops or fails where it was told to, once, and nowhere else. Each test arms a child
 * and looks at what became of it. */
#include "common/failpoint.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define POINTS(X)                              \
	X(step_before, PASSES, "before")       \
	X(step_act, FAILS, "the act may fail") \
	X(step_after, PASSES, "after")

FAILPOINTS_DECLARE(POINTS, points);
FAILPOINTS_DEFINE(POINTS, points);

#define CHILD_ACT_FAILED 7
#define CHILD_REFUSED    9

static char directory[] = "/tmp/test_failpoint.XXXXXX";
static char path[64], fired[80];

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/failpoint", directory);
	snprintf(fired, sizeof(fired), "%s.fired", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(fired);
	return rmdir(directory);
}

static void arm(const char *spec)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fprintf(file, "%s\n", spec);
	assert_int_equal(fclose(file), 0);
}

/* Three steps, as many times. */
static void work(unsigned times)
{
	struct error err = { 0 };

	for (unsigned i = 0; i < times; i++) {
		FAILPOINT(step_before);
		if (FAILPOINT_ERROR(step_act, &err) < 0)
			_exit(err.code == ERROR_SYSTEM && strstr(err.text, "step_act")
			              ? CHILD_ACT_FAILED
			              : 1);
		FAILPOINT(step_after);
	}
}

/* The child's wait status; @spec in its environment, or NULL. Stopped children are continued. */
static int run(const char *spec, unsigned times, bool *ret_stopped)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct error err;

		(void)!freopen("/dev/null", "w", stderr);
		if (spec)
			setenv("DROVER_FAILPOINT", spec, 1);
		if (failpoints_begin(&points, directory, &err) < 0)
			_exit(CHILD_REFUSED);
		work(times);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	if (ret_stopped)
		*ret_stopped = WIFSTOPPED(status);
	if (WIFSTOPPED(status)) {
		kill(child, SIGCONT);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	return status;
}

static bool was_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool exited_with(int status, int code)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/* Without being told to, a process passes all its points. */
static void test_unarmed_passes(void **state)
{
	(void)state;
	assert_true(exited_with(run(NULL, 3, NULL), 0));
	assert_true(exited_with(run("", 3, NULL), 0));
}

/* The environment names the point and the passage, no earlier one counts. */
static void test_environment_kills_at_passage(void **state)
{
	(void)state;
	assert_true(was_killed(run("step_before", 1, NULL)));
	assert_true(was_killed(run("step_after:3", 3, NULL)));
	assert_true(exited_with(run("step_after:3", 2, NULL), 0));
}

/* A point where something can fail fails; one where nothing can is not armed so, nor any by nonsense. */
static void test_errors_and_refusals(void **state)
{
	static const char *const wrong[] = { "nonsense", "step_act:0", "step_act:x",
		                             "step_act=panic", "step_before=error" };

	(void)state;
	assert_true(exited_with(run("step_act=error", 1, NULL), CHILD_ACT_FAILED));
	assert_true(exited_with(run("step_act:2=error", 1, NULL), 0));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_true(exited_with(run(wrong[i], 1, NULL), CHILD_REFUSED));
}

/* A stopped process goes on from where it was. */
static void test_stop_goes_on(void **state)
{
	bool stopped;

	(void)state;
	assert_true(exited_with(run("step_act=stop", 2, &stopped), 0));
	assert_true(stopped);
}

/* A file arms a process once: it dies, the file says who, and the next one lives. */
static void test_file_fires_once(void **state)
{
	char text[128] = "";
	FILE *file;

	(void)state;
	arm("step_after:2");
	assert_true(exited_with(run(NULL, 1, NULL), 0));
	assert_int_equal(access(path, F_OK), 0);
	assert_true(was_killed(run(NULL, 2, NULL)));
	assert_int_equal(access(path, F_OK), -1);
	file = fopen(fired, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_non_null(strstr(text, "step_after:2\npid "));
	assert_true(exited_with(run(NULL, 3, NULL), 0));
}

/* A running process is armed, disarmed and armed anew, and counts from then on. */
static void test_file_arms_a_running_process(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct error err;

		(void)!freopen("/dev/null", "w", stderr);
		if (failpoints_begin(&points, directory, &err) < 0)
			_exit(CHILD_REFUSED);
		work(5);
		arm("step_before:4");
		work(3);
		unlink(path);
		work(3);
		arm("step_before:2");
		work(1);
		arm("a_point_of_another_program");
		work(5);
		arm("step_act=error");
		work(1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(exited_with(status, CHILD_ACT_FAILED));
}

/* Looked at between the file's making and its writing, in one tick of the clock, it still counts. */
static void test_file_that_is_being_written(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		static const struct timespec same[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
		struct error err;
		int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		(void)!freopen("/dev/null", "w", stderr);
		if (failpoints_begin(&points, directory, &err) < 0 || futimens(fd, same) < 0)
			_exit(CHILD_REFUSED);
		work(1);
		if (write(fd, "step_before", 11) != 11 || futimens(fd, same) < 0)
			_exit(CHILD_REFUSED);
		work(1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(was_killed(status));
}

/* A child of an armed process, like a tunnel, looks at the same file. */
static void test_children_look_at_the_same_file(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct error err;

		(void)!freopen("/dev/null", "w", stderr);
		if (failpoints_begin(&points, directory, &err) < 0 ||
		    failpoints_begin(&points, NULL, &err) < 0)
			_exit(CHILD_REFUSED);
		arm("step_before");
		work(1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(was_killed(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unarmed_passes),
		cmocka_unit_test(test_environment_kills_at_passage),
		cmocka_unit_test(test_errors_and_refusals),
		cmocka_unit_test(test_stop_goes_on),
		cmocka_unit_test(test_file_fires_once),
		cmocka_unit_test(test_file_arms_a_running_process),
		cmocka_unit_test(test_file_that_is_being_written),
		cmocka_unit_test(test_children_look_at_the_same_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
