/* SPDX-License-Identifier: Apache-2.0 */
/* See suite.h. Each case begins with the sentence it proves. */
#include "tests/conformance/hypervisor/suite.h"

#include "tests/conformance/hypervisor/suite_cases.h"

#include <stdio.h>

static void free_hypervisors(void)
{
	suite_stage->source->ops->free(suite_stage->source);
	suite_stage->target->ops->free(suite_stage->target);
	suite_watch_free(suite_source_watch);
	suite_watch_free(suite_target_watch);
}

int suite_run(const struct suite_stage *stage, const char *filter)
{
	int failed;

	suite_stage = stage;
	suite_source_watch = suite_watch_new(stage->source);
	suite_target_watch = suite_watch_new(stage->target);
	/* The first thing that is ever told is whether there is a connection. */
	if (!suite_watch_wait(suite_source_watch, 0, HYPERVISOR_CONNECTED, NULL, SOON_S, NULL) ||
	    !suite_watch_wait(suite_target_watch, 0, HYPERVISOR_CONNECTED, NULL, SOON_S, NULL)) {
		fprintf(stderr, "no connection within %d s\n", SOON_S);
		free_hypervisors();
		return 1;
	}
	if (filter)
		cmocka_set_test_filter(filter);
	failed = suite_run_facts() + suite_run_dirty() + suite_run_move() + suite_run_disks() +
	         suite_run_postcopy() + suite_run_power() + suite_run_lost();
	free_hypervisors();
	return failed;
}
