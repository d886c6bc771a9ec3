/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of nodes and guests. With -o name they are one name a line, in the form that every
 * command accepts. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/labels.h"
#include "tools/drover/text.h"

#include <string.h>

DEFINE_CLEANUP(struct table *, table_free);

#define NEW_TABLE(output, columns) table_new(output, columns, ARRAY_SIZE(columns))

static void print_name(const struct output *o, const char *kind, const char *name)
{
	_cleanup_free_ char *shown = text_escape(name, o->ascii);

	fprintf(o->file, "%s/%s\n", kind, shown);
}

static enum output_colour node_colour(const char *state)
{
	if (strcmp(state, "ready") == 0)
		return COLOUR_GREEN;
	if (strcmp(state, "unreachable") == 0 || strcmp(state, "fenced") == 0)
		return COLOUR_RED;
	return COLOUR_YELLOW;
}

enum node_column {
	NODE_NAME,
	NODE_STATE,
	NODE_VMS,
	NODE_MEM,
	NODE_USED,
	NODE_RESERVE,
	NODE_LINK,
	NODE_BY,
	NODE_MIGRATION_IN,
	NODE_MIGRATION_OUT,
	NODE_IN_OUT,
	NODE_PORTS,
	NODE_CPUS,
	NODE_ADDRESS,
	NODE_LIBVIRT,
	NODE_QEMU,
	NODE_AGENT,
	NODE_SEEN,
	NODE_LABELS,
	NODE_WHY,
	NODE_COLUMNS
};

