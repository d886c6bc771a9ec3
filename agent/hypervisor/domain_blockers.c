/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_blockers.h. Pure: reads the tree, appends to the list.
 *
 * Only what libvirt 9.0 or QEMU 7.2 refuse, or what would leave a guest broken, blocks. Things that
 * a destination can judge are not here: bridges, macvtap's lower device, images of cdroms, the CPU.
 * A 9p share moves as long as the guest has not mounted it (measured), so it is a warning, and QEMU
 * has the last word.
 */
#include "agent/hypervisor/domain_blockers.h"

#include "agent/hypervisor/domain_tree.h"

#include <stdarg.h>
#include <stdio.h>

void domain_blockers_add(struct check_list *list, enum check_verdict verdict, const char *id,
                         enum reason reason, const char *remedy, const char *measured_format, ...)
{
	struct check *check;
	va_list arguments;

	if (list->count >= CHECKS_MAX) {
		check = &list->items[CHECKS_MAX - 1];
		*check = (struct check){ .id = "guest/more", .verdict = CHECK_BLOCK };
		snprintf(check->measured, sizeof(check->measured),
		         "more than %d obstacles: the first ones are shown", CHECKS_MAX - 1);
		snprintf(check->required, sizeof(check->required), "none");
		snprintf(check->remedy, sizeof(check->remedy), "remove those that are shown");
		return;
	}
	check = &list->items[list->count++];
	*check = (struct check){ .verdict = verdict };
	snprintf(check->id, sizeof(check->id), "guest/%s", id);
	snprintf(check->required, sizeof(check->required), "none");
	snprintf(check->remedy, sizeof(check->remedy), "%s", remedy);
	snprintf(check->reason, sizeof(check->reason), "%s", reason_word(reason));
	va_start(arguments, measured_format);
	vsnprintf(check->measured, sizeof(check->measured), measured_format, arguments);
	va_end(arguments);
}

static const char *text_or(const xmlChar *text, const char *otherwise)
{
	return text ? (const char *)text : otherwise;
}

/* The fallback of a failover pair is unplugged by the guest before the copy; libvirt allows it. */
static bool is_failover(xmlNode *device)
{
	return domain_tree_attribute_is(domain_tree_find(device, "teaming"), "type", "transient");
}

static void collect_host_devices(xmlNode *devices, struct check_list *list)
{
	DOMAIN_TREE_FOREACH(node, devices, "hostdev")
	{
		_cleanup_xml_ xmlChar *type = domain_tree_attribute(node, "type");

		/* Mediated devices may be migratable: their driver decides, when libvirt asks. */
		if (is_failover(node) || domain_tree_attribute_is(node, "type", "mdev"))
			continue;
		domain_blockers_add(list, CHECK_BLOCK, "hostdev", REASON_HOST_DEVICE,
		                    "detach it: virsh detach-device",
		                    "a device of the host is passed through (type %s)",
		                    text_or(type, "unknown"));
	}
	DOMAIN_TREE_FOREACH(node, devices, "interface")
	{
		bool vdpa = domain_tree_attribute_is(node, "type", "vdpa");
		_cleanup_xml_ xmlChar *mac = domain_tree_attribute(domain_tree_find(node, "mac"),
		                                                   "address");

		if (!vdpa &&
		    (!domain_tree_attribute_is(node, "type", "hostdev") || is_failover(node)))
			continue;
		domain_blockers_add(
			list, CHECK_BLOCK, "interface", REASON_INTERFACE,
			"use a bridge or macvtap interface, or a failover pair (<teaming>)",
			"interface %s is a device of the host (type %s)", text_or(mac, "?"),
			vdpa ? "vdpa" : "hostdev");
	}
	DOMAIN_TREE_FOREACH(node, devices, "tpm")
	{
		if (domain_tree_attribute_is(domain_tree_find(node, "backend"), "type",
		                             "passthrough"))
			domain_blockers_add(list, CHECK_BLOCK, "tpm", REASON_HOST_DEVICE,
			                    "use an emulated TPM",
			                    "the host's TPM is passed through");
	}
}

