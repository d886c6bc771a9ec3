/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a guest: the same storage on both hosts, or a copy that can be made, or an administrator's
 * word where neither shows that it is not. Pure.
 *
 *	proved the same here  --> passes
 *	not, a plain file that is written to --> could an image be made for it? --> with copy_disks it passes,
 *	                                                                       without, the remedy says so
 *	not, anything else    --> fails, and says why it is not copied either
 *
 * An image is promised as much room as it can ever grow to: the guest may write to all of it while
 * it is copied, and a full disk on the destination would stop the guest there. Two disks of one guest
 * on one file system need the sum. */
#include "agent/kernel/admission_internal.h"

#include "common/units.h"

#include <stdio.h>
#include <string.h>

/* qemu-img's default. */
#define QCOW2_CLUSTER_BYTES ((uint64_t)64 << 10)

/* Room in @bytes for so many entries, in whole clusters. */
static uint64_t clusters(uint64_t entries, uint64_t entry_bytes)
{
	return (entries * entry_bytes + QCOW2_CLUSTER_BYTES - 1) / QCOW2_CLUSTER_BYTES;
}

/* Header, two levels of tables, and two bytes of reference count for each cluster, those of the counts
 * included: twice as many of the last two as without themselves is more than enough. */
static uint64_t qcow2_worst_bytes(uint64_t capacity_bytes)
{
	uint64_t data = clusters(capacity_bytes, 1), level2 = clusters(data, 8);
	uint64_t level1 = clusters(level2, 8);
	uint64_t counts = clusters(data + level2 + level1 + 1, 2) + 1;
	uint64_t table = clusters(counts, 8) + 1;

	return (1 + data + level2 + level1 + 2 * (counts + table)) * QCOW2_CLUSTER_BYTES;
}

uint64_t admission_image_bytes(const struct vm_disk *d)
{
	if (d->capacity_bytes == 0 || d->capacity_bytes > ADMISSION_DISK_MAX_BYTES)
		return 0;
	return strcmp(d->format, "qcow2") == 0 ? qcow2_worst_bytes(d->capacity_bytes)
	                                       : d->capacity_bytes;
}

static bool is_proved(const struct storage_finding *f)
{
	return f->measured && (!f->needed || f->proved);
}

static bool is_chosen(const struct vm_disk *d, const struct transfer *transfer)
{
	return !transfer || transfer_copies(transfer, d->target);
}

bool admission_copies_disk(const struct vm_disk *d, const struct storage_finding *f,
                           const struct transfer *transfer)
{
	return f->measured && !is_proved(f) && !d->read_only && is_chosen(d, transfer);
}

const struct vm_disk *admission_find_backing(const struct vm_description *vm,
                                             const struct vm_disk *d)
{
	char first[sizeof(d->target) + 4];

	snprintf(first, sizeof(first), "%s[1]", d->target);
	for (size_t i = 0; i < vm->n_disks && i < VM_DISKS_MAX; i++)
		if (strcmp(vm->disks[i].target, first) == 0)
			return &vm->disks[i];
	return NULL;
}

/* Why the part that is @d's own cannot be copied alone: that what it is built on is the same here is
 * for that image's own check. */
static const char *find_chain_obstacle(const struct vm_disk *d, const struct vm_disk *backing,
                                       bool incremental)
{
	if (!incremental)
		return "it is built on another image: --incremental copies it where both hosts "
		       "have that one; or flatten it: virsh blockpull";
	if (!backing)
		return "libvirt does not tell what image it is built on";
	if (strcmp(d->format, "qcow2") != 0)
		return "only a qcow2 image is built on another one";
	if (strcmp(backing->type, "file") != 0 && strcmp(backing->type, "block") != 0)
		return "the image that it is built on is neither a file nor a device";
	if (strcmp(backing->format, "raw") != 0 && strcmp(backing->format, "qcow2") != 0)
		return "the image that it is built on is neither raw nor qcow2";
	return NULL;
}

/* What speaks against copying @d, whatever this host has: a few words, or NULL. */
static const char *find_obstacle(const struct vm_description *vm, const struct vm_disk *d,
                                 bool incremental)
{
	const struct vm_disk *backing = admission_find_backing(vm, d);
	const char *chain = d->built_on_another || backing
	                            ? find_chain_obstacle(d, backing, incremental)
	                            : NULL;

	if (strcmp(d->type, "file") != 0)
		return "only files are copied";
	if (d->shareable)
		return "a disk that several guests share is not copied";
	if (strcmp(d->format, "raw") != 0 && strcmp(d->format, "qcow2") != 0)
		return "only raw and qcow2 are copied";
	if (chain)
		return chain;
	if (d->copy_problem[0])
		return d->copy_problem;
	if (d->capacity_bytes == 0)
		return "its size was not measured at the source";
	if (d->capacity_bytes > ADMISSION_DISK_MAX_BYTES)
		return "a disk of this size is not copied";
	return NULL;
}

