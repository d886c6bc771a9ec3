/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about what could be done: the state as a document, capacity, places. Each is answered at
 * once from the fleet in memory; nothing is reserved and no agent is asked. Private to the
 * coordinator's service; owner thread only. */
#pragma once

#include "coordinator/coordinator.h"
#include "proto/coordinator.pb-c.h"

void handle_export(struct mesh_incoming *in, const Drover__V1__ExportRequest *r, void *context);
void handle_capacity(struct mesh_incoming *in, const Drover__V1__CapacityRequest *r, void *context);
void handle_place(struct mesh_incoming *in, const Drover__V1__PlaceRequest *r, void *context);

/* --- service.c --- */

/* Limits and settings with where they come from; the number of them, each and *@ret to be freed (or
 * owned by a message). */
size_t service_list_settings(const struct coordinator *c, Drover__V1__Setting ***ret);
