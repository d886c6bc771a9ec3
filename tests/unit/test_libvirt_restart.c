/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt must start again until the daemon that ran when the note was written is another one. */
#include "common/libvirt_restart.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct host {
	char root[32];
	char *run_dir, *pid_file;
};

static int setup(void **state)
{
	struct host *h = xnew(struct host);
	_cleanup_free_ char *run = NULL;

	snprintf(h->root, sizeof(h->root), "/tmp/test_restart.XXXXXX");
	assert_non_null(mkdtemp(h->root));
	run = xasprintf("%s/run", h->root);
	h->run_dir = xasprintf("%s/drover", run);
	h->pid_file = xasprintf("%s/virtqemud.pid", run);
	assert_int_equal(mkdir(run, 0755), 0);
	assert_int_equal(mkdir(h->run_dir, 0755), 0);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;

	scratch_remove(h->root);
	free(h->run_dir);
	free(h->pid_file);
	free(h);
	return 0;
}

static void start_daemon(const struct host *h, time_t at_s)
{
	const struct timespec times[2] = { { at_s, 0 }, { at_s, 0 } };
	_cleanup_fclose_ FILE *file = fopen(h->pid_file, "we");

	assert_non_null(file);
	assert_true(fputs("4711\n", file) >= 0 && fflush(file) == 0);
	assert_int_equal(futimens(fileno(file), times), 0);
}

/* Where no libvirt runs, and where nobody wrote a note, nothing has to start again. */
static void test_nothing(void **state)
{
	struct host *h = *state;
	char name[LIBVIRT_RESTART_NAME_BYTES] = "untouched";
	struct error err;

	assert_false(libvirt_restart_is_needed(h->run_dir, name));
	assert_int_equal(libvirt_restart_note(h->root, h->run_dir, &err), 0);
	start_daemon(h, 1000);
	assert_false(libvirt_restart_is_needed(h->run_dir, name));
	assert_string_equal(name, "untouched");
}

/* The daemon that ran then has to start again, whatever its pid is afterwards; then it is good for ever. */
static void test_restart(void **state)
{
	struct host *h = *state;
	char name[LIBVIRT_RESTART_NAME_BYTES];
	struct error err;

	start_daemon(h, 1000);
	assert_int_equal(libvirt_restart_note(h->root, h->run_dir, &err), 0);
	assert_true(libvirt_restart_is_needed(h->run_dir, name));
	assert_string_equal(name, "virtqemud");
	assert_int_equal(remove(h->pid_file), 0);
	assert_false(libvirt_restart_is_needed(h->run_dir, name));
	start_daemon(h, 1001);
	assert_false(libvirt_restart_is_needed(h->run_dir, name));
}

/* A note that cannot be written is told. */
static void test_no_room(void **state)
{
	struct host *h = *state;
	struct error err;

	start_daemon(h, 1000);
	assert_int_equal(libvirt_restart_note(h->root, "/nonexistent", &err), -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "/nonexistent/libvirt-restart"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
