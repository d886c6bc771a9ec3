/* SPDX-License-Identifier: Apache-2.0 */
/* Private to storage_proof.c and storage_verify.c: where an image really is. */
#pragma once

#include "agent/storage/storage_proof.h"

#include <sys/stat.h>

/* An image followed to where it lies: links are resolved, so that the nonce goes beside the file
 * itself and not beside a link to it. */
struct storage_place {
	int fd;        /* the image or device, open for reading; -1 = none */
	int directory; /* where it lies; -1 for a device */
	struct stat st;
	char path[VM_PATH_BYTES]; /* resolved */
	char directory_path[VM_PATH_BYTES];
};

/* Opens @path. -ERROR_x with @ret_why filled. */
int storage_place_open(const char *path, struct storage_place *ret, char *ret_why,
                       size_t why_bytes);
int storage_place_open_directory(const char *path, struct storage_place *ret, char *ret_why,
                                 size_t why_bytes);
void storage_place_close(struct storage_place *place);

/* "inode=81 size=67108864" */
void storage_format_identity(const struct stat *st, char *ret, size_t bytes);
int storage_parse_identity(const char *text, unsigned long long *ret_inode,
                           unsigned long long *ret_size);

/* "ext4", "nfs", ... of an open file. */
const char *storage_filesystem_name(int fd);

/* A name that storage_proof_make gives, and nothing else: our prefix, then [a-z0-9-]. */
bool storage_nonce_name_is_ours(const char *name);
