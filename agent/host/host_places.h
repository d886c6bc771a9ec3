/* SPDX-License-Identifier: Apache-2.0 */
/* Files, devices and addresses of this host that a guest names: are they here? All of it may block
 * (a path may lie on a dead network file system): couriers.
 *
 * @root: "" or, for tests, a directory that stands for the host's "/". */
#pragma once

#include "agent/kernel/admission.h"

/* Its size and digest, for the destination to compare with its own; both stay 0 and "" if it cannot be
 * read, or is no file that a firmware could be in. */
void host_describe_loader(const char *root, struct vm_firmware *f);

void host_find_firmware(const char *root, const struct vm_firmware *f,
                        struct firmware_finding *ret);

void host_find_place(const char *root, const struct vm_place *place, struct place_finding *ret);
