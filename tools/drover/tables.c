/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of nodes, vms, migrations, drains and events. With -o name they are one name a line,
 * in the form that every command accepts. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
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
	if (strcmp(state, "unreachable") == 0)
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
	table_set(t, NODE_CPUS, "%u", host->cpus);
	table_set(t, NODE_ADDRESS, "%s", host->migration_address);
	table_set(t, NODE_LIBVIRT, "%s", host->libvirt_version);
	table_set(t, NODE_QEMU, "%s", host->hypervisor_version);
	table_set(t, NODE_AGENT, "%s", host->agent_version);
}

void nodes_print(const struct output *o, Drover__V1__Node *const *nodes, size_t n)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, node_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Node *node = nodes[i];
		bool reachable = strcmp(node->state, "unreachable") != 0;

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
	VM_PERSISTENT,
	VM_AUTOSTART,
	VM_UUID,
	VM_MOVABLE,
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
	[VM_PERSISTENT] = { "PERSISTENT", COLUMN_WIDE },
	[VM_AUTOSTART] = { "AUTOSTART", COLUMN_WIDE },
	[VM_UUID] = { "UUID", COLUMN_WIDE },
	[VM_MOVABLE] = { "MOVABLE" },
	[VM_NOW] = { "NOW", COLUMN_OPTIONAL },
	[VM_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

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
			table_set(t, VM_PERSISTENT, "%s", state->persistent ? "yes" : "no");
			table_set(t, VM_AUTOSTART, "%s", state->autostart ? "yes" : "no");
		}
		table_set(t, VM_MOVABLE, "%s", vm->movable ? "yes" : "no");
		table_set_colour(t, VM_MOVABLE, vm->movable ? COLOUR_NONE : COLOUR_YELLOW);
		set_vm_now(t, vm);
		table_set(t, VM_WHY, "%s", vm->why_not);
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}

enum migration_column {
	MIGRATION_ID,
	MIGRATION_VM,
	MIGRATION_FROM,
	MIGRATION_TO,
	MIGRATION_PHASE,
	MIGRATION_STATE,
	MIGRATION_PROGRESS,
	MIGRATION_RATE,
	MIGRATION_DIRTY,
	MIGRATION_ELAPSED,
	MIGRATION_DOWNTIME,
	MIGRATION_SENT,
	MIGRATION_WIRE,
	MIGRATION_GUARD,
	MIGRATION_ATTEMPT,
	MIGRATION_STARTED,
	MIGRATION_WHY,
	MIGRATION_COLUMNS
};

