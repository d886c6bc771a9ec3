/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching at tc's clsact qdisc, for kernels without tcx.
 *
 * clsact and the plain "ingress" qdisc take the same place, and libvirt's <bandwidth> uses the
 * latter: with clsact on a tap, a guest with QoS cannot start, and with "ingress" there first, a
 * program for sent packets silently lands among the received ones. Hence the rules:
 *
 *	never on taps and bridges, which are libvirt's;
 *	never on a link whose place is taken by another kind than clsact;
 *	an own priority and handle, and only a filter that is ours by name is replaced;
 *	what was attached is read back from both sides;
 *	the qdisc is never destroyed: other programs may have joined it since.
 *
 * Filters stay when the process dies. clsact_detach with the same settings removes them.
 */
#pragma once

#include "common/error.h"

#include <stdint.h>

struct clsact_place {
	uint32_t ifindex;
	uint32_t priority, handle;
};

/* Before the priorities that tc assigns by itself (49152 downwards), and not the 1 that everybody
 * hard-codes. */
#define CLSACT_PRIORITY 7
#define CLSACT_HANDLE   0xd0

/* @program_fds: by direction; their names are what clsact_detach looks for later.
 * -ERROR_REFUSED if a rule above forbids it; then nothing was changed. */
int clsact_attach(int rtnl_fd, const struct clsact_place *place, const int program_fds[2],
                  struct error *err);

/* Removes filters of ours, if there are any, also those of a process that was killed. */
void clsact_detach(int rtnl_fd, const struct clsact_place *place);
