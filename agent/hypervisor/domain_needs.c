/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_tree.h. What a guest needs of its host besides disks, interfaces and a CPU: the firmware
 * it starts with, a TPM, NUMA nodes that its RAM must come from, a TSC of a certain speed; and whether
 * its guest agent answers. Pure. */
#include "agent/hypervisor/domain_blockers.h"
#include "agent/hypervisor/domain_tree.h"
#include "agent/kernel/reasons.h"
#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

/* ---- firmware ---- */

static void read_nvram(struct domain_reader *r, xmlNode *nvram)
{
	struct vm_firmware *f = &r->d->firmware;

	READ_ATTRIBUTE(r, nvram, "template", "the NVRAM template's path", f->nvram_template);
	/* Newer texts have it as a disk has its source; one on a network is on no host. */
	if (domain_tree_find(nvram, "source"))
		READ_ATTRIBUTE(r, domain_tree_find(nvram, "source"), "file", "the NVRAM's path",
		               f->nvram);
	else
		domain_read_content(r, nvram, "the NVRAM's path", f->nvram, sizeof(f->nvram));
}

static void read_firmware(struct domain_reader *r, xmlNode *root)
{
	struct vm_firmware *f = &r->d->firmware;
	xmlNode *os = domain_tree_find(root, "os");
	xmlNode *loader = domain_tree_find(os, "loader");
	xmlNode *tpm = domain_tree_find(domain_tree_find(root, "devices"), "tpm");

	domain_read_content(r, loader, "the firmware's path", f->loader, sizeof(f->loader));
	f->secure_boot = domain_tree_attribute_is(loader, "secure", "yes");
	read_nvram(r, domain_tree_find(os, "nvram"));
	READ_ATTRIBUTE(r, domain_tree_find(tpm, "backend"), "type", "the TPM's backend", f->tpm);
}

/* ---- NUMA ---- */

/* "0-3,^2,5" as bits; false for what is none, and for nodes over 63. */
static bool parse_nodes(const char *text, uint64_t *ret)
{
	uint64_t nodes = 0;

	while (*text) {
		bool without = *text == '^';
		unsigned long first, last;
		char *end;

		text += without;
		if (*text < '0' || *text > '9')
			return false;
		first = last = strtoul(text, &end, 10);
		if (*end == '-') {
			if (end[1] < '0' || end[1] > '9')
				return false;
			last = strtoul(end + 1, &end, 10);
		}
		if (first > last || last > 63 || (*end && *end != ','))
			return false;
		for (unsigned long node = first; node <= last; node++)
			nodes = without ? nodes & ~(UINT64_C(1) << node)
			                : nodes | UINT64_C(1) << node;
		text = *end ? end + 1 : end;
	}
	*ret = nodes;
	return nodes != 0;
}

static void bind_memory(struct domain_reader *r, xmlNode *node, uint64_t bytes)
{
	_cleanup_xml_ xmlChar *text = domain_tree_attribute(node, "nodeset");
	struct vm_description *d = r->d;
	struct vm_binding binding = { .bytes = bytes };

	if (!text || !bytes)
		return; /* numad chooses; or nothing is left for it */
	if (d->n_bindings < VM_BINDINGS_MAX && parse_nodes((const char *)text, &binding.nodes)) {
		d->bindings[d->n_bindings++] = binding;
		return;
	}
	domain_blockers_add(
		&d->blockers, CHECK_BLOCK, "numa", REASON_NOT_MIGRATABLE,
		"bind it to fewer nodes, or let mode be 'preferred'",
		"memory bound to nodes \"%.40s\": only %d bindings to nodes 0-63 can be "
		"checked",
		(const char *)text, VM_BINDINGS_MAX);
}

/* The RAM of the guest's cell @id; 0 = it has none of that number. */
static uint64_t read_cell(struct domain_reader *r, xmlNode *root, const xmlChar *id)
{
	DOMAIN_TREE_FOREACH(cell, domain_tree_find(domain_tree_find(root, "cpu"), "numa"), "cell")
	{
		_cleanup_xml_ xmlChar *memory = domain_tree_attribute(cell, "memory");

		if (id && domain_tree_attribute_is(cell, "id", (const char *)id))
			return domain_read_amount(r, cell, "a NUMA cell's memory",
			                          (const char *)memory);
	}
	return 0;
}

/* A cell of its own <memnode> is ruled by that, the rest by <memory>. */
static void read_bindings(struct domain_reader *r, xmlNode *root)
{
	xmlNode *numatune = domain_tree_find(root, "numatune");
	xmlNode *memory = domain_tree_find(numatune, "memory");
	uint64_t rest_bytes = r->d->summary.memory_bytes;

	DOMAIN_TREE_FOREACH(memnode, numatune, "memnode")
	{
		_cleanup_xml_ xmlChar *id = domain_tree_attribute(memnode, "cellid");
		uint64_t bytes = read_cell(r, root, id);

		rest_bytes -= bytes < rest_bytes ? bytes : rest_bytes;
		if (domain_tree_attribute_is(memnode, "mode", "strict"))
			bind_memory(r, memnode, bytes);
	}
	/* Without a mode it is strict: libvirt's default. */
	if (memory && (!xmlHasProp(memory, (const xmlChar *)"mode") ||
	               domain_tree_attribute_is(memory, "mode", "strict")))
		bind_memory(r, memory, rest_bytes);
}

/* ---- TSC and guest agent ---- */

static void read_tsc(struct domain_reader *r, xmlNode *root)
{
	DOMAIN_TREE_FOREACH(timer, domain_tree_find(root, "clock"), "timer")
	{
		_cleanup_xml_ xmlChar *frequency = domain_tree_attribute(timer, "frequency");

		if (!frequency || !domain_tree_attribute_is(timer, "name", "tsc"))
			continue;
		if (!domain_parse_number((const char *)frequency, &r->d->tsc_hz))
			domain_reject(r, error_set(r->err, ERROR_INVALID,
			                           "the TSC's frequency is \"%.32s\", not a number",
			                           (const char *)frequency));
	}
}

static void read_agent_channel(struct domain_reader *r, xmlNode *devices)
{
	DOMAIN_TREE_FOREACH(channel, devices, "channel")
	{
		xmlNode *target = domain_tree_find(channel, "target");

		if (domain_tree_attribute_is(target, "name", "org.qemu.guest_agent.0"))
			r->d->agent_channel = domain_tree_attribute_is(target, "state", "connected")
			                              ? VM_AGENT_CONNECTED
			                              : VM_AGENT_DISCONNECTED;
	}
}

void domain_read_needs(struct domain_reader *r, xmlNode *root)
{
	read_firmware(r, root);
	read_bindings(r, root);
	read_tsc(r, root);
	read_agent_channel(r, domain_tree_find(root, "devices"));
}
