/* SPDX-License-Identifier: Apache-2.0 */
/* What a node has promised to guests on their way to it: memory, room for disks, link, ports. */
#include "tools/drover/render.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <stdlib.h>

DEFINE_CLEANUP(struct table *, table_free);

enum lease_column {
	LEASE_VM,
	LEASE_FROM,
	LEASE_MEM,
	LEASE_DISKS,
	LEASE_LINK,
	LEASE_PORTS,
	LEASE_ENDS,
	LEASE_COLUMNS
};

static const struct column lease_columns[LEASE_COLUMNS] = {
	[LEASE_VM] = { "ON THE WAY" },
	[LEASE_FROM] = { "FROM" },
	[LEASE_MEM] = { "MEM", COLUMN_RIGHT },
	[LEASE_DISKS] = { "DISKS", COLUMN_RIGHT | COLUMN_OPTIONAL },
	[LEASE_LINK] = { "LINK", COLUMN_RIGHT | COLUMN_OPTIONAL },
	[LEASE_PORTS] = { "PORTS" },
	[LEASE_ENDS] = { "UNLESS RENEWED" },
};

void leases_print(const struct output *o, Drover__V1__Lease *const *leases, size_t n)
{
	_cleanup_(table_freep) struct table *t = table_new(o, lease_columns, LEASE_COLUMNS);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < n; i++) {
		const Drover__V1__Lease *l = leases[i];

		table_add_row(t);
		table_set(t, LEASE_VM, "%s", *l->vm_name ? l->vm_name : l->vm_uuid);
		table_set(t, LEASE_FROM, "%s", l->source_node);
		table_set(t, LEASE_MEM, "%s", output_bytes(o, l->memory_bytes, text));
		if (l->disk_bytes)
			table_set(t, LEASE_DISKS, "%s", output_bytes(o, l->disk_bytes, text));
		if (l->bandwidth_bytes_per_s)
			table_set(t, LEASE_LINK, "%s",
			          output_rate(o, l->bandwidth_bytes_per_s, text));
		if (l->disk_port)
			table_set(t, LEASE_PORTS, "%u %u", l->port, l->disk_port);
		else
			table_set(t, LEASE_PORTS, "%u", l->port);
		table_set(t, LEASE_ENDS, "ends in %s", output_duration(o, l->expires_ms, text));
	}
	table_print(t);
}
