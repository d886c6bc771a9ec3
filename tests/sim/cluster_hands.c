/* SPDX-License-Identifier: Apache-2.0 */
/* See cluster.h. Between an agent and its fake hypervisor: each act that could harm a guest is held
 * against the true state of the world at that instant, which no agent can see.
 *
 *	I6  an attempt starts libvirt's migration at most once, whoever asks how often
 *	I7  a copy is destroyed only while the guest is whole somewhere else; a definition is removed
 *	    only where the guest is not, and while it lives on another host
 *
 * Also here: mistakes planted in the functions that decide (the linker's --wrap). */
#include "tests/sim/cluster.h"

#include "agent/kernel/resolve.h"
#include "agent/link/ports.h"
#include "agent/source/source.h"
#include "common/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hands {
	struct hypervisor base; /* first */
	struct hypervisor *real;
	struct cluster_host *host;
};

/* Attempts that have started a migration. */
#define STARTED_MAX 4096
static struct attempt_name started[STARTED_MAX];
static size_t n_started;

static struct hypervisor *real_of(struct hypervisor *h)
{
	return ((struct hands *)h)->real;
}

static bool is_whole(const struct fake_copy *copy)
{
	return copy && (copy->state == VM_RUNNING || copy->state == VM_PAUSED);
}

/* The guest's best copy on another host. */
static const struct fake_copy *find_other(const struct cluster_host *h, const char *uuid)
{
	const struct fake_copy *best = NULL;

	for (size_t i = 0; i < CLUSTER_HOSTS; i++) {
		const struct fake_copy *copy = cluster_find_copy(&cluster.hosts[i], uuid);

		if (&cluster.hosts[i] != h && is_whole(copy) &&
		    (!best || copy->state == VM_RUNNING))
			best = copy;
	}
	return best;
}

static int hands_destroy(struct hypervisor *base, const char *uuid, struct error *err)
{
	const struct cluster_host *h = ((struct hands *)base)->host;
	const struct fake_copy *copy = cluster_find_copy(h, uuid);
	const struct fake_copy *other = find_other(h, uuid);

	world_say("%s destroys %.4s... there (%s)", h->name, uuid,
	          copy ? vm_run_state_name(copy->state) : "absent");
	if (copy && copy->state == VM_RUNNING)
		cluster_violated("I7: %s destroys a running guest, %s", h->name,
		                 cluster_get_name(uuid));
	if (copy && is_whole(copy) && !other && copy->host->libvirtd == FAKE_LIBVIRTD_UP)
		cluster_violated("I7: %s destroys the only whole copy of %s", h->name,
		                 cluster_get_name(uuid));
	return real_of(base)->ops->destroy(real_of(base), uuid, err);
}

static int hands_undefine(struct hypervisor *base, const char *uuid, struct error *err)
{
	const struct cluster_host *h = ((struct hands *)base)->host;
	const struct fake_copy *copy = cluster_find_copy(h, uuid);
	const struct fake_copy *other = find_other(h, uuid);

	world_say("%s undefines %s", h->name, cluster_get_name(uuid));
	if (copy && copy->persistent && !other && cluster_find_guest(uuid) &&
	    !cluster_find_guest(uuid)->killed)
		cluster_violated("I7: %s undefines %s, which lives nowhere else", h->name,
		                 cluster_get_name(uuid));
	return real_of(base)->ops->undefine(real_of(base), uuid, err);
}

static int hands_resume(struct hypervisor *base, const char *uuid, struct error *err)
{
	world_say("%s resumes %s", ((struct hands *)base)->host->name, cluster_get_name(uuid));
	return real_of(base)->ops->resume(real_of(base), uuid, err);
}

static void note_start(const struct cluster_host *h, const char *uuid)
{
	const struct source_attempt *a = h->agent ? source_find_vm(h->agent, uuid) : NULL;

	if (!a)
		return;
	for (size_t i = 0; i < n_started; i++) {
		if (attempt_name_equal(&started[i], &a->order.attempt))
			cluster_violated("I6: %s starts attempt %u of the move of %s twice",
			                 h->name, a->order.attempt.number, cluster_get_name(uuid));
	}
	if (n_started < STARTED_MAX)
		started[n_started++] = a->order.attempt;
}

static int hands_migrate(struct hypervisor *base, const struct migrate_request *r,
                         struct error *err)
{
	const struct cluster_host *h = ((struct hands *)base)->host;
	int rc;

	note_start(h, r->uuid);
	cluster.moves_started++;
	world_say("%s migrates %s to %s%s", h->name, cluster_get_name(r->uuid), r->control_socket,
	          r->paused ? ", paused" : "");
	rc = real_of(base)->ops->migrate(real_of(base), r, err);
	world_say("%s: the call about %s returns %d %s", h->name, cluster_get_name(r->uuid), rc,
	          rc ? err->text : "");
	return rc;
}

