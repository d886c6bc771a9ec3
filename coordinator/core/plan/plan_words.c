/* SPDX-License-Identifier: Apache-2.0 */
/* Why not there, in words: of one host, and of all of them in a sentence. See plan.h. */
#include "coordinator/core/plan/plan_private.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/change.h"
#include "coordinator/core/move/refusals.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A refusal names this many hosts, then "and 17 more". */
#define NAMED_MAX 5

static const char *const words[] = {
	[PLAN_FITS] = "fits",
	[PLAN_IS_SOURCE] = "is where it runs",
	[PLAN_UNREACHABLE] = "unreachable",
	[PLAN_NO_INVENTORY] = "without libvirt",
	[PLAN_OBSERVES] = "only observing",
	[PLAN_CORDONED] = "cordoned",
	[PLAN_DRAINING] = "draining",
	[PLAN_MAINTENANCE] = "in maintenance",
	[PLAN_NO_MEMORY] = "short of memory",
	[PLAN_NO_INBOUND] = "inbound slots in use",
	[PLAN_NO_PORTS] = "migration ports in use",
	[PLAN_REFUSED] = "refused",
	[PLAN_LISTS_IT] = "lists an active guest of this uuid already",
	[PLAN_SUSPECT] = "suspect",
	[PLAN_MARKED] = "is being told that it takes guests again",
	[PLAN_TOGETHER] = "would be drained together with it",
	[PLAN_PRESSURED] = "out of memory",
	[PLAN_NO_VCPUS] = "has too few vCPUs left",
	[PLAN_NO_PAGES] = "has too few huge pages",
	[PLAN_NO_MACHINE] = "has no QEMU for it",
	[PLAN_OTHER_CPU] = "has another CPU",
	[PLAN_NO_NETWORK] = "lacks a network of it",
	[PLAN_POLICY] = "is against a policy",
};
static_assert(ARRAY_SIZE(words) == PLAN_REFUSALS, "a refusal without a word");

static void describe_vcpus(const struct plan_node *p, const struct plan_need *need, char *ret_text)
{
	const struct vcpu_totals *t = &p->node->host.rooms.vcpus;

	snprintf(ret_text, REASON_BYTES,
	         "%" PRIu64 " of %" PRIu64 " vCPUs left (%u CPUs x %u.%02u), %u needed",
	         p->vcpu_room, vcpus_get_limit(t), t->cpus, t->overcommit_percent / 100,
	         t->overcommit_percent % 100, need->vcpus);
}

static void describe_pages(const struct plan_node *p, const struct plan_need *need, char *ret_text)
{
	char room[UNITS_TEXT_BYTES], page[UNITS_TEXT_BYTES], wanted[UNITS_TEXT_BYTES];

	snprintf(ret_text, REASON_BYTES, "%s free in pages of %s, %s needed",
	         units_format_bytes(plan_get_page_room(p, need->page_bytes), room),
	         units_format_bytes(need->page_bytes, page),
	         units_format_bytes(need->huge_bytes, wanted));
}

/* What it has, or has not: the same words may be true of many. */
static bool is_of_many(enum plan_refusal why)
{
	return why == PLAN_NO_VCPUS || why == PLAN_NO_PAGES || why == PLAN_NO_MACHINE ||
	       why == PLAN_OTHER_CPU || why == PLAN_NO_NETWORK;
}

/* @ret_text, if it is of many: what stands behind "has"; else the whole phrase. */
static enum plan_refusal phrase(const struct fleet *fleet, const struct plan_node *p,
                                const struct vm *vm, const struct plan_need *need,
                                bool ignore_slots, uint64_t now_ms, char *ret_text)
{
	const char *name = p->node->kept.name;
	const struct refusal *refusal;
	char amount[UNITS_TEXT_BYTES];
	enum plan_refusal why;

	ret_text[0] = '\0';
	why = plan_judge_need(fleet, p, vm, need, ignore_slots, now_ms, ret_text);
	switch (why) {
	case PLAN_NO_MEMORY:
		snprintf(ret_text, REASON_BYTES, "%s %s short of memory", name,
		         units_format_bytes(need->bytes - p->headroom_bytes, amount));
		break;
	case PLAN_NO_VCPUS:
		if (!ret_text[0])
			describe_vcpus(p, need, ret_text);
		break;
	case PLAN_NO_PAGES:
		describe_pages(p, need, ret_text);
		break;
	case PLAN_NO_MACHINE:
	case PLAN_OTHER_CPU:
	case PLAN_NO_NETWORK:
	case PLAN_POLICY:
		break;
	case PLAN_NO_INBOUND:
		snprintf(ret_text, REASON_BYTES, "%u of %u inbound slots of %s in use", p->inbound,
		         plan_get_inbound_cap(fleet, p->node), name);
		break;
	case PLAN_NO_PORTS:
		snprintf(ret_text, REASON_BYTES, "%u of %u migration ports of %s in use%s",
		         p->ports, p->node->host.port_pool, name,
		         need->ports > 1 ? ", two needed: its disks are copied" : "");
		break;
	case PLAN_SUSPECT:
		snprintf(ret_text, REASON_BYTES, "%s is suspect: %.400s", name,
		         p->node->host.suspect);
		break;
	case PLAN_PRESSURED:
		snprintf(ret_text, REASON_BYTES, "%s takes no guest for another %s: %.400s", name,
		         units_format_duration(p->node->pressured_until_ms - now_ms, amount),
		         p->node->host.pressure);
		break;
	case PLAN_REFUSED:
		refusal = plan_find_refusal(vm, p->node, now_ms);
		if (refusal)
			refusals_describe(refusal, ret_text);
		else
			text_copy(ret_text, REASON_BYTES, words[why]);
		break;
	default:
		snprintf(ret_text, REASON_BYTES, "%s %s", name, words[why]);
		break;
	}
	return why;
}

