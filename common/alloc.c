/* SPDX-License-Identifier: Apache-2.0 */
/* See alloc.h. */
#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory, size_t bytes)
{
	if (!memory) {
		fprintf(stderr, "drover: out of memory (%zu bytes)\n", bytes);
		abort();
	}
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	/* calloc(0) may be NULL; callers of an empty array get something they can free. */
	return must(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *xmalloc(size_t bytes)
{
	return must(malloc(bytes ? bytes : 1), bytes);
}

void *xreallocarray(void *old, size_t count, size_t size)
{
	return must(reallocarray(old, count ? count : 1, size ? size : 1), count * size);
}

char *xstrdup(const char *text)
{
	return must(strdup(text), strlen(text));
}

char *xstrndup(const char *text, size_t bytes)
{
	return must(strndup(text, bytes), bytes);
}

void *xmemdup(const void *from, size_t bytes)
{
	void *copy = xmalloc(bytes);

	if (bytes)
		memcpy(copy, from, bytes);
	return copy;
}

char *xasprintf(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vasprintf(&text, format, args);
	va_end(args);
	return must(bytes < 0 ? NULL : text, 0);
}
