/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite on the fake: two hosts in one world, whose time runs ten times as fast. */
#include "agent/hypervisor/hypervisor_fake.h"

#include "common/units.h"
#include "tests/conformance/hypervisor/suite.h"

#include <stdio.h>
#include <string.h>

static struct fake_world *world;

static void add_guest(const struct suite_guest *guest)
{
	const struct vm_disk disk = { .target = "hda",
		                      .type = "file",
		                      .device = "disk",
		                      .format = "raw",
		                      .source = "/srv/disk.img",
		                      .capacity_bytes = guest->private_disk_bytes };

	const struct vm_interface nic = {
		.mac = "52:54:00:00:00:01", .type = "bridge", .source = "br0", .model = "virtio"
	};

	fake_world_add_guest(world, "host1",
	                     &(struct fake_guest_settings){
				     .name = guest->name,
				     .memory_bytes = guest->memory_bytes,
				     .working_set_bytes = guest->working_set_bytes,
				     .dirty_bytes_per_s = guest->dirty_bytes_per_s,
				     .persistent = guest->persistent,
				     .disks = &disk,
				     .n_disks = guest->private_disk_bytes ? 1 : 0,
				     .interfaces = &nic,
				     .n_interfaces = 1,
			     },
	                     NULL);
}

/* Here an image is only its size. */
static void add_image(const char *name, uint64_t bytes)
{
	(void)name;
	(void)bytes;
}

static void ignore_power(const char *name, bool ignores)
{
	struct hypervisor *h = hypervisor_fake_new(world, "host1");
	struct vm_list list = { 0 };

	(void)h->ops->list(h, &list, NULL);
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.items[i].name, name) == 0)
			fake_world_set_shutdown(world, list.items[i].uuid, ignores, 200);
	}
	vm_list_deinit(&list);
	h->ops->free(h);
}

/* Every case has a guest of its own name; what is left of one disturbs nobody. */
static void remove_guest(const char *name)
{
	(void)name;
}

static void set_link(uint64_t bytes_per_s)
{
	fake_world_set_link(world, "host1", bytes_per_s ? bytes_per_s : GIB);
}

static void stop_libvirtd(void)
{
	fake_world_set_libvirtd(world, "host1", FAKE_LIBVIRTD_DOWN);
}

static void start_libvirtd(void)
{
	fake_world_set_libvirtd(world, "host1", FAKE_LIBVIRTD_UP);
}

int main(int count, char **arguments)
{
	struct suite_stage stage = {
		.target_socket = "/fake/host2",
		.migrate_uri = "tcp://10.78.0.2:49152",
		.listen_address = "10.78.0.2",
		.disks_uri = "tcp://10.78.0.2:49153",
		.bridge = "br0",
		.add_guest = add_guest,
		.add_image = add_image,
		.ignore_power = ignore_power,
		.remove_guest = remove_guest,
		.set_link = set_link,
		.stop_libvirtd = stop_libvirtd,
		.start_libvirtd = start_libvirtd,
	};
	int failed;

	world = fake_world_new();
	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host1" });
	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host2" });
	fake_world_run(world, 10);
	stage.source = hypervisor_fake_new(world, "host1");
	stage.target = hypervisor_fake_new(world, "host2");
	failed = suite_run(&stage, count > 1 ? arguments[1] : NULL);
	fake_world_free(world);
	return failed != 0;
}
