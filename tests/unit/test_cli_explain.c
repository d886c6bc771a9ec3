/* SPDX-License-Identifier: Apache-2.0 */
/* What `explain` says, from messages to text: a guest's checks everywhere, a migration from what it was
 * allowed to what is left of it. The texts below are what the screen shows. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/cli_story.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What is said of it; ends with screen_deinit. */
static void explain(struct screen *s, const Drover__V1__Explanation *e)
{
	screen_init(s);
	explanation_print(&s->o, "asked/for", e);
	fflush(s->o.file);
}

/* As explain(), of the first migration of that story. */
static void explain_moved(struct screen *s, struct story *t)
{
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;

	e.subject = S("migration/101");
	e.migration = &t->migration[0];
	explain(s, &e);
}

/* A plan: whether it holds, how good it is, why there and why then; one that holds no more says why. */
static void test_explain_plan(void **state)
{
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Plan plan = DROVER__V1__PLAN__INIT;
	Drover__V1__PlanBound bound = DROVER__V1__PLAN_BOUND__INIT;
	char *changes[] = { S("db1 does not run on host1 any more") };
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	plan.id = S("5f1d9c02a77be340");
	plan.made_wall_ms = NOW_WALL_MS;
	plan.holds = true;
	plan.drain = &t.drain;
	bound.planned_ms = 41000;
	bound.least_ms = 40000;
	bound.critical = S("out");
	bound.node = S("host1");
	t.drain.bound = &bound;
	t.drain.node = S("host1,host9");
	t.drain.n_vms = 1;
	t.drain.eta_ms = 42000;
	t.drain.eta_low_ms = 38000;
	t.drain.eta_high_ms = 51000;
	t.drain.eta_known = true;
	t.vm[0].state = S("waiting");
	t.vm[0].node = S("host1");
	t.vm[0].order = 1;
	t.vm[0].why = S("the only one that could take it; 2 GiB left there");
	t.vm[0].turn_why = S("at once; the last that leaves host1");
	e.subject = S("plan/5f1d9c02a77be340");
	e.plan = &plan;
	explain(&s, &e);
	assert_non_null(strstr(s.text, "plan/5f1d9c02a77be340\n  made           2026-01-12T"));
	assert_non_null(strstr(s.text, "  holds          yes: "));
	assert_non_null(strstr(s.text, "drover drain host1 host9 --plan 5f1d9c02a77be340\n"));
	assert_non_null(strstr(s.text, "(9 of 10: 38.0 s to 51.0 s)"));
	assert_non_null(strstr(s.text, "41.0 s as scheduled, and no order needs less than 40.0 s: "
	                               "102 % of the physical bound\n"));
	assert_non_null(strstr(s.text, "the link out of host1 decides: the critical one\n"));
	assert_non_null(strstr(s.text, "\n1. web1  host1 → host2\n"));
	assert_non_null(strstr(s.text, "  why there      the only one that could take it"));
	assert_non_null(strstr(s.text, "  why then       at once; the last that leaves host1\n"));
	screen_deinit(&s);
	plan.holds = false;
	plan.changes = changes;
	plan.n_changes = 1;
	explain(&s, &e);
	assert_non_null(strstr(s.text, "  holds          NO: it would be refused, since then\n"
	                               "                 db1 does not run on host1 any more\n"));
	assert_null(strstr(s.text, "--plan 5f1d9c02a77be340"));
	screen_deinit(&s);
}

/* Nodes that were not asked are told of together, by the reason. */
static void test_explain_many(void **state)
{
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Explanation__Target all[3000], *targets[ARRAY_SIZE(all)];
	char names[ARRAY_SIZE(all)][12];
	struct screen s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		drover__v1__explanation__target__init(&all[i]);
		snprintf(names[i], sizeof(names[i]), "host%zu", i + 1);
		all[i].node = names[i];
		all[i].reason = i % 1000 == 1 ? S("cordoned: odd noises")
		                              : S("others have more room");
		targets[i] = &all[i];
	}
	e.targets = targets;
	e.n_targets = ARRAY_SIZE(all);
	screen_init(&s);
	explanation_print(&s.o, "vm/web1", &e);
	assert_screen(&s, "vm/web1\n"
	                  "\n"
	                  "host1, host3, host4 and 2994 more: not asked\n"
	                  "  others have more room\n"
	                  "\n"
	                  "host2, host1002, host2002: not asked\n"
	                  "  cordoned: odd noises\n");
	screen_deinit(&s);
}

