/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator answers about its nodes' interfaces: which, in which order, and what is not known. */
#include "coordinator/service/links.h"

#include "common/units.h"
#include "coordinator/view/view.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct run {
	struct core_world *world;
	struct coordinator c;
	uint64_t now_ms;
};

static int begin(void **state)
{
	struct run *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->world = core_world_new();
	r->c.fleet = r->world->fleet;
	r->now_ms = 3600000;
	*state = r;
	return 0;
}

static int end(void **state)
{
	struct run *r = *state;

	links_stop(&r->c);
	core_world_free(r->world);
	free(r);
	return 0;
}

static struct interface_rate rate_of(const char *name, const char *source, uint64_t sent)
{
	struct interface_rate rate = { .tx_bytes_per_s = sent,
		                       .rx_bytes_per_s = sent / 10,
		                       .migration_tx_bytes_per_s = sent,
		                       .link_bytes_per_s = 100 * MIB };

	text_copy(rate.name, sizeof(rate.name), name);
	text_copy(rate.source, sizeof(rate.source), source);
	return rate;
}

/* A report of @node, to the core as well, as the edge does it. */
static void report(struct run *r, const char *node, struct interface_rate *rates, size_t n)
{
	struct host_state host = { .libvirt_connected = true,
		                   .interfaces = rates,
		                   .n_interfaces = n };
	struct event event = { .kind = EVENT_HOST };

	links_take(&r->c, node, &host, r->now_ms);
	event.host.node = node;
	event.host.host = &host;
	core_world_step(r->world, &event);
}

/* Three nodes, of which the second sends most; each has a second interface that is busier. */
static void report_all(struct run *r)
{
	const uint64_t sent[] = { 10 * MIB, 90 * MIB, 50 * MIB };

	for (size_t i = 0; i < 3; i++) {
		struct interface_rate rates[] = { rate_of("mi0", "ebpf-tcx", sent[i]),
			                          rate_of("mg0", "rtnl", 200 * MIB) };
		char name[16];

		snprintf(name, sizeof(name), "host%zu", i + 1);
		if (!fleet_find_node(r->world->fleet, name))
			core_world_host(r->world, name, 4096, NULL, 0);
		report(r, name, rates, 2);
	}
}

static Drover__V1__LinkList *list(const struct run *r, const char *node, bool all, uint32_t limit,
                                  uint32_t points)
{
	Drover__V1__LinksRequest request = DROVER__V1__LINKS_REQUEST__INIT;
	Drover__V1__LinkList *links;
	struct error err;

	request.node = (char *)node;
	request.all = all;
	request.limit = limit;
	request.points = points;
	links = links_list_new(&r->c, &request, r->now_ms, &err);
	assert_non_null(links);
	return links;
}

static void test_busiest_first(void **state)
{
	/* The migration links, the busiest first, with their use; what is beyond the limit is counted. */
	struct run *r = *state;
	Drover__V1__LinkList *links;

	report_all(r);
	links = list(r, "", false, 0, 0);
	assert_int_equal(links->n_links, 3);
	assert_string_equal(links->links[0]->node, "host2");
	assert_string_equal(links->links[1]->node, "host3");
	assert_string_equal(links->links[2]->node, "host1");
	assert_true(links->links[0]->migration && links->links[0]->known &&
	            links->links[0]->classified);
	assert_int_equal(links->links[0]->used_permille, 900);
	assert_int_equal(links->links[0]->migration_tx_bytes_per_s, 90 * MIB);
	assert_int_equal(links->links[0]->minute->covered_ms, 1000);
	assert_int_equal(links->left_out, 0);
	view_free(links);
	links = list(r, "", false, 1, 0);
	assert_int_equal(links->n_links, 1);
	assert_int_equal(links->left_out, 2);
	view_free(links);
}

