/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_xml.h. The reader's first error sticks and stops the rest; what a field means is
 * decided here, what blocks a move in domain_blockers.c, what it needs of a host besides disks,
 * interfaces and a CPU in domain_needs.c. */
#include "agent/hypervisor/domain_xml.h"

#include "agent/hypervisor/domain_blockers.h"
#include "agent/hypervisor/domain_tree.h"
#include "agent/kernel/overhead.h"
#include "agent/kernel/reasons.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void read_identity(struct domain_reader *r, xmlNode *root)
{
	struct vm_description *d = r->d;
	xmlNode *os = domain_tree_find(domain_tree_find(root, "os"), "type");
	xmlNode *memory = domain_tree_find(root, "memory");
	xmlNode *vcpu = domain_tree_find(root, "vcpu");
	_cleanup_xml_ xmlChar *memory_text = memory ? xmlNodeGetContent(memory) : NULL;
	_cleanup_xml_ xmlChar *vcpu_text = vcpu ? xmlNodeGetContent(vcpu) : NULL;
	uint64_t vcpus = 1;

	domain_read_content(r, domain_tree_find(root, "name"), "the guest's name", d->summary.name,
	                    sizeof(d->summary.name));
	domain_read_content(r, domain_tree_find(root, "uuid"), "the guest's uuid", d->summary.uuid,
	                    sizeof(d->summary.uuid));
	if (!r->result && (!d->summary.name[0] || !d->summary.uuid[0]))
		domain_reject(r, error_set(r->err, ERROR_INVALID,
		                           "the domain has no <name> or no <uuid>"));
	d->summary.memory_bytes = domain_read_amount(r, memory, "<memory>",
	                                             (const char *)memory_text);
	if (vcpu && (!domain_parse_number((const char *)vcpu_text, &vcpus) || vcpus > UINT32_MAX) &&
	    !r->result)
		domain_reject(r,
		              error_set(r->err, ERROR_INVALID, "<vcpu> is \"%.32s\", not a number",
		                        (const char *)vcpu_text));
	d->summary.vcpus = (uint32_t)vcpus;
	d->vcpus_maximum = (uint32_t)vcpus;
	READ_ATTRIBUTE(r, root, "type", "the domain's type", d->virt_type);
	READ_ATTRIBUTE(r, os, "arch", "the architecture", d->arch);
	READ_ATTRIBUTE(r, os, "machine", "the machine type", d->machine);
	domain_read_content(r, domain_tree_find(domain_tree_find(root, "devices"), "emulator"),
	                    "the emulator's path", d->emulator, sizeof(d->emulator));
}

static void read_memory(struct domain_reader *r, xmlNode *root)
{
	xmlNode *hugepages = domain_tree_find(domain_tree_find(root, "memoryBacking"), "hugepages");
	xmlNode *page = domain_tree_find(hugepages, "page");
	uint64_t video_bytes = 0;

	if (page) {
		_cleanup_xml_ xmlChar *size = domain_tree_attribute(page, "size");

		r->d->hugepage_bytes = domain_read_amount(r, page, "the huge page size",
		                                          (char *)size);
	} else if (hugepages) {
		/* The host's default size, which XML does not tell: x86's. */
		r->d->hugepage_bytes = 2 * MIB;
	}
	DOMAIN_TREE_FOREACH(video, domain_tree_find(root, "devices"), "video")
	{
		xmlNode *model = domain_tree_find(video, "model");
		_cleanup_xml_ xmlChar *vram = domain_tree_attribute(model, "vram");
		_cleanup_xml_ xmlChar *ram = domain_tree_attribute(model, "ram");
		uint64_t kib;

		/* Both in KiB; qxl has both, others one or none. */
		if (domain_parse_number((char *)vram, &kib) && kib < UINT32_MAX)
			video_bytes += kib * KIB;
		if (domain_parse_number((char *)ram, &kib) && kib < UINT32_MAX)
			video_bytes += kib * KIB;
	}
	r->d->overhead_bytes = overhead_bytes(r->d->summary.memory_bytes, video_bytes);
}

/* Where it is plugged in. A running guest on a libvirt network shows its bridge besides, and is called a
 * bridge's if that network is but a name for one; the network is what the destination looks up. */
static void read_plug(struct domain_reader *r, xmlNode *node, struct vm_interface *interface)
{
	static const struct {
		const char *type, *attribute;
	} sources[] = { { "network", "network" }, { "bridge", "bridge" }, { "vhostuser", "path" } };
	xmlNode *source = domain_tree_find(node, "source");
	_cleanup_xml_ xmlChar *mtu = domain_tree_attribute(domain_tree_find(node, "mtu"), "size");
	_cleanup_xml_ xmlChar *network = domain_tree_attribute(source, "network");
	const char *attribute = "dev";
	uint64_t bytes = 0;

	if (network && (!strcmp(interface->type, "bridge") || !strcmp(interface->type, "direct")))
		snprintf(interface->type, sizeof(interface->type), "network");

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (!strcmp(interface->type, sources[i].type))
			attribute = sources[i].attribute;
	READ_ATTRIBUTE(r, source, attribute, "an interface's source", interface->source);
	READ_ATTRIBUTE(r, domain_tree_find(node, "virtualport"), "type",
	               "an interface's virtual port", interface->virtual_port);
	if (domain_parse_number((const char *)mtu, &bytes) && bytes <= UINT32_MAX)
		interface->mtu = (uint32_t)bytes;
	interface->socket_server = domain_tree_attribute_is(source, "mode", "server");
	interface->target_must_exist = domain_tree_attribute_is(domain_tree_find(node, "target"),
	                                                        "managed", "no");
	interface->link_down = domain_tree_attribute_is(domain_tree_find(node, "link"), "state",
	                                                "down");
	interface->failover = domain_tree_attribute_is(domain_tree_find(node, "teaming"), "type",
	                                               "transient");
}

