/* SPDX-License-Identifier: Apache-2.0 */
/* See claims.h. */
#include "coordinator/core/move/claims.h"

#include "coordinator/core/inventory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 5, 6)))
refuse(struct fleet *fleet, const struct node *node, const char *vm_uuid, const char *about,
       const char *format, ...)
{
	struct foreign_claim *to = &change_act(fleet, ACTION_REFUSED)->refused;
	va_list args;

	text_copy(to->node, sizeof(to->node), node->kept.name);
	text_copy(to->vm_uuid, sizeof(to->vm_uuid), vm_uuid);
	to->about = about;
	va_start(args, format);
	vsnprintf(to->text, sizeof(to->text), format, args);
	va_end(args);
}

static bool has_lease(const struct node *node, const struct attempt_report *report)
{
	for (size_t i = 0; i < node->host.n_leases; i++) {
		if (id_equal(&node->host.leases[i].attempt.operation, &report->attempt.operation))
			return true;
	}
	return false;
}

/* Whether the guest of a move that nobody here knows can be @node's to move. Where its home is not
 * heard of now, it may have come from there meanwhile; and after the switchover it is at home at the
 * destination, which has a lease for the move until that has ended. */
static bool may_be_moving(struct fleet *fleet, const struct node *node,
                          const struct attempt_report *report)
{
	const struct vm *vm = fleet_find_vm(fleet, report->vm_uuid);
	const struct node *home = vm ? vm->node : NULL;

	if (!home || home == node || !node_is_sure(home, change_now(fleet)))
		return true;
	return strcmp(report->target, home->kept.name) == 0 && has_lease(home, report);
}

bool claims_may_report(struct fleet *fleet, const struct node *node, const struct migration *m,
                       const struct attempt_report *report)
{
	const char *name = node->kept.name;

	if (report->source[0] && strcmp(report->source, name) != 0 &&
	    strcmp(report->target, name) != 0) {
		refuse(fleet, node, report->vm_uuid, "others' move",
		       "%s reports on a move from %.64s to %.64s, in which it has no part", name,
		       report->source, report->target);
		return false;
	}
	if (strcmp(report->source, name) != 0)
		return true;
	if (m && strcmp(m->kept.source, name) != 0) {
		refuse(fleet, node, report->vm_uuid, "others' move",
		       "%s reports on migration/%llu as its source, which is %s", name,
		       (unsigned long long)m->kept.number, m->kept.source);
		return false;
	}
	/* What has ended is told for a while after, wherever the guest is by then. */
	if (!m && !report->tombstoned && !migration_state_is_final(report->state) &&
	    !may_be_moving(fleet, node, report)) {
		refuse(fleet, node, report->vm_uuid, "others' guest's move",
		       "%s reports on a move of a guest that is at home on %s", name,
		       fleet_find_vm(fleet, report->vm_uuid)->node->kept.name);
		return false;
	}
	return true;
}

void claims_refuse_guest(struct fleet *fleet, const struct node *node, const struct vm *vm)
{
	refuse(fleet, node, vm->uuid, "others' guest", "%s says that it runs %s, which runs on %s",
	       node->kept.name, vm->name, vm->node ? vm->node->kept.name : "another host");
}
