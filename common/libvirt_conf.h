/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of libvirt's daemons, from their configuration files.
 *
 * libvirt's API does not tell which lock manager its QEMU driver uses, so the file that it read at
 * its start is read here. A daemon that was not restarted after a change differs from its file;
 * nothing can tell.
 */
#pragma once

#include "common/error.h"

#include <stddef.h>

/* Puts the string that @key is set to in @path into @ret (@bytes). As in libvirt, the first setting
 * counts; one that is missing, or a missing file, gives the empty text. ERROR_INVALID: the value is
 * not a string, or too long; ERROR_SYSTEM: the file cannot be read. */
int libvirt_conf_get_string(const char *path, const char *key, char *ret, size_t bytes,
                            struct error *err);
