/* SPDX-License-Identifier: Apache-2.0 */
/* What plan_checker counts with: books of its own, signed, so that what is below zero is seen. All that
 * judge return NULL, or what is wrong (a static text). */
#pragma once

#include "coordinator/planner/planner.h"

#include <stdio.h>

extern char plan_wrong[256];

#define WRONG(...) (snprintf(plan_wrong, sizeof(plan_wrong), __VA_ARGS__), plan_wrong)

struct plan_books {
	const struct instance *in;
	int64_t (*bytes)[INSTANCE_POOLS];
	int64_t *vcpus;
	uint32_t *at, *to; /* per guest */
};

void plan_books_init(struct plan_books *b, const struct instance *in);
void plan_books_deinit(struct plan_books *b);

/* Of the guest, from that pool. */
int64_t plan_books_need(const struct instance_vm *vm, unsigned p);

/* Why @move may not begin now. */
const char *plan_books_judge_start(const struct plan_books *b, const struct schedule_move *move);

/* A move begins, as judged; it ends. */
const char *plan_books_take(struct plan_books *b, const struct schedule_move *move);
void plan_books_give(struct plan_books *b, const struct schedule_move *move);
/* Everybody who leaves or runs has left, and what runs has come. */
void plan_books_settle(struct plan_books *b);
