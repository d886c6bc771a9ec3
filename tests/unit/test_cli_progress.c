/* SPDX-License-Identifier: Apache-2.0 */
/* What a watcher sees of a drain: frames for terminals, lines for pipes. */
#include "tools/drover/progress.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tests/unit/cli_story.h"

#include <locale.h>
#include <string.h>

static void apply_drain(struct progress *p, struct story *t, struct screen *lines, uint64_t now_ms)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;

	change.object_case = DROVER__V1__CHANGE__OBJECT_DRAIN;
	change.drain = &t->drain;
	change.revision = ++t->drain.revision;
	progress_apply(p, &change, lines ? &lines->o : NULL, now_ms, NOW_WALL_MS);
}

static void apply_migration(struct progress *p, struct story *t, size_t i, struct screen *lines)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;

	change.object_case = DROVER__V1__CHANGE__OBJECT_MIGRATION;
	change.migration = &t->migration[i];
	change.revision = ++t->drain.revision;
	progress_apply(p, &change, lines ? &lines->o : NULL, 1000, NOW_WALL_MS);
}

static void draw(const struct progress *p, struct screen *s, size_t rows, uint64_t now_ms)
{
	struct frame frame = progress_draw(p, &s->o, rows, now_ms);

	assert_true(frame.count <= rows);
	for (size_t i = 0; i < frame.count; i++)
		fprintf(s->o.file, "%s\n", frame.lines[i]);
	frame_deinit(&frame);
}

/* Everything at a glance: the whole, who is done, who moves and how fast, who waits and for what. */
static void test_frame(void **state)
{
	struct progress *p = progress_new(7, 0);
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	t.vm[2].state = S("waiting");
	t.vm[2].reason = S("2 of 2 outbound slots of host1 in use");
	t.vm[2].migration_number = 0;
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 0, NULL);
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	draw(p, &s, 20, 3000);
	assert_screen(
		&s, "host1  ███████████████░░░░░░░░░░░░░░░  1/3 VMs   400/768 MiB   elapsed 1:03   "
		    "left ≈ 1:12\n"
		    "  ✔ web1   → host2   256 MiB    11.2 s   downtime 41 ms\n"
		    "  ▶ db1    → host3   256 MiB  ████████████░░░░░░░░  61 %  pass 3   7.8 Gbit/s "
		    "  dirty 2.1 Gbit/s   ends ≈ 0:34\n"
		    "  · cache1 → host2   256 MiB  waits: 2 of 2 outbound slots of host1 in use\n");
	screen_deinit(&s);
	progress_free(p);
}

/* A terminal that speaks ASCII only gets the same in ASCII. */
static void test_frame_ascii(void **state)
{
	struct progress *p = progress_new(7, 0);
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	t.vm[1].name = S("Prüf");
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	s.o.ascii = true;
	draw(p, &s, 20, 1000);
	assert_screen(&s, "host1  [###############---------------]  1/3 VMs   400/768 MiB   "
	                  "elapsed 1:01   left ~ 1:14\n"
	                  "  + web1      -> host2   256 MiB\n"
	                  "  > Pr\\u{fc}f -> host3   256 MiB  [############--------]  61 %  pass 3 "
	                  "  7.8 Gbit/s   dirty 2.1 Gbit/s   ends ~ 0:36\n"
	                  "  . cache1    -> host2   256 MiB  left: did not converge\n");
	screen_deinit(&s);
	progress_free(p);
}

/* The time left stands still rather than grow, and that it has grown is said; it falls again with the
 * estimate. */
static void test_time_left_never_grows(void **state)
{
	struct progress *p = progress_new(7, 0);
	struct story t;
	uint64_t age_ms = 2000;

	(void)state;
	story_init(&t);
	t.drain.eta_ms = 74000;
	apply_drain(p, &t, NULL, 1000);
	for (size_t i = 0; i < 3; i++) {
		static const uint64_t eta_ms[] = { 150000, 71000, 30000 };
		static const char *const left[] = { "left ≈ 1:12, by now rather 2:30\n",
			                            "left ≈ 1:11\n", "left ≈ 0:30\n" };
		struct screen s;

		t.drain.eta_ms = eta_ms[i];
		apply_drain(p, &t, NULL, 1000 + age_ms);
		screen_init(&s);
		draw(p, &s, 1, 1000 + age_ms);
		fflush(s.o.file);
		assert_non_null(strstr(s.text, left[i]));
		screen_deinit(&s);
	}
	/* When next to nothing is left of what was said, it is of no use any more. */
	t.drain.eta_ms = 90000;
	apply_drain(p, &t, NULL, 1000 + age_ms + 29000);
	{
		struct screen s;

		screen_init(&s);
		draw(p, &s, 1, 1000 + age_ms + 29000);
		fflush(s.o.file);
		assert_non_null(strstr(s.text, "left ≈ 1:30, longer than was said\n"));
		screen_deinit(&s);
	}
	progress_free(p);
}

