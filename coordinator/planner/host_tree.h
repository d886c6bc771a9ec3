/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts by cost, asked for the cheapest that has room: a segment tree over the hosts in the order of
 * their keys. An inner node knows the least cost and the most room below it, so a question skips what
 * is too full or too dear. Who asks still checks the host it is given.
 */
#pragma once

#include "coordinator/planner/instance.h"

struct host_tree {
	uint32_t size;   /* leaves, a power of two */
	uint32_t *hosts; /* owned: of each leaf, NONE if there is none */
	uint32_t *leaf;  /* owned: of each host */
	struct host_tree_node {
		double cost;
		uint64_t free_bytes, vcpus;
	} * nodes; /* owned */
};

void host_tree_init(struct host_tree *tree, const struct instance *in);
void host_tree_deinit(struct host_tree *tree);

/* Closed hosts are set to a cost of INFINITY. */
void host_tree_set(struct host_tree *tree, uint32_t host, double cost, uint64_t free_bytes,
                   uint64_t vcpus);

/* What @host would cost, INFINITY if it cannot be; never less than its cost in the tree. */
typedef double host_tree_judge(void *context, uint32_t host, double cost);

/* The cheapest host, NONE if there is none; of those alike the one with the lowest key. */
uint32_t host_tree_find(const struct host_tree *tree, uint64_t need_bytes, uint64_t vcpus,
                        host_tree_judge *judge, void *context, double *ret_cost);
