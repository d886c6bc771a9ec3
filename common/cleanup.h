/* SPDX-License-Identifier: Apache-2.0 */
/* Owners that clean up when they leave their scope.
 *
 *	_cleanup_free_ char *xml = read_whole(path);
 *	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
 *	...
 *	return take_pointer(xml);	// the caller owns it now
 *
 * For a type of your own: DEFINE_CLEANUP(struct plan *, plan_free) and _cleanup_(plan_freep).
 * Cleaners accept NULL and -1, so an owner may be declared before it owns anything.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

#define DEFINE_CLEANUP(type, function)              \
	static inline void function##p(type *owner) \
	{                                           \
		if (*owner)                         \
			function(*owner);           \
	}                                           \
	struct cleanup_needs_a_semicolon_

static inline void cleanup_free_pointer(void *owner)
{
	free(*(void **)owner);
}

static inline void cleanup_close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void cleanup_close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_free_     _cleanup_(cleanup_free_pointer)
#define _cleanup_close_    _cleanup_(cleanup_close_fd)
#define _cleanup_fclose_   _cleanup_(cleanup_close_file)
#define _cleanup_closedir_ _cleanup_(cleanup_close_dir)

/* Gives the value away and leaves an owner that owns nothing. */
#define take_pointer(owner)                         \
	({                                          \
		__typeof__(owner) taken_ = (owner); \
		(owner) = NULL;                     \
		taken_;                             \
	})
#define take_fd(owner)                \
	({                            \
		int taken_ = (owner); \
		(owner) = -1;         \
		taken_;               \
	})
