/* SPDX-License-Identifier: Apache-2.0 */
/* Proof that a path names the same storage on two hosts.
 *
 *	source                               destination
 *	  storage_proof_make  ----------->    storage_proof_verify
 *	    writes a nonce beside the image     reads it, compares the inode
 *	  storage_proof_clean  <-- Admit answered
 *
 * The same path on both hosts proves nothing: /var/lib/libvirt/images exists everywhere. A nonce
 * which the source has just written and the destination can read proves the same directory; the
 * same inode in it proves the same file. Block devices are known by what the hardware says of
 * itself (WWN, serial), never by what is written on them: cloned hosts have equal LVM and
 * filesystem UUIDs on different disks.
 *
 * Everything here blocks (stalled NFS for as long as it likes): couriers only. No state, so any
 * number of them at a time.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/attempt.h"

/* The numbers are those of drover.v1.StorageProof.Method. */
enum storage_method {
	STORAGE_UNPROVED,
	STORAGE_INODE_NONCE,
	STORAGE_DEVICE_ID,
	STORAGE_NETWORK_URI,
	STORAGE_METHODS
};

const char *storage_method_name(enum storage_method method); /* "inode and nonce" */

#define STORAGE_IDENTITY_BYTES 512
#define STORAGE_NONCE_BYTES    ID_TEXT_BYTES
#define STORAGE_WHY_BYTES      192

struct storage_proof {
	enum storage_method method;
	char identity
		[STORAGE_IDENTITY_BYTES]; /* "inode=81 size=67108864"; "wwid=naa.5000... size=..." */
	char nonce_path[VM_PATH_BYTES];
	char nonce[STORAGE_NONCE_BYTES];
	char why_unproved[STORAGE_WHY_BYTES];
};

/* Source side. Never fails: what cannot be proved is STORAGE_UNPROVED and says why. An empty drive
 * (type "none") needs no proof and gets none, with why_unproved empty. Two calls for the same
 * attempt and disk: the second replaces the first's nonce. */
void storage_proof_make(const struct vm_disk *disk, const struct attempt_name *attempt,
                        struct storage_proof *ret);

/* The same for a directory, such as a lock manager's lockspace. */
void storage_proof_make_directory(const char *path, const struct attempt_name *attempt,
                                  struct storage_proof *ret);

/* Source side: removes the nonce. 0 also when it is gone; else the text names the file. */
int storage_proof_clean(const struct storage_proof *proof, struct error *err);

/* The name of every nonce file begins so: what a crash left can be found by it. */
#define STORAGE_NONCE_PREFIX ".drover-proof-"

/* How QEMU's lock on an image looks from this host. */
enum storage_lock {
	STORAGE_LOCK_NOT_LOOKED, /* not a file, or not proved the same */
	STORAGE_LOCK_UNSEEN,     /* nobody holds it, as far as this host can see */
	STORAGE_LOCK_SEEN,       /* somebody writes to it and lets nobody else write */
	STORAGE_LOCKS
};

struct storage_finding {
	bool needed;   /* false: an empty drive */
	bool measured; /* false: nobody looked (yet) */
	bool proved;
	bool refuted; /* it was seen that it is not, or not usable: nobody's word says otherwise */
	enum storage_method method;
	enum storage_lock lock;
	char measured_text[STORAGE_WHY_BYTES]; /* "same file: inode 81 and nonce agree, on ext4" */
	char remedy[STORAGE_WHY_BYTES];        /* empty if proved */
};

/* Destination side. @disk and @proof come from a peer: only the directory of the disk itself is
 * ever read, only for a file with our prefix, and no content goes back. */
void storage_proof_verify(const struct vm_disk *disk, const struct storage_proof *proof,
                          struct storage_finding *ret);
void storage_proof_verify_directory(const char *own_path, const struct storage_proof *proof,
                                    struct storage_finding *ret);
