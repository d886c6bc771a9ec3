/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are not the same on both hosts: when a copy can be made, what room it is promised, and
 * what is said when it cannot. */
#include "agent/kernel/admission.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vm_description vm;
static struct storage_finding disks[VM_DISKS_MAX];
static struct image_finding images[VM_DISKS_MAX];
static struct check_list list;

/* One raw disk of 8 GiB, not shared; 20 GiB free on the destination. */
static struct admission_input alone(void)
{
	memset(&vm, 0, sizeof(vm));
	memset(disks, 0, sizeof(disks));
	memset(images, 0, sizeof(images));
	strcpy(vm.summary.name, "web1");
	vm.n_disks = 1;
	strcpy(vm.disks[0].target, "vda");
	strcpy(vm.disks[0].type, "file");
	strcpy(vm.disks[0].device, "disk");
	strcpy(vm.disks[0].format, "raw");
	strcpy(vm.disks[0].source, "/srv/web1.img");
	vm.disks[0].capacity_bytes = 8 * GIB;
	disks[0] = (struct storage_finding){ .needed = true,
		                             .measured = true,
		                             .measured_text = "missing here: /srv/web1.img",
		                             .remedy = "mount the same storage" };
	images[0] = (struct image_finding){ .measured = true,
		                            .present = true,
		                            .writable = true,
		                            .device = 7,
		                            .free_bytes = 20 * GIB,
		                            .filesystem = "ext4" };
	return (struct admission_input){ .vm = &vm,
		                         .source_node = "host1",
		                         .node = "host2",
		                         .disks = disks,
		                         .images = images,
		                         .networks = NULL,
		                         .copy_disks = true,
		                         .copies_disks = true };
}

/* A second disk beside the first. */
static void add_disk(const char *target, uint64_t capacity_bytes)
{
	size_t i = vm.n_disks++;

	vm.disks[i] = vm.disks[0];
	snprintf(vm.disks[i].target, sizeof(vm.disks[i].target), "%s", target);
	vm.disks[i].capacity_bytes = capacity_bytes;
	disks[i] = disks[0];
	images[i] = images[0];
}

static const struct check *judged(const struct admission_input *in, const char *id)
{
	admission_judge(in, &list);
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.items[i].id, id) == 0)
			return &list.items[i];
	fail_msg("there is no check %s", id);
	return NULL;
}

static const struct check *refused(const struct admission_input *in, const char *id)
{
	const struct check *c = judged(in, id);

	assert_int_equal(c->verdict, CHECK_FAIL);
	assert_true(c->measured[0] && c->required[0] && c->remedy[0]);
	assert_string_equal(c->reason, "DisksNotLiveMigratable");
	return c;
}

/* With --copy-disks a plain file that is not shared passes, and the figures of its room are shown. */
static void test_copied(void **state)
{
	struct admission_input in = alone();
	const struct check *c = judged(&in, "disk/vda");

	(void)state;
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_string_equal(c->measured, "20 GiB for its copy: 20 GiB free on ext4 - 0 B promised "
	                                 "- 0 B of other disks");
	assert_string_equal(c->required,
	                    "the same storage as at the source, or 8 GiB for a copy: 8 GiB raw");
	assert_string_equal(c->remedy, "");
	assert_string_equal(c->reason, "");
	strcpy(vm.disks[0].format, "qcow2");
	c = judged(&in, "disk/vda");
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_non_null(strstr(c->required, "8 GiB qcow2 at its largest"));
}

/* Without the option it fails as before, and the remedy names the option if that would help. */
static void test_not_asked_for(void **state)
{
	struct admission_input in = alone();
	const struct check *c;

	(void)state;
	in.copy_disks = in.copies_disks = false;
	c = refused(&in, "disk/vda");
	assert_string_equal(c->measured, "missing here: /srv/web1.img");
	assert_non_null(strstr(c->remedy, "drover migrate web1 --copy-disks"));
	assert_non_null(strstr(c->remedy, "8 GiB"));
	/* It would not help: what is wrong with sharing stays the answer. */
	images[0].free_bytes = 7 * GIB;
	assert_string_equal(refused(&in, "disk/vda")->remedy, "mount the same storage");
	images[0].free_bytes = 20 * GIB;
	strcpy(vm.disks[0].type, "block");
	assert_string_equal(refused(&in, "disk/vda")->remedy, "mount the same storage");
	strcpy(vm.disks[0].type, "file");
	in.images = NULL;
	assert_string_equal(refused(&in, "disk/vda")->remedy, "mount the same storage");
}