/* What earlier disks of the same guest take there. */
static uint64_t taken_before(const struct admission_input *in, size_t i)
{
	uint64_t bytes = 0;

	for (size_t n = 0; n < i; n++)
		if (in->images[n].measured && in->images[n].device == in->images[i].device &&
		    admission_copies_disk(&in->vm->disks[n], &in->disks[n], in->transfer))
			bytes += admission_image_bytes(&in->vm->disks[n]);
	return bytes;
}

static uint64_t subtract(uint64_t from, uint64_t bytes)
{
	return from > bytes ? from - bytes : 0;
}

/* Is there a place for the image, and room in it? @c says what is missing. */
static bool place_is_good(const struct admission_input *in, size_t i, struct check *c)
{
	const struct image_finding *f = &in->images[i];
	const struct vm_disk *d = &in->vm->disks[i];
	uint64_t need_bytes = admission_image_bytes(d), before_bytes = taken_before(in, i);
	uint64_t room_bytes = subtract(subtract(f->free_bytes, f->promised_bytes), before_bytes);
	char need[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];
	char promised[UNITS_TEXT_BYTES], before[UNITS_TEXT_BYTES];

	if (!f->measured) {
		admission_not_measured(c, f->why);
		return false;
	}
	if (!f->present) {
		admission_measured(c, "there is no directory for it here: %.140s", f->why);
		admission_remedy(c, "make it on this host, with room for %s",
		                 units_format_bytes(need_bytes, need));
		return false;
	}
	if (f->exists) {
		admission_measured(c,
		                   "another file of this name is here, which drover did not make");
		admission_remedy(c, "if it is not needed, move it away on this host; drover "
		                    "overwrites nothing");
		return false;
	}
	if (!f->writable) {
		admission_measured(c, "its directory here cannot be written to: %.140s", f->why);
		admission_remedy(c, "mount it for writing on this host");
		return false;
	}
	admission_measured(c, "%s for its copy: %s free on %.20s - %s promised - %s of other disks",
	                   units_format_bytes(room_bytes, room),
	                   units_format_bytes(f->free_bytes, all), f->filesystem,
	                   units_format_bytes(f->promised_bytes, promised),
	                   units_format_bytes(before_bytes, before));
	if (room_bytes >= need_bytes)
		return true;
	admission_remedy(c, "%s short: make room on this host, or choose another destination",
	                 units_format_bytes(need_bytes - room_bytes, need));
	return false;
}

static void require_room(const struct vm_disk *d, struct check *c)
{
	char need[UNITS_TEXT_BYTES], size[UNITS_TEXT_BYTES];

	admission_required(c, "the same storage as at the source, or %s for a copy: %s %s%s",
	                   units_format_bytes(admission_image_bytes(d), need),
	                   units_format_bytes(d->capacity_bytes, size), d->format,
	                   strcmp(d->format, "qcow2") == 0 ? " at its largest" : "");
}

/* A copy was asked for, or would help if it were. */
static void judge_copy(const struct admission_input *in, size_t i, struct check *c)
{
	const struct vm_disk *d = &in->vm->disks[i];
	/* Where nothing was said of copying, what would help is offered. */
	bool chained = !in->copy_disks &&
	               (d->built_on_another || admission_find_backing(in->vm, d));
	const char *obstacle = find_obstacle(
		in->vm, d, chained || (in->transfer && in->transfer->copy_incremental));
	struct check place = { .verdict = CHECK_FAIL };
	char need[UNITS_TEXT_BYTES];

	if (obstacle) {
		/* Nothing to be had with a copy: what is wrong with sharing it stays the answer. */
		if (in->copy_disks)
			admission_remedy(c, "%.120s; put it on storage that both hosts see",
			                 obstacle);
		return;
	}
	if (in->copy_disks && in->already_reserved) {
		admission_measured(c, "its image here is reserved for this attempt");
		c->verdict = CHECK_PASS;
		return;
	}
	if (!in->images || !place_is_good(in, i, &place)) {
		if (in->copy_disks) {
			require_room(d, c);
			memcpy(c->measured, place.measured, sizeof(c->measured));
			memcpy(c->remedy, place.remedy, sizeof(c->remedy));
			if (!in->images)
				admission_not_measured(c, "");
		}
		return;
	}
	if (!in->copy_disks) {
		admission_remedy(c,
		                 "drover migrate %.60s %s copies it (%s; there is room here), or "
		                 "share the storage",
		                 in->vm->summary.name, chained ? "--incremental" : "--copy-disks",
		                 units_format_bytes(admission_image_bytes(d), need));
		return;
	}
	require_room(d, c);
	memcpy(c->measured, place.measured, sizeof(c->measured));
	c->verdict = CHECK_PASS;
}

