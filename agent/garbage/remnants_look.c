/* SPDX-License-Identifier: Apache-2.0 */
/* See remnants_look.h. Couriers only; no state. */
#include "agent/garbage/remnants_look.h"

#include "agent/link/ports.h"
#include "agent/storage/storage_image.h"
#include "agent/storage/storage_proof.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct remnant_sight *sight(struct remnants_look *look, enum remnant_thing thing)
{
	return &look->in.sights[thing];
}

static void put(struct remnant_sight *s, enum sight what, const char *text)
{
	s->sight = what;
	snprintf(s->text, sizeof(s->text), "%s", text);
}

/* --- the guest --- */

static void look_at_guest(struct remnants_look *look)
{
	struct remnants_input *in = &look->in;
	const struct hypervisor_ops *ops = look->hypervisor->ops;
	struct vm_job job;
	struct error ignored; /* the guest is still to be seen; its job is then not known */
	int rc = ops->find(look->hypervisor, look->vm_uuid, &in->vm, &look->problem);

	in->libvirt_answers = rc == 0 || rc == -ERROR_NOT_FOUND;
	in->libvirt_problem = look->problem.text;
	in->listed = rc == 0;
	if (rc < 0 || !in->vm.active)
		return;
	rc = ops->job(look->hypervisor, look->vm_uuid, &job, &ignored);
	in->job_known = rc == 0;
	in->job_runs = rc == 0 && job.active;
}

/* --- the tunnel --- */

/* The process has its status file on its command line, and no other has: so it is found whatever became
 * of its files. Returns its pid, 0 if there is none. */
static long find_process(const char *directory)
{
	_cleanup_closedir_ DIR *all = opendir("/proc");
	char path[64], line[4096], below[VM_PATH_BYTES + 1];

	/* Of a first attempt: not that of the tenth, which begins alike. */
	snprintf(below, sizeof(below), "%s/", directory);
	while (all) {
		const struct dirent *entry = readdir(all);
		_cleanup_close_ int fd = -1;
		ssize_t n;

		if (!entry)
			break;
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/cmdline", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, line, sizeof(line));
		if (n > 0 && memmem(line, (size_t)n, "drover-tunnel", 13) &&
		    memmem(line, (size_t)n, below, strlen(below)))
			return strtol(entry->d_name, NULL, 10);
	}
	return 0;
}

static void look_at_tunnel(struct remnants_look *look)
{
	struct remnant_sight *tunnel = sight(look, REMNANT_TUNNEL);
	struct remnant_sight *directory = sight(look, REMNANT_DIRECTORY);
	long pid = find_process(look->directory);

	if (access("/proc/self/cmdline", R_OK) < 0) {
		put(tunnel, SIGHT_NOT_LOOKED, "/proc cannot be read");
	} else {
		put(tunnel, pid ? SIGHT_THERE : SIGHT_NONE, "");
		if (pid)
			snprintf(tunnel->text, sizeof(tunnel->text),
			         "the tunnel process %ld still runs", pid);
	}
	if (access(look->directory, F_OK) == 0) {
		put(directory, SIGHT_THERE, look->directory);
	} else if (errno == ENOENT) {
		put(directory, SIGHT_NONE, "");
	} else {
		snprintf(directory->text, sizeof(directory->text), "%.200s: %s", look->directory,
		         strerror(errno));
	}
}

/* --- files beside the disks --- */

static void look_in_place(const char *place, const char *prefix, struct remnant_sight *s)
{
	_cleanup_closedir_ DIR *d = opendir(place);

	if (!d) {
		if (errno != ENOENT && s->sight != SIGHT_THERE) {
			s->sight = SIGHT_NOT_LOOKED;
			snprintf(s->text, sizeof(s->text), "%.200s: %s", place, strerror(errno));
		}
		return;
	}
	for (const struct dirent *entry; (entry = readdir(d));) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		s->sight = SIGHT_THERE;
		snprintf(s->text, sizeof(s->text), "%.200s/%.100s", place, entry->d_name);
	}
}

static void look_at_files(struct remnants_look *look, const char *first, enum remnant_thing thing)
{
	struct remnant_sight *s = sight(look, thing);
	char name[ATTEMPT_TEXT_BYTES],
		prefix[sizeof(STORAGE_NONCE_PREFIX) + ATTEMPT_TEXT_BYTES + 8];

	snprintf(prefix, sizeof(prefix), "%s%s-", first, attempt_name_format(&look->attempt, name));
	put(s, SIGHT_NONE, "");
	for (size_t i = 0; i < look->n_places; i++)
		look_in_place(look->places[i], prefix, s);
}

