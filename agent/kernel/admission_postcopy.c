/* SPDX-License-Identifier: Apache-2.0 */
/* "post-copy", of a move that may switch to it: can QEMU here fetch pages that are missing?
 *
 * It needs userfaultfd, which the kernel gives to root, and to others where a sysctl says so. Where it may
 * not, QEMU refuses the move at its start, in words that name neither (measured). Pure. */
#include "agent/kernel/admission_internal.h"

#include <string.h>

#define SYSCTL "vm.unprivileged_userfaultfd"

static bool is_root(const char *user)
{
	return strcmp(user, "root") == 0 || strcmp(user, "0") == 0 || strcmp(user, "+0") == 0;
}

void admission_judge_postcopy(const struct admission_input *in, struct check_list *list)
{
	const char *user = in->qemu_user ? in->qemu_user : "";
	struct check *c;

	if (!in->post_copy)
		return;
	c = admission_add(list, "post-copy");
	admission_required(c, SYSCTL " = 1, or QEMU as root");
	if (in->unprivileged_userfaultfd < 0) {
		admission_not_measured(c, "the kernel has no " SYSCTL);
		return;
	}
	admission_measured(c, SYSCTL " = %d, QEMU as %s", in->unprivileged_userfaultfd,
	                   user[0] ? user : "its default user");
	if (in->unprivileged_userfaultfd == 1 || is_root(user)) {
		c->verdict = CHECK_PASS;
		return;
	}
	c->verdict = CHECK_FAIL;
	admission_remedy(c,
	                 "on %s: sysctl -w " SYSCTL "=1, and the same in a file in /etc/sysctl.d; "
	                 "or do not permit post-copy",
	                 in->node);
}
