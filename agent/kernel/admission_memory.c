/* SPDX-License-Identifier: Apache-2.0 */
/* Admission's arithmetic: are the guest's numbers numbers, and is there room for them. Pure.
 *
 * The maximum is what counts, never what a balloon left of it, and promises to others count as if
 * they were here. All sums are of values that were range-checked before.
 */
#include "agent/kernel/admission_internal.h"
#include "common/units.h"

#include <stdio.h>
#include <string.h>

uint64_t admission_memory_needed(const struct vm_description *vm)
{
	uint64_t memory = vm->summary.memory_bytes, overhead = vm->overhead_bytes;

	if (memory == 0 || memory > ADMISSION_MEMORY_MAX_BYTES ||
	    overhead > ADMISSION_MEMORY_MAX_BYTES)
		return 0;
	return memory + overhead;
}

void admission_judge_limits(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "limits");
	const struct vm_description *vm = in->vm;
	char memory[UNITS_TEXT_BYTES], most[UNITS_TEXT_BYTES];

	units_format_bytes(vm->summary.memory_bytes, memory);
	units_format_bytes(ADMISSION_MEMORY_MAX_BYTES, most);
	admission_measured(c, "%s RAM, %u vCPUs, %zu disks, %zu interfaces", memory,
	                   vm->summary.vcpus, vm->n_disks, vm->n_interfaces);
	admission_required(c, "at most %s, %d vCPUs, %d disks, %d interfaces", most,
	                   ADMISSION_VCPUS_MAX, VM_DISKS_MAX, VM_INTERFACES_MAX);

	if (vm->n_disks > VM_DISKS_MAX || vm->n_interfaces > VM_INTERFACES_MAX) {
		c->verdict = CHECK_BLOCK;
		admission_remedy(
			c, "remove disks or interfaces from the guest: drover checks %d and %d",
			VM_DISKS_MAX, VM_INTERFACES_MAX);
	} else if (!admission_memory_needed(vm) || vm->summary.vcpus == 0 ||
	           vm->summary.vcpus > ADMISSION_VCPUS_MAX) {
		admission_remedy(
			c, "the source described the guest wrongly: look at virsh dumpxml there, "
			   "and at both agents' versions");
	} else if (!vm->summary.uuid[0] || !vm->summary.name[0]) {
		admission_measured(c, "the guest came without %s",
		                   vm->summary.uuid[0] ? "a name" : "a UUID");
		admission_remedy(c, "look at both agents' versions");
	} else {
		c->verdict = CHECK_PASS;
	}
}

/* "212 MiB free: 1 GiB capacity - 64 MiB reserve - 3 guests 748 MiB", and with a ratio other than 1
 * "712 MiB free: (1 GiB capacity - 64 MiB reserve) x 1.50 - 3 guests 748 MiB". */
static void explain_memory(struct check *c, const struct memory_totals *m)
{
	char room[UNITS_TEXT_BYTES], capacity[UNITS_TEXT_BYTES], reserve[UNITS_TEXT_BYTES];
	char guests[UNITS_TEXT_BYTES], reserved[UNITS_TEXT_BYTES], tail[64] = "";
	char ratio[24] = "";
	bool multiplied = m->overcommit_percent && m->overcommit_percent != 100;

	if (m->n_reserved)
		snprintf(tail, sizeof(tail), " - %u reserved %s", m->n_reserved,
		         units_format_bytes(m->reserved_bytes, reserved));
	if (multiplied)
		snprintf(ratio, sizeof(ratio), ") x %u.%02u", m->overcommit_percent / 100,
		         m->overcommit_percent % 100);
	admission_measured(c, "%s free: %s%s capacity - %s reserve%s - %u %s %s%s",
	                   units_format_bytes(m->free_bytes, room), multiplied ? "(" : "",
	                   units_format_bytes(m->capacity_bytes, capacity),
	                   units_format_bytes(m->reserve_bytes, reserve), ratio, m->n_guests,
	                   m->n_guests == 1 ? "guest" : "guests",
	                   units_format_bytes(m->guests_bytes, guests), tail);
}

