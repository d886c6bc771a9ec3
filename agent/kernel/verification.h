/* SPDX-License-Identifier: Apache-2.0 */
/* Is what arrived what had left? The guest at its destination, compared with what its source had
 * described before the move.
 *
 *	source: description --.                    .--> checks, as those of admission
 *	                      +-> verification_judge
 *	destination: found --'                     '--> what could not be compared, and why
 *
 * Pure: no I/O, no clock. Nothing follows from a difference but that it is told: the guest runs, and
 * undoing its move would be another one. What should have been measured and was not is a failing check
 * that says so. A guest without an agent cannot be asked for its clock: that is told, and is no check.
 *
 * Order: state, identity, definition, vcpus, memory, disk/..., network/..., clock, and from the source
 * what is left there: source.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/admission.h"
#include "common/check.h"

/* A guest's clock stands still while it is switched over, and is read over two sockets. */
#define VERIFICATION_CLOCK_MOST_MS 5000

#define VERIFICATION_WHY_BYTES 256

struct verification {
	struct check_list checks;
	char not_verified[VERIFICATION_WHY_BYTES]; /* "" = all was compared */
};

struct verification_input {
	const char *source_node, *node; /* where it left; this one */
	const struct vm_description *left;
	/* As it was then: by what the source has journaled, for autostart is off during a move. */
	bool paused, persistent, autostart;

	const struct vm_description *found;     /* NULL: it is not active here */
	const struct vm_devices *devices;       /* of @found; NULL: @devices_why */
	const char *devices_why;                /* they could not be looked at */
	const struct network_finding *networks; /* found->n_interfaces, as for admission */
};

void verification_judge(const struct verification_input *in, struct verification *ret);

/* What is left of the guest at its source: nothing. @vm NULL: libvirt there does not know it; @why: it
 * could not be asked. */
void verification_judge_source(const char *node, const struct vm_summary *vm, const char *why,
                               struct check *ret);

/* How many of them passed. */
size_t verification_count_passed(const struct check_list *checks);

/* --- verification_text.c: kept with an attempt in the journal --- */

#define VERIFICATION_TEXT_BYTES 4096

/* A line each. What differs comes first; of what passed, as much as there is room for, and how many
 * more. */
void verification_format(const struct verification *v, char *ret, size_t bytes);
/* The other way; what is no line of ours is left out. */
void verification_parse(const char *text, struct verification *ret);