static bool copies(const struct admission_input *in, size_t i)
{
	return in->copy_disks &&
	       admission_copies_disk(&in->vm->disks[i], &in->disks[i], in->transfer);
}

static void judge_unproved(const struct admission_input *in, size_t i, struct check *c)
{
	const struct vm_disk *d = &in->vm->disks[i];

	admission_measured(c, "%.191s", in->disks[i].measured_text);
	admission_remedy(c, "%.191s", in->disks[i].remedy);
	if (!d->read_only && is_chosen(d, in->transfer)) {
		judge_copy(in, i, c);
	} else if (!d->read_only && in->copy_disks) {
		admission_remedy(c,
		                 "it is not among the disks that are to be copied (%.60s): add "
		                 "--copy-disk %.31s, or share the storage",
		                 in->transfer->copy_only, d->target);
	} else if (strcmp(d->device, "cdrom") == 0 || strcmp(d->device, "floppy") == 0) {
		admission_remedy(c,
		                 "eject it: virsh change-media %.60s %.31s --eject; or have the "
		                 "same file on both hosts by sharing it",
		                 in->vm->summary.name, d->target);
	}
	if (c->verdict == CHECK_PASS) {
		c->remedy[0] = '\0';
	} else if (in->unsafe && !in->disks[i].refuted && !copies(in, i)) {
		admission_remedy(c, "taken for the same storage on an administrator's word "
		                    "(--unsafe): if it is not, the guest finds other data there");
		c->verdict = CHECK_WARN;
	}
}

/* A name that is chosen for copying and that no disk has is a slip: what was meant is not known. */
static void judge_chosen(const struct admission_input *in, struct check_list *list)
{
	const char *at = in->transfer && in->copy_disks ? in->transfer->copy_only : "";

	for (size_t bytes; *at; at += bytes + (at[bytes] == ',')) {
		struct check *c;
		size_t i = 0;

		bytes = strcspn(at, ",");
		while (i < in->vm->n_disks && i < VM_DISKS_MAX &&
		       (strlen(in->vm->disks[i].target) != bytes ||
		        strncmp(in->vm->disks[i].target, at, bytes) != 0))
			i++;
		if (i < in->vm->n_disks && i < VM_DISKS_MAX)
			continue;
		c = admission_add(list, "");
		snprintf(c->id, sizeof(c->id), "disk/%.*s", (int)(bytes < 31 ? bytes : 31), at);
		admission_measured(c, "the guest has no such disk");
		admission_required(c, "a disk of the guest, to be copied");
		admission_remedy(c, "virsh domblklist %.60s lists its disks", in->vm->summary.name);
	}
}

void admission_judge_disks(const struct admission_input *in, struct check_list *list)
{
	for (size_t i = 0; i < in->vm->n_disks && i < VM_DISKS_MAX; i++) {
		const struct vm_disk *d = &in->vm->disks[i];
		const struct storage_finding *f = &in->disks[i];
		struct check *c = admission_add(list, "");

		snprintf(c->id, sizeof(c->id), "disk/%s", d->target);
		if (!f->needed && f->measured) {
			admission_measured(c, "empty drive");
			c->verdict = CHECK_PASS;
			continue;
		}
		admission_required(c, "the same storage as at the source: %.80s", d->source);
		if (!f->measured) {
			admission_not_measured(c, f->measured_text);
			continue;
		}
		if (!f->proved) {
			judge_unproved(in, i, c);
			continue;
		}
		admission_measured(c, "%.191s", f->measured_text);
		c->verdict = CHECK_PASS;
	}
	judge_chosen(in, list);
}

size_t admission_disk_rooms(const struct vm_description *vm, const struct storage_finding *disks,
                            const struct transfer *transfer, const struct image_finding *images,
                            struct disk_room *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < vm->n_disks && i < VM_DISKS_MAX; i++) {
		size_t at = 0;

		if (!admission_copies_disk(&vm->disks[i], &disks[i], transfer))
			continue;
		while (at < n && ret[at].device != images[i].device)
			at++;
		if (at == n)
			ret[n++] = (struct disk_room){ .device = images[i].device };
		ret[at].bytes += admission_image_bytes(&vm->disks[i]);
	}
	return n;
}
