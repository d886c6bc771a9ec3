/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_xml.h. The disks of a domain: each with what two hosts can compare to see that it is the
 * same, and with the images that its own is built on. Pure. */
#include "agent/hypervisor/domain_blockers.h"
#include "agent/hypervisor/domain_tree.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <stdio.h>
#include <string.h>

/* A chain of images deeper than this is somebody's mistake; QEMU opens them all. */
#define BACKING_DEPTH_MAX 8

/* "rbd://mon1:6789,mon2/pool/image": what two hosts compare to see that it is the same. */
static void read_network_source(struct domain_reader *r, xmlNode *source, struct vm_disk *disk)
{
	_cleanup_xml_ xmlChar *protocol = domain_tree_attribute(source, "protocol");
	_cleanup_xml_ xmlChar *name = domain_tree_attribute(source, "name");
	_cleanup_free_ char *uri = xasprintf("%s://",
	                                     protocol ? (const char *)protocol : "unknown");
	const char *separator = "";
	char *longer;

	DOMAIN_TREE_FOREACH(host, source, "host")
	{
		_cleanup_xml_ xmlChar *address = domain_tree_attribute(host, "name");
		_cleanup_xml_ xmlChar *port = domain_tree_attribute(host, "port");
		_cleanup_xml_ xmlChar *socket = domain_tree_attribute(host, "socket");

		longer = xasprintf("%s%s%s%s%s", uri, separator,
		                   address ? (char *)address : (socket ? (char *)socket : ""),
		                   port ? ":" : "", port ? (char *)port : "");
		free(uri);
		uri = longer;
		separator = ",";
		/* A guest's XML may hold any number of hosts; its field does not. */
		if (strlen(uri) >= VM_PATH_BYTES)
			break;
	}
	longer = xasprintf("%s/%s", uri, name ? (char *)name : "");
	free(uri);
	uri = longer;
	domain_read_text(r, "a network disk's URI", uri, disk->source, sizeof(disk->source));
}

static void read_source(struct domain_reader *r, xmlNode *source, struct vm_disk *disk)
{
	static const char *const attributes[] = { "file", "dev", "dir", "path" };

	if (!source) {
		snprintf(disk->type, sizeof(disk->type), "none");
		return;
	}
	if (!strcmp(disk->type, "network")) {
		read_network_source(r, source, disk);
		return;
	}
	if (!strcmp(disk->type, "volume")) {
		_cleanup_xml_ xmlChar *pool = domain_tree_attribute(source, "pool");
		_cleanup_xml_ xmlChar *volume = domain_tree_attribute(source, "volume");
		_cleanup_free_ char *name = xasprintf("%s/%s", pool ? (char *)pool : "",
		                                      volume ? (char *)volume : "");

		domain_read_text(r, "a disk's volume", name, disk->source, sizeof(disk->source));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(attributes) && !disk->source[0]; i++)
		READ_ATTRIBUTE(r, source, attributes[i], "a disk's path", disk->source);
	if (!disk->source[0])
		snprintf(disk->type, sizeof(disk->type), "none");
}

/* The next free disk, or NULL when the table is full, which blocks the guest. */
static struct vm_disk *add_disk(struct vm_description *d)
{
	if (d->n_disks < VM_DISKS_MAX)
		return &d->disks[d->n_disks++];
	domain_blockers_add(&d->blockers, CHECK_BLOCK, "disks", REASON_DISKS,
	                    "use fewer disks or shorter image chains",
	                    "more than %d disks and backing images: not all can be checked",
	                    VM_DISKS_MAX);
	return NULL;
}

static void read_backing_chain(struct domain_reader *r, xmlNode *node, const char *target)
{
	for (int depth = 1; (node = domain_tree_find(node, "backingStore")) && node->children;
	     depth++) {
		struct vm_disk *disk = depth <= BACKING_DEPTH_MAX ? add_disk(r->d) : NULL;
		_cleanup_free_ char *name = NULL;

		if (!disk) {
			if (depth > BACKING_DEPTH_MAX)
				domain_blockers_add(&r->d->blockers, CHECK_BLOCK, "disks",
				                    REASON_DISKS,
				                    "commit or pull the images of the chain",
				                    "disk %s has more than %d backing images",
				                    target, BACKING_DEPTH_MAX);
			return;
		}
		name = xasprintf("%s[%d]", target, depth);
		domain_read_text(r, "a disk's target", name, disk->target, sizeof(disk->target));
		snprintf(disk->device, sizeof(disk->device), "disk");
		disk->read_only = true;
		READ_ATTRIBUTE(r, node, "type", "a disk's type", disk->type);
		READ_ATTRIBUTE(r, domain_tree_find(node, "format"), "type", "an image's format",
		               disk->format);
		read_source(r, domain_tree_find(node, "source"), disk);
	}
}

void domain_read_disks(struct domain_reader *r, xmlNode *devices)
{
	DOMAIN_TREE_FOREACH(node, devices, "disk")
	{
		struct vm_disk *disk = add_disk(r->d);

		if (!disk)
			return;
		READ_ATTRIBUTE(r, node, "type", "a disk's type", disk->type);
		READ_ATTRIBUTE(r, node, "device", "a disk's device", disk->device);
		if (!disk->device[0])
			snprintf(disk->device, sizeof(disk->device), "disk");
		READ_ATTRIBUTE(r, domain_tree_find(node, "target"), "dev", "a disk's target",
		               disk->target);
		READ_ATTRIBUTE(r, domain_tree_find(node, "driver"), "type", "an image's format",
		               disk->format);
		disk->read_only = domain_tree_find(node, "readonly");
		disk->shareable = domain_tree_find(node, "shareable");
		read_source(r, domain_tree_find(node, "source"), disk);
		read_backing_chain(r, node, disk->target);
	}
}
