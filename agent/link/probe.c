/* SPDX-License-Identifier: Apache-2.0 */
/* The near end of a probe, and what both ends share. See probe.h. Owner thread, but for send_work. */
#include "agent/link/probe_private.h"

#include "agent/source/source.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/path_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 3000
#define CALL_MS    (PATH_PROBE_BOUND_MS + 2000)
#define WATCH_MS   100
/* Others suffer when less than half is left of what was there, if that was something, in two windows in a
 * row: one may be a sender that the CPU kept waiting. */
#define SUFFERS_BYTES_PER_S ((uint64_t)2 << 20)
#define SUFFERS_WINDOWS     2

struct probes *probes_new(struct agent *agent)
{
	struct probes *p = xnew(struct probes);

	p->agent = agent;
	p->courier = courier_pool_new(agent->loop, 1);
	return p;
}

void probes_stop(struct agent *agent)
{
	struct probes *p = agent->probes;

	if (!p || !p->courier)
		return;
	atomic_store(&p->stop, true);
	loop_timer_stop(agent->loop, &p->watch);
	courier_pool_free(p->courier);
	p->courier = NULL;
}

void probes_free(struct probes *p)
{
	free(p);
}

uint16_t probe_port(const struct agent *agent)
{
	const struct agent_settings *s = agent->settings;

	return (uint16_t)(s->port_last < UINT16_MAX ? s->port_last + 1 : s->port_first - 1);
}

int probe_check(const struct probes *p, struct error *err)
{
	const struct agent *agent = p->agent;
	uint64_t now_ms = clock_now_ms();
	size_t leases;

	(void)reservations_get_all(agent->reservations, &leases);
	if (agent->stopping || agent->draining)
		return error_set(err, ERROR_UNREACHABLE, "the agent of %s is stopping",
		                 agent->settings->node);
	if (p->busy)
		return error_set(err, ERROR_BUSY, "%s is measuring another way just now",
		                 agent->settings->node);
	if (leases || source_count_moving(agent))
		return error_set(err, ERROR_BUSY,
		                 "guests are moving from or to %s: what they get is measured",
		                 agent->settings->node);
	if (p->last_ms && now_ms - p->last_ms < PROBE_EVERY_MS)
		return error_set(err, ERROR_BUSY,
		                 "%s measured a way %u s ago; it may again in %u s, to take less "
		                 "than 1 %% of the link",
		                 agent->settings->node, (unsigned)((now_ms - p->last_ms) / 1000),
		                 (unsigned)((PROBE_EVERY_MS - (now_ms - p->last_ms)) / 1000 + 1));
	return 0;
}

/* --- around the transfer --- */

static struct probe_count count_others(const struct probes *p)
{
	const struct agent *agent = p->agent;
	const struct bandwidth_interface *i = bandwidth_find_interface(
		&agent->bandwidth, agent->settings->migration_interface);
	struct probe_count c = { 0 };

	if (!i || !i->known || !i->classified || !p->endpoint_registered)
		return c;
	c.known = true;
	c.at_ns = i->last_ns;
	c.bytes = i->last.counters[p->direction].wire_bytes -
	          i->last.counters[p->direction].migration_wire_bytes;
	return c;
}

static bool rate_between(const struct probe_count *from, const struct probe_count *to,
                         uint64_t *ret_bytes_per_s)
{
	if (!from->known || !to->known || to->at_ns <= from->at_ns || to->bytes < from->bytes)
		return false;
	*ret_bytes_per_s = (uint64_t)((double)(to->bytes - from->bytes) * 1e9 /
	                              (double)(to->at_ns - from->at_ns));
	return true;
}

static void watch(void *context)
{
	struct probes *p = context;
	struct probe_count now;
	uint64_t rate;

	agent_read_traffic(p->agent);
	now = count_others(p);
	if (p->usual_bytes_per_s >= SUFFERS_BYTES_PER_S && rate_between(&p->last, &now, &rate)) {
		p->suffered = rate < p->usual_bytes_per_s / 2 ? p->suffered + 1 : 0;
		if (p->suffered >= SUFFERS_WINDOWS)
			atomic_store(&p->stop, true);
	}
	if (now.at_ns > p->last.at_ns)
		p->last = now;
	loop_timer_start(p->agent->loop, &p->watch, WATCH_MS);
}

