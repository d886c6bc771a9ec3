/* SPDX-License-Identifier: Apache-2.0 */
/* What past migrations teach: a constant error goes, the interval covers what comes, and nothing is
 * forgotten with a restart. The core's part of it: predictions made, kept, learnt from. */
#include "coordinator/core/predict/calibration.h"

#include "common/units.h"
#include "coordinator/core/predict/predict.h"
#include "tests/unit/core_world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned seed = 7;

static double draw(double from, double to)
{
	return from + (to - from) * ((double)rand_r(&seed) / RAND_MAX);
}

/* About normal, of that deviation. */
static double noise(double deviation)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += draw(-0.5, 0.5);
	return sum * deviation;
}

static struct prediction model(double transfer_s)
{
	struct prediction p = { .end = PREDICTION_CONVERGES, .certain = true, .high_known = true };

	p.transfer_ms = (uint64_t)(transfer_s * 1000);
	p.transfer_low_ms = p.transfer_ms * 97 / 100;
	p.transfer_high_ms = p.transfer_ms * 103 / 100;
	p.expected_ms = p.transfer_ms + PREDICTION_OVERHEAD_MS;
	p.low_ms = p.transfer_low_ms + PREDICTION_OVERHEAD_MS;
	p.high_ms = p.transfer_high_ms + PREDICTION_OVERHEAD_MS;
	return p;
}

/* A path that takes 19 % longer than the model says and 4 s around it: after a dozen migrations the mean
 * error is down to the noise, and the interval holds nine of ten of those that follow. */
static void test_constant_error_goes(void **state)
{
	struct calibration c = { 0 };
	double early = 0, late = 0;
	unsigned within = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct prediction p = model(draw(1, 40));
		double actual = (4 + 1.19 * (double)p.transfer_ms / 1000) * exp(noise(0.05)), error;

		calibration_apply(&c, NULL, &p);
		error = fabs((double)p.expected_ms / 1000 / actual - 1);
		if (i < 4)
			early += error / 4;
		if (i >= 12) {
			late += error / 288;
			within += actual * 1000 >= (double)p.low_ms &&
			          actual * 1000 <= (double)p.high_ms;
		}
		calibration_take(&c, NULL, &p, (uint64_t)(actual * 1000));
	}
	print_message("mean error %.1f %% at first, %.1f %% later; %u of 288 within\n", early * 100,
	              late * 100, within);
	assert_true(early > 0.07);
	assert_true(late < 0.06);
	assert_true(within >= 288 * 9 / 10);
}

/* A pair without any experience of its own begins with that of all pairs, and then has its own. */
static void test_general_experience(void **state)
{
	struct calibration general = { 0 }, own = { 0 };
	struct prediction p;
	uint64_t overhead_ms;
	uint32_t ratio;

	(void)state;
	for (int i = 0; i < 30; i++) {
		p = model(2 + i % 10);
		calibration_take(&general, NULL, &p, p.transfer_ms * 3 / 2 + 1000);
	}
	calibration_read(NULL, &general, &overhead_ms, &ratio);
	assert_in_range(ratio, 1400, 1600);
	assert_in_range(overhead_ms, 700, 1300);
	p = model(10);
	calibration_apply(NULL, &general, &p);
	assert_in_range(p.expected_ms, 15000, 17000);
	for (int i = 0; i < 30; i++) {
		p = model(2 + i % 10);
		calibration_take(&own, &general, &p, p.transfer_ms + 500);
	}
	p = model(10);
	calibration_apply(&own, &general, &p);
	assert_in_range(p.expected_ms, 10000, 11500);
}

