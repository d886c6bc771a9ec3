/* SPDX-License-Identifier: Apache-2.0 */
/* See source_describe.h. */
#include "agent/source/source_describe.h"

#include "agent/host/host_places.h"
#include "agent/kernel/reservations.h"
#include "agent/storage/storage_image.h"
#include "agent/storage/storage_proof_wire.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "proto/path_message.h"
#include "proto/transfer_message.h"

#include <stdlib.h>

/* What a destination's QEMU must show again. Not known is no reason against a move: the guest is compared
 * without it. */
static void read_sizes(struct source_description *d, struct hypervisor *h)
{
	struct vm_devices *devices = xnew(struct vm_devices);
	struct error ignored;

	if (h->ops->devices(h, &d->vm, false, devices, &ignored) == 0) {
		for (size_t i = 0; i < d->vm.n_disks; i++)
			d->vm.disks[i].size_bytes = devices->disks[i].size_bytes;
	}
	free(devices);
}

void source_description_gather(struct source_description *d, struct hypervisor *h, const char *uuid,
                               const struct attempt_name *name)
{
	d->rc = h->ops->describe(h, uuid, &d->vm, &d->error);
	if (d->rc == 0)
		d->rc = h->ops->host_facts(h, &d->facts, &d->error);
	if (d->rc < 0)
		return;
	read_sizes(d, h);
	host_describe_loader("", &d->vm.firmware);
	d->proofs = xcalloc(d->vm.n_disks + 1, sizeof(*d->proofs));
	for (size_t i = 0; i < d->vm.n_disks; i++)
		storage_proof_make(&d->vm.disks[i], name, &d->proofs[d->n_proofs++]);
	for (size_t i = 0; i < d->vm.n_disks; i++)
		storage_image_describe(&d->vm.disks[i]);
	if (d->facts.migration_tls_dir[0])
		migration_tls_look(d->facts.migration_tls_dir, NULL, &d->tls);
	if (d->facts.lockspace[0]) {
		storage_proof_make_directory(d->facts.lockspace, name, &d->proofs[d->n_proofs++]);
		d->has_lockspace = true;
	}
}

void source_description_deinit(struct source_description *d)
{
	vm_description_deinit(&d->vm);
	free(d->proofs);
}

Drover__V1__AdmitRequest *source_admit_request_new(const struct source_description *d,
                                                   const struct attempt_name *name,
                                                   const struct agent_settings *own,
                                                   const struct source_wish *wish)
{
	Drover__V1__AdmitRequest *r = xmalloc(sizeof(*r));

	drover__v1__admit_request__init(r);
	r->attempt = wire_attempt_new(name);
	r->source_node = xstrdup(own->node);
	r->source_address = xstrdup(own->migration_address);
	r->vm = wire_description_new(&d->vm);
	for (size_t i = 0; i < r->vm->n_disks; i++)
		r->vm->disks[i]->proof = storage_proof_message_new(&d->proofs[i]);
	r->dry_run = wish->dry_run;
	r->lease_ttl_ms = RESERVATION_TTL_MS_DEFAULT;
	r->tls = wish->tls;
	r->no_guard = wish->no_guard;
	r->unsafe = wish->unsafe;
	r->copy_disks = wish->copy_disks;
	r->transfer = transfer_message_new(&wish->transfer);
	if (wish->tls)
		r->migration_tls = wire_migration_tls_new(&d->tls);
	r->post_copy = wish->post_copy;
	r->max_downtime_ms = wish->max_downtime_ms;
	r->bandwidth_bytes_per_s = wish->bandwidth_bytes_per_s;
	r->path = path_message_new("", &wish->path);
	r->agent_version = xstrdup(DROVER_VERSION);
	r->libvirt_version = xstrdup(d->facts.libvirt_version);
	r->hypervisor_version = xstrdup(d->facts.hypervisor_version);
	r->lock_manager = xstrdup(d->facts.lock_manager);
	if (d->has_lockspace)
		r->lockspace = storage_proof_message_new(&d->proofs[d->n_proofs - 1]);
	return r;
}
