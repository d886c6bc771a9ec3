/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: what people want about where guests are.
 *
 *	APART      no two of these guests on one host
 *	TOGETHER   all of these guests on one host
 *	ON         these guests on these hosts only, by name or by label
 *
 * A hard one is obeyed by all that drover does: no guest is sent where it would break one, at no
 * instant (a guest that moves counts at both ends), unless a person says so by name. A soft one is a
 * wish: of the destinations that there are the one that breaks the fewest is taken. drover moves
 * nobody to repair what others have broken; it says so, and how.
 *
 *	policy.c          who has which, and what stands between a guest and a host
 *	policy_state.c    whether each holds as things are, since when, and the events of that
 *	policy_request.c  what people ask for: checked against the others, stored, answered
 *	policy_wish.c     what each host would leave unmet, and what the hosts lack that are wished for
 *	drain_policies.c  the same as groups and classes of the planner
 *
 * Guests are kept by uuid: another name is no other guest. What is kept is intent; whether it holds is
 * seen anew from the inventories, and of a guest that nobody lists nothing is concluded.
 */
#pragma once

#include "coordinator/core/fleet.h"

struct plan;

struct policy {
	struct policy_record kept;
	bool unsaved;    /* private */
	uint32_t unseen; /* of its guests: no host runs them, or none is heard that might */
	char reason[REASON_BYTES]; /* what it does not hold for: "db1 and db2 are both on host2" */
	struct names helps;        /* owned; commands that would repair it */
	bool due;                  /* private to policy_state.c: this step looks at it */
	UT_hash_handle hh;
};

/* Takes @kept's contents; in place of one of that name. */
struct policy *policy_add(struct fleet *fleet, struct policy_record *kept);
/* What the store had; copied. */
void policy_load(struct fleet *fleet, const struct policy_record *records, size_t count);
/* Forgotten now, and in the store at the end of this step. */
void policy_remove(struct fleet *fleet, struct policy *policy);
void policy_save(struct policy *policy);
/* What was saved in this step. */
void policy_collect(struct fleet *fleet, struct batch *batch);
void policy_forget_all(struct fleet *fleet);

struct policy *policy_find(const struct fleet *fleet, const char *name);
/* Those that name this guest. Borrowed, until the next policy is added or removed. */
size_t policy_list_of(const struct fleet *fleet, const char *uuid, struct policy *const **ret);
/* As it is called now, or was called then. */
const char *policy_get_vm_name(const struct fleet *fleet, const struct policy *policy, size_t i);
/* Whether ON means that host. */
bool policy_names_node(const struct policy *policy, const struct node *node);

/* A hard policy that keeps @vm from @node as things are, NULL if none does. @ret_text (REASON_BYTES, may
 * be NULL): "host3: policy db keeps it apart from db2, which is there". */
const struct policy *policy_find_bar(const struct fleet *fleet, const struct vm *vm,
                                     const struct node *node, char *ret_text);
/* How many soft ones would not hold with it there; @ret_text: the first, likewise. */
uint32_t policy_count_broken(const struct fleet *fleet, const struct vm *vm,
                             const struct node *node, char *ret_text);

/* The same for all hosts at once, by plan_index; as long as there are hosts, freed by free(). A large
 * policy costs its size for a guest, and not for each host that is compared. NULL: it has no soft one. */
uint32_t *policy_list_broken(const struct fleet *fleet, const struct vm *vm);
/* A soft ON that would not hold with @vm on @node, if there is one: what it wants, and what of it each
 * host lacks that it names: "policy ssd wants it on host3; host3 312 MiB short of memory". @open: what is
 * said of one that has room, behind its name. @ret_text: REASON_BYTES. */
bool policy_explain_wish(const struct fleet *fleet, const struct vm *vm, const struct node *node,
                         const struct plan *plan, const char *open, uint64_t now_ms,
                         char *ret_text);

/* Where @vm will be as far as that is decided: where its move goes, or where it runs, unless that host
 * is to be emptied of it. NULL: it is not. */
const struct node *policy_get_place(const struct fleet *fleet, const struct vm *vm);

enum policy_verdict { POLICY_HOLDS, POLICY_VIOLATED, POLICY_UNKNOWN, POLICY_VERDICTS };

enum policy_verdict policy_get_verdict(const struct policy *policy);
const char *policy_verdict_name(enum policy_verdict verdict); /* "holds", "violated", "unknown" */
/* Looks at those that this step may have changed: private to core/. */
void policy_reconcile(struct fleet *fleet);
