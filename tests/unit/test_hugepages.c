/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of huge pages as the kernel shows them: free ones less reserved ones, and per node. */
#include "agent/host/hugepages.h"

#include "common/alloc.h"
#include "common/units.h"
#include "tests/scratch.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[64];

static void put(const char *name, const char *text)
{
	assert_int_equal(scratch_put(root, name, text), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_hugepages.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return scratch_remove(root);
}

/* What a process has reserved is not free, though the kernel's first count says so. */
static void f56_pool(void **state)
{
	struct hugepage_finding f;

	(void)state;
	put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "100\n");
	put("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "40\n");
	put("sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "90\n");
	put("sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "10\n");
	hugepages_measure(root, 2 * MIB, &f);
	assert_true(f.measured);
	assert_int_equal(f.free_bytes, 120 * MIB);
	assert_int_equal(f.nodes, 3);
	assert_int_equal(f.node_free_bytes[0], 180 * MIB);
	assert_int_equal(f.node_free_bytes[1], 20 * MIB);
	/* All reserved: none is free. */
	put("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "101\n");
	hugepages_measure(root, 2 * MIB, &f);
	assert_int_equal(f.free_bytes, 0);
}

/* Nodes have numbers with gaps; which there are is known without any pool. */
static void f56_nodes(void **state)
{
	struct hugepage_finding f;

	(void)state;
	put("sys/devices/system/node/node0/cpulist", "0-3\n");
	put("sys/devices/system/node/node8/hugepages/hugepages-2048kB/free_hugepages", "4\n");
	hugepages_measure(root, 0, &f);
	assert_true(f.measured);
	assert_int_equal(f.nodes, 1 | 1 << 8);
	assert_int_equal(f.node_free_bytes[8], 0);
	hugepages_measure(root, 2 * MIB, &f);
	assert_int_equal(f.node_free_bytes[8], 8 * MIB);
}

/* A size that the kernel does not have is an empty pool; a file that makes no sense is not measured. */
static void f56_no_pool(void **state)
{
	struct hugepage_finding f;

	(void)state;
	hugepages_measure(root, GIB, &f);
	assert_true(f.measured);
	assert_int_equal(f.free_bytes, 0);
	put("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "many\n");
	hugepages_measure(root, GIB, &f);
	assert_false(f.measured);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(f56_pool, setup, teardown),
		cmocka_unit_test_setup_teardown(f56_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(f56_no_pool, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
