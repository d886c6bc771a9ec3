/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a rolling operation that the coordinator does: emptying hosts, and the wait until one is
 * ready. Both are asked for once a second, so that a coordinator that is away for a while is no end. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/id.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

#define ASK_EVERY_MS 1000
/* A drain that is blocked so long waits for something that does not come by itself. */
#define BLOCKED_MS (15 * 60 * 1000)
/* So long without anything blocked is no retry any more. */
#define UNBLOCKED_MS (60 * 1000)
/* A host that is about to go down for a reboot still looks ready. */
#define STEADY_MS 10000
/* Agents speak every 2 s. */
#define FRESH_MS 6000

static bool never(void *context)
{
	(void)context;
	return false;
}

/* EXIT_DONE: go on. */
static enum exit_code pause_a_moment(struct roll *roll, const char *node)
{
	client_wait(roll->s->client, ASK_EVERY_MS, never, NULL);
	if (client_is_interrupted(roll->s->client)) {
		roll->failed_node = node;
		return EXIT_INTERRUPTED;
	}
	if (client_is_overdue(roll->s->client)) {
		roll->failed_node = node;
		roll_tell(roll, node, "failed", "the time given by --timeout is over");
		return EXIT_TIMEOUT;
	}
	return EXIT_DONE;
}

/* --- hosts as they are now --- */

static const Drover__V1__Node *find_node(const Drover__V1__NodeList *list, const char *name)
{
	for (size_t i = 0; i < list->n_nodes; i++) {
		if (strcmp(list->nodes[i]->name, name) == 0)
			return list->nodes[i];
	}
	return NULL;
}

static enum exit_code list_nodes(struct roll *roll, Drover__V1__NodeList **ret_list)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;

	return session_ask_list_nodes(roll->s, "listing the nodes", &request, ret_list);
}

static const char *how_to_open(const Drover__V1__Node *node)
{
	const char *state = node ? node->state : "";

	if (strcmp(state, "maintenance") == 0 || strcmp(state, "draining") == 0)
		return "drover undrain ";
	return strcmp(state, "cordoned") == 0 ? "drover uncordon " : "drover explain node/";
}

enum exit_code roll_check_ready(struct roll *roll, struct roll_host **group, size_t count)
{
	_cleanup_reply_ Drover__V1__NodeList *list = NULL;
	enum exit_code code = list_nodes(roll, &list);

	for (size_t i = 0; list && i < count; i++) {
		const Drover__V1__Node *node = find_node(list, group[i]->name);

		if (group[i]->stage != ROLL_NOT_BEGUN ||
		    (node && strcmp(node->state, "ready") == 0))
			continue;
		roll_tell(roll, group[i]->name, "refused",
		          "is %s%s%s, and not by this operation: make it ready (%s%s), or leave "
		          "it out (-l '...,!KEY')",
		          node ? node->state : "not there any more",
		          node && *node->reason ? ": " : "", node ? node->reason : "",
		          how_to_open(node), group[i]->name);
		roll->failed_node = group[i]->name;
		code = EXIT_REFUSED;
	}
	return code;
}

enum exit_code roll_check_empty(struct roll *roll, struct roll_host **group, size_t count)
{
	_cleanup_reply_ Drover__V1__NodeList *list = NULL;
	enum exit_code code = list_nodes(roll, &list);

	if (code != EXIT_DONE)
		roll->failed_node = group[0]->name;
	for (size_t i = 0; list && i < count; i++) {
		const Drover__V1__Node *node = find_node(list, group[i]->name);

		if (node && strcmp(node->state, "maintenance") == 0 && node->vms == 0)
			continue;
		roll_tell(
			roll, group[i]->name, "refused",
			"is %s with %u active %s; the hook runs only on a host in maintenance with "
			"none: drover vms --node %s",
			node ? node->state : "not there any more", node ? node->vms : 0,
			node && node->vms == 1 ? "guest" : "guests", group[i]->name);
		roll->failed_node = group[i]->name;
		code = EXIT_REFUSED;
	}
	return code;
}

/* --- draining --- */

