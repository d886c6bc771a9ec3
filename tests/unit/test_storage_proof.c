/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs of shared storage, with real files, locks, loop devices and mounts. Two directories stand
 * for two hosts. */
#include "agent/storage/storage_proof.h"
#include "agent/storage/storage_proof_wire.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static char folder[] = "/tmp/test_storage_proof.XXXXXX";
static const struct attempt_name attempt = { .operation = { { 0xab } }, .number = 1, .epoch = 1 };

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

static char *in_folder(const char *name, char *ret)
{
	sprintf(ret, "%s/%s", folder, name);
	return ret;
}

static void write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f = fopen(in_folder(name, path), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make_folder(const char *name)
{
	char path[200];

	assert_int_equal(mkdir(in_folder(name, path), 0700), 0);
}

static struct vm_disk disk(const char *name)
{
	struct vm_disk d = { .target = "vda", .type = "file", .format = "raw", .device = "disk" };

	in_folder(name, d.source);
	return d;
}

static struct storage_finding verify(const char *name, const struct storage_proof *proof)
{
	struct vm_disk d = disk(name);
	struct storage_finding f;

	storage_proof_verify(&d, proof, &f);
	assert_true(f.measured);
	if (f.needed && !f.proved) {
		assert_true(strlen(f.measured_text) > 0);
		assert_true(strlen(f.remedy) > 0);
	}
	return f;
}

static struct storage_proof make(const char *name)
{
	struct vm_disk d = disk(name);
	struct storage_proof p;

	storage_proof_make(&d, &attempt, &p);
	return p;
}

/* The same file is proved, by inode and a nonce which is gone afterwards. */
static void test_same_file(void **state)
{
	struct storage_proof p;
	struct storage_finding f;
	struct stat st;

	(void)state;
	write_file("a.img", "data");
	p = make("a.img");
	assert_int_equal(p.method, STORAGE_INODE_NONCE);
	assert_int_equal(stat(p.nonce_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	f = verify("a.img", &p);
	assert_true(f.proved);
	assert_int_equal(f.lock, STORAGE_LOCK_UNSEEN);
	assert_int_equal(storage_proof_clean(&p, NULL), 0);
	assert_int_equal(stat(p.nonce_path, &st), -1);
	assert_int_equal(storage_proof_clean(&p, NULL), 0);
	/* Without its nonce it is worth nothing. */
	assert_false(verify("a.img", &p).proved);
}

/* Asking twice in one attempt leaves one nonce, the later one. */
static void test_again(void **state)
{
	struct storage_proof first, second;

	(void)state;
	write_file("a.img", "data");
	first = make("a.img");
	second = make("a.img");
	assert_string_equal(first.nonce_path, second.nonce_path);
	assert_false(verify("a.img", &first).proved);
	assert_true(verify("a.img", &second).proved);
}

/* A file of the same name in another directory is another file. */
static void f19_other_directory(void **state)
{
	struct storage_proof p;
	struct storage_finding f;

	(void)state;
	make_folder("one");
	make_folder("two");
	write_file("one/a.img", "data");
	write_file("two/a.img", "data");
	p = make("one/a.img");
	f = verify("two/a.img", &p);
	assert_false(f.proved);
	assert_non_null(strstr(f.measured_text, "is another directory here"));
	assert_true(f.refuted);
	f = verify("two/missing.img", &p);
	assert_non_null(strstr(f.measured_text, "missing here"));
	assert_true(f.refuted);
}

/* That nothing proves it is not that it is another: an administrator may say that it is the same. What is
 * not there, or is of another kind, is none. */
static void test_refuted(void **state)
{
	struct storage_proof none = { .method = STORAGE_UNPROVED,
		                      .why_unproved = "no serial number" };
	struct storage_finding f;
	struct storage_proof p;
	struct vm_disk d;

	(void)state;
	write_file("a.img", "data");
	f = verify("a.img", &none);
	assert_false(f.proved || f.refuted);
	assert_string_equal(f.measured_text, "no serial number");
	assert_true(verify("missing.img", &none).refuted);
	d = disk("a.img");
	strcpy(d.type, "block");
	storage_proof_verify(&d, &none, &f);
	assert_true(f.refuted);
	strcpy(d.type, "network");
	storage_proof_verify(&d, &none, &f);
	assert_false(f.proved || f.refuted);
	p = make("a.img");
	assert_true(verify("a.img", &p).proved && !verify("a.img", &p).refuted);
	p.nonce[0] = p.nonce[0] == '0' ? '1' : '0';
	assert_true(verify("a.img", &p).refuted);
	write_file("b.img", "data");
	assert_true(verify("b.img", &p).refuted);
}

/* In the right directory, but another file, another nonce, another size. */
static void f19_differences(void **state)
{
	struct storage_proof p, changed;
	char from[200], to[200];

	(void)state;
	write_file("a.img", "data");
	write_file("b.img", "data");
	p = make("a.img");
	assert_non_null(strstr(verify("b.img", &p).measured_text, "another file of the same name"));

	changed = p;
	changed.nonce[0] = changed.nonce[0] == '0' ? '1' : '0';
	assert_non_null(
		strstr(verify("a.img", &changed).measured_text, "not what the source wrote"));

	write_file("a.img", "longer data"); /* the same inode */
	assert_non_null(strstr(verify("a.img", &p).measured_text, "the size differs"));

	/* Replaced by rename: the same path, another file. */
	write_file("a.img", "data");
	p = make("a.img");
	write_file("new", "data");
	assert_int_equal(rename(in_folder("new", from), in_folder("a.img", to)), 0);
	assert_non_null(strstr(verify("a.img", &p).measured_text, "another file"));
}

/* A qcow2 file may have grown since the source looked; it does not shrink. */
static void test_growing_format(void **state)
{
	struct storage_finding f;
	struct storage_proof p;
	struct vm_disk d;

	(void)state;
	write_file("a.img", "data");
	d = disk("a.img");
	strcpy(d.format, "qcow2");
	p = make("a.img");
	write_file("a.img", "longer data");
	storage_proof_verify(&d, &p, &f);
	assert_true(f.proved);
	write_file("a.img", "dat");
	storage_proof_verify(&d, &p, &f);
	assert_false(f.proved);
}

/* QEMU's write lock on the image is seen through another open file, and only with both halves. */
static void test_lock(void **state)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 1 };
	_cleanup_close_ int fd = -1;
	struct storage_proof p;
	char path[200];

	(void)state;
	write_file("a.img", "data");
	p = make("a.img");
	fd = open(in_folder("a.img", path), O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(verify("a.img", &p).lock, STORAGE_LOCK_UNSEEN); /* shared with others */
	lock.l_start = 201;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(verify("a.img", &p).lock, STORAGE_LOCK_SEEN);
	close(take_fd(fd));
	assert_int_equal(verify("a.img", &p).lock, STORAGE_LOCK_UNSEEN);
}

/* The lock that QEMU itself takes is the lock that is looked for. */
static void test_lock_of_qemu(void **state)
{
	struct storage_proof p;
	char command[600], path[200], fifo[200];
	enum storage_lock lock = STORAGE_LOCK_UNSEEN;
	FILE *qemu;

	(void)state;
	if (system("command -v qemu-system-x86_64 >/dev/null 2>&1") != 0) {
		print_message("no qemu-system-x86_64 here\n");
		skip();
	}
	write_file("a.img", "");
	assert_int_equal(truncate(in_folder("a.img", path), 1 << 20), 0);
	p = make("a.img");
	in_folder("fifo", fifo);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	/* Stopped, without firmware's help: the disk is open and locked from the start. */
	snprintf(command, sizeof(command),
	         "qemu-system-x86_64 -S -accel tcg -m 16 -nodefaults -display none -monitor stdio "
	         "-drive file=%s,format=raw,if=ide >%s 2>&1",
	         path, fifo);
	qemu = popen(command, "w");
	assert_non_null(qemu);
	{
		_cleanup_fclose_ FILE *out = fopen(fifo, "r");
		char answer[4096];

		/* An answer of its monitor shows that the machine is complete. */
		fputs("info status\n", qemu);
		fflush(qemu);
		do
			assert_non_null(fgets(answer, sizeof(answer), out));
		while (!strstr(answer, "VM status"));
		lock = verify("a.img", &p).lock;
		fputs("quit\n", qemu);
		fflush(qemu);
		while (fgets(answer, sizeof(answer), out))
			;
	}
	pclose(qemu);
	assert_int_equal(lock, STORAGE_LOCK_SEEN);
	assert_int_equal(verify("a.img", &p).lock, STORAGE_LOCK_UNSEEN);
}

/* Links are followed: the nonce goes beside the file itself. */
static void test_links(void **state)
{
	struct storage_proof p;
	char link_path[200];

	(void)state;
	make_folder("real");
	write_file("real/a.img", "data");
	assert_int_equal(symlink("real/a.img", in_folder("link.img", link_path)), 0);
	p = make("link.img");
	assert_non_null(strstr(p.nonce_path, "/real/.drover-proof-"));
	assert_true(verify("link.img", &p).proved);
	assert_true(verify("real/a.img", &p).proved);
}

/* A peer cannot have other files read: only our names, only beside the image, no links. */
static void test_hostile_proof(void **state)
{
	static const char *const names[] = { "/etc/passwd",    "../secret", ".drover-proof-../x",
		                             ".drover-proof-", "",          ".drover-proof-A" };
	struct storage_proof p, changed;
	char path[200], target[200];

	(void)state;
	write_file("a.img", "data");
	write_file("secret", "0123456789abcdef0123456789abcdef");
	p = make("a.img");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		changed = p;
		strcpy(changed.nonce_path, names[i]);
		assert_false(verify("a.img", &changed).proved);
	}
	changed = p;
	sprintf(changed.nonce_path, "%s/.drover-proof-link", folder);
	strcpy(changed.nonce, "0123456789abcdef0123456789abcdef");
	assert_int_equal(
		symlink(in_folder("secret", target), in_folder(".drover-proof-link", path)), 0);
	assert_false(verify("a.img", &changed).proved);
	changed = p;
	strcpy(changed.identity, "inode=1 size=99999999999999999999999999");
	assert_false(verify("a.img", &changed).proved);
	strcpy(changed.identity, "");
	assert_false(verify("a.img", &changed).proved);
	/* And what is removed is only what is ours. */
	strcpy(changed.nonce_path, target);
	assert_int_equal(storage_proof_clean(&changed, NULL), -ERROR_INVALID);
	assert_int_equal(access(target, F_OK), 0);
}

/* A FIFO, a directory and a relative path are no images, and block nobody. */
static void test_not_an_image(void **state)
{
	struct storage_proof p;
	struct vm_disk d;
	char path[200];

	(void)state;
	assert_int_equal(mkfifo(in_folder("fifo", path), 0600), 0);
	p = make("fifo");
	assert_int_equal(p.method, STORAGE_UNPROVED);
	assert_non_null(strstr(p.why_unproved, "neither a file nor a block device"));
	make_folder("dir");
	assert_int_equal(make("dir").method, STORAGE_UNPROVED);
	d = disk("a.img");
	strcpy(d.source, "a.img");
	storage_proof_make(&d, &attempt, &p);
	assert_non_null(strstr(p.why_unproved, "not an absolute path"));
	assert_non_null(strstr(make("none").why_unproved, "No such file"));
	/* And unproved at the source is unproved at the destination, with its reason. */
	p = make("fifo");
	write_file("a.img", "data");
	assert_string_equal(verify("a.img", &p).measured_text, p.why_unproved);
}

/* Empty drives need nothing; network disks are their URI. */
static void test_empty_and_network(void **state)
{
	struct vm_disk d = { .target = "hdc", .type = "none" };
	struct storage_finding f;
	struct storage_proof p;

	(void)state;
	storage_proof_make(&d, &attempt, &p);
	assert_int_equal(p.method, STORAGE_UNPROVED);
	assert_string_equal(p.why_unproved, "");
	storage_proof_verify(&d, &p, &f);
	assert_true(f.measured && !f.needed);

	strcpy(d.type, "network");
	strcpy(d.source, "rbd:pool/web1");
	storage_proof_make(&d, &attempt, &p);
	storage_proof_verify(&d, &p, &f);
	assert_true(f.proved);
	strcpy(p.identity, "rbd:pool/web2");
	storage_proof_verify(&d, &p, &f);
	assert_false(f.proved);
	strcpy(d.type, "vhostuser");
	storage_proof_make(&d, &attempt, &p);
	assert_non_null(strstr(p.why_unproved, "vhostuser"));
}

/* A directory, such as a lock manager's lockspace. */
static void test_directory(void **state)
{
	struct storage_finding f;
	struct storage_proof p;
	char one[200], two[200];

	(void)state;
	make_folder("one");
	make_folder("two");
	in_folder("one", one);
	in_folder("two", two);
	storage_proof_make_directory(one, &attempt, &p);
	storage_proof_verify_directory(one, &p, &f);
	assert_true(f.proved);
	storage_proof_verify_directory(two, &p, &f);
	assert_false(f.proved);
	assert_int_equal(storage_proof_clean(&p, NULL), 0);
	storage_proof_make_directory("/nonexistent", &attempt, &p);
	assert_int_equal(p.method, STORAGE_UNPROVED);
	storage_proof_verify_directory(one, &p, &f);
	assert_false(f.proved);
	assert_true(strlen(f.measured_text) > 0);
}

/* Attaches a loop device; -1 if this machine does not let us. */
static int attach_loop(const char *file, char *ret_path)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int backing = open(file, O_RDWR | O_CLOEXEC);
	int fd, number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return -1;
	sprintf(ret_path, "/dev/loop%d", number);
	fd = open(ret_path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_SET_FD, backing) < 0)
		close(take_fd(fd));
	return fd;
}

