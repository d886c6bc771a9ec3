/* SPDX-License-Identifier: Apache-2.0 */
/* What people read, from messages to text: tables, explanations, plans, refusals, summaries. The
 * texts below are what the screen shows. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tests/unit/cli_story.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct nodes {
	Drover__V1__InterfaceRate link;
	Drover__V1__InterfaceRate *links[1];
	Drover__V1__HostState host[2];
	Drover__V1__Node node[2];
	Drover__V1__Node *list[2];
};

static void nodes_init(struct nodes *n)
{
	drover__v1__interface_rate__init(&n->link);
	n->link.name = S("eth1");
	n->link.tx_bytes_per_s = 987500000;
	n->link.rx_bytes_per_s = 1000;
	n->link.link_bytes_per_s = 3125000000;
	n->link.source = S("ebpf-tcx");
	n->links[0] = &n->link;
	for (size_t i = 0; i < 2; i++) {
		drover__v1__host_state__init(&n->host[i]);
		drover__v1__node__init(&n->node[i]);
		n->host[i].agent_version = S("0.1.0");
		n->host[i].memory_capacity_bytes = 260 * GIB;
		n->host[i].memory_reserve_bytes = 4 * GIB;
		n->host[i].memory_guests_bytes = 160 * GIB;
		n->host[i].memory_reserved_bytes = 11 * GIB;
		n->host[i].libvirt_connected = true;
		n->node[i].host = &n->host[i];
		n->node[i].known = true;
		n->list[i] = &n->node[i];
	}
	n->host[0].interfaces = n->links;
	n->host[0].n_interfaces = 1;
	n->node[0].name = S("host1");
	n->node[0].state = S("ready");
	n->node[0].vms = 21;
	n->node[0].migrations_out = 1;
	n->node[0].last_seen_ms = 400;
	n->node[1].name = S("host2");
	n->node[1].state = S("unreachable");
	n->node[1].reason = S("TLS: certificate expired\n2 h ago");
	n->node[1].last_seen_ms = 41000;
}

/* A node that is out of reach shows no old numbers, but why it is. */
static void test_nodes(void **state)
{
	struct nodes n;
	struct screen s;

	(void)state;
	nodes_init(&n);
	screen_init(&s);
	nodes_print(&s.o, n.list, 2);
	assert_screen(&s, "NAME   STATE        VMS          MEM   %           LINK  BY        "
	                  "IN/OUT  AGENT    SEEN  WHY\n"
	                  "host1  ready         21  171/256 GiB  66  7.9/25 Gbit/s  ebpf-tcx     "
	                  "0/1  0.1.0  400 ms\n"
	                  "host2  unreachable    -            -   -              -  -            "
	                  "0/0  0.1.0  41.0 s  TLS: certificate expired\\n2 h ago\n");
	screen_deinit(&s);
}

/* What is not measured is a dash: a silent node's rates, shares of migrations without eBPF, the use of a link
 * of unknown speed, and a time of which nothing is known. A gap in the picture is a blank. */