/* explain vm: every node with every check; numbers, verdict, what to do. */
static void test_explain_vm(void **state)
{
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;
	Drover__V1__Explanation__Target a = DROVER__V1__EXPLANATION__TARGET__INIT;
	Drover__V1__Explanation__Target b = DROVER__V1__EXPLANATION__TARGET__INIT;
	Drover__V1__Explanation__Target *targets[] = { &a, &b };
	Drover__V1__Setting setting = DROVER__V1__SETTING__INIT;
	Drover__V1__Setting *settings[] = { &setting };
	Drover__V1__Check failed = DROVER__V1__CHECK__INIT;
	Drover__V1__Check *failed_checks[] = { &failed };
	char *lines[] = { S("runs on host1 since 2 h") };
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	e.subject = S("vm/web1");
	e.lines = lines;
	e.n_lines = 1;
	e.targets = targets;
	e.n_targets = 2;
	e.settings = settings;
	e.n_settings = 1;
	a.node = S("host2");
	a.fits = true;
	a.guard = DROVER__V1__GUARD__GUARD_IMAGE_LOCK;
	a.checks = t.checks;
	a.n_checks = 2;
	b.node = S("host3");
	b.checks = failed_checks;
	b.n_checks = 1;
	failed.id = S("port");
	failed.verdict = DROVER__V1__CHECK__VERDICT__FAIL;
	failed.measured = S("49152 is held by process 4711 (nc)");
	failed.required = S("1 free port of 49152-49153");
	failed.remedy = S("stop process 4711");
	setting.name = S("progressTimeout");
	setting.value = S("150 s");
	setting.from = S("built-in default");
	explain(&s, &e);
	assert_screen(&s,
	              "vm/web1\n"
	              "  runs on host1 since 2 h\n"
	              "\n"
	              "host2: yes   guard against running twice: image lock\n"
	              "  CHECK   VERDICT  MEASURED      REQUIRED\n"
	              "  memory  pass     704 MiB free  320 MiB: 256 MiB RAM + 64 MiB overhead\n"
	              "  guard   pass     image lock    -\n"
	              "\n"
	              "host3: no\n"
	              "  CHECK  VERDICT  MEASURED                            REQUIRED              "
	              "      WHAT TO DO\n"
	              "  port   FAIL     49152 is held by process 4711 (nc)  1 free port of "
	              "49152-49153  stop process 4711\n"
	              "\n"
	              "SETTING          VALUE  FROM\n"
	              "progressTimeout  150 s  built-in default\n");
	screen_deinit(&s);
}

/* After the end: how much of what could be left is gone, what is left with what to do, and what nobody
 * could look at, once for each reason. */
static void test_remnants(void **state)
{
	Drover__V1__Remnant items[5], *list[5];
	struct screen s;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		drover__v1__remnant__init(&items[i]);
		items[i].verdict = DROVER__V1__REMNANT__VERDICT__GONE;
		items[i].thing = S("tunnel");
		items[i].node = S("host1");
		list[i] = &items[i];
	}
	screen_init(&s);
	remnants_print(&s.o, 10, list, 5);
	assert_screen(&s, "  clean      5/5\n");
	screen_deinit(&s);

	items[1].verdict = DROVER__V1__REMNANT__VERDICT__LEFT;
	items[1].thing = S("directory");
	items[1].text = S("/run/drover/attempts/7");
	items[1].remedy = S("drover gc host1");
	items[3].verdict = items[4].verdict = DROVER__V1__REMNANT__VERDICT__NOT_LOOKED;
	items[3].node = items[4].node = S("host2");
	items[3].text = items[4].text = S("host2 does not answer");
	items[3].thing = S("lease");
	items[4].thing = S("port");
	screen_init(&s);
	remnants_print(&s.o, 10, list, 5);
	assert_screen(&s, "  clean      2/5, 1 left, 2 not looked at\n"
	                  "  left       directory on host1: /run/drover/attempts/7\n"
	                  "             drover gc host1\n"
	                  "  not looked on host2, for lease, port (host2 does not answer)\n");
	screen_deinit(&s);
}