/* Nonsense in, nothing out: no division by zero, no negative time, no interval that excludes itself. */
static void test_odd_figures(void **state)
{
	struct calibration c = { 0 };
	struct prediction nothing = { 0 };

	(void)state;
	calibration_take(&c, NULL, &nothing, 0);
	calibration_take(&c, NULL, &nothing, 1000);
	assert_int_equal(c.count, 0);
	calibration_apply(&c, NULL, &nothing);
	assert_int_equal(nothing.expected_ms, 0);
	for (int i = 0; i < 3000; i++) {
		struct prediction p = model(draw(0, 1) < 0.1 ? 0 : draw(0, 1000));

		p.transfer_low_ms = draw(0, 1) < 0.1 ? 0 : p.transfer_low_ms;
		p.high_known = draw(0, 1) < 0.8;
		calibration_apply(&c, NULL, &p);
		assert_true(p.low_ms <= p.expected_ms);
		assert_true(!p.high_known || p.high_ms >= p.expected_ms);
		assert_true(p.high_known || !p.high_ms);
		calibration_take(&c, NULL, &p, 1 + (uint64_t)(pow(10, draw(0, 8))));
	}
}

/* --- the core --- */

static const char *const two[] = { "web1", "db1" };

static struct vm_state measured(const char *name, uint64_t memory_mib, uint64_t rate)
{
	struct vm_state vm = core_world_vm(name, memory_mib);

	vm.memory_use.touched_bytes = memory_mib * MIB * 3 / 4;
	vm.memory_use.n_windows = 2;
	vm.memory_use.windows[0] = (struct memory_window){ 1, 3, rate, rate / 20, 0 };
	vm.memory_use.windows[1] = (struct memory_window){ 4, 3, 4 * rate, 4 * rate / 20, 0 };
	return vm;
}

static struct core_world *two_hosts(uint64_t rate)
{
	struct core_world *world = core_world_new();
	struct vm_state vm = measured("web1", 1024, rate);

	core_world_host(world, "host1", 8192, two, 2);
	core_world_host(world, "host2", 8192, NULL, 0);
	core_world_see(world, "host1", &vm);
	core_world_forget(world);
	return world;
}

static const struct migration *finish(struct core_world *world, uint64_t number, uint64_t took_ms)
{
	struct attempt_report report = core_world_attempt(world, number, MIGRATION_DONE);
	struct event event = { .kind = EVENT_ATTEMPT };

	report.duration_ms = took_ms;
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	return fleet_find_migration(world->fleet, number);
}

/* A prediction is made when a migration begins, stays with its record, and is what was learnt from. */
static void test_kept_and_learnt(void **state)
{
	struct core_world *world = two_hosts(10 * MIB);
	struct prediction first;
	const struct migration *m;

	(void)state;
	core_world_migrate(world, "web1", "host2");
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.prediction.end, PREDICTION_CONVERGES);
	assert_in_range(m->kept.prediction.expected_ms, 5000, 20000);
	assert_in_range(m->kept.prediction.dirty_bytes_per_s, 9 * MIB, 11 * MIB);
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	first = m->kept.prediction;
	m = finish(world, 1, first.expected_ms * 2);
	assert_int_equal(m->kept.state, MIGRATION_DONE);
	assert_int_equal(m->kept.prediction.expected_ms, first.expected_ms);

	/* The next one of that pair is thought to take longer; and so it is after a restart. */
	core_world_migrate(world, "db1", "host2");
	m = fleet_find_migration(world->fleet, 2);
	assert_int_equal(m->kept.prediction.end, PREDICTION_UNKNOWN);
	assert_false(m->kept.prediction.high_known);
	core_world_free(world);
}

