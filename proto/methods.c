/* SPDX-License-Identifier: Apache-2.0 */
/* See methods.h. A few services of a few dozen methods: a linear search is a few hundred nanoseconds
 * beside a call's tens of microseconds, and the table stays in the order of the .proto files. */
#include "proto/methods.h"

#include <string.h>

const struct method *method_find(const char *name)
{
	size_t count;
	const struct method *all = method_get_all(&count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	}
	return NULL;
}
