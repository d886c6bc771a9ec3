/* SPDX-License-Identifier: Apache-2.0 */
/* What changed here, to every coordinator that watches (Agent.Watch).
 *
 * A watcher that cannot keep up is not queued for: it misses what comes and gets a whole snapshot
 * once it can be written to again. The state counts, not the steps. Owner thread.
 */
#include "agent/agent.h"

#include "agent/host/guest_traffic.h"
#include "agent/host/offers.h"
#include "agent/mark.h"
#include "agent/source/source.h"
#include "agent/target/target.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

struct watcher {
	struct agent *agent;
	struct mesh_incoming *in;
	bool behind;
	struct watcher *next;
};

static const char *why_not_better(const struct agent *agent, const struct bandwidth_interface *i)
{
	const struct error *limit = traffic_find_limit(agent->traffic, i->name);

	if (i->blind)
		return "another program, XDP or hardware takes packets away before ours sees them";
	return limit && limit->code != ERROR_NONE ? limit->text : "";
}

static Drover__V1__InterfaceRate *rate_new(const struct agent *agent,
                                           const struct bandwidth_interface *i)
{
	Drover__V1__InterfaceRate *r = xmalloc(sizeof(*r));

	drover__v1__interface_rate__init(r);
	r->name = xstrdup(i->name);
	r->rx_bytes_per_s = i->rates[TRAFFIC_RECEIVED].bytes_per_s;
	r->tx_bytes_per_s = i->rates[TRAFFIC_SENT].bytes_per_s;
	r->rx_packets_per_s = i->rates[TRAFFIC_RECEIVED].packets_per_s;
	r->tx_packets_per_s = i->rates[TRAFFIC_SENT].packets_per_s;
	r->migration_rx_bytes_per_s = i->rates[TRAFFIC_RECEIVED].migration_bytes_per_s;
	r->migration_tx_bytes_per_s = i->rates[TRAFFIC_SENT].migration_bytes_per_s;
	r->unregistered_bytes_per_s = i->rates[TRAFFIC_RECEIVED].unregistered_bytes_per_s +
	                              i->rates[TRAFFIC_SENT].unregistered_bytes_per_s;
	if (strcmp(i->name, agent->settings->migration_interface) == 0)
		r->link_bytes_per_s = agent->link_bytes_per_s;
	r->why = xstrdup(why_not_better(agent, i));
	r->source = xstrdup(traffic_source_name(i->known ? i->source : TRAFFIC_SOURCE_NONE));
	return r;
}

static void fill_fences(Drover__V1__HostState *h, const struct fences *fences)
{
	h->fences = xcalloc(fences->count, sizeof(*h->fences));
	for (size_t i = 0; i < fences->count; i++) {
		Drover__V1__FenceMark *m = xmalloc(sizeof(*m));

		drover__v1__fence_mark__init(m);
		m->node = xstrdup(fences->items[i].node);
		m->epoch = fences->items[i].epoch;
		h->fences[h->n_fences++] = m;
	}
}

/* @whole: with what is told only when it changes. */
static Drover__V1__HostState *host_new(struct agent *agent, bool whole)
{
	const struct agent_settings *s = agent->settings;
	Drover__V1__HostState *h = xmalloc(sizeof(*h));

	drover__v1__host_state__init(h);
	h->node = xstrdup(s->node);
	h->agent_version = xstrdup(DROVER_VERSION);
	h->boot_id.data = xmemdup(agent->boot_id.bytes, ID_BYTES);
	h->boot_id.len = ID_BYTES;
	h->migration_address = xstrdup(s->migration_address);
	h->mesh_address = xstrdup(s->listen);
	h->cpus = agent->facts.cpus;
	h->libvirt_version = xstrdup(agent->facts.libvirt_version);
	h->hypervisor_version = xstrdup(agent->facts.hypervisor_version);
	h->libvirt_connected = agent->inventory.valid;
	/* That nobody has asked yet is no problem: it is about to be. */
	h->libvirt_problem = xstrdup(agent->inventory.valid || !agent->inventory.asked
	                                     ? ""
	                                     : agent->inventory.problem.text);
	target_fill_host(agent, h);
	offers_fill_host(agent, whole, h);
	h->agent_problem = xstrdup(agent->problem.text);
	h->interfaces = xcalloc(agent->bandwidth.n_interfaces, sizeof(*h->interfaces));
	for (size_t i = 0; i < agent->bandwidth.n_interfaces; i++)
		h->interfaces[h->n_interfaces++] = rate_new(agent, &agent->bandwidth.interfaces[i]);
	paths_fill_host(agent, h);
	guest_traffic_fill_host(&agent->inventory, h);
	h->drain_mark = mark_new(&agent->drain_mark);
	fill_fences(h, &agent->fences);
	h->labels = xcalloc(s->labels.count, sizeof(*h->labels));
	for (size_t i = 0; i < s->labels.count; i++)
		h->labels[h->n_labels++] = xstrdup(s->labels.items[i]);
	return h;
}