static void test_links(void **state)
{
	Drover__V1__RateSum sums[4];
	Drover__V1__RateSum *points[] = { &sums[0], &sums[1], &sums[2] };
	Drover__V1__Link links[2];
	Drover__V1__Link *list[] = { &links[0], &links[1] };
	struct screen s;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		drover__v1__rate_sum__init(&sums[i]);
	sums[0].covered_ms = sums[2].covered_ms = 30000;
	sums[0].tx_bytes_per_s = 12500000;
	sums[2].tx_bytes_per_s = 125000000;
	sums[2].tx_most_bytes_per_s = 130000000;
	for (size_t i = 0; i < 2; i++) {
		drover__v1__link__init(&links[i]);
		links[i].node = i ? S("host2") : S("host1");
		links[i].interface = S("mi0");
	}
	links[0].known = links[0].classified = true;
	links[0].source = S("ebpf-tcx");
	links[0].tx_bytes_per_s = 118000000;
	links[0].migration_tx_bytes_per_s = 115000000;
	links[0].link_bytes_per_s = 125000000;
	links[0].used_permille = 944;
	links[0].ten_minutes = &sums[2];
	links[0].points = points;
	links[0].n_points = 3;
	links[1].source = S("none");
	links[1].age_ms = 41000;
	links[1].ten_minutes = &sums[3];
	screen_init(&s);
	links_print(&s.o, list, 2, true);
	assert_screen(&s,
	              "NODE   IF        IN         OUT  MIGR      LINK    USED  BY             "
	              "AVG         MAX     AGE  10 MIN\n"
	              "host1  mi0  0 bit/s  944 Mbit/s  97 %  1 Gbit/s  94.4 %  ebpf-tcx  "
	              "1 Gbit/s  1.0 Gbit/s          ▂ █\n"
	              "host2  mi0        -           -     -         -       -  none             "
	              "-           -  41.0 s\n");
	screen_deinit(&s);
	screen_init(&s);
	link_times_print(&s.o, list, 1);
	assert_screen(
		&s, "INTERFACE  OVER         IN         OUT  MIGR   MAX-IN     MAX-OUT  MEASURED  "
		    "BY    "
		    "     AGE\n"
		    "mi0        now     0 bit/s  944 Mbit/s  97 %        -           -         -  "
		    "ebpf-tcx  0 ms\n"
		    "mi0        1 min         -           -     -        -           -         -  "
		    "-     "
		    "       -\n"
		    "mi0        10 min  0 bit/s    1 Gbit/s   0 %  0 bit/s  1.0 Gbit/s    30.0 s  "
		    "-     "
		    "       -\n"
		    "mi0        24 h          -           -     -        -           -         -  "
		    "-     "
		    "       -\n");
	screen_deinit(&s);
}

/* --bytes gives exact numbers, --no-headers no headings. */
static void test_nodes_exact(void **state)
{
	struct nodes n;
	struct screen s;

	(void)state;
	nodes_init(&n);
	screen_init(&s);
	s.o.exact = true;
	s.o.headers = false;
	nodes_print(&s.o, n.list, 1);
	assert_screen(&s, "host1  ready   21  183609851904/274877906944  66  987500000/3125000000  "
	                  "ebpf-tcx     0/1  0.1.0   400\n");
	screen_deinit(&s);
}

/* Names come with their kind, one a line, as every command takes them. */
static void test_names(void **state)
{
	struct nodes n;
	struct screen s;

	(void)state;
	nodes_init(&n);
	screen_init(&s);
	s.o.format = OUTPUT_NAME;
	nodes_print(&s.o, n.list, 2);
	assert_screen(&s, "node/host1\nnode/host2\n");
	screen_deinit(&s);
}

/* A guest that cannot move says why; its name cannot touch the terminal. */
static void test_vms(void **state)
{
	Drover__V1__VmState vm_state = DROVER__V1__VM_STATE__INIT;
	Drover__V1__Vm a = DROVER__V1__VM__INIT, b = DROVER__V1__VM__INIT;
	Drover__V1__Vm *list[] = { &a, &b };
	char *twice[] = { S("host1"), S("host2") };
	struct screen s;

	(void)state;
	vm_state.state = S("running");
	vm_state.memory_bytes = 256 * MIB;
	vm_state.vcpus = 2;
	a.name = S("db\033[31m1");
	a.node = S("host1");
	a.state = &vm_state;
	a.movable = true;
	a.migration_number = 42;
	b.name = S("build7");
	b.node = S("host1");
	b.state = &vm_state;
	b.why_not = S("HostDeviceNotLiveMigratable: PCI 0000:3b:00.0");
	b.seen_on = twice;
	b.n_seen_on = 2;
	screen_init(&s);
	vms_print(&s.o, list, 2);
	assert_screen(&s, "NAME         NODE   STATE    VCPU      MEM  MOVABLE  NOW                "
	                  "        WHY\n"
	                  "db\\x1b[31m1  host1  running     2  256 MiB  yes      migration/42\n"
	                  "build7       host1  running     2  256 MiB  no       listed on host1 "
	                  "and host2  HostDeviceNotLiveMigratable: PCI 0000:3b:00.0\n");
	screen_deinit(&s);
}

