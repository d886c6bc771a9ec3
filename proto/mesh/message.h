/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes of a stranger to a message that is safe to read.
 *
 * protobuf-c takes a string with a NUL inside (and cuts it there), bytes that are not UTF-8, an
 * enum value nobody has named, and any depth of nesting (10,000 levels crash it). So the bytes are
 * walked first, along the descriptor and without allocating anything, and refused with the name of
 * the offending field; only then are they unpacked, into an arena. Owner thread.
 */
#pragma once

#include "common/error.h"
#include "proto/mesh/arena.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_DEPTH_MAX    16    /* our own messages nest 4 deep */
#define MESSAGE_REPEATED_MAX 10000 /* elements of one field */
#define MESSAGE_FIELD_MAX    64    /* our field numbers are below; a test holds that */
#define MESSAGE_UNKNOWN_MAX  32    /* fields that only a newer peer knows, per message */

/* -ERROR_PROTOCOL with the field's name, or 0. */
int message_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t count,
                  struct error *err);

/* message_check, then unpacks into @arena. The message lives until the next arena_begin or decode
 * with the same arena. -ERROR_PROTOCOL, or -ERROR_TOO_LARGE if the arena's budget does not do. */
int message_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t count,
                   struct arena *arena, ProtobufCMessage **ret_message, struct error *err);
