/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_needs.h. */
#include "agent/host/guest_needs.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

/* FNV-1a: over texts and what separates them. */
static uint64_t mix(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	while (*text++);
	return h;
}

/* All that the checks "cpu", "machine" and "tsc" of a destination look at. */
static uint64_t digest(const struct vm_description *d)
{
	const char *const texts[] = { d->arch,          d->virt_type, d->machine,
		                      d->emulator,      d->cpu_mode,  d->cpu_xml ? d->cpu_xml : "",
		                      d->host_signature };
	uint64_t h = 0xcbf29ce484222325u;
	char hz[24];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		h = mix(h, texts[i]);
	snprintf(hz, sizeof(hz), "%llu", (unsigned long long)d->tsc_hz);
	return mix(h, hz) & DIGEST_MAX;
}

/* Sockets and taps are no names that a host lists. */
static bool is_listed(const struct vm_interface *i)
{
	return strcmp(i->type, "bridge") == 0 || strcmp(i->type, "network") == 0 ||
	       strcmp(i->type, "direct") == 0;
}

void guest_needs_read(const struct vm_description *d, struct guest_needs *ret)
{
	struct guest_needs needs = { .known = true,
		                     .vcpus_maximum = d->vcpus_maximum > d->summary.vcpus
		                                              ? d->vcpus_maximum
		                                              : d->summary.vcpus,
		                     .hugepage_bytes = d->hugepage_bytes,
		                     .sees_host = host_signature_is_needed(d->cpu_mode),
		                     .digest = digest(d) };

	memcpy(needs.arch, d->arch, sizeof(needs.arch));
	memcpy(needs.virt_type, d->virt_type, sizeof(needs.virt_type));
	memcpy(needs.machine, d->machine, sizeof(needs.machine));
	needs.networks = xcalloc(d->n_interfaces + 1, sizeof(*needs.networks));
	for (size_t i = 0; i < d->n_interfaces; i++) {
		const struct vm_interface *from = &d->interfaces[i];
		struct needed_network *to = &needs.networks[needs.n_networks];

		if (!is_listed(from))
			continue;
		needs.n_networks++;
		to->mtu = from->mtu;
		memcpy(to->type, from->type, sizeof(to->type));
		memcpy(to->source, from->source, sizeof(to->source));
		memcpy(to->virtual_port, from->virtual_port, sizeof(to->virtual_port));
	}
	*ret = needs;
}
