/* SPDX-License-Identifier: Apache-2.0 */
/* Policies on the wire: lists, orders and their replies, explanations. Private to the coordinator's
 * service; owner thread only. */
#pragma once

#include "coordinator/coordinator.h"
#include "proto/coordinator.pb-c.h"

void handle_policies(struct mesh_incoming *in, const Drover__V1__PoliciesRequest *r, void *context);
void order_set_policy(struct mesh_incoming *in, const Drover__V1__PolicyRequest *r, void *context);
void order_remove_policy(struct mesh_incoming *in, const Drover__V1__PolicyRequest *r,
                         void *context);
void explain_policy(struct coordinator *c, struct mesh_incoming *in, const char *name);
/* REPLY_POLICY */
void reply_policy(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply);

/* For view_free. */
Drover__V1__Policy *policy_view_new(const struct fleet *fleet, const struct policy *policy);
/* A sentence for each policy that names the guest. */
void policy_view_add_lines(const struct fleet *fleet, const struct vm *vm,
                           Drover__V1__Explanation *explanation);