/* After a restart the records teach the same again. */
static void test_learnt_again_after_a_restart(void **state)
{
	struct migration_record past[8];
	struct store_contents contents = { .epoch = 3, .migrations = past, .n_migrations = 8 };
	struct core_world *world;
	struct prediction before = { 0 }, after = { 0 };
	struct vm_state vm = measured("web1", 1024, MIB);
	const struct predict_question none = { 0 };

	(void)state;
	memset(past, 0, sizeof(past));
	for (size_t i = 0; i < 8; i++) {
		past[i].number = i + 1;
		past[i].attempt.operation.bytes[0] = (uint8_t)(i + 1);
		past[i].attempt.number = 1;
		past[i].state = past[i].report.state = MIGRATION_DONE;
		past[i].prediction = model(5 + (double)i);
		past[i].report.duration_ms = past[i].prediction.expected_ms * 2;
		text_copy(past[i].vm_uuid, sizeof(past[i].vm_uuid), "u");
		text_copy(past[i].source, sizeof(past[i].source), "host1");
		text_copy(past[i].target, sizeof(past[i].target), "host2");
	}
	contents.last_migration_number = 8;
	for (int learnt = 0; learnt < 2; learnt++) {
		struct predict_question q = none;
		struct migration_settings settings = { 0 };
		struct prediction *p = learnt ? &after : &before;
		struct vm *guest;
		struct error err;

		if (!learnt)
			contents.n_migrations = 0;
		else
			contents.n_migrations = 8;
		world = core_world_load(&contents);
		core_world_host(world, "host1", 8192, two, 1);
		core_world_host(world, "host2", 8192, NULL, 0);
		core_world_see(world, "host1", &vm);
		assert_int_equal(fleet_get_vm(world->fleet, "web1", &guest, &err), 0);
		q.source = fleet_find_node(world->fleet, "host1");
		q.target = fleet_find_node(world->fleet, "host2");
		q.settings = &settings;
		predict_vm(world->fleet, guest, &q, world->now_ms, p);
		core_world_free(world);
	}
	assert_int_equal(before.transfer_ms, after.transfer_ms);
	assert_in_range(after.expected_ms, before.expected_ms * 3 / 2, before.expected_ms * 5 / 2);
}

/* A guest that has just moved is predicted by what was measured where it was. */
static void test_measurements_move_along(void **state)
{
	struct core_world *world = two_hosts(10 * MIB);
	struct vm_state vm = core_world_vm("web1", 1024);
	struct vm *guest;
	struct error err;

	(void)state;
	core_world_see(world, "host2", &vm);
	core_world_unsee(world, "host1", "web1");
	assert_int_equal(fleet_get_vm(world->fleet, "web1", &guest, &err), 0);
	assert_string_equal(guest->node->kept.name, "host2");
	assert_int_equal(guest->memory_use.n_windows, 2);
	core_world_free(world);
}

/* The time that a second guest is thought to take beside a first one with @left_ms to go. */
static uint64_t beside(bool shortest_first, uint64_t left_ms)
{
	struct core_world *world = two_hosts(MIB);
	struct vm_state small = measured("db1", 256, MIB / 8);
	struct event event = { .kind = EVENT_ATTEMPT };
	struct attempt_report report;
	uint64_t ms;

	world->fleet->options.settings.shortest_first = shortest_first;
	core_world_see(world, "host1", &small);
	core_world_migrate(world, "web1", "host2");
	report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	report.progress.eta_known = true;
	report.progress.eta_ms = left_ms;
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	core_world_migrate(world, "db1", "host2");
	ms = fleet_find_migration(world->fleet, 2)->kept.prediction.expected_ms;
	core_world_free(world);
	return ms;
}

/* One that is out sooner has the link, and one that is not waits as long as with equal shares. */
static void test_lanes(void **state)
{
	uint64_t fair = beside(false, 60000);

	(void)state;
	assert_int_equal(beside(false, 100), fair);
	assert_int_equal(beside(true, 100), fair);
	assert_in_range(beside(true, 60000), 1, fair * 4 / 5);
}

