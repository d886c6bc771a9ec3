/* SPDX-License-Identifier: Apache-2.0 */
/* See hugepages.h. */
#include "agent/host/hugepages.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* 0, or -errno. */
static int read_number(const char *path, uint64_t *ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	unsigned long long number;

	if (!file)
		return -errno;
	if (fscanf(file, "%20llu", &number) != 1)
		return -EINVAL;
	*ret = number;
	return 0;
}

static uint64_t read_node(const char *root, uint32_t node, uint64_t page_bytes, bool *ret_exists)
{
	_cleanup_free_ char *dir = xasprintf("%s/sys/devices/system/node/node%u", root, node);
	_cleanup_free_ char *path = xasprintf("%s/hugepages/hugepages-%llukB/free_hugepages", dir,
	                                      (unsigned long long)page_bytes / 1024);
	uint64_t pages = 0;

	*ret_exists = access(dir, F_OK) == 0;
	(void)read_number(path, &pages);
	return pages * page_bytes;
}

void hugepages_measure(const char *root, uint64_t page_bytes, struct hugepage_finding *ret)
{
	struct hugepage_finding f = { 0 };
	_cleanup_free_ char *pool = xasprintf("%s/sys/kernel/mm/hugepages/hugepages-%llukB", root,
	                                      (unsigned long long)page_bytes / 1024);
	_cleanup_free_ char *free_path = xasprintf("%s/free_hugepages", pool);
	_cleanup_free_ char *promised_path = xasprintf("%s/resv_hugepages", pool);
	uint64_t pages = 0, promised = 0;
	int rc = read_number(free_path, &pages);

	if (rc == 0)
		rc = read_number(promised_path, &promised);
	f.measured = page_bytes == 0 || rc == 0 || rc == -ENOENT;
	/* What a process has mapped and not touched yet is free by the first count only. */
	f.free_bytes = pages > promised ? (pages - promised) * page_bytes : 0;
	/* Their numbers may have gaps. */
	for (uint32_t node = 0; node < HUGEPAGE_NODES_MAX; node++) {
		bool exists;

		f.node_free_bytes[node] = read_node(root, node, page_bytes, &exists);
		f.nodes |= (uint64_t)exists << node;
	}
	*ret = f;
}

bool hugepages_list(const char *root, struct hugepage_pool ret[HOST_POOLS_MAX], size_t *ret_count)
{
	_cleanup_free_ char *path = xasprintf("%s/sys/kernel/mm/hugepages", root);
	DIR *directory = opendir(path);
	struct hugepage_finding found;
	struct dirent *entry;
	bool all = true;
	size_t n = 0;

	*ret_count = 0;
	if (!directory)
		return errno == ENOENT;
	while ((entry = readdir(directory)) && n < HOST_POOLS_MAX) {
		unsigned long long kib;

		if (sscanf(entry->d_name, "hugepages-%llukB", &kib) != 1)
			continue;
		hugepages_measure(root, kib * 1024, &found);
		all &= found.measured;
		ret[n++] = (struct hugepage_pool){ .page_bytes = kib * 1024,
			                           .free_bytes = found.free_bytes };
	}
	closedir(directory);
	*ret_count = n;
	return all;
}
