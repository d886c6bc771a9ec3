/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is there or the process is not.
 *
 * Guests live in QEMU processes that do not depend on us, and a restart is a tested path; so out of
 * memory aborts instead of spreading half-done work. The zero-filled variants are the default: an
 * all-zero struct is a valid empty one everywhere in drover.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

void *xcalloc(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
void *xmalloc(size_t bytes) __attribute__((returns_nonnull, malloc));
void *xreallocarray(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((returns_nonnull, malloc));
char *xstrndup(const char *text, size_t bytes) __attribute__((returns_nonnull, malloc));
void *xmemdup(const void *from, size_t bytes) __attribute__((returns_nonnull, malloc));
char *xasprintf(const char *format, ...)
	__attribute__((returns_nonnull, malloc, format(printf, 1, 2)));

#define xnew(type)        ((type *)xcalloc(1, sizeof(type)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
