/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. jansson reads the text, and this puts it into a message by walking the descriptor; the
 * place of a mistake is kept as a path of names, since a person typed them.
 *
 * A field is set whole or left as init() made it, so that a message that was half read can always be
 * freed by protobuf-c. */
#include "proto/json.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/id.h"
#include "common/utf8.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void free_json(json_t **json)
{
	json_decref(*json);
}

#define PATH_BYTES 160

struct reader {
	char path[PATH_BYTES]; /* "settings.limits[3]"; "" = the whole */
	struct error *err;
};

/* --- where --- */

static size_t enter(struct reader *r, const char *name)
{
	size_t length = strlen(r->path);

	snprintf(r->path + length, sizeof(r->path) - length, "%s%.60s", length ? "." : "", name);
	return length;
}

static size_t enter_item(struct reader *r, size_t index)
{
	size_t length = strlen(r->path);

	snprintf(r->path + length, sizeof(r->path) - length, "[%zu]", index);
	return length;
}

static void leave(struct reader *r, size_t length)
{
	r->path[length] = '\0';
}

static const char *kind_of(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static int refuse(struct reader *r, const char *what, const json_t *is)
{
	return error_set(r->err, ERROR_INVALID, "%s must be %s, and is %s",
	                 *r->path ? r->path : "the whole", what, kind_of(is));
}

/* --- numbers --- */

/* 64-bit numbers may be strings, as protobuf's own mapping writes them. */
static int read_integer(struct reader *r, const json_t *json, int64_t low, uint64_t high,
                        uint64_t *ret)
{
	const char *text = json_string_value(json);
	char digits[32];
	char *end;
	uint64_t value;
	bool negative;

	if (json_is_integer(json)) {
		snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
		text = digits;
	}
	if (!text)
		return refuse(r, "a whole number", json);
	negative = text[0] == '-';
	errno = 0;
	value = strtoull(text + negative, &end, 10);
	if (strspn(text + negative, "0123456789") == 0 || *end)
		return error_set(r->err, ERROR_INVALID,
		                 "%s must be a whole number, and is \"%.40s\"", r->path, text);
	if (errno == ERANGE ||
	    (negative ? value > (uint64_t)INT64_MAX || -(int64_t)value < low : value > high))
		return error_set(r->err, ERROR_INVALID,
		                 "%s is %.40s; it must be from %" PRId64 " to %" PRIu64, r->path,
		                 text, low, high);
	*ret = negative ? -value : value;
	return 0;
}

static int read_real(struct reader *r, const json_t *json, double *ret)
{
	const char *text = json_string_value(json);

	if (json_is_number(json))
		*ret = json_number_value(json);
	else if (text && strcmp(text, "NaN") == 0)
		*ret = NAN;
	else if (text && strcmp(text, "Infinity") == 0)
		*ret = INFINITY;
	else if (text && strcmp(text, "-Infinity") == 0)
		*ret = -INFINITY;
	else
		return refuse(r, "a number", json);
	return 0;
}

static int read_enum(struct reader *r, const json_t *json, const ProtobufCEnumDescriptor *type,
                     int *ret)
{
	const ProtobufCEnumValue *named;
	uint64_t number;
	int rc;

	if (json_is_string(json)) {
		named = protobuf_c_enum_descriptor_get_value_by_name(type, json_string_value(json));
		if (!named)
			return error_set(r->err, ERROR_INVALID, "%s: %s has no value \"%.60s\"",
			                 r->path, type->short_name, json_string_value(json));
		*ret = named->value;
		return 0;
	}
	rc = read_integer(r, json, INT32_MIN, INT32_MAX, &number);
	if (rc == 0)
		*ret = (int)(int64_t)number;
	return rc;
}

/* --- bytes --- */

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static int decode_base64(const char *text, ProtobufCBinaryData *ret)
{
	_cleanup_free_ uint8_t *data = xmalloc(strlen(text) / 4 * 3 + 4);
	size_t n = 0, length = strlen(text);
	uint32_t bits = 0;
	unsigned have = 0;

	while (length > 0 && text[length - 1] == '=' && strlen(text) - length < 2)
		length--;
	/* Padding may be left out, but is right where it is: else 24 bytes could be read that are
	 * printed as 32 hex digits, which are an id. */
	if (text[length] && strlen(text) % 4 != 0)
		return -ERROR_INVALID;
	for (size_t i = 0; i < length; i++) {
		int digit = digit_of(text[i]);

		if (digit < 0)
			return -ERROR_INVALID;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			data[n++] = (uint8_t)(bits >> have);
		}
	}
	/* What is left over is less than a byte, and nothing. */
	if (have >= 6 || (bits & ((1u << have) - 1)))
		return -ERROR_INVALID;
	ret->len = n;
	ret->data = n ? take_pointer(data) : NULL;
	return 0;
}