/* Two loop devices over one file are one disk; over another file they are another. */
static void test_loop_devices(void **state)
{
	int fds[3];
	char paths[3][32], one[200], two[200];
	struct vm_disk d = { .target = "vda", .type = "block", .format = "raw" };
	struct storage_finding same, other;
	struct storage_proof p;

	(void)state;
	write_file("one", "");
	write_file("two", "");
	assert_int_equal(truncate(in_folder("one", one), 1 << 20), 0);
	assert_int_equal(truncate(in_folder("two", two), 1 << 20), 0);
	fds[0] = attach_loop(one, paths[0]);
	if (fds[0] < 0) {
		print_message("no loop devices here\n");
		skip();
	}
	fds[1] = attach_loop(one, paths[1]);
	fds[2] = attach_loop(two, paths[2]);
	strcpy(d.source, paths[0]);
	storage_proof_make(&d, &attempt, &p);
	strcpy(d.source, paths[1]);
	storage_proof_verify(&d, &p, &same);
	strcpy(d.source, paths[2]);
	storage_proof_verify(&d, &p, &other);
	for (int i = 0; i < 3; i++) {
		ioctl(fds[i], LOOP_CLR_FD);
		close(fds[i]);
	}
	assert_int_equal(p.method, STORAGE_DEVICE_ID);
	assert_int_equal(strncmp(p.identity, "loop:", 5), 0);
	assert_true(same.proved);
	assert_int_equal(same.lock, STORAGE_LOCK_NOT_LOOKED);
	assert_false(other.proved);
	assert_non_null(strstr(other.measured_text, "another device"));
}

