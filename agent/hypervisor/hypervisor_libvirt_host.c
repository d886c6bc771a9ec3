/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. What this host is, and whether a guest could run here: the questions of
 * admission that libvirt can answer. Any thread. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "agent/hypervisor/domain_capabilities.h"
#include "agent/hypervisor/meminfo.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/libvirt_conf.h"
#include "common/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

/* The first processor's block is looked at only; it has some 2 KiB. */
#define CPUINFO_BYTES 65536

/* ---- facts ---- */

static void format_version(unsigned long version, char *to, size_t bytes)
{
	snprintf(to, bytes, "%lu.%lu.%lu", version / 1000000, version / 1000 % 1000,
	         version % 1000);
}

/* Whole, but for what is beyond the buffer; @to is terminated. */
static int read_text(const char *root, const char *name, char *to, size_t bytes, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s%s", root, name);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t n;

	if (!file)
		return error_set_errno(err, ERROR_SYSTEM, errno, "opening %s", path);
	n = fread(to, 1, bytes - 1, file);
	to[n] = '\0';
	return 0;
}

/* Not from libvirt: its figures follow the NUMA node's, which lag behind (measured). */
static int read_memory(const char *root, struct host_facts *facts, struct error *err)
{
	char text[16384], own[512];
	struct error ignored; /* a kernel without the count: none is known */
	int rc = read_text(root, "/proc/meminfo", text, sizeof(text), err);

	if (rc == 0)
		rc = meminfo_parse(text, &facts->memory_total_bytes, &facts->memory_available_bytes,
		                   err);
	if (rc < 0)
		return rc;
	if ((read_text(root, "/proc/self/cgroup", text, sizeof(text), &ignored) == 0 &&
	     cgroup_find_oom_file(text, own, sizeof(own)) &&
	     read_text(root, own, text, sizeof(text), &ignored) == 0) ||
	    read_text(root, "/proc/vmstat", text, sizeof(text), &ignored) == 0)
		facts->oom_kills = vmstat_parse_oom_kills(text);
	return 0;
}

static int read_lock_manager(const char *root, struct host_facts *facts, struct error *err)
{
	_cleanup_free_ char *driver = xasprintf("%s/etc/libvirt/qemu.conf", root);
	_cleanup_free_ char *manager = NULL;
	int result = libvirt_conf_get_string(driver, "lock_manager", facts->lock_manager,
	                                     sizeof(facts->lock_manager), err);

	if (result || strcmp(facts->lock_manager, "lockd") != 0)
		return result;
	manager = xasprintf("%s/etc/libvirt/qemu-lockd.conf", root);
	return libvirt_conf_get_string(manager, "file_lockspace_dir", facts->lockspace,
	                               sizeof(facts->lockspace), err);
}

/* libvirt's rule: its own key, else /etc/pki/libvirt-migrate if that exists, else the default that
 * all of QEMU's TLS shares. */
static int read_tls_directory(const char *root, struct host_facts *facts, struct error *err)
{
	_cleanup_free_ char *driver = xasprintf("%s/etc/libvirt/qemu.conf", root);
	_cleanup_free_ char *usual = xasprintf("%s/etc/pki/libvirt-migrate", root);
	char *directory = facts->migration_tls_dir;
	size_t bytes = sizeof(facts->migration_tls_dir);
	int result = libvirt_conf_get_string(driver, "migrate_tls_x509_cert_dir", directory, bytes,
	                                     err);

	if (result || directory[0])
		return result;
	if (access(usual, F_OK) == 0) {
		snprintf(directory, bytes, "/etc/pki/libvirt-migrate");
		return 0;
	}
	result = libvirt_conf_get_string(driver, "default_tls_x509_cert_dir", directory, bytes,
	                                 err);
	if (result == 0 && !directory[0])
		snprintf(directory, bytes, "/etc/pki/qemu");
	return result;
}

/* What decides whether QEMU may use userfaultfd, without which there is no post-copy. */
static int read_userfaultfd(const char *root, struct host_facts *facts, struct error *err)
{
	_cleanup_free_ char *driver = xasprintf("%s/etc/libvirt/qemu.conf", root);
	struct error ignored; /* a kernel without it is an answer */
	char text[16];

	facts->unprivileged_userfaultfd = -1;
	if (read_text(root, "/proc/sys/vm/unprivileged_userfaultfd", text, sizeof(text),
	              &ignored) == 0)
		facts->unprivileged_userfaultfd = text[0] == '1';
	return libvirt_conf_get_string(driver, "user", facts->qemu_user, sizeof(facts->qemu_user),
	                               err);
}

