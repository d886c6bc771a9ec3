/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of reported facts. Nothing here decides anything. */
#include "coordinator/core/facts.h"

#include "common/alloc.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

void text_copy(char *to, size_t bytes, const char *from)
{
	size_t length = strnlen(from, bytes);

	/* Cut between characters: what is cut goes to JSON and to terminals. */
	if (length == bytes)
		length = utf8_valid_bytes(from, bytes - 1);
	memmove(to, from, length);
	to[length] = '\0';
}

void checks_copy(struct checks *to, const struct checks *from)
{
	to->count = from->count;
	to->items = from->count ? xmemdup(from->items, from->count * sizeof(*from->items)) : NULL;
}

void checks_deinit(struct checks *checks)
{
	free(checks->items);
	*checks = (struct checks){ 0 };
}

void checks_add(struct checks *checks, const struct check *check)
{
	checks->items = xreallocarray(checks->items, checks->count + 1, sizeof(*checks->items));
	checks->items[checks->count++] = *check;
}

size_t checks_count(const struct checks *checks, enum check_verdict verdict)
{
	size_t n = 0;

	for (size_t i = 0; i < checks->count; i++)
		n += checks->items[i].verdict == verdict;
	return n;
}

const struct check *checks_find_worst(const struct checks *checks, enum check_verdict at_least)
{
	const struct check *worst = NULL;

	for (size_t i = 0; i < checks->count; i++) {
		const struct check *check = &checks->items[i];

		if (check->verdict >= at_least && (!worst || check->verdict > worst->verdict))
			worst = check;
	}
	return worst;
}

void names_copy(struct names *to, const struct names *from)
{
	*to = (struct names){ 0 };
	for (size_t i = 0; i < from->count; i++)
		names_add(to, from->items[i]);
}

void names_deinit(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){ 0 };
}

void names_add(struct names *names, const char *name)
{
	names->items = xreallocarray(names->items, names->count + 1, sizeof(*names->items));
	names->items[names->count++] = xstrdup(name);
}

bool names_contain(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i], name) == 0)
			return true;
	}
	return false;
}

void remnants_copy(struct remnants *to, const struct remnants *from)
{
	to->count = from->count;
	to->items = from->count ? xmemdup(from->items, from->count * sizeof(*from->items)) : NULL;
}

void remnants_deinit(struct remnants *remnants)
{
	free(remnants->items);
	*remnants = (struct remnants){ 0 };
}

bool remnants_equal(const struct remnants *a, const struct remnants *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct remnant *x = &a->items[i], *y = &b->items[i];

		if (x->verdict != y->verdict || strcmp(x->thing, y->thing) != 0 ||
		    strcmp(x->node, y->node) != 0 || strcmp(x->text, y->text) != 0 ||
		    strcmp(x->remedy, y->remedy) != 0)
			return false;
	}
	return true;
}

void attempt_report_copy(struct attempt_report *to, const struct attempt_report *from)
{
	*to = *from;
	checks_copy(&to->checks, &from->checks);
	names_copy(&to->leftovers, &from->leftovers);
	names_copy(&to->notes, &from->notes);
	names_copy(&to->decisions, &from->decisions);
	remnants_copy(&to->remnants, &from->remnants);
	checks_copy(&to->verification, &from->verification);
}

void attempt_report_deinit(struct attempt_report *report)
{
	checks_deinit(&report->checks);
	names_deinit(&report->leftovers);
	names_deinit(&report->notes);
	names_deinit(&report->decisions);
	remnants_deinit(&report->remnants);
	checks_deinit(&report->verification);
}

void vm_state_copy(struct vm_state *to, const struct vm_state *from)
{
	*to = *from;
	checks_copy(&to->blockers, &from->blockers);
	guest_needs_copy(&to->needs, &from->needs);
}

void vm_state_deinit(struct vm_state *vm)
{
	checks_deinit(&vm->blockers);
	guest_needs_deinit(&vm->needs);
}

bool vm_state_is_active(const struct vm_state *vm)
{
	return vm->state[0] && strcmp(vm->state, "shutoff") != 0 &&
	       strcmp(vm->state, "crashed") != 0;
}

bool vm_state_is_home(const struct vm_state *vm)
{
	return vm_state_is_active(vm) && strcmp(vm->state, "incoming") != 0;
}

