/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents after a move: what could be left is looked for on both, and what is left is told with what to
 * do. */
#include "tests/sim/agents_story.h"

#include "agent/garbage/remnants_look.h"
#include "agent/source/source.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/units.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct fake_guest_settings small = {
	.name = "web", .memory_bytes = 64 * MIB, .persistent = true, .autostart = true
};
static const struct fake_guest_settings large = { .name = "db",
	                                          .memory_bytes = 512 * MIB,
	                                          .persistent = true };

static struct agents *begin(const struct fake_guest_settings *guest)
{
	struct agents *t = agents_new(NULL);

	agents_add_guest(t, guest);
	agents_order(t);
	assert_true(t->accepted);
	return t;
}

static bool is_clean(void *context)
{
	struct agents *t = context;

	return t->report.n_remnants > 0 && t->report.n_open == 0;
}

static void finish(struct agents *t)
{
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

/* "tunnel host1 gone": whether the report says so. */
static bool says(const struct agents *t, const char *line)
{
	return strstr(t->report.remnants, line) != NULL;
}

/* A guest that came: both hosts were looked at, and nothing of it is left, already when its end is told. */
static void test_came(void **state)
{
	struct agents *t = begin(&small);

	(void)state;
	assert_true(agents_wait(t, DONE));
	assert_int_equal(t->report.n_remnants, 4 + 6);
	assert_int_equal(t->report.n_open, 0);
	assert_true(says(t, "guest host1 gone"));
	assert_true(says(t, "definition host1 gone"));
	assert_true(says(t, "tunnel host1 gone"));
	assert_true(says(t, "directory host2 gone"));
	assert_true(says(t, "lease host2 gone"));
	assert_true(says(t, "port host2 gone"));
	assert_true(says(t, "start-block host2 gone"));
	assert_true(says(t, "autostart host2 gone"));
	assert_int_equal(agents_leftovers(t), 0);
	assert_int_equal(agents_leases(t, 1), 0);
	finish(t);
}

/* One that was cancelled: its copy, job and pause are looked for, too. */
static void test_cancelled(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	agents_cancel(t);
	assert_true(agents_wait(t, CANCELLED));
	assert_int_equal(t->report.n_open, 0);
	assert_true(says(t, "guest host2 gone"));
	assert_true(says(t, "definition host2 gone"));
	assert_true(says(t, "job host1 gone"));
	assert_true(says(t, "pause host1 gone"));
	finish(t);
}

/* Where the destination has refused nothing was made, and it is not asked. */
static void test_refused(void **state)
{
	struct agents_options o = { .target_memory_bytes = 256 * MIB };
	struct agents *t = agents_new(&o);

	(void)state;
	agents_add_guest(t, &large);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.n_open, 0);
	assert_true(says(t, "directory host1 gone"));
	assert_false(says(t, "host2"));
	finish(t);
}

static bool is_cleaning(void *context)
{
	const struct agents *t = context;
	const struct source_attempt *a = t->agents[0]->attempts;

	return a && a->stage >= SOURCE_CLEANING;
}

/* A destination that is silent when the move has ended is not called clean: each thing says that nobody
 * could look. When it is back and has taken its reservation back, it is looked at, and the report says
 * so, though the migration is over. */
static void test_silent(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	assert_true(agents_until(t, is_cleaning, t));
	agents_kill(t, 1);
	assert_true(agents_wait(t, DONE));
	if (t->report.n_open > 0) {
		assert_true(says(t, "lease host2 not-looked"));
		assert_true(says(t, "host2"));
		assert_true(says(t, "guest host1 gone"));
	}
	agents_start(t, 1);
	assert_true(agents_until(t, is_clean, t));
	assert_true(says(t, "lease host2 gone"));
	/* Its own view comes after the source's, and may be a step behind at first. */
	assert_true(agents_wait(t, DONE));
	finish(t);
}

/* --- gc --- */

/* The latest answer, a line each: "THING NODE OUTCOME WHAT: TEXT". */
static char collected[8192];
static bool answered;
static enum mesh_status status;

static void take_answer(const struct mesh_result *result, const Drover__V1__CollectReply *reply,
                        void *context)
{
	static const char *const outcomes[] = { "left", "removed", "would-go", "not-looked" };

	(void)context;
	answered = true;
	status = result->status;
	collected[0] = '\0';
	for (size_t i = 0; reply && i < reply->n_items; i++) {
		const Drover__V1__Garbage *g = reply->items[i];
		size_t used = strlen(collected);

		snprintf(collected + used, sizeof(collected) - used, "%s %s %s %s: %s\n", g->thing,
		         g->node, outcomes[g->outcome], g->what, g->text);
	}
}