#define FORWARD(name, declared, given)              \
	static int hands_##name declared            \
	{                                           \
		return real_of(h)->ops->name given; \
	}
FORWARD(watch,
        (struct hypervisor * h, void (*event)(const struct hypervisor_event *e, void *context),
         void *context, struct error *err),
        (real_of(h), event, context, err))
FORWARD(host_facts, (struct hypervisor * h, struct host_facts *ret, struct error *err),
        (real_of(h), ret, err))
FORWARD(list, (struct hypervisor * h, struct vm_list *ret, struct error *err),
        (real_of(h), ret, err))
FORWARD(find, (struct hypervisor * h, const char *uuid, struct vm_summary *ret, struct error *err),
        (real_of(h), uuid, ret, err))
FORWARD(describe,
        (struct hypervisor * h, const char *uuid, struct vm_description *ret, struct error *err),
        (real_of(h), uuid, ret, err))
FORWARD(devices,
        (struct hypervisor * h, const struct vm_description *d, bool ask_clock,
         struct vm_devices *ret, struct error *err),
        (real_of(h), d, ask_clock, ret, err))
FORWARD(compare_cpu,
        (struct hypervisor * h, const struct vm_description *d, struct check *ret_cpu,
         struct check *ret_machine, struct error *err),
        (real_of(h), d, ret_cpu, ret_machine, err))
FORWARD(capabilities,
        (struct hypervisor * h, const struct vm_description *d, struct guest_capabilities *ret,
         struct error *err),
        (real_of(h), d, ret, err))
FORWARD(offers, (struct hypervisor * h, struct host_offers **ret, struct error *err),
        (real_of(h), ret, err))
FORWARD(find_network,
        (struct hypervisor * h, const struct vm_interface *interface, struct network_facts *ret,
         struct error *err),
        (real_of(h), interface, ret, err))
FORWARD(job, (struct hypervisor * h, const char *uuid, struct vm_job *ret, struct error *err),
        (real_of(h), uuid, ret, err))
FORWARD(last_job, (struct hypervisor * h, const char *uuid, struct vm_job *ret, struct error *err),
        (real_of(h), uuid, ret, err))
FORWARD(abort_job, (struct hypervisor * h, const char *uuid, struct error *err),
        (real_of(h), uuid, err))
FORWARD(set_max_downtime, (struct hypervisor * h, const char *uuid, uint64_t ms, struct error *err),
        (real_of(h), uuid, ms, err))
FORWARD(set_max_speed,
        (struct hypervisor * h, const char *uuid, uint64_t bytes_per_s, struct error *err),
        (real_of(h), uuid, bytes_per_s, err))
FORWARD(start_dirty_rate,
        (struct hypervisor * h, const char *uuid, uint32_t window_s, struct error *err),
        (real_of(h), uuid, window_s, err))
FORWARD(dirty_rate,
        (struct hypervisor * h, const char *uuid, struct vm_dirty_rate *ret, struct error *err),
        (real_of(h), uuid, ret, err))
FORWARD(start_postcopy, (struct hypervisor * h, const char *uuid, struct error *err),
        (real_of(h), uuid, err))
FORWARD(break_postcopy, (struct hypervisor * h, const char *uuid, struct error *err),
        (real_of(h), uuid, err))
FORWARD(suspend, (struct hypervisor * h, const char *uuid, struct error *err),
        (real_of(h), uuid, err))
FORWARD(shut_down, (struct hypervisor * h, const char *uuid, struct error *err),
        (real_of(h), uuid, err))
FORWARD(start, (struct hypervisor * h, const char *uuid, struct error *err),
        (real_of(h), uuid, err))
FORWARD(set_autostart, (struct hypervisor * h, const char *uuid, bool on, struct error *err),
        (real_of(h), uuid, on, err))

static void hands_hush(struct hypervisor *base)
{
	real_of(base)->ops->hush(real_of(base));
}

static const struct hypervisor_ops hands_ops = {
	.watch = hands_watch,
	.hush = hands_hush,
	.host_facts = hands_host_facts,
	.list = hands_list,
	.find = hands_find,
	.describe = hands_describe,
	.devices = hands_devices,
	.compare_cpu = hands_compare_cpu,
	.capabilities = hands_capabilities,
	.offers = hands_offers,
	.find_network = hands_find_network,
	.migrate = hands_migrate,
	.job = hands_job,
	.last_job = hands_last_job,
	.abort_job = hands_abort_job,
	.set_max_downtime = hands_set_max_downtime,
	.set_max_speed = hands_set_max_speed,
	.start_dirty_rate = hands_start_dirty_rate,
	.dirty_rate = hands_dirty_rate,
	.start_postcopy = hands_start_postcopy,
	.break_postcopy = hands_break_postcopy,
	.suspend = hands_suspend,
	.resume = hands_resume,
	.destroy = hands_destroy,
	.undefine = hands_undefine,
	.shut_down = hands_shut_down,
	.start = hands_start,
	.set_autostart = hands_set_autostart,
};