/* Exactly enough passes, a byte less does not; what others were promised and what other disks of the
 * guest take on the same file system is no room. */
static void f20_room(void **state)
{
	struct admission_input in = alone();
	const struct check *c;

	(void)state;
	images[0].free_bytes = 8 * GIB;
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
	images[0].free_bytes--;
	c = refused(&in, "disk/vda");
	assert_non_null(strstr(c->remedy, "1 B short"));

	images[0].free_bytes = 20 * GIB;
	images[0].promised_bytes = 13 * GIB;
	c = refused(&in, "disk/vda");
	assert_non_null(strstr(c->measured, "7 GiB for its copy: 20 GiB free on ext4 - 13 GiB "
	                                    "promised"));
	assert_non_null(strstr(c->remedy, "1 GiB short"));
	images[0].promised_bytes = UINT64_MAX;
	refused(&in, "disk/vda");

	images[0].promised_bytes = 0;
	add_disk("vdb", 13 * GIB);
	c = refused(&in, "disk/vdb");
	assert_non_null(strstr(c->measured, "12 GiB for its copy"));
	assert_non_null(strstr(c->measured, "- 8 GiB of other disks"));
	/* Elsewhere the first one takes nothing; nor if it is shared, or nobody looked. */
	images[1].device = 8;
	assert_int_equal(judged(&in, "disk/vdb")->verdict, CHECK_PASS);
	images[1].device = 7;
	disks[0].proved = true;
	assert_int_equal(judged(&in, "disk/vdb")->verdict, CHECK_PASS);
	disks[0].proved = false;
	images[0].measured = false;
	assert_int_equal(judged(&in, "disk/vdb")->verdict, CHECK_PASS);
	refused(&in, "disk/vda");
}

/* A file that is there is never overwritten; a place that is missing, closed or unknown is no place. */
static void f19_place(void **state)
{
	struct admission_input in = alone();
	const struct check *c;

	(void)state;
	images[0].exists = true;
	c = refused(&in, "disk/vda");
	assert_non_null(strstr(c->measured, "which drover did not make"));
	assert_non_null(strstr(c->remedy, "overwrites nothing"));

	in = alone();
	images[0].writable = false;
	strcpy(images[0].why, "Read-only file system");
	assert_non_null(strstr(refused(&in, "disk/vda")->measured, "Read-only file system"));

	in = alone();
	images[0].present = false;
	strcpy(images[0].why, "/srv: No such file or directory");
	c = refused(&in, "disk/vda");
	assert_non_null(strstr(c->measured, "/srv: No such file"));
	assert_non_null(strstr(c->remedy, "8 GiB"));

	in = alone();
	images[0].measured = false;
	strcpy(images[0].why, "no answer");
	assert_string_equal(refused(&in, "disk/vda")->measured, "not measured: no answer");

	in = alone();
	in.images = NULL;
	assert_non_null(strstr(refused(&in, "disk/vda")->measured, "not measured"));
}

/* What is not a plain file of one guest is not copied, and it is said why. */
static void test_not_copied(void **state)
{
	struct admission_input in = alone();

	(void)state;
	strcpy(vm.disks[0].type, "block");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "only files are copied"));
	in = alone();
	strcpy(vm.disks[0].type, "network");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "only files are copied"));
	in = alone();
	vm.disks[0].shareable = true;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "several guests share"));
	in = alone();
	strcpy(vm.disks[0].format, "vmdk");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "only raw and qcow2"));
	in = alone();
	strcpy(vm.disks[0].copy_problem, "it has an external data file");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "external data file"));
	in = alone();
	vm.disks[0].capacity_bytes = 0;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "not measured at the source"));
	vm.disks[0].capacity_bytes = ADMISSION_DISK_MAX_BYTES + 1;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "of this size"));
	vm.disks[0].capacity_bytes = UINT64_MAX;
	assert_int_equal(admission_image_bytes(&vm.disks[0]), 0);
	refused(&in, "disk/vda");
}

