/* SPDX-License-Identifier: Apache-2.0 */
/* A move that is prepared ahead of its slot: admitted, with its tunnel, and nothing of the guest touched. Its
 * next step is the coordinator's second order, which comes when a slot is free in the whole cluster.
 *
 *	LINKING --held--> PREPARED --let go--> LINKING --look--> journal --> confirm --> MOVING
 *	                      |                            |
 *	                      |                            '-- it is another guest now: likewise
 *	                      '-- no order in time: given back, and planned anew
 *
 * The destination has judged a guest of up to HELD_MOST_MS ago. libvirt tells nobody that a device was plugged
 * or memory added meanwhile, so it is described once more: what is sent has been judged.
 *
 * It holds memory and a port at the destination meanwhile, and no slot here. So it is given back by itself
 * well before the reservation or the tunnel, which waits for libvirt for a while only, would run out: a
 * coordinator that died keeps nobody's room, and nothing has to be renewed. An agent after this one gives it
 * back at once (source_adopt.c). Owner thread only. */
#include "agent/source/source.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From the admission on. Below RESERVATION_TTL_MS_DEFAULT and TUNNEL_WAIT_MS. */
#define HELD_MOST_MS 20000

static_assert(HELD_MOST_MS < RESERVATION_TTL_MS_DEFAULT, "it ends before its reservation does");

int source_check_hold(const struct agent *agent, struct error *err)
{
	unsigned held = source_count_active(agent) - source_count_slots(agent);

	if (held < SOURCE_HELD_MOST)
		return 0;
	return error_set(err, ERROR_BUSY,
	                 "%u migrations are prepared on %s and wait for a slot; %d may", held,
	                 agent->settings->node, SOURCE_HELD_MOST);
}

static void give_up(void *context)
{
	struct source_attempt *a = context;
	struct error why;

	/* No failure of anybody: the coordinator plans it anew (ERROR_CANCELLED). */
	error_set(&why, ERROR_CANCELLED,
	          "prepared, and given back: no migration slot became free within %d s",
	          HELD_MOST_MS / 1000);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

void source_hold(struct source_attempt *a)
{
	uint64_t most_ms = a->lease_ttl_ms / 3 * 2, now_ms = clock_now_ms();
	uint64_t until_ms;

	if (most_ms == 0 || most_ms > HELD_MOST_MS)
		most_ms = HELD_MOST_MS;
	until_ms = a->lease_renewed_ms + most_ms;
	source_enter(a, SOURCE_PREPARED);
	a->timer.fire = give_up;
	loop_timer_start(a->agent->loop, &a->timer, until_ms > now_ms ? until_ms - now_ms : 0);
	source_changed(a);
}

/* --- is it the guest that was judged? --- */

struct look_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	struct vm_description now;
	int rc;
	struct error error;
};

static void look_work(struct errand *e)
{
	struct look_errand *l = (struct look_errand *)e;

	l->rc = l->hypervisor->ops->describe(l->hypervisor, l->uuid, &l->now, &l->error);
}

static bool same_disks(const struct source_attempt *a, const struct vm_description *now)
{
	bool same = now->n_disks == a->n_disks;

	for (size_t i = 0; same && i < now->n_disks; i++) {
		const struct vm_disk *is = &now->disks[i], *was = &a->disks[i];

		same = strcmp(is->target, was->target) == 0 && strcmp(is->type, was->type) == 0 &&
		       strcmp(is->device, was->device) == 0 &&
		       strcmp(is->source, was->source) == 0 &&
		       strcmp(is->format, was->format) == 0 && is->read_only == was->read_only &&
		       is->shareable == was->shareable;
	}
	return same;
}

static bool same_interfaces(const Drover__V1__VmDescription *left, const struct vm_description *now)
{
	bool same = now->n_interfaces == left->n_interfaces;

	for (size_t i = 0; same && i < now->n_interfaces; i++) {
		const struct vm_interface *is = &now->interfaces[i];
		const Drover__V1__Interface *was = left->interfaces[i];

		same = strcmp(is->mac, was->mac) == 0 && strcmp(is->type, was->type) == 0 &&
		       strcmp(is->source, was->source) == 0 && strcmp(is->model, was->model) == 0;
	}
	return same;
}

static bool same_places(const Drover__V1__VmDescription *left, const struct vm_description *now)
{
	bool same = now->n_places == left->n_places;

	for (size_t i = 0; same && i < now->n_places; i++)
		same = strcmp(now->places[i].name, left->places[i]->name) == 0 &&
		       strcmp(now->places[i].where, left->places[i]->where) == 0;
	return same;
}

/* What of it is not as it was judged, or stands in the way now; NULL: nothing. */
static const char *find_change(const struct source_attempt *a, const struct vm_description *now)
{
	const Drover__V1__VmDescription *left = a->left;

	if (!now->summary.active)
		return "it does not run any more";
	if (a->guest_end != VM_END_NONE)
		return "it has ended, and was started again";
	if (now->summary.state != (a->order.paused ? VM_PAUSED : VM_RUNNING))
		return now->summary.state == VM_PAUSED ? "it is paused" : "what it is doing";
	if (a->order.paused && strcmp(now->summary.reason, left->state_reason) != 0)
		return "why it is paused";
	if (now->summary.job_out)
		return "somebody else migrates it";
	if (now->disk_error[0])
		return "a disk of it fails";
	if (now->summary.memory_bytes != a->memory_bytes ||
	    now->hugepage_bytes != left->hugepage_bytes)
		return "its memory";
	if (now->summary.vcpus != left->vcpus || now->vcpus_maximum != left->vcpus_maximum)
		return "its vCPUs";
	if (!same_disks(a, now))
		return "its disks";
	if (!same_interfaces(left, now))
		return "its interfaces";
	if (!same_places(left, now))
		return "what it uses of its host";
	if (now->summary.persistent != a->order.persistent ||
	    now->summary.autostart != a->order.autostart)
		return "whether it is defined, or starts with its host";
	for (size_t i = 0; i < now->blockers.count; i++) {
		if (now->blockers.items[i].verdict >= CHECK_FAIL)
			return now->blockers.items[i].measured;
	}
	return NULL;
}

static void looked(struct errand *e)
{
	struct look_errand *l = (struct look_errand *)e;
	struct source_attempt *a = l->base.attempt;
	const char *change;
	struct error why;

	if (!source_home(&l->base, SOURCE_LINKING)) {
		/* It is over meanwhile. */
	} else if (l->rc < 0) {
		error_context(&l->error, "describing the guest on %s", a->agent->settings->node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &l->error);
	} else if ((change = find_change(a, &l->now))) {
		/* Judged anew, and no failure of anybody. */
		error_set(&why, ERROR_CANCELLED,
		          "given back: the guest has changed since it was prepared: %s", change);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
	} else {
		source_linked(a);
	}
	if (l->rc == 0)
		vm_description_deinit(&l->now);
	free(l);
}

static void look(struct source_attempt *a)
{
	struct look_errand *l = xnew(struct look_errand);

	source_enter(a, SOURCE_LINKING);
	l->base.errand.work = look_work;
	l->base.errand.done = looked;
	l->hypervisor = a->agent->hypervisor;
	memcpy(l->uuid, a->order.vm_uuid, sizeof(l->uuid));
	source_send(a, &l->base, a->agent->couriers);
}

int source_let_go(struct source_attempt *a, struct error *err)
{
	if (source_check_slot(a->agent, err) < 0)
		return -(int)err->code;
	a->order.waits_for_slot = false;
	if (a->stage == SOURCE_PREPARED)
		look(a);
	source_changed(a);
	return 0;
}
