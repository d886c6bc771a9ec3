/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on networks: each interface needs the thing that it is plugged into, of the right kind and
 * wide enough for the guest's packets. Pure.
 *
 * By name, as libvirt does it: whether a bridge of that name leads to the same wire is for the people
 * who named it. */
#include "agent/kernel/admission_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool is_type(const struct vm_interface *i, const char *type)
{
	return strcmp(i->type, type) == 0;
}

static bool is_host_device(const struct vm_interface *i)
{
	return is_type(i, "hostdev") || is_type(i, "vdpa");
}

bool admission_interface_needs_network(const struct vm_interface *i)
{
	if (is_type(i, "ethernet"))
		return i->target_must_exist;
	return !is_type(i, "user") && !is_type(i, "null") && !is_host_device(i);
}

static void judge_without_network(const struct vm_interface *n, struct check *c)
{
	c->verdict = CHECK_PASS;
	if (is_type(n, "ethernet")) {
		admission_measured(c, "libvirt makes its tap");
	} else if (!is_host_device(n)) {
		admission_measured(c, "type %s needs none here", n->type);
	} else if (n->failover) {
		admission_measured(c, "a device of the host, unplugged by the guest before a move");
	} else {
		c->verdict = CHECK_BLOCK;
		admission_measured(c, "a device of the source is passed through (type %s)",
		                   n->type);
		admission_remedy(c, "use a bridge or macvtap interface, or a failover pair "
		                    "(<teaming>)");
	}
}

static void describe_missing(const struct vm_interface *n, struct check *c)
{
	if (is_type(n, "network"))
		admission_remedy(c, "define and start it here: virsh net-start %.100s", n->source);
	else if (is_type(n, "direct"))
		admission_remedy(
			c, "bring up %.64s on this host: macvtap sits on a device of that name",
			n->source);
	else if (is_type(n, "vhostuser"))
		admission_remedy(c, "start the switch that serves it on this host: %.100s",
		                 n->socket_server ? "its directory is missing" : n->source);
	else
		admission_remedy(c, "create %s %.64s on this host, or choose another destination",
		                 n->type, n->source);
}

/* What is there, is it what the guest needs? */
static void judge_kind(const struct vm_interface *n, const struct network_facts *f, struct check *c)
{
	enum network_fit fit = network_judge(n->type, n->virtual_port, n->mtu, f);
	enum network_kind wanted = network_get_wanted(n->virtual_port);
	const char *device = f->device[0] ? f->device : n->source;

	if (fit == NETWORK_IS_OTHER) {
		admission_measured(c, "\"%.64s\" is %s here", n->source,
		                   network_kind_name(f->kind));
		admission_remedy(c, "make it %s, as at the source: %s", network_kind_name(wanted),
		                 wanted == NETWORK_BRIDGE ? "ip link add ... type bridge"
		                                          : "ovs-vsctl add-br");
		return;
	}
	if (fit == NETWORK_IS_NARROW) {
		admission_measured(c, "\"%.64s\" here has an MTU of %u bytes", device, f->mtu);
		admission_remedy(c,
		                 "raise it, and that of what is behind it: ip link set %.40s mtu "
		                 "%u",
		                 device, n->mtu);
		return;
	}
	assert(fit == NETWORK_FITS);
	c->verdict = CHECK_PASS;
}

static void judge_network(const struct vm_interface *n, const struct network_finding *f,
                          struct check *c)
{
	const char *source = is_type(n, "ethernet") ? n->target : n->source;
	char mtu[40] = "";

	if (n->mtu)
		snprintf(mtu, sizeof(mtu), ", MTU of %u bytes at least", n->mtu);
	admission_required(c, "%s \"%.50s\" present and active%s%s", n->type, source,
	                   strcmp(n->virtual_port, "openvswitch") == 0 ? ", Open vSwitch" : "",
	                   mtu);
	if (!f->measured) {
		admission_not_measured(c, f->why);
		return;
	}
	admission_measured(c, "%s \"%.120s\" is %s here", n->type, source,
	                   f->facts.present ? "present" : "missing");
	if (f->facts.present)
		judge_kind(n, &f->facts, c);
	else
		describe_missing(n, c);
}

void admission_judge_networks(const struct admission_input *in, struct check_list *list)
{
	for (size_t i = 0; i < in->vm->n_interfaces && i < VM_INTERFACES_MAX; i++) {
		const struct vm_interface *n = &in->vm->interfaces[i];
		struct check *c = admission_add(list, "");

		/* A guest that is not running has no device name; its MAC tells them apart. */
		snprintf(c->id, sizeof(c->id), "network/%s", n->target[0] ? n->target : n->mac);
		if (admission_interface_needs_network(n))
			judge_network(n, &in->networks[i], c);
		else
			judge_without_network(n, c);
	}
}
