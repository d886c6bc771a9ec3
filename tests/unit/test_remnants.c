/* SPDX-License-Identifier: Apache-2.0 */
/* What is looked for after a migration, and what is said of it: each thing left, gone, and not seen. */
#include "agent/kernel/remnants.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Everything could be there, everything was looked for, nothing was found. */
static struct remnants_input clean(enum remnants_side side, enum remnants_end end)
{
	struct remnants_input in = {
		.side = side,
		.end = end,
		.node = side == REMNANTS_SOURCE ? "host1" : "host2",
		.other_node = side == REMNANTS_SOURCE ? "host2" : "host1",
		.vm_name = "web",
		.autostart = true,
		.copied = true,
		.places = true,
		.libvirt_answers = true,
		.libvirt_problem = "",
		.job_known = true,
	};
	bool here = (side == REMNANTS_SOURCE) == (end == REMNANTS_STAYED);

	if (here) {
		in.listed = true;
		in.vm.active = true;
		in.vm.state = VM_RUNNING;
		in.vm.autostart = true;
	}
	for (enum remnant_thing t = 0; t < REMNANT_THINGS; t++)
		in.sights[t].sight = SIGHT_NONE;
	return in;
}

static const struct remnant *find(const struct remnant *items, size_t n, enum remnant_thing thing)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(items[i].thing, remnant_thing_name(thing)) == 0)
			return &items[i];
	}
	return NULL;
}

/* Where nothing is left all of it is gone, and each side and end has its own things. */
static void test_clean(void **state)
{
	static const struct {
		enum remnants_side side;
		enum remnants_end end;
		size_t n;
	} cases[] = {
		{ REMNANTS_SOURCE, REMNANTS_CAME, 5 },
		{ REMNANTS_SOURCE, REMNANTS_STAYED, 6 },
		{ REMNANTS_TARGET, REMNANTS_CAME, 8 },
		{ REMNANTS_TARGET, REMNANTS_STAYED, 9 },
	};
	struct remnant items[REMNANT_THINGS];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct remnants_input in = clean(cases[i].side, cases[i].end);
		size_t n = remnants_judge(&in, items);

		assert_int_equal(n, cases[i].n);
		for (size_t k = 0; k < n; k++) {
			assert_int_equal(items[k].verdict, REMNANT_GONE);
			assert_string_equal(items[k].node, in.node);
			assert_string_equal(items[k].remedy, "");
		}
		assert_int_equal(remnants_count_open(items, n), 0);
	}
}

/* Both sides of one migration fit into one list. */
static void test_fits(void **state)
{
	(void)state;
	assert_true(2 * REMNANT_THINGS <= REMNANTS_MAX);
}

/* What this migration could not have made is not looked for, and not counted. */
static void test_only_what_could_be(void **state)
{
	struct remnants_input in = clean(REMNANTS_TARGET, REMNANTS_CAME);
	struct remnant items[REMNANT_THINGS];
	size_t n;

	(void)state;
	in.copied = false;
	in.autostart = false;
	n = remnants_judge(&in, items);
	assert_null(find(items, n, REMNANT_EXPORT));
	assert_null(find(items, n, REMNANT_IMAGES));
	assert_null(find(items, n, REMNANT_AUTOSTART));
	in = clean(REMNANTS_SOURCE, REMNANTS_STAYED);
	in.places = false;
	n = remnants_judge(&in, items);
	assert_null(find(items, n, REMNANT_PROOFS));
}

/* Each thing that is no guest, found on each side where it could be: it alone is left, with its text and
 * with what to do. */