static void test_one_node(void **state)
{
	/* Of one node all that is counted there; shares of migrations are only of what eBPF counts. More than
	 * 1000 links, or what is not there, are no answer. */
	struct run *r = *state;
	Drover__V1__LinksRequest request = DROVER__V1__LINKS_REQUEST__INIT;
	Drover__V1__LinkList *links;
	struct error err;

	report_all(r);
	links = list(r, "host1", true, 0, 4);
	assert_int_equal(links->n_links, 2);
	assert_string_equal(links->links[0]->interface, "mg0");
	assert_false(links->links[0]->migration || links->links[0]->classified);
	assert_int_equal(links->links[0]->migration_tx_bytes_per_s, 0);
	assert_int_equal(links->links[1]->n_points, 4);
	assert_int_equal(links->links[1]->points[0]->covered_ms, 0);
	assert_int_equal(links->links[1]->points[0]->age_ms, 450000);
	assert_int_equal(links->links[1]->points[3]->covered_ms, 1000);
	view_free(links);
	request.limit = 1001;
	assert_null(links_list_new(&r->c, &request, r->now_ms, &err));
	assert_int_equal(err.code, ERROR_INVALID);
	request.limit = 1000;
	request.node = (char *)"host9";
	assert_null(links_list_new(&r->c, &request, r->now_ms, &err));
	assert_int_equal(err.code, ERROR_NOT_FOUND);
}

static void test_silence(void **state)
{
	/* Of a node that is silent, or whose counters are gone, nothing is known now; its past is. */
	struct run *r = *state;
	struct interface_rate none = rate_of("mi0", "none", 0);
	Drover__V1__LinkList *links;

	report_all(r);
	r->now_ms += 4999;
	links = list(r, "host1", false, 0, 0);
	assert_true(links->links[0]->known);
	view_free(links);
	r->now_ms += 1;
	links = list(r, "host1", false, 0, 0);
	assert_false(links->links[0]->known);
	assert_int_equal(links->links[0]->tx_bytes_per_s, 0);
	assert_int_equal(links->links[0]->used_permille, 0);
	assert_int_equal(links->links[0]->age_ms, 5000);
	assert_int_equal(links->links[0]->ten_minutes->covered_ms, 1000);
	view_free(links);
	report(r, "host1", &none, 1);
	links = list(r, "host1", false, 0, 0);
	assert_false(links->links[0]->known);
	assert_string_equal(links->links[0]->source, "none");
	view_free(links);
}

static void test_series(void **state)
{
	/* A series is of the migration link unless another one is named, of the range that was asked for as far
	 * as it fits; and what is not kept is named. */
	struct run *r = *state;
	Drover__V1__RatesRequest request = DROVER__V1__RATES_REQUEST__INIT;
	Drover__V1__RateSeries *series;
	struct error err;

	for (unsigned i = 0; i < 10; i++) {
		r->now_ms += 1000;
		report_all(r);
	}
	request.node = (char *)"host2";
	request.range_ms = 10000;
	request.step_ms = 2000;
	series = links_series_new(&r->c, &request, r->now_ms - 1, &err);
	assert_non_null(series);
	assert_string_equal(series->interface, "mi0");
	assert_int_equal(series->n_points, 5);
	assert_int_equal(series->points[4]->covered_ms, 2000);
	assert_in_range(series->points[4]->tx_bytes_per_s, 90 * MIB - 100, 90 * MIB + 100);
	assert_int_equal(series->points[0]->age_ms, 8000);
	view_free(series);
	request.range_ms = request.step_ms = 0;
	request.interface = (char *)"mg0";
	series = links_series_new(&r->c, &request, r->now_ms, &err);
	assert_non_null(series);
	assert_int_equal(series->n_points, 600);
	assert_string_equal(series->interface, "mg0");
	view_free(series);
	request.interface = (char *)"eth7";
	assert_null(links_series_new(&r->c, &request, r->now_ms, &err));
	assert_non_null(strstr(err.text, "no rates of host2 at eth7 are kept"));
	request.interface = (char *)"";
	request.range_ms = 2 * 86400000ull;
	assert_null(links_series_new(&r->c, &request, r->now_ms, &err));
	assert_int_equal(err.code, ERROR_INVALID);
}

#define RUN(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN(test_busiest_first),
		RUN(test_one_node),
		RUN(test_silence),
		RUN(test_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