/* A single file mounted over the path: what lies beside it proves nothing, on either side. Runs in
 * a child with a mount namespace of its own; exit 77: not permitted here. */
static int mounted_by_itself(void)
{
	struct storage_finding f;
	struct storage_proof p, alone;
	char from[200], to[200];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", in_folder("fs", to), "tmpfs", 0, NULL) < 0)
		return 77;
	write_file("fs/other.img", "data");
	p = make("a.img");
	if (mount(in_folder("fs/other.img", from), in_folder("a.img", to), NULL, MS_BIND, NULL) < 0)
		return 77;
	f = verify("a.img", &p);
	alone = make("a.img");
	storage_proof_clean(&p, NULL);
	if (f.proved || alone.method != STORAGE_UNPROVED)
		return 1;
	return strstr(alone.why_unproved, "mounted by itself") ? 0 : 2;
}

static void test_file_mounted_by_itself(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	make_folder("fs");
	write_file("a.img", "data");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(mounted_by_itself());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no mounting here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Proofs survive the wire, and a peer's nonsense does not get through it. */
static void test_wire(void **state)
{
	struct storage_proof p, back;
	Drover__V1__StorageProof *m;
	char longer[STORAGE_IDENTITY_BYTES + 1];
	struct error err;

	(void)state;
	write_file("a.img", "data");
	p = make("a.img");
	m = storage_proof_message_new(&p);
	assert_int_equal(storage_proof_read(m, &back, &err), 0);
	assert_memory_equal(&p, &back, sizeof(p));
	m->method = (Drover__V1__StorageProof__Method)77;
	assert_int_equal(storage_proof_read(m, &back, &err), -ERROR_INVALID);
	m->method = DROVER__V1__STORAGE_PROOF__METHOD__INODE_NONCE;
	m->nonce_path[0] = 'x';
	assert_int_equal(storage_proof_read(m, &back, &err), -ERROR_INVALID);
	m->nonce_path[0] = '\n';
	assert_int_equal(storage_proof_read(m, &back, &err), -ERROR_INVALID);
	m->nonce_path[0] = (char)0xff;
	assert_int_equal(storage_proof_read(m, &back, &err), -ERROR_INVALID);
	m->nonce_path[0] = '/';
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	free(m->identity);
	m->identity = xstrdup(longer);
	assert_int_equal(storage_proof_read(m, &back, &err), -ERROR_TOO_LARGE);
	drover__v1__storage_proof__free_unpacked(m, NULL);
	assert_int_equal(storage_proof_read(NULL, &back, &err), 0);
	assert_int_equal(back.method, STORAGE_UNPROVED);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_same_file),      T(test_again),        T(test_refuted),
		T(f19_other_directory), T(f19_differences),   T(test_growing_format),
		T(test_lock),           T(test_lock_of_qemu), T(test_links),
		T(test_hostile_proof),  T(test_not_an_image), T(test_empty_and_network),
		T(test_directory),      T(test_loop_devices), T(test_file_mounted_by_itself),
		T(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
