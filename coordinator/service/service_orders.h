/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of people and programs: each handler turns one call into an event for the core, which answers
 * it. Private to the coordinator's service; owner thread only. */
#pragma once

#include "coordinator/coordinator.h"
#include "proto/coordinator.pb-c.h"

void order_drain(struct mesh_incoming *in, const Drover__V1__DrainRequest *r, void *context);
void order_undrain(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context);
void order_cordon(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context);
void order_uncordon(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context);
/* The name in the certificate, or "uid 0" on the local socket. */
void order_name_caller(const struct mesh_incoming *in, char *ret, size_t bytes);

void order_label(struct mesh_incoming *in, const Drover__V1__LabelRequest *r, void *context);
void order_migrate(struct mesh_incoming *in, const Drover__V1__MigrateRequest *r, void *context);
void order_cancel(struct mesh_incoming *in, const Drover__V1__CancelRequest *r, void *context);
void order_tune(struct mesh_incoming *in, const Drover__V1__TuneRequest *r, void *context);
void order_garbage(struct mesh_incoming *in, const Drover__V1__GarbageRequest *r, void *context);
void order_probe(struct mesh_incoming *in, const Drover__V1__ProbeRequest *r, void *context);
void order_fence(struct mesh_incoming *in, const Drover__V1__FenceRequest *r, void *context);
void order_unfence(struct mesh_incoming *in, const Drover__V1__NodeRequest *r, void *context);
