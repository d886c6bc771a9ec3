/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and sockets are asked of the kernel, without a libvirtd. */
#include "agent/hypervisor/hypervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct hypervisor *h;

static int setup(void **state)
{
	(void)state;
	h = hypervisor_libvirt_new("test:///default");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	h->ops->free(h);
	return 0;
}

static struct network_facts find(const char *type, const char *source, bool server)
{
	struct vm_interface nic = { .socket_server = server };
	struct network_facts facts = { .present = true, .mtu = 1 };
	struct error err = { 0 };

	snprintf(nic.type, sizeof(nic.type), "%s", type);
	snprintf(nic.source, sizeof(nic.source), "%s", source);
	if (h->ops->find_network(h, &nic, &facts, &err) != 0)
		fail_msg("%s", err.text);
	return facts;
}

/* A device is there with its width; that it is no bridge is seen. A name that none can have is absent. */
static void test_devices(void **state)
{
	struct network_facts lo = find("direct", "lo", false);

	(void)state;
	assert_int_equal(lo.kind, NETWORK_OTHER);
	assert_true(lo.mtu == 0 ? !lo.present : lo.mtu >= 1280);
	assert_false(find("bridge", "nosuch0", false).present);
	assert_false(find("bridge", "a-name-that-no-device-can-have", false).present);
	assert_false(find("bridge", "", false).present);
}

/* A switch's socket must be one; where QEMU makes it, its directory must be there. */
static void test_sockets(void **state)
{
	char directory[] = "/tmp/test_libvirt_network.XXXXXX";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/switch", directory);
	assert_false(find("vhostuser", address.sun_path, false).present);
	assert_true(find("vhostuser", address.sun_path, true).present);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(find("vhostuser", address.sun_path, false).present);
	assert_false(find("vhostuser", directory, false).present);
	assert_false(find("vhostuser", "/nosuch/switch", true).present);
	close(fd);
	unlink(address.sun_path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_sockets),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
