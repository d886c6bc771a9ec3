/* SPDX-License-Identifier: Apache-2.0 */
/* Records and batches: copies, owners, and the words for their states. */
#include "coordinator/core/record.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const drain_state_names[] = {
	[DRAIN_PLANNED] = "planned", [DRAIN_RUNNING] = "running",
	[DRAIN_BLOCKED] = "blocked", [DRAIN_COMPLETED] = "completed",
	[DRAIN_PARTLY] = "partly",   [DRAIN_CANCELLED] = "cancelled",
};
static_assert(ARRAY_SIZE(drain_state_names) == DRAIN_STATES, "a drain state without a name");

static const char *const phase_names[] = {
	[SHUTDOWN_ALLOWED] = "allowed",   [SHUTDOWN_ASKED] = "asked", [SHUTDOWN_OFF] = "off",
	[SHUTDOWN_STARTING] = "starting", [SHUTDOWN_OVER] = "over",
};
static_assert(ARRAY_SIZE(phase_names) == SHUTDOWN_PHASES, "a phase without a name");

static const char *const severity_names[] = {
	[SEVERITY_INFO] = "info",
	[SEVERITY_WARNING] = "warning",
	[SEVERITY_ALARM] = "alarm",
};
static_assert(ARRAY_SIZE(severity_names) == SEVERITIES, "a severity without a name");

static const char *const policy_kind_names[] = {
	[POLICY_APART] = "apart",
	[POLICY_TOGETHER] = "together",
	[POLICY_ON] = "on",
};
static_assert(ARRAY_SIZE(policy_kind_names) == POLICY_KINDS, "a kind of policy without a name");

const char *policy_kind_name(enum policy_kind kind)
{
	assert((unsigned)kind < POLICY_KINDS);
	return policy_kind_names[kind];
}

enum policy_kind policy_kind_parse(const char *name)
{
	enum policy_kind kind = POLICY_APART;

	while (kind < POLICY_KINDS && strcmp(policy_kind_names[kind], name) != 0)
		kind++;
	return kind;
}

const char *drain_state_name(enum drain_state state)
{
	assert((unsigned)state < DRAIN_STATES);
	return drain_state_names[state];
}

const char *shutdown_phase_name(enum shutdown_phase phase)
{
	assert((unsigned)phase < SHUTDOWN_PHASES);
	return phase_names[phase];
}

bool drain_record_leaves(const struct drain_record *drain, const char *uuid, const char *name)
{
	return names_contain(&drain->leave, uuid) || names_contain(&drain->leave, name);
}

struct shutdown *drain_record_find_shutdown(const struct drain_record *drain, const char *uuid)
{
	for (size_t i = 0; i < drain->n_shutdowns; i++) {
		if (strcmp(drain->shutdowns[i].uuid, uuid) == 0)
			return &drain->shutdowns[i];
	}
	return NULL;
}

struct shutdown *drain_record_add_shutdown(struct drain_record *drain, const char *uuid,
                                           const char *name)
{
	struct shutdown *s;

	drain->shutdowns = xreallocarray(drain->shutdowns, drain->n_shutdowns + 1,
	                                 sizeof(*drain->shutdowns));
	s = &drain->shutdowns[drain->n_shutdowns++];
	*s = (struct shutdown){ .phase = SHUTDOWN_ALLOWED };
	text_copy(s->uuid, sizeof(s->uuid), uuid);
	text_copy(s->name, sizeof(s->name), name);
	return s;
}

const char *severity_name(enum severity severity)
{
	assert((unsigned)severity < SEVERITIES);
	return severity_names[severity];
}

bool drain_state_is_final(enum drain_state state)
{
	return state == DRAIN_COMPLETED || state == DRAIN_PARTLY || state == DRAIN_CANCELLED;
}

void drain_record_copy(struct drain_record *to, const struct drain_record *from)
{
	*to = *from;
	names_copy(&to->leave, &from->leave);
	to->shutdowns = from->n_shutdowns ? xmemdup(from->shutdowns,
	                                            from->n_shutdowns * sizeof(*to->shutdowns))
	                                  : NULL;
}

void drain_record_deinit(struct drain_record *drain)
{
	names_deinit(&drain->leave);
	free(drain->shutdowns);
	drain->shutdowns = NULL;
	drain->n_shutdowns = 0;
}

void migration_record_copy(struct migration_record *to, const struct migration_record *from)
{
	*to = *from;
	attempt_report_copy(&to->report, &from->report);
}

void migration_record_deinit(struct migration_record *migration)
{
	attempt_report_deinit(&migration->report);
}

void policy_record_copy(struct policy_record *to, const struct policy_record *from)
{
	*to = *from;
	names_copy(&to->vms, &from->vms);
	names_copy(&to->vm_names, &from->vm_names);
	names_copy(&to->nodes, &from->nodes);
}

void policy_record_deinit(struct policy_record *policy)
{
	names_deinit(&policy->vms);
	names_deinit(&policy->vm_names);
	names_deinit(&policy->nodes);
}

struct put *batch_add(struct batch *batch, enum put_kind kind)
{
	batch->puts = xreallocarray(batch->puts, batch->count + 1, sizeof(*batch->puts));
	batch->puts[batch->count] = (struct put){ .kind = kind };
	return &batch->puts[batch->count++];
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (size_t i = 0; i < batch->count; i++) {
		struct put *put = &batch->puts[i];

		if (put->kind == PUT_DRAIN)
			drain_record_deinit(&put->drain);
		else if (put->kind == PUT_MIGRATION)
			migration_record_deinit(&put->migration);
		else if (put->kind == PUT_POLICY)
			policy_record_deinit(&put->policy);
	}
	free(batch->puts);
	free(batch);
}

void store_contents_deinit(struct store_contents *contents)
{
	for (size_t i = 0; i < contents->n_drains; i++)
		drain_record_deinit(&contents->drains[i]);
	for (size_t i = 0; i < contents->n_migrations; i++)
		migration_record_deinit(&contents->migrations[i]);
	for (size_t i = 0; i < contents->n_policies; i++)
		policy_record_deinit(&contents->policies[i]);
	free(contents->policies);
	free(contents->nodes);
	free(contents->drains);
	free(contents->migrations);
	free(contents->vms);
	free(contents->events);
	*contents = (struct store_contents){ 0 };
}
