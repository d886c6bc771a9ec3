/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of the coordinator whose answers are written down. */
#pragma once

#include "proto/mesh/mesh.h"

void fake_set_policy(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_remove_policy(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
void fake_list_policies(struct mesh_incoming *in, const ProtobufCMessage *m, void *context);
/* "explain policy/NAME" */
void fake_explain_policy(struct mesh_incoming *in, const char *name);
