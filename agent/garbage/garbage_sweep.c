/* SPDX-License-Identifier: Apache-2.0 */
/* See garbage_sweep.h. */
#include "agent/garbage/garbage_sweep.h"

#include "agent/garbage/leftovers.h"
#include "agent/storage/storage_image.h"
#include "agent/storage/storage_proof.h"
#include "common/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct garbage_find *garbage_add(struct garbage_finds *finds, enum garbage_thing thing,
                                 const struct attempt_name *attempt, const char *path)
{
	struct garbage_find *f;

	for (size_t i = 0; i < finds->n; i++) {
		if (finds->items[i].thing == thing && strcmp(finds->items[i].path, path) == 0)
			return &finds->items[i];
	}
	if (finds->n == GARBAGE_FINDS_MAX) {
		finds->more = true;
		return NULL;
	}
	f = &finds->items[finds->n++];
	*f = (struct garbage_find){ .thing = thing, .attempt = *attempt };
	snprintf(f->path, sizeof(f->path), "%s", path);
	return f;
}

/* "PREFIX<attempt>-<rest>". False: no name of ours. */
static bool read_name(const char *name, const char *prefix, struct attempt_name *ret)
{
	size_t skip = strlen(prefix);
	char text[ATTEMPT_TEXT_BYTES];
	const char *end;

	if (strncmp(name, prefix, skip) != 0 || strlen(name + skip) < 2 * ID_BYTES + 1)
		return false;
	end = strchr(name + skip + 2 * ID_BYTES + 1, '-');
	if (!end || (size_t)(end - name) - skip >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)((size_t)(end - name) - skip), name + skip);
	return attempt_name_parse(text, ret) == 0;
}

static void scan(const char *place, struct garbage_finds *finds)
{
	_cleanup_closedir_ DIR *d = opendir(place);
	struct attempt_name attempt;
	char path[VM_PATH_BYTES];

	while (d) {
		const struct dirent *entry = readdir(d);

		if (!entry)
			break;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", place, entry->d_name) >=
		    sizeof(path))
			continue;
		if (read_name(entry->d_name, STORAGE_NONCE_PREFIX, &attempt))
			garbage_add(finds, GARBAGE_PROOF, &attempt, path);
		else if (read_name(entry->d_name, STORAGE_IMAGE_PREFIX, &attempt))
			garbage_add(finds, GARBAGE_HALF_IMAGE, &attempt, path);
	}
}

static void scan_guest(struct hypervisor *h, const char *uuid, struct garbage_finds *finds)
{
	struct vm_description vm = { 0 };
	struct error
		ignored; /* it is gone meanwhile, or only defined: then its disks are not used */
	char *slash;

	if (h->ops->describe(h, uuid, &vm, &ignored) < 0)
		return;
	for (size_t i = 0; i < vm.n_disks; i++) {
		slash = strrchr(vm.disks[i].source, '/');
		if (strcmp(vm.disks[i].type, "file") != 0 || !slash)
			continue;
		*slash = '\0';
		scan(vm.disks[i].source, finds);
	}
	vm_description_deinit(&vm);
}

void garbage_scan_disks(struct hypervisor *h, char (*places)[VM_PATH_BYTES], size_t n_places,
                        struct garbage_finds *finds)
{
	struct vm_list list = { 0 };
	struct error ignored; /* an incomplete search says so: the caller asks libvirt, too */

	for (size_t i = 0; i < n_places; i++)
		scan(places[i], finds);
	if (h->ops->list(h, &list, &ignored) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i].active)
			scan_guest(h, list.items[i].uuid, finds);
	}
	vm_list_deinit(&list);
}

static int remove_one(const struct tunnel_ops *tunnels, const struct garbage_find *f,
                      struct error *err)
{
	switch (f->thing) {
	case GARBAGE_SOURCE_DIRECTORY:
	case GARBAGE_TARGET_DIRECTORY:
		return leftovers_remove_directory(tunnels, f->path, err);
	case GARBAGE_PROOF:
		if (unlink(f->path) < 0 && errno != ENOENT)
			return error_set_errno(err, ERROR_SYSTEM, errno, "removing %.200s",
			                       f->path);
		return 0;
	default:
		return error_set(err, ERROR_REFUSED, "%.200s is nothing that is removed here",
		                 f->path);
	}
}

void garbage_remove(const struct tunnel_ops *tunnels, struct garbage_finds *finds)
{
	for (size_t i = 0; i < finds->n; i++) {
		struct garbage_find *f = &finds->items[i];
		struct error err;

		if (!f->remove)
			continue;
		if (remove_one(tunnels, f, &err) == 0) {
			f->outcome = GARBAGE_IS_REMOVED;
		} else {
			f->outcome = GARBAGE_IS_LEFT;
			snprintf(f->text, sizeof(f->text), "%.300s", err.text);
		}
	}
}
