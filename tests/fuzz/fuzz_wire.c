/* SPDX-License-Identifier: Apache-2.0 */
/* What agents and coordinators read out of each other's messages, once the mesh has let them through:
 * every reader takes or refuses with a reason, leaks nothing, and what it gives out is within its
 * bounds. The first byte of the input chooses the message. */
#include "agent/storage/storage_proof_wire.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "coordinator/facts_read.h"
#include "proto/agent.pb-c.h"
#include "proto/mesh/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(const struct error *err)
{
	assert(err->code != ERROR_NONE && err->text[0]);
}

/* --- what an agent reads --- */

static void read_attempt(const Drover__V1__Attempt *m)
{
	struct attempt_name name;
	struct error err;

	if (wire_attempt_read(m, &name, &err) < 0)
		refused(&err);
	else
		assert(name.number > 0 && name.number <= ATTEMPT_NUMBER_MAX && name.epoch > 0);
}

static void read_proof(const Drover__V1__StorageProof *m)
{
	struct storage_proof proof;
	struct error err;

	if (storage_proof_read(m, &proof, &err) < 0) {
		refused(&err);
		return;
	}
	assert(proof.method < STORAGE_METHODS && !strchr(proof.identity, '\n'));
	assert(proof.method != STORAGE_INODE_NONCE || proof.nonce_path[0] == '/');
}

static void read_description(const Drover__V1__VmDescription *m)
{
	struct vm_description *d;
	struct error err;

	if (!m)
		return;
	d = xnew(struct vm_description);
	if (wire_description_read(m, d, &err) < 0) {
		refused(&err);
	} else {
		assert(d->n_disks <= VM_DISKS_MAX && d->n_interfaces <= VM_INTERFACES_MAX);
		vm_description_deinit(d);
	}
	free(d);
	for (size_t i = 0; i < m->n_disks; i++)
		read_proof(m->disks[i]->proof);
}

static void read_list(Drover__V1__Check *const *checks, size_t count)
{
	struct check_list *list = xnew(struct check_list);
	struct error err;

	if (wire_checks_read(checks, count, list, &err) < 0)
		refused(&err);
	assert(list->count <= CHECKS_MAX);
	free(list);
}

/* --- what a coordinator reads --- */

static void read_vm(const Drover__V1__VmState *m)
{
	struct vm_state vm;
	struct error err;

	if (facts_read_vm(m, &vm, &err) < 0)
		refused(&err);
	else
		vm_state_deinit(&vm);
}

static void read_host(const Drover__V1__HostState *m)
{
	struct host_state host;
	struct error err;

	if (!m)
		return;
	if (facts_read_host(m, &host, &err) < 0)
		refused(&err);
	else
		host_state_deinit(&host);
}

static void read_report(const Drover__V1__AttemptReport *m)
{
	struct attempt_report report;
	struct error err;

	if (facts_read_report(m, &report, &err) < 0)
		refused(&err);
	else
		attempt_report_deinit(&report);
}

static void read_mark(const Drover__V1__DrainMark *m)
{
	struct drain_mark mark;
	struct error err;

	if (!m)
		return;
	if (facts_read_mark(m, &mark, &err) < 0)
		refused(&err);
	else
		drain_mark_deinit(&mark);
}

static void read_event(const Drover__V1__AgentEvent *m)
{
	const Drover__V1__AgentEvent__Snapshot *s;

	switch (m->event_case) {
	case DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT:
		s = m->snapshot;
		read_host(s->host);
		for (size_t i = 0; i < s->n_vms; i++)
			read_vm(s->vms[i]);
		for (size_t i = 0; i < s->n_attempts; i++)
			read_report(s->attempts[i]);
		read_mark(s->drain_mark);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_HOST:
		read_host(m->host);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_VM:
		read_vm(m->vm);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_ATTEMPT:
		read_report(m->attempt);
		break;
	default:
		break;
	}
}

static void read_fenced(const Drover__V1__SetFenceReply *m)
{
	struct fenced_guest *guests = NULL;
	struct error err;
	size_t count = 0;

	if (facts_read_fenced(m, &guests, &count, &err) < 0)
		refused(&err);
	else
		free(guests);
}

static void read_admission(const Drover__V1__AdmitRequest *m)
{
	read_attempt(m->attempt);
	read_description(m->vm);
}

static void read_admitted(const Drover__V1__AdmitReply *m)
{
	struct checks checks = { 0 };
	struct error err;

	read_list(m->checks, m->n_checks);
	if (facts_read_checks(m->checks, m->n_checks, &checks, &err) < 0)
		refused(&err);
	else
		checks_deinit(&checks);
}

#define READER(type, function)                                                      \
	{                                                                           \
		&drover__v1__##type##__descriptor, (void (*)(const void *))function \
	}

static const struct {
	const ProtobufCMessageDescriptor *type;
	void (*read)(const void *m);
} readers[] = {
	READER(agent_event, read_event),      READER(admit_request, read_admission),
	READER(admit_reply, read_admitted),   READER(vm_description, read_description),
	READER(storage_proof, read_proof),    READER(attempt, read_attempt),
	READER(set_fence_reply, read_fenced), READER(host_state, read_host),
	READER(attempt_report, read_report),  READER(vm_state, read_vm),
	READER(drain_mark, read_mark),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct arena arena;
	ProtobufCMessage *message;
	struct error err;
	size_t n;

	if (size < 1)
		return 0;
	if (!arena.allocator.alloc)
		arena_init(&arena);
	n = data[0] % ARRAY_SIZE(readers);
	if (message_decode(readers[n].type, data + 1, size - 1, &arena, &message, &err) == 0)
		readers[n].read(message);
	return 0;
}
