/* SPDX-License-Identifier: Apache-2.0 */
/* See wire.h. */
#include "agent/wire.h"

#include "agent/wire_message.h"
#include "common/alloc.h"
#include "common/epoch.h"
#include "proto/fit_message.h"

#include <stdlib.h>
#include <string.h>

void wire_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

void wire_set_text(char **field, const char *text)
{
	/* protobuf-c's empty default is a shared constant that is not ours to free. */
	if (*field && *field != (char *)protobuf_c_empty_string)
		free(*field);
	*field = xstrdup(text);
}

Drover__V1__Attempt *wire_attempt_new(const struct attempt_name *name)
{
	NEW_MESSAGE(m, Drover__V1__Attempt, drover__v1__attempt__init);

	m->operation_id.data = xmemdup(name->operation.bytes, ID_BYTES);
	m->operation_id.len = ID_BYTES;
	m->number = name->number;
	m->epoch = name->epoch;
	return m;
}

int wire_attempt_read(const Drover__V1__Attempt *from, struct attempt_name *ret, struct error *err)
{
	struct attempt_name name;

	if (!from)
		return error_set(err, ERROR_INVALID, "the attempt is missing");
	if (id_from_bytes(from->operation_id.data, from->operation_id.len, &name.operation) < 0 ||
	    id_is_zero(&name.operation))
		return error_set(err, ERROR_INVALID, "the operation id must be 16 bytes, not %zu",
		                 from->operation_id.len);
	if (from->number == 0 || from->number > ATTEMPT_NUMBER_MAX || from->epoch == 0 ||
	    from->epoch > EPOCH_MAX)
		return error_set(err, ERROR_INVALID,
		                 "attempt number %u or epoch %llu is out of range", from->number,
		                 (unsigned long long)from->epoch);
	name.number = from->number;
	name.epoch = from->epoch;
	*ret = name;
	return 0;
}

Drover__V1__Check **wire_checks_new(const struct check *items, size_t count)
{
	Drover__V1__Check **array = xcalloc(count, sizeof(*array));

	for (size_t i = 0; i < count; i++) {
		NEW_MESSAGE(m, Drover__V1__Check, drover__v1__check__init);

		m->id = xstrdup(items[i].id);
		m->verdict = (Drover__V1__Check__Verdict)items[i].verdict;
		m->measured = xstrdup(items[i].measured);
		m->required = xstrdup(items[i].required);
		m->remedy = xstrdup(items[i].remedy);
		m->reason = xstrdup(items[i].reason);
		array[i] = m;
	}
	return array;
}

int wire_strategy_read(const Drover__V1__MigrationSettings *from, struct strategy *ret,
                       struct error *err)
{
	if ((unsigned)from->ladder >= LADDERS)
		return error_set(err, ERROR_INVALID,
		                 "the ladder has the number %d, which this version does not know",
		                 (int)from->ladder);
	*ret = (struct strategy){
		.ladder = (enum ladder_name)from->ladder,
		.allow_auto_converge = from->allow_auto_converge,
		.allow_post_copy = from->allow_post_copy,
		.allow_disruption = from->allow_workload_disruption,
	};
	return 0;
}

void wire_copy_text(char *to, size_t bytes, const char *from)
{
	size_t n = strlen(from);

	if (n >= bytes) {
		n = bytes - 1;
		while (n > 0 && ((unsigned char)from[n] & 0xC0) == 0x80)
			n--;
	}
	memcpy(to, from, n);
	to[n] = '\0';
}

int wire_checks_read(Drover__V1__Check *const *from, size_t count, struct check_list *list,
                     struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct check *c;

		if (list->count == CHECKS_MAX)
			return error_set(err, ERROR_TOO_LARGE, "more than %d checks", CHECKS_MAX);
		if (from[i]->verdict <= DROVER__V1__CHECK__VERDICT__UNSPECIFIED ||
		    from[i]->verdict > DROVER__V1__CHECK__VERDICT__BLOCK)
			return error_set(err, ERROR_INVALID, "check %s has the unknown verdict %d",
			                 from[i]->id, (int)from[i]->verdict);
		c = &list->items[list->count++];
		memset(c, 0, sizeof(*c));
		wire_copy_text(c->id, sizeof(c->id), from[i]->id);
		c->verdict = (enum check_verdict)from[i]->verdict;
		wire_copy_text(c->measured, sizeof(c->measured), from[i]->measured);
		wire_copy_text(c->required, sizeof(c->required), from[i]->required);
		wire_copy_text(c->remedy, sizeof(c->remedy), from[i]->remedy);
		wire_copy_text(c->reason, sizeof(c->reason), from[i]->reason);
	}
	return 0;
}

