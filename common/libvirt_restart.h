/* SPDX-License-Identifier: Apache-2.0 */
/* Whether libvirt has started again since something was put where it looks only when it starts.
 *
 * Who puts it there writes down which daemons run at that moment; who wants to know compares. A daemon
 * is known by its pid file, which it writes when it starts: the same file, written at the same moment,
 * is the same daemon. No clocks are compared, and a reboot forgets the note with all of /run.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define LIBVIRT_RESTART_NAME_BYTES 32

/* Into @run_dir, a directory that is there. @root: "" or where the files of the host are. Where no daemon
 * runs nothing has to start again, and there is no note. */
int libvirt_restart_note(const char *root, const char *run_dir, struct error *err);

/* Whether a daemon of the note still runs; its name ("libvirtd") into @ret_name. */
bool libvirt_restart_is_needed(const char *run_dir, char ret_name[LIBVIRT_RESTART_NAME_BYTES]);