enum exit_code roll_ask_drain(struct roll *roll, struct roll_host **group, size_t count,
                              bool dry_run, Drover__V1__DrainReply **ret_reply)
{
	Drover__V1__DrainRequest request = DROVER__V1__DRAIN_REQUEST__INIT;
	_cleanup_free_ char **names = xcalloc(count, sizeof(*names));
	const struct options *o = roll->s->options;
	struct id request_id = id_new();
	char *shut_down[WORDS_MAX];
	enum exit_code code = roll_guests_pick(roll, group, count, shut_down, &request.n_shut_down);

	if (code != EXIT_DONE)
		return code;

	for (size_t i = 0; i < count; i++)
		names[i] = (char *)group[i]->name;
	if (count == 1) {
		request.node = names[0];
	} else {
		request.nodes = names;
		request.n_nodes = count;
	}
	request.dry_run = dry_run;
	request.shut_down = shut_down;
	request.shutdown_timeout_ms = o->shutdown_timeout_ms;
	request.reason = (char *)(o->reason ? o->reason : roll->label);
	request.parallel = (uint32_t)o->parallel;
	request.copy_disks = o->copy_disks;
	request.bandwidth_bytes_per_s = o->bandwidth_bytes_per_s;
	request.max_downtime_ms = o->max_downtime_ms;
	request.completion_timeout_ms_per_gib = o->completion_timeout_ms_per_gib;
	request.progress_timeout_ms = o->progress_timeout_ms;
	request.request_id.data = request_id.bytes;
	request.request_id.len = ID_BYTES;
	return session_ask_drain(roll->s, "draining", &request, ret_reply);
}

static const Drover__V1__Drain *find_drain(const Drover__V1__DrainList *list, const char *node)
{
	/* The newest comes first. */
	for (size_t i = 0; i < list->n_drains; i++) {
		if (strcmp(list->drains[i]->node, node) == 0)
			return list->drains[i];
	}
	return NULL;
}

struct drain_watch {
	char *told; /* owned: the status that was told last */
	struct roll_patience patience;
	bool over;
};

bool roll_is_stuck(struct roll_patience *p, bool blocked, size_t left, uint64_t now_ms)
{
	if (blocked)
		p->free_since_ms = 0;
	else if (!p->free_since_ms)
		p->free_since_ms = now_ms;
	if (left > p->left || (!blocked && now_ms - p->free_since_ms >= UNBLOCKED_MS))
		p->stuck_since_ms = 0;
	p->left = left;
	if (blocked && !p->stuck_since_ms)
		p->stuck_since_ms = now_ms;
	return blocked && now_ms - p->stuck_since_ms > BLOCKED_MS;
}

static size_t count_left(const Drover__V1__Drain *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_vms; i++)
		n += strcmp(d->vms[i]->state, "moved") == 0 ||
		     strcmp(d->vms[i]->state, "stopped") == 0;
	return n;
}

/* Tells what is new of it. EXIT_FAILED if it will not become empty. */
static enum exit_code look_at_drain(struct roll *roll, const char *node, const Drover__V1__Drain *d,
                                    struct drain_watch *w)
{
	bool blocked = strcmp(d->state, "blocked") == 0;

	if (strcmp(d->reason, w->told) != 0) {
		free(w->told);
		w->told = xstrdup(d->reason);
		roll_tell(roll, node, d->state, "%s", d->reason);
	}
	w->over = drain_is_over(d);
	if (w->over && strcmp(d->state, "completed") != 0) {
		roll_tell(roll, node, "failed", "drain/%llu ended %s: it is not empty",
		          (unsigned long long)d->number, d->state);
		return EXIT_FAILED;
	}
	if (roll_is_stuck(&w->patience, blocked, count_left(d), clock_now_ms())) {
		roll_tell(roll, node, "failed",
		          "drain/%llu is blocked for 15 min; it goes on by itself when it can; "
		          "why, and what would help: drover explain drain/%llu",
		          (unsigned long long)d->number, (unsigned long long)d->number);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static enum exit_code follow_drain(struct roll *roll, const char *node)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	struct drain_watch w = { .told = xstrdup("") };
	enum exit_code code = EXIT_DONE;

	request.node = (char *)node;
	while (code == EXIT_DONE && !w.over) {
		_cleanup_reply_ Drover__V1__DrainList *list = NULL;
		const Drover__V1__Drain *d = NULL;
		struct error err;

		if (coordinator_ask_list_drains(roll->s->client, &request, &list, &err) == 0)
			d = find_drain(list, node);
		if (d)
			code = look_at_drain(roll, node, d, &w);
		if (code == EXIT_FAILED)
			roll->failed_node = node;
		else if (!w.over)
			code = pause_a_moment(roll, node);
	}
	free(w.told);
	return code;
}

enum exit_code roll_drain(struct roll *roll, struct roll_host **group, size_t count)
{
	_cleanup_reply_ Drover__V1__DrainReply *reply = NULL;
	enum exit_code code = roll_ask_drain(roll, group, count, false, &reply);

