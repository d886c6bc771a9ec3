/* SPDX-License-Identifier: Apache-2.0 */
/* Images of disks that are copied: measured at the source, given a place at the destination.
 *
 *	source                      destination
 *	  storage_image_describe -->  storage_image_look      is there a place, and room
 *	                              storage_image_create    under a name of ours: ".drover-image-..."
 *	                              storage_image_publish   under its own name, if nobody else has it
 *	                              storage_image_remove    that very file and no other
 *
 * An image is known by its file system, its inode and when it was made, for a number is given out again
 * when its file is gone. The caller writes that down between create and publish: so a name under which
 * somebody else has put a file since is never removed, and what a crash left before that has a name that
 * only we give.
 *
 * Everything here blocks: couriers only. No state.
 */
#pragma once

#include "agent/kernel/admission.h"
#include "agent/kernel/attempt.h"

/* Source: fills capacity, allocation and copy_problem of a file that the guest writes to, from the image
 * itself. Others are left as they are; what cannot be read says so in copy_problem. */
void storage_image_describe(struct vm_disk *disk);

/* Destination: is there a place for it, and how much room? Changes nothing. All but promised_bytes. */
void storage_image_look(const struct vm_disk *disk, struct image_finding *ret);

struct storage_image {
	char path[VM_PATH_BYTES];
	char format[16]; /* "raw", "qcow2" */
	uint64_t capacity_bytes;
	char backing[VM_PATH_BYTES]; /* qcow2: built on that image, which is here; "" = on none */
	char backing_format[16];
	uint64_t device, inode; /* 0 = not made yet */
	uint64_t birth_ns;      /* 0 = its file system does not tell */
};

/* The first part of the names under which images are made. */
#define STORAGE_IMAGE_PREFIX ".drover-image-"

/* Makes it, empty and sparse, beside its path; fills what it is known by. What an earlier call for this
 * attempt left there is replaced. */
int storage_image_create(struct storage_image *image, const struct attempt_name *attempt,
                         struct error *err);

/* Gives it its own name. -ERROR_EXISTS if something of that name is there by now. */
int storage_image_publish(const struct storage_image *image, const struct attempt_name *attempt,
                          struct error *err);

/* Removes it under both names. 0 also if it is not there; -ERROR_EXISTS if another file has its name,
 * which stays. */
int storage_image_remove(const struct storage_image *image, const struct attempt_name *attempt,
                         struct error *err);
