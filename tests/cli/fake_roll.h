/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts as a rolling operation finds them: what it drains is empty at once, and its labels stay. */
#pragma once

#include "proto/coordinator.pb-c.h"
#include "proto/mesh/mesh.h"

/* host2 keeps a guest, and host4 is being drained already, or, asked beforehand, has one that cannot move. Of
 * those to be shut down u2 is transient. */
void fake_drain_for_roll(struct mesh_incoming *in, const Drover__V1__DrainRequest *request);

void fake_nodes(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_label(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_drains(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_migrations(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
/* db1 was shut down for the drain of that host; asked to bring back, it starts, and then runs. On host3
 * there is no room for it after a rolling operation. */
void fake_undrain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
