/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_capabilities.h. */
#include "agent/hypervisor/domain_capabilities.h"

#include "agent/hypervisor/domain_tree.h"
#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

/* Whether one <value> of @parent is @wanted. */
static bool has_value(xmlNode *parent, const char *wanted)
{
	DOMAIN_TREE_FOREACH(value, parent, "value")
	{
		_cleanup_xml_ xmlChar *text = xmlNodeGetContent(value);

		if (text && xmlStrEqual(text, (const xmlChar *)wanted))
			return true;
	}
	return false;
}

static bool has_tpm_backend(xmlNode *root, const char *wanted)
{
	xmlNode *tpm = domain_tree_find(domain_tree_find(root, "devices"), "tpm");

	DOMAIN_TREE_FOREACH(list, tpm, "enum")
	{
		if (domain_tree_attribute_is(list, "name", "backendModel"))
			return has_value(list, wanted);
	}
	return false;
}

int domain_capabilities_parse(const char *xml, size_t bytes, const char *loader,
                              struct guest_capabilities *ret, struct error *err)
{
	_cleanup_document_ xmlDoc *document = NULL;
	int result = domain_tree_parse(xml, bytes, "domainCapabilities", &document, err);
	xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
	_cleanup_xml_ xmlChar *most = domain_tree_attribute(domain_tree_find(root, "vcpu"), "max");
	uint64_t vcpus;

	if (result)
		return result;
	if (domain_parse_number((const char *)most, &vcpus) && vcpus <= UINT32_MAX)
		ret->vcpus_max = (uint32_t)vcpus;
	ret->loader_listed = loader[0] &&
	                     has_value(domain_tree_find(domain_tree_find(root, "os"), "loader"),
	                               loader);
	ret->tpm_emulator = has_tpm_backend(root, "emulator");
	return 0;
}

int domain_capabilities_parse_host(const char *xml, size_t bytes, struct guest_capabilities *ret,
                                   struct error *err)
{
	_cleanup_document_ xmlDoc *document = NULL;
	int result = domain_tree_parse(xml, bytes, "capabilities", &document, err);
	xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
	xmlNode *cpu = domain_tree_find(domain_tree_find(root, "host"), "cpu");

	if (result)
		return result;
	DOMAIN_TREE_FOREACH(counter, cpu, "counter")
	{
		_cleanup_xml_ xmlChar *frequency = domain_tree_attribute(counter, "frequency");
		uint64_t hz;

		if (!domain_tree_attribute_is(counter, "name", "tsc") ||
		    !domain_parse_number((const char *)frequency, &hz))
			continue;
		ret->tsc_hz = hz;
		ret->tsc_scaling = domain_tree_attribute_is(counter, "scaling", "yes");
	}
	return 0;
}

static void add_machines(xmlNode *parent, const char *arch, struct host_offers *ret)
{
	DOMAIN_TREE_FOREACH(node, parent, "machine")
	{
		_cleanup_xml_ xmlChar *name = xmlNodeGetContent(node);
		_cleanup_xml_ xmlChar *most = domain_tree_attribute(node, "maxCpus");
		struct offered_machine one = { 0 };
		uint64_t vcpus;

		if (!name || !name[0] || strlen((const char *)name) >= sizeof(one.name))
			continue;
		snprintf(one.arch, sizeof(one.arch), "%s", arch);
		snprintf(one.name, sizeof(one.name), "%s", (const char *)name);
		if (domain_parse_number((const char *)most, &vcpus) && vcpus <= UINT32_MAX)
			one.vcpus_max = (uint32_t)vcpus;
		ret->machines = xreallocarray(ret->machines, ret->n_machines + 1,
		                              sizeof(*ret->machines));
		ret->machines[ret->n_machines++] = one;
	}
}

static void add_guest(xmlNode *from, struct host_offers *ret)
{
	_cleanup_xml_ xmlChar *name = domain_tree_attribute(from, "name");
	char arch[sizeof(ret->machines->arch)];

	if (!name || strlen((const char *)name) >= sizeof(arch))
		return;
	snprintf(arch, sizeof(arch), "%s", (const char *)name);
	add_machines(from, arch, ret);
	DOMAIN_TREE_FOREACH(domain, from, "domain")
	{
		_cleanup_xml_ xmlChar *type = domain_tree_attribute(domain, "type");

		ret->types = xreallocarray(ret->types, ret->n_types + 1, sizeof(*ret->types));
		snprintf(ret->types[ret->n_types++], sizeof(*ret->types), "%s %.14s", arch,
		         type ? (const char *)type : "");
		/* Those that only run under it. */
		add_machines(domain, arch, ret);
	}
}

int domain_capabilities_parse_machines(const char *xml, size_t bytes, struct host_offers *ret,
                                       struct error *err)
{
	_cleanup_document_ xmlDoc *document = NULL;
	int result = domain_tree_parse(xml, bytes, "capabilities", &document, err);

	if (result)
		return result;
	DOMAIN_TREE_FOREACH(guest, xmlDocGetRootElement(document), "guest")
	{
		xmlNode *arch = domain_tree_find(guest, "arch");

		if (arch)
			add_guest(arch, ret);
	}
	return 0;
}
