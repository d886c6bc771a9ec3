/* SPDX-License-Identifier: Apache-2.0 */
/* See fit.h. */
#include "common/fit.h"

#include "common/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- vCPUs and huge pages --- */

uint64_t vcpus_get_limit(const struct vcpu_totals *t)
{
	if (!t->overcommit_percent || !t->cpus)
		return UINT64_MAX;
	return (uint64_t)t->cpus * t->overcommit_percent / 100;
}

uint64_t vcpus_get_room(const struct vcpu_totals *t)
{
	/* Each is at most 2^32: no sum of them overflows. */
	uint64_t limit = vcpus_get_limit(t), promised = (uint64_t)t->guests + t->reserved;

	if (limit == UINT64_MAX)
		return limit;
	return limit > promised ? limit - promised : 0;
}

uint64_t hugepages_get_room(uint64_t free_bytes, uint64_t promised_bytes)
{
	return free_bytes > promised_bytes ? free_bytes - promised_bytes : 0;
}

/* --- networks --- */

enum network_kind network_get_wanted(const char *virtual_port)
{
	return strcmp(virtual_port, "openvswitch") == 0 ? NETWORK_OPEN_VSWITCH : NETWORK_BRIDGE;
}

const char *network_kind_name(enum network_kind kind)
{
	static const char *const names[] = {
		[NETWORK_OTHER] = "no bridge",
		[NETWORK_BRIDGE] = "a bridge of the kernel",
		[NETWORK_OPEN_VSWITCH] = "a bridge of Open vSwitch",
	};

	assert((unsigned)kind < ARRAY_SIZE(names));
	return names[kind];
}

enum network_fit network_judge(const char *type, const char *virtual_port, uint32_t mtu,
                               const struct network_facts *facts)
{
	if (!facts->present)
		return NETWORK_IS_MISSING;
	if (strcmp(type, "bridge") == 0 && facts->kind != network_get_wanted(virtual_port))
		return NETWORK_IS_OTHER;
	if (mtu && facts->mtu && facts->mtu < mtu)
		return NETWORK_IS_NARROW;
	return NETWORK_FITS;
}

/* --- processors --- */

bool signatures_differ(const char *source, const char *own, char *ret_text, size_t bytes)
{
	if (ret_text)
		snprintf(ret_text, bytes, "one host says less of itself than the other");
	if (!source[0] || !own[0])
		return true;
	for (;;) {
		size_t theirs = strcspn(source, "\n"), ours = strcspn(own, "\n");

		if (theirs != ours || memcmp(source, own, ours) != 0) {
			if (ret_text)
				snprintf(ret_text, bytes, "here %.*s, there %.*s",
				         ours > 90 ? 90 : (int)ours, own,
				         theirs > 90 ? 90 : (int)theirs, source);
			return true;
		}
		source += theirs;
		own += ours;
		if (!*source || !*own)
			return *source || *own;
		source++;
		own++;
	}
}

/* --- needs --- */

void guest_needs_copy(struct guest_needs *to, const struct guest_needs *from)
{
	*to = *from;
	to->networks = from->n_networks
	                       ? xmemdup(from->networks, from->n_networks * sizeof(*from->networks))
	                       : NULL;
}

void guest_needs_deinit(struct guest_needs *needs)
{
	free(needs->networks);
	*needs = (struct guest_needs){ 0 };
}

static bool same_need(const struct needed_network *a, const struct needed_network *b)
{
	return a->mtu == b->mtu && strcmp(a->type, b->type) == 0 &&
	       strcmp(a->source, b->source) == 0 && strcmp(a->virtual_port, b->virtual_port) == 0;
}

bool guest_needs_equal(const struct guest_needs *a, const struct guest_needs *b)
{
	if (a->known != b->known || a->vcpus_maximum != b->vcpus_maximum ||
	    a->hugepage_bytes != b->hugepage_bytes || a->sees_host != b->sees_host ||
	    a->digest != b->digest || a->n_networks != b->n_networks ||
	    strcmp(a->arch, b->arch) != 0 || strcmp(a->virt_type, b->virt_type) != 0 ||
	    strcmp(a->machine, b->machine) != 0)
		return false;
	for (size_t i = 0; i < a->n_networks; i++) {
		if (!same_need(&a->networks[i], &b->networks[i]))
			return false;
	}
	return true;
}

/* FNV-1a: over texts and what separates them. */
static uint64_t mix_text(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	while (*text++);
	return h;
}