static int read_bytes(struct reader *r, const json_t *json, ProtobufCBinaryData *ret)
{
	const char *text = json_string_value(json);
	struct id id;

	if (!text)
		return refuse(r, "a string of base64, or an id of 32 hex digits", json);
	if (id_parse(text, &id) == 0) {
		ret->data = xmalloc(ID_BYTES);
		ret->len = ID_BYTES;
		memcpy(ret->data, id.bytes, ID_BYTES);
		return 0;
	}
	if (decode_base64(text, ret) < 0)
		return error_set(r->err, ERROR_INVALID,
		                 "%s is neither base64 nor an id of 32 hex digits", r->path);
	return 0;
}

static int read_string(struct reader *r, const json_t *json, char **ret)
{
	if (!json_is_string(json))
		return refuse(r, "a string", json);
	*ret = xstrdup(json_string_value(json));
	return 0;
}

/* --- messages --- */

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
static int read_message(struct reader *r, const json_t *json,
                        const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret);

static int read_value(struct reader *r, const json_t *json, const ProtobufCFieldDescriptor *field,
                      void *at)
{
	uint64_t number = 0;
	double real = 0;
	int rc;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		rc = read_integer(r, json, INT32_MIN, INT32_MAX, &number);
		*(int32_t *)at = (int32_t)(int64_t)number;
		return rc;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		rc = read_integer(r, json, 0, UINT32_MAX, &number);
		*(uint32_t *)at = (uint32_t)number;
		return rc;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		rc = read_integer(r, json, -INT64_MAX, INT64_MAX, &number);
		*(int64_t *)at = (int64_t)number;
		return rc;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		rc = read_integer(r, json, 0, UINT64_MAX, &number);
		*(uint64_t *)at = number;
		return rc;
	case PROTOBUF_C_TYPE_FLOAT:
		rc = read_real(r, json, &real);
		if (rc == 0 && isfinite(real) && fabs(real) > (double)__FLT_MAX__)
			return error_set(r->err, ERROR_INVALID, "%s is too large", r->path);
		*(float *)at = (float)real;
		return rc;
	case PROTOBUF_C_TYPE_DOUBLE:
		rc = read_real(r, json, &real);
		*(double *)at = real;
		return rc;
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(json))
			return refuse(r, "true or false", json);
		*(protobuf_c_boolean *)at = json_is_true(json);
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(r, json, field->descriptor, at);
	case PROTOBUF_C_TYPE_STRING:
		return read_string(r, json, at);
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(r, json, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_message(r, json, field->descriptor, at);
	}
	return error_set(r->err, ERROR_UNSUPPORTED, "%s is of a type unknown here", r->path);
}

static int read_list(struct reader *r, const json_t *json, const ProtobufCFieldDescriptor *field,
                     ProtobufCMessage *message)
{
	size_t bytes = element_bytes(field->type), count = json_array_size(json);
	size_t *n = (size_t *)((char *)message + field->quantifier_offset);
	char *items;

	if (!json_is_array(json))
		return refuse(r, "a list", json);
	if (count == 0)
		return 0;
	items = xcalloc(count, bytes);
	*(void **)((char *)message + field->offset) = items;
	for (size_t i = 0; i < count; i++) {
		size_t length = enter_item(r, i);
		int rc = read_value(r, json_array_get(json, i), field, items + i * bytes);

		if (rc < 0)
			return rc;
		(*n)++; /* what is not counted is not freed */
		leave(r, length);
	}
	return 0;
}

