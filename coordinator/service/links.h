/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about what interfaces carry. Private to the coordinator's service; owner thread only. */
#pragma once

#include "coordinator/coordinator.h"
#include "proto/coordinator.pb-c.h"

/* The answers; view_free. NULL: @err says why. */
Drover__V1__LinkList *links_list_new(const struct coordinator *c, const Drover__V1__LinksRequest *r,
                                     uint64_t now_ms, struct error *err);
Drover__V1__RateSeries *links_series_new(const struct coordinator *c,
                                         const Drover__V1__RatesRequest *r, uint64_t now_ms,
                                         struct error *err);

void handle_links(struct mesh_incoming *in, const Drover__V1__LinksRequest *r, void *context);
void handle_rates(struct mesh_incoming *in, const Drover__V1__RatesRequest *r, void *context);
