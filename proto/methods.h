/* SPDX-License-Identifier: Apache-2.0 */
/* Every method of the mesh, once: its messages, whether it streams, and who may call it.
 *
 * protoc-c drops the `stream` keyword from its descriptors, and nothing in a .proto file says who
 * may call; so both stand here, and a test holds the table against the .proto files.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct method {
	const char *name; /* "drover.v1.Agent/Admit" */
	const ProtobufCMessageDescriptor *input;
	const ProtobufCMessageDescriptor *output;
	bool server_streaming;
	unsigned callers; /* enum mesh_role bits */
};

/* NULL when there is no such method. */
const struct method *method_find(const char *name);

/* All of them, for reflection and for the test of the table. */
const struct method *method_get_all(size_t *ret_count);
