/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that arrived as it had left, to change something about and be judged. */
#pragma once

#include "agent/kernel/verification.h"

#define MAC       "52:54:00:00:00:01"
#define OTHER_MAC "52:54:00:00:00:02"

/* With a disk, an image below it, an empty drive and two interfaces. */
struct arrival {
	struct vm_description left, found;
	struct vm_devices devices;
	struct network_finding networks[VM_INTERFACES_MAX];
	struct verification_input in;
	struct verification result;
};

struct arrival *verification_arrive(void);

/* Judges it: the one check that did not pass; NULL: all did. */
const struct check *verification_differs(struct arrival *a);

/* That check is @id, and its figures tell of @measured. Frees @a. */
void verification_expect(struct arrival *a, const char *id, const char *measured);
