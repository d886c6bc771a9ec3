/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite on libvirt: runs inside host1 of a lab that libvirt.sh brings up, and has
 * the lab's commands run outside by it.
 *
 *	[SUITE_FILTER=test_move] test_hypervisor_libvirt LAB_STATE LAB_COMMAND...
 */
#include "tests/conformance/hypervisor/suite.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "tests/scratch.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 32

static char *const *lab_words; /* the command that is "tools/lab" outside of this host */

/* Runs the lab's command with further words, the last of which is NULL; fails the test with it. */
static void lab(const char *first, ...)
{
	const char *words[WORDS_MAX];
	size_t n = 0;
	va_list rest;
	pid_t child;
	int status;

	for (char *const *word = lab_words; *word; word++)
		words[n++] = *word;
	va_start(rest, first);
	for (const char *word = first; word; word = va_arg(rest, const char *)) {
		assert(n < WORDS_MAX - 1);
		words[n++] = word;
	}
	va_end(rest);
	words[n] = NULL;
	child = fork();
	assert(child >= 0);
	if (child == 0) {
		/* Our results are on stdout. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(words[0], (char *const *)words);
		_exit(127);
	}
	assert(waitpid(child, &status, 0) == child);
	if (status)
		fail_msg("tools/lab %s: wait status %d", first, status);
}

static void add_guest(const struct suite_guest *guest)
{
	_cleanup_free_ char *memory = xasprintf("%lluMiB",
	                                        guest->memory_bytes / (unsigned long long)MIB);
	_cleanup_free_ char *set = xasprintf("%lluMiB",
	                                     guest->working_set_bytes / (unsigned long long)MIB);
	_cleanup_free_ char *dirty = xasprintf("%lluMiB/s",
	                                       guest->dirty_bytes_per_s / (unsigned long long)MIB);

	_cleanup_free_ char *disk = xasprintf("%lluMiB",
	                                      guest->private_disk_bytes / (unsigned long long)MIB);

	lab("vm", guest->name, "host1", "--memory", memory, "--working-set", set, "--dirty",
	    guest->dirty_bytes_per_s ? dirty : "0", "--storage",
	    guest->private_disk_bytes ? "local" : "none", "--disk",
	    guest->private_disk_bytes ? disk : "16MiB", guest->persistent ? "--persistent" : NULL,
	    NULL);
}

static void add_image(const char *name, uint64_t bytes)
{
	_cleanup_free_ char *size = xasprintf("%llu", (unsigned long long)bytes);
	_cleanup_free_ char *path = xasprintf("/srv/drover/local/%s.img", name);

	lab("shell", "host2", "truncate", "-s", size, path, NULL);
}

static void ignore_power(const char *name, bool ignores)
{
	lab("tell", name, ignores ? "power=0" : "power=1", NULL);
}

static void remove_guest(const char *name)
{
	lab("rm", name, NULL);
}

static void set_link(uint64_t bytes_per_s)
{
	_cleanup_free_ char *rate = xasprintf("%llukbit",
	                                      (unsigned long long)bytes_per_s * 8 / 1000);

	lab("link", "host1", "migration", "rate", bytes_per_s ? rate : "1gbit", NULL);
}

static void stop_libvirtd(void)
{
	lab("libvirtd", "host1", "kill", NULL);
}

static void start_libvirtd(void)
{
	lab("libvirtd", "host1", "start", NULL);
}

static void put_file(const char *root, const char *path, const char *text)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", root, path);
	_cleanup_fclose_ FILE *file = fopen(full, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void test_files_of_the_host(void **state)
{
	/* Memory and lock manager are read from the host's files; one that makes no sense is an
	 * error. */
	static const char *const folders[] = { "proc", "etc", "etc/libvirt" };
	char root[] = "/tmp/test_hypervisor_libvirt.XXXXXX";
	struct hypervisor *h = hypervisor_libvirt_new("qemu:///system");
	struct host_facts facts = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *folder = xasprintf("%s/%s", root, folders[i]);

		assert_int_equal(mkdir(folder, 0700), 0);
	}
	hypervisor_libvirt_set_root(h, root);
	assert_int_equal(h->ops->host_facts(h, &facts, &err), -ERROR_SYSTEM);
	put_file(root, "proc/meminfo", "MemTotal: 2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n");
	assert_int_equal(h->ops->host_facts(h, &facts, &err), 0);
	assert_int_equal(facts.memory_total_bytes, 2048 * KIB);
	assert_int_equal(facts.memory_available_bytes, 1024 * KIB);
	assert_string_equal(facts.lock_manager, "");
	put_file(root, "etc/libvirt/qemu.conf", "lock_manager = \"lockd\"\n");
	put_file(root, "etc/libvirt/qemu-lockd.conf", "file_lockspace_dir = \"/srv/locks\"\n");
	assert_int_equal(h->ops->host_facts(h, &facts, &err), 0);
	assert_string_equal(facts.lock_manager, "lockd");
	assert_string_equal(facts.lockspace, "/srv/locks");
	put_file(root, "etc/libvirt/qemu.conf", "lock_manager = 7\n");
	assert_int_equal(h->ops->host_facts(h, &facts, &err), -ERROR_INVALID);
	h->ops->free(h);
	assert_int_equal(scratch_remove(root), 0);
}

int main(int count, char **arguments)
{
	const struct CMUnitTest own[] = { cmocka_unit_test(test_files_of_the_host) };

	_cleanup_free_ char *socket = NULL, *uri = NULL;
	struct suite_stage stage = {
		.migrate_uri = "tcp://10.78.0.2:49152",
		.listen_address = "10.78.0.2",
		.disks_uri = "tcp://10.78.0.2:49153",
		.tls = true,
		.bridge = "br0",
		.add_guest = add_guest,
		.add_image = add_image,
		.ignore_power = ignore_power,
		.remove_guest = remove_guest,
		.set_link = set_link,
		.stop_libvirtd = stop_libvirtd,
		.start_libvirtd = start_libvirtd,
	};
	const char *filter = getenv("SUITE_FILTER");
	int failed;

	if (count < 3) {
		fprintf(stderr, "usage: %s LAB_STATE LAB_COMMAND [ARGUMENT]...\n", arguments[0]);
		return 2;
	}
	lab_words = arguments + 2;
	/* The other host's own libvirt stands for the tunnel that leads to it. */
	socket = xasprintf("%s/hosts/host2/run/libvirt/libvirt-sock", arguments[1]);
	uri = xasprintf("qemu+unix:///system?socket=%s", socket);
	stage.target_socket = socket;
	stage.source = hypervisor_libvirt_new("qemu:///system");
	stage.target = hypervisor_libvirt_new(uri);
	failed = suite_run(&stage, filter);
	failed += cmocka_run_group_tests(own, NULL, NULL);
	return failed != 0;
}
