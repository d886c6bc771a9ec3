/* SPDX-License-Identifier: Apache-2.0 */
/* See inventory.h. */
#include "agent/host/inventory.h"

#include "agent/host/guest_needs.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

struct reading {
	struct errand errand;
	struct inventory *inventory;
	struct hypervisor *hypervisor;
	uint64_t generation;
	uint64_t begun_ms;
	int rc;
	struct error error;
	struct inventory_vm *vms; /* array, owned */
	size_t count;
};

static void read_guests(struct errand *e)
{
	struct reading *r = (struct reading *)e;
	const struct hypervisor_ops *ops = r->hypervisor->ops;
	struct vm_list list = { 0 };

	r->rc = ops->list(r->hypervisor, &list, &r->error);
	if (r->rc < 0)
		return;
	r->vms = xcalloc(list.count, sizeof(*r->vms));
	for (size_t i = 0; i < list.count; i++) {
		struct inventory_vm *vm = &r->vms[r->count];
		struct vm_description d = { 0 };
		int rc = 0;

		memcpy(vm->uuid, list.items[i].uuid, sizeof(vm->uuid));
		vm->summary = list.items[i];
		if (vm->summary.active) {
			rc = ops->describe(r->hypervisor, vm->uuid, &d, &r->error);
			/* It went away between the two questions: then it is not there. */
			if (rc == -ERROR_NOT_FOUND)
				continue;
			if (rc < 0) {
				r->rc = rc;
				break;
			}
			vm->overhead_bytes = d.overhead_bytes;
			vm->hugepage_bytes = d.hugepage_bytes;
			memcpy(vm->no_shutdown, d.no_shutdown, sizeof(vm->no_shutdown));
			vm->n_blockers = d.blockers.count;
			vm->blockers = xmemdup(d.blockers.items,
			                       d.blockers.count * sizeof(d.blockers.items[0]));
			vm->interfaces = guest_interfaces_new(&d, &vm->n_interfaces);
			guest_needs_read(&d, &vm->needs);
			vm_description_deinit(&d);
		}
		r->count++;
	}
	vm_list_deinit(&list);
}

static void vm_free(struct inventory_vm *vm)
{
	free(vm->blockers);
	free(vm->interfaces);
	guest_needs_deinit(&vm->needs);
	free(vm);
}

static bool same_check(const struct check *a, const struct check *b)
{
	return a->verdict == b->verdict && strcmp(a->id, b->id) == 0 &&
	       strcmp(a->measured, b->measured) == 0 && strcmp(a->required, b->required) == 0 &&
	       strcmp(a->remedy, b->remedy) == 0 && strcmp(a->reason, b->reason) == 0;
}

static bool same(const struct inventory_vm *a, const struct inventory_vm *b)
{
	if (!vm_summary_equal(&a->summary, &b->summary) || a->overhead_bytes != b->overhead_bytes ||
	    a->n_blockers != b->n_blockers || strcmp(a->no_shutdown, b->no_shutdown) != 0 ||
	    !guest_needs_equal(&a->needs, &b->needs))
		return false;
	for (size_t i = 0; i < a->n_blockers; i++) {
		if (!same_check(&a->blockers[i], &b->blockers[i]))
			return false;
	}
	return true;
}

static void take_in(struct inventory *inv, struct reading *r)
{
	struct inventory_vm *vm, *next;

	HASH_ITER (hh, inv->vms, vm, next)
		vm->seen = false;

	for (size_t i = 0; i < r->count; i++) {
		struct inventory_vm *now = &r->vms[i];
		bool changed;

		vm = inventory_find(inv, now->uuid);
		changed = !vm || !same(vm, now);
		if (!vm) {
			vm = xnew(struct inventory_vm);
			memcpy(vm->uuid, now->uuid, sizeof(vm->uuid));
			HASH_ADD_STR(inv->vms, uuid, vm);
		}
		vm->summary = now->summary;
		vm->overhead_bytes = now->overhead_bytes;
		vm->hugepage_bytes = now->hugepage_bytes;
		memcpy(vm->no_shutdown, now->no_shutdown, sizeof(vm->no_shutdown));
		free(vm->blockers);
		vm->blockers = take_pointer(now->blockers);
		vm->n_blockers = now->n_blockers;
		guest_interfaces_keep(now->interfaces, now->n_interfaces, vm->interfaces,
		                      vm->n_interfaces);
		free(vm->interfaces);
		vm->interfaces = take_pointer(now->interfaces);
		vm->n_interfaces = now->n_interfaces;
		guest_needs_deinit(&vm->needs);
		vm->needs = now->needs;
		now->needs = (struct guest_needs){ 0 };
		vm->seen = true;
		if (changed && inv->callbacks.changed)
			inv->callbacks.changed(vm, inv->callbacks.context);
	}

	HASH_ITER (hh, inv->vms, vm, next) {
		if (vm->seen)
			continue;
		HASH_DEL(inv->vms, vm);
		if (inv->callbacks.gone)
			inv->callbacks.gone(vm->uuid, inv->callbacks.context);
		vm_free(vm);
	}
}

