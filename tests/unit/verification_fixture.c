/* SPDX-License-Identifier: Apache-2.0 */
/* See verification_fixture.h. */
#include "tests/unit/verification_fixture.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill_guest(struct vm_description *d)
{
	d->summary = (struct vm_summary){ .uuid = "00000000-0000-4000-8000-000000000001",
		                          .name = "web",
		                          .state = VM_RUNNING,
		                          .memory_bytes = 256 * MIB,
		                          .vcpus = 2,
		                          .active = true,
		                          .persistent = true,
		                          .autostart = true };
	d->vcpus_maximum = 4;
	d->disks[0] = (struct vm_disk){ .target = "vda",
		                        .type = "file",
		                        .device = "disk",
		                        .source = "/srv/web.qcow2",
		                        .format = "qcow2" };
	d->disks[1] = (struct vm_disk){ .target = "vda[1]",
		                        .type = "file",
		                        .device = "disk",
		                        .source = "/srv/base.qcow2",
		                        .format = "qcow2",
		                        .read_only = true };
	d->disks[2] = (struct vm_disk){
		.target = "sda", .type = "none", .device = "cdrom", .read_only = true
	};
	d->n_disks = 3;
	d->interfaces[0] = (struct vm_interface){
		.mac = MAC, .type = "bridge", .source = "br0", .model = "virtio", .target = "vnet0"
	};
	d->interfaces[1] = (struct vm_interface){ .mac = "52:54:00:00:00:02",
		                                  .type = "network",
		                                  .source = "default",
		                                  .model = "virtio",
		                                  .target = "vnet1" };
	d->n_interfaces = 2;
}

struct arrival *verification_arrive(void)
{
	struct arrival *a = xnew(struct arrival);

	fill_guest(&a->left);
	fill_guest(&a->found);
	a->left.disks[0].size_bytes = GIB;
	/* Devices are named anew on each host. */
	strcpy(a->found.interfaces[0].target, "vnet7");
	strcpy(a->found.interfaces[1].target, "vnet8");
	a->devices.disks[0] = (struct vm_disk_state){ .opened = true, .size_bytes = GIB };
	a->devices.plugs[0] = (struct vm_plug){ .known = true, .device = "br0" };
	a->devices.plugs[1] = (struct vm_plug){ .known = true, .device = "virbr0" };
	a->networks[0] = (struct network_finding){ .needed = true,
		                                   .measured = true,
		                                   .facts.kind = NETWORK_BRIDGE };
	a->networks[1] = a->networks[0];
	strcpy(a->networks[1].facts.device, "virbr0");
	a->in = (struct verification_input){ .source_node = "host1",
		                             .node = "host2",
		                             .left = &a->left,
		                             .persistent = true,
		                             .autostart = true,
		                             .found = &a->found,
		                             .devices = &a->devices,
		                             .networks = a->networks };
	return a;
}

const struct check *verification_differs(struct arrival *a)
{
	const struct check *differs = NULL;

	verification_judge(&a->in, &a->result);
	for (size_t i = 0; i < a->result.checks.count; i++) {
		const struct check *c = &a->result.checks.items[i];

		assert_true(c->id[0] && c->measured[0] && c->required[0]);
		if (c->verdict == CHECK_PASS) {
			assert_string_equal(c->remedy, "");
			continue;
		}
		assert_true(c->remedy[0] != '\0');
		assert_null(differs);
		differs = c;
	}
	return differs;
}

void verification_expect(struct arrival *a, const char *id, const char *measured)
{
	const struct check *c = verification_differs(a);

	if (!c) {
		fail_msg("nothing differs, but %s should", id);
		abort();
	}
	assert_string_equal(c->id, id);
	if (!strstr(c->measured, measured))
		fail_msg("%s: \"%s\" does not tell of \"%s\"", id, c->measured, measured);
	free(a);
}