void admission_judge_memory(const struct admission_input *in, struct check_list *list)
{
	struct check *c = admission_add(list, "memory");
	uint64_t needed = admission_memory_needed(in->vm);
	char need[UNITS_TEXT_BYTES], ram[UNITS_TEXT_BYTES], overhead[UNITS_TEXT_BYTES];
	char text[UNITS_TEXT_BYTES];
	const struct memory_totals *m = &in->memory;

	admission_required(c, "%s: %s RAM + %s overhead", units_format_bytes(needed, need),
	                   units_format_bytes(in->vm->summary.memory_bytes, ram),
	                   units_format_bytes(in->vm->overhead_bytes, overhead));
	if (!needed) {
		admission_required(c, "a RAM size that makes sense");
		admission_not_measured(c, "see the check \"limits\"");
		return;
	}
	if (!m->guests_known) {
		admission_not_measured(c, "libvirt here does not say which guests run");
		return;
	}
	if (in->already_reserved) {
		admission_measured(c, "%s reserved for this attempt", need);
		c->verdict = CHECK_PASS;
		return;
	}
	if (in->memory_problem && in->memory_problem[0]) {
		admission_measured(c, "%.190s", in->memory_problem);
		admission_remedy(c, "no guest is taken until that is over; see memory/capacity and "
		                    "the log of this agent, or choose another node");
		return;
	}
	explain_memory(c, m);
	if (needed > m->free_bytes) {
		units_format_bytes(needed - m->free_bytes, text);
		if (m->n_reserved)
			admission_remedy(c,
			                 "%s short: wait for what is on its way here (%u), "
			                 "or choose another node",
			                 text, m->n_reserved);
		else
			admission_remedy(
				c,
				"%s short: move a guest away from here, choose another node, "
				"or lower memory/reserve of this agent",
				text);
		return;
	}
	c->verdict = CHECK_PASS;
	/* Promised by our own account, but the kernel says that something else has it. */
	if (in->available_bytes && in->available_bytes < needed) {
		c->verdict = CHECK_WARN;
		admission_remedy(
			c,
			"only %s available by /proc/meminfo: something besides guests uses "
			"memory here; raise memory/reserve",
			units_format_bytes(in->available_bytes, text));
	}
}

/* ---- huge pages and NUMA nodes ---- */

/* "0, 2" */
static void list_nodes(uint64_t nodes, char *to, size_t bytes)
{
	size_t used = 0;

	to[0] = '\0';
	for (uint32_t i = 0; i < HUGEPAGE_NODES_MAX && used < bytes; i++)
		if (nodes >> i & 1)
			used += (size_t)snprintf(to + used, bytes - used, "%s%u", used ? ", " : "",
			                         i);
}

/* "node0 512 MiB, node1 0 B" */
static void explain_nodes(const struct hugepage_finding *h, char *to, size_t bytes)
{
	char room[UNITS_TEXT_BYTES];
	size_t used = 0;

	to[0] = '\0';
	for (uint32_t i = 0; i < HUGEPAGE_NODES_MAX && used < bytes; i++)
		if (h->nodes >> i & 1)
			used += (size_t)snprintf(to + used, bytes - used, "%snode%u %s",
			                         used ? ", " : "", i,
			                         units_format_bytes(h->node_free_bytes[i], room));
}

static uint64_t count_free(const struct hugepage_finding *h, uint64_t nodes)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < HUGEPAGE_NODES_MAX; i++)
		if (nodes >> i & 1)
			bytes += h->node_free_bytes[i];
	return bytes;
}

/* What must come from @nodes: all that is bound to some of them and to no others. */
static uint64_t count_bound(const struct vm_description *vm, uint64_t nodes)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < vm->n_bindings && i < VM_BINDINGS_MAX; i++)
		if (!(vm->bindings[i].nodes & ~nodes))
			bytes += vm->bindings[i].bytes;
	return bytes;
}

static uint64_t subtract(uint64_t from, uint64_t amount)
{
	return from > amount ? from - amount : 0;
}

/* Pages that a process has mapped and not touched yet, or that are promised to a guest on its way: from
 * which node they will come is not known, so they count on each. */
static uint64_t count_held(const struct admission_input *in)
{
	uint64_t mapped_bytes = subtract(count_free(&in->hugepages, in->hugepages.nodes),
	                                 in->hugepages.free_bytes);

	return mapped_bytes + in->hugepages_promised_bytes;
}

