/* SPDX-License-Identifier: Apache-2.0 */
/* A checker of answers about room that shares no code with who gives them: from the numbers alone, by
 * the most naive way there is. */
#pragma once

#include "coordinator/core/capacity/packing.h"

/* Whether they fit, by trying every room for every guest. Small numbers only. */
bool checker_fits(const struct packing *p);
/* NULL: the answer is right, and so is its proof; else what is wrong with it. */
const char *checker_find_fault(const struct packing *p, const struct packing_answer *answer,
                               const size_t *rooms);
