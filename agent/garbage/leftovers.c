/* SPDX-License-Identifier: Apache-2.0 */
/* See leftovers.h. No state. */
#include "agent/garbage/leftovers.h"

#include "agent/storage/storage_proof.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOP_GRACE_MS 2000

int leftovers_stop_tunnel(const struct tunnel_ops *tunnels, const char *directory,
                          struct error *err)
{
	struct tunnel tunnel = { 0 };
	struct tunnel_status status;
	struct error ignored; /* no status file: no process */

	snprintf(tunnel.status_path, sizeof(tunnel.status_path), "%s/status", directory);
	if (tunnel_status_read(tunnel.status_path, &status, &ignored) < 0)
		return 0;
	tunnel.pid = (pid_t)status.pid;
	tunnel.start_ticks = status.start_ticks;
	return tunnels->stop(&tunnel, STOP_GRACE_MS, err);
}

int leftovers_remove_directory(const struct tunnel_ops *tunnels, const char *directory,
                               struct error *err)
{
	static const char *const files[] = { "libvirt.sock", "tunnel.log", "status" };
	char path[VM_PATH_BYTES + 16];

	if (access(directory, F_OK) < 0)
		return 0;
	if (leftovers_stop_tunnel(tunnels, directory, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
	if (rmdir(directory) < 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_SYSTEM, errno, "removing %s", directory);
	return 0;
}

static void remove_proofs_in(const char *directory, const char *prefix)
{
	DIR *d = opendir(directory);

	if (!d)
		return;
	for (struct dirent *entry; (entry = readdir(d));) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
		    unlinkat(dirfd(d), entry->d_name, 0) < 0 && errno != ENOENT)
			log_warning("removing %s/%s: %s", directory, entry->d_name,
			            strerror(errno));
	}
	closedir(d);
}

void leftovers_remove_proofs(struct hypervisor *h, const char *vm_uuid,
                             const struct attempt_name *attempt)
{
	struct vm_description vm = { 0 };
	char name[ATTEMPT_TEXT_BYTES], prefix[sizeof(STORAGE_NONCE_PREFIX) + ATTEMPT_TEXT_BYTES];
	struct error ignored;

	snprintf(prefix, sizeof(prefix), STORAGE_NONCE_PREFIX "%s-",
	         attempt_name_format(attempt, name));
	if (h->ops->describe(h, vm_uuid, &vm, &ignored) < 0)
		return;
	for (size_t i = 0; i < vm.n_disks; i++) {
		char *slash = strrchr(vm.disks[i].source, '/');

		if (strcmp(vm.disks[i].type, "file") != 0 || !slash)
			continue;
		*slash = '\0';
		remove_proofs_in(vm.disks[i].source[0] ? vm.disks[i].source : "/", prefix);
	}
	vm_description_deinit(&vm);
}

size_t leftovers_list(const char *parent, struct attempt_name **ret)
{
	struct attempt_name *names = NULL, name;
	DIR *d = opendir(parent);
	size_t n = 0;

	if (!d)
		return 0;
	for (struct dirent *entry; (entry = readdir(d));) {
		if (attempt_name_parse(entry->d_name, &name) < 0)
			continue;
		names = xreallocarray(names, n + 1, sizeof(*names));
		names[n++] = name;
	}
	closedir(d);
	*ret = names;
	return n;
}
