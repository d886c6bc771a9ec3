/* SPDX-License-Identifier: Apache-2.0 */
/* Who is sampled, when, and what is made of it: on the fake hypervisor, with seconds that the test
 * counts itself. */
#include "agent/host/dirty_rates.h"

#include "agent/hypervisor/hypervisor_fake.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 60000

static struct fake_world *world;
static struct hypervisor *host;
static struct loop *loop;
static struct courier_pool *couriers;
static struct inventory inventory;
static struct dirty_rates *rates;
static uint64_t now_ms;
static unsigned told;
static char moving[VM_UUID_BYTES];

static void measured(const char *uuid, void *context)
{
	(void)uuid;
	(void)context;
	told++;
}

static bool moves(const char *uuid, void *context)
{
	(void)context;
	return strcmp(uuid, moving) == 0;
}

static int set_up(void **state)
{
	struct inventory_callbacks none = { 0 };

	(void)state;
	world = fake_world_new();
	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host1" });
	host = hypervisor_fake_new(world, "host1");
	loop = loop_new();
	couriers = courier_pool_new(loop, 2);
	inventory_init(&inventory, host, couriers, &none);
	rates = dirty_rates_new(host, loop, measured, NULL);
	now_ms = 1000000;
	told = 0;
	moving[0] = '\0';
	return 0;
}

/* QEMUs that do not answer, until the test lets them. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static unsigned held, most_held;

static void let_go(void)
{
	pthread_mutex_lock(&gate);
	open_gate = true;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&gate);
}

static int tear_down(void **state)
{
	(void)state;
	let_go();
	courier_pool_free(couriers);
	dirty_rates_stop(rates);
	inventory.couriers = NULL;
	(void)loop_run_until(loop, 10, NULL, NULL);
	dirty_rates_free(rates);
	inventory_deinit(&inventory);
	loop_free(loop);
	host->ops->free(host);
	fake_world_free(world);
	return 0;
}

static bool is_read(void *context)
{
	return inventory.readings >= *(const uint64_t *)context;
}

static void list(void)
{
	uint64_t wanted = inventory.readings + 1;

	inventory_refresh(&inventory);
	assert_true(loop_run_until(loop, PATIENCE_MS, is_read, &wanted));
}

/* A second of everybody's time; what was asked is answered within it, or a little later. */
static void pass(unsigned seconds)
{
	while (seconds--) {
		now_ms += 1000;
		fake_world_advance(world, 1000);
		dirty_rates_tick(rates, &inventory, moves, NULL, now_ms);
		(void)loop_run_until(loop, 5, NULL, NULL);
	}
}

/* Until that guest's window has so many samples. */
static const struct dirty_window *wait_for(const char *uuid, size_t window, uint32_t samples)
{
	for (unsigned i = 0; i < 2000; i++) {
		const struct memory_use *use = dirty_rates_find(rates, uuid);

		if (use && use->windows[window].samples >= samples)
			return &use->windows[window];
		pass(1);
	}
	fail_msg("window %zu of %s has not %u samples after %u s", window, uuid, samples, 2000);
	return NULL;
}

static void add(const char *name, uint64_t bytes_per_s, uint64_t working_set, char *ret_uuid)
{
	fake_world_add_guest(world, "host1",
	                     &(struct fake_guest_settings){ .name = name,
	                                                    .memory_bytes = GIB,
	                                                    .working_set_bytes = working_set,
	                                                    .dirty_bytes_per_s = bytes_per_s },
	                     ret_uuid);
}