/* explain migration: what it was allowed, what it did, what admitted it. */
static void test_explain_migration(void **state)
{
	Drover__V1__MigrationSettings settings = DROVER__V1__MIGRATION_SETTINGS__INIT;
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	settings.max_downtime_ms = 300;
	settings.completion_timeout_ms_per_gib = 800000;
	settings.progress_timeout_ms = 150000;
	settings.tls = true;
	t.migration[0].settings = &settings;
	t.report[0].wire_bytes = 315 * MIB;
	t.progress.percent = 100;
	t.report[0].progress = &t.progress;
	explain_moved(&s, &t);
	assert_screen(&s,
	              "migration/101\n"
	              "\n"
	              "migration/101  web1  host1 → host2  Succeeded\n"
	              "  state          done\n"
	              "  part of        drain/7\n"
	              "  asked for      2026-01-12T14:44:31Z\n"
	              "  bandwidth      no limit\n"
	              "  max downtime   300 ms\n"
	              "  time limit     13 min 20 s per GiB\n"
	              "  stall limit    2 min 30 s\n"
	              "  encryption     TLS\n"
	              "  passes         3\n"
	              "  last rate      7.8 Gbit/s\n"
	              "  dirty rate     2.1 Gbit/s\n"
	              "  duration       11.2 s\n"
	              "  downtime       41 ms\n"
	              "  sent           300 MiB\n"
	              "  on the wire    315 MiB\n"
	              "  guard          image lock\n"
	              "  checks         2 passed\n"
	              "  verified       no: nobody has looked\n"
	              "\n"
	              "  CHECK   VERDICT  MEASURED      REQUIRED\n"
	              "  memory  pass     704 MiB free  320 MiB: 256 MiB RAM + 64 MiB overhead\n"
	              "  guard   pass     image lock    -\n");
	screen_deinit(&s);
}

/* A guest that was compared at its destination: how many checks passed, each that did not, what could not
 * be compared, and all of it in a table. */
static void test_explain_verification(void **state)
{
	Drover__V1__Check same = DROVER__V1__CHECK__INIT, other = DROVER__V1__CHECK__INIT;
	Drover__V1__Check *checks[] = { &same, &other };
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	same.id = S("state");
	same.verdict = DROVER__V1__CHECK__VERDICT__PASS;
	same.measured = same.required = S("running");
	other.id = S("definition");
	other.verdict = DROVER__V1__CHECK__VERDICT__FAIL;
	other.measured = S("defined, autostart off");
	other.required = S("defined, autostart on");
	other.remedy = S("on host2: virsh autostart web1");
	t.report[0].n_checks = 0;
	t.report[0].source_node = S("host1");
	t.report[0].target_node = S("host2");
	t.report[0].verification = checks;
	t.report[0].n_verification = 2;
	t.report[0].not_verified = S("the guest's clock: the guest has no agent to ask");
	t.migration[0].reason = S("moved, with differences: definition");
	explain_moved(&s, &t);
	assert_non_null(strstr(s.text, "  reason         moved, with differences: definition\n"));
	assert_non_null(strstr(
		s.text,
		"  verified       1/2: it moved, with differences\n"
		"                 definition: defined, autostart off, required defined, autostart "
		"on\n"
		"  not verified   the guest's clock: the guest has no agent to ask\n"
		"\n"
		"At host2, compared with what had left host1:\n"
		"  CHECK       VERDICT  MEASURED                REQUIRED               WHAT TO DO\n"
		"  state       pass     running                 running\n"
		"  definition  FAIL     defined, autostart off  defined, autostart on  "
		"on host2: virsh autostart web1\n"));
	screen_deinit(&s);
}

/* One that is held for another one: at what, for whom, how long still and until when; over, for how long
 * it was. */
static void test_explain_held(void **state)
{
	Drover__V1__Hold hold = DROVER__V1__HOLD__INIT;
	Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
	const char *at;
	struct story t;
	struct screen s;
	unsigned hour, minute, second;

	(void)state;
	story_init(&t);
	hold.first_vm = S("cache1");
	hold.bytes_per_s = 12500000;
	hold.left_ms = 12000;
	progress.elapsed_ms = 4000;
	progress.rate_source = S("qemu");
	progress.hold = &hold;
	t.migration[0].state = t.report[0].state = DROVER__V1__MIGRATION_STATE__RUNNING;
	t.report[0].progress = &progress;
	explain_moved(&s, &t);
	at = strstr(s.text,
	            "  held           at 100 Mbit/s so that cache1 (12.0 s left) is out first; "
	            "until about ");
	if (!at) {
		fail_msg("%s", s.text);
		abort();
	}
	assert_int_equal(sscanf(strstr(at, "about ") + 6, "%2u:%2u:%2u\n", &hour, &minute, &second),
	                 3);
	screen_deinit(&s);
	t.migration[0].state = t.report[0].state = DROVER__V1__MIGRATION_STATE__DONE;
	t.report[0].held_ms = 17000;
	explain_moved(&s, &t);
	assert_null(strstr(s.text, "  held     "));
	assert_non_null(strstr(s.text, "  was held       17.0 s, for others of its host\n"));
	screen_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_explain_plan), cmocka_unit_test(test_explain_many),
		cmocka_unit_test(test_explain_vm),   cmocka_unit_test(test_explain_migration),
		cmocka_unit_test(test_remnants),     cmocka_unit_test(test_explain_verification),
		cmocka_unit_test(test_explain_held),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
