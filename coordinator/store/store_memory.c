/* SPDX-License-Identifier: Apache-2.0 */
/* The store's twin in memory, for the simulation and for tests.
 *
 * The disk outlives the store that is opened on it, so that a test can "crash" the coordinator and
 * start it again. It judges the same conditions as the SQLite store, by counting itself; the
 * conformance suite holds both to the same answers. Each write works on a copy of the disk and
 * replaces it at the end: all or nothing.
 */
#include "common/alloc.h"
#include "coordinator/core/move/migration.h"
#include "coordinator/store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct store_memory_disk {
	struct store_contents contents;
	bool in_use;
};

struct store_memory {
	struct store store;
	struct store_memory_disk *disk; /* borrowed */
};

struct store_memory_disk *store_memory_disk_new(void)
{
	return xnew(struct store_memory_disk);
}

void store_memory_disk_free(struct store_memory_disk *disk)
{
	if (!disk)
		return;
	store_contents_deinit(&disk->contents);
	free(disk);
}

void store_memory_disk_unlock(struct store_memory_disk *disk)
{
	disk->in_use = false;
}

static void *copy_items(const void *items, size_t count, size_t size)
{
	void *copy = xcalloc(count + 1, size);

	if (count)
		memcpy(copy, items, count * size);
	return copy;
}

static void contents_copy(struct store_contents *to, const struct store_contents *from)
{
	*to = *from;
	to->nodes = copy_items(from->nodes, from->n_nodes, sizeof(*from->nodes));
	to->drains = copy_items(from->drains, from->n_drains, sizeof(*from->drains));
	to->migrations = copy_items(from->migrations, from->n_migrations,
	                            sizeof(*from->migrations));
	to->vms = copy_items(from->vms, from->n_vms, sizeof(*from->vms));
	to->policies = copy_items(from->policies, from->n_policies, sizeof(*from->policies));
	to->events = copy_items(from->events, from->n_events, sizeof(*from->events));
	for (size_t i = 0; i < from->n_drains; i++)
		drain_record_copy(&to->drains[i], &from->drains[i]);
	for (size_t i = 0; i < from->n_migrations; i++)
		migration_record_copy(&to->migrations[i], &from->migrations[i]);
	for (size_t i = 0; i < from->n_policies; i++)
		policy_record_copy(&to->policies[i], &from->policies[i]);
}

static int store_memory_load(struct store *store, struct store_contents *ret, struct error *err)
{
	contents_copy(ret, &((struct store_memory *)store)->disk->contents);
	(void)err;
	return 0;
}

/* --- writing --- */

static int check_slot(const struct store_contents *contents, const struct put *put,
                      struct error *err)
{
	const struct migration_record *m = &put->migration;
	uint32_t all = 0, out = 0, in = 0, preparing = 0;

	for (size_t i = 0; i < contents->n_migrations; i++) {
		const struct migration_record *other = &contents->migrations[i];

		if (!other->holds_slot || other->number == m->number)
			continue;
		all += !other->preparing;
		out += !other->preparing && strcmp(other->source, m->source) == 0;
		preparing += other->preparing && strcmp(other->source, m->source) == 0;
		in += strcmp(other->target, m->target) == 0;
	}
	if (m->preparing && preparing >= put->caps.preparing)
		return error_set(err, ERROR_BUSY, "%u of %u are prepared ahead at %s", preparing,
		                 put->caps.preparing, m->source);
	if (!m->preparing && all >= put->caps.cluster)
		return error_set(err, ERROR_BUSY, "%u of %u migrations of the cluster in use", all,
		                 put->caps.cluster);
	if (!m->preparing && out >= put->caps.outbound)
		return error_set(err, ERROR_BUSY, "%u of %u outbound slots of %s in use", out,
		                 put->caps.outbound, m->source);
	if (in >= put->caps.inbound)
		return error_set(err, ERROR_BUSY, "%u of %u inbound slots of %s in use", in,
		                 put->caps.inbound, m->target);
	return 0;
}

static int check_alone(const struct store_contents *contents, const struct migration_record *m,
                       struct error *err)
{
	if (migration_state_is_final(m->state))
		return 0;
	for (size_t i = 0; i < contents->n_migrations; i++) {
		const struct migration_record *other = &contents->migrations[i];

		if (other->number != m->number && strcmp(other->vm_uuid, m->vm_uuid) == 0 &&
		    !migration_state_is_final(other->state))
			return error_set(err, ERROR_EXISTS,
			                 "%s has another migration that is not over", m->vm_name);
	}
	return 0;
}

/* The element whose key is the same, or a new zeroed one. */
#define SLOT(items, count, same)                                                         \
	({                                                                               \
		size_t at_ = 0;                                                          \
		for (; at_ < (count); at_++) {                                           \
			__typeof__(&(items)[0]) it = &(items)[at_];                      \
			if (same)                                                        \
				break;                                                   \
		}                                                                        \
		if (at_ == (count)) {                                                    \
			(items) = xreallocarray((items), (count) + 1, sizeof(*(items))); \
			memset(&(items)[(count)++], 0, sizeof(*(items)));                \
		}                                                                        \
		&(items)[at_];                                                           \
	})

static int write_migration(struct store_contents *contents, const struct put *put,
                           struct error *err)
{
	const struct migration_record *m = &put->migration;
	struct migration_record *slot;
	int rc = put->takes_slot ? check_slot(contents, put, err) : 0;

