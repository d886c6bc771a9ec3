/* SPDX-License-Identifier: Apache-2.0 */
/* See audited.h. Messages are walked by their descriptors, two levels deep: an attempt or a mark is
 * a message in the request. */
#include "proto/audit/audited.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

#define ID_BYTES_MAX 32

/* They look, and change nothing; RenewLease keeps alive what Admit made, every few seconds. */
static const char *const looks[] = {
	"drover.v1.Agent/Watch",
	"drover.v1.Agent/Preview",
	"drover.v1.Agent/RenewLease",
	"drover.v1.Agent/Inspect",
	"drover.v1.Agent/LookForRemnants",
	"drover.v1.Agent/MeasurePath",
	"drover.v1.Agent/ProbePath",
	"drover.v1.Coordinator/GetStatus",
	"drover.v1.Coordinator/ListNodes",
	"drover.v1.Coordinator/ListVms",
	"drover.v1.Coordinator/ListMigrations",
	"drover.v1.Coordinator/ListDrains",
	"drover.v1.Coordinator/ListEvents",
	"drover.v1.Coordinator/ListPolicies",
	"drover.v1.Coordinator/Watch",
	"drover.v1.Coordinator/Explain",
	"drover.v1.Coordinator/Export",
	"drover.v1.Coordinator/ListLinks",
	"drover.v1.Coordinator/GetRates",
	"drover.v1.Coordinator/GetCapacity",
	"drover.v1.Coordinator/Place",
	"drover.v1.Pki/Sync",
	"drover.v1.Agent/LookAtCertificates",
};

/* The mesh's own. */
static const char *const look_prefixes[] = { "drover.v1.Health/", "drover.v1.Reflection/" };

static const char *const of_requests[] = {
	"node",
	"vm",
	"name",
	"kind",
	"uuid",
	"vm_uuid",
	"target",
	"target_node",
	"source_node",
	"reason",
	"dry_run",
	"no_guard",
	"copy_disks",
	"ignore_policies",
	"soft",
	"selector",
	"unsafe",
	"commit",
	"operation_id",
	"request_id",
	"number",
	"epoch",
	"drain_id",
	"draining",
	"cordoned",
	"parallel",
	"role",
	"life_s",
	"even_own",
	"forget",
	"bandwidth_given",
	"bandwidth_bytes_per_s",
	"max_downtime_ms",
	"post_copy",
	"pause",
	"migration_number",
};

static const char *const of_replies[] = { "number", "refused", "refusal", "accepted", "changed",
	                                  "state",  "epoch",   "verdict", "admitted", "settled",
	                                  "serial", "already", "revoked" };

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

bool audited_method(const char *method)
{
	for (size_t i = 0; i < ARRAY_SIZE(look_prefixes); i++) {
		if (strncmp(method, look_prefixes[i], strlen(look_prefixes[i])) == 0)
			return false;
	}
	return !is_among(method, looks, ARRAY_SIZE(looks));
}

/* --- the walk --- */

struct walk {
	struct audit_text *to;
	const char *const *names;
	size_t n_names;
	bool refused;
};

static void add_bytes(struct audit_text *t, const char *name, const ProtobufCBinaryData *data)
{
	char digits[2 * ID_BYTES_MAX + 1] = "";

	if (data->len > ID_BYTES_MAX)
		return;
	for (size_t i = 0; i < data->len; i++)
		snprintf(digits + 2 * i, 3, "%02x", data->data[i]);
	audit_text_add(t, name, digits);
}

static void add_enum(struct audit_text *t, const ProtobufCFieldDescriptor *f, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	audit_text_add(t, f->name, v ? v->name : "unknown");
}

static void add_field(struct walk *w, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		audit_text_add(w->to, f->name, *(char *const *)at);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		add_bytes(w->to, f->name, at);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		if (*(const protobuf_c_boolean *)at) {
			audit_text_add_bool(w->to, f->name, true);
			w->refused |= strcmp(f->name, "refused") == 0;
		}
		return;
	case PROTOBUF_C_TYPE_UINT32:
		if (*(const uint32_t *)at)
			audit_text_add_number(w->to, f->name, *(const uint32_t *)at);
		return;
	case PROTOBUF_C_TYPE_UINT64:
		if (*(const uint64_t *)at)
			audit_text_add_number(w->to, f->name, *(const uint64_t *)at);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		add_enum(w->to, f, *(const int *)at);
		return;
	default:
		return;
	}
}

static bool is_in(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *at = (const uint8_t *)m;

	if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return true;
	return *(const uint32_t *)(at + f->quantifier_offset) == f->id;
}

static void walk_inner(struct walk *w, const ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

		if (f->label != PROTOBUF_C_LABEL_REPEATED && is_in(m, f) &&
		    is_among(f->name, w->names, w->n_names))
			add_field(w, f, (const uint8_t *)m + f->offset);
	}
}

/* A message in it is an object of its own, so no name stands twice. */
static void walk(struct walk *w, const ProtobufCMessage *m)
{
	walk_inner(w, m);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const void *at = (const uint8_t *)m + f->offset;
		struct audit_text inner;
		struct walk deeper = { .to = &inner, .names = w->names, .n_names = w->n_names };

		if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED ||
		    !is_in(m, f) || !*(ProtobufCMessage *const *)at)
			continue;
		audit_text_init(&inner);
		walk_inner(&deeper, *(ProtobufCMessage *const *)at);
		audit_text_add_object(w->to, f->name, inner.data);
	}
}

void audited_request(const ProtobufCMessage *request, struct audit_text *t)
{
	struct walk w = { t, of_requests, ARRAY_SIZE(of_requests), false };

	walk(&w, request);
}

bool audited_reply(const ProtobufCMessage *reply, struct audit_text *t)
{
	struct walk w = { t, of_replies, ARRAY_SIZE(of_replies), false };

	walk(&w, reply);
	return w.refused;
}