/* What is not known is "-", never a number. */
static void test_migrations(void **state)
{
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	screen_init(&s);
	migrations_print(&s.o, t.migrations, 3, NOW_WALL_MS);
	assert_screen(&s, " ID  VM      FROM   TO     PHASE      PROGRESS        RATE       DIRTY  "
	                  "ELAPSED  DOWNTIME  WHY\n"
	                  "101  web1    host1  host2  Succeeded      100%  225 Mbit/s           -  "
	                  "   0:11     41 ms  drain/7\n"
	                  "102  db1     host1  host3  Running         61%  7.8 Gbit/s  2.1 Gbit/s  "
	                  "   0:57         -  drain/7\n"
	                  "103  cache1  host1  host2  Failed            -           -           -  "
	                  "   2:40         -  drain/7  did not converge\n");
	screen_deinit(&s);
}

/* What a node has promised: room for disks and their port only where some are copied. */
static void test_leases(void **state)
{
	Drover__V1__Lease plain = DROVER__V1__LEASE__INIT, copying = DROVER__V1__LEASE__INIT;
	Drover__V1__Lease *list[] = { &plain, &copying };
	struct screen s;

	(void)state;
	plain.vm_name = S("web1");
	plain.source_node = S("host1");
	plain.memory_bytes = 320 * MIB;
	plain.port = 49152;
	plain.expires_ms = 30000;
	screen_init(&s);
	leases_print(&s.o, list, 1);
	assert_screen(&s, "ON THE WAY  FROM       MEM  PORTS  UNLESS RENEWED\n"
	                  "web1        host1  320 MiB  49152  ends in 30.0 s\n");
	screen_deinit(&s);
	copying = plain;
	copying.vm_name = S("db1");
	copying.port = 49153;
	copying.disk_port = 49154;
	copying.disk_bytes = 8 * GIB;
	screen_init(&s);
	leases_print(&s.o, list, 2);
	assert_screen(&s, "ON THE WAY  FROM       MEM  DISKS  PORTS        UNLESS RENEWED\n"
	                  "web1        host1  320 MiB         49152        ends in 30.0 s\n"
	                  "db1         host1  320 MiB  8 GiB  49153 49154  ends in 30.0 s\n");
	screen_deinit(&s);
}

/* Estimates are shown as such. */
static void test_drains(void **state)
{
	struct story t;
	Drover__V1__Drain *list[] = { &t.drain };
	struct screen s;

	(void)state;
	story_init(&t);
	screen_init(&s);
	drains_print(&s.o, list, 1, NOW_WALL_MS);
	assert_screen(
		&s,
		"ID  NODE   STATE    MOVED       MEMORY  ELAPSED    LEFT  STARTED\n"
		" 7  host1  running    1/3  400/768 MiB     1:01  ≈ 1:14  2026-01-12T14:44:30Z\n");
	screen_deinit(&s);
}

/* A finished drain: every guest with what it cost and what admitted it, totals, what to do next. */
static void test_summary(void **state)
{
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	t.drain.state = S("completed");
	t.drain.n_vms = 1;
	screen_init(&s);
	drain_summary_print(&s.o, &t.drain, t.migrations, 3);
	assert_screen(&s, "VM    FROM   TO     DURATION  DOWNTIME     SENT  GUARD       CHECKS\n"
	                  "web1  host1  host2    11.2 s     41 ms  300 MiB  image lock  2 passed\n"
	                  "\n"
	                  "host1 is empty and in maintenance. 1 VM moved in 1 min 1 s.\n"
	                  "  downtime   median 41 ms, worst 41 ms (web1)        data sent 300 MiB "
	                  "(1.17 × memory)\n"
	                  "  next       maintenance now, then: drover undrain host1\n"
	                  "  look       drover vms   drover explain drain/7\n");
	screen_deinit(&s);
}

