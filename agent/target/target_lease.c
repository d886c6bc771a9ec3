/* SPDX-License-Identifier: Apache-2.0 */
/* Leases after admission: renewed, asked about right before the start. See target.h.
 *
 * "Starting" is answered from a list of guests that was begun after the question: what was started by
 * hand since the admission is in it. Owner thread only. */
#include "agent/target/target.h"

#include "agent/failpoints.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A source that is about to start and waits for the next list. */
struct starting {
	struct agent *agent;
	struct mesh_incoming *in;
	struct attempt_name name;
	uint64_t wanted_reading;
	struct starting *next;
};

static void reply_lease(struct mesh_incoming *in, bool held, uint64_t ttl_ms)
{
	Drover__V1__LeaseReply reply = DROVER__V1__LEASE_REPLY__INIT;

	reply.held = held;
	reply.lease_ttl_ms = ttl_ms;
	mesh_reply(in, &reply.base);
}

static void reply_renewed(struct mesh_incoming *in, uint64_t ttl_ms)
{
	FAILPOINT(target_before_renew_reply);
	reply_lease(in, true, ttl_ms);
}

static void reply_lost(struct mesh_incoming *in, const struct reservation *r,
                       const struct error *why)
{
	Drover__V1__LeaseReply reply = DROVER__V1__LEASE_REPLY__INIT;
	struct check c = { .id = "reservation", .verdict = CHECK_FAIL };
	char need[UNITS_TEXT_BYTES];
	Drover__V1__Check **checks;

	snprintf(c.measured, sizeof(c.measured), "%.191s", why->text);
	snprintf(c.required, sizeof(c.required), "room for the %s that were reserved",
	         units_format_bytes(r->memory_bytes, need));
	snprintf(c.remedy, sizeof(c.remedy),
	         "what runs here has grown since the admission, by hand or by a restart: it goes "
	         "elsewhere, or here when there is room again");
	checks = wire_checks_new(&c, 1);
	reply.lost = true;
	reply.lost_check = checks[0];
	mesh_reply(in, &reply.base);
	wire_free(checks[0]);
	free(checks);
}

static void forget(struct starting *s)
{
	for (struct starting **at = &s->agent->starting; *at; at = &(*at)->next) {
		if (*at == s) {
			*at = s->next;
			break;
		}
	}
	free(s);
}

static void starting_unwanted(void *context)
{
	forget(context);
}

static void answer(struct starting *s)
{
	struct reservations *books = s->agent->reservations;
	const struct reservation *r = reservations_find(books, &s->name);
	struct error err;

	if (reservations_check(books, &s->name, &err) == 0) {
		reply_renewed(s->in, r->ttl_ms);
	} else if (err.code == ERROR_NO_SPACE) {
		log_warning("the reservation for %s from %s is lost: %s", r->vm_name,
		            r->source_node, err.text);
		reply_lost(s->in, r, &err);
	} else {
		mesh_fail_error(s->in, &err);
	}
}

void target_lease_guests_listed(struct agent *agent)
{
	for (struct starting *s = agent->starting, *next; s; s = next) {
		next = s->next;
		if (agent->inventory.valid && agent->inventory.readings < s->wanted_reading)
			continue;
		answer(s);
		forget(s);
	}
}

static void answer_with_next_list(struct agent *agent, struct mesh_incoming *in,
                                  const struct attempt_name *name)
{
	struct inventory *inv = &agent->inventory;
	struct starting *s = xnew(struct starting);

	s->agent = agent;
	s->in = in;
	s->name = *name;
	/* A reading that is under way began before. */
	s->wanted_reading = inv->readings + (inv->reading ? 2 : 1);
	s->next = agent->starting;
	agent->starting = s;
	mesh_incoming_on_cancel(in, starting_unwanted, s);
	inventory_refresh(inv);
}

void target_renew(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__AttemptRequest *request)
{
	struct attempt_name name;
	const struct reservation *r;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) <
	            0 ||
	    reservations_renew(agent->reservations, &name, clock_now_ms(), &r, &err) < 0)
		mesh_fail_error(in, &err);
	else if (request->starting)
		answer_with_next_list(agent, in, &name);
	else
		reply_renewed(in, r->ttl_ms);
}
