/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of two agents (tests/sim/agents.h) have in common: the short names of how a move ends, the
 * guests that move, and the ends that every one of them must come to. */
#pragma once

#include "common/units.h"
#include "tests/sim/agents.h"

#define DONE       DROVER__V1__MIGRATION_STATE__DONE
#define FAILED     DROVER__V1__MIGRATION_STATE__FAILED
#define CANCELLED  DROVER__V1__MIGRATION_STATE__CANCELLED
#define UNRESOLVED DROVER__V1__MIGRATION_STATE__UNRESOLVED

/* Gone before one can look, and long enough under way to interfere with. */
extern const struct fake_guest_settings agents_small, agents_large;

/* On the link of agents_begin: one that moves at once, and one that writes twice what the link carries,
 * so that its passes take a second each for ever. */
#define AGENTS_LINK_BYTES_PER_S (32 * MIB)
extern const struct fake_guest_settings agents_calm, agents_wild;

/* Adds it with a disk, an image in t->directory, which a lock manager guards where there is one. */
void agents_add_guest_with_disk(struct agents *t, const struct fake_guest_settings *guest);

/* Two hosts with a link of AGENTS_LINK_BYTES_PER_S between them, and a guest with a disk on the first. */
struct agents *agents_begin(const struct fake_guest_settings *guest, struct strategy strategy,
                            bool lock_manager);

/* Whether neither host has anything left of a move; @context is the struct agents. */
bool agents_is_clean(void *context);

/* The guest came, and is gone here. */
void agents_expect_arrived(struct agents *t);

/* The end that every test has: the guest never ran twice, and nothing is left of the move. Frees @t. */
void agents_finish(struct agents *t);

/* The report has a decision with this in it. */
void agents_expect_decision(const struct agents *t, const char *text);
/* Whether the guest runs on the second host; @context is the struct agents. */
bool agents_runs_there(void *context);

/* A move of agents_wild that has switched to post-copy, in which @fault is to happen. */
struct agents *agents_start_post_copy(enum fake_fault fault);

/* Lets so much time pass: for what must not happen. */
void agents_let_pass(struct agents *t, uint64_t ms);
