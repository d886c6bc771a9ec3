/* SPDX-License-Identifier: Apache-2.0 */
/* Removing what an attempt made, also what its agent was killed over before it could journal it.
 *
 * A tunnel's directory carries the attempt's name and its status file the process; a proof carries
 * the attempt's name as well. So both are found again without any record. All of it blocks: couriers.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/attempt.h"
#include "agent/tunnels.h"

/* Stops the tunnel that the directory's status file names, if there is one. It may be another than the
 * one in the journal, of which the file goes with its end: so this comes first. */
int leftovers_stop_tunnel(const struct tunnel_ops *tunnels, const char *directory,
                          struct error *err);

/* Stops the tunnel that the directory's status file names, if there is one, and removes the
 * directory. 0 also if there is none. */
int leftovers_remove_directory(const struct tunnel_ops *tunnels, const char *directory,
                               struct error *err);

/* Removes the proofs of @attempt beside the disks of the guest. A guest that is not here any more
 * has its proofs removed by whoever moved it. */
void leftovers_remove_proofs(struct hypervisor *h, const char *vm_uuid,
                             const struct attempt_name *attempt);

/* The attempts that have a directory under @parent: a free()d array of names, in no order. */
size_t leftovers_list(const char *parent, struct attempt_name **ret);