static void collect_shares(xmlNode *devices, struct check_list *list)
{
	DOMAIN_TREE_FOREACH(node, devices, "filesystem")
	{
		_cleanup_xml_ xmlChar *tag = domain_tree_attribute(domain_tree_find(node, "target"),
		                                                   "dir");

		if (domain_tree_attribute_is(domain_tree_find(node, "driver"), "type", "virtiofs"))
			domain_blockers_add(list, CHECK_BLOCK, "filesystem", REASON_VIRTIOFS,
			                    "unmount it in the guest and detach it",
			                    "virtiofs share %s", text_or(tag, "?"));
		else
			domain_blockers_add(list, CHECK_WARN, "filesystem", REASON_NONE,
			                    "unmount it in the guest before the move",
			                    "9p share %s: moves only while not mounted",
			                    text_or(tag, "?"));
	}
	DOMAIN_TREE_FOREACH(node, devices, "shmem")
	{
		_cleanup_xml_ xmlChar *name = domain_tree_attribute(node, "name");

		if (!domain_tree_attribute_is(node, "role", "master"))
			domain_blockers_add(list, CHECK_BLOCK, "shmem", REASON_NOT_MIGRATABLE,
			                    "detach it, or give it role='master'",
			                    "shared memory %s in the role of a peer",
			                    text_or(name, "?"));
	}
	DOMAIN_TREE_FOREACH(node, devices, "memory")
	{
		_cleanup_xml_ xmlChar *model = domain_tree_attribute(node, "model");

		if (xmlStrEqual(model, (const xmlChar *)"dimm") ||
		    xmlStrEqual(model, (const xmlChar *)"virtio-mem"))
			continue;
		domain_blockers_add(list, CHECK_BLOCK, "memory-device", REASON_NOT_MIGRATABLE,
		                    "detach it before the move",
		                    "memory device %s keeps its content on this host",
		                    text_or(model, "?"));
	}
}

static void collect_disks(xmlNode *devices, struct check_list *list)
{
	DOMAIN_TREE_FOREACH(node, devices, "disk")
	{
		_cleanup_xml_ xmlChar *target = domain_tree_attribute(
			domain_tree_find(node, "target"), "dev");
		xmlNode *source = domain_tree_find(node, "source");

		if (domain_tree_find(node, "transient"))
			domain_blockers_add(
				list, CHECK_BLOCK, "disk", REASON_DISKS,
				"use a disk that keeps what is written",
				"disk %s is transient: its changes live on this host only",
				text_or(target, "?"));
		if (domain_tree_find(source, "reservations"))
			domain_blockers_add(
				list, CHECK_BLOCK, "disk", REASON_PERSISTENT_RESERVATION,
				"shut the guest down and start it on the other node",
				"disk %s uses SCSI persistent reservations of this host",
				text_or(target, "?"));
	}
}

/* KubeVirt's words for memory that nobody but the guest can read. */
static const struct {
	const char *type;
	enum reason reason;
} secure_launches[] = {
	{ "sev", REASON_SEV },
	{ "sev-snp", REASON_SEV },
	{ "s390-pv", REASON_SECURE_EXECUTION },
	{ "tdx", REASON_TDX },
};

static void collect_launch_security(xmlNode *root, struct check_list *list)
{
	xmlNode *node = domain_tree_find(root, "launchSecurity");
	_cleanup_xml_ xmlChar *type = domain_tree_attribute(node, "type");
	enum reason reason = REASON_NOT_MIGRATABLE;

	if (!node)
		return;
	for (size_t i = 0; i < sizeof(secure_launches) / sizeof(secure_launches[0]); i++)
		if (xmlStrEqual(type, (const xmlChar *)secure_launches[i].type))
			reason = secure_launches[i].reason;
	domain_blockers_add(list, CHECK_BLOCK, "launch-security", reason,
	                    "shut the guest down and start it on the other node",
	                    "its memory is encrypted for this host (%s)", text_or(type, "?"));
}

/* A guest that relies on a constant TSC must find the same frequency; QEMU refuses without it. */
static void collect_tsc(xmlNode *root, struct check_list *list)
{
	bool invtsc = false;

	DOMAIN_TREE_FOREACH(feature, domain_tree_find(root, "cpu"), "feature")
	{
		if (domain_tree_attribute_is(feature, "name", "invtsc") &&
		    domain_tree_attribute_is(feature, "policy", "require"))
			invtsc = true;
	}
	DOMAIN_TREE_FOREACH(timer, domain_tree_find(root, "clock"), "timer")
	{
		_cleanup_xml_ xmlChar *frequency = domain_tree_attribute(timer, "frequency");

		if (frequency && domain_tree_attribute_is(timer, "name", "tsc"))
			invtsc = false;
	}
	if (invtsc)
		domain_blockers_add(list, CHECK_BLOCK, "tsc", REASON_TSC_FREQUENCY,
		                    "set <timer name='tsc' frequency=...>, or drop invtsc",
		                    "CPU feature invtsc without a TSC frequency");
}

void domain_blockers_collect(xmlNode *root, struct check_list *list)
{
	xmlNode *devices = domain_tree_find(root, "devices");

	collect_host_devices(devices, list);
	collect_shares(devices, list);
	collect_disks(devices, list);
	collect_launch_security(root, list);
	collect_tsc(root, list);
}
