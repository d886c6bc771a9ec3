/* SPDX-License-Identifier: Apache-2.0 */
/* An agent whose journal is damaged, cut short or cannot be written: see tests/sim/agents.h. */
#include "agent/failpoints.h"
#include "tests/sim/agents_story.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/units.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct fake_guest_settings first = { .name = "first", .memory_bytes = 64 * MIB };
static const struct fake_guest_settings second = { .name = "second", .memory_bytes = 64 * MIB };

static const char *journal_of(const struct agents *t, size_t i)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/agent.journal", t->settings[i].state_dir);
	return path;
}

/* Of the files that were set aside; with @remove they are gone then. */
static unsigned count_set_aside(const struct agents *t, size_t i, bool remove)
{
	char path[512];
	unsigned count = 0;
	const struct dirent *e;
	DIR *d = opendir(t->settings[i].state_dir);

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "agent.journal.corrupt-", 22) != 0)
			continue;
		count++;
		snprintf(path, sizeof(path), "%s/%s", t->settings[i].state_dir, e->d_name);
		if (remove)
			assert_int_equal(unlink(path), 0);
	}
	closedir(d);
	return count;
}

static void flip_byte(const char *path, off_t at)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x55;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static off_t bytes_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static bool nothing_left(void *context)
{
	return agents_leftovers(context) == 0;
}

static void move(struct agents *t, const struct fake_guest_settings *guest)
{
	agents_add_guest(t, guest);
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	assert_true(agents_until(t, agents_is_clean, t));
}

/* A damaged journal is set aside, and its agent begins and takes nothing, also after restarts, until
 * somebody has removed that file. */
static void f28_damaged_journal_observes_until_reconciled(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	move(t, &first);
	agents_kill(t, 0);
	flip_byte(journal_of(t, 0), bytes_of(journal_of(t, 0)) / 2);
	agents_add_guest(t, &second);
	for (int restart = 0; restart < 3; restart++) {
		agents_start(t, 0);
		assert_true(t->agents[0]->safe_mode);
		assert_int_equal(count_set_aside(t, 0, false), 1);
		agents_order(t);
		assert_false(t->accepted);
		assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
		agents_kill(t, 0);
	}
	assert_int_equal(count_set_aside(t, 0, true), 1);
	agents_start(t, 0);
	assert_false(t->agents[0]->safe_mode);
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	assert_true(agents_until(t, agents_is_clean, t));
	agents_free(t);
}

/* A destination with a damaged journal does not know what it has promised: it takes no guest. */
static void f28_damaged_destination_admits_nothing(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	move(t, &first);
	agents_kill(t, 1);
	flip_byte(journal_of(t, 1), bytes_of(journal_of(t, 1)) / 2);
	agents_start(t, 1);
	assert_true(t->agents[1]->safe_mode);
	agents_add_guest(t, &second);
	agents_order(t);
	assert_true(agents_wait(t, DROVER__V1__MIGRATION_STATE__FAILED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	assert_int_equal(count_set_aside(t, 1, true), 1);
	assert_true(agents_until(t, nothing_left, t));
	agents_free(t);
}

/* A record cut short by a crash was never promised to anybody: it is dropped, and all goes on. */
static void f28_torn_end_is_dropped(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	move(t, &first);
	agents_kill(t, 0);
	assert_int_equal(truncate(journal_of(t, 0), bytes_of(journal_of(t, 0)) - 5), 0);
	agents_start(t, 0);
	assert_false(t->agents[0]->safe_mode);
	assert_int_equal(count_set_aside(t, 0, false), 0);
	move(t, &second);
	agents_free(t);
}

struct writing {
	size_t asked, written;
};

static void thing_written(int rc, const struct error *err, void *context)
{
	(void)err;
	assert_int_equal(rc, 0);
	((struct writing *)context)->written++;
}

static bool all_written(void *context)
{
	const struct writing *w = context;

	return w->written == w->asked;
}

/* So many as images are made for: of attempts that are nobody's. */
static void write_things(struct agents *t, size_t n)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_MADE };
	struct writing writing = { .asked = n };

	w.thing.attempt = (struct attempt_name){ .operation = id_new(), .number = 1, .epoch = 1 };
	w.thing.kind = JOURNAL_TUNNEL;
	for (size_t i = 0; i < n; i++) {
		snprintf(w.thing.path, sizeof(w.thing.path), "%s/%zu/status", t->directory, i);
		journal_keeper_write(t->agents[0]->journal, &w, thing_written, &writing);
	}
	assert_true(agents_until(t, all_written, &writing));
}

/* That much is left of others' attempts keeps no move from being written down: what is made for it is
 * recorded, and so is its end. */
static void test_many_things_are_left(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	write_things(t, JOURNAL_THINGS_MAX);
	move(t, &first);
	move(t, &second);
	agents_free(t);
}

static size_t count_things(struct agents *t, size_t i)
{
	struct journal_state past = { 0 };
	struct journal_report report;
	struct journal *j;
	struct error err;
	size_t n;

	agents_kill(t, i);
	assert_int_equal(
		journal_open(journal_of(t, i), journal_state_apply, &past, &j, &report, &err), 0);
	n = past.n_things;
	journal_close(j);
	journal_state_deinit(&past);
	agents_start(t, i);
	return n;
}

