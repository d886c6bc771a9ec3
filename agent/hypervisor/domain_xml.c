/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_xml.h. The reader's first error sticks and stops the rest; what a field means is
 * decided here, what blocks a move in domain_blockers.c. */
#include "agent/hypervisor/domain_xml.h"

#include "agent/hypervisor/domain_blockers.h"
#include "agent/hypervisor/domain_tree.h"
#include "agent/kernel/overhead.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <libxml/parser.h>
#include <limits.h>
#include <string.h>

static void free_document(xmlDoc **document)
{
	xmlFreeDoc(*document);
}

static void free_parser(xmlParserCtxt **parser)
{
	xmlFreeParserCtxt(*parser);
}

/* Called before any declaration is read: no entity ever comes into being. */
static void refuse_doctype(void *context, const xmlChar *name, const xmlChar *external_id,
                           const xmlChar *system_id)
{
	xmlParserCtxt *parser = context;

	(void)name;
	(void)external_id;
	(void)system_id;
	*(bool *)parser->_private = true;
	xmlStopParser(parser);
}

/* Sets @ret_document (owned) to the parsed text and returns 0; its root is a <domain>. */
static int parse(const char *xml, size_t bytes, xmlDoc **ret_document, struct error *err)
{
	__attribute__((cleanup(free_parser))) xmlParserCtxt *parser = NULL;
	__attribute__((cleanup(free_document))) xmlDoc *document = NULL;
	bool doctype = false;

	if (bytes > DOMAIN_XML_BYTES)
		return error_set(err, ERROR_TOO_LARGE,
		                 "the domain XML has %zu bytes; at most %d are read", bytes,
		                 DOMAIN_XML_BYTES);
	/* The parser would stop there and call what came before it the document. */
	if (memchr(xml, 0, bytes))
		return error_set(err, ERROR_INVALID,
		                 "the domain XML is malformed: it has a zero byte");
	/* The parser wants its tables set up before threads use it; this is safe to repeat. */
	xmlInitParser();
	parser = xmlNewParserCtxt();
	assert(parser);
	parser->_private = &doctype;
	parser->sax->internalSubset = refuse_doctype;
	document = xmlCtxtReadMemory(parser, xml, (int)bytes, NULL, "UTF-8",
	                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
	                                     XML_PARSE_NOBLANKS);
	if (doctype)
		return error_set(err, ERROR_INVALID,
		                 "the domain XML has a DOCTYPE; none is accepted");
	if (!document || !parser->wellFormed) {
		const xmlError *why = xmlCtxtGetLastError(parser);
		size_t length = why && why->message ? strcspn(why->message, "\n") : 0;

		return error_set(err, ERROR_INVALID, "the domain XML is malformed: line %d: %.*s",
		                 why ? why->line : 0, length ? (int)length : 12,
		                 length ? why->message : "no document");
	}
	if (!domain_tree_is(xmlDocGetRootElement(document), "domain"))
		return error_set(err, ERROR_INVALID, "the XML is <%.64s>, not <domain>",
		                 (const char *)xmlDocGetRootElement(document)->name);
	*ret_document = take_pointer(document);
	return 0;
}

/* Keeps the first problem. */
static void reject(struct domain_reader *r, int result)
{
	if (!r->result)
		r->result = result;
}

/* Puts @text into a field, whole or not at all. NULL is the empty text. */
void domain_read_text(struct domain_reader *r, const char *what, const char *text, char *to,
                      size_t bytes)
{
	size_t length = text ? strlen(text) : 0;

	if (length < bytes) {
		memcpy(to, text ? text : "", length + 1);
		return;
	}
	if (!r->result)
		reject(r, error_set(r->err, ERROR_TOO_LARGE,
		                    "%s has %zu bytes; at most %zu are handled", what, length,
		                    bytes - 1));
}

void domain_read_attribute(struct domain_reader *r, xmlNode *node, const char *name,
                           const char *what, char *to, size_t bytes)
{
	_cleanup_xml_ xmlChar *value = domain_tree_attribute(node, name);

	domain_read_text(r, what, (const char *)value, to, bytes);
}

static void read_content(struct domain_reader *r, xmlNode *node, const char *what, char *to,
                         size_t bytes)
{
	_cleanup_xml_ xmlChar *value = node ? xmlNodeGetContent(node) : NULL;

	domain_read_text(r, what, (const char *)value, to, bytes);
}

static bool parse_number(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	if (!text)
		return false;
	text += strspn(text, " \t\n");
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end[strspn(end, " \t\n")])
		return false;
	*ret = value;
	return true;
}

/* libvirt's units of memory; its own output has KiB throughout. */
static const struct {
	const char *name;
	uint64_t bytes;
} memory_units[] = {
	{ "KiB", KIB },
	{ "k", KIB },
	{ "b", 1 },
	{ "bytes", 1 },
	{ "KB", 1000 },
	{ "MiB", MIB },
	{ "M", MIB },
	{ "MB", 1000 * 1000 },
	{ "GiB", GIB },
	{ "G", GIB },
	{ "GB", 1000 * 1000 * 1000 },
	{ "TiB", 1024 * GIB },
	{ "T", 1024 * GIB },
	{ "TB", 1000000000000 },
};

