/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for any request; the first byte of the input chooses which. What is read can be packed, and
 * printed as JSON that is read again and prints the same. */
#include "common/alloc.h"
#include "proto/json.h"
#include "proto/methods.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t count;
	const struct method *methods = method_get_all(&count);
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message, *again;
	char *text, *first, *second;
	struct error err;
	int rc;

	if (size < 1)
		return 0;
	type = methods[data[0] % count].input;
	text = xcalloc(size, 1);
	memcpy(text, data + 1, size - 1);
	rc = json_read(text, type, &message, &err);
	free(text);
	if (rc < 0) {
		assert(rc == -ERROR_INVALID || rc == -ERROR_TOO_LARGE);
		assert(err.text[0]);
		return 0;
	}
	assert(protobuf_c_message_check(message));
	first = json_format(message, false);
	/* Only a number above 2^63 is printed as what is not read. */
	if (json_read(first, type, &again, &err) == 0) {
		second = json_format(again, false);
		assert(strcmp(first, second) == 0);
		free(second);
		protobuf_c_message_free_unpacked(again, NULL);
	} else {
		assert(strstr(err.text, "too big integer"));
	}
	free(first);
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}
