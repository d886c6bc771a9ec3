/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator whose answers are written down says to calls that change no story. */
#pragma once

#include "proto/mesh/mesh.h"

void fake_vms(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_cordon(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_explain(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_cancel(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
/* web1 would go to host3, unless @target is named. */
void fake_dry_migrate(struct mesh_incoming *in, const char *target);
void fake_tune(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_garbage(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_events(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_status(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_capacity(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_place(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_export(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
