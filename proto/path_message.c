/* SPDX-License-Identifier: Apache-2.0 */
/* See path_message.h. */
#include "proto/path_message.h"

#include "common/alloc.h"

#include <stdio.h>

Drover__V1__PathEstimate *path_message_new(const char *node, const struct path_estimate *from)
{
	Drover__V1__PathEstimate *to = xmalloc(sizeof(*to));

	drover__v1__path_estimate__init(to);
	to->node = xstrdup(node);
	to->available_bytes_per_s = from->available_bytes_per_s;
	to->capacity_bytes_per_s = from->capacity_bytes_per_s;
	to->method = xstrdup(path_method_name(from->method));
	to->near_bytes_per_s = from->near_bytes_per_s;
	to->far_bytes_per_s = from->far_bytes_per_s;
	to->age_ms = from->age_ms;
	to->confidence_percent = from->confidence_percent;
	to->why = xstrdup(from->why);
	return to;
}

void path_message_read(const Drover__V1__PathEstimate *from, struct path_estimate *ret)
{
	struct path_estimate e = { 0 };

	if (from)
		e.method = path_method_parse(from->method);
	if (e.method != PATH_NONE && from->capacity_bytes_per_s) {
		e.capacity_bytes_per_s = from->capacity_bytes_per_s;
		e.available_bytes_per_s = path_narrower(from->capacity_bytes_per_s,
		                                        from->available_bytes_per_s);
		if (!from->available_bytes_per_s)
			e.available_bytes_per_s = 0;
		e.near_bytes_per_s = path_narrower(from->capacity_bytes_per_s,
		                                   from->near_bytes_per_s);
		e.far_bytes_per_s = from->far_bytes_per_s < from->capacity_bytes_per_s
		                            ? from->far_bytes_per_s
		                            : from->capacity_bytes_per_s;
		e.age_ms = from->age_ms;
		e.confidence_percent = from->confidence_percent < 100 ? from->confidence_percent
		                                                      : 100;
	} else {
		e.method = PATH_NONE;
	}
	if (from)
		snprintf(e.why, sizeof(e.why), "%s", from->why);
	*ret = e;
}