	if (code != EXIT_DONE) {
		roll->failed_node = group[0]->name;
		return code;
	}
	if (reply->refused) {
		_cleanup_free_ char *why = roll_describe_refusal(reply);

		roll->failed_node = group[0]->name;
		roll_tell(roll, group[0]->name, "refused", "%s%s", why,
		          reply->n_blockers ? "; the hook runs only on a host without guests" : "");
		return EXIT_REFUSED;
	}
	for (size_t i = 0; i < count && reply->already; i++) {
		if (group[i]->begun)
			continue;
		roll->failed_node = group[i]->name;
		roll_tell(roll, group[i]->name, "refused",
		          "is being drained already, and not by this operation: whoever does that "
		          "may be at work there (drover drains --node %s). If nobody is: drover "
		          "label "
		          "%s %s=draining, and the same command once more",
		          group[i]->name, group[i]->name, roll->label);
		return EXIT_REFUSED;
	}
	if (reply->already)
		code = roll_guests_check_drains(roll, group, count);
	for (size_t i = 0; i < count && code == EXIT_DONE; i++)
		code = follow_drain(roll, group[i]->name);
	return code;
}

/* --- ready again --- */

/* Why not; NULL: it is. */
static const char *find_unready(const Drover__V1__Node *node)
{
	if (strcmp(node->state, "unreachable") == 0 || strcmp(node->state, "fenced") == 0)
		return node->state;
	if (node->last_seen_ms > FRESH_MS)
		return "its agent is silent";
	if (!node->host || !node->host->libvirt_connected)
		return "its libvirt does not answer";
	return *node->host->agent_problem ? node->host->agent_problem : NULL;
}

enum exit_code roll_wait_ready(struct roll *roll, struct roll_host *host)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	uint64_t begun_ms = clock_now_ms(), ready_ms = 0;
	_cleanup_free_ char *told = xstrdup("");
	char most[OUTPUT_TEXT_BYTES];

	request.node = (char *)host->name;
	for (;;) {
		_cleanup_reply_ Drover__V1__NodeList *list = NULL;
		const char *why = "the coordinator does not answer";
		struct error err;
		enum exit_code code;

		if (coordinator_ask_list_nodes(roll->s->client, &request, &list, &err) == 0)
			why = list->n_nodes ? find_unready(list->nodes[0])
			                    : "there is no such node";
		if (!why && !ready_ms)
			ready_ms = clock_now_ms();
		if (why)
			ready_ms = 0;
		if (ready_ms && clock_now_ms() - ready_ms >= STEADY_MS) {
			roll_tell(roll, host->name, "ready", "agent and libvirt answer");
			return EXIT_DONE;
		}
		if (why && strcmp(told, why) != 0) {
			free(told);
			told = xstrdup(why);
			roll_tell(roll, host->name, "waits",
			          "waits until it is ready, at most %s (--ready-timeout): %s",
			          output_duration(&roll->s->err, roll->ready_timeout_ms, most),
			          why);
		}
		if (clock_now_ms() - begun_ms > roll->ready_timeout_ms) {
			roll->failed_node = host->name;
			roll_tell(roll, host->name, "failed",
			          "is not ready after %s (--ready-timeout): %s",
			          output_duration(&roll->s->err, roll->ready_timeout_ms, most),
			          why ? why : "it comes and goes");
			return EXIT_FAILED;
		}
		code = pause_a_moment(roll, host->name);
		if (code != EXIT_DONE)
			return code;
	}
}
