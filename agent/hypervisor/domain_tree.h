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

/* Appends the disks of @devices and the images they are built on. */
void domain_read_disks(struct domain_reader *r, xmlNode *devices);
