/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. What this host has for any guest: the same questions that admission asks for
 * one guest, asked of all there is. Any thread.
 *
 * What is told must be whole: who plans takes a machine type or a bridge that is not in the list for one
 * that is not here. So a list that could not be made whole is not told at all. */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "agent/hypervisor/domain_capabilities.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than that a host has for other reasons than guests. */
#define NETWORKS_MAX 512

static void add_network(struct host_offers *o, bool device, const char *name,
                        const struct network_facts *facts)
{
	struct offered_network *one;

	if (!facts->present || strlen(name) >= sizeof(one->name))
		return;
	o->networks = xreallocarray(o->networks, o->n_networks + 1, sizeof(*o->networks));
	one = &o->networks[o->n_networks++];
	*one = (struct offered_network){ .device = device, .kind = facts->kind, .mtu = facts->mtu };
	snprintf(one->name, sizeof(one->name), "%s", name);
}

/* libvirt's names for taps of guests, which come and go with them, and carry no other guest. */
static bool is_tap(const char *name)
{
	return strncmp(name, "vnet", 4) == 0 || strncmp(name, "macvtap", 7) == 0;
}

static bool list_devices(struct host_offers *o)
{
	struct if_nameindex *all = if_nameindex();
	bool whole = all != NULL;

	for (const struct if_nameindex *i = all; i && i->if_index && whole; i++) {
		struct network_facts facts = { 0 };
		struct error err;

		if (is_tap(i->if_name))
			continue;
		whole = libvirt_find_device(i->if_name, &facts, &err) == 0 &&
		        o->n_networks < NETWORKS_MAX;
		if (whole)
			add_network(o, true, i->if_name, &facts);
	}
	if (all)
		if_freenameindex(all);
	return whole;
}

static bool list_networks(virConnectPtr connection, struct host_offers *o)
{
	virNetworkPtr *all = NULL;
	int count = virConnectListAllNetworks(connection, &all, VIR_CONNECT_LIST_NETWORKS_ACTIVE);
	bool whole = count >= 0 && count < NETWORKS_MAX;

	for (int i = 0; i < count; i++) {
		const char *name = virNetworkGetName(all[i]);
		struct network_facts facts = { 0 };
		struct error err;

		whole = whole && name && libvirt_find_bridge(all[i], &facts, &err) == 0;
		if (whole)
			add_network(o, false, name, &facts);
		virNetworkFree(all[i]);
	}
	free(all);
	return whole;
}

int libvirt_offers(struct hypervisor *base, struct host_offers **ret, struct error *err)
{
	struct hypervisor_libvirt *h = libvirt_of(base);
	_cleanup_connection_ virConnectPtr connection = NULL;
	_cleanup_free_ char *text = NULL;
	struct host_offers *o;
	struct error ignored; /* a host that does not say what its processor is does not tell it */
	int result = libvirt_get_connection(h, &connection, err);

	if (result)
		return result;
	text = virConnectGetCapabilities(connection);
	if (!text)
		return libvirt_error(err, connection, LIBVIRT_QUESTION,
		                     "reading the host's capabilities");
	o = xnew(struct host_offers);
	o->machines_known = domain_capabilities_parse_machines(text, strlen(text), o, &ignored) ==
	                            0 &&
	                    o->n_machines > 0;
	o->networks_known = list_networks(connection, o) && list_devices(o);
	if (libvirt_read_signature(h, connection, o->signature, &ignored) < 0)
		o->signature[0] = '\0';
	host_offers_sort(o);
	*ret = o;
	return 0;
}
