/* SPDX-License-Identifier: Apache-2.0 */
/* See target_copy.h. */
#include "agent/target/target_copy.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

void target_copy_look(struct target_copy *c, const struct vm_description *vm,
                      const struct storage_finding *disks)
{
	c->needed = false;
	for (size_t i = 0; i < vm->n_disks; i++) {
		/* Looked at also where nobody asked: the check then says whether asking helps. */
		if (!admission_copies_disk(&vm->disks[i], &disks[i], &c->transfer))
			continue;
		c->needed |= c->wanted;
		storage_image_look(&vm->disks[i], &c->images[i]);
	}
}

void target_copy_judge(struct target_copy *c, const struct agent *agent, struct admission_input *in)
{
	for (size_t i = 0; i < in->vm->n_disks; i++)
		c->images[i].promised_bytes = reservations_get_disk_promised(agent->reservations,
		                                                             c->images[i].device);
	in->copy_disks = c->wanted;
	in->transfer = &c->transfer;
	in->copies_disks = c->needed;
	in->images = c->images;
}

void target_copy_reserve(const struct target_copy *c, const struct vm_description *vm,
                         const struct storage_finding *disks, uint16_t port,
                         struct reservation *want)
{
	if (!c->needed)
		return;
	want->disk_port = port;
	want->n_disk_rooms = admission_disk_rooms(vm, disks, &c->transfer, c->images,
	                                          want->disk_rooms);
}

/* What it holds already is not copied. */
static void build_on(struct storage_image *image, const struct vm_disk *backing)
{
	if (!backing)
		return;
	memcpy(image->backing, backing->source, sizeof(image->backing));
	memcpy(image->backing_format, backing->format, sizeof(image->backing_format));
}

void target_copy_make(const struct target_copy *c, struct agent *agent,
                      const struct attempt_name *attempt, const struct vm_description *vm,
                      const struct storage_finding *disks,
                      void (*done)(int rc, const struct error *err, void *context), void *context)
{
	struct storage_image *images = xcalloc(VM_DISKS_MAX, sizeof(*images));
	size_t n = 0;

	for (size_t i = 0; i < vm->n_disks; i++) {
		if (!c->wanted || !admission_copies_disk(&vm->disks[i], &disks[i], &c->transfer))
			continue;
		if (c->transfer.copy_incremental)
			build_on(&images[n], admission_find_backing(vm, &vm->disks[i]));
		memcpy(images[n].path, vm->disks[i].source, sizeof(images[n].path));
		memcpy(images[n].format, vm->disks[i].format, sizeof(images[n].format));
		images[n++].capacity_bytes = vm->disks[i].capacity_bytes;
	}
	target_images_make(agent, attempt, vm->summary.uuid, images, n, done, context);
	free(images);
}

void target_copy_fill_reply(const struct target_copy *c, const struct vm_description *vm,
                            const struct storage_finding *disks, Drover__V1__AdmitReply *reply)
{
	if (!c->needed || !reply->admitted)
		return;
	reply->disk_port = c->port;
	reply->copied_disks = xcalloc(vm->n_disks, sizeof(*reply->copied_disks));
	for (size_t i = 0; i < vm->n_disks; i++) {
		if (!admission_copies_disk(&vm->disks[i], &disks[i], &c->transfer))
			continue;
		reply->copied_disks[reply->n_copied_disks++] = (char *)vm->disks[i].target;
		reply->copied_bytes += vm->disks[i].allocated_bytes < vm->disks[i].capacity_bytes
		                               ? vm->disks[i].allocated_bytes
		                               : vm->disks[i].capacity_bytes;
	}
}

void target_copy_free_reply(Drover__V1__AdmitReply *reply)
{
	free(reply->copied_disks);
}
