/* SPDX-License-Identifier: Apache-2.0 */
/* Images of copied disks, with real files: what is measured, what is made, and that only the file that
 * was made is ever removed. */
#include "agent/storage/storage_image.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tests/scratch.h"
#include "tests/shell.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_storage_image.XXXXXX";
static const struct attempt_name attempt = { .operation = { { 0xab } }, .number = 1, .epoch = 1 };
static struct error err;

static int setup(void **state)
{
	(void)state;
	strcpy(strrchr(folder, '.') + 1, "XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return scratch_remove(folder);
}

static struct storage_image image_of(const char *name, const char *format, uint64_t bytes)
{
	struct storage_image i = { .capacity_bytes = bytes };

	snprintf(i.path, sizeof(i.path), "%s/%s", folder, name);
	snprintf(i.format, sizeof(i.format), "%s", format);
	return i;
}

static struct vm_disk disk_of(const char *name, const char *format)
{
	struct vm_disk d = { .type = "file", .device = "disk" };

	snprintf(d.source, sizeof(d.source), "%s/%s", folder, name);
	snprintf(d.format, sizeof(d.format), "%s", format);
	return d;
}

static void write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static size_t count_entries(void)
{
	_cleanup_closedir_ DIR *d = opendir(folder);
	size_t n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	return n;
}

static bool have_qemu_img(void)
{
	return system("qemu-img --version >/dev/null 2>&1") == 0;
}

/* A made image has the size that was asked for, takes nothing, and is seen as what it is. */
static void test_make(void **state)
{
	static const char *const formats[] = { "raw", "qcow2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct storage_image image = image_of(formats[i], formats[i], 3 * GIB + 512);
		struct vm_disk d = disk_of(formats[i], formats[i]);
		struct stat st;

		if (strcmp(formats[i], "qcow2") == 0 && !have_qemu_img())
			skip();
		assert_int_equal(storage_image_create(&image, &attempt, &err), 0);
		assert_true(image.inode && image.device);
		/* Under a name of ours at first. */
		assert_int_equal(access(image.path, F_OK), -1);
		assert_int_equal(storage_image_publish(&image, &attempt, &err), 0);
		assert_int_equal(stat(image.path, &st), 0);
		assert_int_equal(st.st_ino, image.inode);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(count_entries(), 1);
		storage_image_describe(&d);
		assert_string_equal(d.copy_problem, "");
		assert_int_equal(d.capacity_bytes, 3 * GIB + 512);
		assert_true(d.allocated_bytes < MIB);
		assert_int_equal(storage_image_remove(&image, &attempt, &err), 0);
		assert_int_equal(count_entries(), 0);
		/* Again is harmless. */
		assert_int_equal(storage_image_remove(&image, &attempt, &err), 0);
	}
}

/* An image for an incremental copy is built on the one that it is told, with its format: what it does not
 * hold is read there. */
static void test_made_on_another(void **state)
{
	struct storage_image image = image_of("top", "qcow2", MIB);
	struct vm_disk d = disk_of("top", "qcow2");

	(void)state;
	if (!have_qemu_img())
		skip();
	shell_run("cd %s && qemu-img create -q -f qcow2 base 1M && "
	          "qemu-io -f qcow2 -c 'write -P 7 0 64k' base >/dev/null",
	          folder);
	snprintf(image.backing, sizeof(image.backing), "%s/base", folder);
	strcpy(image.backing_format, "qcow2");
	assert_int_equal(storage_image_create(&image, &attempt, &err), 0);
	assert_int_equal(storage_image_publish(&image, &attempt, &err), 0);
	storage_image_describe(&d);
	assert_true(d.built_on_another);
	assert_int_equal(d.capacity_bytes, MIB);
	shell_run("cd %s && qemu-img info top | grep -q 'backing file format: qcow2' && "
	          "qemu-io -r -f qcow2 -c 'read -P 7 0 64k' top | grep -q ' bytes ' && "
	          "! qemu-io -r -f qcow2 -c 'read -P 7 0 64k' top | grep -q failed",
	          folder);
	assert_int_equal(storage_image_remove(&image, &attempt, &err), 0);
	/* What it was built on is nobody's to remove. */
	assert_int_equal(count_entries(), 1);
}

/* A file that is there is never replaced, and neither it nor one that took the name later is removed. */
static void f19_never_overwritten(void **state)
{
	struct storage_image image = image_of("web1.img", "raw", MIB);

	(void)state;
	assert_int_equal(storage_image_create(&image, &attempt, &err), 0);
	write_file(image.path, "somebody's");
	assert_int_equal(storage_image_publish(&image, &attempt, &err), -ERROR_EXISTS);
	assert_int_equal(storage_image_remove(&image, &attempt, &err), -ERROR_EXISTS);
	assert_non_null(strstr(err.text, "stays"));
	assert_int_equal(count_entries(), 1);

	/* Ours, replaced by somebody. */
	unlink(image.path);
	assert_int_equal(storage_image_create(&image, &attempt, &err), 0);
	assert_int_equal(storage_image_publish(&image, &attempt, &err), 0);
	unlink(image.path);
	/* Another inode even where the file system gives out the last one again. */
	{
		struct storage_image other = image_of("other", "raw", MIB);

		assert_int_equal(storage_image_create(&other, &attempt, &err), 0);
		write_file(image.path, "somebody's");
		image.inode = other.inode;
		assert_int_equal(storage_image_remove(&image, &attempt, &err), -ERROR_EXISTS);
		assert_int_equal(storage_image_remove(&other, &attempt, &err), 0);
	}
	assert_int_equal(access(image.path, F_OK), 0);
	/* The same number, given out again: another file all the same, where the file system tells. */
	{
		struct storage_image later = image_of("web1.img", "raw", MIB);

		unlink(image.path);
		assert_int_equal(storage_image_create(&later, &attempt, &err), 0);
		assert_int_equal(storage_image_publish(&later, &attempt, &err), 0);
		if (later.birth_ns) {
			struct storage_image stale = later;

			stale.birth_ns--;
			assert_int_equal(storage_image_remove(&stale, &attempt, &err),
			                 -ERROR_EXISTS);
		}
		assert_int_equal(storage_image_remove(&later, &attempt, &err), 0);
		write_file(image.path, "somebody's");
	}
	/* A link with its name is not followed. */
	unlink(image.path);
	assert_int_equal(symlink("/etc/hostname", image.path), 0);
	assert_int_equal(storage_image_remove(&image, &attempt, &err), -ERROR_EXISTS);
}

/* What a crash left at any moment is found by name or by inode; before the inode is known, only what has
 * a name of ours is removed. */
static void test_crash(void **state)
{
	struct storage_image image = image_of("web1.img", "raw", MIB), unknown = image;

	(void)state;
	/* Made, and not written down. */
	assert_int_equal(storage_image_create(&image, &attempt, &err), 0);
	assert_int_equal(storage_image_remove(&unknown, &attempt, &err), 0);
	assert_int_equal(count_entries(), 0);
	/* Published, and not known by inode: it is not ours as far as we know. */
	write_file(image.path, "somebody's");
	assert_int_equal(storage_image_remove(&unknown, &attempt, &err), 0);
	assert_int_equal(count_entries(), 1);
	unlink(image.path);
	/* Both names, as between link and unlink. */
	assert_int_equal(storage_image_create(&image, &attempt, &err), 0);
	assert_int_equal(storage_image_publish(&image, &attempt, &err), 0);
	assert_int_equal(storage_image_create(&unknown, &attempt, &err), 0);
	assert_int_equal(count_entries(), 2);
	assert_int_equal(storage_image_remove(&image, &attempt, &err), 0);
	assert_int_equal(count_entries(), 0);
	/* Its directory is gone. */
	snprintf(image.path, sizeof(image.path), "%s/none/web1.img", folder);
	assert_int_equal(storage_image_remove(&image, &attempt, &err), 0);
}

/* A place is described with its room, or with what is missing. */
static void test_look(void **state)
{
	struct vm_disk d = disk_of("web1.img", "raw");
	struct image_finding f;
	struct stat st;

	(void)state;
	storage_image_look(&d, &f);
	assert_true(f.measured && f.present && f.writable);
	assert_false(f.exists);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(f.device, st.st_dev);
	assert_true(f.free_bytes > 0 && f.filesystem[0]);
	write_file(d.source, "x");
	storage_image_look(&d, &f);
	assert_true(f.exists);
	/* A link to nothing is in the way as well. */
	unlink(d.source);
	assert_int_equal(symlink("/nonexistent/x", d.source), 0);
	storage_image_look(&d, &f);
	assert_true(f.exists);

	snprintf(d.source, sizeof(d.source), "%s/none/web1.img", folder);
	storage_image_look(&d, &f);
	assert_true(f.measured);
	assert_false(f.present);
	assert_non_null(strstr(f.why, "none"));
	strcpy(d.source, "web1.img");
	storage_image_look(&d, &f);
	assert_false(f.measured);
	assert_true(f.why[0]);
	strcpy(d.source, "/tmp/");
	storage_image_look(&d, &f);
	assert_false(f.measured);
}

/* Images that a copy would not carry whole say so. */
static void test_problems(void **state)
{
	struct vm_disk d = disk_of("base", "raw");

	(void)state;
	storage_image_describe(&d);
	assert_non_null(strstr(d.copy_problem, "cannot be read at the source"));
	strcpy(d.source, "/dev/null");
	storage_image_describe(&d);
	assert_non_null(strstr(d.copy_problem, "no plain file"));
	d = disk_of("text", "qcow2");
	write_file(d.source, "this is no image");
	storage_image_describe(&d);
	assert_non_null(strstr(d.copy_problem, "does not hold a qcow2 image"));
	if (!have_qemu_img())
		skip();
	shell_run("cd %s && qemu-img create -q -f qcow2 base 1M && "
	          "qemu-img create -q -f qcow2 -F qcow2 -b base top && "
	          "qemu-img create -q -f qcow2 snapped 1M && qemu-img snapshot -c one snapped && "
	          "qemu-img create -q -f qcow2 -o data_file=data outside 1M && "
	          "qemu-img create -q -f qcow2 -o compat=0.10 old 1M",
	          folder);
	d = disk_of("top", "qcow2");
	storage_image_describe(&d);
	assert_true(d.built_on_another);
	assert_string_equal(d.copy_problem, "");
	d = disk_of("snapped", "qcow2");
	storage_image_describe(&d);
	assert_non_null(strstr(d.copy_problem, "1 internal snapshots"));
	d = disk_of("outside", "qcow2");
	storage_image_describe(&d);
	assert_non_null(strstr(d.copy_problem, "in another file"));
	d = disk_of("old", "qcow2");
	d.built_on_another = true;
	storage_image_describe(&d);
	assert_false(d.built_on_another);
	assert_string_equal(d.copy_problem, "");
	assert_int_equal(d.capacity_bytes, MIB);
	/* Not looked at: what is not written to, or is no file. */
	d.read_only = true;
	d.capacity_bytes = 1;
	storage_image_describe(&d);
	assert_int_equal(d.capacity_bytes, 1);
}

/* What cannot be made leaves nothing and says why. */
static void f20_cannot_be_made(void **state)
{
	struct storage_image image = image_of("web1", "vmdk", MIB);

	(void)state;
	assert_int_equal(storage_image_create(&image, &attempt, &err), -ERROR_UNSUPPORTED);
	assert_int_equal(count_entries(), 0);
	image = image_of("none/web1", "raw", MIB);
	assert_int_equal(storage_image_create(&image, &attempt, &err), -ERROR_NOT_FOUND);
	image = image_of("web1", "raw", INT64_MAX);
	assert_int_equal(storage_image_create(&image, &attempt, &err), -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "web1"));
	assert_int_equal(count_entries(), 0);
	assert_int_equal(image.inode, 0);
	if (!have_qemu_img())
		skip();
	image = image_of("web1", "qcow2", UINT64_MAX);
	assert_int_equal(storage_image_create(&image, &attempt, &err), -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "qemu-img"));
	assert_int_equal(count_entries(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_on_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_make, setup, teardown),
		cmocka_unit_test_setup_teardown(f19_never_overwritten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_problems, setup, teardown),
		cmocka_unit_test_setup_teardown(f20_cannot_be_made, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