struct hypervisor *cluster_hands_new(struct cluster_host *h)
{
	struct hands *hands = xnew(struct hands);

	hands->base.ops = &hands_ops;
	hands->host = h;
	hands->real = hypervisor_fake_new(cluster.world, h->name);
	return &hands->base;
}

/* Its connection to libvirtd ends with the process: no events any more, and libvirt's moves go on
 * without anybody who waits for them. */
void cluster_hands_drop(struct cluster_host *h)
{
	struct fake_host *host = fake_world_get_host_locked(cluster.world, h->name);

	for (struct fake_handle **at = &cluster.world->handles; *at;) {
		struct fake_handle *handle = *at;

		if (handle->host == host) {
			*at = handle->next;
			while (handle->first) {
				struct fake_queued_event *queued = handle->first;

				handle->first = queued->next;
				free(queued);
			}
			free(handle);
		} else {
			at = &handle->next;
		}
	}
	for (struct fake_move *move = cluster.world->moves; move; move = move->next)
		move->abandoned |= move->source == host;
	free(h->hypervisor);
	h->hypervisor = NULL;
}

void cluster_hands_end(void)
{
	n_started = 0;
}

/* --- what the linker puts around the code that decides --- */

enum resolution __real_resolve(const struct resolve_input *in);
enum resolution __wrap_resolve(const struct resolve_input *in);
int __real_reservations_take(struct reservations *r, const struct reservation *want,
                             uint64_t now_ms, const struct reservation **ret, struct error *err);
int __wrap_reservations_take(struct reservations *r, const struct reservation *want,
                             uint64_t now_ms, const struct reservation **ret, struct error *err);
int __real_reservations_restore(struct reservations *r, const struct reservation *saved,
                                uint64_t now_ms, struct error *err);
int __wrap_reservations_restore(struct reservations *r, const struct reservation *saved,
                                uint64_t now_ms, struct error *err);
void __wrap_ports_survey(const struct port_pool *pool, const char *address,
                         bool (*is_leased)(uint16_t port, void *context), void *context,
                         struct port_survey *ret);
int __wrap_traffic_open(const struct traffic_options *options, struct traffic **ret,
                        struct error *err);

enum resolution __wrap_resolve(const struct resolve_input *in)
{
	struct resolve_input changed = *in;

	if (cluster_bug == BUG_COMMIT_EARLY && in->target == TARGET_PAUSED)
		return RESOLVE_COMMIT_TARGET;
	if (cluster_bug == BUG_TRUST_CALL && in->target == TARGET_PAUSED)
		return RESOLVE_ABORT_TARGET;
	if (cluster_bug == BUG_FAIL_ON_SILENCE && in->target == TARGET_UNREACHABLE)
		changed.target = TARGET_ABSENT;
	return __real_resolve(&changed);
}

int __wrap_reservations_take(struct reservations *r, const struct reservation *want,
                             uint64_t now_ms, const struct reservation **ret, struct error *err)
{
	struct reservation changed = *want;

	if (cluster_bug == BUG_BOOK_TWICE)
		changed.memory_bytes = 1;
	return __real_reservations_take(r, &changed, now_ms, ret, err);
}

int __wrap_reservations_restore(struct reservations *r, const struct reservation *saved,
                                uint64_t now_ms, struct error *err)
{
	if (cluster_bug == BUG_FORGET_LEASE)
		return error_set(err, ERROR_NOT_FOUND, "forgotten");
	return __real_reservations_restore(r, saved, now_ms, err);
}

/* Ports: nothing but drover uses them in this world. */
void __wrap_ports_survey(const struct port_pool *pool, const char *address,
                         bool (*is_leased)(uint16_t port, void *context), void *context,
                         struct port_survey *ret)
{
	*ret = (struct port_survey){ .pool = *pool, .measured = true };
	snprintf(ret->address, sizeof(ret->address), "%s", address);
	for (uint32_t port = pool->first; port <= pool->last; port++) {
		if (is_leased && is_leased((uint16_t)port, context)) {
			ret->n_leased++;
		} else {
			ret->n_free++;
			if (ret->free_port && !ret->second_free_port)
				ret->second_free_port = (uint16_t)port;
			ret->free_port = ret->free_port ? ret->free_port : (uint16_t)port;
		}
	}
}

int __wrap_traffic_open(const struct traffic_options *options, struct traffic **ret,
                        struct error *err)
{
	(void)options;
	(void)ret;
	return error_set(err, ERROR_UNSUPPORTED, "there are no network devices in this world");
}
