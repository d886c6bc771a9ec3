/* SPDX-License-Identifier: Apache-2.0 */
/* Admission of a guest that comes by no move: it has its definition here, and is started. By the same rules
 * as those that move here, so that neither is promised the other's room. Pure. */
#include "agent/kernel/admission_internal.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <stdlib.h>

int admission_check_start(const struct admission_input *in, struct error *err)
{
	_cleanup_free_ struct check_list *list = xnew(struct check_list);
	struct admission_input own = *in;

	/* How many vCPUs one guest may have at most is for its QEMU to say: it is the same as when it last
	 * ran here, or refuses. */
	own.capabilities_known = true;
	own.capabilities.vcpus_max = ADMISSION_VCPUS_MAX;
	own.already_reserved = false;
	admission_judge_hugepages(&own, list);
	admission_judge_vcpus(&own, list);
	for (size_t i = 0; i < list->count; i++) {
		const struct check *c = &list->items[i];

		if (c->verdict == CHECK_PASS || c->verdict == CHECK_WARN)
			continue;
		return error_set(err, ERROR_NO_SPACE, "%s: %s; needed: %s; %s", c->id, c->measured,
		                 c->required, c->remedy);
	}
	return 0;
}
