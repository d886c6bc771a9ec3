/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of nodes: given by operators over those of the agent, kept, all changes of a request or none. */
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct reply *label(struct core_world *world, const char *node, const char *first,
                                 const char *second)
{
	char *items[] = { (char *)first, (char *)second };
	struct names changes = { .items = items, .count = second ? 2 : 1 };
	struct event event = { .kind = EVENT_LABEL, .request = 5 };

	event.label.node = node;
	event.label.changes = &changes;
	core_world_forget(world);
	core_world_step(world, &event);
	return core_world_reply(world);
}

static void expect(const struct core_world *world, const char *expected)
{
	char labels[LABELS_BYTES];

	node_get_labels(fleet_find_node(world->fleet, "host1"), labels);
	assert_string_equal(labels, expected);
}

/* What an operator gives is stored before it is answered, and wins over what the host says of itself. */
static void test_given_and_own(void **state)
{
	struct core_world *world = core_world_new();
	struct node *node;

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	node = fleet_find_node(world->fleet, "host1");
	text_copy(node->host.labels, sizeof(node->host.labels), "rack=a,ssd=");
	assert_true(label(world, "host1", "rack=b", "zone=1")->changed);
	expect(world, "rack=b,ssd=,zone=1");
	assert_int_equal(core_world_count(world, ACTION_STORE), 1);
	assert_false(label(world, "host1", "rack=b", NULL)->changed);
	assert_true(node_is_selected(node, "rack=b,ssd"));
	assert_false(node_is_selected(node, "rack=a"));
	assert_true(label(world, "host1", "rack-", NULL)->changed);
	expect(world, "rack=a,ssd=,zone=1");
	core_world_free(world);
}

/* One change that is none, or that cannot be made here, and nothing is changed. */
static void test_all_or_none(void **state)
{
	struct core_world *world = core_world_new();
	struct node *node;

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	node = fleet_find_node(world->fleet, "host1");
	text_copy(node->host.labels, sizeof(node->host.labels), "rack=a");
	assert_int_equal(label(world, "host1", "zone=1", "no label")->kind, REPLY_FAILED);
	assert_int_equal(label(world, "host1", "zone=1", "rack-")->kind, REPLY_FAILED);
	assert_non_null(strstr(core_world_reply(world)->error.text, "agent.yaml"));
	expect(world, "rack=a");
	assert_int_equal(label(world, "host9", "zone=1", NULL)->error.code, ERROR_NOT_FOUND);
	core_world_free(world);
}

/* What a host said of itself is in the store: after a restart it is selected before it has reported, and
 * what it says then counts. */
static void test_a_restart_forgets_no_label(void **state)
{
	struct core_world *world = core_world_new(), *later;
	struct store_contents contents = { .epoch = 1, .n_nodes = 1 };
	struct host_state host;
	struct event event = { .kind = EVENT_HOST };
	struct node *node;

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	host_state_copy(&host, &fleet_find_node(world->fleet, "host1")->host);
	text_copy(host.labels, sizeof(host.labels), "rack=a");
	event.host.node = "host1";
	event.host.host = &host;
	core_world_forget(world);
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_STORE), 1);
	core_world_step(world, &event);
	assert_int_equal(core_world_count(world, ACTION_STORE), 1);

	contents.nodes = &fleet_find_node(world->fleet, "host1")->kept;
	later = core_world_load(&contents);
	node = fleet_find_node(later->fleet, "host1");
	assert_false(node->known);
	assert_true(node_is_selected(node, "rack=a"));
	assert_null(fleet_describe_unheard_labels(later->fleet));
	core_world_host(later, "host1", 4096, NULL, 0);
	assert_false(node_is_selected(node, "rack=a"));
	host_state_deinit(&host);
	core_world_free(world);
	core_world_free(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_and_own),
		cmocka_unit_test(test_all_or_none),
		cmocka_unit_test(test_a_restart_forgets_no_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
