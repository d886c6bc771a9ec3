/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat sector on the first IDE disk, if there is one. */
#pragma once

#include "port.h"

void disk_probe(void);
int disk_is_present(void);
/* Checks that the sector still holds what was last written, then writes (nonce, n). */
void disk_heartbeat(u32 nonce, u32 n);
u32 disk_get_n(void); /* the n on the disk, 0 before the first write */
