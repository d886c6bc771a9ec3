/* SPDX-License-Identifier: Apache-2.0 */
/* What people read, from messages to text: tables, plans, refusals, summaries. The
 * texts below are what the screen shows. */
#include "tools/drover/render.h"

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
	drain_refusal_print(&s.o, "host1", "drover drain host1", &reply, false);
	assert_screen(&s, "drover: host1 cannot be emptied: build7 cannot move "
	                  "(HostDeviceNotLiveMigratable: PCI 0000:3b:00.0)\n"
	                  "  leave it running     drover drain host1 --leave build7\n"
	                  "  or all such guests   drover drain host1 --unmovable leave\n"
	                  "  details              drover explain vm/build7\n");
	screen_deinit(&s);
	reply.n_blockers = 2;
	screen_init(&s);
	drain_refusal_print(&s.o, "host1", "drover drain host1", &reply, true);
	assert_screen(&s, "drover: would refuse: host1 cannot be emptied: 2 guests cannot move\n"
	                  "  build7               HostDeviceNotLiveMigratable: PCI 0000:3b:00.0\n"
	                  "  $(reboot)            no host has 64 GiB free\n"
	                  "  what would help      free memory on host2\n"
	                  "  leave them running   drover drain host1 --leave build7 --leave "
	                  "'$(reboot)' --dry-run\n"
	                  "  or all such guests   drover drain host1 --unmovable leave "
	                  "--dry-run\n"
	                  "  details              drover explain vm/build7\n");
	screen_deinit(&s);
	reply.n_blockers = 0;
	reply.refusal = S("host1 is the only node");
	screen_init(&s);
	drain_refusal_print(&s.o, "host1", "drover drain host1", &reply, false);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),      cmocka_unit_test(test_nodes_exact),
		cmocka_unit_test(test_names),      cmocka_unit_test(test_vms),
		cmocka_unit_test(test_migrations), cmocka_unit_test(test_leases),
		cmocka_unit_test(test_links),      cmocka_unit_test(test_drains),
		cmocka_unit_test(test_summary),    cmocka_unit_test(test_summary_partly),
		cmocka_unit_test(test_refusal),    cmocka_unit_test(test_plan),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