void probe_begin(struct probes *p, int direction, const char *peer, uint16_t port)
{
	struct agent *agent = p->agent;
	const struct bandwidth_interface *i = bandwidth_find_interface(
		&agent->bandwidth, agent->settings->migration_interface);
	struct error err;

	p->direction = direction;
	p->last_ms = clock_now_ms();
	agent_read_traffic(agent);
	/* One that is counted already is a migration's: its counters are not ours to end. */
	p->endpoint_registered = agent->traffic &&
	                         traffic_endpoint_parse(peer, port, direction == TRAFFIC_SENT,
	                                                &p->endpoint, &err) == 0 &&
	                         !bandwidth_find_endpoint(&agent->bandwidth, &p->endpoint) &&
	                         traffic_register(agent->traffic, &p->endpoint, &err) == 0;
	p->usual_bytes_per_s = 0;
	p->suffered = 0;
	if (i && i->known && i->classified)
		p->usual_bytes_per_s = i->rates[direction].bytes_per_s -
		                       i->rates[direction].migration_bytes_per_s;
	agent_read_traffic(agent);
	p->before = p->last = count_others(p);
	p->watch.fire = watch;
	p->watch.context = p;
	loop_timer_start(agent->loop, &p->watch, WATCH_MS);
}

bool probe_end(struct probes *p, uint64_t *ret_others)
{
	struct probe_count now;

	loop_timer_stop(p->agent->loop, &p->watch);
	agent_read_traffic(p->agent);
	now = count_others(p);
	if (p->endpoint_registered)
		traffic_unregister(p->agent->traffic, &p->endpoint);
	p->endpoint_registered = false;
	return rate_between(&p->before, &now, ret_others);
}

static bool probe_must_yield(const struct probes *p)
{
	size_t leases;

	(void)reservations_get_all(p->agent->reservations, &leases);
	return atomic_load(&p->stop) || leases || source_count_moving(p->agent);
}

void probe_yield(struct agent *agent)
{
	if (agent->probes)
		atomic_store(&agent->probes->stop, true);
}

/* --- the near end --- */

struct near_end {
	struct errand errand;
	struct probes *probes;
	char node[128];
	void (*done)(const struct probe_result *result, void *context);
	void *context;
	struct path_probe_plan plan;
	bool opened, began, sending, call_over, arrived;

	/* What came of it. */
	struct error send_error; /* the courier's, until it is home */
	struct path_probe_departure departure;
	struct path_probe probe;
	struct probe_result result;
};

/* The courier is home and the call is over: whichever is last. */
static void conclude(struct near_end *n)
{
	struct probes *p = n->probes;
	uint64_t others = 0;

	if (n->sending || !n->call_over)
		return;
	if (n->began && probe_end(p, &others))
		n->probe.near_other_bytes_per_s = others;
	else
		n->probe.other_known = false;
	p->busy = false;
	if (n->send_error.code != ERROR_NONE)
		n->result.error = n->send_error;
	if (!n->arrived && n->result.error.code == ERROR_NONE)
		error_set(&n->result.error, ERROR_PROTOCOL, "%s did not say what arrived", n->node);
	if (n->result.error.code == ERROR_NONE) {
		n->probe.at_ms = clock_now_ms();
		n->probe.bytes_per_s = path_payload_to_wire(n->probe.bytes_per_s, n->departure.mss);
		paths_probed(p->agent, n->node, &n->probe);
	} else {
		log_info("the way to %s was not measured: %s", n->node, n->result.error.text);
		paths_not_probed(p->agent, n->node, &n->result.error);
	}
	n->done(&n->result, n->context);
	free(n);
}

static void send_work(struct errand *e)
{
	struct near_end *n = (struct near_end *)e;
	struct error err = { 0 };

	if (path_probe_send(&n->plan, &n->departure, &err) < 0)
		n->send_error = err;
}

static void send_done(struct errand *e)
{
	struct near_end *n = (struct near_end *)e;

	n->sending = false;
	conclude(n);
}

static bool read_opened(struct near_end *n, const Drover__V1__MeasurePathEvent__Opened *m)
{
	if (n->opened || m->token.len != PATH_PROBE_TOKEN_BYTES || !m->port ||
	    m->port > UINT16_MAX || strlen(m->address) >= sizeof(n->plan.peer_address) ||
	    !path_probe_may_send(n->plan.own_address, m->address, (uint16_t)m->port))
		return false;
	n->opened = true;
	memcpy(n->plan.token, m->token.data, PATH_PROBE_TOKEN_BYTES);
	snprintf(n->plan.peer_address, sizeof(n->plan.peer_address), "%s", m->address);
	n->plan.port = (uint16_t)m->port;
	if (m->max_bytes < n->plan.max_bytes)
		n->plan.max_bytes = m->max_bytes;
	return true;
}

static void take_arrived(struct near_end *n, const Drover__V1__MeasurePathEvent__Arrived *m)
{
	/* Why this end sent nothing is the reason for what did not arrive. */
	if (!n->began)
		return;
	n->arrived = true;
	n->result.bytes = m->bytes;
	n->result.took_ms = m->took_ms;
	n->probe.bytes_per_s = m->payload_bytes_per_s;
	n->probe.spread_percent = m->spread_percent;
	n->probe.other_known = m->other_known;
	n->probe.far_other_bytes_per_s = m->other_rx_bytes_per_s;
	if (!m->measured || !m->payload_bytes_per_s)
		error_set(&n->result.error, ERROR_REFUSED, "%s: %.200s", n->node, m->why);
}

