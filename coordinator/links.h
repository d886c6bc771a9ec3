/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about what interfaces carry. Private to the coordinator's service; owner thread only. */
#pragma once

#include "coordinator/coordinator.h"
#include "proto/coordinator.pb-c.h"

void handle_links(struct mesh_incoming *in, const Drover__V1__LinksRequest *r, void *context);
void handle_rates(struct mesh_incoming *in, const Drover__V1__RatesRequest *r, void *context);
