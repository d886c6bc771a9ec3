/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. Opening a connection, libvirt's errors as ours, and the commands that are
 * one call each. Any thread. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What an operator would have to do differs by code; the rest is libvirt's words. */
static enum error_code code_of(const virError *error)
{
	switch (error->code) {
	case VIR_ERR_NO_DOMAIN:
	case VIR_ERR_NO_NETWORK:
		return ERROR_NOT_FOUND;
	case VIR_ERR_OPERATION_ABORTED:
		return ERROR_CANCELLED;
	case VIR_ERR_OPERATION_TIMEOUT:
	case VIR_ERR_RESOURCE_BUSY:
		return ERROR_BUSY;
	case VIR_ERR_OPERATION_INVALID:
	case VIR_ERR_MIGRATE_UNSAFE:
	case VIR_ERR_OPERATION_DENIED:
		return ERROR_REFUSED;
	case VIR_ERR_AUTH_FAILED:
	case VIR_ERR_AUTH_CANCELLED:
	case VIR_ERR_AUTH_UNAVAILABLE:
	case VIR_ERR_ACCESS_DENIED:
		return ERROR_PERMISSION;
	case VIR_ERR_INVALID_ARG:
	case VIR_ERR_XML_ERROR:
	case VIR_ERR_INVALID_CONN:
		return ERROR_INVALID;
	case VIR_ERR_NO_SUPPORT:
	case VIR_ERR_CONFIG_UNSUPPORTED:
	case VIR_ERR_OPERATION_UNSUPPORTED:
	case VIR_ERR_ARGUMENT_UNSUPPORTED:
		return ERROR_UNSUPPORTED;
	default:
		return ERROR_HYPERVISOR;
	}
}

int libvirt_error(struct error *err, virConnectPtr connection, enum libvirt_call call,
                  const char *what_format, ...)
{
	/* A copy: asking whether the connection lives resets the thread's error. */
	virErrorPtr error = virSaveLastError();
	bool dead = !connection || virConnectIsAlive(connection) != 1, silent;
	enum error_code code = error ? code_of(error) : ERROR_HYPERVISOR;
	_cleanup_free_ char *what = NULL;
	va_list arguments;
	int result;

	if (dead)
		code = call == LIBVIRT_QUESTION ? ERROR_UNREACHABLE : ERROR_UNKNOWN_OUTCOME;
	va_start(arguments, what_format);
	if (vasprintf(&what, what_format, arguments) < 0)
		what = xstrdup("asking libvirt");
	va_end(arguments);
	silent = dead && error && error->message && strstr(error->message, "keepalive");
	result = error_set(err, code, "%s: %slibvirt: %s (libvirt error %d)", what,
	                   silent ? "libvirtd does not answer: " : "",
	                   error && error->message ? error->message : "no reason given",
	                   error ? error->code : 0);
	virFreeError(error);
	error_make_one_line(err);
	return result;
}

int libvirt_open(struct hypervisor_libvirt *h, unsigned int keepalive_s, virConnectPtr *ret,
                 struct error *err)
{
	virConnectPtr connection;

	libvirt_start_loop();
	connection = virConnectOpen(h->uri);
	if (!connection)
		return libvirt_error(err, NULL, LIBVIRT_QUESTION, "connecting to %s", h->uri);
	/* An old daemon without keepalive answers 1: then only its end is noticed. */
	if (virConnectSetKeepAlive(connection, (int)keepalive_s, 3) < 0) {
		int result = libvirt_error(err, connection, LIBVIRT_QUESTION,
		                           "setting keepalive on %s", h->uri);

		virConnectClose(connection);
		return result;
	}
	*ret = connection;
	return 0;
}

int libvirt_find_domain(struct hypervisor_libvirt *h, const char *uuid,
                        virConnectPtr *ret_connection, virDomainPtr *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	virDomainPtr domain;
	int result = libvirt_get_connection(h, &connection, err);

	if (result)
		return result;
	domain = virDomainLookupByUUIDString(connection, uuid);
	if (!domain)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "looking up guest %.40s",
		                     uuid);
	*ret_connection = take_pointer(connection);
	*ret = domain;
	return 0;
}

/* ---- commands of one call ---- */

static int libvirt_suspend(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainSuspend(domain) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND, "suspending guest %s", uuid);
	return 0;
}