/* The interval of a large guest while small ones of its drain wait, who will go before it. */
static uint64_t high_of_large(size_t small)
{
	struct core_world *world = core_world_new();
	struct vm_state large = measured("large", 4096, MIB);
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	const struct prediction *p;
	char name[16];
	uint64_t ms;

	core_world_host(world, "host1", 16384, NULL, 0);
	core_world_host(world, "host2", 16384, NULL, 0);
	core_world_see(world, "host1", &large);
	for (size_t i = 0; i < small; i++) {
		struct vm_state vm;

		snprintf(name, sizeof(name), "small%zu", i);
		vm = measured(name, 512, MIB / 8);
		core_world_see(world, "host1", &vm);
	}
	world->fleet->options.settings.shortest_first = true;
	core_world_forget(world);
	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.parallel = 2;
	core_world_step(world, &event);
	p = NULL;
	for (const struct migration *m = world->fleet->active; m; m = m->next_active) {
		if (strcmp(m->kept.vm_name, "large") == 0)
			p = &m->kept.prediction;
	}
	ms = p && p->high_known ? p->high_ms : 0;
	assert_true(ms);
	core_world_free(world);
	return ms;
}

/* Smaller ones of the same drain that come while it runs overtake it: its bad end knows them, and that nobody is
 * held for longer than twice its own time. */
static void test_overtaken(void **state)
{
	uint64_t alone_ms = high_of_large(0), with_one = high_of_large(1);
	uint64_t with_two = high_of_large(2);

	(void)state;
	assert_true(with_one > alone_ms);
	assert_true(with_two > with_one);
	assert_true(with_two < 4 * alone_ms);
}

/* How long a move took that was held for others says nothing of its way. */
static void test_held_teaches_nothing(void **state)
{
	struct migration_record m = { .state = MIGRATION_DONE,
		                      .source = "host1",
		                      .target = "host2" };
	struct core_world *world = two_hosts(MIB);
	struct predict_question q = { 0 };
	struct migration_settings settings = { 0 };
	struct prediction before, after, learnt;
	struct vm *guest;
	struct error err;

	(void)state;
	assert_int_equal(fleet_get_vm(world->fleet, "web1", &guest, &err), 0);
	q.source = fleet_find_node(world->fleet, "host1");
	q.target = fleet_find_node(world->fleet, "host2");
	q.settings = &settings;
	predict_vm(world->fleet, guest, &q, world->now_ms, &before);
	m.prediction = before;
	m.report.state = MIGRATION_DONE;
	m.report.duration_ms = before.expected_ms * 3;
	m.report.held_ms = before.expected_ms;
	for (unsigned i = 0; i < 8; i++)
		predict_learn(world->fleet, &m);
	predict_vm(world->fleet, guest, &q, world->now_ms, &after);
	assert_int_equal(after.expected_ms, before.expected_ms);
	m.report.held_ms = 0;
	for (unsigned i = 0; i < 8; i++)
		predict_learn(world->fleet, &m);
	predict_vm(world->fleet, guest, &q, world->now_ms, &learnt);
	assert_true(learnt.expected_ms > before.expected_ms);
	core_world_free(world);
}

/* What arrives though it may not, or was expected not to, tells of the guest; the pair of hosts learns nothing. */
static void test_uncertain_teaches_nothing(void **state)
{
	struct migration_record m = { .state = MIGRATION_DONE,
		                      .source = "host1",
		                      .target = "host2" };
	struct core_world *world = two_hosts(MIB);
	struct migration_settings settings = { 0 };
	struct predict_question q = { .settings = &settings };
	struct prediction before, after;
	struct vm *guest;
	struct error err;

	(void)state;
	assert_int_equal(fleet_get_vm(world->fleet, "web1", &guest, &err), 0);
	q.source = fleet_find_node(world->fleet, "host1");
	q.target = fleet_find_node(world->fleet, "host2");
	predict_vm(world->fleet, guest, &q, world->now_ms, &before);
	m.report.state = MIGRATION_DONE;
	m.prediction = before;
	m.report.duration_ms = before.expected_ms * 3;
	for (int i = 0; i < 2; i++) {
		m.prediction.certain = i == 1;
		m.prediction.end = i == 1 ? PREDICTION_GIVES_UP : PREDICTION_CONVERGES;
		for (unsigned k = 0; k < 8; k++)
			predict_learn(world->fleet, &m);
		predict_vm(world->fleet, guest, &q, world->now_ms, &after);
		assert_int_equal(after.expected_ms, before.expected_ms);
		assert_int_equal(after.high_ms, before.high_ms);
	}
	core_world_free(world);
}

