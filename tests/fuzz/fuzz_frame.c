/* SPDX-License-Identifier: Apache-2.0 */
/* The frame reader, fed in pieces: the first byte of the input says how large they are, and whether
 * a good beginning is put in front. It may refuse, but nothing it gives out breaks its limits. */
#include "proto/mesh/frame.h"

#include <assert.h>
#include <string.h>

#define LIMIT (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct frame *f, bool first)
{
	const volatile uint8_t *body = f->body;

	assert(f->head.length <= LIMIT && f->head.header_bytes <= f->head.length);
	assert(f->head.header_bytes <= FRAME_HEADER_MAX);
	assert(!first || (f->head.type == FRAME_HELLO && f->head.length <= FRAME_HELLO_MAX));
	if (f->head.length > 0)
		(void)body[f->head.length - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t hello[FRAME_BYTES] = { [8] = FRAME_HELLO };
	struct frame *list = NULL, **end = &list;
	struct frame_reader r;
	struct error err;
	size_t step;
	int rc = 0;

	if (size < 1)
		return 0;
	frame_reader_init(&r, LIMIT);
	if (data[0] & 0x80) {
		rc = frame_reader_push(&r, (const uint8_t *)FRAME_PREFACE, FRAME_PREFACE_BYTES,
		                       &end, &err);
		assert(rc == 0);
		rc = frame_reader_push(&r, hello, sizeof(hello), &end, &err);
		assert(rc == 0);
	}
	step = (data[0] & 0x7f) + 1u;
	for (size_t at = 1; at < size && rc == 0; at += step) {
		size_t n = size - at < step ? size - at : step;

		rc = frame_reader_push(&r, data + at, n, &end, &err);
	}
	assert(rc == 0 || rc == -ERROR_PROTOCOL || rc == -ERROR_TOO_LARGE);
	for (struct frame *f = list; f; f = f->next)
		check(f, f == list);
	frame_list_free(list);
	frame_reader_deinit(&r);
	return 0;
}