static const struct column node_columns[NODE_COLUMNS] = {
	[NODE_NAME] = { "NAME" },
	[NODE_STATE] = { "STATE" },
	[NODE_VMS] = { "VMS", COLUMN_RIGHT },
	[NODE_MEM] = { "MEM", COLUMN_RIGHT },
	[NODE_USED] = { "%", COLUMN_RIGHT },
	[NODE_RESERVE] = { "RESERVE", COLUMN_RIGHT | COLUMN_WIDE },
	[NODE_LINK] = { "LINK", COLUMN_RIGHT },
	[NODE_BY] = { "BY" },
	[NODE_MIGRATION_IN] = { "MIGR-IN", COLUMN_RIGHT | COLUMN_WIDE },
	[NODE_MIGRATION_OUT] = { "MIGR-OUT", COLUMN_RIGHT | COLUMN_WIDE },
	[NODE_IN_OUT] = { "IN/OUT", COLUMN_RIGHT },
	[NODE_PORTS] = { "PORTS", COLUMN_RIGHT | COLUMN_WIDE },
	[NODE_CPUS] = { "CPUS", COLUMN_RIGHT | COLUMN_WIDE },
	[NODE_ADDRESS] = { "ADDRESS", COLUMN_WIDE },
	[NODE_LIBVIRT] = { "LIBVIRT", COLUMN_WIDE },
	[NODE_QEMU] = { "QEMU", COLUMN_WIDE },
	[NODE_AGENT] = { "AGENT" },
	[NODE_SEEN] = { "SEEN", COLUMN_RIGHT },
	[NODE_LABELS] = { "LABELS", COLUMN_WIDE | COLUMN_WRAP },
	[NODE_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

/* What the agent said of its host; known only if it has reported. */
static void set_host(const struct output *o, struct table *t, const Drover__V1__HostState *host)
{
	uint64_t usable = host->memory_capacity_bytes > host->memory_reserve_bytes
	                          ? host->memory_capacity_bytes - host->memory_reserve_bytes
	                          : 0;
	uint64_t used = host->memory_guests_bytes + host->memory_reserved_bytes;
	char text[OUTPUT_TEXT_BYTES];

	table_set(t, NODE_MEM, "%s", output_bytes_of(o, used, usable, text));
	if (usable)
		table_set(t, NODE_USED, "%u", (unsigned)((double)used * 100 / (double)usable));
	table_set(t, NODE_RESERVE, "%s", output_bytes(o, host->memory_reserve_bytes, text));
	/* The migration interface is the first that an agent reports. */
	if (host->n_interfaces > 0) {
		const Drover__V1__InterfaceRate *link = host->interfaces[0];
		uint64_t rate = link->rx_bytes_per_s > link->tx_bytes_per_s ? link->rx_bytes_per_s
		                                                            : link->tx_bytes_per_s;

		table_set(t, NODE_LINK, "%s",
		          output_rate_of(o, rate, link->link_bytes_per_s, text));
		table_set(t, NODE_BY, "%s", link->source);
		table_set(t, NODE_MIGRATION_IN, "%s",
		          output_rate(o, link->migration_rx_bytes_per_s, text));
		table_set(t, NODE_MIGRATION_OUT, "%s",
		          output_rate(o, link->migration_tx_bytes_per_s, text));
	}
	table_set(t, NODE_PORTS, "%u/%u", host->ports_in_use, host->port_pool);
	if (host->cpus)
		table_set(t, NODE_CPUS, "%u", host->cpus);
	table_set(t, NODE_ADDRESS, "%s", host->migration_address);
	table_set(t, NODE_LIBVIRT, "%s", host->libvirt_version);
	table_set(t, NODE_QEMU, "%s", host->hypervisor_version);
	table_set(t, NODE_AGENT, "%s", host->agent_version);
}

static const char *join_labels(const Drover__V1__Node *node, char ret[LABELS_BYTES])
{
	size_t used = 0;

	ret[0] = 0;
	for (size_t i = 0; i < node->n_labels && used < LABELS_BYTES; i++)
		used += (size_t)snprintf(ret + used, LABELS_BYTES - used, "%s%s", i ? "," : "",
		                         node->labels[i]);
	return ret;
}

void nodes_print(const struct output *o, Drover__V1__Node *const *nodes, size_t n)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, node_columns);
	char text[OUTPUT_TEXT_BYTES], labels[LABELS_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Node *node = nodes[i];
		bool reachable = strcmp(node->state, "unreachable") != 0 &&
		                 strcmp(node->state, "fenced") != 0;

		if (o->format == OUTPUT_NAME) {
			print_name(o, "node", node->name);
			continue;
		}
		table_add_row(t);
		table_set(t, NODE_NAME, "%s", node->name);
		table_set(t, NODE_STATE, "%s", node->state);
		table_set_colour(t, NODE_STATE, node_colour(node->state));
		/* Old numbers of a host that is out of reach would look like today's. */
		if (node->host && node->known && reachable)
			set_host(o, t, node->host);
		else if (node->host)
			table_set(t, NODE_AGENT, "%s", node->host->agent_version);
		if (node->known && reachable)
			table_set(t, NODE_VMS, "%u", node->vms);
		table_set(t, NODE_IN_OUT, "%u/%u", node->migrations_in, node->migrations_out);
		if (node->known)
			table_set(t, NODE_SEEN, "%s", output_duration(o, node->last_seen_ms, text));
		else
			table_set(t, NODE_SEEN, "never");
		table_set(t, NODE_LABELS, "%s", join_labels(node, labels));
		if (*node->reason)
			table_set(t, NODE_WHY, "%s", node->reason);
		else if (node->host && !node->host->libvirt_connected)
			table_set(t, NODE_WHY, "libvirt: %s", node->host->libvirt_problem);
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}

enum vm_column {
	VM_NAME,
	VM_NODE,
	VM_STATE,
	VM_VCPU,
	VM_MEM,
	VM_OVERHEAD,
	VM_NET_IN,
	VM_NET_OUT,
	VM_PERSISTENT,
	VM_AUTOSTART,
	VM_UUID,
	VM_MOVABLE,
	VM_POLICIES,
	VM_NOW,
	VM_WHY,
	VM_COLUMNS
};

static const struct column vm_columns[VM_COLUMNS] = {
	[VM_NAME] = { "NAME" },
	[VM_NODE] = { "NODE" },
	[VM_STATE] = { "STATE" },
	[VM_VCPU] = { "VCPU", COLUMN_RIGHT },
	[VM_MEM] = { "MEM", COLUMN_RIGHT },
	[VM_OVERHEAD] = { "OVERHEAD", COLUMN_RIGHT | COLUMN_WIDE },
	[VM_NET_IN] = { "NET IN", COLUMN_RIGHT | COLUMN_WIDE },
	[VM_NET_OUT] = { "NET OUT", COLUMN_RIGHT | COLUMN_WIDE },
	[VM_PERSISTENT] = { "PERSISTENT", COLUMN_WIDE },
	[VM_AUTOSTART] = { "AUTOSTART", COLUMN_WIDE },
	[VM_UUID] = { "UUID", COLUMN_WIDE },
	[VM_MOVABLE] = { "MOVABLE" },
	[VM_POLICIES] = { "POLICIES", COLUMN_OPTIONAL | COLUMN_WRAP },
	[VM_NOW] = { "NOW", COLUMN_OPTIONAL },
	[VM_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

/* The sum of its interfaces; one that is not known makes the sum unknown. */
static void set_vm_network(struct table *t, const struct output *o,
                           const Drover__V1__GuestTraffic *traffic)
{
	uint64_t rx = 0, tx = 0;
	char text[OUTPUT_TEXT_BYTES];
	bool known = traffic != NULL;

	for (size_t i = 0; traffic && i < traffic->n_interfaces; i++) {
		known = known && strcmp(traffic->interfaces[i]->source, "none") != 0;
		rx += traffic->interfaces[i]->rx_bytes_per_s;
		tx += traffic->interfaces[i]->tx_bytes_per_s;
	}
	if (!known || traffic->n_interfaces == 0) {
		table_set(t, VM_NET_IN, known ? "none" : "unknown");
		table_set(t, VM_NET_OUT, known ? "none" : "unknown");
		return;
	}
	table_set(t, VM_NET_IN, "%s", output_rate(o, rx, text));
	table_set(t, VM_NET_OUT, "%s", output_rate(o, tx, text));
}

static void set_vm_policies(struct table *t, const Drover__V1__Vm *vm)
{
	_cleanup_free_ char *names = xstrdup("");

	for (size_t i = 0; i < vm->n_policies; i++) {
		char *longer = xasprintf("%s%s%s", names, i ? ", " : "", vm->policies[i]);

		free(names);
		names = longer;
	}
	table_set(t, VM_POLICIES, "%s", names);
}

static void set_vm_now(struct table *t, const Drover__V1__Vm *vm)
{
	/* On its way a guest is listed at both ends, as it should be. */
	if (vm->migration_number) {
		table_set(t, VM_NOW, "migration/%llu", (unsigned long long)vm->migration_number);
	} else if (vm->n_seen_on > 1) {
		_cleanup_free_ char *nodes = xstrdup(vm->seen_on[0]);

		for (size_t i = 1; i < vm->n_seen_on; i++) {
			char *longer = xasprintf("%s and %s", nodes, vm->seen_on[i]);

			free(nodes);
			nodes = longer;
		}
		table_set(t, VM_NOW, "listed on %s", nodes);
		table_set_colour(t, VM_NOW, COLOUR_YELLOW);
	} else if (vm->state && vm->state->foreign_job) {
		table_set(t, VM_NOW, "a job that drover did not start");
		table_set_colour(t, VM_NOW, COLOUR_YELLOW);
	}
}

void vms_print(const struct output *o, Drover__V1__Vm *const *vms, size_t n)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, vm_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Vm *vm = vms[i];
		const Drover__V1__VmState *state = vm->state;

		if (o->format == OUTPUT_NAME) {
			print_name(o, "vm", vm->name);
			continue;
		}
		table_add_row(t);
		table_set(t, VM_NAME, "%s", vm->name);
		table_set(t, VM_NODE, "%s", vm->node);
		table_set(t, VM_UUID, "%s", vm->uuid);
		if (state) {
			table_set(t, VM_STATE, "%s", state->state);
			table_set(t, VM_VCPU, "%u", state->vcpus);
			table_set(t, VM_MEM, "%s", output_bytes(o, state->memory_bytes, text));
			table_set(t, VM_OVERHEAD, "%s",
			          output_bytes(o, state->overhead_bytes, text));
			set_vm_network(t, o, state->traffic);
			table_set(t, VM_PERSISTENT, "%s", state->persistent ? "yes" : "no");
			table_set(t, VM_AUTOSTART, "%s", state->autostart ? "yes" : "no");
		}
		table_set(t, VM_MOVABLE, "%s", vm->movable ? "yes" : "no");
		table_set_colour(t, VM_MOVABLE, vm->movable ? COLOUR_NONE : COLOUR_YELLOW);
		set_vm_policies(t, vm);
		set_vm_now(t, vm);
		table_set(t, VM_WHY, "%s", vm->why_not);
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}