enum plan_refusal plan_describe(const struct fleet *fleet, const struct plan_node *p,
                                const struct vm *vm, const struct plan_need *need,
                                bool ignore_slots, uint64_t now_ms, char *ret_text)
{
	char text[REASON_BYTES];
	enum plan_refusal why = phrase(fleet, p, vm, need, ignore_slots, now_ms, text);

	if (is_of_many(why))
		snprintf(ret_text, REASON_BYTES, "%.120s has %.380s", p->node->kept.name, text);
	else
		text_copy(ret_text, REASON_BYTES, text);
	return why;
}

static void append(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(char *text, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, REASON_BYTES - used, format, args);
	va_end(args);
}

/* --- many of them --- */

/* Hosts that lack the same. */
struct group {
	char text[REASON_BYTES];
	size_t first, count; /* of plan.nodes; the others have the same group in group_of */
};

#define GROUPS_MAX 8
#define NO_GROUP   UINT8_MAX

struct groups {
	struct group items[GROUPS_MAX];
	size_t count;
	uint8_t *of;   /* owned; per node of the plan */
	size_t others; /* nodes but the guest's own */
};

static void group_nodes(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                        const struct plan_need *need, bool ignore_slots, uint64_t now_ms,
                        struct groups *ret)
{
	char text[REASON_BYTES];

	*ret = (struct groups){ .of = xcalloc(plan->count + 1, 1) };
	for (size_t i = 0; i < plan->count; i++) {
		enum plan_refusal why = phrase(fleet, &plan->nodes[i], vm, need, ignore_slots,
		                               now_ms, text);
		size_t g = 0;

		ret->of[i] = NO_GROUP;
		ret->others += why != PLAN_IS_SOURCE;
		if (!is_of_many(why))
			continue;
		while (g < ret->count && strcmp(ret->items[g].text, text) != 0)
			g++;
		if (g == GROUPS_MAX)
			continue;
		if (g == ret->count) {
			ret->count++;
			ret->items[g].first = i;
			text_copy(ret->items[g].text, REASON_BYTES, text);
		}
		ret->items[g].count++;
		ret->of[i] = (uint8_t)g;
	}
}

/* "3 of 4 nodes have no bridge "br7" that is up: host2, host3, host4" */
static void append_group(const struct plan *plan, const struct groups *groups, size_t g,
                         char *ret_reason)
{
	const struct group *group = &groups->items[g];
	size_t named = 0;

	append(ret_reason, "%s%zu of %zu nodes have %.200s: ", ret_reason[0] ? "; " : "",
	       group->count, groups->others, group->text);
	for (size_t i = group->first; i < plan->count && named < NAMED_MAX; i++) {
		if (groups->of[i] == g)
			append(ret_reason, "%s%.60s", named++ ? ", " : "",
			       plan->nodes[i].node->kept.name);
	}
	if (group->count > named)
		append(ret_reason, " and %zu more", group->count - named);
}

/* "no destination: host2 312 MiB short of memory, host3 cordoned" */
void plan_explain(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                  const char *only, bool ignore_slots, uint64_t now_ms, char *ret_reason)
{
	size_t named = 0, more = 0;
	struct groups groups = { 0 };
	struct plan_need need;
	char text[REASON_BYTES];

	ret_reason[0] = '\0';
	plan_get_need(fleet, vm, &need);
	if (!only)
		group_nodes(plan, fleet, vm, &need, ignore_slots, now_ms, &groups);
	for (size_t g = 0; g < groups.count; g++) {
		if (groups.items[g].count > 1)
			append_group(plan, &groups, g, ret_reason);
	}
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_node *p = &plan->nodes[i];
		enum plan_refusal why;

		if ((only && strcmp(only, p->node->kept.name) != 0) ||
		    (!only && groups.of[i] != NO_GROUP && groups.items[groups.of[i]].count > 1))
			continue;
		why = plan_describe(fleet, p, vm, &need, ignore_slots, now_ms, text);
		if (why == PLAN_FITS || why == PLAN_IS_SOURCE)
			continue;
		if (named == NAMED_MAX || strlen(ret_reason) > REASON_BYTES / 2) {
			more++;
			continue;
		}
		append(ret_reason, "%s%s", named ? ", " : ret_reason[0] ? "; " : "", text);
		named++;
	}
	free(groups.of);
	if (more)
		append(ret_reason, ", and %zu more", more);
	if (!ret_reason[0])
		append(ret_reason, "there is no other node");
}

void plan_explain_none(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                       uint64_t now_ms, char *ret_reason)
{
	plan_explain(plan, fleet, vm, NULL, true, now_ms, ret_reason);
}