uint64_t vm_state_need_bytes(const struct vm_state *vm)
{
	return vm->memory_bytes + vm->overhead_bytes;
}

uint64_t host_state_limit_bytes(const struct host_state *host)
{
	uint64_t bytes = host->memory_capacity_bytes > host->memory_reserve_bytes
	                         ? host->memory_capacity_bytes - host->memory_reserve_bytes
	                         : 0;
	uint32_t percent = host->memory_overcommit_percent;

	/* At most 1 PiB (facts_read.c) times 10. */
	return percent ? bytes / 100 * percent + bytes % 100 * percent / 100 : bytes;
}

uint64_t host_state_room_bytes(const struct host_state *host)
{
	uint64_t used = host->memory_guests_bytes + host->memory_reserved_bytes;
	uint64_t limit = host_state_limit_bytes(host);

	return limit > used && !host->suspect[0] ? limit - used : 0;
}

uint64_t host_state_room_vcpus(const struct host_state *host)
{
	return host->rooms.known ? vcpus_get_room(&host->rooms.vcpus) : UINT64_MAX;
}

uint64_t host_state_room_pages(const struct host_state *host, uint64_t page_bytes)
{
	const struct host_rooms *rooms = &host->rooms;

	if (!rooms->known || !rooms->pools_known)
		return UINT64_MAX;
	for (size_t i = 0; i < rooms->n_pools; i++) {
		if (rooms->pools[i].page_bytes == page_bytes)
			return hugepages_get_room(rooms->pools[i].free_bytes,
			                          rooms->pools[i].promised_bytes);
	}
	return 0; /* a size that its kernel does not have */
}

void host_state_copy(struct host_state *to, const struct host_state *from)
{
	*to = *from;
	to->interfaces = from->n_interfaces
	                         ? xmemdup(from->interfaces,
	                                   from->n_interfaces * sizeof(*from->interfaces))
	                         : NULL;
	to->guest_traffic = from->n_guest_traffic
	                            ? xmemdup(from->guest_traffic,
	                                      from->n_guest_traffic * sizeof(*from->guest_traffic))
	                            : NULL;
	to->guest_interfaces = from->n_guest_interfaces
	                               ? xmemdup(from->guest_interfaces,
	                                         from->n_guest_interfaces *
	                                                 sizeof(*from->guest_interfaces))
	                               : NULL;
	to->fences = from->n_fences ? xmemdup(from->fences, from->n_fences * sizeof(*from->fences))
	                            : NULL;
	drain_mark_copy(&to->mark, &from->mark);
	to->leases = from->n_leases ? xmemdup(from->leases, from->n_leases * sizeof(*from->leases))
	                            : NULL;
	to->paths = from->n_paths ? xmemdup(from->paths, from->n_paths * sizeof(*from->paths))
	                          : NULL;
	to->offers = host_offers_copy(from->offers);
}

void host_state_deinit(struct host_state *host)
{
	free(host->interfaces);
	host->interfaces = NULL;
	host->n_interfaces = 0;
	free(host->guest_traffic);
	host->guest_traffic = NULL;
	free(host->guest_interfaces);
	host->guest_interfaces = NULL;
	host->n_guest_traffic = host->n_guest_interfaces = 0;
	free(host->fences);
	host->fences = NULL;
	host->n_fences = 0;
	drain_mark_deinit(&host->mark);
	free(host->leases);
	host->leases = NULL;
	host->n_leases = 0;
	free(host->paths);
	host->paths = NULL;
	host->n_paths = 0;
	host_offers_free(host->offers);
	host->offers = NULL;
}

const struct guest_traffic *host_state_find_traffic(const struct host_state *host,
                                                    const char *vm_uuid)
{
	for (size_t i = 0; i < host->n_guest_traffic; i++) {
		if (strcmp(host->guest_traffic[i].vm_uuid, vm_uuid) == 0)
			return &host->guest_traffic[i];
	}
	return NULL;
}

void drain_mark_copy(struct drain_mark *to, const struct drain_mark *from)
{
	*to = *from;
	names_copy(&to->leave, &from->leave);
	names_copy(&to->shut_down, &from->shut_down);
}

void drain_mark_deinit(struct drain_mark *mark)
{
	names_deinit(&mark->leave);
	names_deinit(&mark->shut_down);
}
