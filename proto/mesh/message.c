/* SPDX-License-Identifier: Apache-2.0 */
/* See message.h. The walk knows protobuf's four wire types (0 varint, 1 eight bytes, 2 counted
 * bytes, 5 four bytes); groups, 3 and 4, are refused: proto3 has none. Fuzzed together with the
 * unpacking in tests/fuzz/fuzz_message.c. */
#include "proto/mesh/message.h"

#include "common/utf8.h"

#include <string.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_COUNTED = 2, WIRE_FIXED32 = 5 };

struct span {
	const uint8_t *at, *end;
};

static int bad(const ProtobufCMessageDescriptor *type, struct error *err, const char *what)
{
	return error_set(err, ERROR_PROTOCOL, "%s %s", type->short_name, what);
}

static int bad_field(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
                     struct error *err, const char *what)
{
	return error_set(err, ERROR_PROTOCOL, "%s.%s %s", type->short_name, field->name, what);
}

static bool take_varint(struct span *s, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && s->at < s->end; shift += 7) {
		uint8_t byte = *s->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static bool take_bytes(struct span *s, uint64_t count, struct span *ret_span)
{
	if (count > (uint64_t)(s->end - s->at))
		return false;
	*ret_span = (struct span){ s->at, s->at + count };
	s->at += count;
	return true;
}

static enum wire wire_of(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_COUNTED;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_FIXED32;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_FIXED64;
	default:
		return WIRE_VARINT;
	}
}

static int check_number(const ProtobufCMessageDescriptor *type,
                        const ProtobufCFieldDescriptor *field, uint64_t value, struct error *err)
{
	if (field->type == PROTOBUF_C_TYPE_ENUM &&
	    (value > INT32_MAX ||
	     !protobuf_c_enum_descriptor_get_value(field->descriptor, (int)value)))
		return bad_field(type, field, err, "has a value that is not in its enum");
	if (field->type == PROTOBUF_C_TYPE_UINT32 && value > UINT32_MAX)
		return bad_field(type, field, err, "is over 32 bits");
	return 0;
}

/* Several numbers in one counted field. */
static int check_packed(const ProtobufCMessageDescriptor *type,
                        const ProtobufCFieldDescriptor *field, struct span s, unsigned *count,
                        struct error *err)
{
	enum wire wire = wire_of(field);
	struct span skipped;
	uint64_t value = 0;
	int rc;

	for (; s.at < s.end; (*count)++) {
		bool whole = wire == WIRE_VARINT
		                     ? take_varint(&s, &value)
		                     : take_bytes(&s, wire == WIRE_FIXED64 ? 8 : 4, &skipped);

		if (!whole)
			return bad_field(type, field, err, "ends in the middle");
		if (wire == WIRE_VARINT && (rc = check_number(type, field, value, err)) < 0)
			return rc;
	}
	return 0;
}

static int check_text(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
                      struct span s, struct error *err)
{
	size_t count = (size_t)(s.end - s.at);

	if (memchr(s.at, '\0', count))
		return bad_field(type, field, err, "has a zero byte in its text");
	if (utf8_valid_bytes((const char *)s.at, count) != count)
		return bad_field(type, field, err, "is not valid UTF-8");
	return 0;
}

/* MESSAGE_DEPTH_MAX bounds it. NOLINTBEGIN(misc-no-recursion) */
static int check_message(const ProtobufCMessageDescriptor *type, struct span s, unsigned depth,
                         struct error *err);

static int check_counted(const ProtobufCMessageDescriptor *type,
                         const ProtobufCFieldDescriptor *field, struct span s, unsigned depth,
                         unsigned *count, struct error *err)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		(*count)++;
		return check_text(type, field, s, err);
	case PROTOBUF_C_TYPE_BYTES:
		(*count)++;
		return 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		(*count)++;
		return check_message(field->descriptor, s, depth + 1, err);
	default:
		if (field->label != PROTOBUF_C_LABEL_REPEATED)
			return bad_field(type, field, err, "has the wrong wire type");
		return check_packed(type, field, s, count, err);
	}
}

/* One field: its key is taken, its value comes next in @s. */
static int check_field(const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, enum wire wire, struct span *s,
                       unsigned depth, unsigned *count, struct error *err)
{
	struct span inner;
	uint64_t value = 0;

	switch (wire) {
	case WIRE_VARINT:
		if (!take_varint(s, &value))
			return bad(type, err, "ends in the middle of a number");
		break;
	case WIRE_FIXED64:
	case WIRE_FIXED32:
		if (!take_bytes(s, wire == WIRE_FIXED64 ? 8 : 4, &inner))
			return bad(type, err, "ends in the middle of a number");
		break;
	case WIRE_COUNTED:
		if (!take_varint(s, &value) || !take_bytes(s, value, &inner))
			return bad(type, err, "has a field longer than itself");
		return field ? check_counted(type, field, inner, depth, count, err) : 0;
	default:
		return bad(type, err, "has a field of an unknown wire type");
	}
	if (!field)
		return 0;
	(*count)++;
	if (wire_of(field) != wire)
		return bad_field(type, field, err, "has the wrong wire type");
	return wire == WIRE_VARINT ? check_number(type, field, value, err) : 0;
}

static int check_message(const ProtobufCMessageDescriptor *type, struct span s, unsigned depth,
                         struct error *err)
{
	unsigned counts[MESSAGE_FIELD_MAX] = { 0 };
	unsigned unknown = 0;
	int rc;

	if (depth > MESSAGE_DEPTH_MAX)
		return bad(type, err, "is nested too deeply");
	while (s.at < s.end) {
		const ProtobufCFieldDescriptor *field;
		uint64_t key;
		unsigned *count;

		if (!take_varint(&s, &key) || key > UINT32_MAX || key >> 3 == 0)
			return bad(type, err, "has a malformed field number");
		field = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
		if (!field && ++unknown > MESSAGE_UNKNOWN_MAX)
			return bad(type, err, "has too many unknown fields");

		count = &counts[(key >> 3) % MESSAGE_FIELD_MAX];
		rc = check_field(type, field, (enum wire)(key & 7), &s, depth, count, err);
		if (rc < 0)
			return rc;
		if (field && *count > MESSAGE_REPEATED_MAX)
			return bad_field(type, field, err, "has too many elements");
		/* Legal, and merged by protobuf-c; but no encoder of ours writes it. */
		if (field && *count > 1 && field->label != PROTOBUF_C_LABEL_REPEATED)
			return bad_field(type, field, err, "is there twice");
	}
	return 0;
}
/* NOLINTEND(misc-no-recursion) */

int message_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t count,
                  struct error *err)
{
	/* An empty message may come without any memory at all. */
	return count == 0 ? 0 : check_message(type, (struct span){ bytes, bytes + count }, 1, err);
}

int message_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t count,
                   struct arena *arena, ProtobufCMessage **ret_message, struct error *err)
{
	static const uint8_t nothing[1];
	ProtobufCMessage *message;
	int rc = message_check(type, bytes, count, err);

	if (rc < 0)
		return rc;
	arena_begin(arena, count);
	message = protobuf_c_message_unpack(type, &arena->allocator, count,
	                                    bytes ? bytes : nothing);
	if (!message && arena->exhausted)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%s is too complex: its %zu bytes need more than %zu of memory",
		                 type->short_name, count, arena->budget_bytes);
	if (!message)
		return error_set(err, ERROR_PROTOCOL, "%s of %zu bytes cannot be unpacked",
		                 type->short_name, count);
	*ret_message = message;
	return 0;
}
