/* SPDX-License-Identifier: Apache-2.0 */
/* The source's own fences around a move: its outbound cap before an order is accepted, and the question
 * to the destination, right before libvirt is asked, whether the reservation still holds.
 *
 * The coordinator counts slots too; this is the second fence (invariant I3), for the day when two of
 * them think that they lead. Between the destination's answer and QEMU's allocation there is a fraction
 * of a second in which a guest can be started there by hand: see agent/kernel/reservations.h. Owner
 * thread only. */
#include "agent/source/source.h"

#include "agent/wire.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <stdio.h>
#include <string.h>

/* The destination lists its guests anew for the answer. */
#define CONFIRM_TIMEOUT_MS 5000
#define CONNECT_TIMEOUT_MS 5000

/* --- the cap --- */

static void add_check(struct source_attempt *a, const struct check *check)
{
	if (!a->checks)
		a->checks = xnew(struct check_list);
	/* A destination that fills the list has refused for a reason of its own. */
	if (a->checks->count < CHECKS_MAX)
		a->checks->items[a->checks->count++] = *check;
}

static void name_holders(const struct agent *agent, char *to, size_t bytes)
{
	size_t used = 0;

	to[0] = '\0';
	for (const struct source_attempt *a = agent->attempts; a && used < bytes; a = a->next) {
		if (a->stage != SOURCE_ENDED && !a->order.waits_for_slot)
			used += (size_t)snprintf(to + used, bytes - used, "%s%.40s to %.20s",
			                         used ? ", " : "", a->order.vm_name,
			                         a->order.target_node);
	}
}

static void judge_slot(const struct agent *agent, struct check *ret)
{
	uint64_t cap = agent->settings->parallel_outbound;
	unsigned taken = source_count_slots(agent);
	struct check c = { .id = "slot/outbound", .verdict = CHECK_PASS };
	char holders[96];

	name_holders(agent, holders, sizeof(holders));
	snprintf(c.measured, sizeof(c.measured), "%u of %llu taken on %.40s%s%s", taken,
	         (unsigned long long)cap, agent->settings->node, holders[0] ? ": " : "", holders);
	snprintf(c.required, sizeof(c.required), "one of %llu outbound slots free",
	         (unsigned long long)cap);
	if (cap && taken >= cap) {
		c.verdict = CHECK_FAIL;
		snprintf(c.remedy, sizeof(c.remedy),
		         "wait for one of them, or raise migration/parallelOutbound of this agent");
	}
	*ret = c;
}

int source_check_slot(const struct agent *agent, struct error *err)
{
	struct check c;

	judge_slot(agent, &c);
	if (c.verdict == CHECK_PASS)
		return 0;
	return error_set(err, ERROR_BUSY, "outbound slots: %s", c.measured);
}

void source_add_slot_check(struct source_attempt *a)
{
	struct check c;

	judge_slot(a->agent, &c);
	add_check(a, &c);
}

/* --- does the reservation hold? --- */

static void lost(struct source_attempt *a, const Drover__V1__LeaseReply *reply)
{
	_cleanup_free_ struct check_list *got = xnew(struct check_list);
	struct check c = { .id = "reservation",
		           .measured = "the destination does not say why",
		           .required = "the reservation of this attempt" };
	struct error why;

	if (reply->lost_check && wire_checks_read(&reply->lost_check, 1, got, &why) == 0)
		c = got->items[0];
	/* It stops the move, whatever verdict the peer writes on it. */
	c.verdict = CHECK_FAIL;
	add_check(a, &c);
	error_set(&why, ERROR_RESERVATION_LOST,
	          "the reservation on %s is lost, and nothing was started: %s",
	          a->order.target_node, c.measured);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

/* One that was started again since is not the one that was judged; and a guest that is gone from here after such
 * an end would pass for one that ended during its move, which nobody resumes. */
static void give_back_ended(struct source_attempt *a)
{
	struct error why;

	error_set(&why, ERROR_CANCELLED,
	          "given back: it has ended since its move was ordered, before it was touched");
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

static void confirmed(const struct mesh_result *result, const Drover__V1__LeaseReply *reply,
                      void *context)
{
	struct source_attempt *a = context;
	struct error err;

	a->errands--;
	if (a->stage != SOURCE_LINKING)
		return;
	if (result->status != MESH_OK) {
		err = result->error;
		error_context(&err, "asking %s whether the reservation still holds",
		              a->order.target_node);
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &err);
	} else if (reply->lost || !reply->held) {
		lost(a, reply);
	} else if (a->guest_end != VM_END_NONE) {
		give_back_ended(a);
	} else {
		a->lease_renewed_ms = clock_now_ms();
		source_move_start(a);
	}
}

static void ask(struct mesh_connection *c, const struct error *err, void *context)
{
	struct source_attempt *a = context;
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;

	if (a->stage != SOURCE_LINKING || !c) {
		a->errands--;
		if (a->stage == SOURCE_LINKING)
			source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, err);
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	request.starting = true;
	agent_call_renew_lease(c, &request, CONFIRM_TIMEOUT_MS, confirmed, a);
	wire_free(request.attempt);
}

void source_confirm(struct source_attempt *a)
{
	a->errands++;
	peers_with_connection(a->agent, a->order.target_node, a->order.target_address,
	                      CONNECT_TIMEOUT_MS, ask, a);
}
