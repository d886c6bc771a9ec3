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

/* "node0 512 MiB, node1 0 B" */
static void explain_nodes(const struct hugepage_finding *h, char *to, size_t bytes)
{
	char room[UNITS_TEXT_BYTES];
	size_t used = 0;

	to[0] = '\0';
	for (uint32_t i = 0; i < h->n_nodes && i < HUGEPAGE_NODES_MAX && used < bytes; i++)
		used += (size_t)snprintf(to + used, bytes - used, "%snode%u %s", i ? ", " : "", i,
		                         units_format_bytes(h->node_free_bytes[i], room));
}

void admission_judge_hugepages(const struct admission_input *in, struct check_list *list)
{
	char page[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES], need[UNITS_TEXT_BYTES];
	char promised[UNITS_TEXT_BYTES], nodes[80];
	uint64_t ram = in->vm->summary.memory_bytes, free_bytes = in->hugepages.free_bytes;
	struct check *c = admission_add(list, "hugepages");

	if (!in->vm->hugepage_bytes) {
		admission_measured(c, "the guest uses none");
		c->verdict = CHECK_PASS;
		return;
	}
	admission_required(c, "%s in pages of %s", units_format_bytes(ram, need),
	                   units_format_bytes(in->vm->hugepage_bytes, page));
	if (in->already_reserved) {
		admission_measured(c, "reserved for this attempt");
		c->verdict = CHECK_PASS;
		return;
	}
	if (!in->hugepages.measured) {
		admission_not_measured(c, "");
		return;
	}
	free_bytes -= free_bytes < in->hugepages_promised_bytes ? free_bytes
	                                                        : in->hugepages_promised_bytes;
	explain_nodes(&in->hugepages, nodes, sizeof(nodes));
	admission_measured(c, "%s free in pages of %s (%s), %s of them promised",
	                   units_format_bytes(in->hugepages.free_bytes, room), page, nodes,
	                   units_format_bytes(in->hugepages_promised_bytes, promised));
	if (free_bytes >= ram)
		c->verdict = CHECK_PASS;
	else
		admission_remedy(
			c,
			"give the pool more pages: /sys/kernel/mm/hugepages/hugepages-%llukB/"
			"nr_hugepages",
			(unsigned long long)(in->vm->hugepage_bytes / 1024));
}
