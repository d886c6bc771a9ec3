/* SPDX-License-Identifier: Apache-2.0 */
/* From messages of the coordinator to what people read. Pure: the same message, output and time give
 * the same text, whatever the coordinator left out. */
#pragma once

#include "proto/coordinator.pb-c.h"
#include "tools/drover/output.h"

#include <stddef.h>
#include <stdint.h>

/* --- tables of lists --- */
void leases_print(const struct output *o, Drover__V1__Lease *const *leases, size_t n);
void nodes_print(const struct output *o, Drover__V1__Node *const *nodes, size_t n);
void vms_print(const struct output *o, Drover__V1__Vm *const *vms, size_t n);
void migrations_print(const struct output *o, Drover__V1__Migration *const *migrations, size_t n,
                      uint64_t now_wall_ms);
void drains_print(const struct output *o, Drover__V1__Drain *const *drains, size_t n,
                  uint64_t now_wall_ms);
/* @headers: whether this is the beginning of what is printed. */
void events_print(const struct output *o, Drover__V1__Event *const *events, size_t n, bool headers);

void policies_print(const struct output *o, Drover__V1__Policy *const *policies, size_t n,
                    uint64_t now_wall_ms);
/* Where its guests are, and who set it. */
void policy_print(const struct output *o, const Drover__V1__Policy *policy, uint64_t now_wall_ms);

/* What interfaces carry. @history: a picture of the last ten minutes beside it. */
void links_print(const struct output *o, Drover__V1__Link *const *links, size_t n, bool history);
/* The same over several times, for one node. */
void link_times_print(const struct output *o, Drover__V1__Link *const *links, size_t n);

/* --- one thing --- */
void status_print(const struct output *o, const Drover__V1__Status *status,
                  const Drover__V1__NodeList *nodes, const Drover__V1__MigrationList *migrations,
                  const Drover__V1__DrainList *drains, uint64_t now_wall_ms);
/* @asked: what it was asked for as, where the explanation does not say. */
void explanation_print(const struct output *o, const char *asked,
                       const Drover__V1__Explanation *explanation);
/* May @vm go to @node, and if not, why not. */
void why_not_print(const struct output *o, const char *vm, const char *node,
                   const Drover__V1__Explanation *explanation);
/* @named: the nodes were named, so that each guest's place is shown. */
void capacity_print(const struct output *o, const Drover__V1__Capacity *capacity, bool named);
void place_print(const struct output *o, const Drover__V1__PlaceReply *reply);
/* Checks as a table: verdict, what was measured, what is required, what to do. */
void checks_print(const struct output *o, Drover__V1__Check *const *checks, size_t n);

/* --- drain and migrate --- */

/* It is foretold to be given up: the guest stays where it is. NULL is fine. */
bool prediction_gives_up(const Drover__V1__Prediction *p);
/* It is seen not to end by itself: its agent will give it up. NULL is fine. */
bool progress_gives_up(const Drover__V1__Progress *p);
/* "ends ≈ 0:36", or that it does not, with why and what helps; only if its end is known. Escaped. Owned. */
char *progress_end_words(const struct output *o, const Drover__V1__Progress *p, const char *vm,
                         const char *left);

/* The dry run of a drain. */
void drain_plan_print(const struct output *o, const Drover__V1__Drain *drain);
/* Whether it will be over by the time that was named, and what would help; nothing if none was. */
void deadline_print(const struct output *o, const Drover__V1__Drain *drain, uint64_t now_wall_ms);
/* Guests that have no destination as things are. */
size_t drain_plan_count_blocked(const Drover__V1__Drain *drain);
/* Guests that have one, and are foretold to be given up on their way. */
size_t drain_plan_count_endless(const Drover__V1__Drain *drain);
/* Why a drain was refused, with the flags that allow going on. @node: what is drained, in a sentence;
 * @command: what was typed, without how it is shown: "drover drain host1". @would: a dry run. */