/* A drain that left somebody says whom and why. */
static void test_summary_partly(void **state)
{
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	t.drain.state = S("partly");
	t.vms[1] = &t.vm[2];
	t.drain.n_vms = 2;
	screen_init(&s);
	drain_summary_print(&s.o, &t.drain, t.migrations, 3);
	assert_screen(&s,
	              "VM      FROM   TO       DURATION  DOWNTIME     SENT  GUARD       CHECKS    "
	              "RESULT  WHY\n"
	              "web1    host1  host2      11.2 s     41 ms  300 MiB  image lock  2 passed\n"
	              "cache1  host1  -      2 min 40 s         -    4 GiB  image lock  2 passed  "
	              "left    did not converge\n"
	              "\n"
	              "host1 is partly empty: 1 of 2 VMs moved in 1 min 1 s, 1 left there.\n"
	              "  downtime   median 41 ms, worst 41 ms (web1)        data sent 300 MiB "
	              "(1.17 × memory)\n"
	              "  next       drover explain vm/cache1   or go back: drover undrain host1\n"
	              "  look       drover vms   drover explain drain/7\n");
	screen_deinit(&s);
}

/* A refusal names each guest, the reason, and the flags that allow going on. */
static void test_refusal(void **state)
{
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Check a = DROVER__V1__CHECK__INIT, b = DROVER__V1__CHECK__INIT;
	Drover__V1__Check *blockers[] = { &a, &b };
	struct screen s;

	(void)state;
	a.id = S("vm/build7");
	a.reason = S("HostDeviceNotLiveMigratable");
	a.measured = S("PCI 0000:3b:00.0");
	b.id = S("vm/$(reboot)");
	b.measured = S("no host has 64 GiB free");
	b.remedy = S("free memory on host2");
	reply.refused = true;
	reply.blockers = blockers;
	reply.n_blockers = 1;
	screen_init(&s);
	drain_refusal_print(&s.o, "host1", "host1", &reply, false);
	assert_screen(&s, "drover: host1 cannot be emptied: build7 cannot move "
	                  "(HostDeviceNotLiveMigratable: PCI 0000:3b:00.0)\n"
	                  "  leave it running     drover drain host1 --leave build7\n"
	                  "  or all such guests   drover drain host1 --unmovable leave\n"
	                  "  details              drover explain vm/build7\n");
	screen_deinit(&s);
	reply.n_blockers = 2;
	screen_init(&s);
	drain_refusal_print(&s.o, "host1", "host1", &reply, true);
	assert_screen(&s, "drover: would refuse: host1 cannot be emptied: 2 guests cannot move\n"
	                  "  build7               HostDeviceNotLiveMigratable: PCI 0000:3b:00.0\n"
	                  "  $(reboot)            no host has 64 GiB free\n"
	                  "  what would help      free memory on host2\n"
	                  "  leave them running   drover drain host1 --leave build7 --leave "
	                  "'$(reboot)'\n"
	                  "  or all such guests   drover drain host1 --unmovable leave\n"
	                  "  details              drover explain vm/build7\n");
	screen_deinit(&s);
	reply.n_blockers = 0;
	reply.refusal = S("host1 is the only node");
	screen_init(&s);
	drain_refusal_print(&s.o, "host1", "host1", &reply, false);
	assert_screen(&s, "drover: host1 cannot be emptied: host1 is the only node\n");
	screen_deinit(&s);
}

