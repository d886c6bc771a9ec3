/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, queue, and the edge of the core: what the coordinator's own edge does with threads. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BEGIN_MS 1000
#define ASK_MS   6000 /* when every agent has reported */
#define STORE_MS 2
#define BEAT_MS  4000
#define WEEK_MS  ((uint64_t)7 * 24 * 3600 * 1000)
/* Nothing has moved for longer than any refusal or failure is waited for (core/move/launch.c). */
#define STILL_MS       ((uint64_t)15 * 60 * 1000)
#define REQUEST_PEOPLE ((uint64_t)1 << 40)

/* xorshift64*: the same everywhere. */
static uint64_t draw(struct world *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * 2685821657736338717ULL;
}

double world_draw(struct world *w)
{
	return (double)(draw(w) >> 11) / (double)(1ULL << 53);
}

static struct id next_id(void *context)
{
	uint64_t words[2] = { draw(context), draw(context) };
	struct id id;

	memcpy(id.bytes, words, sizeof(id.bytes));
	return id;
}

void world_init(struct world *w, const struct world_options *options)
{
	*w = (struct world){ .options = *options, .now_ms = BEGIN_MS };
	w->random = options->seed * 0x9e3779b97f4a7c15ULL + 1;
	w->core.next_id = next_id;
	w->core.next_id_context = w;
	w->core.event_ring = 256;
}

void world_deinit(struct world *w)
{
	if (w->fleet)
		fleet_free(w->fleet);
	for (size_t i = 0; i < w->n_queue; i++)
		free(w->queue[i].data);
	for (size_t i = 0; i < w->n_hosts; i++) {
		host_state_deinit(&w->hosts[i].facts);
		drain_mark_deinit(&w->hosts[i].mark);
	}
	for (size_t i = 0; i < w->n_guests; i++)
		vm_state_deinit(&w->guests[i].facts);
	fluid_deinit(&w->fluid);
	free(w->queue);
	free(w->records);
	policies_deinit(w);
	for (size_t i = 0; i < w->n_policies; i++)
		policy_record_deinit(&w->policies[i]);
	free(w->policies);
	free(w->kept);
	free(w->hosts);
	free(w->by_name);
	free(w->guests);
	free(w->attempts);
	free(w->out);
	free(w->in);
	free(w->drained);
	free(w->step_us);
}