static void reading_done(struct errand *e)
{
	struct reading *r = (struct reading *)e;
	struct inventory *inv = r->inventory;
	bool again = inv->again;

	inv->reading = false;
	inv->again = false;
	if (r->generation != inv->generation) {
		again = true;
	} else if (r->rc < 0) {
		inventory_lost(inv, &r->error);
	} else {
		take_in(inv, r);
		inv->valid = true;
		inv->readings++;
		inv->as_of_ms = r->begun_ms;
		error_clear(&inv->problem);
		inv->asked = true;
		if (inv->callbacks.settled)
			inv->callbacks.settled(inv->callbacks.context);
	}
	for (size_t i = 0; i < r->count; i++) {
		free(r->vms[i].blockers);
		free(r->vms[i].interfaces);
		guest_needs_deinit(&r->vms[i].needs);
	}
	free(r->vms);
	free(r);
	if (again)
		inventory_refresh(inv);
}

void inventory_init(struct inventory *inv, struct hypervisor *h, struct courier_pool *couriers,
                    const struct inventory_callbacks *callbacks)
{
	*inv = (struct inventory){
		.hypervisor = h,
		.couriers = couriers,
		.callbacks = *callbacks,
	};
	error_set(&inv->problem, ERROR_UNREACHABLE, "libvirt was not asked yet");
}

void inventory_deinit(struct inventory *inv)
{
	struct inventory_vm *vm, *next;

	HASH_ITER (hh, inv->vms, vm, next) {
		HASH_DEL(inv->vms, vm);
		vm_free(vm);
	}
}

void inventory_refresh(struct inventory *inv)
{
	struct reading *r;

	if (!inv->couriers)
		return; /* stopping */
	if (inv->reading) {
		inv->again = true;
		return;
	}
	r = xnew(struct reading);
	r->errand.work = read_guests;
	r->errand.done = reading_done;
	r->inventory = inv;
	r->hypervisor = inv->hypervisor;
	r->generation = inv->generation;
	r->begun_ms = clock_now_ms();
	inv->reading = true;
	courier_send(inv->couriers, &r->errand);
}

void inventory_lost(struct inventory *inv, const struct error *why)
{
	inv->generation++;
	inv->problem = *why;
	inv->asked = true;
	inv->valid = false;
	if (inv->callbacks.settled)
		inv->callbacks.settled(inv->callbacks.context);
}

struct inventory_vm *inventory_find(struct inventory *inv, const char *uuid)
{
	struct inventory_vm *vm;

	HASH_FIND_STR(inv->vms, uuid, vm);
	return vm;
}

struct inventory_vm *inventory_find_by_name(struct inventory *inv, const char *name)
{
	struct inventory_vm *vm, *next;

	HASH_ITER (hh, inv->vms, vm, next) {
		if (strcmp(vm->summary.name, name) == 0)
			return vm;
	}
	return NULL;
}

uint64_t inventory_active_bytes(const struct inventory *inv, const char *except_uuid)
{
	uint64_t bytes = 0;
	const struct inventory_vm *vm, *next;

	HASH_ITER (hh, inv->vms, vm, next) {
		if (vm->summary.active && (!except_uuid || strcmp(vm->uuid, except_uuid) != 0))
			bytes += vm->summary.memory_bytes + vm->overhead_bytes;
	}
	return bytes;
}
