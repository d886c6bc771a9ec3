/* SPDX-License-Identifier: Apache-2.0 */
/* See libvirt_restart.h. A line for each daemon: its name, its pid file, and of that file the inode and
 * the moment of its last change. */
#include "common/libvirt_restart.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The daemons that have the QEMU driver in them. */
static const char *const daemons[] = { "libvirtd", "virtqemud" };

int libvirt_restart_note(const char *root, const char *run_dir, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/libvirt-restart", run_dir);
	FILE *note = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		_cleanup_free_ char *pid_file = xasprintf("%s/run/%s.pid", root, daemons[i]);
		struct stat st;

		if (stat(pid_file, &st) < 0)
			continue;
		if (!note)
			note = fopen(path, "we");
		if (!note)
			return error_set_errno(err, ERROR_SYSTEM, errno, "writing %s", path);
		fprintf(note, "%s %" PRIu64 " %" PRIi64 " %ld %s\n", daemons[i],
		        (uint64_t)st.st_ino, (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		        pid_file);
	}
	if (note && fclose(note) != 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "writing %s", path);
	return 0;
}

bool libvirt_restart_is_needed(const char *run_dir, char ret_name[LIBVIRT_RESTART_NAME_BYTES])
{
	_cleanup_free_ char *path = xasprintf("%s/libvirt-restart", run_dir);
	_cleanup_fclose_ FILE *note = fopen(path, "re");
	char line[PATH_MAX + 128], name[LIBVIRT_RESTART_NAME_BYTES], pid_file[PATH_MAX];

	while (note && fgets(line, sizeof(line), note)) {
		struct stat st;
		uint64_t inode;
		int64_t seconds;
		long nanoseconds;

		if (sscanf(line, "%31s %" SCNu64 " %" SCNi64 " %ld %4095s", name, &inode, &seconds,
		           &nanoseconds, pid_file) != 5 ||
		    stat(pid_file, &st) < 0)
			continue;
		if ((uint64_t)st.st_ino == inode && (int64_t)st.st_mtim.tv_sec == seconds &&
		    st.st_mtim.tv_nsec == nanoseconds) {
			snprintf(ret_name, LIBVIRT_RESTART_NAME_BYTES, "%s", name);
			return true;
		}
	}
	return false;
}
