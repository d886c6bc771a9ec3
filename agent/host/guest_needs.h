/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest wants of any host, read out of its description: for those who plan where it could go. What
 * admission looks at with the destination's own eyes (disks, firmware, sockets) is not in it. Pure. */
#pragma once

#include "agent/hypervisor/hypervisor.h"

/* @ret owns its networks afterwards. */
void guest_needs_read(const struct vm_description *d, struct guest_needs *ret);
