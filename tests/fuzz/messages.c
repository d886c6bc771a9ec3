/* SPDX-License-Identifier: Apache-2.0 */
/* See messages.h. From the messages that begin something - headers of frames, methods' inputs and
 * outputs, the join, a simulation's figures - along their fields to all others. */
#include "tests/fuzz/messages.h"

#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/methods.h"
#include "proto/pki.pb-c.h"
#include "proto/simulation.pb-c.h"

#include <assert.h>
#include <stdbool.h>

struct found {
	const ProtobufCMessageDescriptor **all;
	size_t count;
};

static void add(struct found *f, const ProtobufCMessageDescriptor *type)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->all[i] == type)
			return;
	}
	assert(f->count < FUZZ_MESSAGES_MAX);
	f->all[f->count++] = type;
}

size_t fuzz_messages_get_all(const ProtobufCMessageDescriptor *ret[FUZZ_MESSAGES_MAX])
{
	static const ProtobufCMessageDescriptor *const first[] = {
		&drover__mesh__hello__descriptor,        &drover__mesh__open__descriptor,
		&drover__mesh__end__descriptor,          &drover__mesh__headers__descriptor,
		&drover__mesh__details__descriptor,      &drover__mesh__cancel__descriptor,
		&drover__mesh__go_away__descriptor,      &drover__v1__pki_join_request__descriptor,
		&drover__v1__pki_join_reply__descriptor, &drover__v1__simulation__descriptor,
	};
	struct found f = { .all = ret };
	const struct method *methods;
	size_t count;

	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		add(&f, first[i]);
	methods = method_get_all(&count);
	for (size_t i = 0; i < count; i++) {
		add(&f, methods[i].input);
		add(&f, methods[i].output);
	}
	/* The list grows while it is walked. */
	for (size_t i = 0; i < f.count; i++) {
		for (unsigned n = 0; n < f.all[i]->n_fields; n++) {
			if (f.all[i]->fields[n].type == PROTOBUF_C_TYPE_MESSAGE)
				add(&f, f.all[i]->fields[n].descriptor);
		}
	}
	return f.count;
}
