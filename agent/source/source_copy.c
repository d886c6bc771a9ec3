/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are copied, at their source: which of the guest's they are, what libvirt is told, and what
 * people are told afterwards. See source.h. Owner thread only.
 *
 * The destination names the disks, because it alone knows what is not the same there. It may name none
 * but the guest's own, and none that is only read: what libvirt then does is no wish of a peer. */
#include "agent/source/source.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void source_copy_remember(struct source_attempt *a, const struct vm_description *d)
{
	free(a->disks);
	a->disks = xmemdup(d->disks, d->n_disks * sizeof(*d->disks));
	a->n_disks = d->n_disks;
	a->memory_bytes = d->summary.memory_bytes;
}

static const struct vm_disk *find_disk(const struct source_attempt *a, const char *target)
{
	for (size_t i = 0; i < a->n_disks; i++) {
		const struct vm_disk *d = &a->disks[i];

		if (strcmp(d->target, target) == 0)
			return d->read_only || strcmp(d->type, "file") != 0 ? NULL : d;
	}
	return NULL;
}

int source_copy_read(struct source_attempt *a, const Drover__V1__AdmitReply *r, struct error *err)
{
	size_t used = 0;

	a->n_copied = 0;
	a->disk_port = 0;
	a->order.copied[0] = '\0';
	if (!r->n_copied_disks)
		return 0;
	if (!a->order.copy_disks || r->n_copied_disks > VM_DISKS_MAX || !r->disk_port ||
	    r->disk_port > UINT16_MAX || r->disk_port == r->memory_port ||
	    r->guard != DROVER__V1__GUARD__GUARD_TWO_STEP)
		return error_set(err, ERROR_PROTOCOL,
		                 "%s wants to copy %zu disks by port %u with guard %s, which is "
		                 "not what was asked for",
		                 a->order.target_node, r->n_copied_disks, r->disk_port,
		                 guard_name((enum guard)r->guard));
	for (size_t i = 0; i < r->n_copied_disks; i++) {
		const struct vm_disk *d = find_disk(a, r->copied_disks[i]);

		if (!d || !transfer_copies(&a->order.transfer, d->target))
			return error_set(err, ERROR_PROTOCOL,
			                 "%s wants to copy the disk \"%.32s\", which the guest "
			                 "does not write to, or which was not chosen",
			                 a->order.target_node, r->copied_disks[i]);
		memcpy(a->copied[a->n_copied++], d->target, sizeof(d->target));
		if (used < sizeof(a->order.copied))
			used += (size_t)snprintf(a->order.copied + used,
			                         sizeof(a->order.copied) - used, "%s%s %s",
			                         i ? ", " : "", d->target, d->source);
	}
	a->disk_port = (uint16_t)r->disk_port;
	return 0;
}

char *source_copy_note_new(const struct source_attempt *a)
{
	if (a->state != DROVER__V1__MIGRATION_STATE__DONE || !a->order.copied[0])
		return NULL;
	return xasprintf("copied from %s, where the images are still as they were at the "
	                 "switchover, and grow old: %s; when the guest is well on %s, rename or "
	                 "remove them there",
	                 a->agent->settings->node, a->order.copied, a->order.target_node);
}
