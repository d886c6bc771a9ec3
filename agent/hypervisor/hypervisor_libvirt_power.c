/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. A guest's own way off, and on again. Any thread.
 *
 * libvirt takes the guest's agent if that is connected, and the power button (ACPI) if it is not, or
 * fails. A guest with on_poweroff=restart is rebooted by the same call, and one with preserve stays as a
 * dead QEMU: neither is asked. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/alloc.h"
#include "common/cleanup.h"

static int refuse(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_free_ struct vm_description *d = xnew(struct vm_description);
	int result = libvirt_describe(h, uuid, d, err);

	if (result)
		return result;
	if (!d->summary.active)
		result = error_set(err, ERROR_REFUSED, "guest %s is not running", d->summary.name);
	else if (d->no_shutdown[0])
		result = error_set(err, ERROR_REFUSED, "guest %s is not shut down: %s",
		                   d->summary.name, d->no_shutdown);
	vm_description_deinit(d);
	return result;
}

int libvirt_shut_down(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = refuse(h, uuid, err);

	if (!result)
		result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);
	if (result)
		return result;
	if (virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_DEFAULT) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "asking guest %s to shut down", uuid);
	return 0;
}

int libvirt_start(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainCreate(domain) < 0) {
		result = libvirt_error(err, connection, LIBVIRT_COMMAND, "starting guest %s", uuid);
		/* Somebody was quicker; that is what was wanted. */
		return virDomainIsActive(domain) == 1 ? 0 : result;
	}
	return 0;
}
