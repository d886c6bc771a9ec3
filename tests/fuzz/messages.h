/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of every .proto file, for the targets that read them; tests/unit/test_fuzz_messages.c
 * holds that none is missing. Each has a number that stays as long as no message is added. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#define FUZZ_MESSAGES_MAX 256

size_t fuzz_messages_get_all(const ProtobufCMessageDescriptor *ret[FUZZ_MESSAGES_MAX]);
