/* SPDX-License-Identifier: Apache-2.0 */
/* Guests alike, and the hosts that they can go to at all, as rows of bits: judged once for all of them, and
 * kept for one plan. Of a fleet there are few kinds of guests. Private to core/.
 *
 * Class 0 is every host. A guest that a host has refused, or that several hosts list, has a class of its
 * own; of those alike of which a host has refused one, each home has its own (denials.h). Hosts that take nobody now are judged, too: whether they do is not part of a class. */
#pragma once

#include "coordinator/core/move/denials.h"
#include "coordinator/core/plan/plan.h"

struct classes {
	const struct plan *plan; /* borrowed */
	uint64_t now_ms;
	bool remembers; /* what was refused counts for as long as it is known (refusals.h) */
	uint64_t *rows; /* owned, as all here; `words` each, row 0 is of class 1 */
	uint32_t count, words, room;
	struct alike *known;
	size_t n_known, room_known;
	struct denied_kinds denied;
};

void classes_init(struct classes *c, const struct plan *plan, uint64_t now_ms);
void classes_deinit(struct classes *c);

uint32_t classes_get(struct classes *c, const struct vm *vm);
/* @node: of plan->nodes. */
bool classes_allow(const struct classes *c, uint32_t class_id, size_t node);
