/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that arrive in pieces, put together again. Owner thread.
 *
 *	OPEN|MSG|END with FRAME_MORE, aux = bytes of the whole payload --> parts_begin
 *	PART ... PART (the last without FRAME_MORE)                    --> parts_add: the whole
 *
 * A stranger's claim of a length is compared with the limit and then only believed as far as bytes
 * have come: memory grows with them. At most PARTIAL_MAX messages are in pieces at a time, which
 * bounds what one connection can make us hold. Pieces of a stream that nobody knows (its call was
 * refused or cancelled while they were on their way) are dropped quietly.
 */
#pragma once

#include "proto/mesh/frame.h"

struct partial;

struct parts {
	struct partial *partials; /* by stream */
};

void parts_deinit(struct parts *p);

/* @f is a message's first frame and has FRAME_MORE; it is copied. -ERROR_TOO_LARGE,
 * -ERROR_PROTOCOL. @now_ms: for parts_get_oldest_ms. */
int parts_begin(struct parts *p, const struct frame *f, uint32_t max_bytes, uint64_t now_ms,
                struct error *err);

/* @ret_whole: the message, once it is all there, as if it had come in one frame; the caller frees
 * it. Else NULL. -ERROR_PROTOCOL. */
int parts_add(struct parts *p, const struct frame *f, struct frame **ret_whole, struct error *err);

/* The call is over: what has come of it is of no use. */
void parts_drop(struct parts *p, uint32_t stream);

/* When the one that waits longest began; UINT64_MAX if none waits. */
uint64_t parts_get_oldest_ms(const struct parts *p);