static void test_each_thing_left(void **state)
{
	struct remnant items[REMNANT_THINGS];
	size_t seen = 0;

	(void)state;
	for (enum remnants_side side = 0; side < REMNANTS_SIDES; side++) {
		for (enum remnants_end end = 0; end < REMNANTS_UNKNOWN; end++) {
			for (enum remnant_thing t = REMNANT_TUNNEL; t < REMNANT_THINGS; t++) {
				struct remnants_input in = clean(side, end);
				const struct remnant *r;
				size_t n;

				snprintf(in.sights[t].text, sizeof(in.sights[t].text), "here");
				in.sights[t].sight = SIGHT_THERE;
				n = remnants_judge(&in, items);
				r = find(items, n, t);
				if (!remnant_applies(t, &in)) {
					assert_null(r);
					assert_int_equal(remnants_count_open(items, n), 0);
					continue;
				}
				seen++;
				assert_non_null(r);
				assert_int_equal(r->verdict, REMNANT_LEFT);
				assert_string_equal(r->text, "here");
				assert_true(r->remedy[0]);
				assert_int_equal(remnants_count_open(items, n), 1);
			}
		}
	}
	assert_int_equal(seen, 2 * 3 + 2 * 7);
}

struct domain_case {
	enum remnants_side side;
	enum remnants_end end;
	enum remnant_thing thing;
	void (*spoil)(struct remnants_input *in);
	const char *text, *remedy;
};

static void spoil_copy(struct remnants_input *in)
{
	in->listed = in->vm.active = true;
	in->vm.state = VM_PAUSED;
}

static void spoil_definition(struct remnants_input *in)
{
	in->listed = true;
	in->vm.active = false;
	in->vm.state = VM_SHUTOFF;
}

static void spoil_job(struct remnants_input *in)
{
	in->job_runs = true;
}

static void spoil_pause(struct remnants_input *in)
{
	in->vm.state = VM_PAUSED;
	in->vm.pause_reason = VM_PAUSE_MIGRATION;
}

static void spoil_own_pause(struct remnants_input *in)
{
	in->vm.state = VM_PAUSED;
	in->vm.pause_reason = VM_PAUSE_USER;
	in->paused_by_us = true;
}

static void spoil_autostart(struct remnants_input *in)
{
	in->vm.autostart = false;
}

/* The guest, its definition, its job, its pause and its autostart: each names the guest, both hosts and
 * the command for a person, for drover touches no guest after the end. */
static void test_each_domain_left(void **state)
{
	static const struct domain_case cases[] = {
		{ REMNANTS_SOURCE, REMNANTS_CAME, REMNANT_GUEST, spoil_copy, "belongs to host2",
		  "virsh destroy web on host1" },
		{ REMNANTS_TARGET, REMNANTS_STAYED, REMNANT_GUEST, spoil_copy, "belongs to host1",
		  "virsh destroy web on host2" },
		{ REMNANTS_SOURCE, REMNANTS_CAME, REMNANT_DEFINITION, spoil_definition,
		  "defined on host1", "virsh undefine web on host1" },
		{ REMNANTS_TARGET, REMNANTS_STAYED, REMNANT_DEFINITION, spoil_definition,
		  "defined on host2", "virsh undefine web on host2" },
		{ REMNANTS_SOURCE, REMNANTS_STAYED, REMNANT_JOB, spoil_job, "still runs on host1",
		  "virsh domjobabort web on host1" },
		{ REMNANTS_SOURCE, REMNANTS_STAYED, REMNANT_PAUSE, spoil_pause, "paused",
		  "virsh resume web on host1" },
		{ REMNANTS_SOURCE, REMNANTS_STAYED, REMNANT_PAUSE, spoil_own_pause, "paused",
		  "virsh resume web on host1" },
		{ REMNANTS_SOURCE, REMNANTS_STAYED, REMNANT_AUTOSTART, spoil_autostart,
		  "off on host1", "virsh autostart web on host1" },
		{ REMNANTS_TARGET, REMNANTS_CAME, REMNANT_AUTOSTART, spoil_autostart,
		  "off on host2", "virsh autostart web on host2" },
	};
	struct remnant items[REMNANT_THINGS];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct domain_case *c = &cases[i];
		struct remnants_input in = clean(c->side, c->end);
		const struct remnant *r;
		size_t n;

		c->spoil(&in);
		n = remnants_judge(&in, items);
		r = find(items, n, c->thing);
		assert_non_null(r);
		assert_int_equal(r->verdict, REMNANT_LEFT);
		assert_non_null(strstr(r->text, c->text));
		assert_non_null(strstr(r->remedy, c->remedy));
		assert_int_equal(remnants_count_open(items, n), 1);
	}
}

