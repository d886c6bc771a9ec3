/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor.h. Names of states, and what frees the values that cross the seam. Used from any
 * thread; holds nothing. */
#include "agent/hypervisor/hypervisor.h"

#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const run_state_names[] = {
	[VM_UNKNOWN] = "unknown",   [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
	[VM_INCOMING] = "incoming", [VM_SHUTOFF] = "shutoff", [VM_CRASHED] = "crashed",
};
static_assert(ARRAY_SIZE(run_state_names) == VM_RUN_STATES, "every state has a name");

const char *vm_run_state_name(enum vm_run_state state)
{
	if ((unsigned int)state >= VM_RUN_STATES)
		return run_state_names[VM_UNKNOWN];
	return run_state_names[state];
}

static const char *const pause_reason_names[] = {
	[VM_PAUSE_NONE] = "none",           [VM_PAUSE_USER] = "user",
	[VM_PAUSE_MIGRATION] = "migration", [VM_PAUSE_POSTCOPY_FAILED] = "postcopy-failed",
	[VM_PAUSE_IO_ERROR] = "io-error",   [VM_PAUSE_OTHER] = "other",
};
static_assert(ARRAY_SIZE(pause_reason_names) == VM_PAUSE_REASONS, "every reason has a name");

const char *vm_pause_reason_name(enum vm_pause_reason reason)
{
	if ((unsigned int)reason >= VM_PAUSE_REASONS)
		return pause_reason_names[VM_PAUSE_OTHER];
	return pause_reason_names[reason];
}

static const char *const place_kind_names[] = {
	[VM_PLACE_ADDRESS] = "address",
	[VM_PLACE_DIRECTORY] = "directory",
	[VM_PLACE_PATH] = "path",
};
static_assert(ARRAY_SIZE(place_kind_names) == VM_PLACE_KINDS, "every kind has a name");

const char *vm_place_kind_name(enum vm_place_kind kind)
{
	return (unsigned int)kind < VM_PLACE_KINDS ? place_kind_names[kind] : "unknown";
}

static const char *const agent_channel_names[] = {
	[VM_AGENT_NONE] = "none",
	[VM_AGENT_DISCONNECTED] = "disconnected",
	[VM_AGENT_CONNECTED] = "connected",
};
static_assert(ARRAY_SIZE(agent_channel_names) == VM_AGENT_CHANNELS, "every channel has a name");

const char *vm_agent_channel_name(enum vm_agent_channel channel)
{
	return (unsigned int)channel < VM_AGENT_CHANNELS ? agent_channel_names[channel] : "unknown";
}

static const char *const end_sentences[] = {
	[VM_END_NONE] = "the guest ended at its source during the move",
	[VM_END_POWERED_OFF] = "the guest powered off at its source during the move: drover starts "
			       "nothing; to have it again, start it on either host",
	[VM_END_DESTROYED] =
		"the guest was ended at its source during the move, by somebody's hand "
		"(virsh destroy): drover starts nothing",
	[VM_END_DIED] =
		"the guest's QEMU died at its source during the move: drover starts nothing; "
		"the reason is in /var/log/libvirt/qemu/ there, in the file of its name",
};
static_assert(ARRAY_SIZE(end_sentences) == VM_ENDS, "every end has a sentence");

const char *vm_end_sentence(enum vm_end end)
{
	return end_sentences[(unsigned int)end < VM_ENDS ? end : VM_END_NONE];
}

bool vm_summary_equal(const struct vm_summary *a, const struct vm_summary *b)
{
	return strcmp(a->uuid, b->uuid) == 0 && strcmp(a->name, b->name) == 0 &&
	       a->state == b->state && a->pause_reason == b->pause_reason &&
	       strcmp(a->reason, b->reason) == 0 && a->memory_bytes == b->memory_bytes &&
	       a->vcpus == b->vcpus && a->active == b->active && a->persistent == b->persistent &&
	       a->autostart == b->autostart && a->job_out == b->job_out &&
	       a->postcopy == b->postcopy;
}

void vm_description_deinit(struct vm_description *d)
{
	free(d->cpu_xml);
	d->cpu_xml = NULL;
}

void vm_list_deinit(struct vm_list *list)
{
	free(list->items);
	*list = (struct vm_list){ 0 };
}

uint64_t hypervisor_round_speed(uint64_t bytes_per_s)
{
	if (bytes_per_s == 0)
		return 0;
	return bytes_per_s < MIB ? MIB : bytes_per_s / MIB * MIB;
}

void vm_description_judge_shutdown(struct vm_description *d)
{
	if (!d->no_shutdown[0] && !d->summary.persistent)
		snprintf(d->no_shutdown, sizeof(d->no_shutdown),
		         "it is transient: once it is off its definition is lost; to make it last: "
		         "virsh dumpxml, virsh define");
}
