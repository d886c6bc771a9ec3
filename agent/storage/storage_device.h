/* SPDX-License-Identifier: Apache-2.0 */
/* What a block device says of itself: private to the storage proofs.
 *
 *	multipath     dm:mpath-3600...            made from the WWID by multipathd
 *	SCSI, NVMe    wwid:naa.5000...            the hardware's own name
 *	virtio        serial:...                  what the host above gave it
 *	LVM, crypt    dm:LVM-...[wwid:naa...]     and, always, what lies below
 *	partition     wwid:naa.5000...,part=2
 *	loop          loop:<boot id>:<device>:<inode>   true within one kernel only, and says so
 *
 * LVM's and filesystems' UUIDs alone are worth nothing: they are written on the disk, and hosts
 * cloned from one image have equal ones on different disks.
 */
#pragma once

#include <stddef.h>

/* Identity and size of the device @fd into @ret_identity. On failure (-ERROR_UNSUPPORTED,
 * -ERROR_SYSTEM) why goes into @ret_why. */
int storage_device_identify(int fd, char *ret_identity, size_t identity_bytes, char *ret_why,
                            size_t why_bytes);
