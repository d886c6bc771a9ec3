/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the ways from a node, as messages. See view.h. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "coordinator/core/fleet_path.h"
#include "proto/path_message.h"

void view_fill_paths(const struct fleet *fleet, const struct node *node, uint64_t now_ms,
                     Drover__V1__HostState *m)
{
	const struct host_state *h = &node->host;

	m->other_traffic_known = h->other_known;
	m->other_rx_bytes_per_s = h->other_rx_bytes_per_s;
	m->other_tx_bytes_per_s = h->other_tx_bytes_per_s;
	m->paths = xcalloc(h->n_paths, sizeof(*m->paths));
	for (size_t i = 0; i < h->n_paths; i++) {
		const struct node *target = fleet_find_node(fleet, h->paths[i].node);
		struct path_estimate e;

		if (target && fleet_get_path(node, target, now_ms, &e))
			m->paths[m->n_paths++] = path_message_new(h->paths[i].node, &e);
	}
}