static int compare_names(const void *a, const void *b)
{
	const struct world_host *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int world_sort_hosts(struct world *w, struct error *err)
{
	w->by_name = xcalloc(w->n_hosts + 1, sizeof(*w->by_name));
	for (size_t i = 0; i < w->n_hosts; i++)
		w->by_name[i] = &w->hosts[i];
	qsort(w->by_name, w->n_hosts, sizeof(*w->by_name), compare_names);
	for (size_t i = 1; i < w->n_hosts; i++) {
		if (compare_names(&w->by_name[i - 1], &w->by_name[i]) == 0)
			return error_set(err, ERROR_INVALID, "nodes: %.64s is there twice",
			                 w->by_name[i]->name);
	}
	return 0;
}

size_t world_find_host(const struct world *w, const char *name)
{
	size_t low = 0, high = w->n_hosts;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(w->by_name[middle]->name, name);

		if (order == 0)
			return (size_t)(w->by_name[middle] - w->hosts);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NOWHERE;
}

size_t world_find_guest(const struct world *w, const char *uuid)
{
	for (size_t i = 0; i < w->n_guests; i++) {
		if (strcmp(w->guests[i].facts.uuid, uuid) == 0)
			return i;
	}
	return NOWHERE;
}

void world_trace(struct world *w, const char *what, const char *subject, const char *from,
                 const char *to, const char *text)
{
	FILE *f = w->options.trace;

	if (!f)
		return;
	fprintf(f, "{\"ms\":%" PRIu64 ",\"what\":\"%s\",\"subject\":",
	        w->now_ms > w->asked_ms && w->asked_ms ? w->now_ms - w->asked_ms : 0, what);
	json_write_string(f, subject);
	if (from) {
		fputs(",\"from\":", f);
		json_write_string(f, from);
	}
	if (to) {
		fputs(",\"to\":", f);
		json_write_string(f, to);
	}
	if (text && *text) {
		fputs(",\"text\":", f);
		json_write_string(f, text);
	}
	fputs("}\n", f);
}

/* --- the queue: a heap --- */

static bool is_before(const struct queued *a, const struct queued *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void swap(struct queued *a, struct queued *b)
{
	struct queued t = *a;

	*a = *b;
	*b = t;
}

void world_after(struct world *w, uint64_t delay_ms, enum queued_kind kind, size_t index,
                 uint64_t tag, void *data)
{
	size_t i = w->n_queue++;

	if (i == w->queue_capacity) {
		w->queue_capacity = i ? 2 * i : 256;
		w->queue = xreallocarray(w->queue, w->queue_capacity, sizeof(*w->queue));
	}
	w->queue[i] = (struct queued){
		w->now_ms + delay_ms, w->n_queued++, kind, index, tag, data
	};
	for (; i > 0 && is_before(&w->queue[i], &w->queue[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&w->queue[i], &w->queue[(i - 1) / 2]);
}

static struct queued take_first(struct world *w)
{
	struct queued first = w->queue[0];
	size_t i = 0;

	w->queue[0] = w->queue[--w->n_queue];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->n_queue)
			break;
		if (child + 1 < w->n_queue && is_before(&w->queue[child + 1], &w->queue[child]))
			child++;
		if (!is_before(&w->queue[child], &w->queue[i]))
			break;
		swap(&w->queue[i], &w->queue[child]);
		i = child;
	}
	return first;
}

/* --- the core --- */

static uint64_t cpu_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void note_step(struct world *w, uint64_t ns)
{
	w->cpu_ns += ns;
	w->steps++;
	if (w->n_step_us == w->step_us_capacity) {
		w->step_us_capacity = w->step_us_capacity ? 2 * w->step_us_capacity : 4096;
		w->step_us = xreallocarray(w->step_us, w->step_us_capacity, sizeof(*w->step_us));
	}
	w->step_us[w->n_step_us++] = (uint32_t)(ns / 1000);
}

static void take_reply(struct world *w, struct reply *reply)
{
	if (reply->kind == REPLY_ATTACH) {
		agents_say_everything(w, (size_t)(reply->request - 1));
		return;
	}
	if (reply->request < REQUEST_PEOPLE)
		return;
	w->n_replies++;
	if (reply->kind == REPLY_FAILED || reply->refused) {
		w->refused = true;
		snprintf(w->refusal, sizeof(w->refusal), "%s",
		         reply->kind == REPLY_FAILED ? reply->error.text
		         : reply->refusal            ? reply->refusal
		                                     : "refused, and nobody says why");
		world_trace(w, "refused", "drain", NULL, NULL, w->refusal);
	}
}

static void carry_out(struct world *w, struct action *action)
{
	struct reply *reply;
	struct batch *batch;

	switch (action->kind) {
	case ACTION_STORE:
		batch = take_pointer(action->store);
		world_after(w, STORE_MS, QUEUE_STORED, 0, batch->ticket, NULL);
		batch_free(batch);
		break;
	case ACTION_REPLY:
		reply = take_pointer(action->reply);
		take_reply(w, reply);
		reply_free(reply);
		break;
	case ACTION_EVENT:
		world_trace(w, "event", action->event.subject, NULL, NULL, action->event.text);
		break;
	case ACTION_STOP:
		w->refused = true;
		text_copy(w->refusal, sizeof(w->refusal), action->stop.text);
		break;
	case ACTION_CHANGED:
	case ACTION_REFUSED:
		break;
	default:
		agents_take_action(w, action);
		break;
	}
}

void world_step(struct world *w, struct event *event)
{
	struct action_list list = { 0 };
	uint64_t before;

	event->wall_ms = w->wall_ms + w->now_ms;
	before = cpu_now_ns();
	core_step(w->fleet, event, w->now_ms, &list);
	note_step(w, cpu_now_ns() - before);
	for (size_t i = 0; i < list.count; i++)
		carry_out(w, &list.items[i]);
	action_list_deinit(&list);
}

/* --- what is noted each second --- */

static const struct {
	const char *part, *reason;
} wait_reasons[] = {
	{ "outbound slots", "outbound slots of the source" },
	{ "migrations of the cluster", "the cluster's limit" },
	{ "inbound slots", "inbound slots of every destination" },
	{ "migration ports", "migration ports of every destination" },
	{ "tried again in", "after a failure" },
	{ "refused", "a destination's refusal" },
	{ "no destination", "no destination" },
	{ "waits for agents", "agents have not reported" },
	{ "", "other" },
};

static void note_wait(struct world *w, const char *text)
{
	size_t k = 0, i = 0;

	while (!strstr(text, wait_reasons[k].part))
		k++;
	while (i < WAITS_MAX && w->waits[i].reason &&
	       strcmp(w->waits[i].reason, wait_reasons[k].reason) != 0)
		i++;
	if (i == WAITS_MAX)
		return;
	w->waits[i].reason = wait_reasons[k].reason;
	w->waits[i].ms += 1000;
}

static void note_second(struct world *w)
{
	const struct caps *caps = &w->fleet->options.caps;
	bool out = false, in = false;

	for (const struct drain *d = w->fleet->drains; d; d = d->hh.next) {
		for (size_t i = 0; i < d->n_vms; i++) {
			if (d->vms[i].state == DRAIN_VM_WAITING ||
			    d->vms[i].state == DRAIN_VM_BLOCKED)
				note_wait(w, d->vms[i].reason);
		}
	}
	for (const struct node *node = w->fleet->nodes; node; node = node->hh.next) {
		out |= node->migrations_out >= caps->outbound;
		in |= node->migrations_in >= caps->inbound;
	}
	w->cluster_full_ms += w->fleet->slots_held >= caps->cluster ? 1000 : 0;
	w->outbound_full_ms += out ? 1000 : 0;
	w->inbound_full_ms += in ? 1000 : 0;
	if (w->fleet->n_active && w->fleet->slots_held)
		w->still_since_ms = w->now_ms;
}

/* --- the run --- */

static void take_queued(struct world *w, struct queued *q)
{
	struct event event = { 0 };

	switch (q->kind) {
	case QUEUE_STORED:
		event.kind = EVENT_STORED;
		event.stored_ticket = q->tag;
		world_step(w, &event);
		break;
	case QUEUE_TICK:
		event.kind = EVENT_TICK;
		world_step(w, &event);
		if (w->asked_ms)
			note_second(w);
		world_after(w, 1000, QUEUE_TICK, 0, 0, NULL);
		break;
	case QUEUE_BEAT:
		agents_say_host(w, q->index);
		world_after(w, BEAT_MS, QUEUE_BEAT, q->index, 0, NULL);
		break;
	case QUEUE_ATTACH:
		agents_attach(w, q->index);
		break;
	default:
		agents_take_queued(w, q);
		break;
	}
	free(q->data);
	policies_judge(w);
}

static void run_until(struct world *w, uint64_t until_ms, bool (*is_over)(const struct world *))
{
	while (w->n_queue && w->queue[0].at_ms <= until_ms && !(is_over && is_over(w))) {
		struct queued q = take_first(w);

		w->now_ms = q.at_ms;
		take_queued(w, &q);
	}
}

static bool is_over(const struct world *w)
{
	bool blocked = true;

	if (w->refused || w->broken[0])
		return true;
	for (const struct drain *d = w->fleet->drains; d; d = d->hh.next)
		blocked &= drain_state_is_final(d->kept.state);
	if (blocked && !w->fleet->n_active)
		return true;
	return w->now_ms > w->still_since_ms + STILL_MS;
}

/* One request, as an operator makes it: of all of them or of none. */
static void ask_drain(struct world *w)
{
	struct event event = { .kind = EVENT_DRAIN, .request = REQUEST_PEOPLE };
	struct names nodes = { 0 }, none = { 0 };

	for (size_t i = 0; i < w->n_drained; i++) {
		names_add(&nodes, w->hosts[w->drained[i]].name);
		world_trace(w, "drain", w->hosts[w->drained[i]].name, NULL, NULL, NULL);
	}
	event.drain.node = w->n_drained == 1 ? nodes.items[0] : "";
	event.drain.nodes = w->n_drained == 1 ? NULL : &nodes;
	event.drain.leave = &none;
	event.drain.reason = "simulation";
	world_step(w, &event);
	names_deinit(&nodes);
}

static void start(struct world *w)
{
	struct event event = { .kind = EVENT_LOADED };
	struct store_contents contents = { .nodes = w->records,
		                           .n_nodes = w->n_hosts,
		                           .policies = w->policies,
		                           .n_policies = w->n_policies,
		                           .vms = w->kept,
		                           .n_vms = w->n_kept };

	event.loaded = &contents;
	world_step(w, &event);
	world_after(w, 1000, QUEUE_TICK, 0, 0, NULL);
	for (size_t i = 0; i < w->n_hosts; i++) {
		if (!w->hosts[i].reachable)
			continue;
		world_after(w, 10 + i % 1000, QUEUE_ATTACH, i, 0, NULL);
		world_after(w, 2000 + i * 37 % BEAT_MS, QUEUE_BEAT, i, 0, NULL);
	}
}

int world_run(struct world *w, const char *const *names, size_t count, struct error *err)
{
	w->drained = xcalloc(count + 1, sizeof(*w->drained));
	for (size_t i = 0; i < count; i++) {
		size_t host = world_find_host(w, names[i]);

		if (host == NOWHERE)
			return error_set(err, ERROR_NOT_FOUND,
			                 "--drain %.64s: there is no such node in the file",
			                 names[i]);
		w->drained[w->n_drained++] = host;
	}
	w->fleet = fleet_new(&w->core);
	start(w);
	run_until(w, ASK_MS, NULL);
	w->now_ms = ASK_MS;
	w->asked_ms = w->still_since_ms = ASK_MS;
	intent_recall(w);
	if (w->n_drained)
		ask_drain(w);
	run_until(w, ASK_MS + (w->options.most_ms ? w->options.most_ms : WEEK_MS), is_over);
	return 0;
}
