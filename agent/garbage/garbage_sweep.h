/* SPDX-License-Identifier: Apache-2.0 */
/* The hands of `drover gc` on one host: finding files with names of ours, and removing those that the
 * owner has found to be garbage (agent/kernel/garbage.h). Couriers only; no state. */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/attempt.h"
#include "agent/kernel/garbage.h"
#include "agent/tunnels.h"
#include "common/remnant.h"

#define GARBAGE_FINDS_MAX 64

enum garbage_outcome { /* the numbers of drover.v1.Garbage.Outcome */
	               GARBAGE_IS_LEFT,
	               GARBAGE_IS_REMOVED,
	               GARBAGE_WOULD_GO, /* a dry run */
};

struct garbage_find {
	enum garbage_thing thing;
	struct attempt_name attempt;
	char path[VM_PATH_BYTES];
	bool remove; /* judged */
	enum garbage_outcome outcome;
	char text[REMNANT_TEXT_BYTES]; /* why it is left */
};

struct garbage_finds {
	struct garbage_find items[GARBAGE_FINDS_MAX];
	size_t n;
	bool more; /* there were more than fit: ask again */
};

struct garbage_find *garbage_add(struct garbage_finds *finds, enum garbage_thing thing,
                                 const struct attempt_name *attempt, const char *path);

/* Proofs and half-made images beside the disks of this host's guests, and in @places. */
void garbage_scan_disks(struct hypervisor *h, char (*places)[VM_PATH_BYTES], size_t n_places,
                        struct garbage_finds *finds);

/* Whatever is judged to go; a tunnel is stopped before its directory. */
void garbage_remove(const struct tunnel_ops *tunnels, struct garbage_finds *finds);