/* An image that is built on another is refused, with both named; one whose neighbour is, is not. */
static void test_backing_chain(void **state)
{
	struct admission_input in = alone();

	(void)state;
	add_disk("vda[1]", 8 * GIB);
	vm.disks[1].read_only = true;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "virsh blockpull"));
	refused(&in, "disk/vda[1]");
	strcpy(vm.disks[1].target, "vdb[1]");
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
}

/* With incremental an image that is built on another is copied where the other is proved the same, and
 * only there; what libvirt does not tell, or qemu-img cannot be told, is refused. */
static void test_incremental(void **state)
{
	struct transfer inc = { .copy_incremental = true };
	struct admission_input in = alone();

	(void)state;
	in.transfer = &inc;
	vm.disks[0].built_on_another = true;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "does not tell what image"));
	strcpy(vm.disks[0].format, "qcow2");
	add_disk("vda[1]", 8 * GIB);
	vm.disks[1].read_only = true;
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
	refused(&in, "disk/vda[1]");
	disks[1].proved = true;
	assert_int_equal(judged(&in, "disk/vda[1]")->verdict, CHECK_PASS);
	assert_ptr_equal(admission_find_backing(&vm, &vm.disks[0]), &vm.disks[1]);
	assert_null(admission_find_backing(&vm, &vm.disks[1]));
	strcpy(vm.disks[1].format, "vmdk");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "neither raw nor qcow2"));
	strcpy(vm.disks[1].format, "raw");
	strcpy(vm.disks[1].type, "network");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "neither a file nor a device"));
	strcpy(vm.disks[1].type, "block");
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
	strcpy(vm.disks[0].format, "raw");
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "only a qcow2"));
	strcpy(vm.disks[0].format, "qcow2");
	inc.copy_incremental = false;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "--incremental"));
}

/* Who did not ask for a copy is offered the one that would help. */
static void test_incremental_is_offered(void **state)
{
	struct admission_input in = alone();

	(void)state;
	in.copy_disks = in.copies_disks = false;
	strcpy(vm.disks[0].format, "qcow2");
	vm.disks[0].built_on_another = true;
	assert_string_equal(refused(&in, "disk/vda")->remedy, "mount the same storage");
	add_disk("vda[1]", 8 * GIB);
	vm.disks[1].read_only = true;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy,
	                       "drover migrate web1 --incremental copies it"));
	/* Its chain tells that it is built on another, whether libvirt says so or not. */
	vm.disks[0].built_on_another = false;
	disks[1].proved = true;
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy,
	                       "drover migrate web1 --incremental copies it"));
}

/* Disks that were not chosen are not copied, and take no room; a name that no disk has is refused. */
static void test_chosen_disks(void **state)
{
	struct transfer only = { .copy_only = "vdb" };
	struct disk_room rooms[VM_DISKS_MAX];
	struct admission_input in = alone();

	(void)state;
	in.transfer = &only;
	add_disk("vdb", 2 * GIB);
	assert_int_equal(judged(&in, "disk/vdb")->verdict, CHECK_PASS);
	assert_non_null(strstr(refused(&in, "disk/vda")->remedy, "--copy-disk vda"));
	assert_int_equal(admission_disk_rooms(&vm, disks, &only, images, rooms), 1);
	assert_int_equal(rooms[0].bytes, 2 * GIB);
	disks[0].proved = true;
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
	strcpy(only.copy_only, "vdb,vd,vda");
	assert_non_null(strstr(refused(&in, "disk/vd")->measured, "no such disk"));
	/* A name that is longer than any disk's is cut in what is told of it, and is nobody's. */
	memset(only.copy_only, 'v', 60);
	strcpy(only.copy_only + 60, ",vda");
	refused(&in, "disk/vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv");
	/* Where nothing is copied a choice is of no account: what is wrong with sharing is the answer. */
	in.copy_disks = in.copies_disks = false;
	strcpy(only.copy_only, "vdb");
	disks[0].proved = false;
	assert_string_equal(refused(&in, "disk/vda")->remedy, "mount the same storage");
}

