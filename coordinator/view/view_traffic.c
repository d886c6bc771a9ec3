/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's interfaces carry, as a message and in sentences. See view.h. */
#include "coordinator/view/view.h"

#include "common/alloc.h"
#include "common/units.h"

#include <string.h>

Drover__V1__GuestTraffic *view_traffic_new(const struct host_state *host, const char *vm_uuid)
{
	const struct guest_traffic *t = host_state_find_traffic(host, vm_uuid);
	Drover__V1__GuestTraffic *m;

	if (!t)
		return NULL;
	m = xmalloc(sizeof(*m));
	drover__v1__guest_traffic__init(m);
	m->vm_uuid = xstrdup(vm_uuid);
	m->interfaces = xcalloc(t->count, sizeof(*m->interfaces));
	for (size_t i = 0; i < t->count; i++) {
		const struct guest_interface_rate *from = &host->guest_interfaces[t->first + i];
		Drover__V1__GuestInterface *to = xmalloc(sizeof(*to));

		drover__v1__guest_interface__init(to);
		to->device = xstrdup(from->device);
		to->type = xstrdup(from->type);
		to->rx_bytes_per_s = from->rx_bytes_per_s;
		to->tx_bytes_per_s = from->tx_bytes_per_s;
		to->rx_packets_per_s = from->rx_packets_per_s;
		to->tx_packets_per_s = from->tx_packets_per_s;
		to->source = xstrdup(from->source);
		to->why = xstrdup(from->why);
		m->interfaces[m->n_interfaces++] = to;
	}
	return m;
}

static char *sentence(const struct guest_interface_rate *i)
{
	char rx[UNITS_TEXT_BYTES], tx[UNITS_TEXT_BYTES];
	const char *name = i->device[0] ? i->device : i->type;

	if (strcmp(i->source, "none") == 0)
		return xasprintf("network %s: not known, %s", name, i->why);
	return xasprintf("network %s: receives %s, sends %s (by %s)", name,
	                 units_format_rate(i->rx_bytes_per_s, rx),
	                 units_format_rate(i->tx_bytes_per_s, tx), i->source);
}

void view_add_traffic_lines(const struct vm *vm, Drover__V1__Explanation *m)
{
	const struct guest_traffic *t;

	if (!vm->node)
		return;
	t = vm->node->attached ? host_state_find_traffic(&vm->node->host, vm->uuid) : NULL;
	m->lines = xreallocarray(m->lines, m->n_lines + (t && t->count ? t->count : 1),
	                         sizeof(*m->lines));
	if (!t || t->count == 0)
		m->lines[m->n_lines++] = xstrdup(
			t ? "network: it has no interfaces"
			  : "network: its host has not told what its interfaces carry");
	for (size_t i = 0; t && i < t->count; i++)
		m->lines[m->n_lines++] = sentence(&vm->node->host.guest_interfaces[t->first + i]);
}

void view_add_counting_lines(const struct node *node, Drover__V1__Explanation *m)
{
	const struct host_state *h = &node->host;

	m->lines = xreallocarray(m->lines, m->n_lines + h->n_interfaces + 1, sizeof(*m->lines));
	for (size_t i = 0; i < h->n_interfaces; i++) {
		const struct interface_rate *r = &h->interfaces[i];

		if (r->why[0])
			m->lines[m->n_lines++] = xasprintf("%s is counted by %s: %s", r->name,
			                                   r->source, r->why);
	}
}