	if (rc == 0)
		rc = check_alone(contents, m, err);
	if (rc < 0)
		return rc;
	slot = SLOT(contents->migrations, contents->n_migrations, it->number == m->number);
	migration_record_deinit(slot);
	migration_record_copy(slot, m);
	if (m->number > contents->last_migration_number)
		contents->last_migration_number = m->number;
	return 0;
}

/* What has nothing to keep any more is not there. */
static void write_vm(struct store_contents *contents, const struct vm_record *vm)
{
	struct vm_record *slot = SLOT(contents->vms, contents->n_vms,
	                              strcmp(it->uuid, vm->uuid) == 0);

	*slot = vm->bandwidth_given || vm->max_downtime_given ? *vm
	                                                      : contents->vms[--contents->n_vms];
}

/* Loaded by name, as they are written down here. */
static void write_policy(struct store_contents *contents, const struct policy_record *policy)
{
	struct policy_record *slot = SLOT(contents->policies, contents->n_policies,
	                                  strcmp(it->name, policy->name) == 0);
	size_t at = (size_t)(slot - contents->policies), after;

	policy_record_deinit(slot);
	after = --contents->n_policies - at;
	memmove(slot, slot + 1, after * sizeof(*slot));
	if (policy->removed)
		return;
	for (at = 0; at < contents->n_policies; at++) {
		if (strcmp(contents->policies[at].name, policy->name) > 0)
			break;
	}
	slot = &contents->policies[at];
	memmove(slot + 1, slot, (contents->n_policies++ - at) * sizeof(*slot));
	policy_record_copy(slot, policy);
}

static void forget_drain(struct store_contents *contents, uint64_t number)
{
	for (size_t i = 0; i < contents->n_drains; i++) {
		if (contents->drains[i].number != number)
			continue;
		drain_record_deinit(&contents->drains[i]);
		memmove(&contents->drains[i], &contents->drains[i + 1],
		        (--contents->n_drains - i) * sizeof(*contents->drains));
		return;
	}
}

static int write_put(struct store_contents *contents, const struct put *put, struct error *err)
{
	struct drain_record *drain;

	switch (put->kind) {
	case PUT_NODE:
		*SLOT(contents->nodes, contents->n_nodes,
		      strcmp(it->name, put->node.name) == 0) = put->node;
		return 0;
	case PUT_DRAIN:
		drain = SLOT(contents->drains, contents->n_drains, it->number == put->drain.number);
		drain_record_deinit(drain);
		drain_record_copy(drain, &put->drain);
		if (put->drain.number > contents->last_drain_number)
			contents->last_drain_number = put->drain.number;
		return 0;
	case PUT_MIGRATION:
		return write_migration(contents, put, err);
	case PUT_VM:
		write_vm(contents, &put->vm);
		return 0;
	case PUT_FORGET_DRAIN:
		forget_drain(contents, put->forgotten_drain);
		return 0;
	case PUT_POLICY:
		write_policy(contents, &put->policy);
		return 0;
	case PUT_EVENT:
		*SLOT(contents->events, contents->n_events, it == NULL) = put->event;
		return 0;
	}
	return error_set(err, ERROR_STORE, "a put of unknown kind %d", (int)put->kind);
}

static int store_memory_write(struct store *store, const struct batch *batch, struct error *err)
{
	struct store_memory_disk *disk = ((struct store_memory *)store)->disk;
	struct store_contents next;
	int rc = 0;

	if (disk->contents.epoch != batch->epoch)
		return error_set(
			err, ERROR_STALE,
			"another coordinator has taken over: the store is at epoch %" PRIu64
			", this one at %" PRIu64,
			disk->contents.epoch, batch->epoch);
	contents_copy(&next, &disk->contents);
	if (batch->new_epoch)
		next.epoch = batch->new_epoch;
	for (size_t i = 0; rc == 0 && i < batch->count; i++)
		rc = write_put(&next, &batch->puts[i], err);
	if (rc < 0) {
		store_contents_deinit(&next);
		return rc;
	}
	store_contents_deinit(&disk->contents);
	disk->contents = next;
	return 0;
}

static int store_memory_list_migrations(struct store *store, uint64_t before_number, size_t limit,
                                        struct store_contents *ret, struct error *err)
{
	const struct store_contents *contents = &((struct store_memory *)store)->disk->contents;
	uint64_t before = before_number ? before_number : UINT64_MAX;
	struct store_contents found = { 0 };

	while (found.n_migrations < limit) {
		const struct migration_record *newest = NULL;

		for (size_t i = 0; i < contents->n_migrations; i++) {
			const struct migration_record *m = &contents->migrations[i];

			if (m->number < before && (!newest || m->number > newest->number))
				newest = m;
		}
		if (!newest)
			break;
		found.migrations = xreallocarray(found.migrations, found.n_migrations + 1,
		                                 sizeof(*found.migrations));
		migration_record_copy(&found.migrations[found.n_migrations++], newest);
		before = newest->number;
	}
	*ret = found;
	(void)err;
	return 0;
}

static void store_memory_close(struct store *store)
{
	((struct store_memory *)store)->disk->in_use = false;
	free(store);
}

static const struct store_ops store_memory_ops = {
	.load = store_memory_load,
	.write = store_memory_write,
	.list_migrations = store_memory_list_migrations,
	.close = store_memory_close,
};

int store_memory_open(struct store_memory_disk *disk, struct store **ret, struct error *err)
{
	struct store_memory *s;

	if (disk->in_use)
		return error_set(err, ERROR_BUSY, "the store is in use by another coordinator");
	s = xnew(struct store_memory);
	s->store.ops = &store_memory_ops;
	s->disk = disk;
	disk->in_use = true;
	*ret = &s->store;
	return 0;
}
