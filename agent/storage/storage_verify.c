/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's half of a storage proof: see storage_proof.h. Couriers only; changes nothing.
 *
 * What a peer names is opened for reading and never shown: it learns "the same" or "not", and the
 * nonce is looked for in the directory where our own image lies, under a name that only we give.
 */
#include "agent/storage/storage_device.h"
#include "agent/storage/storage_internal.h"
#include "agent/storage/storage_proof.h"
#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* QEMU's block/file-posix.c: for each permission that a guest uses, byte 100 + its number is locked
 * for reading, and for each that it shares with nobody, byte 200 + its number. Writing is number 1
 * (BLK_PERM_WRITE). */
#define QEMU_LOCK_PERMISSION_BASE 100
#define QEMU_LOCK_SHARED_BASE     200
#define QEMU_PERMISSION_WRITE     1

__attribute__((format(printf, 3, 4))) static void
unproved(struct storage_finding *f, const char *remedy, const char *format, ...)
{
	va_list args;

	f->proved = false;
	va_start(args, format);
	vsnprintf(f->measured_text, sizeof(f->measured_text), format, args);
	va_end(args);
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy);
}

/* The rest of it: what was seen is no lack of evidence, but evidence. */
static void refute(struct storage_finding *f)
{
	f->refuted = true;
}

static const char remedy_share[] =
	"mount the same storage at the same path on both hosts, or choose another destination";

static bool is_locked(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Somebody writes to it and lets nobody else write. */
static enum storage_lock look_for_lock(int fd)
{
	return is_locked(fd, QEMU_LOCK_PERMISSION_BASE + QEMU_PERMISSION_WRITE) &&
	                       is_locked(fd, QEMU_LOCK_SHARED_BASE + QEMU_PERMISSION_WRITE)
	               ? STORAGE_LOCK_SEEN
	               : STORAGE_LOCK_UNSEEN;
}

/* The nonce of @proof in @place's directory: 0, or the finding says what is wrong. */
static int read_nonce(const struct storage_place *place, const struct storage_proof *proof,
                      struct storage_finding *f)
{
	const char *name = strrchr(proof->nonce_path, '/');
	char held[STORAGE_NONCE_BYTES] = "";
	_cleanup_close_ int fd = -1;
	struct stat st;
	ssize_t n;

	name = name ? name + 1 : proof->nonce_path;
	if (!storage_nonce_name_is_ours(name) || strlen(proof->nonce) != STORAGE_NONCE_BYTES - 1) {
		unproved(f, "update drover on both hosts to the same version",
		         "the source sent no usable proof");
		return -ERROR_INVALID;
	}
	fd = openat(place->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		unproved(f, remedy_share,
		         "%.90s is another directory here: the source's proof is not in it (%s)",
		         place->directory_path, storage_filesystem_name(place->directory));
		refute(f);
		return -ERROR_NOT_FOUND;
	}
	if (fd < 0) {
		unproved(f, "let root of this host read the storage (NFS: no_root_squash)",
		         "the source's proof in %.90s cannot be read here: %s",
		         place->directory_path, strerror(errno));
		return -ERROR_SYSTEM;
	}
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, held, sizeof(held)) : -1;
	if (n != STORAGE_NONCE_BYTES - 1 || memcmp(held, proof->nonce, (size_t)n) != 0) {
		unproved(f, remedy_share, "the proof in %.90s is not what the source wrote",
		         place->directory_path);
		refute(f);
		return -ERROR_INVALID;
	}
	if (st.st_dev != place->st.st_dev) {
		unproved(f, "mount the whole directory instead of the single file",
		         "it is mounted by itself here: what lies beside it proves nothing");
		return -ERROR_INVALID;
	}
	return 0;
}

static void verify_file(const struct vm_disk *disk, const struct storage_place *place,
                        const struct storage_proof *proof, struct storage_finding *f)
{
	unsigned long long inode, size;
	unsigned long long own_inode = place->st.st_ino;
	unsigned long long own_size = (unsigned long long)place->st.st_size;

	if (read_nonce(place, proof, f) < 0)
		return;
	if (storage_parse_identity(proof->identity, &inode, &size) < 0) {
		unproved(f, "update drover on both hosts to the same version",
		         "the source sent no usable proof");
		return;
	}
	if (inode != own_inode) {
		unproved(f, remedy_share, "another file of the same name: inode %llu, source %llu",
		         own_inode, inode);
		refute(f);
		return;
	}
	/* Other formats than raw grow while the guest writes and we look. */
	if (strcmp(disk->format, "raw") == 0 ? own_size != size : own_size < size) {
		unproved(f, "look at both hosts' mounts of it: one may be stale (remount it)",
		         "the size differs: %llu bytes, source %llu", own_size, size);
		refute(f);
		return;
	}
	if (!disk->read_only && faccessat(AT_FDCWD, place->path, W_OK, AT_EACCESS) < 0) {
		unproved(f, "mount it for writing on this host",
		         "the same file, but it cannot be written to here: %s", strerror(errno));
		refute(f);
		return;
	}
	f->proved = true;
	f->lock = look_for_lock(place->fd);
	snprintf(f->measured_text, sizeof(f->measured_text),
	         "same file: inode %llu and nonce agree, %s", own_inode,
	         storage_filesystem_name(place->fd));
}

