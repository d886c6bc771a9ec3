/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a probe: listens, takes in, and says what came. See probe.h. Owner thread, but for
 * receive_work. */
#include "agent/link/probe_private.h"

#include "agent/link/port_holder.h"
#include "common/alloc.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct far_end {
	struct errand errand;
	struct probes *probes;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	int listener;
	struct path_probe_plan plan;
	struct path_probe_arrival arrival;
	struct error error;
	int rc;
};

static void unwanted(void *context)
{
	struct far_end *f = context;

	f->in = NULL;
	atomic_store(&f->probes->stop, true);
}

static void receive_work(struct errand *e)
{
	struct far_end *f = (struct far_end *)e;

	f->rc = path_probe_receive(f->listener, &f->plan, &f->arrival, &f->error);
}

static void receive_done(struct errand *e)
{
	Drover__V1__MeasurePathEvent event = DROVER__V1__MEASURE_PATH_EVENT__INIT;
	Drover__V1__MeasurePathEvent__Arrived a = DROVER__V1__MEASURE_PATH_EVENT__ARRIVED__INIT;
	struct far_end *f = (struct far_end *)e;
	struct probes *p = f->probes;
	uint64_t others = 0;

	a.other_known = probe_end(p, &others);
	a.other_rx_bytes_per_s = others;
	p->busy = false;
	if (f->rc == 0) {
		a.bytes = f->arrival.bytes;
		a.took_ms = f->arrival.took_ms;
		a.measured = path_probe_rate(&f->arrival.arrivals, &a.payload_bytes_per_s,
		                             &a.spread_percent);
		if (!a.measured)
			error_set(&f->error, ERROR_REFUSED,
			          "%llu KiB in %llu ms are too little to say anything",
			          (unsigned long long)(a.bytes >> 10),
			          (unsigned long long)a.took_ms);
		else
			paths_received(p->agent,
			               path_payload_to_wire(a.payload_bytes_per_s, 0) + others);
	}
	if (f->in) {
		a.why = a.measured ? (char *)"" : f->error.text;
		event.event_case = DROVER__V1__MEASURE_PATH_EVENT__EVENT_ARRIVED;
		event.arrived = &a;
		(void)mesh_send(f->in, &event.base);
		mesh_finish(f->in);
	}
	free(f);
}

static void new_token(uint8_t token[PATH_PROBE_TOKEN_BYTES])
{
	const struct id halves[] = { id_new(), id_new() };

	static_assert(sizeof(halves) == PATH_PROBE_TOKEN_BYTES, "a token is two random ids");
	memcpy(token, halves, sizeof(halves));
}

static int open_far_end(struct far_end *f, const Drover__V1__MeasurePathRequest *r,
                        struct error *err)
{
	const struct agent_settings *s = f->probes->agent->settings;
	struct sockaddr_storage at;
	socklen_t bytes;

	if (strlen(r->source_address) >= sizeof(f->plan.peer_address) ||
	    port_address_parse(r->source_address, 0, &at, &bytes) < 0)
		return error_set(err, ERROR_INVALID, "\"%.63s\" is not an IP address",
		                 r->source_address);
	snprintf(f->plan.own_address, sizeof(f->plan.own_address), "%s", s->migration_address);
	snprintf(f->plan.peer_address, sizeof(f->plan.peer_address), "%s", r->source_address);
	f->plan.max_bytes = r->max_bytes && r->max_bytes < PATH_PROBE_MAX_BYTES
	                            ? r->max_bytes
	                            : PATH_PROBE_MAX_BYTES;
	f->plan.stop = &f->probes->stop;
	new_token(f->plan.token);
	return path_probe_listen(s->migration_address, probe_port(f->probes->agent), &f->listener,
	                         &f->plan.port, err);
}

static void tell_opened(const struct far_end *f)
{
	Drover__V1__MeasurePathEvent event = DROVER__V1__MEASURE_PATH_EVENT__INIT;
	Drover__V1__MeasurePathEvent__Opened o = DROVER__V1__MEASURE_PATH_EVENT__OPENED__INIT;

	o.address = (char *)f->plan.own_address;
	o.port = f->plan.port;
	o.token.data = (uint8_t *)f->plan.token;
	o.token.len = sizeof(f->plan.token);
	o.max_bytes = f->plan.max_bytes;
	event.event_case = DROVER__V1__MEASURE_PATH_EVENT__EVENT_OPENED;
	event.opened = &o;
	(void)mesh_send(f->in, &event.base);
}

void probe_serve(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__MeasurePathRequest *request)
{
	struct probes *p = agent->probes;
	struct far_end *f = xnew(struct far_end);
	struct error err;

	f->probes = p;
	f->in = in;
	f->errand.work = receive_work;
	f->errand.done = receive_done;
	if (agent_check_speaker(in, request->source_node, &err) < 0 || probe_check(p, &err) < 0 ||
	    open_far_end(f, request, &err) < 0) {
		mesh_fail_error(in, &err);
		free(f);
		return;
	}
	p->busy = true;
	atomic_store(&p->stop, false);
	probe_begin(p, TRAFFIC_RECEIVED, f->plan.peer_address, f->plan.port);
	mesh_incoming_on_cancel(in, unwanted, f);
	tell_opened(f);
	courier_send(p->courier, &f->errand);
}