/* Each window finds what is written in it; a hot set is as large in each; errors shrink with samples. */
static void test_windows(void **state)
{
	const struct dirty_window *w;
	char steady[VM_UUID_BYTES], hot[VM_UUID_BYTES];
	uint64_t error;

	(void)state;
	add("steady", 10 * MIB, 900 * MIB, steady);
	add("hot", 200 * MIB, 64 * MIB, hot);
	list();
	assert_null(dirty_rates_find(rates, steady));
	w = wait_for(steady, 2, 1);
	assert_int_equal(w->seconds, 16);
	assert_int_equal(w->bytes, (160 + 7) * MIB);
	assert_int_equal(wait_for(steady, 0, 1)->bytes, 10 * MIB);
	assert_int_equal(wait_for(steady, 1, 1)->bytes, (40 + 1) * MIB);
	assert_int_equal(wait_for(hot, 2, 1)->bytes, (64 + 7) * MIB);
	assert_int_equal(wait_for(hot, 0, 1)->bytes, 64 * MIB);
	assert_int_equal(dirty_rates_find(rates, hot)->touched_bytes, GIB - 40 * MIB);
	assert_true(told >= 4);
	error = w->error_bytes;
	assert_true(error > 0);
	w = wait_for(steady, 2, 4);
	assert_true(w->error_bytes < error);
	assert_true(now_ms - w->at_ms < 3000);
}

/* A guest that moves is not sampled, and what was being sampled when it began to is thrown away. */
static void test_never_while_it_moves(void **state)
{
	char uuid[VM_UUID_BYTES];

	(void)state;
	add("mover", 10 * MIB, 500 * MIB, uuid);
	list();
	memcpy(moving, uuid, sizeof(moving));
	pass(30);
	assert_null(dirty_rates_find(rates, uuid));
	moving[0] = '\0';
	pass(2);
	memcpy(moving, uuid, sizeof(moving));
	pass(30);
	assert_int_equal(dirty_rates_find(rates, uuid)->windows[0].samples, 0);
	assert_int_equal(told, 0);
	moving[0] = '\0';
	(void)wait_for(uuid, 2, 1);
}

/* One that is paused or shut off is left alone, and one that has gone is forgotten. */
static void test_only_those_that_run(void **state)
{
	char uuid[VM_UUID_BYTES];
	struct error err;

	(void)state;
	add("sleeper", 10 * MIB, 500 * MIB, uuid);
	assert_int_equal(host->ops->suspend(host, uuid, &err), 0);
	list();
	pass(10);
	assert_null(dirty_rates_find(rates, uuid));
	assert_int_equal(host->ops->resume(host, uuid, &err), 0);
	list();
	(void)wait_for(uuid, 0, 1);
	fake_world_kill_guest(world, "host1", uuid);
	list();
	pass(60);
	assert_null(dirty_rates_find(rates, uuid));
}

static bool is_sampling(const char *uuid)
{
	struct vm_dirty_rate rate;

	return host->ops->dirty_rate(host, uuid, &rate, NULL) == 0 && rate.measuring;
}

/* However many guests there are, only so many are sampled at a time, and none is forgotten. */
static void test_few_at_a_time(void **state)
{
	char uuids[24][VM_UUID_BYTES];
	unsigned most = 0;

	(void)state;
	for (size_t i = 0; i < 24; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%zu", i);
		add(name, MIB * i, 500 * MIB, uuids[i]);
	}
	list();
	for (unsigned s = 0; s < 400; s++) {
		unsigned busy = 0;

		pass(1);
		for (size_t i = 0; i < 24; i++)
			busy += is_sampling(uuids[i]);
		if (busy > most)
			most = busy;
	}
	assert_in_range(most, 1, DIRTY_RATES_AT_A_TIME);
	for (size_t i = 0; i < 24; i++)
		assert_int_equal(wait_for(uuids[i], 0, 1)->bytes, MIB * i);
}

/* A hypervisor that cannot tell: the reason is kept, nothing is invented, and it is asked again. */
static void test_failure_is_told(void **state)
{
	const struct memory_use *use = NULL;
	char uuid[VM_UUID_BYTES];

	(void)state;
	add("mute", 10 * MIB, 500 * MIB, uuid);
	list();
	fake_world_set_libvirtd(world, "host1", FAKE_LIBVIRTD_DOWN);
	for (unsigned i = 0; i < 200 && !(use && use->problem[0]); i++) {
		pass(1);
		use = dirty_rates_find(rates, uuid);
	}
	assert_true(use->problem[0]);
	assert_int_equal(use->windows[0].samples, 0);
	assert_int_equal(told, 1);
	fake_world_set_libvirtd(world, "host1", FAKE_LIBVIRTD_UP);
	(void)wait_for(uuid, 0, 1);
	assert_string_equal(dirty_rates_find(rates, uuid)->problem, "");
}

