/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching against a real kernel where something is not permitted, not there, or nonsense: what is then
 * said, and what is counted all the same. Skipped where namespaces or eBPF are not permitted. */
#include "common/alloc.h"
#include "ebpf/permission.h"
#include "tests/shell.h"
#include "tests/unit/traffic_fixture.h"
#include "tests/unit/traffic_left.h"
#include "tests/unit/veth_peer.h"

#include <arpa/inet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/capability.h>

static void test_links_without_ethernet(void **state)
{
	/* A link whose packets have no Ethernet header is counted by the kernel only. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open(TRAFFIC_SOURCE_NONE);

	(void)state;
	if (system("ip tuntap add dev tun9 mode tun") != 0)
		skip();
	assert_int_equal(traffic_watch_interface(traffic, "tun9", NULL), 0);
	assert_non_null(strstr(traffic_find_limit(traffic, "tun9")->text, "no Ethernet header"));
	shell_run("ip link del tun9");
}

/* Runs @checks in a child process that has only the capabilities in @mask, and returns its exit
 * code. */
static int run_with_capabilities(uint64_t mask, int checks(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct sets[2] = { 0 };

		for (int i = 0; i < 2; i++)
			sets[i].permitted = sets[i].effective = (uint32_t)(mask >> 32 * i);
		if (syscall(SYS_capset, &header, sets) != 0)
			_exit(100);
		_exit(checks());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int check_agent_capabilities(void)
{
	enum traffic_source sources[] = { TRAFFIC_SOURCE_CLSACT, TRAFFIC_SOURCE_TCX };

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		struct traffic_options options = { .port_low = 49152,
			                           .port_high = 49153,
			                           .best = sources[i] };
		_cleanup_free_ struct traffic_sample *sample = xnew(struct traffic_sample);
		_cleanup_(traffic_closep) struct traffic *traffic = NULL;

		if (traffic_open(&options, &traffic, NULL) < 0 ||
		    traffic_watch_interface(traffic, VETH_OURS, NULL) < 0 ||
		    traffic_read(traffic, sample, NULL) < 0)
			return 1;
		if (sample->interfaces[0].source != sources[i]) {
			printf("%s\n", traffic_find_limit(traffic, VETH_OURS)->text);
			return 2;
		}
	}
	return 0;
}

/* What must be said to be missing. */
static const char *expected_refusal;

static int check_unprivileged(void)
{
	struct traffic_options options = { .port_low = 49152, .port_high = 49153 };
	_cleanup_free_ struct traffic_sample *sample = xnew(struct traffic_sample);
	_cleanup_(traffic_closep) struct traffic *traffic = NULL;

	if (traffic_open(&options, &traffic, NULL) < 0)
		return 1;
	if (traffic_get_limit(traffic)->code != ERROR_PERMISSION ||
	    strcmp(traffic_get_limit(traffic)->text, expected_refusal) != 0) {
		printf("%s\n", traffic_get_limit(traffic)->text);
		return 2;
	}
	if (traffic_watch_interface(traffic, VETH_OURS, NULL) < 0 ||
	    traffic_read(traffic, sample, NULL) < 0)
		return 3;
	if (sample->interfaces[0].source != TRAFFIC_SOURCE_RTNL ||
	    sample->interfaces[0].ifindex == 0)
		return 4;
	return 0;
}

static void test_without_permission(void **state)
{
	/* A process that lacks any of the capabilities still measures totals, and says which ones
	 * are missing: exactly those. */
	static const struct {
		uint64_t mask;
		const char *refusal;
	} rows[] = {
		{ 0, "eBPF is not permitted: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON are missing" },
		{ 1ull << CAP_NET_ADMIN,
		  "eBPF is not permitted: CAP_BPF, CAP_PERFMON are missing" },
		{ 1ull << CAP_NET_ADMIN | 1ull << CAP_BPF,
		  "eBPF is not permitted: CAP_PERFMON is missing" },
		{ 1ull << CAP_PERFMON | 1ull << CAP_BPF,
		  "eBPF is not permitted: CAP_NET_ADMIN is missing" },
		{ 1ull << CAP_PERFMON | 1ull << CAP_NET_ADMIN,
		  "eBPF is not permitted: CAP_BPF is missing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		expected_refusal = rows[i].refusal;
		assert_int_equal(run_with_capabilities(rows[i].mask, check_unprivileged), 0);
	}
}

static void test_what_is_missing(void **state)
{
	/* CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON; nothing is named that is there. */
	char text[PERMISSION_TEXT_BYTES];

	(void)state;
	assert_string_equal(permission_missing_of(1ull << CAP_SYS_ADMIN, text), "CAP_NET_ADMIN");
	assert_string_equal(permission_missing_of(1ull << CAP_BPF | 1ull << CAP_PERFMON, text),
	                    "CAP_NET_ADMIN");
	assert_string_equal(permission_missing_of(UINT64_MAX, text), "");
}

static int check_without_btf(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/sys/kernel/btf", "tmpfs", 0, NULL) < 0)
		return 77;
	if (access("/sys/kernel/btf/vmlinux", F_OK) == 0)
		return 1;
	return check_agent_capabilities();
}

static void test_without_btf(void **state)
{
	/* A kernel that tells nothing of its types is no hindrance: the programs ask for none. */
	int rc;

	(void)state;
	if (access("/sys/kernel/btf", F_OK) < 0) {
		print_message("  this kernel has none\n");
		return;
	}
	/* To mount: CAP_SYS_ADMIN. */
	rc = run_with_capabilities(1ull << CAP_NET_ADMIN | 1ull << CAP_PERFMON | 1ull << CAP_BPF |
	                                   1ull << CAP_SYS_ADMIN,
	                           check_without_btf);
	if (rc == 77)
		skip();
	assert_int_equal(rc, 0);
}

static void test_nonsense_is_refused(void **state)
{
	/* Unknown names, impossible ports and addresses, and more than fits get an error that says
	 * so, and change nothing. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *sample = NULL;
	struct traffic_endpoint endpoint = { .port = 1 };
	struct traffic *never = NULL;
	struct error err;

	(void)state;
	assert_int_equal(traffic_watch_interface(traffic, "nosuch0", &err), -ERROR_NOT_FOUND);
	assert_string_equal(err.text, "there is no network interface \"nosuch0\" here");
	assert_int_equal(traffic_watch_interface(traffic, "", &err), -ERROR_INVALID);
	assert_int_equal(traffic_watch_interface(traffic, "a-name-of-17-char", &err),
	                 -ERROR_INVALID);
	assert_null(traffic_find_limit(traffic, "nosuch0"));

	assert_int_equal(traffic_endpoint_parse("host2", 49152, true, &endpoint, &err),
	                 -ERROR_INVALID);
	assert_int_equal(endpoint.port, 1);
	assert_int_equal(traffic_endpoint_parse("10.9.0.2", 49154, true, &endpoint, &err), 0);
	assert_int_equal(traffic_register(traffic, &endpoint, &err), -ERROR_INVALID);
	assert_string_equal(err.text, "port 49154 is outside the migration ports 49152-49153 and "
	                              "would not be counted");
	traffic_unregister(traffic, &endpoint);

	for (int i = 0; i < TRAFFIC_ENDPOINTS; i++) {
		endpoint.port = 49152;
		endpoint.remote_address[3] = htonl((uint32_t)i);
		assert_int_equal(traffic_register(traffic, &endpoint, &err), 0);
	}
	endpoint.remote_address[3] = htonl(TRAFFIC_ENDPOINTS);
	assert_int_equal(traffic_register(traffic, &endpoint, &err), -ERROR_NO_SPACE);
	sample = fixture_read(traffic);
	assert_int_equal(sample->n_interfaces, 1);
	assert_int_equal(sample->n_endpoints, TRAFFIC_ENDPOINTS);

	assert_int_equal(traffic_open(&(struct traffic_options){ .port_low = 2, .port_high = 1 },
	                              &never, &err),
	                 -ERROR_INVALID);
	assert_null(never);
}

static void test_the_capabilities_of_the_agent(void **state)
{
	/* The three capabilities that the agent keeps suffice for both sources, and to take over
	 * what a killed process left at clsact. */
	const uint64_t mask = 1ull << CAP_NET_ADMIN | 1ull << CAP_PERFMON | 1ull << CAP_BPF;

	(void)state;
	left_by_killed(TRAFFIC_SOURCE_CLSACT, left_is_at_clsact);
	assert_int_equal(run_with_capabilities(mask, check_agent_capabilities), 0);
	assert_int_equal(left_count_clsact(TX) + left_count_clsact(RX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_links_without_ethernet),
		FIXTURE_TEST(test_without_permission),
		FIXTURE_TEST(test_what_is_missing),
		FIXTURE_TEST(test_without_btf),
		FIXTURE_TEST(test_the_capabilities_of_the_agent),
		FIXTURE_TEST(test_nonsense_is_refused),
	};

	return fixture_run(tests, ARRAY_SIZE(tests));
}