/* An amount with the attribute @unit_name of the same node. */
static uint64_t read_amount(struct domain_reader *r, xmlNode *node, const char *what,
                            const char *text)
{
	_cleanup_xml_ xmlChar *unit = domain_tree_attribute(node, "unit");
	uint64_t number, bytes;

	if (!parse_number(text, &number)) {
		if (!r->result)
			reject(r, error_set(r->err, ERROR_INVALID, "%s is \"%.32s\", not a number",
			                    what, text ? text : ""));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(memory_units); i++) {
		if (strcmp(unit ? (const char *)unit : "KiB", memory_units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(number, memory_units[i].bytes, &bytes))
			break;
		return bytes;
	}
	if (!r->result)
		reject(r, error_set(r->err, ERROR_INVALID, "%s is \"%.32s\" in unit \"%.16s\"",
		                    what, text, unit ? (const char *)unit : "KiB"));
	return 0;
}

static void read_identity(struct domain_reader *r, xmlNode *root)
{
	struct vm_description *d = r->d;
	xmlNode *os = domain_tree_find(domain_tree_find(root, "os"), "type");
	xmlNode *memory = domain_tree_find(root, "memory");
	xmlNode *vcpu = domain_tree_find(root, "vcpu");
	_cleanup_xml_ xmlChar *memory_text = memory ? xmlNodeGetContent(memory) : NULL;
	_cleanup_xml_ xmlChar *vcpu_text = vcpu ? xmlNodeGetContent(vcpu) : NULL;
	uint64_t vcpus = 1;

	read_content(r, domain_tree_find(root, "name"), "the guest's name", d->summary.name,
	             sizeof(d->summary.name));
	read_content(r, domain_tree_find(root, "uuid"), "the guest's uuid", d->summary.uuid,
	             sizeof(d->summary.uuid));
	if (!r->result && (!d->summary.name[0] || !d->summary.uuid[0]))
		reject(r,
		       error_set(r->err, ERROR_INVALID, "the domain has no <name> or no <uuid>"));
	d->summary.memory_bytes = read_amount(r, memory, "<memory>", (const char *)memory_text);
	if (vcpu && (!parse_number((const char *)vcpu_text, &vcpus) || vcpus > UINT32_MAX) &&
	    !r->result)
		reject(r, error_set(r->err, ERROR_INVALID, "<vcpu> is \"%.32s\", not a number",
		                    (const char *)vcpu_text));
	d->summary.vcpus = (uint32_t)vcpus;
	READ_ATTRIBUTE(r, root, "type", "the domain's type", d->virt_type);
	READ_ATTRIBUTE(r, os, "arch", "the architecture", d->arch);
	READ_ATTRIBUTE(r, os, "machine", "the machine type", d->machine);
	read_content(r, domain_tree_find(domain_tree_find(root, "devices"), "emulator"),
	             "the emulator's path", d->emulator, sizeof(d->emulator));
}

static void read_memory(struct domain_reader *r, xmlNode *root)
{
	xmlNode *hugepages = domain_tree_find(domain_tree_find(root, "memoryBacking"), "hugepages");
	xmlNode *page = domain_tree_find(hugepages, "page");
	uint64_t video_bytes = 0;

	if (page) {
		_cleanup_xml_ xmlChar *size = domain_tree_attribute(page, "size");

		r->d->hugepage_bytes = read_amount(r, page, "the huge page size", (char *)size);
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
		if (parse_number((char *)vram, &kib) && kib < UINT32_MAX)
			video_bytes += kib * KIB;
		if (parse_number((char *)ram, &kib) && kib < UINT32_MAX)
			video_bytes += kib * KIB;
	}
	r->d->overhead_bytes = overhead_bytes(r->d->summary.memory_bytes, video_bytes);
}

static void read_interfaces(struct domain_reader *r, xmlNode *devices)
{
	struct vm_description *d = r->d;

	DOMAIN_TREE_FOREACH(node, devices, "interface")
	{
		xmlNode *source = domain_tree_find(node, "source");
		struct vm_interface *interface;

		if (d->n_interfaces == VM_INTERFACES_MAX) {
			domain_blockers_add(&d->blockers, CHECK_BLOCK, "interfaces",
			                    "InterfaceNotLiveMigratable", "use fewer interfaces",
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
		/* A running guest on a libvirt network shows its bridge besides; the network is what
		 * the destination looks up. */
		if (!strcmp(interface->type, "network"))
			READ_ATTRIBUTE(r, source, "network", "a network's name", interface->source);
		else if (!strcmp(interface->type, "bridge"))
			READ_ATTRIBUTE(r, source, "bridge", "a bridge's name", interface->source);
		else
			READ_ATTRIBUTE(r, source, "dev", "an interface's source",
			               interface->source);
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

static void read_domain(struct domain_reader *r, xmlDoc *document)
{
	xmlNode *root = xmlDocGetRootElement(document);
	xmlNode *devices = domain_tree_find(root, "devices");

	read_identity(r, root);
	read_memory(r, root);
	domain_read_disks(r, devices);
	read_interfaces(r, devices);
	read_cpu(r, document);
	domain_blockers_collect(root, &r->d->blockers);
}

int domain_xml_parse(const char *xml, size_t bytes, struct vm_description *ret, struct error *err)
{
	__attribute__((cleanup(free_document))) xmlDoc *document = NULL;
	/* On the heap: with its tables it is too big for a courier's stack. */
	_cleanup_free_ struct vm_description *d = xnew(struct vm_description);
	struct domain_reader r = { .d = d, .err = err };
	int result = parse(xml, bytes, &document, err);

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

int domain_xml_parse_cpu(const char *xml, size_t bytes, struct vm_description *d, struct error *err)
{
	__attribute__((cleanup(free_document))) xmlDoc *document = NULL;
	_cleanup_free_ struct vm_description *found = xnew(struct vm_description);
	struct domain_reader r = { .d = found, .err = err };
	int result = parse(xml, bytes, &document, err);

	if (result)
		return result;
	read_cpu(&r, document);
	if (r.result)
		return r.result;
	free(d->cpu_xml);
	d->cpu_xml = found->cpu_xml;
	memcpy(d->cpu_mode, found->cpu_mode, sizeof(d->cpu_mode));
	return 0;
}
