/* SPDX-License-Identifier: Apache-2.0 */
/* See malformed.h. */
#include "proto/mesh/malformed.h"

bool malformed_add(struct malformed *m, uint64_t now_ms)
{
	if (m->count == 0 || now_ms - m->first_ms >= MALFORMED_MS)
		*m = (struct malformed){ .first_ms = now_ms };
	return ++m->count >= MALFORMED_MAX;
}