void remnants_look_add_place(struct remnants_look *look, const char *path)
{
	const char *slash = strrchr(path, '/');
	char place[VM_PATH_BYTES];

	if (path[0] != '/' || !slash)
		return;
	snprintf(place, sizeof(place), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	for (size_t i = 0; i < look->n_places; i++) {
		if (strcmp(look->places[i], place) == 0)
			return;
	}
	if (look->n_places < REMNANT_PLACES_MAX)
		memcpy(look->places[look->n_places++], place, sizeof(place));
}

/* An agent that was restarted knows the disks only of a guest that is still here. */
static void find_places(struct remnants_look *look)
{
	struct vm_description vm = { 0 };
	struct error ignored; /* then there is no place to look in, and none is claimed */

	if (look->in.side != REMNANTS_SOURCE || look->n_places || !look->in.listed)
		return;
	if (look->hypervisor->ops->describe(look->hypervisor, look->vm_uuid, &vm, &ignored) < 0)
		return;
	for (size_t i = 0; i < vm.n_disks; i++) {
		if (strcmp(vm.disks[i].type, "file") == 0)
			remnants_look_add_place(look, vm.disks[i].source);
	}
	vm_description_deinit(&vm);
}

/* --- ports --- */

static bool is_leased(const struct remnants_look *look, uint16_t port)
{
	return port >= look->pool_first && port <= look->pool_last &&
	       (look->leased_ports >> (port - look->pool_first) & 1);
}

/* Read, and not bound for a moment as at an admission: one that is made at the same time would find the
 * port taken by us. A connection of somebody else's that happens to have the number is no remnant. */
static void look_at_port(struct remnants_look *look, uint16_t port, struct remnant_sight *s)
{
	struct port_holder holder;
	char text[200];

	if (is_leased(look, port)) {
		/* It was found free for that. */
		put(s, SIGHT_NONE, "given to another migration since");
		return;
	}
	if (access("/proc/thread-self/net/tcp", R_OK) < 0) {
		put(s, SIGHT_NOT_LOOKED, "/proc/net/tcp cannot be read");
		return;
	}
	ports_find_holder(look->migration_address, port, &holder);
	if (strcmp(holder.state, "LISTEN") != 0 &&
	    (strcmp(holder.state, "ESTABLISHED") != 0 || strncmp(holder.command, "qemu", 4) != 0)) {
		put(s, SIGHT_NONE, "");
		return;
	}
	ports_explain(&holder, text, sizeof(text));
	put(s, SIGHT_THERE, text);
}

/* Which one it had is not known any more: then none of the pool may be held by a stranger. */
static void look_at_pool(struct remnants_look *look, struct remnant_sight *s)
{
	struct remnant_sight one;

	put(s, SIGHT_NONE, "");
	for (unsigned port = look->pool_first; port <= look->pool_last; port++) {
		look_at_port(look, (uint16_t)port, &one);
		if (one.sight == SIGHT_NONE)
			continue;
		s->sight = SIGHT_NOT_LOOKED;
		snprintf(s->text, sizeof(s->text),
		         "which port it had is not known since an agent was restarted; %.200s",
		         one.text);
		return;
	}
}

static void look_at_ports(struct remnants_look *look)
{
	struct remnant_sight *memory = sight(look, REMNANT_PORT);
	struct remnant_sight *disks = sight(look, REMNANT_EXPORT);

	if (look->port)
		look_at_port(look, look->port, memory);
	else
		look_at_pool(look, memory);
	if (look->disk_port)
		look_at_port(look, look->disk_port, disks);
	else
		look_at_pool(look, disks);
}

/* --- the permit to start on a host that is being emptied --- */

static void look_at_start_block(struct remnants_look *look)
{
	struct remnant_sight *s = sight(look, REMNANT_START_BLOCK);
	_cleanup_fclose_ FILE *file = fopen(look->start_block, "re");
	char line[VM_NAME_BYTES + 16], permit[VM_NAME_BYTES + 16];

	if (!file && errno != ENOENT) {
		snprintf(s->text, sizeof(s->text), "%.200s: %s", look->start_block,
		         strerror(errno));
		return;
	}
	put(s, SIGHT_NONE, "");
	snprintf(permit, sizeof(permit), "may %.250s\n", look->in.vm_name);
	while (file && fgets(line, sizeof(line), file)) {
		if (strcmp(line, permit) == 0 && !look->may_start) {
			s->sight = SIGHT_THERE;
			snprintf(s->text, sizeof(s->text), "%.200s still lets %.64s start",
			         look->start_block, look->in.vm_name);
		}
	}
}

void remnants_look(struct remnants_look *look)
{
	look_at_guest(look);
	look_at_tunnel(look);
	if (look->in.side == REMNANTS_SOURCE) {
		find_places(look);
		look->in.places = look->n_places > 0;
		look_at_files(look, STORAGE_NONCE_PREFIX, REMNANT_PROOFS);
		return;
	}
	look_at_files(look, STORAGE_IMAGE_PREFIX, REMNANT_IMAGES);
	look_at_ports(look);
	look_at_start_block(look);
}