static uint64_t mix_number(uint64_t h, uint64_t number)
{
	return (h ^ number ^ number >> 32) * 0x100000001b3u;
}

uint64_t guest_needs_hash(const struct guest_needs *needs)
{
	uint64_t h = mix_number(0xcbf29ce484222325u, needs->digest);

	h = mix_number(h, needs->vcpus_maximum);
	h = mix_number(h, needs->hugepage_bytes);
	h = mix_text(h, needs->machine);
	for (size_t i = 0; i < needs->n_networks; i++) {
		h = mix_text(h, needs->networks[i].type);
		h = mix_text(h, needs->networks[i].source);
		h = mix_number(h, needs->networks[i].mtu);
	}
	return h;
}

/* --- offers --- */

static int compare_machines(const void *a, const void *b)
{
	const struct offered_machine *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->arch, y->arch);
}

static int compare_networks(const void *a, const void *b)
{
	const struct offered_network *x = a, *y = b;

	if (x->device != y->device)
		return x->device - y->device;
	return strcmp(x->name, y->name);
}

static uint64_t hash_offers(const struct host_offers *o)
{
	uint64_t h = mix_text(0xcbf29ce484222325u, o->signature);

	h = mix_number(h, (uint64_t)o->machines_known << 1 | o->networks_known);
	for (size_t i = 0; i < o->n_machines; i++) {
		h = mix_text(h, o->machines[i].arch);
		h = mix_text(h, o->machines[i].name);
		h = mix_number(h, o->machines[i].vcpus_max);
	}
	for (size_t i = 0; i < o->n_types; i++)
		h = mix_text(h, o->types[i]);
	for (size_t i = 0; i < o->n_networks; i++) {
		h = mix_text(h, o->networks[i].name);
		h = mix_number(h, (uint64_t)o->networks[i].mtu << 8 |
		                          (uint64_t)o->networks[i].kind << 1 |
		                          o->networks[i].device);
	}
	return h;
}

void host_offers_sort(struct host_offers *offers)
{
	if (offers->n_machines)
		qsort(offers->machines, offers->n_machines, sizeof(*offers->machines),
		      compare_machines);
	if (offers->n_networks)
		qsort(offers->networks, offers->n_networks, sizeof(*offers->networks),
		      compare_networks);
	offers->hash = hash_offers(offers);
}

struct host_offers *host_offers_copy(const struct host_offers *offers)
{
	struct host_offers *copy;

	if (!offers)
		return NULL;
	copy = xmemdup(offers, sizeof(*offers));
	copy->machines = xmemdup(offers->machines, offers->n_machines * sizeof(*offers->machines));
	copy->types = xmemdup(offers->types, offers->n_types * sizeof(*offers->types));
	copy->networks = xmemdup(offers->networks, offers->n_networks * sizeof(*offers->networks));
	return copy;
}

void host_offers_free(struct host_offers *offers)
{
	if (!offers)
		return;
	free(offers->machines);
	free(offers->types);
	free(offers->networks);
	free(offers);
}

bool host_offers_equal(const struct host_offers *a, const struct host_offers *b)
{
	if (!a || !b)
		return a == b;
	if (a->machines_known != b->machines_known || a->networks_known != b->networks_known ||
	    a->n_machines != b->n_machines || a->n_types != b->n_types ||
	    a->n_networks != b->n_networks || strcmp(a->signature, b->signature) != 0)
		return false;
	for (size_t i = 0; i < a->n_machines; i++) {
		if (compare_machines(&a->machines[i], &b->machines[i]) != 0 ||
		    a->machines[i].vcpus_max != b->machines[i].vcpus_max)
			return false;
	}
	for (size_t i = 0; i < a->n_types; i++) {
		if (strcmp(a->types[i], b->types[i]) != 0)
			return false;
	}
	for (size_t i = 0; i < a->n_networks; i++) {
		if (compare_networks(&a->networks[i], &b->networks[i]) != 0 ||
		    a->networks[i].kind != b->networks[i].kind ||
		    a->networks[i].mtu != b->networks[i].mtu)
			return false;
	}
	return true;
}

/* --- both --- */

static const struct offered_machine *find_machine(const struct host_offers *offers,
                                                  const struct guest_needs *needs)
{
	struct offered_machine key = { 0 };

	memcpy(key.arch, needs->arch, sizeof(key.arch));
	memcpy(key.name, needs->machine, sizeof(key.name));
	return offers->n_machines ? bsearch(&key, offers->machines, offers->n_machines, sizeof(key),
	                                    compare_machines)
	                          : NULL;
}