static void read_interfaces(struct domain_reader *r, xmlNode *devices)
{
	struct vm_description *d = r->d;

	DOMAIN_TREE_FOREACH(node, devices, "interface")
	{
		struct vm_interface *interface;

		if (d->n_interfaces == VM_INTERFACES_MAX) {
			domain_blockers_add(&d->blockers, CHECK_BLOCK, "interfaces",
			                    REASON_INTERFACE, "use fewer interfaces",
			                    "more than %d interfaces: not all can be checked",
			                    VM_INTERFACES_MAX);
			return;
		}
		interface = &d->interfaces[d->n_interfaces++];
		READ_ATTRIBUTE(r, node, "type", "an interface's type", interface->type);
		READ_ATTRIBUTE(r, domain_tree_find(node, "mac"), "address", "a MAC address",
		               interface->mac);
		READ_ATTRIBUTE(r, domain_tree_find(node, "model"), "type", "an interface's model",
		               interface->model);
		READ_ATTRIBUTE(r, domain_tree_find(node, "target"), "dev", "an interface's tap",
		               interface->target);
		read_plug(r, node, interface);
	}
}

/* Borrows @document; cpu_xml is owned by @d. */
static void read_cpu(struct domain_reader *r, xmlDoc *document)
{
	xmlNode *cpu = domain_tree_find(xmlDocGetRootElement(document), "cpu");
	xmlBuffer *buffer;

	READ_ATTRIBUTE(r, cpu, "mode", "the CPU's mode", r->d->cpu_mode);
	if (!cpu || r->result)
		return;
	if (!r->d->cpu_mode[0])
		snprintf(r->d->cpu_mode, sizeof(r->d->cpu_mode), "custom");
	buffer = xmlBufferCreate();
	assert(buffer);
	xmlNodeDump(buffer, document, cpu, 0, 0);
	r->d->cpu_xml = xstrdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
}

/* What libvirt does when the guest has powered off; without a word: destroy. */
static void read_poweroff(struct domain_reader *r, xmlNode *root)
{
	char action[32] = "";

	domain_read_content(r, domain_tree_find(root, "on_poweroff"), "on_poweroff", action,
	                    sizeof(action));
	if (action[0] && strcmp(action, "destroy") != 0)
		snprintf(r->d->no_shutdown, sizeof(r->d->no_shutdown),
		         "its on_poweroff is \"%s\": %s", action,
		         strcmp(action, "preserve") == 0 ? "its QEMU would stay"
		                                         : "libvirt would start it again");
}

static void read_domain(struct domain_reader *r, xmlDoc *document)
{
	xmlNode *root = xmlDocGetRootElement(document);
	xmlNode *devices = domain_tree_find(root, "devices");

	read_identity(r, root);
	read_memory(r, root);
	domain_read_disks(r, devices);
	read_interfaces(r, devices);
	read_cpu(r, document);
	domain_read_needs(r, root);
	read_poweroff(r, root);
	domain_blockers_collect(root, &r->d->blockers);
}

int domain_xml_parse(const char *xml, size_t bytes, struct vm_description *ret, struct error *err)
{
	_cleanup_document_ xmlDoc *document = NULL;
	/* On the heap: with its tables it is too big for a courier's stack. */
	_cleanup_free_ struct vm_description *d = xnew(struct vm_description);
	struct domain_reader r = { .d = d, .err = err };
	int result = domain_tree_parse(xml, bytes, "domain", &document, err);

	if (result)
		return result;
	read_domain(&r, document);
	if (r.result) {
		vm_description_deinit(d);
		return r.result;
	}
	*ret = *d;
	return 0;
}

int domain_xml_parse_migratable(const char *xml, size_t bytes, struct vm_description *d,
                                struct error *err)
{
	_cleanup_document_ xmlDoc *document = NULL;
	_cleanup_free_ struct vm_description *found = xnew(struct vm_description);
	struct domain_reader r = { .d = found, .err = err };
	int result = domain_tree_parse(xml, bytes, "domain", &document, err);

	if (result)
		return result;
	found->blockers = d->blockers;
	domain_read_places(&r, xmlDocGetRootElement(document));
	read_cpu(&r, document);
	if (r.result)
		return r.result;
	free(d->cpu_xml);
	d->cpu_xml = found->cpu_xml;
	memcpy(d->cpu_mode, found->cpu_mode, sizeof(d->cpu_mode));
	memcpy(d->places, found->places, sizeof(d->places));
	d->n_places = found->n_places;
	d->blockers = found->blockers;
	return 0;
}
