/* SPDX-License-Identifier: Apache-2.0 */
/* Policies said in a line each. */
#pragma once

#include "coordinator/core/policy/policy.h"
#include "tests/unit/core_world.h"

/* @vms and @nodes: "db1,db2"; @nodes with a '=' in it: labels. Returns the answer. */
const struct reply *policy_say(struct core_world *world, const char *name, enum policy_kind kind,
                               bool soft, const char *vms, const char *nodes);
const struct reply *policy_unsay(struct core_world *world, const char *name);
/* As policy_say; fails the test when it is refused. */
void policy_must(struct core_world *world, const char *name, enum policy_kind kind, bool soft,
                 const char *vms, const char *nodes);
struct policy *policy_of(const struct core_world *world, const char *name);
/* The latest event about it; "" if there is none. */
const char *policy_event(const struct core_world *world, const char *name);

/* Where the guest runs. */
const char *policy_place(const struct core_world *world, const char *vm);
