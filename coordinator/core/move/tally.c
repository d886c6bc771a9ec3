/* SPDX-License-Identifier: Apache-2.0 */
/* Counts that are kept, so that nobody has to walk through all guests for them: how many are active on a
 * host, and how many moves run there that are not drover's. Those hold no slot of ours, but they use the
 * same link, so they count in the caps like our own (F13).
 * Owner thread; called for each change of a sighting, with the state before it and after it. */
#include "coordinator/core/move/tally.h"

static void count_active(struct node *node, const struct vm_state *was, const struct vm_state *is)
{
	bool before = was && vm_state_is_active(was), after = is && vm_state_is_active(is);

	if (before == after)
		return;
	if (after)
		node->active_vms++;
	else
		node->active_vms--;
	node->inventory_sequence++;
}

static void count_foreign_jobs(struct fleet *fleet, struct node *node, const struct vm_state *was,
                               const struct vm_state *is)
{
	bool before = was && was->foreign_job, after = is && is->foreign_job;

	if (before == after)
		return;
	if (after) {
		node->foreign_out++;
		fleet->foreign_jobs++;
		return;
	}
	node->foreign_out--;
	fleet->foreign_jobs--;
	/* Somebody may wait for what it has held. */
	fleet->reconcile_wanted |= fleet->n_active || fleet->n_draining;
}

void tally_guest(struct fleet *fleet, struct node *node, const struct vm_state *was,
                 const struct vm_state *is)
{
	count_active(node, was, is);
	count_foreign_jobs(fleet, node, was, is);
}