static bool is_answered(void *context)
{
	(void)context;
	return answered;
}

static void collect_over(struct agents *t, size_t i, bool dry_run, const struct attempt_name *over)
{
	Drover__V1__CollectRequest request = DROVER__V1__COLLECT_REQUEST__INIT;
	Drover__V1__Attempt *attempt = over ? wire_attempt_new(over) : NULL;

	request.epoch = t->epoch;
	request.dry_run = dry_run;
	request.over = &attempt;
	request.n_over = over ? 1 : 0;
	answered = false;
	agent_call_collect_garbage(t->connections[i], &request, 30000, take_answer, NULL);
	assert_true(agents_until(t, is_answered, t));
	assert_int_equal(status, MESH_OK);
	wire_free(attempt);
}

static void collect(struct agents *t, size_t i, bool dry_run)
{
	collect_over(t, i, dry_run, NULL);
}

static bool has(const char *line)
{
	return strstr(collected, line) != NULL;
}

/* What cannot be removed is named, with the host, the reason and what to do; the move ends all the same. */
static void test_tunnel_stays(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	agents_set_tunnels_stay(true);
	assert_true(agents_wait(t, DONE));
	assert_true(t->report.tombstoned);
	assert_true(says(t, "directory host1 left"));
	assert_true(says(t, "directory host2 left"));
	assert_true(says(t, "drover gc host1"));
	assert_true(says(t, "drover gc host2"));
	assert_int_equal(t->report.n_open, 2);

	/* As long as it stays, gc says why. */
	collect(t, 1, false);
	assert_true(has("directory host2 left"));
	assert_true(has("the tunnel cannot be stopped"));
	agents_set_tunnels_stay(false);

	/* A dry run names it and removes nothing. */
	collect(t, 0, true);
	assert_true(has("directory host1 would-go"));
	assert_int_equal(agents_leftovers(t), 2);

	/* Then it goes, and the report of the migration that is over says so. */
	collect(t, 1, false);
	assert_true(has("directory host2 removed"));
	collect(t, 0, false);
	assert_true(has("directory host1 removed"));
	assert_int_equal(agents_leftovers(t), 0);
	assert_true(agents_until(t, is_clean, t));
	assert_int_equal(t->report.state, DONE);

	/* A second time there is nothing to do. */
	collect(t, 0, false);
	assert_string_equal(collected, "");
	collect(t, 1, false);
	assert_string_equal(collected, "");
	finish(t);
}

/* Found again by an agent that was restarted, too: it knows what is its own. */
static void test_gc_after_restart(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	agents_set_tunnels_stay(true);
	assert_true(agents_wait(t, DONE));
	agents_kill(t, 0);
	agents_kill(t, 1);
	agents_start(t, 0);
	agents_start(t, 1);
	assert_int_equal(agents_leftovers(t), 2);
	agents_set_tunnels_stay(false);
	collect(t, 0, false);
	assert_true(has("directory host1 removed"));
	collect(t, 1, false);
	assert_true(has("directory host2 removed"));
	assert_int_equal(agents_leftovers(t), 0);
	finish(t);
}

/* What a move under way has is not even spoken of, on either host, also when somebody calls its
 * reservation over: the copy stands still there. It goes on, and ends well. */
static void test_gc_while_it_moves(void **state)
{
	struct agents *t = begin(&large);
	struct attempt_name name;

	(void)state;
	assert_true(agents_wait_moving(t));
	collect(t, 0, false);
	assert_string_equal(collected, "");
	collect(t, 1, false);
	assert_string_equal(collected, "");
	assert_non_null(agents_lease(t, 1));
	name = agents_lease(t, 1)->attempt;
	collect_over(t, 1, false, &name);
	assert_true(has("lease host2 left"));
	assert_int_equal(agents_leases(t, 1), 1);
	assert_int_equal(agents_leftovers(t), 2);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(t->report.n_open, 0);
	finish(t);
}