/* The dry run shows where each guest would go, and which would not and why. */
static void test_plan(void **state)
{
	struct story t;
	struct screen s;

	(void)state;
	story_init(&t);
	t.vm[0].state = S("waiting");
	t.vm[0].order = 1;
	t.vm[0].end_ms = 93000;
	t.vm[0].checks = t.checks;
	t.vm[0].n_checks = 2;
	t.vm[0].could = 3;
	t.vm[0].left_bytes = 2 * GIB;
	t.vm[1].state = S("blocked");
	t.vm[1].target = S("");
	t.vm[1].reason = S("no node has 320 MiB free");
	screen_init(&s);
	drain_plan_print(&s.o, &t.drain);
	assert_screen(
		&s,
		"#  VM          MEM  TO     STARTS IN      ENDS IN  WOULD     WHY\n"
		"1  web1    256 MiB  host2    at once  ≈1 min 33 s  move      best of 3, 2 GiB "
		"left\n"
		"   db1     256 MiB  -                              not move  no node has 320 MiB "
		"free\n"
		"   cache1  256 MiB  host2                          stay      did not converge\n");
	screen_deinit(&s);

	/* What is too long for the table stands below it. A check that warns is shown. */
	t.vm[1].reason = S("no destination: host2 has 100 MiB free, 320 MiB are needed");
	t.check[1].verdict = DROVER__V1__CHECK__VERDICT__WARN;
	screen_init(&s);
	drain_plan_print(&s.o, &t.drain);
	fflush(s.o.file);
	assert_non_null(strstr(s.text, "1 passed, 1 warned"));
	assert_non_null(strstr(s.text, "see below\n"));
	assert_non_null(strstr(s.text, "\ndb1: no destination: host2 has 100 MiB free, 320 MiB are "
	                               "needed\n"));
	screen_deinit(&s);
	t.check[1].verdict = DROVER__V1__CHECK__VERDICT__PASS;

	/* One that waits and one that stays: only the first will stand still. */
	t.vm[0].guard = t.vm[2].guard = DROVER__V1__GUARD__GUARD_TWO_STEP;
	screen_init(&s);
	drain_plan_print(&s.o, &t.drain);
	fflush(s.o.file);
	assert_non_null(strstr(s.text, "1 guest is kept from running twice by a two-step commit, "
	                               "which adds to its pause, beyond --max-downtime: 0.3 to "
	                               "0.4 s, and 10 ms for each GiB\n"));
	screen_deinit(&s);
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
	screen_init(&s);
	explanation_print(&s.o, "plan/5f1d9c02a77be340", &e);
	fflush(s.o.file);
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
	screen_init(&s);
	explanation_print(&s.o, "plan/5f1d9c02a77be340", &e);
	fflush(s.o.file);
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
	screen_init(&s);
	explanation_print(&s.o, "vm/other", &e);
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
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;
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
	e.subject = S("migration/101");
	e.migration = &t.migration[0];
	screen_init(&s);
	explanation_print(&s.o, "vm/other", &e);
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
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;
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
	e.subject = S("migration/101");
	e.migration = &t.migration[0];
	screen_init(&s);
	explanation_print(&s.o, "vm/other", &e);
	fflush(s.o.file);
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
	Drover__V1__Explanation e = DROVER__V1__EXPLANATION__INIT;
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
	e.subject = S("migration/101");
	e.migration = &t.migration[0];
	screen_init(&s);
	explanation_print(&s.o, "vm/other", &e);
	fflush(s.o.file);
	at = strstr(s.text,
	            "  held           at 100 Mbit/s so that cache1 (12.0 s left) is out first; "
	            "until about ");
	if (!at) {
		fail_msg("%s", s.text);
		return;
	}
	assert_int_equal(sscanf(strstr(at, "about ") + 6, "%2u:%2u:%2u\n", &hour, &minute, &second),
	                 3);
	screen_deinit(&s);
	t.migration[0].state = t.report[0].state = DROVER__V1__MIGRATION_STATE__DONE;
	t.report[0].held_ms = 17000;
	screen_init(&s);
	explanation_print(&s.o, "vm/other", &e);
	fflush(s.o.file);
	assert_null(strstr(s.text, "  held     "));
	assert_non_null(strstr(s.text, "  was held       17.0 s, for others of its host\n"));
	screen_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),        cmocka_unit_test(test_nodes_exact),
		cmocka_unit_test(test_names),        cmocka_unit_test(test_vms),
		cmocka_unit_test(test_migrations),   cmocka_unit_test(test_leases),
		cmocka_unit_test(test_links),        cmocka_unit_test(test_drains),
		cmocka_unit_test(test_summary),      cmocka_unit_test(test_summary_partly),
		cmocka_unit_test(test_refusal),      cmocka_unit_test(test_plan),
		cmocka_unit_test(test_explain_plan), cmocka_unit_test(test_explain_many),
		cmocka_unit_test(test_explain_vm),   cmocka_unit_test(test_explain_migration),
		cmocka_unit_test(test_remnants),     cmocka_unit_test(test_explain_verification),
		cmocka_unit_test(test_explain_held),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
