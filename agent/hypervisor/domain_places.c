/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_tree.h. Addresses that a guest's graphics and serial lines listen at, files and devices
 * that they are tied to, a kernel that QEMU loads: it does not start at a destination that lacks one.
 * Pure.
 *
 * A wildcard or loopback address is everywhere and not listed. */
#include "agent/hypervisor/domain_blockers.h"
#include "agent/hypervisor/domain_tree.h"
#include "agent/kernel/reasons.h"
#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

static void add_place(struct domain_reader *r, const char *name, enum vm_place_kind kind,
                      const char *where)
{
	struct vm_description *d = r->d;
	struct vm_place *place;

	if (!where || !where[0])
		return;
	for (size_t i = 0; i < d->n_places; i++)
		if (d->places[i].kind == kind && !strcmp(d->places[i].where, where))
			return; /* a console is the first serial line once more */
	if (d->n_places == VM_PLACES_MAX) {
		domain_blockers_add(&d->blockers, CHECK_WARN, "places", REASON_NONE,
		                    "look by hand whether the destination has it",
		                    "more than %d addresses and paths of the host: %.80s is not "
		                    "checked",
		                    VM_PLACES_MAX, where);
		return;
	}
	place = &d->places[d->n_places++];
	place->kind = kind;
	snprintf(place->name, sizeof(place->name), "%.31s", name);
	domain_read_text(r, "an address or path of the host", where, place->where,
	                 sizeof(place->where));
}

static void add_address(struct domain_reader *r, const char *name, const char *address)
{
	static const char *const everywhere[] = { "0.0.0.0", "::", "127.0.0.1", "::1",
		                                  "localhost" };

	for (size_t i = 0; address && i < ARRAY_SIZE(everywhere); i++)
		if (!strcmp(address, everywhere[i]))
			return;
	add_place(r, name, VM_PLACE_ADDRESS, address);
}

static void add_directory(struct domain_reader *r, const char *name, char *path)
{
	char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return;
	slash[slash == path] = '\0';
	add_place(r, name, VM_PLACE_DIRECTORY, path);
}

/* ---- graphics ---- */

static void read_graphics(struct domain_reader *r, xmlNode *devices)
{
	DOMAIN_TREE_FOREACH(graphics, devices, "graphics")
	{
		_cleanup_xml_ xmlChar *type = domain_tree_attribute(graphics, "type");
		_cleanup_xml_ xmlChar *old = domain_tree_attribute(graphics, "listen");
		char name[32];

		snprintf(name, sizeof(name), "graphics/%.20s", type ? (char *)type : "?");
		/* The address of a libvirt network is looked up anew by each host. */
		if (!domain_tree_find(graphics, "listen"))
			add_address(r, name, (const char *)old);
		DOMAIN_TREE_FOREACH(listen, graphics, "listen")
		{
			_cleanup_xml_ xmlChar *address = domain_tree_attribute(listen, "address");
			_cleanup_xml_ xmlChar *socket = domain_tree_attribute(listen, "socket");

			if (domain_tree_attribute_is(listen, "type", "address"))
				add_address(r, name, (const char *)address);
			else if (domain_tree_attribute_is(listen, "type", "socket"))
				add_directory(r, name, (char *)socket);
		}
	}
}

/* ---- serial lines and their like ---- */

static void read_line(struct domain_reader *r, xmlNode *node, const char *name)
{
	_cleanup_xml_ xmlChar *log = domain_tree_attribute(domain_tree_find(node, "log"), "file");
	_cleanup_xml_ xmlChar *type = domain_tree_attribute(node, "type");

	add_directory(r, name, (char *)log);
	DOMAIN_TREE_FOREACH(source, node, "source")
	{
		_cleanup_xml_ xmlChar *path = domain_tree_attribute(source, "path");
		_cleanup_xml_ xmlChar *host = domain_tree_attribute(source, "host");
		bool bound = domain_tree_attribute_is(source, "mode", "bind");

		if (xmlStrEqual(type, (const xmlChar *)"file") ||
		    (xmlStrEqual(type, (const xmlChar *)"unix") && bound))
			add_directory(r, name, (char *)path);
		else if (xmlStrEqual(type, (const xmlChar *)"dev") ||
		         xmlStrEqual(type, (const xmlChar *)"pipe") ||
		         xmlStrEqual(type, (const xmlChar *)"unix"))
			add_place(r, name, VM_PLACE_PATH, (const char *)path);
		else if (bound) /* tcp, udp */
			add_address(r, name, (const char *)host);
	}
}

/* ---- what it boots from, if QEMU loads that itself ---- */

static void read_boot(struct domain_reader *r, xmlNode *os)
{
	static const char *const files[] = { "kernel", "initrd", "dtb" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		xmlNode *node = domain_tree_find(os, files[i]);
		_cleanup_xml_ xmlChar *path = node ? xmlNodeGetContent(node) : NULL;
		char name[32];

		snprintf(name, sizeof(name), "os/%s", files[i]);
		add_place(r, name, VM_PLACE_PATH, (const char *)path);
	}
}

void domain_read_places(struct domain_reader *r, xmlNode *root)
{
	static const char *const lines[] = { "serial", "parallel", "console", "channel" };
	xmlNode *devices = domain_tree_find(root, "devices");

	r->d->n_places = 0;
	read_boot(r, domain_tree_find(root, "os"));
	read_graphics(r, devices);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		unsigned int number = 0;

		DOMAIN_TREE_FOREACH(node, devices, lines[i])
		{
			char name[32];

			snprintf(name, sizeof(name), "%s/%u", lines[i], number++);
			read_line(r, node, name);
		}
	}
}