static Drover__V1__VmState *vm_new(struct agent *agent, const struct inventory_vm *vm)
{
	Drover__V1__VmState *m = wire_vm_state_new(vm, source_find_vm(agent, vm->uuid) != NULL);
	const struct memory_use *use = dirty_rates_find(agent->dirty_rates, vm->uuid);

	if (use)
		m->memory_use = wire_memory_use_new(use, clock_now_ms());
	return m;
}

static Drover__V1__AgentEvent__Snapshot *snapshot_new(struct agent *agent)
{
	Drover__V1__AgentEvent__Snapshot *s = xmalloc(sizeof(*s));
	struct inventory_vm *vm, *next;

	drover__v1__agent_event__snapshot__init(s);
	s->host = host_new(agent, true);
	s->inventory_valid = agent->inventory.valid;
	s->vms = xcalloc(HASH_COUNT(agent->inventory.vms), sizeof(*s->vms));
	if (agent->inventory.valid) {
		HASH_ITER (hh, agent->inventory.vms, vm, next)
			s->vms[s->n_vms++] = vm_new(agent, vm);
	}
	for (const struct source_attempt *a = agent->attempts; a; a = a->next) {
		s->attempts = xreallocarray(s->attempts, s->n_attempts + 1, sizeof(*s->attempts));
		s->attempts[s->n_attempts++] = source_report_new(a);
	}
	s->drain_mark = mark_new(&agent->drain_mark);
	return s;
}

static void send_event(struct watcher *w, const Drover__V1__AgentEvent *event)
{
	if (!w->behind && !mesh_send(w->in, &event->base))
		w->behind = true;
}

static void send_snapshot(struct watcher *w)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;

	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT;
	event.snapshot = snapshot_new(w->agent);
	send_event(w, &event);
	wire_free(event.snapshot);
}

static void caught_up(void *context)
{
	struct watcher *w = context;

	if (!w->behind)
		return;
	w->behind = false;
	send_snapshot(w);
}

static void watcher_gone(void *context)
{
	struct watcher *w = context;

	for (struct watcher **at = &w->agent->watchers; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	free(w);
}

void watchers_add(struct agent *agent, struct mesh_incoming *in)
{
	struct watcher *w = xnew(struct watcher);

	w->agent = agent;
	w->in = in;
	w->next = agent->watchers;
	agent->watchers = w;
	mesh_incoming_on_cancel(in, watcher_gone, w);
	mesh_incoming_on_writable(in, caught_up, w);
	send_snapshot(w);
}

static void send_all(struct agent *agent, const Drover__V1__AgentEvent *event)
{
	for (struct watcher *w = agent->watchers; w; w = w->next)
		send_event(w, event);
}

void watchers_host(struct agent *agent)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;

	if (!agent->watchers)
		return;
	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_HOST;
	event.host = host_new(agent, false);
	send_all(agent, &event);
	offers_told(agent);
	wire_free(event.host);
}

void watchers_vm(struct agent *agent, const struct inventory_vm *vm)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;

	if (!agent->watchers)
		return;
	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_VM;
	event.vm = vm_new(agent, vm);
	send_all(agent, &event);
	wire_free(event.vm);
}

void watchers_vm_gone(struct agent *agent, const char *uuid)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;

	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_VM_GONE_UUID;
	event.vm_gone_uuid = (char *)uuid;
	send_all(agent, &event);
}

void watchers_attempt(struct agent *agent, const struct source_attempt *a)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;

	if (!agent->watchers)
		return;
	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_ATTEMPT;
	event.attempt = source_report_new(a);
	send_all(agent, &event);
	wire_free(event.attempt);
}

void watchers_reset(struct agent *agent)
{
	for (struct watcher *w = agent->watchers; w; w = w->next)
		send_snapshot(w);
}

void watchers_stop(struct agent *agent)
{
	for (struct watcher *w = agent->watchers, *next; w; w = next) {
		next = w->next;
		free(w);
	}
	agent->watchers = NULL;
}
