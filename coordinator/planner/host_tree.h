/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts by cost, asked for the cheapest that has room: a segment tree over the hosts in the order of
 * their keys. An inner node knows the least cost below it, of all hosts and of those with room for each
 * of a few sizes, so a question skips what is too full or too dear. Guests come in few sizes: where one
 * is among them, only hosts that have room are looked at. Who asks still checks the host.
 */
#pragma once

#include "coordinator/planner/instance.h"

#define HOST_TREE_SIZES 10

struct host_tree_node {
	double cost[HOST_TREE_SIZES]; /* of hosts with so much room at least */
	uint64_t vcpus;
};

struct host_tree {
	uint32_t size;                   /* leaves, a power of two */
	uint32_t *hosts;                 /* owned: of each leaf, NONE if there is none */
	uint32_t *leaf;                  /* owned: of each host */
	uint64_t sizes[HOST_TREE_SIZES]; /* rising; the first is 0 */
	struct host_tree_node *nodes;    /* owned */
};

/* @sizes: that will be asked for, n of them, rising. */
void host_tree_init(struct host_tree *tree, const struct instance *in, const uint64_t *sizes,
                    size_t n);
void host_tree_deinit(struct host_tree *tree);

/* Closed hosts are set to a cost of INFINITY. */
void host_tree_set(struct host_tree *tree, uint32_t host, double cost, uint64_t free_bytes,
                   uint64_t vcpus);

/* All at once: each host, then the tree. */
void host_tree_put(struct host_tree *tree, uint32_t host, double cost, uint64_t free_bytes,
                   uint64_t vcpus);
void host_tree_build(struct host_tree *tree);

/* What @host would cost, INFINITY if it cannot be; never less than its cost in the tree and what the
 * question adds to each. */
typedef double host_tree_judge(void *context, uint32_t host, double cost);

/* @added: what is added to the cost of any host at least: the closer, the fewer are looked at.
 * The cheapest host (of the first few that have room, cheaper ones looked at first), NONE if there is
 * none; of those alike the one with the lowest key. */
uint32_t host_tree_find(const struct host_tree *tree, uint64_t need_bytes, uint64_t vcpus,
                        double added, host_tree_judge *judge, void *context);
