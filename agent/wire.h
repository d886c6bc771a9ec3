/* SPDX-License-Identifier: Apache-2.0 */
/* Between the agent's plain values and the messages of proto/: the only place that knows both.
 *
 * Packing: wire_*_new gives a heap message that protobuf_c_message_free_unpacked() (wire_free)
 * takes down whole. Reading: every text and number that comes from a peer is checked here, so that
 * what is behind this file can trust lengths, verdicts and enums.
 */
#pragma once

#include "agent/host/dirty_rates.h"
#include "agent/host/inventory.h"
#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/attempt.h"
#include "agent/link/migration_tls.h"
#include "common/check.h"
#include "common/remnant.h"
#include "common/strategy.h"
#include "proto/agent.pb-c.h"
#include "proto/types.pb-c.h"

/* Frees any message made by the functions here, with all below it. NULL is fine. */
void wire_free(void *message);

/* Replaces *@field (owned by a heap message) by a copy of @text. */
void wire_set_text(char **field, const char *text);

Drover__V1__Attempt *wire_attempt_new(const struct attempt_name *name);
/* -ERROR_INVALID: a ladder that this version does not know. */
int wire_strategy_read(const Drover__V1__MigrationSettings *from, struct strategy *ret,
                       struct error *err);
int wire_attempt_read(const Drover__V1__Attempt *from, struct attempt_name *ret, struct error *err);

/* An array for a repeated field; owned by the message it is put into. */
Drover__V1__Check **wire_checks_new(const struct check *items, size_t count);
/* Adds to @list; what is over CHECKS_MAX is an error. */
int wire_checks_read(Drover__V1__Check *const *from, size_t count, struct check_list *list,
                     struct error *err);

Drover__V1__Remnant **wire_remnants_new(const struct remnant *items, size_t count);
/* At most REMNANTS_MAX into @ret. */
int wire_remnants_read(Drover__V1__Remnant *const *from, size_t count, struct remnant *ret,
                       size_t *ret_count, struct error *err);

Drover__V1__MigrationTls *wire_migration_tls_new(const struct migration_tls *tls);
/* NULL: the peer tells nothing. */
int wire_migration_tls_read(const Drover__V1__MigrationTls *from, struct migration_tls *ret,
                            struct error *err);

/* Windows that were measured, with their ages. */
Drover__V1__MemoryUse *wire_memory_use_new(const struct memory_use *use, uint64_t now_ms);

Drover__V1__VmState *wire_vm_state_new(const struct inventory_vm *vm, bool own_job);

Drover__V1__VmDescription *wire_description_new(const struct vm_description *d);
/* On success the caller deinits @ret. Disk proofs stay in the message. */
int wire_description_read(const Drover__V1__VmDescription *from, struct vm_description *ret,
                          struct error *err);
