/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of any message, by walking its descriptor: RPC, HTTP and `-o json` share one schema.
 *
 * As protobuf's own JSON mapping, but for these, which are for people with jq:
 *	- every field is there, also with its default value, so that keys are stable: numbers 0,
 *	  strings "", lists [], absent messages null. Of a oneof only the member that is set.
 *	- 64-bit numbers are JSON numbers. All of ours are below 2^53.
 *	- bytes of exactly 16 are ids and printed as 32 hex digits; all others are base64.
 * Names are lowerCamelCase, enums are names (a number if the value has none). Strings are valid
 * UTF-8 whatever was in them (U+FFFD for what was not), control characters are escaped.
 */
#pragma once

#include "common/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdio.h>

/* @pretty: on several lines, indented by two. No newline at the end. */
void json_write(FILE *to, const ProtobufCMessage *message, bool pretty);

/* The same as a text that the caller frees. */
char *json_format(const ProtobufCMessage *message, bool pretty);

/* A request is small; this bounds what one can make us allocate to a few times as much. */
#define JSON_READ_MAX_BYTES (1024 * 1024)

/* Reads an object into a new message (protobuf_c_message_free_unpacked). All that json_write writes is
 * read, and what protobuf's mapping allows besides: names as in the .proto, 64-bit numbers as strings
 * (above 2^63 only so), null for what is not there. A key that is no field, one that is there twice and a value that does not
 * fit are errors: -ERROR_INVALID with the place, "settings.limits[3]", and what must be there;
 * -ERROR_TOO_LARGE. */
int json_read(const char *text, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret,
              struct error *err);

/* The same of a file that its owner names: @most_bytes are read. */
int json_read_up_to(const char *text, size_t most_bytes, const ProtobufCMessageDescriptor *type,
                    ProtobufCMessage **ret, struct error *err);

/* A JSON string with its quotes. */
void json_write_string(FILE *to, const char *text);