static int read_field(struct reader *r, const json_t *json, const ProtobufCFieldDescriptor *field,
                      ProtobufCMessage *message)
{
	uint32_t *which = (uint32_t *)((char *)message + field->quantifier_offset);
	bool oneof = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
	uint64_t value[2] = { 0 }; /* as large and as aligned as any */
	int rc;

	if (json_is_null(json))
		return 0; /* as if it were not there */
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return read_list(r, json, field, message);
	if (oneof && *which)
		return error_set(r->err, ERROR_INVALID,
		                 "%s: another one of those that exclude each other is set, too",
		                 r->path);
	rc = read_value(r, json, field, value);
	if (rc < 0)
		return rc;
	memcpy((char *)message + field->offset, value, element_bytes(field->type));
	if (oneof)
		*which = field->id;
	return 0;
}

/* "vm_uuid" is "vmUuid", too. */
static bool is_name_of(const char *key, const char *field)
{
	const char *k = key;

	if (strcmp(key, field) == 0)
		return true;
	for (; *field; field++, k++) {
		if (*field == '_' && field[1] >= 'a' && field[1] <= 'z') {
			field++;
			if (*k != *field - 'a' + 'A')
				return false;
		} else if (*field == '_') {
			k--;
		} else if (*k != *field) {
			return false;
		}
	}
	return !*k;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  const char *key)
{
	for (unsigned i = 0; i < type->n_fields; i++) {
		if (is_name_of(key, type->fields[i].name))
			return &type->fields[i];
	}
	return NULL;
}

static int read_fields(struct reader *r, const json_t *json, const ProtobufCMessageDescriptor *type,
                       ProtobufCMessage *message)
{
	/* A field by both of its names would be set twice. */
	_cleanup_free_ bool *seen = xcalloc(type->n_fields + 1, sizeof(*seen));
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)json, key, value)
	{
		const ProtobufCFieldDescriptor *field = find_field(type, key);
		size_t length;
		int rc;

		if (!field)
			return error_set(r->err, ERROR_INVALID, "%s%s%s has no field \"%.60s\"",
			                 r->path, *r->path ? ": " : "", type->short_name, key);
		length = enter(r, key);
		if (seen[field - type->fields])
			return error_set(r->err, ERROR_INVALID, "%s stands there twice", r->path);
		seen[field - type->fields] = true;
		rc = read_field(r, value, field, message);
		if (rc < 0)
			return rc;
		leave(r, length);
	}
	return 0;
}

static int read_message(struct reader *r, const json_t *json,
                        const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret)
{
	ProtobufCMessage *message;
	int rc;

	if (!json_is_object(json))
		return refuse(r, "an object", json);
	message = xcalloc(1, type->sizeof_message);
	type->message_init(message);
	rc = read_fields(r, json, type, message);
	if (rc < 0)
		protobuf_c_message_free_unpacked(message, NULL);
	else
		*ret = message;
	return rc;
}

/* NOLINTEND(misc-no-recursion) */

int json_read_up_to(const char *text, size_t most_bytes, const ProtobufCMessageDescriptor *type,
                    ProtobufCMessage **ret, struct error *err)
{
	__attribute__((cleanup(free_json))) json_t *json = NULL;
	struct reader r = { .err = err };
	size_t bytes = strlen(text);
	json_error_t why;

	if (bytes > most_bytes)
		return error_set(err, ERROR_TOO_LARGE,
		                 "the JSON has %zu bytes, and %zu are the most that is read", bytes,
		                 most_bytes);
	json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
	if (!json)
		return error_set(err, ERROR_INVALID, "not JSON: line %d, column %d: %.200s",
		                 why.line, why.column, why.text);
	return read_message(&r, json, type, ret);
}

int json_read(const char *text, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret,
              struct error *err)
{
	return json_read_up_to(text, JSON_READ_MAX_BYTES, type, ret, err);
}
