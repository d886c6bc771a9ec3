/* SPDX-License-Identifier: Apache-2.0 */
/* A segment tree of hosts. Theory: host_tree.h. */
#include "coordinator/planner/host_tree.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

struct keyed {
	uint64_t key;
	uint32_t host;
};

static int compare_keys(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->host < y->host ? -1 : x->host > y->host;
}

void host_tree_init(struct host_tree *tree, const struct instance *in)
{
	struct keyed *order = xcalloc((size_t)in->n_hosts + 1, sizeof(*order));

	tree->size = 1;
	while (tree->size < in->n_hosts)
		tree->size *= 2;
	tree->hosts = xcalloc(tree->size, sizeof(*tree->hosts));
	tree->leaf = xcalloc((size_t)in->n_hosts + 1, sizeof(*tree->leaf));
	tree->nodes = xcalloc((size_t)tree->size * 2, sizeof(*tree->nodes));
	for (uint32_t h = 0; h < in->n_hosts; h++)
		order[h] = (struct keyed){ .key = in->hosts[h].key, .host = h };
	qsort(order, in->n_hosts, sizeof(*order), compare_keys);
	for (uint32_t i = 0; i < tree->size; i++) {
		tree->hosts[i] = i < in->n_hosts ? order[i].host : INSTANCE_NONE;
		if (i < in->n_hosts)
			tree->leaf[order[i].host] = i;
	}
	for (uint32_t i = 0; i < tree->size * 2; i++)
		tree->nodes[i].cost = INFINITY;
	free(order);
}

void host_tree_deinit(struct host_tree *tree)
{
	free(tree->hosts);
	free(tree->leaf);
	free(tree->nodes);
	*tree = (struct host_tree){ 0 };
}

void host_tree_set(struct host_tree *tree, uint32_t host, double cost, uint64_t free_bytes,
                   uint64_t vcpus)
{
	uint32_t i = tree->size + tree->leaf[host];

	tree->nodes[i] = (struct host_tree_node){ .cost = cost,
		                                  .free_bytes = free_bytes,
		                                  .vcpus = vcpus };
	for (i /= 2; i; i /= 2) {
		const struct host_tree_node *a = &tree->nodes[2 * i], *b = a + 1;

		tree->nodes[i].cost = a->cost < b->cost ? a->cost : b->cost;
		tree->nodes[i].free_bytes = a->free_bytes > b->free_bytes ? a->free_bytes
		                                                          : b->free_bytes;
		tree->nodes[i].vcpus = a->vcpus > b->vcpus ? a->vcpus : b->vcpus;
	}
}

struct question {
	const struct host_tree *tree;
	uint64_t need_bytes, vcpus;
	host_tree_judge *judge;
	void *context;
	double best;
	uint32_t leaf; /* of the best */
};

static void ask(struct question *q, uint32_t i) /* NOLINT(misc-no-recursion): as deep as the tree */
{
	const struct host_tree_node *node = &q->tree->nodes[i];
	uint32_t first;
	double cost;

	if (isinf(node->cost) || node->cost > q->best || node->free_bytes < q->need_bytes ||
	    node->vcpus < q->vcpus)
		return;
	if (i >= q->tree->size) {
		uint32_t leaf = i - q->tree->size;

		cost = q->judge(q->context, q->tree->hosts[leaf], node->cost);
		if (cost < q->best || (cost == q->best && !isinf(cost) && leaf < q->leaf)) {
			q->best = cost;
			q->leaf = leaf;
		}
		return;
	}
	first = 2 * i + (q->tree->nodes[2 * i + 1].cost < q->tree->nodes[2 * i].cost);
	ask(q, first);
	ask(q, first ^ 1);
}

uint32_t host_tree_find(const struct host_tree *tree, uint64_t need_bytes, uint64_t vcpus,
                        host_tree_judge *judge, void *context, double *ret_cost)
{
	struct question q = { .tree = tree,
		              .need_bytes = need_bytes,
		              .vcpus = vcpus,
		              .judge = judge,
		              .context = context,
		              .best = INFINITY,
		              .leaf = INSTANCE_NONE };

	ask(&q, 1);
	if (q.leaf == INSTANCE_NONE)
		return INSTANCE_NONE;
	*ret_cost = q.best;
	return tree->hosts[q.leaf];
}