/* One that is seen not to converge has no end but its give-up, in its own line with what helps, and the drain
 * has none; one whose end is later than was said says why. */
static void test_no_end_in_sight(void **state)
{
	struct progress *p = progress_new(7, 0);
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	t.drain.eta_ms = 74000;
	t.progress.later_why = S("976 Mbit/s are carried, no longer 7.8 Gbit/s");
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	draw(p, &s, 4, 1000);
	fflush(s.o.file);
	assert_non_null(strstr(s.text, "ends ≈ 0:36, later than was said: 976 Mbit/s are carried"));
	assert_non_null(strstr(s.text, "left ≈ 1:14\n"));
	screen_deinit(&s);
	t.progress.end = DROVER__V1__PREDICTION__END__GIVES_UP;
	t.progress.later_why = S("");
	t.progress.eta_ms = 159000;
	t.progress.transfer_bytes_per_s = 47875000;
	t.progress.dirty_bytes_per_s = 47000000;
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	draw(p, &s, 4, 1000);
	fflush(s.o.file);
	assert_non_null(strstr(s.text,
	                       "pass 3   does not converge at 376 Mbit/s of 383 Mbit/s: gives up "
	                       "in ≈ 2:39 unless it is helped: drover tune db1\n"));
	assert_non_null(strstr(s.text, "no end in sight: db1 does not converge\n"));
	assert_null(strstr(s.text, "left ≈"));
	screen_deinit(&s);
	/* Not for what it writes: the network is dead. */
	t.progress.later_why = S("no byte was sent for 7.0 s");
	t.progress.dirty_bytes_per_s = 1000;
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	draw(p, &s, 4, 1000);
	fflush(s.o.file);
	assert_non_null(strstr(s.text, "no byte was sent for 7.0 s: gives up in ≈ 2:39"));
	screen_deinit(&s);
	progress_free(p);
}

/* What was shown never runs backwards within an attempt; another attempt may start from nothing. */
static void test_never_backwards(void **state)
{
	struct progress *p = progress_new(7, 0);
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 1, NULL);
	t.drain.bytes_done = 1;
	t.progress.percent = 12;
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	draw(p, &s, 20, 1000);
	fflush(s.o.file);
	assert_non_null(strstr(s.text, "400/768 MiB"));
	assert_non_null(strstr(s.text, " 61 %"));
	screen_deinit(&s);
	t.migration[1].attempt_number = 2;
	apply_migration(p, &t, 1, NULL);
	screen_init(&s);
	draw(p, &s, 20, 1000);
	fflush(s.o.file);
	assert_non_null(strstr(s.text, " 12 %"));
	screen_deinit(&s);
	progress_free(p);
}

/* Fifty guests on a small screen: what moves is there, the rest is counted. */
static void test_small_screen(void **state)
{
	struct progress *p = progress_new(7, 0);
	static Drover__V1__DrainVm vm[50];
	static Drover__V1__DrainVm *vms[50];
	static char names[50][8];
	struct story t;

	(void)state;
	story_init(&t);
	for (size_t i = 0; i < 50; i++) {
		drover__v1__drain_vm__init(&vm[i]);
		snprintf(names[i], sizeof(names[i]), "vm%zu", i);
		vm[i].name = names[i];
		vm[i].uuid = names[i];
		vm[i].state = S(i < 20 ? "moved" : i < 22 ? "moving" : "waiting");
		vm[i].migration_number = i == 20 ? 102 : 0;
		vms[i] = &vm[i];
	}
	t.drain.vms = vms;
	t.drain.n_vms = 50;
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 1, NULL);
	for (size_t rows = 3; rows < 60; rows++) {
		struct screen s;

		screen_init(&s);
		draw(p, &s, rows, 1000);
		fflush(s.o.file);
		assert_non_null(strstr(s.text, "20/50 VMs"));
		assert_non_null(strstr(s.text, "vm20"));
		if (rows >= 8 && rows < 30) {
			assert_non_null(strstr(s.text, "more done"));
			assert_non_null(strstr(s.text, " more\n"));
		}
		screen_deinit(&s);
	}
	progress_free(p);
}

