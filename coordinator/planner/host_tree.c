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

/* Some of the sizes, evenly: all of them if they are few. */
static void choose_sizes(struct host_tree *tree, const uint64_t *sizes, size_t n)
{
	size_t distinct = 0, at = 0, seen = 0;

	for (size_t i = 0; i < n; i++)
		distinct += !i || sizes[i] != sizes[i - 1];
	for (size_t i = 0; i < n; i++) {
		if (i && sizes[i] == sizes[i - 1])
			continue;
		seen++;
		if (at + 1 < HOST_TREE_SIZES && seen * (HOST_TREE_SIZES - 1) >= (at + 1) * distinct)
			tree->sizes[++at] = sizes[i];
	}
	while (++at < HOST_TREE_SIZES)
		tree->sizes[at] = UINT64_MAX;
}

void host_tree_init(struct host_tree *tree, const struct instance *in, const uint64_t *sizes,
                    size_t n)
{
	struct keyed *order = xcalloc((size_t)in->n_hosts + 1, sizeof(*order));

	*tree = (struct host_tree){ .size = 1 };
	choose_sizes(tree, sizes, n);
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
	for (uint32_t i = 0; i < tree->size * 2; i++) {
		for (unsigned k = 0; k < HOST_TREE_SIZES; k++)
			tree->nodes[i].cost[k] = INFINITY;
	}
	free(order);
}

void host_tree_deinit(struct host_tree *tree)
{
	free(tree->hosts);
	free(tree->leaf);
	free(tree->nodes);
	*tree = (struct host_tree){ 0 };
}

void host_tree_put(struct host_tree *tree, uint32_t host, double cost, uint64_t free_bytes,
                   uint64_t vcpus)
{
	struct host_tree_node *leaf = &tree->nodes[tree->size + tree->leaf[host]];

	for (unsigned k = 0; k < HOST_TREE_SIZES; k++)
		leaf->cost[k] = free_bytes >= tree->sizes[k] ? cost : INFINITY;
	leaf->vcpus = vcpus;
}

static void sum_up(struct host_tree *tree, uint32_t i)
{
	const struct host_tree_node *a = &tree->nodes[2 * i], *b = a + 1;

	for (unsigned k = 0; k < HOST_TREE_SIZES; k++)
		tree->nodes[i].cost[k] = a->cost[k] < b->cost[k] ? a->cost[k] : b->cost[k];
	tree->nodes[i].vcpus = a->vcpus > b->vcpus ? a->vcpus : b->vcpus;
}

void host_tree_build(struct host_tree *tree)
{
	for (uint32_t i = tree->size - 1; i; i--)
		sum_up(tree, i);
}

void host_tree_set(struct host_tree *tree, uint32_t host, double cost, uint64_t free_bytes,
                   uint64_t vcpus)
{
	host_tree_put(tree, host, cost, free_bytes, vcpus);
	for (uint32_t i = (tree->size + tree->leaf[host]) / 2; i; i /= 2)
		sum_up(tree, i);
}

/* So many that have room are compared; further ones would be hardly better. */
#define COMPARED 4

struct question {
	const struct host_tree *tree;
	unsigned size; /* of tree->sizes: the largest that is not more than what is needed */
	uint64_t vcpus;
	host_tree_judge *judge;
	void *context;
	double best, added, alike; /* alike: what rounding makes of equal costs */
	unsigned compared;
	uint32_t leaf; /* of the best */
};

/* @low: the first leaf below @i. */
static bool is_worth(const struct question *q, uint32_t i, uint32_t low)
{
	const struct host_tree_node *node = &q->tree->nodes[i];
	double least = node->cost[q->size] + q->added;

	/* Guests of one size on hosts of one size: most are alike, and the first of them is found. */
	return least <= q->best && !isinf(least) && q->compared != COMPARED &&
	       (low < q->leaf || least <= q->best - q->alike) && node->vcpus >= q->vcpus;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tree */
static void ask(struct question *q, uint32_t i, uint32_t low, uint32_t leaves)
{
	const struct host_tree_node *node = &q->tree->nodes[i];
	uint32_t half = leaves / 2;
	bool right_first;

	if (leaves == 1) {
		double cost = q->judge(q->context, q->tree->hosts[low], node->cost[q->size]);

		q->compared += !isinf(cost);
		if (cost < q->best || (cost == q->best && !isinf(cost) && low < q->leaf)) {
			q->best = cost;
			q->leaf = low;
		}
		return;
	}
	right_first = q->tree->nodes[2 * i + 1].cost[q->size] < q->tree->nodes[2 * i].cost[q->size];
	for (unsigned n = 0; n < 2; n++) {
		uint32_t right = (n == 0) == right_first;

		if (is_worth(q, 2 * i + right, low + right * half))
			ask(q, 2 * i + right, low + right * half, half);
	}
}

uint32_t host_tree_find(const struct host_tree *tree, uint64_t need_bytes, uint64_t vcpus,
                        double added, host_tree_judge *judge, void *context)
{
	struct question q = { .tree = tree,
		              .vcpus = vcpus,
		              .judge = judge,
		              .context = context,
		              .best = INFINITY,
		              .added = added * (1 - 1e-9), /* rounding is no reason to miss one */
		              .alike = added * 3e-9,
		              .leaf = INSTANCE_NONE };

	while (q.size + 1 < HOST_TREE_SIZES && tree->sizes[q.size + 1] <= need_bytes)
		q.size++;
	if (is_worth(&q, 1, 0))
		ask(&q, 1, 0, tree->size);
	return q.leaf == INSTANCE_NONE ? INSTANCE_NONE : tree->hosts[q.leaf];
}
