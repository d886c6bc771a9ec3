/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. Output only; json_read.c reads. */
#include "proto/json.h"

#include "common/alloc.h"
#include "common/id.h"
#include "common/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	FILE *to;
	bool pretty;
	unsigned depth;
};

static void write_message(struct writer *w, const ProtobufCMessage *message);

static void new_line(struct writer *w)
{
	if (!w->pretty)
		return;
	fputc('\n', w->to);
	for (unsigned i = 0; i < w->depth; i++)
		fputs("  ", w->to);
}

/* --- strings --- */

static void write_character(FILE *to, const unsigned char *at, size_t bytes)
{
	/* C1 controls, U+0080 to U+009F, drive terminals as C0 ones do. */
	if (bytes == 2 && at[0] == 0xc2 && at[1] < 0xa0)
		fprintf(to, "\\u%04x", at[1]);
	else if (bytes > 1)
		fwrite(at, 1, bytes, to);
	else if (*at == '"' || *at == '\\')
		fprintf(to, "\\%c", *at);
	else if (*at == '\n')
		fputs("\\n", to);
	else if (*at == '\t')
		fputs("\\t", to);
	else if (*at == '\r')
		fputs("\\r", to);
	else if (*at < 0x20 || *at == 0x7f)
		fprintf(to, "\\u%04x", *at);
	else
		fputc(*at, to);
}

/* The length that the first byte of a valid character announces. */
static size_t character_bytes(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

void json_write_string(FILE *to, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t left = strlen(text);

	fputc('"', to);
	while (left > 0) {
		size_t valid = utf8_valid_bytes((const char *)at, left);

		for (size_t n; valid > 0; at += n, left -= n, valid -= n) {
			n = character_bytes(*at);
			write_character(to, at, n);
		}
		if (left > 0) {
			fputs("\xef\xbf\xbd", to);
			at++;
			left--;
		}
	}
	fputc('"', to);
}

static void write_base64(FILE *to, const uint8_t *data, size_t bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";

	for (size_t i = 0; i < bytes; i += 3) {
		size_t n = bytes - i;
		uint32_t three = (uint32_t)data[i] << 16;

		if (n > 1)
			three |= (uint32_t)data[i + 1] << 8;
		if (n > 2)
			three |= data[i + 2];
		fputc(digits[three >> 18], to);
		fputc(digits[three >> 12 & 63], to);
		fputc(n > 1 ? digits[three >> 6 & 63] : '=', to);
		fputc(n > 2 ? digits[three & 63] : '=', to);
	}
}

static void write_bytes(FILE *to, const ProtobufCBinaryData *data)
{
	char text[ID_TEXT_BYTES];
	struct id id;

	fputc('"', to);
	if (data->len == ID_BYTES && id_from_bytes(data->data, data->len, &id) == 0)
		fputs(id_format(&id, text), to);
	else
		write_base64(to, data->data, data->len);
	fputc('"', to);
}

/* migration_rx_bytes_per_s -> migrationRxBytesPerS */
static void write_name(struct writer *w, const char *name)
{
	fputc('"', w->to);
	for (; *name; name++) {
		if (*name == '_' && name[1] >= 'a' && name[1] <= 'z')
			fputc(*++name - 'a' + 'A', w->to);
		else if (*name != '_')
			fputc(*name, w->to);
	}
	fputs(w->pretty ? "\": " : "\":", w->to);
}

/* --- values --- */

static void write_float(FILE *to, double value, int digits)
{
	/* JSON has no words for these; protobuf's mapping makes them strings. */
	if (isnan(value))
		fputs("\"NaN\"", to);
	else if (isinf(value))
		fputs(value > 0 ? "\"Infinity\"" : "\"-Infinity\"", to);
	else
		fprintf(to, "%.*g", digits, value);
}

static void write_enum(FILE *to, const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(type, value);

	if (named)
		fprintf(to, "\"%s\"", named->name);
	else
		fprintf(to, "%d", value);
}

static size_t element_bytes(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/* As deep as messages nest, which is not recursive: tests/unit/test_methods.c.
 * NOLINTBEGIN(misc-no-recursion) */
static void write_value(struct writer *w, const ProtobufCFieldDescriptor *field, const void *at)
{
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		fprintf(w->to, "%" PRId32, *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		fprintf(w->to, "%" PRIu32, *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		fprintf(w->to, "%" PRId64, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		fprintf(w->to, "%" PRIu64, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		write_float(w->to, (double)*(const float *)at, 9);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		write_float(w->to, *(const double *)at, 17);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		fputs(*(const protobuf_c_boolean *)at ? "true" : "false", w->to);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		write_enum(w->to, field->descriptor, *(const int *)at);
		break;
	case PROTOBUF_C_TYPE_STRING:
		text = *(const char *const *)at;
		json_write_string(w->to, text ? text : "");
		break;
	case PROTOBUF_C_TYPE_BYTES:
		write_bytes(w->to, at);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (*(const ProtobufCMessage *const *)at)
			write_message(w, *(const ProtobufCMessage *const *)at);
		else
			fputs("null", w->to);
		break;
	}
}

static void write_list(struct writer *w, const ProtobufCFieldDescriptor *field, const char *items,
                       size_t count)
{
	fputc('[', w->to);
	w->depth++;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fputc(',', w->to);
		new_line(w);
		write_value(w, field, items + i * element_bytes(field->type));
	}
	w->depth--;
	if (count > 0)
		new_line(w);
	fputc(']', w->to);
}

/* --- messages --- */

static bool is_member_not_set(const ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)message;

	return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	       *(const uint32_t *)(base + field->quantifier_offset) != field->id;
}

static void write_field(struct writer *w, const ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)message;
	const void *at = base + field->offset;

	write_name(w, field->name);
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		write_list(w, field, *(const char *const *)at,
		           *(const size_t *)(base + field->quantifier_offset));
	else
		write_value(w, field, at);
}

static void write_message(struct writer *w, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	bool first = true;

	fputc('{', w->to);
	w->depth++;
	for (unsigned i = 0; i < type->n_fields; i++) {
		if (is_member_not_set(message, &type->fields[i]))
			continue;
		if (!first)
			fputc(',', w->to);
		new_line(w);
		write_field(w, message, &type->fields[i]);
		first = false;
	}
	w->depth--;
	if (!first)
		new_line(w);
	fputc('}', w->to);
}

/* NOLINTEND(misc-no-recursion) */

void json_write(FILE *to, const ProtobufCMessage *message, bool pretty)
{
	struct writer w = { .to = to, .pretty = pretty };

	write_message(&w, message);
}

char *json_format(const ProtobufCMessage *message, bool pretty)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);
	int rc;

	assert(to); /* it fails for want of memory only */
	json_write(to, message, pretty);
	rc = fclose(to);
	assert(rc == 0);
	(void)rc;
	return text;
}
