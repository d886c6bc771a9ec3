/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_capabilities.h. */
#include "agent/hypervisor/domain_capabilities.h"

#include "agent/hypervisor/domain_tree.h"

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