static bool has_type(const struct host_offers *offers, const struct guest_needs *needs)
{
	size_t arch = strlen(needs->arch);

	for (size_t i = 0; i < offers->n_types; i++) {
		const char *type = offers->types[i];

		if (strncmp(type, needs->arch, arch) == 0 && type[arch] == ' ' &&
		    strcmp(type + arch + 1, needs->virt_type) == 0)
			return true;
	}
	return false;
}

static enum fit judge_machine(const struct guest_needs *needs, const struct host_offers *offers,
                              char *ret_text)
{
	const struct offered_machine *machine;

	if (!offers->machines_known || !needs->arch[0] || !needs->machine[0])
		return FIT_YES;
	machine = find_machine(offers, needs);
	if (!machine || (needs->virt_type[0] && !has_type(offers, needs))) {
		if (ret_text)
			snprintf(ret_text, FIT_TEXT_BYTES, "no QEMU for %s %s%s", needs->arch,
			         machine ? "with " : "with machine type ",
			         machine ? needs->virt_type : needs->machine);
		return FIT_NO_MACHINE;
	}
	if (machine->vcpus_max && needs->vcpus_maximum > machine->vcpus_max) {
		if (ret_text)
			snprintf(ret_text, FIT_TEXT_BYTES,
			         "a QEMU that gives a %s at most %u vCPUs, %u needed",
			         needs->machine, machine->vcpus_max, needs->vcpus_maximum);
		return FIT_VCPUS;
	}
	return FIT_YES;
}

static enum fit judge_cpu(const struct guest_needs *needs, const struct host_offers *home,
                          const struct host_offers *offers, char *ret_text)
{
	char difference[200];

	/* Whoever does not say what its processor is has an agent that does not tell, or a kernel:
	 * the destination knows which. */
	if (!needs->sees_host || !home || !home->signature[0] || !offers->signature[0] ||
	    !signatures_differ(home->signature, offers->signature, difference, sizeof(difference)))
		return FIT_YES;
	if (ret_text)
		snprintf(ret_text, FIT_TEXT_BYTES,
		         "another processor, and the guest sees its host's: %s", difference);
	return FIT_CPU;
}

static enum fit judge_one_network(const struct needed_network *need,
                                  const struct host_offers *offers, char *ret_text)
{
	struct offered_network key = { .device = strcmp(need->type, "network") != 0 };
	const struct offered_network *found;
	struct network_facts facts = { 0 };
	enum network_fit fit;

	memcpy(key.name, need->source, sizeof(key.name));
	found = offers->n_networks ? bsearch(&key, offers->networks, offers->n_networks,
	                                     sizeof(key), compare_networks)
	                           : NULL;
	if (found)
		facts = (struct network_facts){ .present = true,
			                        .kind = found->kind,
			                        .mtu = found->mtu };
	fit = network_judge(need->type, need->virtual_port, need->mtu, &facts);
	if (fit == NETWORK_FITS)
		return FIT_YES;
	if (!ret_text)
		return FIT_NETWORK;
	if (fit == NETWORK_IS_MISSING)
		snprintf(ret_text, FIT_TEXT_BYTES, "no %s \"%.100s\" that is up",
		         strcmp(need->type, "direct") == 0 ? "device" : need->type, need->source);
	else if (fit == NETWORK_IS_OTHER)
		snprintf(ret_text, FIT_TEXT_BYTES, "a \"%.100s\" that is %s, not %s", need->source,
		         network_kind_name(facts.kind),
		         network_kind_name(network_get_wanted(need->virtual_port)));
	else
		snprintf(ret_text, FIT_TEXT_BYTES,
		         "a %s \"%.100s\" with an MTU of %u bytes, %u needed", need->type,
		         need->source, facts.mtu, need->mtu);
	return FIT_NETWORK;
}

enum fit fit_judge(const struct guest_needs *needs, const struct host_offers *home,
                   const struct host_offers *offers, char *ret_text)
{
	enum fit fit;

	if (!needs->known || !offers)
		return FIT_YES;
	fit = judge_machine(needs, offers, ret_text);
	if (fit == FIT_YES)
		fit = judge_cpu(needs, home, offers, ret_text);
	for (size_t i = 0; fit == FIT_YES && offers->networks_known && i < needs->n_networks; i++)
		fit = judge_one_network(&needs->networks[i], offers, ret_text);
	return fit;
}
