/* SPDX-License-Identifier: Apache-2.0 */
/* Every method of the mesh, once: its messages, whether it streams, and who may call it.
 *
 * protoc-c drops the `stream` keyword from its descriptors and knows no roles; so the table is made
 * from the .proto files by rpc.awk, where `// roles:` above each rpc says who may call it.
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
