/* SPDX-License-Identifier: Apache-2.0 */
/* Domain XML of any content: an error or a description, never more memory than its size allows. */
#include "agent/hypervisor/domain_xml.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct vm_description *d = xnew(struct vm_description);
	struct error err;

	if (domain_xml_parse((const char *)data, bytes, d, &err) == 0) {
		assert(d->n_disks <= VM_DISKS_MAX && d->n_interfaces <= VM_INTERFACES_MAX);
		assert(d->blockers.count <= CHECKS_MAX);
		if (domain_xml_parse_migratable((const char *)data, bytes, d, &err) < 0)
			assert(err.text[0]);
		vm_description_deinit(d);
	} else {
		assert(err.code != ERROR_NONE && err.text[0]);
	}
	free(d);
	return 0;
}
