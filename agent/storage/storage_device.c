/* SPDX-License-Identifier: Apache-2.0 */
/* See storage_device.h. Reads sysfs; couriers only, no state. */
#include "agent/storage/storage_device.h"

#include "common/cleanup.h"
#include "common/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Device-mapper stacks are two or three high; a loop in them would be a kernel bug. */
#define STACK_MAX 8

struct identity {
	char *text;
	size_t bytes, used;
	bool cut;
	char *why;
	size_t why_bytes;
};

__attribute__((format(printf, 2, 3))) static void append(struct identity *id, const char *format,
                                                         ...)
{
	size_t room = id->bytes - id->used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(id->text + id->used, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room) {
		id->cut = true;
		id->used = id->bytes - 1;
	} else {
		id->used += (size_t)n;
	}
}

__attribute__((format(printf, 3, 4))) static int unknown(struct identity *id, int rc,
                                                         const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(id->why, id->why_bytes, format, args);
	va_end(args);
	return rc;
}

/* One line of a sysfs file, without blanks around it and with none inside: identities are compared
 * byte for byte and printed. False if there is none. */
static bool read_attribute(dev_t device, const char *name, char *ret, size_t bytes)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[128], line[256];
	size_t n = 0;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(device), minor(device), name);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return false;
	for (const char *p = line; *p && n < bytes - 1; p++)
		if (*p > ' ' && *p <= '~' && *p != ',' && *p != '[' && *p != ']')
			ret[n++] = *p;
	ret[n] = '\0';
	return n > 0;
}

/* STACK_MAX bounds it. NOLINTBEGIN(misc-no-recursion) */
static int identify(struct identity *id, dev_t device, unsigned int depth);

static int identify_loop(struct identity *id, int fd)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	struct loop_info64 info = { 0 };
	char boot_id[64] = "";

	if (!file || !fgets(boot_id, sizeof(boot_id), file))
		return unknown(id, -ERROR_SYSTEM, "cannot read the kernel's boot id");
	boot_id[strcspn(boot_id, "\n")] = '\0';
	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return unknown(id, -ERROR_SYSTEM, "cannot ask the loop device for its file: %s",
		               strerror(errno));
	append(id, "loop:%s:%llu:%llu:%llu", boot_id, (unsigned long long)info.lo_device,
	       (unsigned long long)info.lo_inode, (unsigned long long)info.lo_offset);
	return 0;
}

static int compare_devices(const void *a, const void *b)
{
	dev_t x = *(const dev_t *)a, y = *(const dev_t *)b;

	return (x > y) - (x < y);
}

/* What a stacked device lies on. */
static int identify_below(struct identity *id, dev_t device, unsigned int depth)
{
	_cleanup_closedir_ DIR *slaves = NULL;
	struct dirent *entry;
	dev_t below[16];
	char path[128];
	size_t n = 0;
	int rc;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves", major(device), minor(device));
	slaves = opendir(path);
	while (slaves && (entry = readdir(slaves))) {
		_cleanup_fclose_ FILE *file = NULL;
		char name[512];
		unsigned int ma, mi;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s/dev", path, entry->d_name);
		file = fopen(name, "re");
		if (!file || fscanf(file, "%u:%u", &ma, &mi) != 2)
			return unknown(id, -ERROR_SYSTEM, "cannot see what %s lies on",
			               entry->d_name);
		if (n == sizeof(below) / sizeof(below[0]))
			return unknown(id, -ERROR_UNSUPPORTED, "it lies on more than %zu devices",
			               n);
		below[n++] = makedev(ma, mi);
	}
	if (n == 0)
		return unknown(id, -ERROR_UNSUPPORTED, "what it lies on is not known");
	qsort(below, n, sizeof(below[0]), compare_devices);
	append(id, "[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			append(id, ",");
		rc = identify(id, below[i], depth + 1);
		if (rc < 0)
			return rc;
	}
	append(id, "]");
	return 0;
}

/* A partition is its disk and its place on it. */
static int identify_partition(struct identity *id, dev_t device, const char *number,
                              unsigned int depth)
{
	char disk[64], start[32];
	unsigned int ma, mi;
	int rc;

	if (!read_attribute(device, "../dev", disk, sizeof(disk)) ||
	    sscanf(disk, "%u:%u", &ma, &mi) != 2 ||
	    !read_attribute(device, "start", start, sizeof(start)))
		return unknown(id, -ERROR_SYSTEM, "cannot see which disk the partition is on");
	rc = identify(id, makedev(ma, mi), depth + 1);
	if (rc < 0)
		return rc;
	append(id, ",part=%s,start=%s", number, start);
	return 0;
}

static int identify(struct identity *id, dev_t device, unsigned int depth)
{
	static const char *const wwid_files[] = { "device/wwid", "wwid" };
	char text[256];

	if (depth > STACK_MAX)
		return unknown(id, -ERROR_UNSUPPORTED, "devices are stacked more than %d high",
		               STACK_MAX);
	if (read_attribute(device, "partition", text, sizeof(text)))
		return identify_partition(id, device, text, depth);
	if (read_attribute(device, "dm/uuid", text, sizeof(text))) {
		append(id, "dm:%s", text);
		/* A partition of a multipath device is "part1-mpath-...". */
		return strstr(text, "mpath-") ? 0 : identify_below(id, device, depth);
	}
	for (size_t i = 0; i < sizeof(wwid_files) / sizeof(wwid_files[0]); i++) {
		if (read_attribute(device, wwid_files[i], text, sizeof(text))) {
			append(id, "wwid:%s", text);
			return 0;
		}
	}
	if (read_attribute(device, "serial", text, sizeof(text))) {
		append(id, "serial:%s", text);
		return 0;
	}
	return unknown(id, -ERROR_UNSUPPORTED,
	               "block device %u:%u has neither WWN nor serial number", major(device),
	               minor(device));
}

/* NOLINTEND(misc-no-recursion) */

int storage_device_identify(int fd, char *ret_identity, size_t identity_bytes, char *ret_why,
                            size_t why_bytes)
{
	struct identity id = { .text = ret_identity,
		               .bytes = identity_bytes,
		               .why = ret_why,
		               .why_bytes = why_bytes };
	char sectors[32];
	struct stat st;
	int rc;

	ret_identity[0] = '\0';
	ret_why[0] = '\0';
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return unknown(&id, -ERROR_UNSUPPORTED, "it is not a block device");
	rc = major(st.st_rdev) == LOOP_MAJOR ? identify_loop(&id, fd)
	                                     : identify(&id, st.st_rdev, 0);
	if (rc < 0)
		return rc;
	if (!read_attribute(st.st_rdev, "size", sectors, sizeof(sectors)))
		return unknown(&id, -ERROR_SYSTEM, "cannot read the size of block device %u:%u",
		               major(st.st_rdev), minor(st.st_rdev));
	append(&id, ",sectors=%s", sectors);
	if (id.cut)
		return unknown(&id, -ERROR_UNSUPPORTED, "its identity is longer than %zu bytes",
		               identity_bytes);
	return 0;
}
