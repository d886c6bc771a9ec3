/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. Where an interface of a guest would be plugged in on this host. Any thread.
 *
 * Devices are asked of the kernel, not of sysfs, which may show another namespace's. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* One question about a device; 0, or -errno. */
static int ask_device(int fd, unsigned long question, const char *name, struct ifreq *request)
{
	memcpy(request->ifr_name, name, strlen(name));
	return ioctl(fd, question, request) < 0 ? -errno : 0;
}

/* What stands behind a bridge's name. Where Open vSwitch switches in user space, it is a tap. */
static enum network_kind kind_of(const char *driver)
{
	if (strcmp(driver, "bridge") == 0)
		return NETWORK_BRIDGE;
	if (strcmp(driver, "openvswitch") == 0 || strcmp(driver, "tun") == 0)
		return NETWORK_OPEN_VSWITCH;
	return NETWORK_OTHER;
}

int libvirt_find_device(const char *name, struct network_facts *ret, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq flags = { 0 }, mtu = { 0 }, about = { .ifr_data = (char *)&driver };
	struct network_facts facts = { 0 };
	int rc;

	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "opening a socket");
	if (!name[0] || strlen(name) >= sizeof(flags.ifr_name)) {
		*ret = facts; /* no device has such a name */
		return 0;
	}
	rc = ask_device(fd, SIOCGIFFLAGS, name, &flags);
	if (rc == 0)
		rc = ask_device(fd, SIOCGIFMTU, name, &mtu);
	if (rc < 0 && rc != -ENODEV && rc != -ENXIO)
		return error_set_errno(err, ERROR_SYSTEM, -rc, "asking for device %s", name);
	if (rc == 0) {
		facts.present = flags.ifr_flags & IFF_UP;
		facts.mtu = (uint32_t)mtu.ifr_mtu;
		if (ask_device(fd, SIOCETHTOOL, name, &about) == 0)
			facts.kind = kind_of(driver.driver);
	}
	*ret = facts;
	return 0;
}

/* A network has a bridge, or a device of its own (macvtap), which libvirt does not tell as easily. */
int libvirt_find_bridge(virNetworkPtr network, struct network_facts *ret, struct error *err)
{
	_cleanup_free_ char *bridge = virNetworkGetBridgeName(network);
	struct network_facts facts = { .present = true };
	int result;

	if (bridge) {
		result = libvirt_find_device(bridge, &facts, err);
		if (result)
			return result;
		snprintf(facts.device, sizeof(facts.device), "%.15s", bridge);
	}
	*ret = facts;
	return 0;
}

static int find_libvirt_network(struct hypervisor_libvirt *h, const char *name,
                                struct network_facts *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	virNetworkPtr network;
	int result = libvirt_get_connection(h, &connection, err), active;

	if (result)
		return result;
	network = virNetworkLookupByName(connection, name);
	if (!network && virGetLastErrorCode() == VIR_ERR_NO_NETWORK) {
		*ret = (struct network_facts){ 0 };
		return 0;
	}
	active = network ? virNetworkIsActive(network) : -1;
	if (active < 0)
		result = libvirt_error(err, connection, LIBVIRT_QUESTION, "asking for network %s",
		                       name);
	else if (active)
		result = libvirt_find_bridge(network, ret, err);
	else
		*ret = (struct network_facts){ 0 };
	if (network)
		virNetworkFree(network);
	return result;
}

/* The switch's socket; or, where QEMU makes it, its directory. */
static int find_socket(const struct vm_interface *interface, struct network_facts *ret)
{
	char path[sizeof(interface->source)];
	char *slash;
	struct stat st;

	memcpy(path, interface->source, sizeof(path));
	slash = strrchr(path, '/');
	if (interface->socket_server && slash)
		slash[slash == path] = '\0';
	*ret = (struct network_facts){ 0 };
	ret->present = stat(path, &st) == 0 &&
	               (interface->socket_server ? S_ISDIR(st.st_mode) : S_ISSOCK(st.st_mode));
	return 0;
}

int libvirt_find_network(struct hypervisor *h, const struct vm_interface *interface,
                         struct network_facts *ret, struct error *err)
{
	const char *type = interface->type;

	if (!strcmp(type, "network"))
		return find_libvirt_network(libvirt_of(h), interface->source, ret, err);
	if (!strcmp(type, "bridge") || !strcmp(type, "direct"))
		return libvirt_find_device(interface->source, ret, err);
	if (!strcmp(type, "vhostuser"))
		return find_socket(interface, ret);
	if (!strcmp(type, "ethernet") && interface->target_must_exist)
		return libvirt_find_device(interface->target, ret, err);
	if (!strcmp(type, "user") || !strcmp(type, "ethernet")) {
		*ret = (struct network_facts){ .present = true }; /* has no name on the host */
		return 0;
	}
	return error_set(err, ERROR_UNSUPPORTED, "no check for interfaces of type %.32s", type);
}
