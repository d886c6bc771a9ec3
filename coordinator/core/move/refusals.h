/* SPDX-License-Identifier: Apache-2.0 */
/* What a destination has said no to of one guest (struct refusal), and what would change its mind.
 *
 *	again_ms   until then it is not asked again; sooner if room has appeared, and room is all it lacked
 *	known_ms   until then it counts where nobody is asked: capacity, and what would help
 *
 * So a drain tries again soon, for somebody may have mounted the storage; and whoever only looks is not told
 * in between that a guest could go where it was refused. Owner thread only. */
#pragma once

#include "coordinator/core/fleet.h"

/* Whether one of @checks fails for something else than room, or what passes by itself. */
bool refusals_are_lasting(const struct checks *checks);

/* NULL: it has refused nothing, or has been asked since, or that was long ago. */
const struct refusal *refusals_find_known(const struct vm *vm, const struct node *node,
                                          uint64_t now_ms);
/* Room is all that @node lacked when it refused @vm. */
bool refusals_are_of_room(const struct vm *vm, const struct node *node);
/* A disk that it would take a copy of. */
bool refusals_offer_copy(const struct check *check);
/* With copies of its disks it would have said yes, but for room. */
bool refusals_yield_to_copy(const struct refusal *refusal);

/* All that failed: "host2 refused: disk/vda: missing here, required ...; memory: 1 GiB free". */
void refusals_describe(const struct refusal *refusal, char *ret_text);
/* What each of those checks asks for, as one who is to do it reads it; "": nothing is known. */
void refusals_tell_remedy(const struct refusal *refusal, char *ret_text);

/* @node would refuse @vm, as somebody has asked who does not move it: that is known, and bars nothing. */
void refusals_note(struct vm *vm, const struct node *node, const struct checks *checks,
                   const char *why, uint64_t now_ms);
/* Copies are asked for now: what would have been cleared by them is asked anew. */
void refusals_forget_disks(struct vm *vm);
/* A destination has been asked about @vm, and says no (@admitted false) or yes. */
void refusals_see_answer(struct vm *vm, const char *target, bool admitted, uint64_t now_ms);
/* Whether some destination has looked at it of late. */
bool refusals_were_asked(const struct vm *vm, uint64_t now_ms);
