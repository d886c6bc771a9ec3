/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must be there whole or not at all, with the mode they are made with.
 *
 * A file is written beside its place, made durable and then moved there, so that a crash leaves the
 * old one or none, and a key is never readable for others, not even for a moment.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FILES_READ_MAX ((size_t)1024 * 1024)

struct file_mode {
	mode_t mode;
	gid_t group;  /* (gid_t)-1: ours */
	bool replace; /* false: a file that is there is not touched, -ERROR_EXISTS */
};

#define FILES_SECRET ((struct file_mode){ 0600, (gid_t)-1, false })
#define FILES_PUBLIC ((struct file_mode){ 0644, (gid_t)-1, false })

/* @text up to its final zero. */
int files_write(const char *path, const char *text, struct file_mode mode, struct error *err);

/* *ret_text is to be freed. -ERROR_NOT_FOUND, -ERROR_TOO_LARGE, -ERROR_INVALID for a zero inside. */
int files_read(const char *path, char **ret_text, struct error *err);

bool files_exist(const char *path);

/* With those above it, which get mode 0755; one that is there keeps its mode. */
int files_make_directory(const char *path, mode_t mode, struct error *err);

/* Moves a directory to a name that is free; -ERROR_EXISTS if it is not. */
int files_move_new(const char *from, const char *to, struct error *err);
