/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of 256 MiB that fits: one disk, one interface, on a host of 1 GiB with 8 CPUs. Tests of
 * admission spoil one thing of it at a time. */
#pragma once

#include "agent/kernel/admission.h"

/* What admission_fixture() points to, as made anew by each call. */
extern struct vm_description fixture_vm;
extern struct storage_finding fixture_disks[VM_DISKS_MAX];
extern struct network_finding fixture_networks[VM_INTERFACES_MAX];
extern struct place_finding fixture_places[VM_PLACES_MAX];
extern struct check_list fixture_list; /* the last judgement */

struct admission_input admission_fixture(void);

/* The check @id of a new judgement; it must be there. */
const struct check *admission_judged(const struct admission_input *in, const char *id);

/* The same; it fails, refuses the guest, and says what was measured and what to do. */
const struct check *admission_refused(const struct admission_input *in, const char *id);
