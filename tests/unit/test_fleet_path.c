/* SPDX-License-Identifier: Apache-2.0 */
/* The room between two nodes out of what both agents say. */
#include "coordinator/core/fleet_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GBIT ((uint64_t)125000000)

struct pair {
	struct node source, target;
	struct interface_rate source_link, target_link;
	struct path_state path;
};

static void make(struct pair *p)
{
	*p = (struct pair){ 0 };
	text_copy(p->source.kept.name, sizeof(p->source.kept.name), "host1");
	text_copy(p->target.kept.name, sizeof(p->target.kept.name), "host2");
	p->source.host.interfaces = &p->source_link;
	p->target.host.interfaces = &p->target_link;
	p->source.host.n_interfaces = p->target.host.n_interfaces = 1;
	p->source.host.other_known = p->target.host.other_known = true;
	p->source.last_seen_ms = 5000;
	text_copy(p->path.node, sizeof(p->path.node), "host2");
	p->path.estimate = (struct path_estimate){ .method = PATH_PROBE,
		                                   .capacity_bytes_per_s = GBIT,
		                                   .near_bytes_per_s = GBIT,
		                                   .far_bytes_per_s = GBIT,
		                                   .available_bytes_per_s = GBIT,
		                                   .age_ms = 1000,
		                                   .confidence_percent = 90 };
	p->source.host.paths = &p->path;
	p->source.host.n_paths = 1;
}

/* What the source measured, less the other traffic of the busier end; its age grows while it is silent. */
static void test_measured(void **state)
{
	struct path_estimate e;
	struct pair p;

	(void)state;
	make(&p);
	p.source.host.other_tx_bytes_per_s = GBIT / 10;
	p.target.host.other_rx_bytes_per_s = GBIT / 2;
	assert_true(fleet_get_path(&p.source, &p.target, 7000, &e));
	assert_int_equal(e.method, PATH_PROBE);
	assert_int_equal(e.capacity_bytes_per_s, GBIT);
	assert_int_equal(e.available_bytes_per_s, GBIT / 2);
	assert_int_equal(e.age_ms, 3000);
	assert_int_equal(e.confidence_percent, 90);
	assert_in_range(fleet_get_path_payload(&p.source, &p.target, 7000), GBIT / 2 / 100 * 95,
	                GBIT / 2 / 100 * 96);
	/* A path has a direction. */
	assert_false(fleet_get_path(&p.target, &p.source, 7000, &e));
	assert_int_equal(fleet_get_path_payload(&p.target, &p.source, 7000), 0);
}

/* No end is faster than its link; links alone are known and not believed. */
static void test_links(void **state)
{
	struct path_estimate e;
	struct pair p;

	(void)state;
	make(&p);
	p.target_link.link_bytes_per_s = GBIT / 4;
	p.source_link.link_bytes_per_s = 10 * GBIT;
	assert_true(fleet_get_path(&p.source, &p.target, 7000, &e));
	assert_int_equal(e.capacity_bytes_per_s, GBIT / 4);
	p.source.host.n_paths = 0;
	assert_true(fleet_get_path(&p.source, &p.target, 7000, &e));
	assert_int_equal(e.method, PATH_LINK_SPEED);
	assert_int_equal(e.capacity_bytes_per_s, GBIT / 4);
	assert_true(e.confidence_percent < PATH_BELIEVED_PERCENT);
	assert_int_equal(fleet_get_path_payload(&p.source, &p.target, 7000), 0);
}

/* Where one end does not count other traffic, the figure is not believed, and says which end. */
static void test_unmeasured(void **state)
{
	struct path_estimate e;
	struct pair p;

	(void)state;
	make(&p);
	p.target.host.other_known = false;
	assert_true(fleet_get_path(&p.source, &p.target, 7000, &e));
	assert_true(e.confidence_percent < PATH_BELIEVED_PERCENT);
	assert_string_equal(e.why, "other traffic on host2 is not measured");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_measured),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_unmeasured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