static const struct column migration_columns[MIGRATION_COLUMNS] = {
	[MIGRATION_ID] = { "ID", COLUMN_RIGHT },
	[MIGRATION_VM] = { "VM" },
	[MIGRATION_FROM] = { "FROM" },
	[MIGRATION_TO] = { "TO" },
	[MIGRATION_PHASE] = { "PHASE" },
	[MIGRATION_STATE] = { "STATE", COLUMN_WIDE },
	[MIGRATION_PROGRESS] = { "PROGRESS", COLUMN_RIGHT },
	[MIGRATION_RATE] = { "RATE", COLUMN_RIGHT },
	[MIGRATION_DIRTY] = { "DIRTY", COLUMN_RIGHT },
	[MIGRATION_ELAPSED] = { "ELAPSED", COLUMN_RIGHT },
	[MIGRATION_DOWNTIME] = { "DOWNTIME", COLUMN_RIGHT },
	[MIGRATION_SENT] = { "SENT", COLUMN_RIGHT | COLUMN_WIDE },
	[MIGRATION_WIRE] = { "ON-WIRE", COLUMN_RIGHT | COLUMN_WIDE },
	[MIGRATION_GUARD] = { "GUARD", COLUMN_WIDE },
	[MIGRATION_ATTEMPT] = { "ATTEMPT", COLUMN_RIGHT | COLUMN_WIDE },
	[MIGRATION_STARTED] = { "ASKED", COLUMN_WIDE },
	[MIGRATION_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

static enum output_colour migration_colour(Drover__V1__MigrationState state)
{
	switch (state) {
	case DROVER__V1__MIGRATION_STATE__DONE:
		return COLOUR_GREEN;
	case DROVER__V1__MIGRATION_STATE__FAILED:
	case DROVER__V1__MIGRATION_STATE__UNRESOLVED:
		return COLOUR_RED;
	case DROVER__V1__MIGRATION_STATE__CANCELLED:
		return COLOUR_YELLOW;
	default:
		return COLOUR_NONE;
	}
}

static void set_report(const struct output *o, struct table *t, const Drover__V1__Migration *m)
{
	const Drover__V1__AttemptReport *report = m->report;
	const Drover__V1__Progress *progress = report->progress;
	bool done = m->state == DROVER__V1__MIGRATION_STATE__DONE;
	char text[OUTPUT_TEXT_BYTES];

	/* Nothing was measured yet: that is not the same as zero. */
	if (progress && !progress->elapsed_ms && !progress->memory_processed_bytes)
		progress = NULL;
	if (done)
		table_set(t, MIGRATION_PROGRESS, "100%%");
	else if (progress && !migration_is_over(m))
		table_set(t, MIGRATION_PROGRESS, "%u%%", progress->percent);
	if (done && report->duration_ms)
		table_set(t, MIGRATION_RATE, "%s",
		          output_rate(o, report->transferred_bytes * 1000 / report->duration_ms,
		                      text));
	else if (progress)
		table_set(t, MIGRATION_RATE, "%s",
		          output_rate(o, progress->transfer_bytes_per_s, text));
	if (progress)
		table_set(t, MIGRATION_DIRTY, "%s",
		          output_rate(o, progress->dirty_bytes_per_s, text));
	if (migration_is_over(m))
		table_set(t, MIGRATION_ELAPSED, "%s", output_clock(o, report->duration_ms, text));
	else if (progress)
		table_set(t, MIGRATION_ELAPSED, "%s", output_clock(o, progress->elapsed_ms, text));
	if (done) {
		table_set(t, MIGRATION_DOWNTIME, "%s",
		          output_duration(o, report->downtime_ms, text));
		table_set(t, MIGRATION_SENT, "%s",
		          output_bytes(o, report->transferred_bytes, text));
	}
	if (report->wire_bytes)
		table_set(t, MIGRATION_WIRE, "%s", output_bytes(o, report->wire_bytes, text));
	if (report->n_checks)
		table_set(t, MIGRATION_GUARD, "%s", guard_name(report->guard));
}

void migrations_print(const struct output *o, Drover__V1__Migration *const *migrations, size_t n,
                      uint64_t now_wall_ms)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, migration_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Migration *m = migrations[i];
		_cleanup_free_ char *drain = m->drain_number
		                                     ? xasprintf(
							       "drain/%llu",
							       (unsigned long long)m->drain_number)
		                                     : xstrdup("");

		if (o->format == OUTPUT_NAME) {
			fprintf(o->file, "migration/%llu\n", (unsigned long long)m->number);
			continue;
		}
		table_add_row(t);
		table_set(t, MIGRATION_ID, "%llu", (unsigned long long)m->number);
		table_set(t, MIGRATION_VM, "%s", m->vm_name);
		table_set(t, MIGRATION_FROM, "%s", m->source);
		table_set(t, MIGRATION_TO, "%s", m->target);
		table_set(t, MIGRATION_PHASE, "%s", migration_phase(m));
		table_set_colour(t, MIGRATION_PHASE, migration_colour(m->state));
		table_set(t, MIGRATION_STATE, "%s", migration_state_name(m->state));
		if (m->attempt_number)
			table_set(t, MIGRATION_ATTEMPT, "%u", m->attempt_number);
		table_set(t, MIGRATION_STARTED, "%s",
		          output_when(o, m->created_wall_ms, now_wall_ms, text));
		if (m->report)
			set_report(o, t, m);
		table_set(t, MIGRATION_WHY, "%s%s%s%s", drain, *drain && *m->reason ? "  " : "",
		          m->reason,
		          m->cancel_requested && !migration_is_over(m) ? "  (cancelling)" : "");
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}

enum drain_column {
	DRAIN_ID,
	DRAIN_NODE,
	DRAIN_STATE,
	DRAIN_VMS,
	DRAIN_DATA,
	DRAIN_ELAPSED,
	DRAIN_LEFT,
	DRAIN_PARALLEL,
	DRAIN_STARTED,
	DRAIN_WHY,
	DRAIN_COLUMNS
};

static const struct column drain_columns[DRAIN_COLUMNS] = {
	[DRAIN_ID] = { "ID", COLUMN_RIGHT },
	[DRAIN_NODE] = { "NODE" },
	[DRAIN_STATE] = { "STATE" },
	[DRAIN_VMS] = { "MOVED", COLUMN_RIGHT },
	[DRAIN_DATA] = { "MEMORY", COLUMN_RIGHT },
	[DRAIN_ELAPSED] = { "ELAPSED", COLUMN_RIGHT },
	[DRAIN_LEFT] = { "LEFT", COLUMN_RIGHT },
	[DRAIN_PARALLEL] = { "PARALLEL", COLUMN_RIGHT | COLUMN_WIDE },
	[DRAIN_STARTED] = { "STARTED" },
	[DRAIN_WHY] = { "WHY", COLUMN_OPTIONAL | COLUMN_WRAP },
};

static enum output_colour drain_colour(const char *state)
{
	if (strcmp(state, "completed") == 0)
		return COLOUR_GREEN;
	if (strcmp(state, "blocked") == 0)
		return COLOUR_RED;
	if (strcmp(state, "partly") == 0 || strcmp(state, "cancelled") == 0)
		return COLOUR_YELLOW;
	return COLOUR_NONE;
}

void drains_print(const struct output *o, Drover__V1__Drain *const *drains, size_t n,
                  uint64_t now_wall_ms)
{
	_cleanup_(table_freep) struct table *t = NEW_TABLE(o, drain_columns);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Drain *d = drains[i];
		struct drain_counts counts = drain_count(d);

		if (o->format == OUTPUT_NAME) {
			fprintf(o->file, "drain/%llu\n", (unsigned long long)d->number);
			continue;
		}
		table_add_row(t);
		table_set(t, DRAIN_ID, "%llu", (unsigned long long)d->number);
		table_set(t, DRAIN_NODE, "%s", d->node);
		table_set(t, DRAIN_STATE, "%s", d->state);
		table_set_colour(t, DRAIN_STATE, drain_colour(d->state));
		table_set(t, DRAIN_VMS, "%u/%u", counts.moved, counts.total);
		table_set(t, DRAIN_DATA, "%s",
		          output_bytes_of(o, d->bytes_done, d->bytes_total, text));
		table_set(t, DRAIN_ELAPSED, "%s", output_clock(o, d->elapsed_ms, text));
		if (d->eta_known && !drain_is_over(d)) {
			output_clock(o, d->eta_ms, text);
			table_set(t, DRAIN_LEFT, "%s%s%s",
			          o->exact ? "" : output_get_glyphs(o)->about, o->exact ? "" : " ",
			          text);
		}
		if (d->parallel)
			table_set(t, DRAIN_PARALLEL, "%u", d->parallel);
		table_set(t, DRAIN_STARTED, "%s",
		          output_when(o, d->created_wall_ms, now_wall_ms, text));
		table_set(t, DRAIN_WHY, "%s", d->reason);
	}
	if (o->format != OUTPUT_NAME)
		table_print(t);
}

/* Events are lines, not a table: when they are followed nobody knows the widths to come. */
void events_print(const struct output *o, Drover__V1__Event *const *events, size_t n, bool headers)
{
	if (headers && o->headers)
		fprintf(o->file, "%-20s  %-8s  %-16s  %s\n", "TIME", "SEVERITY", "SUBJECT", "TEXT");
	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Event *e = events[i];
		_cleanup_free_ char *severity = text_escape(e->severity, o->ascii);
		_cleanup_free_ char *subject = text_escape(e->subject, o->ascii);
		_cleanup_free_ char *words = text_escape(e->text, o->ascii);
		enum output_colour colour = strcmp(e->severity, "alarm") == 0     ? COLOUR_RED
		                            : strcmp(e->severity, "warning") == 0 ? COLOUR_YELLOW
		                                                                  : COLOUR_NONE;
		char when[CLOCK_TEXT_BYTES];

		fprintf(o->file, "%s  %s%-8s%s  %-16s  %s\n", clock_format_wall(e->wall_ms, when),
		        output_get_colour(o, colour), severity, output_get_colour(o, COLOUR_NONE),
		        subject, words);
	}
}
