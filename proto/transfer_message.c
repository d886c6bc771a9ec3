/* SPDX-License-Identifier: Apache-2.0 */
/* See transfer_message.h. */
#include "proto/transfer_message.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

void transfer_message_fill(const struct transfer *from, Drover__V1__Transfer *to)
{
	drover__v1__transfer__init(to);
	to->connections = from->connections;
	to->compression = (Drover__V1__Compression)from->compression;
	to->copy_incremental = from->copy_incremental;
	to->copy_only = (char *)from->copy_only;
}

Drover__V1__Transfer *transfer_message_new(const struct transfer *from)
{
	Drover__V1__Transfer *to = xmalloc(sizeof(*to));

	transfer_message_fill(from, to);
	to->copy_only = xstrdup(from->copy_only);
	return to;
}

int transfer_message_read(const Drover__V1__Transfer *from, struct transfer *ret, struct error *err)
{
	struct transfer t = { 0 };

	if (from) {
		if ((unsigned)from->compression >= COMPRESSIONS)
			return error_set(err, ERROR_INVALID,
			                 "the compression has the number %d, which this version "
			                 "does not know",
			                 (int)from->compression);
		if (strlen(from->copy_only) >= sizeof(t.copy_only))
			return error_set(err, ERROR_TOO_LARGE,
			                 "the names of the disks to copy have %zu bytes; at most "
			                 "%zu",
			                 strlen(from->copy_only), sizeof(t.copy_only) - 1);
		t.connections = from->connections;
		t.compression = (enum compression)from->compression;
		t.copy_incremental = from->copy_incremental;
		snprintf(t.copy_only, sizeof(t.copy_only), "%s", from->copy_only);
	}
	*ret = t;
	return 0;
}
