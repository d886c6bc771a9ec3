/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: at once, or when what they promise is durable; and the list of actions they travel in. */
#include "common/alloc.h"
#include "coordinator/core/change.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

struct pending_reply {
	uint64_t ticket; /* 0: this step's, not known yet whether there will be a batch */
	struct reply *reply;
	struct pending_reply *next;
};

void reply_settle(struct fleet *fleet, uint64_t ticket)
{
	struct pending_reply *pending, *next;

	LL_FOREACH_SAFE (fleet->pending_replies, pending, next) {
		if (pending->ticket)
			continue;
		if (ticket) {
			pending->ticket = ticket;
			continue;
		}
		LL_DELETE(fleet->pending_replies, pending);
		reply_send(fleet, pending->reply);
		free(pending);
	}
}

struct reply *reply_new(enum reply_kind kind, uint64_t request)
{
	struct reply *reply = xnew(struct reply);

	reply->kind = kind;
	reply->request = request;
	return reply;
}

void reply_free(struct reply *reply)
{
	if (!reply)
		return;
	for (size_t i = 0; i < reply->n_targets; i++)
		checks_deinit(&reply->targets[i].checks);
	free(reply->targets);
	checks_deinit(&reply->checks);
	free(reply->refusal);
	drain_free(reply->plan);
	names_deinit(&reply->effects);
	names_deinit(&reply->off);
	free(reply->values);
	free(reply);
}

void reply_send(struct fleet *fleet, struct reply *reply)
{
	change_act(fleet, ACTION_REPLY)->reply = reply;
}

void reply_send_stored(struct fleet *fleet, struct reply *reply)
{
	struct pending_reply *pending = xnew(struct pending_reply);

	pending->reply = reply;
	LL_APPEND(fleet->pending_replies, pending);
}

void reply_send_epoch(struct fleet *fleet, struct reply *reply)
{
	struct pending_reply *pending = xnew(struct pending_reply);

	pending->reply = reply;
	pending->ticket = fleet->epoch_ticket;
	if (change_is_stored(fleet, pending->ticket)) {
		reply->epoch = fleet->epoch;
		reply_send(fleet, reply);
		free(pending);
		return;
	}
	LL_APPEND(fleet->pending_replies, pending);
}

void reply_send_error(struct fleet *fleet, uint64_t request, const struct error *err)
{
	struct reply *reply = reply_new(REPLY_FAILED, request);

	reply->error = *err;
	reply_send(fleet, reply);
}

void reply_release(struct fleet *fleet)
{
	struct pending_reply *pending, *next;

	LL_FOREACH_SAFE (fleet->pending_replies, pending, next) {
		bool attaches = pending->reply->kind == REPLY_ATTACH;

		if (!pending->ticket || !change_is_stored(fleet, pending->ticket))
			continue;
		/* Another agent may have made the epoch rise again: then that one counts. */
		if (attaches && !change_is_stored(fleet, fleet->epoch_ticket))
			continue;
		LL_DELETE(fleet->pending_replies, pending);
		if (attaches)
			pending->reply->epoch = fleet->epoch;
		reply_send(fleet, pending->reply);
		free(pending);
	}
}

void reply_drop_all(struct fleet *fleet)
{
	struct pending_reply *pending, *next;

	LL_FOREACH_SAFE (fleet->pending_replies, pending, next) {
		reply_free(pending->reply);
		free(pending);
	}
	fleet->pending_replies = NULL;
}

static const char *const action_names[] = {
	[ACTION_STORE] = "store",         [ACTION_START] = "start",
	[ACTION_LET_GO] = "let-go",       [ACTION_CANCEL] = "cancel",
	[ACTION_PROBE] = "probe",         [ACTION_SET_DRAIN_MARK] = "mark",
	[ACTION_PREVIEW] = "preview",     [ACTION_REPLY] = "reply",
	[ACTION_CHANGED] = "changed",     [ACTION_EVENT] = "event",
	[ACTION_STOP] = "stop",           [ACTION_SET_FENCE] = "fence",
	[ACTION_REFUSED] = "refused",     [ACTION_TUNE] = "tune",
	[ACTION_SHUT_DOWN] = "shut-down", [ACTION_START_GUEST] = "start-guest",
};
static_assert(ARRAY_SIZE(action_names) == ACTION_KINDS, "an action without a name");

const char *action_kind_name(enum action_kind kind)
{
	assert((unsigned)kind < ACTION_KINDS);
	return action_names[kind];
}

void action_list_deinit(struct action_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct action *action = &list->items[i];

		if (action->kind == ACTION_STORE)
			batch_free(action->store);
		else if (action->kind == ACTION_REPLY)
			reply_free(action->reply);
		else if (action->kind == ACTION_SET_DRAIN_MARK)
			drain_mark_deinit(&action->mark.mark);
	}
	free(list->items);
	*list = (struct action_list){ 0 };
}
