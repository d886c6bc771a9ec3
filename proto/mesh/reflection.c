/* SPDX-License-Identifier: Apache-2.0 */
/* See reflection.h. Replies point into descriptors, which live as long as the program; only the lists
 * are made, and freed once the reply is packed. */
#include "proto/mesh/reflection.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/mesh/internal.h"
#include "proto/methods.h"
#include "proto/reflection.rpc.h"

#include <stdlib.h>
#include <string.h>

static const enum mesh_role all_roles[] = {
	MESH_ROLE_COORDINATOR, MESH_ROLE_AGENT, MESH_ROLE_OPERATOR,
	MESH_ROLE_VIEWER,      MESH_ROLE_ADMIN,
};

/* --- methods --- */

static void fill_method(Drover__V1__Method *to, const struct method *from, enum mesh_role caller)
{
	drover__v1__method__init(to);
	to->name = (char *)from->name; /* only read, as all of them */
	to->input = (char *)from->input->name;
	to->output = (char *)from->output->name;
	to->server_streaming = from->server_streaming;
	to->roles = xcalloc(ARRAY_SIZE(all_roles), sizeof(*to->roles));
	for (size_t i = 0; i < ARRAY_SIZE(all_roles); i++) {
		if (from->callers & all_roles[i])
			to->roles[to->n_roles++] = (char *)mesh_role_name(all_roles[i]);
	}
	to->allowed = (from->callers & caller) != 0;
}

static void handle_list(struct mesh_incoming *in, const Drover__V1__ListMethodsRequest *request,
                        void *context)
{
	Drover__V1__MethodList list = DROVER__V1__METHOD_LIST__INIT;
	enum mesh_role caller = mesh_incoming_get_identity(in)->role;
	size_t count;
	const struct method *all = method_get_all(&count);
	_cleanup_free_ Drover__V1__Method *methods = xcalloc(count, sizeof(*methods));
	_cleanup_free_ Drover__V1__Method **items = xcalloc(count, sizeof(struct method *));

	(void)request;
	(void)context;
	list.methods = items;
	for (size_t i = 0; i < count; i++) {
		if (!serve_has(in, all[i].name))
			continue;
		items[list.n_methods] = &methods[list.n_methods];
		fill_method(items[list.n_methods++], &all[i], caller);
	}
	mesh_reply(in, &list.base);
	for (size_t i = 0; i < list.n_methods; i++)
		free(methods[i].roles);
}

/* --- messages --- */

/* What was found so far; each once, in the order it was met. */
struct found {
	const ProtobufCMessageDescriptor **messages;
	const ProtobufCEnumDescriptor **enums;
	size_t n_messages, n_enums;
};

static void add_message(struct found *f, const ProtobufCMessageDescriptor *type)
{
	for (size_t i = 0; i < f->n_messages; i++) {
		if (f->messages[i] == type)
			return;
	}
	f->messages = xreallocarray(f->messages, f->n_messages + 1, sizeof(*f->messages));
	f->messages[f->n_messages++] = type;
}

static void add_enum(struct found *f, const ProtobufCEnumDescriptor *type)
{
	for (size_t i = 0; i < f->n_enums; i++) {
		if (f->enums[i] == type)
			return;
	}
	f->enums = xreallocarray(f->enums, f->n_enums + 1, sizeof(*f->enums));
	f->enums[f->n_enums++] = type;
}

/* The list grows while it is walked. */
static void find_all(struct found *f)
{
	for (size_t i = 0; i < f->n_messages; i++) {
		const ProtobufCMessageDescriptor *type = f->messages[i];

		for (unsigned k = 0; k < type->n_fields; k++) {
			if (type->fields[k].type == PROTOBUF_C_TYPE_MESSAGE)
				add_message(f, type->fields[k].descriptor);
			else if (type->fields[k].type == PROTOBUF_C_TYPE_ENUM)
				add_enum(f, type->fields[k].descriptor);
		}
	}
}

