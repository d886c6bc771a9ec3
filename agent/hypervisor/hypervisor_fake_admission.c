/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. Could a guest come to a host of the fake world: its CPU and machine type, what
 * else the host can give, and where an interface would be plugged in. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

void fake_host_signature(const struct fake_host *host, char *ret)
{
	snprintf(ret, HOST_SIGNATURE_BYTES, "cpu fake\nfeatures but %.200s\nkernel fake",
	         host->cpu_missing);
}

/* Whether @word is one of the blank-separated @words. */
static bool has_word(const char *words, const char *word, size_t length)
{
	while (*words) {
		size_t here;

		words += strspn(words, " ");
		here = strcspn(words, " ");
		if (here && here == length && !strncmp(words, word, length))
			return true;
		words += here;
	}
	return false;
}

/* Lists the features in @missing that @cpu_xml requires. */
static void list_missing(const char *cpu_xml, const char *missing, char *to, size_t bytes)
{
	to[0] = 0;
	while (cpu_xml && *missing) {
		char attribute[80];
		size_t here, used = strlen(to);

		missing += strspn(missing, " ");
		here = strcspn(missing, " ");
		snprintf(attribute, sizeof(attribute), "name='%.*s'", (int)here, missing);
		if (here && strstr(cpu_xml, attribute))
			snprintf(to + used, bytes - used, "%s%.*s", used ? ", " : "", (int)here,
			         missing);
		missing += here;
	}
}

int fake_compare_cpu(struct hypervisor *h, const struct vm_description *d, struct check *ret_cpu,
                     struct check *ret_machine, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct check cpu = { .id = "cpu", .verdict = CHECK_PASS };
	struct check machine = { .id = "machine", .verdict = CHECK_PASS };
	char missing[128];
	int result = fake_enter(handle, err);

	if (result)
		return result;
	list_missing(d->cpu_xml, handle->host->cpu_missing, missing, sizeof(missing));
	COPY_TEXT(cpu.required, "every feature that the guest sees");
	if (host_signature_is_needed(d->cpu_mode)) {
		char own[HOST_SIGNATURE_BYTES];

		fake_host_signature(handle->host, own);
		host_signature_judge(d->cpu_mode, d->host_signature, own, &cpu);
	} else if (missing[0]) {
		cpu.verdict = CHECK_FAIL;
		snprintf(cpu.measured, sizeof(cpu.measured), "missing: %s", missing);
		COPY_TEXT(cpu.remedy, "choose a node with these features");
	} else {
		COPY_TEXT(cpu.measured, "the host provides all");
	}
	snprintf(machine.required, sizeof(machine.required), "%s", d->machine);
	if (has_word(handle->host->machines, d->machine, strlen(d->machine))) {
		COPY_TEXT(machine.measured, "supported");
	} else {
		machine.verdict = CHECK_FAIL;
		COPY_TEXT(machine.measured, "not supported by this host's QEMU");
		COPY_TEXT(machine.remedy, "choose a node with a QEMU that has this machine type");
	}
	fake_leave(handle);
	*ret_cpu = cpu;
	*ret_machine = machine;
	return 0;
}

int fake_capabilities(struct hypervisor *h, const struct vm_description *d,
                      struct guest_capabilities *ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	const struct fake_host *host = handle->host;
	const char *loader = d->firmware.loader;
	int result = fake_enter(handle, err);

	if (result)
		return result;
	*ret = (struct guest_capabilities){
		.vcpus_max = host->vcpus_max,
		.tpm_emulator = host->swtpm,
		.loader_listed = has_word(host->loaders, loader, strlen(loader)),
		.tsc_hz = host->tsc_hz,
		.tsc_scaling = host->tsc_scaling,
	};
	fake_leave(handle);
	return 0;
}

/* The next of blank-separated words into @to; false: there is none. */
static bool take_word(const char **words, char *to, size_t bytes)
{
	size_t length;

	*words += strspn(*words, " ");
	length = strcspn(*words, " ");
	snprintf(to, bytes, "%.*s", (int)length, *words);
	*words += length;
	return length > 0;
}

int fake_offers(struct hypervisor *h, struct host_offers **ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	const struct fake_host *host = handle->host;
	const char *machines = host->machines, *networks = host->networks;
	struct host_offers *o;
	int result = fake_enter(handle, err);

	if (result)
		return result;
	o = xnew(struct host_offers);
	o->machines_known = o->networks_known = true;
	o->types = xcalloc(2, sizeof(*o->types));
	o->n_types = 2;
	COPY_TEXT(o->types[0], "x86_64 kvm");
	COPY_TEXT(o->types[1], "x86_64 qemu");
	o->machines = xcalloc(FAKE_WORDS_BYTES, sizeof(*o->machines));
	while (take_word(&machines, o->machines[o->n_machines].name, sizeof(o->machines[0].name))) {
		o->machines[o->n_machines].vcpus_max = host->vcpus_max;
		COPY_TEXT(o->machines[o->n_machines].arch, "x86_64");
		o->n_machines++;
	}
	/* A name is a bridge, a network, whatever is looked for. */
	o->networks = xcalloc(2 * FAKE_WORDS_BYTES, sizeof(*o->networks));
	while (take_word(&networks, o->networks[o->n_networks].name, sizeof(o->networks[0].name))) {
		struct offered_network *one = &o->networks[o->n_networks];

		one->mtu = host->network_mtu;
		one->kind = has_word(host->open_vswitches, one->name, strlen(one->name))
		                    ? NETWORK_OPEN_VSWITCH
		                    : NETWORK_BRIDGE;
		one[1] = one[0];
		one[1].device = true;
		o->n_networks += 2;
	}
	fake_host_signature(host, o->signature);
	fake_leave(handle);
	host_offers_sort(o);
	*ret = o;
	return 0;
}

int fake_find_network(struct hypervisor *h, const struct vm_interface *interface,
                      struct network_facts *ret, struct error *err)
{
	static const char *const types[] = { "bridge", "network",  "direct",
		                             "user",   "ethernet", "vhostuser" };
	struct fake_handle *handle = fake_handle_of(h);
	const struct fake_host *host = handle->host;
	const char *type = interface->type, *source = interface->source;
	struct network_facts facts = { 0 };
	size_t known = 0;
	int result;

	while (known < ARRAY_SIZE(types) && strcmp(types[known], type) != 0)
		known++;
	if (known == ARRAY_SIZE(types))
		return error_set(err, ERROR_UNSUPPORTED, "no check for interfaces of type %.32s",
		                 type);
	result = fake_enter(handle, err);
	if (result)
		return result;
	if (!strcmp(type, "ethernet"))
		source = interface->target_must_exist ? interface->target : "";
	facts.present = !strcmp(type, "user") || (!strcmp(type, "ethernet") && !source[0]) ||
	                has_word(host->networks, source, strlen(source));
	if (facts.present && source[0]) {
		facts.mtu = host->network_mtu;
		facts.kind = has_word(host->open_vswitches, source, strlen(source))
		                     ? NETWORK_OPEN_VSWITCH
		                     : NETWORK_BRIDGE;
	}
	fake_leave(handle);
	*ret = facts;
	return 0;
}