static int hang(struct hypervisor *h, const char *uuid, uint32_t window_s, struct error *err)
{
	(void)h;
	pthread_mutex_lock(&gate);
	if (++held > most_held)
		most_held = held;
	while (!open_gate)
		pthread_cond_wait(&opened, &gate);
	held--;
	pthread_mutex_unlock(&gate);
	return error_set(err, ERROR_BUSY, "guest %s: no %u s were sampled", uuid, window_s);
}

static unsigned count_held(void)
{
	unsigned n;

	pthread_mutex_lock(&gate);
	n = held;
	pthread_mutex_unlock(&gate);
	return n;
}

/* QEMUs that hang hold one thread, of the sampling itself; whoever else asks is answered. */
static void test_hanging_holds_nobody_else(void **state)
{
	const struct hypervisor_ops *ops = host->ops;
	static struct hypervisor_ops hanging; /* also when this test ends early */
	char uuids[2 * DIRTY_RATES_AT_A_TIME][VM_UUID_BYTES];

	(void)state;
	hanging = *ops;
	open_gate = false;
	hanging.start_dirty_rate = hang;
	host->ops = &hanging;
	for (size_t i = 0; i < ARRAY_SIZE(uuids); i++) {
		char name[16];

		snprintf(name, sizeof(name), "hung%zu", i);
		add(name, MIB, 500 * MIB, uuids[i]);
	}
	list();
	for (unsigned i = 0; i < 6000 && !count_held(); i++)
		pass(1);
	assert_int_equal(count_held(), 1);
	pass(20);
	/* As often as there are threads for it. */
	list();
	list();
	assert_int_equal(most_held, 1);

	/* Nor a stop: it says that one is out. */
	assert_false(dirty_rates_stop(rates));
	let_go();
	for (unsigned i = 0; i < 6000 && !told; i++)
		pass(1);
	assert_true(told > 0);
	assert_true(dirty_rates_stop(rates));
	assert_int_equal(most_held, 1);
	host->ops = ops;
}

/* What one sample is worth: 128 pages of 256 MiB; where none was found, about one may hide. */
static void test_error_of_a_sample(void **state)
{
	double none = dirty_rates_error_bytes(256 * MIB, 1, 0);

	(void)state;
	assert_true(none > 1.9 * (double)MIB && none < 2.5 * (double)MIB);
	assert_true(dirty_rates_error_bytes(256 * MIB, 1, 128 * (double)MIB) > 10 * (double)MIB);
	assert_true(dirty_rates_error_bytes(64 * GIB, 1, GIB) < 0.2 * (double)GIB);
	assert_true(dirty_rates_error_bytes(0, 1, 1e9) >= 0);
}

/* What is rounded down to whole MiB/s is given back its middle: on the average nothing is lost. */
static void test_rounding_costs_nothing(void **state)
{
	(void)state;
	for (uint32_t seconds = 1; seconds <= 16; seconds *= 4) {
		double lost = 0;
		unsigned n = 0;

		for (unsigned pages = 16; pages < 16 + 10 * 16; pages++, n++) {
			double bytes = (double)pages * 2 * (double)MIB;
			uint64_t told_mib_per_s = (uint64_t)(bytes / (double)MIB / seconds);

			lost += bytes - dirty_rates_bytes(told_mib_per_s * MIB, seconds);
		}
		assert_true(lost / n < 0.01 * (double)MIB && lost / n > -0.01 * (double)MIB);
		assert_true(dirty_rates_bytes(0, seconds) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_windows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_never_while_it_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_those_that_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_few_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hanging_holds_nobody_else, set_up, tear_down),
		cmocka_unit_test(test_error_of_a_sample),
		cmocka_unit_test(test_rounding_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