/* @nodes hold what is bound to them. */
static bool judge_nodes(const struct admission_input *in, uint64_t nodes, struct check *c)
{
	char room[UNITS_TEXT_BYTES], need[UNITS_TEXT_BYTES], held[UNITS_TEXT_BYTES];
	char names[48], page[UNITS_TEXT_BYTES];
	uint64_t free_bytes = count_free(&in->hugepages, nodes);
	uint64_t bound_bytes = count_bound(in->vm, nodes);

	if (bound_bytes <= subtract(free_bytes, count_held(in)))
		return true;
	list_nodes(nodes, names, sizeof(names));
	units_format_bytes(in->vm->hugepage_bytes, page);
	admission_required(c, "%s in pages of %s on NUMA node %s",
	                   units_format_bytes(bound_bytes, need), page, names);
	admission_measured(c, "NUMA node %s has %s free in pages of %s; %s of all are promised",
	                   names, units_format_bytes(free_bytes, room), page,
	                   units_format_bytes(count_held(in), held));
	admission_remedy(c,
	                 "give that node more pages (/sys/devices/system/node/node*/hugepages), or "
	                 "do not bind the guest's RAM strictly");
	return false;
}

/* Each strict binding, and all of them together: two that share a node do not get it twice. */
static bool judge_bindings(const struct admission_input *in, struct check *c)
{
	const struct vm_description *vm = in->vm;
	uint64_t all = 0;

	for (size_t i = 0; i < vm->n_bindings && i < VM_BINDINGS_MAX; i++) {
		uint64_t missing = vm->bindings[i].nodes & ~in->hugepages.nodes;
		char names[48];

		if (missing) {
			list_nodes(missing, names, sizeof(names));
			admission_measured(c, "there is no NUMA node %s here", names);
			admission_remedy(c, "choose a node with as many NUMA nodes, or do not bind "
			                    "the guest's RAM strictly (<numatune>)");
			return false;
		}
		all |= vm->bindings[i].nodes;
	}
	if (!vm->hugepage_bytes)
		return true;
	for (size_t i = 0; i < vm->n_bindings && i < VM_BINDINGS_MAX; i++)
		if (!judge_nodes(in, vm->bindings[i].nodes, c))
			return false;
	return judge_nodes(in, all, c);
}

void admission_judge_hugepages(const struct admission_input *in, struct check_list *list)
{
	char page[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES], need[UNITS_TEXT_BYTES];
	char promised[UNITS_TEXT_BYTES], nodes[80];
	uint64_t ram = in->vm->summary.memory_bytes;
	struct check *c = admission_add(list, "hugepages");

	if (!in->vm->hugepage_bytes && !in->vm->n_bindings) {
		admission_measured(c, "the guest uses none");
		c->verdict = CHECK_PASS;
		return;
	}
	if (in->vm->hugepage_bytes)
		admission_required(c, "%s in pages of %s%s", units_format_bytes(ram, need),
		                   units_format_bytes(in->vm->hugepage_bytes, page),
		                   in->vm->n_bindings ? ", on certain NUMA nodes" : "");
	else
		admission_required(c, "the NUMA nodes that its RAM is bound to");
	if (in->already_reserved) {
		admission_measured(c, "reserved for this attempt");
		c->verdict = CHECK_PASS;
		return;
	}
	if (!in->hugepages.measured) {
		admission_not_measured(c, "");
		return;
	}
	if (!judge_bindings(in, c))
		return;
	if (!in->vm->hugepage_bytes) {
		admission_measured(c, "they are here; the guest uses no huge pages");
		c->verdict = CHECK_PASS;
		return;
	}
	explain_nodes(&in->hugepages, nodes, sizeof(nodes));
	admission_measured(c, "%s free in pages of %s (%s), %s of them promised",
	                   units_format_bytes(in->hugepages.free_bytes, room), page, nodes,
	                   units_format_bytes(in->hugepages_promised_bytes, promised));
	if (hugepages_get_room(in->hugepages.free_bytes, in->hugepages_promised_bytes) >= ram)
		c->verdict = CHECK_PASS;
	else
		admission_remedy(
			c,
			"give the pool more pages: /sys/kernel/mm/hugepages/hugepages-%llukB/"
			"nr_hugepages",
			(unsigned long long)(in->vm->hugepage_bytes / 1024));
}
