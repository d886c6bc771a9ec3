/* SPDX-License-Identifier: Apache-2.0 */
/* What a destination has said no to and would say no to for each guest alike of the same home. Private to
 * core/.
 *
 * Whether a host can run a certain CPU is for its libvirt to say: nobody else has its list of features. But
 * its answer hangs on nothing but the guest's CPU, machine type, emulator and TSC, of which there are few
 * in a fleet, and of which each guest has a digest (struct guest_needs). So one refusal of a check of those
 * speaks for all guests with that digest that run on the same host, until the destination's QEMU, kernel or
 * libvirt is another, it said something else, or DENIAL_MS has passed.
 *
 * Of the same host only: the digest is that host's word, and so is what it has shown the destination, and
 * often even the refusal. One that errs or lies shuts out its own guests and no other's (invariant I12).
 * Owner thread only. */
#pragma once

#include "coordinator/core/fleet.h"

/* An hour: a person may have changed what nobody reports. */
#define DENIAL_MS ((uint64_t)3600000)

/* @vm was judged on @node as @checks say. */
void denials_learn(struct node *node, const struct vm *vm, const struct checks *checks,
                   uint64_t now_ms);
/* What @node has said of a guest like the one seen at @home, where it lives; or NULL. */
const struct check *denials_find(const struct node *node, const struct sighting *home,
                                 uint64_t now_ms);
void denials_forget(struct node *node);

/* Kinds of which some host has said no, by home: for who judges many guests at once, and need not look at all
 * that was said for each. Two in 65,536 are taken for one. */
struct denied_kinds {
	uint64_t bits[1024];
};

void denials_collect(const struct node *node, uint64_t now_ms, struct denied_kinds *kinds);
/* False: nobody has said no to a guest like the one seen at @home. True: somebody may have. */
bool denials_concern(const struct denied_kinds *kinds, const struct sighting *home);
