/* SPDX-License-Identifier: Apache-2.0 */
/* Between plan.c and plan_words.c. */
#pragma once

#include "coordinator/core/plan/plan.h"

/* @ret_text (REASON_BYTES, may be NULL): as plan_judge_class. */
enum plan_refusal plan_judge_need(const struct fleet *fleet, const struct plan_node *p,
                                  const struct vm *vm, const struct plan_need *need,
                                  bool ignore_slots, uint64_t now_ms, char *ret_text);
/* What it has refused and still refuses, or NULL. */
const struct refusal *plan_find_refusal(const struct vm *vm, const struct node *node,
                                        uint64_t now_ms);
/* Its own and the cluster's. */
uint32_t plan_get_inbound_cap(const struct fleet *fleet, const struct node *node);

/* --- plan_words.c --- */

enum plan_refusal plan_describe(const struct fleet *fleet, const struct plan_node *p,
                                const struct vm *vm, const struct plan_need *need,
                                bool ignore_slots, uint64_t now_ms, char *ret_text);
/* @only: of that node alone; NULL: of all. */
void plan_explain(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                  const char *only, bool ignore_slots, uint64_t now_ms, char *ret_reason);
