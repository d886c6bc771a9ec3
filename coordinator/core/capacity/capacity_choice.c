/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity.h: of the hosts that would take a guest, why that one: wishes first, then room. */
#include "coordinator/core/capacity/capacity.h"

#include "common/units.h"
#include "coordinator/core/policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct plan_node *find_node(const struct plan *plan, const struct node *node)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->nodes[i].node == node)
			return &plan->nodes[i];
	}
	return NULL;
}

struct compared {
	const struct fleet *fleet;
	const struct vm *vm;
	const struct plan *plan;
	const struct plan_node *chosen, *asked;
	const uint32_t *broken; /* by plan_index; NULL: it has no wishes */
	uint64_t now_ms;
	char ours[UNITS_TEXT_BYTES], theirs[UNITS_TEXT_BYTES];
};

static uint32_t get_broken(const struct compared *c, const struct plan_node *p)
{
	return c->broken ? c->broken[p->node->plan_index] : 0;
}

static void say_same(const struct compared *c, char *ret_text)
{
	const char *name = c->chosen->node->kept.name;

	if (c->broken)
		snprintf(ret_text, REASON_BYTES,
		         "drover would choose %s: no other node that would take it leaves fewer "
		         "wishes unmet (%u), or as few and more memory free after it (%s)",
		         name, get_broken(c, c->chosen), c->ours);
	else
		snprintf(ret_text, REASON_BYTES,
		         "drover would choose %s: no other node keeps more memory free after it "
		         "(%s)",
		         name, c->ours);
}

static void say_other(const struct compared *c, char *ret_text)
{
	const char *name = c->chosen->node->kept.name, *asked = c->asked->node->kept.name;
	char against[REASON_BYTES];

	if (get_broken(c, c->chosen) < get_broken(c, c->asked)) {
		(void)policy_count_broken(c->fleet, c->vm, c->asked->node, against);
		snprintf(ret_text, REASON_BYTES,
		         "drover would choose %.64s: it leaves %u wish%s unmet, %.64s %u (%.200s)",
		         name, get_broken(c, c->chosen), get_broken(c, c->chosen) == 1 ? "" : "es",
		         asked, get_broken(c, c->asked), against);
	} else {
		snprintf(ret_text, REASON_BYTES,
		         "drover would choose %s: it keeps %s free after it, %s only %s", name,
		         c->theirs, asked, c->ours);
	}
}

/* What is wished for and cannot be. */
static void say_unmet(const struct compared *c, char *ret_text)
{
	char text[REASON_BYTES];
	size_t used = strlen(ret_text);

	if (c->broken && policy_explain_wish(c->fleet, c->vm, c->chosen->node, c->plan,
	                                     "would take it", c->now_ms, text))
		snprintf(ret_text + used, REASON_BYTES - used, "; %.300s", text);
}

bool capacity_explain_choice(const struct fleet *fleet, const struct vm *vm,
                             const struct node *node, uint64_t now_ms, char *ret_text)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	uint64_t need = home ? vm_state_need_bytes(&home->state) : 0;
	struct compared c = { .fleet = fleet, .vm = vm, .now_ms = now_ms };
	char reason[REASON_BYTES];
	uint32_t *broken = NULL;
	struct plan plan;
	bool fits;

	plan_init(&plan, fleet, now_ms);
	c.plan = &plan;
	c.asked = find_node(&plan, node);
	fits = home && c.asked && plan_judge(fleet, c.asked, vm, true, now_ms, NULL) == PLAN_FITS;
	if (fits) {
		units_format_bytes(c.asked->headroom_bytes - need, c.ours);
		c.broken = broken = policy_list_broken(fleet, vm);
		c.chosen = plan_pick_target(&plan, fleet, vm, NULL, true, now_ms, reason);
	}
	if (c.chosen) {
		units_format_bytes(c.chosen->headroom_bytes, c.theirs);
		if (c.chosen == c.asked)
			say_same(&c, ret_text);
		else
			say_other(&c, ret_text);
		say_unmet(&c, ret_text);
	}
	free(broken);
	plan_deinit(&plan);
	return c.chosen != NULL;
}
