/* SPDX-License-Identifier: Apache-2.0 */
/* See host_places.h.
 *
 * A directory is writable if this process, root as libvirtd is, may write to it: what matters is a
 * file system that is read-only. Who may write to the file in it is libvirt's to arrange.
 */
#include "agent/host/host_places.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/crc32c.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Firmware has a few MiB; who names a disk there gets no digest of it. */
#define LOADER_MAX_BYTES (64 * 1024 * 1024)

/* ---- firmware ---- */

/* 0, or -errno. */
static int read_loader(const char *root, const char *loader, uint64_t *ret_bytes, char *digest,
                       size_t digest_bytes)
{
	_cleanup_free_ char *path = xasprintf("%s%s", root, loader);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	unsigned char part[16384];
	uint32_t crc = 0;
	uint64_t bytes = 0;
	size_t n;

	if (!file)
		return -errno;
	while ((n = fread(part, 1, sizeof(part), file)) > 0) {
		bytes += n;
		if (bytes > LOADER_MAX_BYTES)
			return -EFBIG;
		crc = crc32c(crc, part, n);
	}
	if (ferror(file))
		return -EIO;
	*ret_bytes = bytes;
	snprintf(digest, digest_bytes, "crc32c %08x", crc);
	return 0;
}

void host_describe_loader(const char *root, struct vm_firmware *f)
{
	if (f->loader[0])
		(void)read_loader(root, f->loader, &f->loader_bytes, f->loader_digest,
		                  sizeof(f->loader_digest));
}

static bool is_there(const char *root, const char *path)
{
	_cleanup_free_ char *full = xasprintf("%s%s", root, path);

	return path[0] && access(full, F_OK) == 0;
}

/* "" or why nothing can be written there. */
static void look_at_directory(const char *root, const char *directory, char *problem, size_t bytes)
{
	_cleanup_free_ char *full = xasprintf("%s%s", root, directory);
	struct stat st;

	problem[0] = '\0';
	if (stat(full, &st) < 0)
		snprintf(problem, bytes, "the directory is not here: %s", strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		snprintf(problem, bytes, "%.60s is not a directory", directory);
	else if (access(full, W_OK) < 0)
		snprintf(problem, bytes, "the directory cannot be written to: %s", strerror(errno));
}

void host_find_firmware(const char *root, const struct vm_firmware *f, struct firmware_finding *ret)
{
	struct firmware_finding found = { .measured = true };
	int rc = 0;

	if (f->loader[0])
		rc = read_loader(root, f->loader, &found.loader_bytes, found.loader_digest,
		                 sizeof(found.loader_digest));
	found.loader_present = f->loader[0] && rc == 0;
	if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR) {
		found.measured = false;
		snprintf(found.why, sizeof(found.why), "%.100s: %s", f->loader, strerror(-rc));
	}
	if (f->nvram[0]) {
		_cleanup_free_ char *directory = xstrdup(f->nvram);
		char *slash = strrchr(directory, '/');

		if (slash)
			slash[slash == directory] = '\0';
		look_at_directory(root, slash ? directory : ".", found.nvram_problem,
		                  sizeof(found.nvram_problem));
		found.nvram_present = is_there(root, f->nvram);
		found.template_present = is_there(root, f->nvram_template);
	}
	*ret = found;
}

/* ---- addresses and paths ---- */

/* By the kernel's own word: may a socket be bound to it? */
static void look_for_address(const char *address, struct place_finding *f)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	bool is_four = inet_pton(AF_INET, address, &four.sin_addr) == 1;
	_cleanup_close_ int fd = -1;

	if (!is_four && inet_pton(AF_INET6, address, &six.sin6_addr) != 1) {
		/* Only QEMU's own look-up, at the start, tells where a name leads. */
		snprintf(f->text, sizeof(f->text), "%.60s is a name, which drover does not look up",
		         address);
		return;
	}
	fd = socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		snprintf(f->text, sizeof(f->text), "a socket: %s", strerror(errno));
		return;
	}
	f->measured = true;
	f->usable = (is_four ? bind(fd, (struct sockaddr *)&four, sizeof(four))
	                     : bind(fd, (struct sockaddr *)&six, sizeof(six))) == 0;
	if (!f->usable)
		snprintf(f->text, sizeof(f->text), "not an address of this host (%s)",
		         strerror(errno));
}

static void look_for_path(const char *root, const char *path, struct place_finding *f)
{
	_cleanup_free_ char *full = xasprintf("%s%s", root, path);

	f->measured = true;
	f->usable = access(full, F_OK) == 0;
	if (!f->usable)
		snprintf(f->text, sizeof(f->text), "%s", strerror(errno));
}

void host_find_place(const char *root, const struct vm_place *place, struct place_finding *ret)
{
	struct place_finding f = { 0 };

	switch (place->kind) {
	case VM_PLACE_ADDRESS:
		look_for_address(place->where, &f);
		break;
	case VM_PLACE_DIRECTORY:
		look_at_directory(root, place->where, f.text, sizeof(f.text));
		f.measured = true;
		f.usable = !f.text[0];
		break;
	case VM_PLACE_PATH:
		look_for_path(root, place->where, &f);
		break;
	case VM_PLACE_KINDS:
		break;
	}
	*ret = f;
}
