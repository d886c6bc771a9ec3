/* SPDX-License-Identifier: Apache-2.0 */
/* See preview_choice.h. */
#include "coordinator/core/plan/preview_choice.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/plan/plan.h"

#include <stdio.h>
#include <string.h>

struct choice {
	const struct fleet *fleet;
	const struct vm *vm;
	struct plan_need need;
	struct plan plan;
	struct plan_node *chosen;
	uint64_t now_ms;
};

static size_t count_fitting(const struct reply *reply)
{
	size_t n = 0;

	while (n < reply->n_targets && reply->targets[n].fits)
		n++;
	return n;
}

static struct target_view *find_fitting(struct reply *reply, size_t n, const char *node)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(reply->targets[i].node, node) == 0)
			return &reply->targets[i];
	}
	return NULL;
}

/* As when the move is begun, but that what has refused is left out. */
static void pick(struct choice *c, struct reply *reply, size_t n)
{
	char reason[REASON_BYTES];

	for (size_t i = 0; i < c->plan.count; i++) {
		struct plan_node *p = &c->plan.nodes[i];

		if (!find_fitting(reply, n, p->node->kept.name))
			p->takes = PLAN_REFUSED;
	}
	c->chosen = plan_pick_target(&c->plan, c->fleet, c->vm, NULL, false, c->now_ms, reason);
	if (!c->chosen)
		c->chosen = plan_pick_target(&c->plan, c->fleet, c->vm, NULL, true, c->now_ms,
		                             reason);
}

static uint64_t left_bytes(const struct choice *c, const struct plan_node *p)
{
	if (p == c->chosen) /* the guest is counted there */
		return p->headroom_bytes;
	return p->headroom_bytes > c->need.bytes ? p->headroom_bytes - c->need.bytes : 0;
}

/* @view was not chosen, although it fits. */
static void explain_other(const struct choice *c, const struct plan_node *p,
                          const struct target_view *best, struct target_view *view)
{
	uint64_t left = left_bytes(c, p), most = left_bytes(c, c->chosen);
	char text[UNITS_TEXT_BYTES];

	/* Its agent knows better, but the move begins with what is known here. */
	if (plan_judge(c->fleet, p, c->vm, true, c->now_ms, view->reason) != PLAN_FITS)
		return;
	if (view->broken > best->broken)
		snprintf(view->reason, REASON_BYTES, "%.*s (a wish)", REASON_BYTES - 16,
		         view->against);
	else if (left < most)
		snprintf(view->reason, REASON_BYTES, "%s would keep %s of memory free", view->node,
		         units_format_bytes(left, text));
	else if (p->inbound_finish_ms)
		snprintf(view->reason, REASON_BYTES,
		         "%s would keep as much free; more is on its way there", view->node);
	else
		snprintf(view->reason, REASON_BYTES,
		         "%s would keep as much free; of equals the first by name is taken",
		         view->node);
}

static void explain_chosen(const struct choice *c, size_t n, bool roomier, struct target_view *view)
{
	char left[UNITS_TEXT_BYTES];

	units_format_bytes(left_bytes(c, c->chosen), left);
	if (n == 1)
		snprintf(view->reason, REASON_BYTES,
		         "no other node can take it; %s of memory stay free there", left);
	else if (roomier)
		snprintf(view->reason, REASON_BYTES,
		         "of %zu that can take it none breaks fewer wishes; %s of memory stay "
		         "free there",
		         n, left);
	else
		snprintf(view->reason, REASON_BYTES,
		         "of %zu that can take it none keeps more memory free: %s", n, left);
}

void preview_choose(const struct fleet *fleet, struct reply *reply)
{
	struct choice c = { .fleet = fleet, .now_ms = change_now(fleet) };
	size_t n = count_fitting(reply);
	struct target_view *best;
	bool roomier = false;

	c.vm = fleet_find_vm(fleet, reply->vm_uuid);
	if (!c.vm || !c.vm->node || !n)
		return;
	plan_init(&c.plan, fleet, c.now_ms);
	if (reply->settings.ignore_policies)
		plan_ignore_policies(&c.plan);
	plan_get_need(fleet, c.vm, &c.need);
	pick(&c, reply, n);
	best = c.chosen ? find_fitting(reply, n, c.chosen->node->kept.name) : NULL;
	for (size_t i = 0; best && i < c.plan.count; i++) {
		const struct plan_node *p = &c.plan.nodes[i];
		struct target_view *view = find_fitting(reply, n, p->node->kept.name);

		if (!view || view == best)
			continue;
		roomier = roomier || left_bytes(&c, p) > left_bytes(&c, c.chosen);
		explain_other(&c, p, best, view);
	}
	if (best) {
		struct target_view first = *best;

		explain_chosen(&c, n, roomier, &first);
		memmove(&reply->targets[1], &reply->targets[0],
		        (size_t)(best - reply->targets) * sizeof(first));
		reply->targets[0] = first;
	}
	plan_deinit(&c.plan);
}