/* A guest that a person had paused, or that its disk stopped, was not stopped by the move. */
static void test_other_pauses(void **state)
{
	struct remnants_input in = clean(REMNANTS_SOURCE, REMNANTS_STAYED);
	struct remnant items[REMNANT_THINGS];

	(void)state;
	in.vm.state = VM_PAUSED;
	in.vm.pause_reason = VM_PAUSE_USER;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 0);
	in.vm.pause_reason = VM_PAUSE_IO_ERROR;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 0);
	in.vm.pause_reason = VM_PAUSE_MIGRATION;
	in.paused = true;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 0);
	/* Post-copy that broke is the move's own doing. */
	in.paused = false;
	in.vm.pause_reason = VM_PAUSE_POSTCOPY_FAILED;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 1);
}

/* What nobody looked for is not gone; the reason is told where there is one. */
static void test_sight_not_looked(void **state)
{
	struct remnants_input in = clean(REMNANTS_SOURCE, REMNANTS_CAME);
	struct remnant items[REMNANT_THINGS];
	size_t n;

	(void)state;
	in.sights[REMNANT_TUNNEL].sight = SIGHT_NOT_LOOKED;
	n = remnants_judge(&in, items);
	assert_int_equal(find(items, n, REMNANT_TUNNEL)->verdict, REMNANT_NOT_LOOKED);
	assert_string_equal(find(items, n, REMNANT_TUNNEL)->text, "nobody looked");
	strcpy(in.sights[REMNANT_TUNNEL].text, "/proc: Permission denied");
	n = remnants_judge(&in, items);
	assert_int_equal(find(items, n, REMNANT_TUNNEL)->verdict, REMNANT_NOT_LOOKED);
	assert_string_equal(find(items, n, REMNANT_TUNNEL)->text, "/proc: Permission denied");
	assert_int_equal(remnants_count_open(items, n), 1);
}

/* Some time later a guest that runs is nobody's remnant: it may have been moved again. A copy that stands
 * still is one as before. */
static void test_later(void **state)
{
	struct remnants_input in = clean(REMNANTS_SOURCE, REMNANTS_CAME);
	struct remnant items[REMNANT_THINGS];

	(void)state;
	spoil_copy(&in);
	in.late = true;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 1);
	in.vm.state = VM_RUNNING;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 0);
	in.late = false;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 1);

	/* One that is gone by now needs no autostart. */
	in = clean(REMNANTS_TARGET, REMNANTS_CAME);
	in.listed = in.vm.active = false;
	assert_int_equal(remnants_count_open(items, remnants_judge(&in, items)), 0);
}

/* A libvirt that is silent makes nothing clean: what depends on it is not looked at, and says why. */
static void test_silent_libvirt(void **state)
{
	struct remnants_input in = clean(REMNANTS_TARGET, REMNANTS_STAYED);
	struct remnant items[REMNANT_THINGS];
	const struct remnant *r;
	size_t n;

	(void)state;
	in.libvirt_answers = false;
	in.libvirt_problem = "end of file";
	n = remnants_judge(&in, items);
	assert_int_equal(remnants_count_open(items, n), 2);
	r = find(items, n, REMNANT_GUEST);
	assert_int_equal(r->verdict, REMNANT_NOT_LOOKED);
	assert_non_null(strstr(r->text, "host2"));
	assert_non_null(strstr(r->text, "end of file"));
	assert_int_equal(find(items, n, REMNANT_PORT)->verdict, REMNANT_GONE);

	in = clean(REMNANTS_SOURCE, REMNANTS_STAYED);
	in.job_known = false;
	n = remnants_judge(&in, items);
	assert_int_equal(find(items, n, REMNANT_JOB)->verdict, REMNANT_NOT_LOOKED);
}