/* A pipe gets one line for each change of state, and none for changes of numbers. */
static void test_lines(void **state)
{
	struct progress *p = progress_new(7, 0);
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	screen_init(&s);
	t.vm[2].state = S("waiting");
	t.vm[2].reason = S("2 of 2 slots, 31 s left");
	apply_drain(p, &t, &s, 1000);
	apply_drain(p, &t, &s, 1000);
	t.vm[2].reason = S("2 of 2 slots, 30 s left");
	apply_drain(p, &t, &s, 1000);
	t.migration[0].state = DROVER__V1__MIGRATION_STATE__RUNNING;
	apply_migration(p, &t, 0, &s);
	t.progress.percent = 62;
	apply_migration(p, &t, 0, &s);
	t.migration[0].state = DROVER__V1__MIGRATION_STATE__DONE;
	apply_migration(p, &t, 0, &s);
	apply_migration(p, &t, 0, &s);
	apply_migration(p, &t, 2, &s);
	t.vm[2].state = S("blocked");
	t.vm[2].reason = S("say \"why\"\nnot");
	t.drain.state = S("blocked");
	apply_drain(p, &t, &s, 1000);
	t.vm[1].state = S("moved");
	t.vm[2].state = S("left");
	t.drain.state = S("partly");
	apply_drain(p, &t, &s, 1000);
	progress_end(p, &s.o, NOW_WALL_MS);
	assert_screen(
		&s, "2026-01-12T14:45:31Z drain/7 host1 started vms=3 memory=768MiB eta=74s\n"
		    "2026-01-12T14:45:31Z drain/7 cache1 waits reason=\"2 of 2 slots, 31 s left\"\n"
		    "2026-01-12T14:45:31Z migration/101 web1 host1->host2 started\n"
		    "2026-01-12T14:45:31Z migration/101 web1 host1->host2 done duration=11.2s "
		    "downtime=41ms bytes=300MiB guard=image-lock\n"
		    "2026-01-12T14:45:31Z migration/103 cache1 host1->host2 failed reason=\"did "
		    "not converge\"\n"
		    "2026-01-12T14:45:31Z drain/7 cache1 blocked reason=\"say \\\"why\\\"\\nnot\"\n"
		    "2026-01-12T14:45:31Z drain/7 host1 blocked\n"
		    "2026-01-12T14:45:31Z drain/7 cache1 left reason=\"say \\\"why\\\"\\nnot\"\n"
		    "2026-01-12T14:45:31Z drain/7 host1 partly moved=2 left=1 stopped=0 "
		    "duration=61s\n");
	assert_true(progress_is_over(p));
	/* Its second guest is said to have moved, but the news of that is still to come. */
	assert_false(progress_is_complete(p));
	t.migration[1].state = DROVER__V1__MIGRATION_STATE__DONE;
	apply_migration(p, &t, 1, NULL);
	assert_true(progress_is_complete(p));
	screen_deinit(&s);
	progress_free(p);
}

/* What belongs to others is not taken in, and the revision to resume from is the last seen. */
static void test_others(void **state)
{
	struct progress *p = progress_new(8, 0);
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;
	struct story t;
	size_t n;

	(void)state;
	story_init(&t);
	apply_drain(p, &t, NULL, 1000);
	apply_migration(p, &t, 0, NULL);
	assert_null(progress_find_drain(p));
	(void)progress_get_migrations(p, &n);
	assert_int_equal(n, 0);
	assert_int_equal(progress_get_revision(p), 2);
	change.revision = 1;
	progress_apply(p, &change, NULL, 1000, NOW_WALL_MS);
	assert_int_equal(progress_get_revision(p), 2);
	change.reset = true;
	progress_apply(p, &change, NULL, 1000, NOW_WALL_MS);
	assert_int_equal(progress_get_revision(p), 1);
	progress_free(p);
}

/* The first lines of a drain: what goes where, how, and how long it may take. */
static void test_plan(void **state)
{
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	screen_init(&s);
	progress_print_plan(&s.o, &t.drain, 125000000);
	assert_screen(&s, "drain/7  host1: 2 of 3 VMs, 768 MiB to move → host2 (2), host3 (1)\n"
	                  "         2 at a time, up to 1 Gbit/s each, about 1 min 14 s\n");
	screen_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_frame_ascii),
		cmocka_unit_test(test_time_left_never_grows),
		cmocka_unit_test(test_no_end_in_sight),
		cmocka_unit_test(test_never_backwards),
		cmocka_unit_test(test_small_screen),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_plan),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
