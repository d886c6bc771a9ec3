/* SPDX-License-Identifier: Apache-2.0 */
/* What the interfaces of all nodes carry and have carried (Coordinator.ListLinks, GetRates).
 *
 *	HostState, once a second and node --> links_take() --> rate_history of the node
 *	drover top links, show node/N, the API <-- view of it, made when somebody asks
 *
 * Nothing is decided with this, and nothing is stored: it begins anew with the coordinator. Of a node that
 * is silent there is no rate, however fresh the last one looks. Owner thread. */
#include "coordinator/service/links.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "coordinator/core/predict/rate_history.h"
#include "coordinator/view/view.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MINUTE_MS      60000
#define TEN_MINUTES_MS 600000
#define DAY_MS         86400000
/* Agents report once a second. */
#define SILENT_MS   5000
#define POINTS_MOST 60
#define LINKS_MOST  1000
#define SERIES_MOST 1000

struct rate_book {
	char node[NODE_NAME_BYTES];
	struct rate_history *history; /* owned */
	UT_hash_handle hh;
};

void links_take(struct coordinator *c, const char *node, const struct host_state *host,
                uint64_t now_ms)
{
	struct rate_book *book;

	HASH_FIND_STR(c->rates, node, book);
	if (!book) {
		book = xnew(struct rate_book);
		text_copy(book->node, sizeof(book->node), node);
		book->history = rate_history_new();
		HASH_ADD_STR(c->rates, node, book);
	}
	rate_history_add(book->history, &host->boot_id, host->interfaces, host->n_interfaces,
	                 now_ms);
}

void links_stop(struct coordinator *c)
{
	struct rate_book *book, *next;

	HASH_ITER (hh, c->rates, book, next) {
		HASH_DEL(c->rates, book);
		rate_history_free(book->history);
		free(book);
	}
}

/* --- answers --- */

static Drover__V1__RateSum *sum_new(const struct rate_sum *from, uint64_t age_ms)
{
	Drover__V1__RateSum *m = xmalloc(sizeof(*m));

	drover__v1__rate_sum__init(m);
	m->covered_ms = from->covered_ms;
	m->rx_bytes_per_s = from->mean[RATE_RECEIVED];
	m->tx_bytes_per_s = from->mean[RATE_SENT];
	m->migration_rx_bytes_per_s = from->mean[RATE_MIGRATION_RECEIVED];
	m->migration_tx_bytes_per_s = from->mean[RATE_MIGRATION_SENT];
	m->rx_most_bytes_per_s = from->most[RATE_RECEIVED];
	m->tx_most_bytes_per_s = from->most[RATE_SENT];
	m->age_ms = age_ms;
	return m;
}

static Drover__V1__RateSum *range_new(const struct rate_history *history, const char *interface,
                                      uint64_t range_ms, uint64_t now_ms)
{
	struct rate_sum sum;

	rate_history_sum(history, interface, range_ms, now_ms, &sum);
	return sum_new(&sum, 0);
}

/* Its points, of the last @range_ms. */
static Drover__V1__RateSum **points_new(const struct rate_history *history, const char *interface,
                                        uint64_t range_ms, uint64_t now_ms, size_t n)
{
	Drover__V1__RateSum **array = xcalloc(n, sizeof(*array));
	struct rate_sum *sums = xcalloc(n, sizeof(*sums));

	rate_history_list(history, interface, range_ms, now_ms, sums, n);
	for (size_t i = 0; i < n; i++)
		array[i] = sum_new(&sums[i], range_ms / n * (n - 1 - i));
	free(sums);
	return array;
}

static uint64_t busier(const struct rate_now *now)
{
	return now->rates[RATE_RECEIVED] > now->rates[RATE_SENT] ? now->rates[RATE_RECEIVED]
	                                                         : now->rates[RATE_SENT];
}

static bool is_migration(const struct node *node, const struct rate_now *now)
{
	/* It is the first that an agent reports. */
	return node->host.n_interfaces && strcmp(node->host.interfaces[0].name, now->name) == 0;
}

static Drover__V1__Link *link_new(const struct node *node, const struct rate_history *history,
                                  const struct rate_now *now, size_t points, uint64_t now_ms)
{
	Drover__V1__Link *m = xmalloc(sizeof(*m));

	drover__v1__link__init(m);
	m->node = xstrdup(node->kept.name);
	m->interface = xstrdup(now->name);
	m->migration = is_migration(node, now);
	m->source = xstrdup(now->source);
	m->age_ms = now_ms - now->at_ms;
	m->known = strcmp(now->source, "none") != 0 && m->age_ms < SILENT_MS &&
	           node->state != NODE_UNREACHABLE;
	m->classified = m->known && strncmp(now->source, "ebpf", 4) == 0;
	m->link_bytes_per_s = now->link_bytes_per_s;
	if (m->known) {
		m->rx_bytes_per_s = now->rates[RATE_RECEIVED];
		m->tx_bytes_per_s = now->rates[RATE_SENT];
		if (now->link_bytes_per_s)
			m->used_permille = (uint32_t)(busier(now) * 1000 / now->link_bytes_per_s);
	}
	if (m->classified) {
		m->migration_rx_bytes_per_s = now->rates[RATE_MIGRATION_RECEIVED];
		m->migration_tx_bytes_per_s = now->rates[RATE_MIGRATION_SENT];
	}
	m->minute = range_new(history, now->name, MINUTE_MS, now_ms);
	m->ten_minutes = range_new(history, now->name, TEN_MINUTES_MS, now_ms);
	m->day = range_new(history, now->name, DAY_MS, now_ms);
	m->points = points_new(history, now->name, TEN_MINUTES_MS, now_ms, points);
	m->n_points = points;
	return m;
}