void drain_refusal_print(const struct output *o, const char *node, const char *command,
                         const Drover__V1__DrainReply *reply, bool would);
void migrate_refusal_print(const struct output *o, const char *vm,
                           const Drover__V1__MigrateReply *reply, bool would);
void migrate_plan_print(const struct output *o, const char *vm,
                        const Drover__V1__MigrateReply *reply);
/* The end of a drain: a row per guest, totals, what to do next. @migrations: those of the drain. */
void drain_summary_print(const struct output *o, const Drover__V1__Drain *drain,
                         Drover__V1__Migration *const *migrations, size_t n_migrations);
void migration_summary_print(const struct output *o, const Drover__V1__Migration *migration);

/* After "clean" and what else is said of things that a migration could leave: a line of figures, then
 * what is left and what nobody could look at, with the reason and what to do. The lines begin with
 * @title in a field of @width, the rest under it. */
void remnants_print(const struct output *o, unsigned width, Drover__V1__Remnant *const *remnants,
                    size_t n);
/* How many were looked for and are gone, of all that could be there. */
struct remnant_counts {
	unsigned gone, left, not_looked, total;
};
void remnants_count(Drover__V1__Remnant *const *remnants, size_t n, struct remnant_counts *counts);
/* "9/9", "7/9, 1 left, 1 not looked at" */
char *remnants_summary(const struct remnant_counts *counts, char *ret_text);
#define REMNANTS_SUMMARY_BYTES 96

/* --- words --- */

/* "Running"; what the coordinator says, or KubeVirt's word for the state. */
const char *migration_phase(const Drover__V1__Migration *m);
/* "drain/7", or what else it was asked for by; "": a person. To be freed. */
char *migration_part_of(const Drover__V1__Migration *m);
const char *migration_state_name(Drover__V1__MigrationState state); /* "running" */
const char *guard_name(Drover__V1__Guard guard);                    /* "image lock" */
const char *verdict_name(Drover__V1__Check__Verdict verdict);       /* "pass" */

/* Why a guest of a drain waits, without the "waits: " that stands in front of it elsewhere. */
const char *drain_vm_reason(const Drover__V1__DrainVm *vm);

/* Whether it will never change again. An unresolved migration may. */
bool migration_is_over(const Drover__V1__Migration *m);
bool drain_is_over(const Drover__V1__Drain *d);

/* "8 passed", "7 passed, 1 warned", "memory failed"; "" when there are none. */
char *checks_summary(Drover__V1__Check *const *checks, size_t n, char *ret_text);

#define VERIFICATION_SUMMARY_BYTES 512
/* Of a guest that has moved: "11/11", or that nobody has compared it, and why. */
char *verification_summary(const Drover__V1__AttemptReport *r, char *ret_text);
#define CHECKS_SUMMARY_BYTES 96

/* What each guest came to. */
struct drain_counts {
	unsigned moved, moving, waiting, left, stopping, stopped, blocked, total;
};
struct drain_counts drain_count(const Drover__V1__Drain *d);

/* --- prediction.c --- */
#define PREDICTION_TEXT_BYTES 240
/* "12 s (10 s to 15 s)" */
char *prediction_interval(const struct output *o, const Drover__V1__Prediction *p,
                          char text[PREDICTION_TEXT_BYTES]);
/* "what was measured permits both: ...": where the two ends of the interval stand for different ends of the
 * move; "" where its end is certain. */
char *prediction_uncertain(const struct output *o, const Drover__V1__Prediction *p,
                           char text[PREDICTION_TEXT_BYTES]);
const char *prediction_end_words(const Drover__V1__Prediction *p);
/* In an explanation; @took_ms 0: it is not done. */
void prediction_print(const struct output *o, const Drover__V1__Prediction *p, uint64_t took_ms,
                      uint64_t downtime_ms, uint64_t sent_bytes);
/* In a dry run. */
void prediction_print_plan(const struct output *o, const Drover__V1__Prediction *p);