Drover__V1__VmState *wire_vm_state_new(const struct inventory_vm *vm, bool own_job)
{
	const struct vm_summary *s = &vm->summary;
	NEW_MESSAGE(m, Drover__V1__VmState, drover__v1__vm_state__init);

	m->uuid = xstrdup(s->uuid);
	m->name = xstrdup(s->name);
	m->state = xstrdup(vm_run_state_name(s->state));
	m->reason = xstrdup(s->reason);
	m->memory_bytes = s->memory_bytes;
	m->overhead_bytes = vm->overhead_bytes;
	m->vcpus = s->vcpus;
	m->persistent = s->persistent;
	m->autostart = s->autostart;
	m->migrating_out = s->job_out || own_job;
	m->foreign_job = s->job_out && !own_job;
	m->blockers = wire_checks_new(vm->blockers, vm->n_blockers);
	m->n_blockers = vm->n_blockers;
	m->no_shutdown = xstrdup(vm->no_shutdown);
	if (vm->needs.known)
		m->needs = fit_message_needs_new(&vm->needs);
	return m;
}

Drover__V1__MemoryUse *wire_memory_use_new(const struct memory_use *use, uint64_t now_ms)
{
	NEW_MESSAGE(m, Drover__V1__MemoryUse, drover__v1__memory_use__init);

	m->touched_bytes = use->touched_bytes;
	m->problem = xstrdup(use->problem);
	m->windows = xcalloc(DIRTY_WINDOWS, sizeof(struct Drover__V1__MemoryUse__Window *));
	for (size_t i = 0; i < DIRTY_WINDOWS; i++) {
		const struct dirty_window *from = &use->windows[i];
		Drover__V1__MemoryUse__Window *w;

		if (!from->samples)
			continue;
		w = xmalloc(sizeof(*w));
		drover__v1__memory_use__window__init(w);
		w->seconds = from->seconds;
		w->bytes = from->bytes;
		w->error_bytes = from->error_bytes;
		w->samples = from->samples;
		w->age_ms = now_ms > from->at_ms ? now_ms - from->at_ms : 0;
		m->windows[m->n_windows++] = w;
	}
	return m;
}

static ProtobufCBinaryData fingerprint_new(const uint8_t *sha256)
{
	return (ProtobufCBinaryData){ .len = CERTIFICATE_SHA256_BYTES,
		                      .data = xmemdup(sha256, CERTIFICATE_SHA256_BYTES) };
}

Drover__V1__MigrationTls *wire_migration_tls_new(const struct migration_tls *tls)
{
	Drover__V1__MigrationTls *m = xmalloc(sizeof(*m));

	drover__v1__migration_tls__init(m);
	m->trusted = xcalloc(tls->trusted.count + 1, sizeof(*m->trusted));
	for (size_t i = 0; i < tls->trusted.count; i++)
		m->trusted[m->n_trusted++] = fingerprint_new(tls->trusted.sha256[i]);
	if (tls->has_signer)
		m->signer = fingerprint_new(tls->signer);
	m->problem = xstrdup(tls->problem);
	return m;
}

static int read_fingerprint(const ProtobufCBinaryData *from, uint8_t *ret, struct error *err)
{
	if (from->len != CERTIFICATE_SHA256_BYTES)
		return error_set(err, ERROR_INVALID, "a fingerprint of %zu bytes", from->len);
	memcpy(ret, from->data, CERTIFICATE_SHA256_BYTES);
	return 0;
}

int wire_migration_tls_read(const Drover__V1__MigrationTls *from, struct migration_tls *ret,
                            struct error *err)
{
	struct migration_tls t = { 0 };

	if (from && from->n_trusted > CERTIFICATE_TRUSTED_MAX)
		return error_set(err, ERROR_TOO_LARGE, "%zu authorities", from->n_trusted);
	if (from) {
		for (size_t i = 0; i < from->n_trusted; i++) {
			if (read_fingerprint(&from->trusted[i], t.trusted.sha256[i], err) < 0)
				return -(int)err->code;
		}
		t.trusted.count = from->n_trusted;
		t.looked = from->n_trusted > 0;
		t.has_signer = from->signer.len > 0;
		if (t.has_signer && read_fingerprint(&from->signer, t.signer, err) < 0)
			return -(int)err->code;
		wire_copy_text(t.problem, sizeof(t.problem), from->problem);
	}
	*ret = t;
	return 0;
}