static int libvirt_resume(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainResume(domain) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND, "resuming guest %s", uuid);
	return 0;
}

static int libvirt_destroy(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	/* Not GRACEFUL: that fails on a QEMU that does not end by itself, and what is destroyed
	 * here is a copy that must not go on. */
	if (virDomainDestroy(domain) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND, "destroying guest %s", uuid);
	return 0;
}

/* A transient guest whose source lost its libvirt connections at the end stays listed as "shut off
 * (migrated)", and can be neither undefined nor destroyed; a move back fails. To define it makes it
 * persistent, and then it can be undefined (measured). */
static int cure_ghost(virConnectPtr connection, virDomainPtr domain, const char *uuid,
                      struct error *err)
{
	_cleanup_free_ char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);
	virDomainPtr defined;

	if (!xml)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "reading the definition of guest %s", uuid);
	defined = virDomainDefineXML(connection, xml);
	if (!defined)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "defining guest %s in order to remove what is left of it",
		                     uuid);
	virDomainFree(defined);
	return 0;
}

static int libvirt_undefine(struct hypervisor *h, const char *uuid, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainIsPersistent(domain) == 0 && virDomainIsActive(domain) == 0) {
		result = cure_ghost(connection, domain, uuid, err);
		if (result)
			return result;
	}
	/* Firmware variables and TPM state may be in use by the same guest elsewhere. */
	if (virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
	                                           VIR_DOMAIN_UNDEFINE_KEEP_TPM) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND, "undefining guest %s", uuid);
	return 0;
}

static int libvirt_set_autostart(struct hypervisor *h, const char *uuid, bool on, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_domain_ virDomainPtr domain = NULL;
	int result = libvirt_find_domain(libvirt_of(h), uuid, &connection, &domain, err);

	if (result)
		return result;
	if (virDomainSetAutostart(domain, on) < 0)
		return libvirt_error(err, connection, LIBVIRT_COMMAND,
		                     "switching autostart of guest %s %s", uuid, on ? "on" : "off");
	return 0;
}

/* ---- life ---- */

static void libvirt_free(struct hypervisor *base)
{
	struct hypervisor_libvirt *h = libvirt_of(base);

	libvirt_unwatch(h);
	libvirt_withdraw(h);
	pthread_cond_destroy(&h->returned);
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h->uri);
	free(h->root);
	free(h);
}

static const struct hypervisor_ops libvirt_ops = {
	.free = libvirt_free,
	.watch = libvirt_watch,
	.hush = libvirt_hush,
	.host_facts = libvirt_host_facts,
	.list = libvirt_list,
	.find = libvirt_find,
	.describe = libvirt_describe,
	.devices = libvirt_devices,
	.compare_cpu = libvirt_compare_cpu,
	.capabilities = libvirt_capabilities,
	.offers = libvirt_offers,
	.find_network = libvirt_find_network,
	.migrate = libvirt_migrate,
	.job = libvirt_job,
	.last_job = libvirt_last_job,
	.abort_job = libvirt_abort_job,
	.set_max_downtime = libvirt_set_max_downtime,
	.set_max_speed = libvirt_set_max_speed,
	.start_dirty_rate = libvirt_start_dirty_rate,
	.dirty_rate = libvirt_dirty_rate,
	.start_postcopy = libvirt_start_postcopy,
	.break_postcopy = libvirt_break_postcopy,
	.suspend = libvirt_suspend,
	.resume = libvirt_resume,
	.shut_down = libvirt_shut_down,
	.start = libvirt_start,
	.destroy = libvirt_destroy,
	.undefine = libvirt_undefine,
	.set_autostart = libvirt_set_autostart,
};

struct hypervisor *hypervisor_libvirt_new(const char *uri)
{
	struct hypervisor_libvirt *h = xnew(struct hypervisor_libvirt);
	pthread_condattr_t attributes;

	h->base.ops = &libvirt_ops;
	h->uri = xstrdup(uri);
	h->root = xstrdup("");
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&h->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_cond_init(&h->returned, NULL);
	return &h->base;
}

void hypervisor_libvirt_set_root(struct hypervisor *base, const char *root)
{
	struct hypervisor_libvirt *h = libvirt_of(base);

	free(h->root);
	h->root = xstrdup(root);
}
