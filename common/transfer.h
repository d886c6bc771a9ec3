/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest's memory and disks travel, where somebody wants it otherwise than usual: over several
 * connections, compressed, with some of its disks only.
 *
 * What excludes each other is decided here, once, for the command line, the configuration, both daemons and
 * what a peer sends. The reasons are QEMU's (measured, 7.2): with several connections a switch to post-copy
 * kills the guest, and libvirt says that it went well; several connections and compression by threads are
 * refused by itself, at the move's start; of the latter and post-copy nobody knows enough. Pure.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The numbers are those of drover.v1.Compression; stored and sent. */
enum compression {
	COMPRESSION_NONE,
	COMPRESSION_XBZRLE, /* of a page that was sent before: what has changed in it */
	COMPRESSION_MT,     /* zlib, by threads; needs a CPU that is faster than the link */
	COMPRESSIONS
};

const char *compression_name(enum compression compression); /* "xbzrle" */
/* -ERROR_INVALID with the names there are. */
int compression_parse(const char *text, enum compression *ret, struct error *err);

/* As many as a host with a fast link has use for; each is a thread of QEMU's at either end. */
#define TRANSFER_CONNECTIONS_MAX 64
#define TRANSFER_ONLY_BYTES      128

struct transfer {
	uint32_t connections; /* 0 or 1: one */
	enum compression compression;
	bool copy_incremental; /* of a copied image only what is not in those it is built on */
	char copy_only
		[TRANSFER_ONLY_BYTES]; /* "vda,vdb": copies no other disk; "" = all that need it */
};

/* -ERROR_INVALID with the reason, and what to do, if some of it excludes each other or makes no sense. */
int transfer_check(const struct transfer *t, bool copies_disks, bool permits_post_copy,
                   struct error *err);

/* Whether it copies the disk @target, if that needs it. */
bool transfer_copies(const struct transfer *t, const char *target);