/* An agent that ends between the removal of a tunnel and the record of that leaves no record for ever. That of
 * a tunnel whose files are there stays. */
static void test_tunnels_that_are_gone(void **state)
{
	struct agents *t = agents_new(NULL);
	char path[256];

	(void)state;
	write_things(t, 3);
	snprintf(path, sizeof(path), "%s/1", t->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/1/status", t->directory);
	assert_int_equal(close(creat(path, 0600)), 0);
	assert_int_equal(count_things(t, 0), 3);
	move(t, &first);
	assert_int_equal(count_things(t, 0), 1);
	assert_int_equal(unlink(path), 0);
	(void)count_things(t, 0);
	move(t, &second);
	assert_int_equal(count_things(t, 0), 0);
	agents_free(t);
}

#ifdef DROVER_FAILPOINTS

static void arm(const struct agents *t, const char *spec)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/failpoint", t->directory);
	file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file, "%s\n", spec);
	assert_int_equal(fclose(file), 0);
}

static void disarm(const struct agents *t)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/failpoint", t->directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/failpoint.fired", t->directory);
	unlink(path);
}

static bool have_attached(void *context)
{
	const struct agents *t = context;

	return t->agents[0]->highest_epoch == t->epoch && t->agents[1]->highest_epoch == t->epoch;
}

static void count_written(int rc, const struct error *err, void *context)
{
	(void)err;
	assert_int_equal(rc, 0);
	(*(size_t *)context)++;
}

static bool both_have_written(void *context)
{
	return *(const size_t *)context == 2;
}

/* An agent writes down the epoch of who attaches; a failpoint that is armed before would be spent on it. */
static void write_what_is_due(struct agents *t)
{
	struct journal_write again = { .kind = JOURNAL_WRITE_EPOCH, .epoch = t->epoch };
	size_t written = 0;

	assert_true(agents_until(t, have_attached, t));
	for (size_t i = 0; i < 2; i++)
		journal_keeper_write(t->agents[i]->journal, &again, count_written, &written);
	assert_true(agents_until(t, both_have_written, &written));
}

static bool has_ended(void *context)
{
	const struct agents *t = context;

	return t->report.state == DONE || t->report.state == DROVER__V1__MIGRATION_STATE__FAILED;
}

/* What cannot be written down is not begun, and as soon as it can be written again it goes on. */
static void f29_full_disk_refuses_before_acting(void **state)
{
	struct agents *t = agents_new(NULL);
	struct error err;

	(void)state;
	assert_int_equal(failpoints_begin(&agent_failpoints, t->directory, &err), 0);
	agents_add_guest(t, &first);
	write_what_is_due(t);
	arm(t, "journal_before_append=error");
	agents_order(t);
	assert_false(t->accepted);
	assert_int_not_equal(t->status, MESH_OK);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_leases(t, 1), 0);
	assert_int_equal(agents_leftovers(t), 0);
	disarm(t);
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	assert_true(agents_until(t, agents_is_clean, t));
	agents_free(t);
}

/* Before that it admits nobody, and nothing would be written. */
static bool target_has_listed(void *context)
{
	const struct agents *t = context;

	return t->agents[1]->inventory.valid;
}

/* Whichever record of a move cannot be written, on either side: the guest runs once, and nothing is
 * left over. */
static void f29_any_record_that_cannot_be_written(void **state)
{
	bool fired = true;

	(void)state;
	for (unsigned n = 1; fired; n++) {
		struct agents *t = agents_new(NULL);
		char spec[64], path[256];
		struct error err;

		assert_int_equal(failpoints_begin(&agent_failpoints, t->directory, &err), 0);
		agents_add_guest(t, &first);
		assert_true(agents_until(t, target_has_listed, t));
		write_what_is_due(t);
		snprintf(spec, sizeof(spec), "journal_before_append:%u=error", n);
		arm(t, spec);
		agents_order(t);
		if (t->accepted) {
			assert_true(agents_until(t, has_ended, t));
			assert_true(agents_until(t, agents_is_clean, t));
			assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
		}
		assert_true((agents_state_on(t, 0) == VM_RUNNING) !=
		            (agents_state_on(t, 1) == VM_RUNNING));
		snprintf(path, sizeof(path), "%s/failpoint.fired", t->directory);
		fired = access(path, F_OK) == 0;
		if (!fired && n <= 6)
			fail_msg("only %u records were written: %s, %s", n - 1,
			         t->accepted ? "accepted" : "refused",
			         t->accepted ? t->report.reason : t->error.text);
		disarm(t);
		agents_free(t);
	}
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f28_damaged_journal_observes_until_reconciled),
		cmocka_unit_test(f28_damaged_destination_admits_nothing),
		cmocka_unit_test(f28_torn_end_is_dropped),
		cmocka_unit_test(test_many_things_are_left),
		cmocka_unit_test(test_tunnels_that_are_gone),
#ifdef DROVER_FAILPOINTS
		cmocka_unit_test(f29_full_disk_refuses_before_acting),
		cmocka_unit_test(f29_any_record_that_cannot_be_written),
#endif
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