/* A host that cannot be asked: the same things, none of them gone. */
static void test_nobody_could_look(void **state)
{
	struct remnants_input in = clean(REMNANTS_TARGET, REMNANTS_STAYED);
	struct remnant seen[REMNANT_THINGS], items[REMNANT_THINGS];
	size_t n = remnants_judge(&in, seen);

	(void)state;
	assert_int_equal(remnants_not_looked(&in, "host2 does not answer", items), n);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(items[i].thing, seen[i].thing);
		assert_int_equal(items[i].verdict, REMNANT_NOT_LOOKED);
		assert_string_equal(items[i].text, "host2 does not answer");
	}
}

/* Where nobody knows where the guest is, nothing is said of it, and no command is given. */
static void test_unknown_end(void **state)
{
	struct remnants_input in = clean(REMNANTS_SOURCE, REMNANTS_UNKNOWN);
	struct remnant items[REMNANT_THINGS];
	const struct remnant *r;
	size_t n;

	(void)state;
	spoil_copy(&in);
	n = remnants_judge(&in, items);
	r = find(items, n, REMNANT_GUEST);
	assert_int_equal(r->verdict, REMNANT_NOT_LOOKED);
	assert_string_equal(r->remedy, "");
	assert_int_equal(find(items, n, REMNANT_DEFINITION)->verdict, REMNANT_NOT_LOOKED);
	assert_null(find(items, n, REMNANT_AUTOSTART));
	assert_int_equal(find(items, n, REMNANT_TUNNEL)->verdict, REMNANT_GONE);
}

/* A later look replaces what was open; what was gone stays gone, and what could not be looked at again
 * is what it was. */
static void test_merge(void **state)
{
	struct remnant kept[REMNANTS_MAX] = {
		{ "guest", "host2", REMNANT_GONE, "", "" },
		{ "lease", "host2", REMNANT_NOT_LOOKED, "silent", "" },
		{ "tunnel", "host2", REMNANT_LEFT, "pid 7", "drover gc host2" },
		{ "tunnel", "host1", REMNANT_LEFT, "pid 8", "drover gc host1" },
	};
	struct remnant later[] = {
		{ "guest", "host2", REMNANT_LEFT, "another one", "" },
		{ "lease", "host2", REMNANT_GONE, "", "" },
		{ "tunnel", "host2", REMNANT_NOT_LOOKED, "silent", "" },
		{ "port", "host2", REMNANT_GONE, "", "" },
	};
	size_t n = 4;

	(void)state;
	remnants_merge(kept, &n, later, ARRAY_SIZE(later));
	assert_int_equal(n, 5);
	assert_int_equal(kept[0].verdict, REMNANT_GONE);
	assert_int_equal(kept[1].verdict, REMNANT_GONE);
	assert_int_equal(kept[2].verdict, REMNANT_LEFT);
	assert_string_equal(kept[2].text, "pid 7");
	assert_int_equal(kept[3].verdict, REMNANT_LEFT);
	assert_string_equal(kept[4].thing, "port");
	assert_int_equal(remnants_count_open(kept, n), 2);

	n = REMNANTS_MAX;
	remnants_merge(kept, &n, &(struct remnant){ "new", "host9", REMNANT_LEFT, "", "" }, 1);
	assert_int_equal(n, REMNANTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_only_what_could_be),
		cmocka_unit_test(test_each_thing_left),
		cmocka_unit_test(test_each_domain_left),
		cmocka_unit_test(test_other_pauses),
		cmocka_unit_test(test_sight_not_looked),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_silent_libvirt),
		cmocka_unit_test(test_nobody_could_look),
		cmocka_unit_test(test_unknown_end),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
