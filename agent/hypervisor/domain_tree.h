/* SPDX-License-Identifier: Apache-2.0 */
/* Private to domain_*.c: a parsed domain, walking it, and reading its fields. Elements are looked up
 * without a namespace, as libvirt writes them. */
#pragma once

#include "agent/hypervisor/hypervisor.h"

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

static inline void domain_tree_free_text(xmlChar **text)
{
	if (*text)
		xmlFree(*text);
}

#define _cleanup_xml_ __attribute__((cleanup(domain_tree_free_text)))

static inline void domain_tree_free_document(xmlDoc **document)
{
	xmlFreeDoc(*document);
}

#define _cleanup_document_ __attribute__((cleanup(domain_tree_free_document)))

/* Sets @ret_document (owned) to the parsed text, at most DOMAIN_XML_BYTES; its root is a <@root>. */
int domain_tree_parse(const char *xml, size_t bytes, const char *root, xmlDoc **ret_document,
                      struct error *err);

static inline bool domain_tree_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !node->ns &&
	       xmlStrEqual(node->name, (const xmlChar *)name);
}

/* The first element @name after @node, or NULL. */
static inline xmlNode *domain_tree_find_next(xmlNode *node, const char *name)
{
	for (node = node ? node->next : NULL; node; node = node->next)
		if (domain_tree_is(node, name))
			return node;
	return NULL;
}

/* The first child element @name of @parent, which may be NULL, or NULL. */
static inline xmlNode *domain_tree_find(xmlNode *parent, const char *name)
{
	xmlNode *node = parent ? parent->children : NULL;

	if (!node || domain_tree_is(node, name))
		return node;
	return domain_tree_find_next(node, name);
}

#define DOMAIN_TREE_FOREACH(node, parent, name)                    \
	for (xmlNode *node = domain_tree_find(parent, name); node; \
	     node = domain_tree_find_next(node, name))

/* The attribute's value (owned; NULL if there is none, or @node is NULL). */
static inline xmlChar *domain_tree_attribute(xmlNode *node, const char *name)
{
	return node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
}

static inline bool domain_tree_attribute_is(xmlNode *node, const char *name, const char *value)
{
	_cleanup_xml_ xmlChar *found = domain_tree_attribute(node, name);

	return found && xmlStrEqual(found, (const xmlChar *)value);
}

/* ---- reading fields ----
 *
 * The first error sticks, and what is read after it does not count. */

struct domain_reader {
	struct vm_description *d;
	struct error *err;
	int result; /* of the first thing that was wrong */
};

/* Puts @text into a field, whole or not at all. NULL is the empty text. @what names the field. */
void domain_read_text(struct domain_reader *r, const char *what, const char *text, char *to,
                      size_t bytes);
void domain_read_attribute(struct domain_reader *r, xmlNode *node, const char *name,
                           const char *what, char *to, size_t bytes);

#define READ_ATTRIBUTE(r, node, name, what, field) \
	domain_read_attribute(r, node, name, what, field, sizeof(field))

void domain_read_content(struct domain_reader *r, xmlNode *node, const char *what, char *to,
                         size_t bytes);

/* Keeps the first problem. */
void domain_reject(struct domain_reader *r, int result);

/* A number and nothing else but blanks; false also for NULL. */
bool domain_parse_number(const char *text, uint64_t *ret);

/* An amount in bytes, with the attribute "unit" of the same node; none is KiB, as in libvirt's own
 * output. */
uint64_t domain_read_amount(struct domain_reader *r, xmlNode *node, const char *what,
                            const char *text);

/* ---- the parts of a domain, each in a file of its own ---- */

/* Firmware, TPM, NUMA bindings, TSC, guest agent. */
void domain_read_needs(struct domain_reader *r, xmlNode *root);

/* Replaces the addresses and paths that the domain names. From the migratable text: the live one has
 * those that libvirt makes up for each start besides. */
void domain_read_places(struct domain_reader *r, xmlNode *root);

/* Appends the disks of @devices and the images they are built on. */
void domain_read_disks(struct domain_reader *r, xmlNode *devices);