static void far_end_says(const Drover__V1__MeasurePathEvent *m, void *context)
{
	struct near_end *n = context;
	struct probes *p = n->probes;

	switch (m->event_case) {
	case DROVER__V1__MEASURE_PATH_EVENT__EVENT_OPENED:
		if (!read_opened(n, m->opened)) {
			error_set(&n->result.error, ERROR_PROTOCOL, "%s opened no usable port",
			          n->node);
			return;
		}
		/* It was agreed on before: by now a guest may be about to move. */
		if (probe_must_yield(p)) {
			error_set(&n->result.error, ERROR_BUSY,
			          "a guest is about to move from or to %s",
			          p->agent->settings->node);
			return;
		}
		n->began = n->sending = true;
		probe_begin(p, TRAFFIC_SENT, n->plan.peer_address, n->plan.port);
		courier_send(p->courier, &n->errand);
		return;
	case DROVER__V1__MEASURE_PATH_EVENT__EVENT_ARRIVED:
		take_arrived(n, m->arrived);
		return;
	default:
		return;
	}
}

static void far_end_ended(const struct mesh_result *result, void *context)
{
	struct near_end *n = context;

	n->call_over = true;
	if (result->status != MESH_OK) {
		if (n->result.error.code == ERROR_NONE)
			n->result.error = result->error;
		atomic_store(&n->probes->stop, true);
	}
	conclude(n);
}

static void connected(struct mesh_connection *c, const struct error *err, void *context)
{
	Drover__V1__MeasurePathRequest request = DROVER__V1__MEASURE_PATH_REQUEST__INIT;
	struct near_end *n = context;
	const struct agent_settings *s = n->probes->agent->settings;

	if (!c || n->probes->agent->stopping) {
		if (err)
			n->result.error = *err;
		n->call_over = true;
		conclude(n);
		return;
	}
	request.source_node = s->node;
	request.source_address = s->migration_address;
	request.max_bytes = n->plan.max_bytes;
	agent_call_measure_path(c, &request, CALL_MS, far_end_says, far_end_ended, n);
}

void probe_path(struct agent *agent, const char *node, const char *address,
                void (*done)(const struct probe_result *result, void *context), void *context)
{
	struct probe_result refused = { 0 };
	struct probes *p = agent->probes;
	const struct agent_settings *s = agent->settings;
	struct near_end *n;

	if (probe_check(p, &refused.error) < 0) {
		done(&refused, context);
		return;
	}
	p->busy = true;
	atomic_store(&p->stop, false);
	n = xnew(struct near_end);
	n->errand.work = send_work;
	n->errand.done = send_done;
	n->probes = p;
	n->done = done;
	n->context = context;
	snprintf(n->node, sizeof(n->node), "%s", node);
	snprintf(n->plan.own_address, sizeof(n->plan.own_address), "%s", s->migration_address);
	snprintf(n->plan.interface, sizeof(n->plan.interface), "%s", s->migration_interface);
	n->plan.stop = &p->stop;
	n->plan.max_bytes = PATH_PROBE_MAX_BYTES;
	if (agent->link_bytes_per_s && agent->link_bytes_per_s / 100 * 35 < n->plan.max_bytes)
		n->plan.max_bytes = agent->link_bytes_per_s / 100 * 35;
	peers_with_connection(agent, node, address, CONNECT_MS, connected, n);
}

void probe_path_if_stale(struct agent *agent, const char *node, const char *address,
                         void (*done)(const struct probe_result *result, void *context),
                         void *context)
{
	struct probe_result nothing = { 0 };

	if (agent->settings->probe && paths_is_stale(agent, node))
		probe_path(agent, node, address, done, context);
	else
		done(&nothing, context);
}

/* --- on a coordinator's order --- */

struct order {
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char node[128];
};

static void order_unwanted(void *context)
{
	((struct order *)context)->in = NULL;
}

static void order_done(const struct probe_result *result, void *context)
{
	Drover__V1__ProbePathReply reply = DROVER__V1__PROBE_PATH_REPLY__INIT;
	struct order *o = context;
	struct path_estimate e;

	if (o->in) {
		paths_estimate(o->agent, o->node, &e);
		reply.path = path_message_new(o->node, &e);
		reply.measured = result->error.code == ERROR_NONE;
		reply.why_not = (char *)result->error.text;
		reply.bytes = result->bytes;
		reply.took_ms = result->took_ms;
		mesh_reply(o->in, &reply.base);
		wire_free(reply.path);
	}
	free(o);
}

void probe_order(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__ProbePathRequest *request)
{
	struct order *o;
	struct error err;

	if (agent_see_epoch(agent, request->epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	o = xnew(struct order);
	o->agent = agent;
	o->in = in;
	snprintf(o->node, sizeof(o->node), "%s", request->target_node);
	mesh_incoming_on_cancel(in, order_unwanted, o);
	probe_path(agent, request->target_node, request->target_address, order_done, o);
}
