/* SPDX-License-Identifier: Apache-2.0 */
/* What a destination has said no to and would say no to for every guest alike. Private to core/.
 *
 * Whether a host can run a certain CPU is for its libvirt to say: nobody else has its list of features. But
 * its answer hangs on nothing but the guest's CPU, machine type, emulator and TSC, of which there are few
 * in a fleet, and of which each guest has a digest (struct guest_needs). So one refusal of a check of those
 * speaks for all guests with that digest, until the host's QEMU, kernel or libvirt is another, it said
 * something else, or DENIAL_MS has passed. Owner thread only. */
#pragma once

#include "coordinator/core/fleet.h"

/* An hour: a person may have changed what nobody reports. */
#define DENIAL_MS ((uint64_t)3600000)

/* @vm was judged on @node as @checks say. */
void denials_learn(struct node *node, const struct vm *vm, const struct checks *checks,
                   uint64_t now_ms);
/* What @node has said of a guest like @vm, or NULL. */
const struct check *denials_find(const struct node *node, const struct guest_needs *needs,
                                 uint64_t now_ms);
void denials_forget(struct node *node);