/* An administrator's word stands for a proof that cannot be had, and never for one to the contrary; it is
 * a warning, and what is copied needs none. */
static void test_unsafe(void **state)
{
	struct admission_input in = alone();

	(void)state;
	in.copy_disks = false;
	in.unsafe = true;
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_WARN);
	assert_non_null(strstr(judged(&in, "disk/vda")->remedy, "--unsafe"));
	disks[0].refuted = true;
	refused(&in, "disk/vda");
	disks[0].refuted = false;
	in.unsafe = false;
	refused(&in, "disk/vda");
	in.unsafe = in.copy_disks = true;
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
	images[0].exists = true;
	refused(&in, "disk/vda");
	/* A disk that is not copied, beside others that are, is taken on that word too. */
	vm.disks[0].read_only = true;
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_WARN);
	vm.disks[0].read_only = false;
	disks[0].measured = false;
	refused(&in, "disk/vda");
}

/* A medium that is only read is not copied: it is ejected. Another read-only disk stays refused. */
static void test_media(void **state)
{
	struct admission_input in = alone();

	(void)state;
	vm.disks[0].read_only = true;
	strcpy(vm.disks[0].device, "cdrom");
	strcpy(vm.disks[0].target, "hdc");
	assert_non_null(strstr(refused(&in, "disk/hdc")->remedy,
	                       "eject it: virsh change-media web1 hdc --eject"));
	assert_false(admission_copies_disk(&vm.disks[0], &disks[0], NULL));
	strcpy(vm.disks[0].device, "floppy");
	assert_non_null(strstr(refused(&in, "disk/hdc")->remedy, "eject it"));
	strcpy(vm.disks[0].device, "disk");
	assert_string_equal(refused(&in, "disk/hdc")->remedy, "mount the same storage");
}

/* What is shared, empty or not known to be either is not copied, whatever was asked. */
static void test_shared_is_not_copied(void **state)
{
	struct admission_input in = alone();

	(void)state;
	assert_true(admission_copies_disk(&vm.disks[0], &disks[0], NULL));
	disks[0].proved = true;
	assert_false(admission_copies_disk(&vm.disks[0], &disks[0], NULL));
	strcpy(disks[0].measured_text, "same file");
	assert_string_equal(judged(&in, "disk/vda")->measured, "same file");
	disks[0].proved = disks[0].needed = false;
	assert_false(admission_copies_disk(&vm.disks[0], &disks[0], NULL));
	disks[0].needed = true;
	disks[0].measured = false;
	assert_false(admission_copies_disk(&vm.disks[0], &disks[0], NULL));
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_FAIL);
}

/* Asked again, the image that this attempt has made is its own, and not "another file". */
static void test_asked_again(void **state)
{
	struct admission_input in = alone();

	(void)state;
	images[0].exists = true;
	in.already_reserved = true;
	in.reserved_port = 49152;
	in.reserved_disk_port = 49153;
	assert_non_null(strstr(judged(&in, "disk/vda")->measured, "reserved for this attempt"));
	assert_int_equal(judged(&in, "disk/vda")->verdict, CHECK_PASS);
	assert_string_equal(judged(&in, "port")->measured,
	                    "49152 and 49153 reserved for this attempt");
	in.copy_disks = false;
	refused(&in, "disk/vda");
}

/* A qcow2 image is promised all that it can grow to: never less than qemu-img 7.2 measures
 * ("fully allocated"), and not much more. */
static void test_worst_case(void **state)
{
	static const struct {
		uint64_t capacity_bytes, measured_bytes;
	} known[] = {
		{ 1, 393216 },
		{ 16 * MIB, 17104896 },
		{ 10 * GIB, 10739318784 },
		{ 1024 * GIB, 1099679662080 },
		{ 100 * 1024 * GIB, 109967942680576 },
	};
	struct vm_disk d = { .format = "qcow2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		uint64_t bytes;

		d.capacity_bytes = known[i].capacity_bytes;
		bytes = admission_image_bytes(&d);
		assert_true(bytes >= known[i].measured_bytes);
		assert_true(bytes <=
		            known[i].measured_bytes + MIB + known[i].capacity_bytes / 1000);
	}
	strcpy(d.format, "raw");
	assert_int_equal(admission_image_bytes(&d), 100 * 1024 * GIB);
	/* A size that nobody measured, or that no disk has, gives no room to reserve. */
	d.capacity_bytes = ADMISSION_DISK_MAX_BYTES + 1;
	assert_int_equal(admission_image_bytes(&d), 0);
	d.capacity_bytes = 0;
	assert_int_equal(admission_image_bytes(&d), 0);
}

