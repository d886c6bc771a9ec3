/* SPDX-License-Identifier: Apache-2.0 */
/* Will a drain be over by the time that was named, who would still be there, and what would help?
 * Private to core/.
 *
 * A report and nothing else: a time that passes stops no migration and no guest. It is computed from
 * the same durations of guests as the estimate of the whole (drain_vm.eta_ms, alone_ms). The time is the wall
 * clock's, because people name it; nothing but what is told hangs on it.
 */
#pragma once

#include "coordinator/core/change.h"

/* Of guests that take @durations_ms one after the other over @slots: when each ends. */
void deadline_schedule(const uint64_t *durations_ms, size_t count, uint32_t slots,
                       uint64_t *ret_ends_ms);

/* Fills drain->deadline and the guests' end_ms and late. Helps are worked out if @with_helps: that
 * takes a schedule for each. @slots: at a time. */
void deadline_judge(const struct fleet *fleet, struct drain *drain, uint32_t slots,
                    bool with_helps);
/* Of a drain under way, once in a while: judges, and says at once when it will be missed, when it will
 * be met after all, and when it has passed. */
void deadline_watch(struct fleet *fleet, struct drain *drain, uint32_t slots);