static void verify_device(const struct storage_place *place, const struct storage_proof *proof,
                          struct storage_finding *f)
{
	char identity[STORAGE_IDENTITY_BYTES], why[128];

	if (storage_device_identify(place->fd, identity, sizeof(identity), why, sizeof(why)) < 0) {
		unproved(f, "use a device with a WWN or serial number (multipath, iSCSI, FC)",
		         "on this host: %s", why);
		return;
	}
	if (strcmp(identity, proof->identity) != 0) {
		unproved(f, remedy_share, "another device: %.70s, source %.70s", identity,
		         proof->identity);
		refute(f);
		return;
	}
	f->proved = true;
	snprintf(f->measured_text, sizeof(f->measured_text), "same device: %.150s", identity);
}

/* Of a disk that the source could not prove: is there anything of its kind here at all? */
static void look_for_presence(const struct vm_disk *disk, struct storage_finding *f)
{
	struct storage_place place = { .fd = -1, .directory = -1 };
	char why[128];
	bool block = strcmp(disk->type, "block") == 0;

	if (!block && strcmp(disk->type, "file") != 0)
		return;
	if (storage_place_open(disk->source, &place, why, sizeof(why)) < 0) {
		unproved(f, remedy_share, "missing here: %.90s: %.60s", disk->source, why);
		refute(f);
		return;
	}
	if (S_ISBLK(place.st.st_mode) != block) {
		unproved(f, remedy_share, "a %s here, and not at the source",
		         S_ISBLK(place.st.st_mode) ? "block device" : "file");
		refute(f);
	}
	storage_place_close(&place);
}

void storage_proof_verify(const struct vm_disk *disk, const struct storage_proof *proof,
                          struct storage_finding *ret)
{
	struct storage_finding f = { .needed = true, .measured = true, .method = proof->method };
	struct storage_place place = { .fd = -1, .directory = -1 };
	char why[128];
	int rc;

	*ret = f;
	if (strcmp(disk->type, "none") == 0 || !disk->source[0]) {
		ret->needed = false;
		return;
	}
	if (proof->method == STORAGE_UNPROVED) {
		unproved(ret, remedy_share, "%s",
		         proof->why_unproved[0] ? proof->why_unproved : "the source sent no proof");
		look_for_presence(disk, ret);
		return;
	}
	if (proof->method == STORAGE_NETWORK_URI) {
		ret->proved = strcmp(disk->type, "network") == 0 &&
		              strcmp(disk->source, proof->identity) == 0;
		if (ret->proved)
			snprintf(ret->measured_text, sizeof(ret->measured_text),
			         "same network disk: %.150s", proof->identity);
		else
			unproved(ret, remedy_share, "the source's proof is for another URI");
		ret->refuted = !ret->proved;
		return;
	}
	rc = storage_place_open(disk->source, &place, why, sizeof(why));
	if (rc < 0) {
		unproved(ret, remedy_share,
		         rc == -ERROR_NOT_FOUND ? "missing here: %.100s: %s"
		                                : "cannot be opened here: %.100s: %s",
		         disk->source, why);
		refute(ret);
		return;
	}
	if (S_ISBLK(place.st.st_mode) != (proof->method == STORAGE_DEVICE_ID)) {
		unproved(ret, remedy_share, "a %s here, and not at the source",
		         S_ISBLK(place.st.st_mode) ? "block device" : "file");
		refute(ret);
	} else if (S_ISBLK(place.st.st_mode))
		verify_device(&place, proof, ret);
	else
		verify_file(disk, &place, proof, ret);
	storage_place_close(&place);
}

void storage_proof_verify_directory(const char *own_path, const struct storage_proof *proof,
                                    struct storage_finding *ret)
{
	struct storage_finding f = { .needed = true, .measured = true, .method = proof->method };
	unsigned long long inode, size;
	struct storage_place place = { .fd = -1, .directory = -1 };
	char why[128];

	*ret = f;
	if (proof->method != STORAGE_INODE_NONCE) {
		unproved(ret, remedy_share, "%s",
		         proof->why_unproved[0] ? proof->why_unproved : "the source sent no proof");
		return;
	}
	if (storage_place_open_directory(own_path, &place, why, sizeof(why)) < 0) {
		unproved(ret, remedy_share, "%.100s here: %s", own_path, why);
		return;
	}
	if (read_nonce(&place, proof, ret) == 0) {
		if (storage_parse_identity(proof->identity, &inode, &size) < 0 ||
		    inode != (unsigned long long)place.st.st_ino) {
			unproved(ret, remedy_share, "%.100s is another directory here", own_path);
		} else {
			ret->proved = true;
			snprintf(ret->measured_text, sizeof(ret->measured_text),
			         "same directory: inode %llu and nonce agree, %s", inode,
			         storage_filesystem_name(place.directory));
		}
	}
	storage_place_close(&place);
}
