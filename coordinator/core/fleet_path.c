/* SPDX-License-Identifier: Apache-2.0 */
/* See fleet_path.h. */
#include "coordinator/core/fleet_path.h"

#include <stdio.h>
#include <string.h>

/* Worth of what devices say of themselves; virtual ones say nothing (agent.c). */
#define LINK_SPEED_PERCENT 30
/* Where what others use is not measured, or not apart from migrations. */
#define UNMEASURED_PERCENT 40

static uint64_t link_of(const struct node *node)
{
	for (size_t i = 0; i < node->host.n_interfaces; i++) {
		if (node->host.interfaces[i].link_bytes_per_s)
			return node->host.interfaces[i].link_bytes_per_s;
	}
	return 0;
}

static const struct path_estimate *find_estimate(const struct node *source,
                                                 const struct node *target)
{
	for (size_t i = 0; i < source->host.n_paths; i++) {
		if (strcmp(source->host.paths[i].node, target->kept.name) == 0)
			return &source->host.paths[i].estimate;
	}
	return NULL;
}

void fleet_complete_path(const struct node *source, const struct node *target,
                         struct path_estimate *e)
{
	path_limit(e, path_narrower(link_of(source), link_of(target)));
	e->available_bytes_per_s = path_available(e, source->host.other_tx_bytes_per_s,
	                                          target->host.other_rx_bytes_per_s);
	if (source->host.other_known && target->host.other_known)
		return;
	if (e->confidence_percent > UNMEASURED_PERCENT)
		e->confidence_percent = UNMEASURED_PERCENT;
	snprintf(e->why, sizeof(e->why), "other traffic on %.40s is not measured",
	         source->host.other_known ? target->kept.name : source->kept.name);
}

bool fleet_get_path(const struct node *source, const struct node *target, uint64_t now_ms,
                    struct path_estimate *ret)
{
	const struct path_estimate *told = find_estimate(source, target);
	uint64_t links = path_narrower(link_of(source), link_of(target));
	struct path_estimate e = { 0 };

	*ret = e;
	if (told && told->method > PATH_LINK_SPEED) {
		e = *told;
	} else if (links) {
		e.method = PATH_LINK_SPEED;
		e.capacity_bytes_per_s = e.near_bytes_per_s = e.far_bytes_per_s = links;
		e.confidence_percent = LINK_SPEED_PERCENT;
		text_copy(e.why, sizeof(e.why),
		          told && told->why[0] ? told->why : "nobody has tried it");
	}
	if (e.method == PATH_NONE)
		return false;
	if (source->last_seen_ms && now_ms > source->last_seen_ms)
		e.age_ms += now_ms - source->last_seen_ms;
	fleet_complete_path(source, target, &e);
	*ret = e;
	return true;
}

uint64_t fleet_get_path_payload(const struct node *source, const struct node *target,
                                uint64_t now_ms)
{
	struct path_estimate e;

	if (!fleet_get_path(source, target, now_ms, &e) ||
	    e.confidence_percent < PATH_BELIEVED_PERCENT)
		return 0;
	return e.available_bytes_per_s / 1000 * PATH_PAYLOAD_PERMILLE;
}