/* Where the model itself was unsure an error is its own, and a hit no proof: the line and the spread stay. */
static void test_wide_intervals_teach_little(void **state)
{
	struct prediction p[2], shown;

	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct calibration c = { 0 };

		for (unsigned i = 0; i < 10; i++) {
			shown = model(10);
			if (wide) {
				shown.transfer_low_ms = 2000;
				shown.transfer_high_ms = 50000;
			}
			calibration_take(&c, NULL, &shown, 18000);
		}
		p[wide] = model(10);
		calibration_apply(&c, NULL, &p[wide]);
	}
	assert_in_range(p[0].expected_ms, 17000, 19000);
	assert_in_range(p[1].expected_ms, 12000, 15000);
	/* Not narrower than before there was any. */
	shown = model(10);
	calibration_apply(NULL, NULL, &shown);
	assert_true((double)p[1].high_ms / (double)p[1].expected_ms >
	            0.9 * (double)shown.high_ms / (double)shown.expected_ms);
}

/* One that is given up after a minute, or arrives after five seconds: a path that takes twice as long arrives
 * later, and is given up when it was. */
static void test_ends_of_two_kinds(void **state)
{
	struct prediction p = { .end = PREDICTION_GIVES_UP,
		                .low_end = PREDICTION_CONVERGES,
		                .high_end = PREDICTION_GIVES_UP,
		                .high_known = true,
		                .transfer_ms = 60000,
		                .transfer_low_ms = 5000,
		                .transfer_high_ms = 60000,
		                .expected_ms = 62000 };
	struct prediction slow = p;
	struct calibration c = { 0 };

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct prediction shown = model(1 + i);

		calibration_take(&c, NULL, &shown, 2000 * (1 + i) + 2000);
	}
	calibration_apply(NULL, NULL, &p);
	calibration_apply(&c, NULL, &slow);
	assert_in_range(p.low_ms, 6000, 7000);
	assert_in_range(slow.low_ms, 10500, 12500);
	assert_in_range(p.expected_ms, 61500, 62500);
	assert_in_range(slow.expected_ms, 61000, 63000);
	assert_in_range(slow.high_ms, 62000, 80000);
}

/* One that does not converge: at which bandwidth it would, and which flags help, but none that is given. */
static void test_help(void **state)
{
	struct prediction p = { .end = PREDICTION_GIVES_UP,
		                .expected_ms = 1,
		                .enough_bytes_per_s = 125000000,
		                .bandwidth_bytes_per_s = 12500000 };
	struct migration_settings s = { 0 };
	char text[PREDICT_TEXT_BYTES];

	(void)state;
	assert_string_equal(
		predict_help(&p, &s, text),
		"it would converge from 1 Gbit/s on (100 Mbit/s are there); what helps: "
		"--allow-auto-converge, --allow-post-copy, --allow-pause");
	s.strategy.allow_auto_converge = true;
	assert_non_null(
		strstr(predict_help(&p, &s, text), "helps: --allow-post-copy, --allow-pause"));
	p.enough_bytes_per_s = 1;
	assert_non_null(strstr(predict_help(&p, &s, text), "--completion-timeout"));
	p.end = PREDICTION_CONVERGES;
	assert_string_equal(predict_help(&p, &s, text), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constant_error_goes),
		cmocka_unit_test(test_general_experience),
		cmocka_unit_test(test_odd_figures),
		cmocka_unit_test(test_kept_and_learnt),
		cmocka_unit_test(test_learnt_again_after_a_restart),
		cmocka_unit_test(test_measurements_move_along),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_held_teaches_nothing),
		cmocka_unit_test(test_uncertain_teaches_nothing),
		cmocka_unit_test(test_wide_intervals_teach_little),
		cmocka_unit_test(test_ends_of_two_kinds),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
