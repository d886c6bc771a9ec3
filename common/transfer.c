/* SPDX-License-Identifier: Apache-2.0 */
/* See transfer.h. Pure. */
#include "common/transfer.h"

#include "common/alloc.h"

#include <assert.h>
#include <string.h>

static const char *const names[] = {
	[COMPRESSION_NONE] = "none",
	[COMPRESSION_XBZRLE] = "xbzrle",
	[COMPRESSION_MT] = "mt",
};
static_assert(ARRAY_SIZE(names) == COMPRESSIONS, "a compression without a name");

const char *compression_name(enum compression compression)
{
	return (unsigned)compression < COMPRESSIONS ? names[compression] : "unknown";
}

int compression_parse(const char *text, enum compression *ret, struct error *err)
{
	for (unsigned i = 0; i < COMPRESSIONS; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum compression)i;
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID, "\"%.32s\" is no compression: none, xbzrle or mt",
	                 text);
}

/* Names as libvirt gives them, with one comma between two. */
static bool is_list_of_disks(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	for (const char *p = text;; p++) {
		size_t n = strspn(p, letters);

		if (n == 0)
			return false;
		p += n;
		if (!*p)
			return true;
		if (*p != ',')
			return false;
	}
}

int transfer_check(const struct transfer *t, bool copies_disks, bool permits_post_copy,
                   struct error *err)
{
	bool parallel = t->connections > 1;

	if (t->connections > TRANSFER_CONNECTIONS_MAX)
		return error_set(err, ERROR_INVALID, "%u parallel connections; at most %d",
		                 t->connections, TRANSFER_CONNECTIONS_MAX);
	if ((unsigned)t->compression >= COMPRESSIONS)
		return error_set(err, ERROR_INVALID, "compression %d is not known",
		                 (int)t->compression);
	if (parallel && permits_post_copy)
		return error_set(
			err, ERROR_INVALID,
			"parallel connections and post-copy exclude each other: QEMU loses "
			"the guest at the switch. Leave one out (--no-post-copy, or "
			"--parallel-connections 1)");
	if (t->compression == COMPRESSION_MT && permits_post_copy)
		return error_set(err, ERROR_INVALID,
		                 "compression mt and post-copy are not offered together, for what "
		                 "arrives late is not known to be whole: leave one out, or take "
		                 "xbzrle");
	if (t->compression == COMPRESSION_MT && parallel)
		return error_set(err, ERROR_INVALID,
		                 "compression mt and parallel connections exclude each other in "
		                 "QEMU: leave one out");
	if (t->copy_only[0] && !is_list_of_disks(t->copy_only))
		return error_set(
			err, ERROR_INVALID,
			"\"%.60s\" is no list of disks: names as in virsh domblklist, such "
			"as vda",
			t->copy_only);
	if ((t->copy_only[0] || t->copy_incremental) && !copies_disks)
		return error_set(err, ERROR_INVALID,
		                 "which disks are copied was said, and not that disks are copied: "
		                 "--copy-disks");
	return 0;
}

bool transfer_copies(const struct transfer *t, const char *target)
{
	size_t bytes = strlen(target);

	if (!t->copy_only[0])
		return true;
	for (const char *p = t->copy_only; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, target, bytes) == 0 && (p[bytes] == '\0' || p[bytes] == ','))
			return true;
	}
	return false;
}