int libvirt_host_facts(struct hypervisor *base, struct host_facts *ret, struct error *err)
{
	struct hypervisor_libvirt *h = libvirt_of(base);
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_free_ char *hostname = NULL;
	struct host_facts facts = { 0 };
	unsigned long libvirt_version, hypervisor_version;
	virNodeInfo node;
	int result = libvirt_get_connection(h, &connection, err);

	if (result)
		return result;
	hostname = virConnectGetHostname(connection);
	if (!hostname || virConnectGetLibVersion(connection, &libvirt_version) < 0 ||
	    virConnectGetVersion(connection, &hypervisor_version) < 0 ||
	    virNodeGetInfo(connection, &node) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading the host's facts");
	COPY_TEXT(facts.hostname, hostname);
	format_version(libvirt_version, facts.libvirt_version, sizeof(facts.libvirt_version));
	format_version(hypervisor_version, facts.hypervisor_version,
	               sizeof(facts.hypervisor_version));
	snprintf(facts.arch, sizeof(facts.arch), "%.*s", (int)sizeof(facts.arch) - 1, node.model);
	facts.cpus = node.cpus;
	result = read_memory(h->root, &facts, err);
	if (!result)
		result = read_lock_manager(h->root, &facts, err);
	if (!result)
		result = read_tls_directory(h->root, &facts, err);
	if (!result)
		result = read_userfaultfd(h->root, &facts, err);
	if (!result)
		*ret = facts;
	return result;
}

/* ---- CPU and machine ---- */

/* libvirt's list of what is missing, without the sentence in front. */
static const char *cut_missing(const char *message)
{
	const char *list = strstr(message, "features: ");

	return list ? list + strlen("features: ") : message;
}

static void judge_cpu(int compared, const virError *error, struct check *cpu)
{
	if (compared > 0) {
		cpu->verdict = CHECK_PASS;
		COPY_TEXT(cpu->measured, compared == VIR_CPU_COMPARE_IDENTICAL
		                                 ? "the host provides exactly this CPU"
		                                 : "the host provides this CPU and more");
		return;
	}
	cpu->verdict = CHECK_FAIL;
	snprintf(cpu->measured, sizeof(cpu->measured), "missing: %.180s",
	         error && error->message ? cut_missing(error->message)
	                                 : "libvirt does not say what");
	COPY_TEXT(cpu->remedy, "choose a node with these features, or give the guest a CPU model "
	                       "that all nodes provide");
}

int libvirt_read_signature(struct hypervisor_libvirt *h, virConnectPtr connection, char *ret,
                           struct error *err)
{
	_cleanup_free_ char *cpuinfo = xmalloc(CPUINFO_BYTES);
	unsigned long libvirt_version, hypervisor_version;
	char libvirt[24], hypervisor[24];
	struct utsname kernel;
	int rc = read_text(h->root, "/proc/cpuinfo", cpuinfo, CPUINFO_BYTES, err);

	if (rc < 0)
		return rc;
	if (virConnectGetLibVersion(connection, &libvirt_version) < 0 ||
	    virConnectGetVersion(connection, &hypervisor_version) < 0)
		return libvirt_error(err, connection, LIBVIRT_QUESTION, "reading versions");
	if (uname(&kernel) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "reading the kernel's version");
	format_version(libvirt_version, libvirt, sizeof(libvirt));
	format_version(hypervisor_version, hypervisor, sizeof(hypervisor));
	host_signature_make(cpuinfo, kernel.release, hypervisor, libvirt, ret);
	return 0;
}

/* An unknown machine type is an invalid argument that names it; so is an unknown emulator. */
static bool is_machine_refused(const virError *error, const struct vm_description *d)
{
	return error && error->code == VIR_ERR_INVALID_ARG && error->message && d->machine[0] &&
	       strstr(error->message, d->machine);
}

/* libvirt's answer: compared as it returns it, with the reason (owned) if it is negative. */
struct comparison {
	int compared;
	virErrorPtr error;
	struct error failure; /* the same as ours, should it not be an answer at all */
};

static void comparison_deinit(struct comparison *c)
{
	virFreeError(c->error);
}

static void compare(virConnectPtr connection, const struct vm_description *d, const char *machine,
                    const char *cpu_xml, struct comparison *ret)
{
	virFreeError(ret->error);
	ret->error = NULL;
	/* The type is always named: without, libvirt takes kvm wherever /dev/kvm opens. */
	ret->compared = virConnectCompareHypervisorCPU(
		connection, NULL, d->arch[0] ? d->arch : NULL, machine,
		d->virt_type[0] ? d->virt_type : NULL, cpu_xml,
		VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
	if (ret->compared >= 0)
		return;
	ret->error = virSaveLastError();
	libvirt_error(&ret->failure, connection, LIBVIRT_QUESTION, "comparing CPUs");
}

static bool is_answer(const struct comparison *c)
{
	return c->compared >= 0 || (c->error && c->error->code == VIR_ERR_CPU_INCOMPATIBLE);
}

/* QEMU's own default, which every host of the architecture provides. */
#define DEFAULT_CPU "<cpu mode='custom' match='exact'><model fallback='allow'>qemu64</model></cpu>"

int libvirt_compare_cpu(struct hypervisor *h, const struct vm_description *d, struct check *ret_cpu,
                        struct check *ret_machine, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	__attribute__((cleanup(comparison_deinit))) struct comparison c = { 0 };
	struct check cpu = { .id = "cpu" }, machine = { .id = "machine", .verdict = CHECK_PASS };
	const char *cpu_xml = d->cpu_xml ? d->cpu_xml : DEFAULT_CPU;
	int result = libvirt_get_connection(libvirt_of(h), &connection, err);

	if (result)
		return result;
	COPY_TEXT(cpu.required, "every CPU feature that the guest sees");
	COPY_TEXT(machine.required, d->machine);
	COPY_TEXT(machine.measured, "supported by this host's QEMU");

	compare(connection, d, d->machine[0] ? d->machine : NULL, cpu_xml, &c);
	if (is_machine_refused(c.error, d)) {
		machine.verdict = CHECK_FAIL;
		COPY_TEXT(machine.measured, "not supported by this host's QEMU");
		COPY_TEXT(machine.remedy, "choose a node whose QEMU has this machine type");
		/* The CPU is asked for all the same: every check always answers. */
		compare(connection, d, NULL, cpu_xml, &c);
	}
	if (!is_answer(&c)) {
		if (err)
			*err = c.failure;
		return -(int)c.failure.code;
	}
	if (machine.verdict == CHECK_PASS && d->emulator[0] && access(d->emulator, X_OK)) {
		machine.verdict = CHECK_FAIL;
		snprintf(machine.measured, sizeof(machine.measured), "%.120s: %s", d->emulator,
		         strerror(errno));
		COPY_TEXT(machine.remedy, "install the guest's emulator here under that path");
	}
	if (host_signature_is_needed(d->cpu_mode)) {
		char own[HOST_SIGNATURE_BYTES];

		result = libvirt_read_signature(libvirt_of(h), connection, own, err);
		if (result < 0)
			return result;
		host_signature_judge(d->cpu_mode, d->host_signature, own, &cpu);
	} else {
		judge_cpu(c.compared, c.error, &cpu);
	}
	*ret_cpu = cpu;
	*ret_machine = machine;
	return 0;
}

/* ---- what else it can give ---- */

int libvirt_capabilities(struct hypervisor *h, const struct vm_description *d,
                         struct guest_capabilities *ret, struct error *err)
{
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_free_ char *guests = NULL;
	_cleanup_free_ char *host = NULL;
	struct guest_capabilities found = { 0 };
	const char *emulator = d->emulator[0] ? d->emulator : NULL;
	const char *arch = d->arch[0] ? d->arch : NULL;
	const char *virt_type = d->virt_type[0] ? d->virt_type : NULL;
	int result = libvirt_get_connection(libvirt_of(h), &connection, err);

	if (result)
		return result;
	guests = virConnectGetDomainCapabilities(connection, emulator, arch,
	                                         d->machine[0] ? d->machine : NULL, virt_type, 0);
	/* Of a machine type or an emulator that is not here nothing is told; "machine" says so. */
	if (!guests && virGetLastErrorCode() == VIR_ERR_INVALID_ARG)
		guests = virConnectGetDomainCapabilities(connection, NULL, arch, NULL, virt_type,
		                                         0);
	if (!guests)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "reading what guests can have");
	host = virConnectGetCapabilities(connection);
	if (!host)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "reading the host's capabilities");
	result = domain_capabilities_parse(guests, strlen(guests), d->firmware.loader, &found, err);
	if (!result)
		result = domain_capabilities_parse_host(host, strlen(host), &found, err);
	if (!result)
		*ret = found;
	return result;
}