struct candidate {
	const struct node *node;
	const struct rate_history *history;
	const struct rate_now *now;
};

/* To an eighth: lines that say nearly the same keep their places from second to second. */
static uint64_t rank(const struct rate_now *now)
{
	uint64_t rate = busier(now);
	unsigned digits = 0;

	for (; rate >= 16; rate /= 2)
		digits++;
	return digits * 16 + rate;
}

static int busiest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int by_name;

	if (rank(x->now) != rank(y->now))
		return rank(x->now) < rank(y->now) ? 1 : -1;
	by_name = strcmp(x->node->kept.name, y->node->kept.name);
	return by_name ? by_name : strcmp(x->now->name, y->now->name);
}

static size_t list_candidates(const struct coordinator *c, const Drover__V1__LinksRequest *r,
                              struct candidate *ret, uint32_t *ret_left_out)
{
	struct rate_book *book, *next;
	size_t n = 0;

	HASH_ITER (hh, c->rates, book, next) {
		const struct node *node = fleet_find_node(c->fleet, book->node);
		const struct rate_now *now[RATE_INTERFACES];
		size_t interfaces = rate_history_get(book->history, now);

		if (!node || (r->node[0] && strcmp(r->node, book->node) != 0))
			continue;
		if (r->all)
			*ret_left_out += (uint32_t)rate_history_left_out(book->history);
		for (size_t i = 0; i < interfaces; i++)
			if (r->all || is_migration(node, now[i]))
				ret[n++] = (struct candidate){ node, book->history, now[i] };
	}
	return n;
}

Drover__V1__LinkList *links_list_new(const struct coordinator *c, const Drover__V1__LinksRequest *r,
                                     uint64_t now_ms, struct error *err)
{
	size_t points = r->points < POINTS_MOST ? r->points : POINTS_MOST;
	size_t limit = r->limit ? r->limit : LINKS_MOST, n;
	struct candidate *candidates;
	Drover__V1__LinkList *list;
	struct node *node;

	if (limit > LINKS_MOST) {
		error_set(err, ERROR_INVALID, "%zu links are asked for; the most at a time are %d",
		          limit, LINKS_MOST);
		return NULL;
	}
	if (r->node[0] && fleet_get_node(c->fleet, r->node, &node, err) < 0)
		return NULL;
	list = xmalloc(sizeof(*list));
	drover__v1__link_list__init(list);
	candidates = xcalloc(HASH_COUNT(c->rates) * RATE_INTERFACES, sizeof(*candidates));
	n = list_candidates(c, r, candidates, &list->left_out);
	qsort(candidates, n, sizeof(*candidates), busiest_first);
	if (n > limit) {
		list->left_out += (uint32_t)(n - limit);
		n = limit;
	}
	list->links = xcalloc(n, sizeof(*list->links));
	for (size_t i = 0; i < n; i++)
		list->links[list->n_links++] = link_new(candidates[i].node, candidates[i].history,
		                                        candidates[i].now, points, now_ms);
	free(candidates);
	return list;
}

void handle_links(struct mesh_incoming *in, const Drover__V1__LinksRequest *r, void *context)
{
	Drover__V1__LinkList *list;
	struct error err;

	list = links_list_new(context, r, clock_now_ms(), &err);
	if (!list) {
		mesh_fail_error(in, &err);
		return;
	}
	mesh_reply(in, &list->base);
	view_free(list);
}

static int find_series(const struct coordinator *c, const Drover__V1__RatesRequest *r,
                       const struct rate_history **ret, const char **ret_interface,
                       struct error *err)
{
	const struct rate_now *now[RATE_INTERFACES];
	struct rate_book *book;
	struct node *node;
	size_t n;

	if (fleet_get_node(c->fleet, r->node, &node, err) < 0)
		return -(int)err->code;
	HASH_FIND_STR(c->rates, node->kept.name, book);
	n = book ? rate_history_get(book->history, now) : 0;
	for (size_t i = 0; i < n; i++) {
		if (r->interface[0] ? strcmp(now[i]->name, r->interface) == 0
		                    : is_migration(node, now[i])) {
			*ret = book->history;
			*ret_interface = now[i]->name;
			return 0;
		}
	}
	return error_set(err, ERROR_NOT_FOUND,
	                 "no rates of %s at %.32s are kept: drover show node/%s names the "
	                 "interfaces that are counted there",
	                 node->kept.name, r->interface[0] ? r->interface : "the migration network",
	                 node->kept.name);
}

Drover__V1__RateSeries *links_series_new(const struct coordinator *c,
                                         const Drover__V1__RatesRequest *r, uint64_t now_ms,
                                         struct error *err)
{
	uint64_t range_ms = r->range_ms ? r->range_ms : TEN_MINUTES_MS, step_ms = r->step_ms;
	const struct rate_history *history = NULL;
	Drover__V1__RateSeries *series;
	const char *interface = NULL;

	if (find_series(c, r, &history, &interface, err) < 0 ||
	    rate_history_fit(&range_ms, &step_ms, SERIES_MOST, err) < 0)
		return NULL;
	series = xmalloc(sizeof(*series));
	drover__v1__rate_series__init(series);
	series->node = xstrdup(r->node);
	series->interface = xstrdup(interface);
	series->range_ms = range_ms;
	series->step_ms = step_ms;
	series->n_points = range_ms / step_ms;
	series->points = points_new(history, interface, range_ms, now_ms, series->n_points);
	return series;
}

void handle_rates(struct mesh_incoming *in, const Drover__V1__RatesRequest *r, void *context)
{
	Drover__V1__RateSeries *series;
	struct error err;

	series = links_series_new(context, r, clock_now_ms(), &err);
	if (!series) {
		mesh_fail_error(in, &err);
		return;
	}
	mesh_reply(in, &series->base);
	view_free(series);
}