/* More disks than a description has places for: those that have one are read, and no other. */
static void test_more_disks_than_places(void **state)
{
	struct transfer only = { .copy_only = "vd99" };
	struct disk_room rooms[VM_DISKS_MAX];
	struct admission_input in = alone();

	(void)state;
	while (vm.n_disks < VM_DISKS_MAX) {
		char target[16];

		snprintf(target, sizeof(target), "vd%zu", vm.n_disks);
		add_disk(target, GIB / 16);
	}
	vm.n_disks = VM_DISKS_MAX + 1;
	vm.disks[0].capacity_bytes = GIB / 16;
	assert_int_equal(judged(&in, "disk/vd31")->verdict, CHECK_PASS);
	assert_int_equal(admission_disk_rooms(&vm, disks, NULL, images, rooms), 1);
	assert_int_equal(rooms[0].bytes, VM_DISKS_MAX * (GIB / 16));
	assert_null(admission_find_backing(&vm, &vm.disks[0]));
	in.transfer = &only;
	assert_non_null(strstr(refused(&in, "disk/vd99")->measured, "no such disk"));
}

/* Room is taken by file system, for the disks that are copied alone. */
static void test_rooms(void **state)
{
	struct disk_room rooms[VM_DISKS_MAX];

	(void)state;
	(void)alone();
	add_disk("vdb", 2 * GIB);
	add_disk("vdc", 3 * GIB);
	add_disk("vdd", 5 * GIB);
	images[2].device = 8;
	disks[3].proved = true;
	assert_int_equal(admission_disk_rooms(&vm, disks, NULL, images, rooms), 2);
	assert_int_equal(rooms[0].device, 7);
	assert_int_equal(rooms[0].bytes, 10 * GIB);
	assert_int_equal(rooms[1].device, 8);
	assert_int_equal(rooms[1].bytes, 3 * GIB);
	disks[0].proved = disks[1].proved = disks[2].proved = true;
	assert_int_equal(admission_disk_rooms(&vm, disks, NULL, images, rooms), 0);
}

/* Disks have a port of their own: one that is free is not enough for two. */
static void test_two_ports(void **state)
{
	struct admission_input in = alone();
	const struct check *c;

	(void)state;
	in.port = (struct port_survey){ .pool = { 49152, 49153 },
		                        .address = "10.78.0.2",
		                        .measured = true,
		                        .free_port = 49152,
		                        .second_free_port = 49153,
		                        .n_free = 2 };
	c = judged(&in, "port");
	assert_int_equal(c->verdict, CHECK_PASS);
	assert_string_equal(c->required, "two free of 49152-49153 on 10.78.0.2");
	in.port.second_free_port = 0;
	in.port.n_free = in.port.n_leased = 1;
	c = judged(&in, "port");
	assert_int_equal(c->verdict, CHECK_FAIL);
	assert_string_equal(c->measured, "49152 alone is free of 2, 1 leased");
	assert_non_null(strstr(c->remedy, "one each: wait for another migration"));
	in.copies_disks = false;
	assert_int_equal(judged(&in, "port")->verdict, CHECK_PASS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copied),
		cmocka_unit_test(test_not_asked_for),
		cmocka_unit_test(f20_room),
		cmocka_unit_test(f19_place),
		cmocka_unit_test(test_not_copied),
		cmocka_unit_test(test_backing_chain),
		cmocka_unit_test(test_incremental),
		cmocka_unit_test(test_incremental_is_offered),
		cmocka_unit_test(test_chosen_disks),
		cmocka_unit_test(test_unsafe),
		cmocka_unit_test(test_media),
		cmocka_unit_test(test_shared_is_not_copied),
		cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_worst_case),
		cmocka_unit_test(test_more_disks_than_places),
		cmocka_unit_test(test_rooms),
		cmocka_unit_test(test_two_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
