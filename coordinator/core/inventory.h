/* SPDX-License-Identifier: Apache-2.0 */
/* Facts from agents into the fleet: private to core/. */
#pragma once

#include "coordinator/core/change.h"

void inventory_attach(struct fleet *fleet, const struct event *event);
void inventory_lose(struct fleet *fleet, const struct event *event);
void inventory_take_snapshot(struct fleet *fleet, const struct event *event);
void inventory_take_host(struct fleet *fleet, const struct event *event);
void inventory_take_vm(struct fleet *fleet, const struct event *event);
void inventory_take_vm_gone(struct fleet *fleet, const struct event *event);

/* The agent of that node has said something: made if it is new, and its time noted. */
struct node *inventory_hear(struct fleet *fleet, const char *name);

/* Its agent is connected and has said something lately. */
bool node_is_heard(const struct node *node, uint64_t now_ms);
/* ... and what it lists may be relied on. */
bool node_is_sure(const struct node *node, uint64_t now_ms);