static const char *type_name(const ProtobufCFieldDescriptor *field)
{
	static const char *const names[] = {
		[PROTOBUF_C_TYPE_INT32] = "int32",       [PROTOBUF_C_TYPE_SINT32] = "sint32",
		[PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
		[PROTOBUF_C_TYPE_SINT64] = "sint64",     [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
		[PROTOBUF_C_TYPE_UINT32] = "uint32",     [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
		[PROTOBUF_C_TYPE_UINT64] = "uint64",     [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
		[PROTOBUF_C_TYPE_FLOAT] = "float",       [PROTOBUF_C_TYPE_DOUBLE] = "double",
		[PROTOBUF_C_TYPE_BOOL] = "bool",         [PROTOBUF_C_TYPE_STRING] = "string",
		[PROTOBUF_C_TYPE_BYTES] = "bytes",
	};

	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return ((const ProtobufCMessageDescriptor *)field->descriptor)->name;
	if (field->type == PROTOBUF_C_TYPE_ENUM)
		return ((const ProtobufCEnumDescriptor *)field->descriptor)->name;
	return names[field->type];
}

static Drover__V1__MessageDescription *message_new(const ProtobufCMessageDescriptor *type)
{
	Drover__V1__MessageDescription *m = xmalloc(sizeof(*m));

	drover__v1__message_description__init(m);
	m->name = (char *)type->name;
	m->fields = xcalloc(type->n_fields + 1, sizeof(*m->fields));
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *from = &type->fields[i];
		Drover__V1__FieldDescription *to = xmalloc(sizeof(*to));

		drover__v1__field_description__init(to);
		to->name = (char *)from->name;
		to->number = from->id;
		to->type = (char *)type_name(from);
		to->repeated_field = from->label == PROTOBUF_C_LABEL_REPEATED;
		to->in_oneof = (from->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
		m->fields[m->n_fields++] = to;
	}
	return m;
}

static void message_free(Drover__V1__MessageDescription *m)
{
	for (size_t i = 0; i < m->n_fields; i++)
		free(m->fields[i]);
	free(m->fields);
	free(m);
}

static Drover__V1__EnumDescription *enum_new(const ProtobufCEnumDescriptor *type)
{
	Drover__V1__EnumDescription *e = xmalloc(sizeof(*e));

	drover__v1__enum_description__init(e);
	e->name = (char *)type->name;
	e->values = xcalloc(type->n_values + 1, sizeof(*e->values));
	for (unsigned i = 0; i < type->n_values; i++) {
		Drover__V1__EnumValue *to = xmalloc(sizeof(*to));

		drover__v1__enum_value__init(to);
		to->name = (char *)type->values[i].name;
		to->number = type->values[i].value;
		e->values[e->n_values++] = to;
	}
	return e;
}

static void enum_free(Drover__V1__EnumDescription *e)
{
	for (size_t i = 0; i < e->n_values; i++)
		free(e->values[i]);
	free(e->values);
	free(e);
}

static void describe(struct mesh_incoming *in, const struct method *method)
{
	Drover__V1__MethodDescription reply = DROVER__V1__METHOD_DESCRIPTION__INIT;
	Drover__V1__Method m;
	struct found f = { 0 };

	fill_method(&m, method, mesh_incoming_get_identity(in)->role);
	reply.method = &m;
	add_message(&f, method->input);
	add_message(&f, method->output);
	find_all(&f);
	reply.messages = xcalloc(f.n_messages, sizeof(*reply.messages));
	while (reply.n_messages < f.n_messages) {
		reply.messages[reply.n_messages] = message_new(f.messages[reply.n_messages]);
		reply.n_messages++;
	}
	reply.enums = xcalloc(f.n_enums + 1, sizeof(*reply.enums));
	while (reply.n_enums < f.n_enums) {
		reply.enums[reply.n_enums] = enum_new(f.enums[reply.n_enums]);
		reply.n_enums++;
	}
	mesh_reply(in, &reply.base);
	for (size_t i = 0; i < reply.n_messages; i++)
		message_free(reply.messages[i]);
	for (size_t i = 0; i < reply.n_enums; i++)
		enum_free(reply.enums[i]);
	free(reply.messages);
	free(reply.enums);
	free(m.roles);
	free(f.messages);
	free(f.enums);
}

static void handle_describe(struct mesh_incoming *in,
                            const Drover__V1__DescribeMethodRequest *request, void *context)
{
	const struct method *method = method_find(request->name);
	struct error err;

	(void)context;
	if (method && serve_has(in, method->name)) {
		describe(in, method);
		return;
	}
	error_set(&err, ERROR_NOT_FOUND, "there is no method \"%.128s\" here", request->name);
	mesh_fail_error(in, &err);
}

static const struct reflection_handlers handlers = {
	.list_methods = handle_list,
	.describe_method = handle_describe,
};

const struct mesh_service reflection_service = REFLECTION_SERVICE(handlers);
