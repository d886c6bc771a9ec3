/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that a drain shuts down, because an operator has named each of them, and their way back on.
 * Private to core/.
 *
 *	allowed --all others have left--> asked --its host lists it as shut off--> off
 *	   ^                                |  ^                                    |
 *	   |                                '--' again, each time-out               | undrain --bring-back
 *	   '---------- somebody has started it meanwhile ------ over <--runs-- starting
 *
 * They are asked last, when no guest that moves is left: a drain that does not get that far has cost
 * nobody an outage, and theirs is the shorter one. Asked, never ended (invariants I7, I14): one that runs
 * on is shown as blocked, and asked again. That a guest is off is its host's word alone; that an order
 * arrived is not known until it answers, or the guest shows it (I8).
 *
 * Intent is durable before an order is sent. An order has a number, and the agent carries each number
 * out once. It is repeated, also after a restart of the coordinator, only to the same life of that agent;
 * to another one a new order is given, when it is time for that.
 *
 * One is started only where it was shut down, and only if every other host can be asked and none has it:
 * waiting for a host that is silent is better than a guest that runs twice (I1).
 */
#pragma once

#include "coordinator/core/change.h"

/* A guest that goes down later than this after the last order of a drain that was cancelled was not shut
 * down by it: far beyond what a guest takes, well before a person thinks of something else. */
#define POWER_OURS_MS ((uint64_t)3600000)

/* What this coordinator knows of one struct shutdown besides, in this life. */
struct power {
	uint64_t first_asked_ms, ordered_ms; /* 0 = not in this life */
	uint64_t ticket;                     /* the order may go out once this is stored */
	uint64_t retry_ms;                   /* not before */
	uint64_t answered_ms;    /* the agent has carried it out; 0 = it has not said so */
	bool send;               /* the order is to go out (again) */
	bool outstanding;        /* it is out, and not answered */
	bool gone_out;           /* it may have arrived */
	bool unknown;            /* whether it did will not be known */
	bool told;               /* people know that it is asked in vain */
	enum error_code refused; /* what the agent has said, with: */
	char refusal[REASON_BYTES];
};

struct power_counts {
	size_t stopping, held; /* asked; those that wait for the others */
};

uint64_t power_get_timeout(const struct fleet *fleet, const struct drain_record *drain);

/* Why a guest cannot be asked as it is; false: it can. @ret_reason: REASON_BYTES. */
bool power_finds_obstacle(const struct sighting *here, char *ret_reason);
/* Why no drain may ever be asked to shut it down: -ERROR_REFUSED, with what to do. */
int power_check_guest(const struct sighting *here, struct error *err);

/* What is said of one beforehand. */
void power_draft(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                 const struct sighting *here);

/* After a restart: those of @drain that were asked are among its guests. */
void power_restore(struct drain *drain);

/* @dv is not active on @node any more. True: it was shut down, and its state says so. */
bool power_see_off(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                   const struct node *node);

/* Of a drain under way: who is to be asked, and how those fare that were. */
void power_reconcile(struct fleet *fleet, struct drain *drain, struct node *node);
/* Of all drains that are over: what became of those that were asked or are off, and who is to start. */
void power_watch(struct fleet *fleet);
void power_take_outcome(struct fleet *fleet, const struct event *event);

/* Guests that drains of @node since it was last open have shut down: "off" (or asked, and off since). */
void power_list_off(const struct fleet *fleet, const struct node *node, struct names *ret);
/* "; db1 was asked to shut down and may still do so", or nothing: of a drain that is cancelled. */
void power_describe_asked(const struct drain *drain, char *ret, size_t bytes);

/* The way back: to @draft, those of @node that drains have shut down; @room_bytes is what is free there,
 * less what they take. */
void power_draft_way_back(struct fleet *fleet, const struct node *node, struct drain *draft,
                          uint64_t *room_bytes);
/* Those of @draft that wait are to start. Returns how many. */
size_t power_start_way_back(struct fleet *fleet, struct node *node, struct drain *draft);

/* A guest of it was asked, or is off, and nobody else knows. */
bool power_is_needed(const struct drain_record *drain);

/* Private to power*.c. */
struct power *power_of(struct drain *drain, const struct shutdown *s);
void power_order(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s);
/* Sends the order, if it may go out now. */
void power_send(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s,
                enum action_kind kind);
/* Its host lists it as shut off, and no host has it. */
bool power_is_off(const struct vm *vm, const struct node *node);
/* A host other than @node that has it, or NULL. */
const struct node *power_find_elsewhere(const struct vm *vm, const struct node *node);
void power_set(struct fleet *fleet, struct drain *drain, struct shutdown *s,
               enum shutdown_phase phase);
