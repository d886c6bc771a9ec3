/* SPDX-License-Identifier: Apache-2.0 */
/* From messages of agents to the core's plain facts, checking what a peer says on the way.
 *
 * A peer with a good certificate can still be wrong or hostile: names must fit, enums be known, and
 * figures make sense. What does not is an error, and nothing of that message is used.
 */
#pragma once

#include "common/error.h"
#include "coordinator/core/facts.h"
#include "proto/agent.pb-c.h"
#include "proto/types.pb-c.h"

/* Each fills @ret, which owns nothing yet, and which the caller deinits on success. */
int facts_read_vm(const Drover__V1__VmState *from, struct vm_state *ret, struct error *err);
int facts_read_host(const Drover__V1__HostState *from, struct host_state *ret, struct error *err);
int facts_read_report(const Drover__V1__AttemptReport *from, struct attempt_report *ret,
                      struct error *err);
/* free(*ret). */
int facts_read_fenced(const Drover__V1__SetFenceReply *from, struct fenced_guest **ret,
                      size_t *ret_count, struct error *err);
int facts_read_mark(const Drover__V1__DrainMark *from, struct drain_mark *ret, struct error *err);
int facts_read_checks(Drover__V1__Check *const *from, size_t count, struct checks *ret,
                      struct error *err);
