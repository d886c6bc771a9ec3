/* SPDX-License-Identifier: Apache-2.0 */
/* Checking and unpacking of every message that a peer can send; the first byte of the input chooses
 * which. What passes can be printed as JSON and packed again, within the arena's budget. */
#include "proto/json.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/message.h"
#include "proto/methods.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *choose(uint8_t number)
{
	static const ProtobufCMessageDescriptor *const headers[] = {
		&drover__mesh__hello__descriptor,   &drover__mesh__open__descriptor,
		&drover__mesh__end__descriptor,     &drover__mesh__cancel__descriptor,
		&drover__mesh__go_away__descriptor,
	};
	size_t count;
	const struct method *methods = method_get_all(&count);

	if (number < ARRAY_SIZE(headers))
		return headers[number];
	number = (uint8_t)(number - ARRAY_SIZE(headers));
	return number % 2 ? methods[number / 2 % count].input : methods[number / 2 % count].output;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message;
	struct arena arena;
	struct error err;
	uint8_t *packed;
	char *text;
	int rc;

	if (size < 1)
		return 0;
	type = choose(data[0]);
	arena_init(&arena);
	rc = message_decode(type, data + 1, size - 1, &arena, &message, &err);
	assert(arena.used_bytes <= arena.budget_bytes);
	if (rc == 0) {
		assert(protobuf_c_message_check(message));
		text = json_format(message, true);
		free(text);
		packed = xmalloc(protobuf_c_message_get_packed_size(message));
		assert(protobuf_c_message_pack(message, packed) ==
		       protobuf_c_message_get_packed_size(message));
		free(packed);
	} else {
		assert(rc == -ERROR_PROTOCOL || rc == -ERROR_TOO_LARGE);
	}
	arena_deinit(&arena);
	return 0;
}
