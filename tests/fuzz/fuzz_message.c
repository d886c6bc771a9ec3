/* SPDX-License-Identifier: Apache-2.0 */
/* Checking and unpacking of every message that a peer can send; the first byte of the input chooses
 * which (tests/fuzz/messages.h). What passes is then looked at by the mesh's own rules, can be written
 * to an audit log, printed as JSON and packed again, within the arena's budget. */
#include "common/alloc.h"
#include "common/utf8.h"
#include "proto/audit/audited.h"
#include "proto/json.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/message.h"
#include "proto/mesh/metadata.h"
#include "tests/fuzz/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_metadata(Drover__Mesh__Metadata *const *from, size_t count)
{
	struct metadata_view view;
	struct mesh_metadata *copy;
	struct metadata_wire wire;
	struct error err;

	if (metadata_take(from, count, &view, &err) < 0) {
		assert(err.code == ERROR_PROTOCOL && err.text[0]);
		return;
	}
	copy = metadata_copy(&view.metadata);
	assert(!copy == !count);
	if (!copy)
		return;
	for (size_t i = 0; i < copy->count; i++)
		assert(mesh_metadata_find(copy, copy->items[i].key) == &copy->items[i]);
	metadata_wrap(copy, &wire);
	free(copy);
}

static void take_details(const Drover__Mesh__Details *details)
{
	struct details_view view;
	struct error err;

	if (details_take(details, &view, &err) < 0)
		assert(err.code == ERROR_PROTOCOL && err.text[0]);
	else
		assert(view.count == details->n_details && view.count <= MESH_DETAILS_MAX);
}

/* What the mesh asks of its own messages beyond their types. */
static void judge(const ProtobufCMessage *m)
{
	if (m->descriptor == &drover__mesh__open__descriptor)
		take_metadata(((const Drover__Mesh__Open *)m)->metadata,
		              ((const Drover__Mesh__Open *)m)->n_metadata);
	else if (m->descriptor == &drover__mesh__headers__descriptor)
		take_metadata(((const Drover__Mesh__Headers *)m)->metadata,
		              ((const Drover__Mesh__Headers *)m)->n_metadata);
	else if (m->descriptor == &drover__mesh__end__descriptor)
		take_metadata(((const Drover__Mesh__End *)m)->trailers,
		              ((const Drover__Mesh__End *)m)->n_trailers);
	else if (m->descriptor == &drover__mesh__details__descriptor)
		take_details((const Drover__Mesh__Details *)m);
}

/* No line of a log ends, or says something else, because of what is in a message. */
static void audit(const ProtobufCMessage *m)
{
	struct audit_text t;

	audit_text_init(&t);
	audited_request(m, &t);
	audited_reply(m, &t);
	assert(strlen(t.data) < sizeof(t.data) && !strpbrk(t.data, "\n\r\x1b"));
	assert(utf8_valid_bytes(t.data, strlen(t.data)) == strlen(t.data));
}

static void use(const ProtobufCMessage *m)
{
	uint8_t *packed;
	char *text;

	assert(protobuf_c_message_check(m));
	judge(m);
	audit(m);
	text = json_format(m, true);
	free(text);
	packed = xmalloc(protobuf_c_message_get_packed_size(m) + 1);
	assert(protobuf_c_message_pack(m, packed) == protobuf_c_message_get_packed_size(m));
	free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *types[FUZZ_MESSAGES_MAX];
	static struct arena arena;
	static size_t count;
	ProtobufCMessage *message;
	struct error err;
	int rc;

	if (size < 1)
		return 0;
	if (!count) {
		count = fuzz_messages_get_all(types);
		arena_init(&arena);
	}
	rc = message_decode(types[data[0] % count], data + 1, size - 1, &arena, &message, &err);
	assert(arena.used_bytes <= arena.budget_bytes && arena.budget_bytes <= ARENA_MOST);
	if (rc == 0)
		use(message);
	else
		assert((rc == -ERROR_PROTOCOL || rc == -ERROR_TOO_LARGE) && err.text[0]);
	return 0;
}
