/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/sim/agents_story.h. */
#include "tests/sim/agents_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct fake_guest_settings agents_small = { .name = "web", .memory_bytes = 64 * MIB };
const struct fake_guest_settings agents_large = { .name = "db", .memory_bytes = 512 * MIB };
const struct fake_guest_settings agents_calm = { .name = "calm", .memory_bytes = 64 * MIB };
const struct fake_guest_settings agents_wild = { .name = "wild",
	                                         .memory_bytes = 64 * MIB,
	                                         .working_set_bytes = 32 * MIB,
	                                         .dirty_bytes_per_s = 2 * AGENTS_LINK_BYTES_PER_S };

void agents_add_guest_with_disk(struct agents *t, const struct fake_guest_settings *guest)
{
	struct fake_guest_settings with_disk = *guest;
	struct vm_disk disk = {
		.target = "vda", .type = "file", .device = "disk", .format = "raw"
	};
	FILE *image;

	snprintf(disk.source, sizeof(disk.source), "%s/%s.img", t->directory, guest->name);
	image = fopen(disk.source, "we");
	assert_non_null(image);
	fclose(image);
	with_disk.disks = &disk;
	with_disk.n_disks = 1;
	agents_add_guest(t, &with_disk);
}

struct agents *agents_begin(const struct fake_guest_settings *guest, struct strategy strategy,
                            bool lock_manager)
{
	struct agents_options o = { .lock_manager = lock_manager };
	struct agents *t = agents_new(&o);

	fake_world_set_link(t->world, "host1", AGENTS_LINK_BYTES_PER_S);
	t->strategy = strategy;
	agents_add_guest_with_disk(t, guest);
	return t;
}

bool agents_is_clean(void *context)
{
	struct agents *t = context;

	return agents_leftovers(t) == 0 && (!t->agents[1] || agents_leases(t, 1) == 0);
}

void agents_expect_arrived(struct agents *t)
{
	if (!agents_wait(t, DONE))
		fail_msg("%s; decided:\n%s", t->report.reason, t->report.decisions);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
}

void agents_finish(struct agents *t)
{
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	assert_true(agents_until(t, agents_is_clean, t));
	agents_free(t);
}

void agents_expect_decision(const struct agents *t, const char *text)
{
	if (!strstr(t->report.decisions, text))
		fail_msg("no \"%s\" in:\n%s", text, t->report.decisions);
}

bool agents_runs_there(void *context)
{
	return agents_state_on(context, 1) == VM_RUNNING;
}

struct agents *agents_start_post_copy(enum fake_fault fault)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                true);

	t->completion_timeout_ms_per_gib = 2000;
	fake_world_inject(t->world, t->uuid, fault);
	agents_order(t);
	assert_true(agents_until(t, agents_runs_there, t));
	return t;
}

struct delay {
	struct loop_timer timer;
	bool over;
};

static void delay_over(void *context)
{
	((struct delay *)context)->over = true;
}

static bool is_over(void *context)
{
	return ((struct delay *)context)->over;
}

void agents_let_pass(struct agents *t, uint64_t ms)
{
	struct delay d = { .timer = { .fire = delay_over } };

	d.timer.context = &d;
	loop_timer_start(t->loop, &d.timer, ms);
	assert_true(agents_until(t, is_over, &d));
}