/* A reservation whose source has ended it, and whose guest lives here, is given back. */
static void test_gc_of_a_lease(void **state)
{
	struct agents *t = begin(&large);
	struct attempt_name name;

	(void)state;
	assert_true(agents_wait_moving(t));
	name = agents_lease(t, 1)->attempt;
	assert_true(agents_until(t, is_cleaning, t));
	agents_kill(t, 0);
	if (agents_leases(t, 1) == 1) {
		collect_over(t, 1, true, &name);
		assert_true(has("lease host2 would-go"));
		assert_int_equal(agents_leases(t, 1), 1);
		collect_over(t, 1, false, &name);
		assert_true(has("lease host2 removed"));
		assert_int_equal(agents_leases(t, 1), 0);
	}
	agents_start(t, 0);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	finish(t);
}

static void make_file(const char *path)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fclose(f);
}

/* A proof of an own attempt that is over goes. One of an attempt that this host does not know may be
 * another host's, on a shared directory: it is named, and stays; and so does everything else. */
static void test_gc_of_proofs(void **state)
{
	struct vm_disk disk = {
		.target = "vda", .type = "file", .device = "disk", .format = "raw"
	};
	struct fake_guest_settings guest = large;
	struct agents_options o = { .target_memory_bytes = 256 * MIB };
	struct agents *t = agents_new(&o);
	char own[512], strange[512], half[512], text[ATTEMPT_TEXT_BYTES];

	(void)state;
	snprintf(disk.source, sizeof(disk.source), "%s/web.img", t->directory);
	make_file(disk.source);
	guest.disks = &disk;
	guest.n_disks = 1;
	agents_add_guest(t, &guest);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.n_open, 0);
	attempt_name_format(&t->agents[0]->attempts->order.attempt, text);
	snprintf(own, sizeof(own), "%s/.drover-proof-%s-vda", t->directory, text);
	snprintf(strange, sizeof(strange),
	         "%s/.drover-proof-00112233445566778899aabbccddeeff-1-vda", t->directory);
	snprintf(half, sizeof(half),
	         "%s/.drover-image-00112233445566778899aabbccddeeff-1-0123456789abcdef",
	         t->directory);
	make_file(own);
	make_file(strange);
	make_file(half);
	collect(t, 0, false);
	assert_true(has("proofs host1 removed"));
	assert_true(has("proofs host1 left"));
	assert_true(has("images host1 left"));
	assert_int_not_equal(access(own, F_OK), 0);
	assert_int_equal(access(strange, F_OK), 0);
	assert_int_equal(access(half, F_OK), 0);
	assert_int_equal(access(disk.source, F_OK), 0);
	finish(t);
}

/* A tunnel of attempt @number of an operation, by its command line; it ends with the pipe. */
static pid_t pretend_tunnel(const struct agents *t, unsigned number, int *ret_pipe)
{
	char path[256];
	int ends[2];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/attempts/op-%u/status", t->directory, number);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", "read -r line; :", "drover-tunnel", path, NULL);
		_exit(127);
	}
	close(ends[0]);
	*ret_pipe = ends[1];
	return pid;
}

static void look_for_tunnel(struct agents *t, unsigned number, struct remnants_look *look)
{
	*look = (struct remnants_look){ .hypervisor = t->hypervisors[0] };
	memcpy(look->vm_uuid, t->uuid, sizeof(look->vm_uuid));
	snprintf(look->directory, sizeof(look->directory), "%s/attempts/op-%u", t->directory,
	         number);
	remnants_look(look);
}

/* The tunnel of a tenth attempt is not that of the first. */
static void test_tunnel_of_another_attempt(void **state)
{
	struct agents *t = agents_new(NULL);
	struct remnants_look *look = xnew(struct remnants_look);
	int hold;
	pid_t pid;

	(void)state;
	agents_add_guest(t, &agents_small);
	pid = pretend_tunnel(t, 10, &hold);
	do
		look_for_tunnel(t, 10, look);
	while (look->in.sights[REMNANT_TUNNEL].sight != SIGHT_THERE);
	look_for_tunnel(t, 1, look);
	assert_int_equal(look->in.sights[REMNANT_TUNNEL].sight, SIGHT_NONE);
	close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	free(look);
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_came),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_tunnel_stays),
		cmocka_unit_test(test_gc_after_restart),
		cmocka_unit_test(test_gc_while_it_moves),
		cmocka_unit_test(test_gc_of_a_lease),
		cmocka_unit_test(test_gc_of_proofs),
		cmocka_unit_test(test_tunnel_of_another_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
