/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/policy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void split(const char *list, struct names *ret)
{
	char text[512], *state = NULL;

	text_copy(text, sizeof(text), list);
	for (char *item = strtok_r(text, ",", &state); item; item = strtok_r(NULL, ",", &state))
		names_add(ret, item);
}

const struct reply *policy_say(struct core_world *world, const char *name, enum policy_kind kind,
                               bool soft, const char *vms, const char *nodes)
{
	struct event event = { .kind = EVENT_SET_POLICY, .request = 9 };
	struct names members = { 0 }, hosts = { 0 };
	bool labels = nodes && strchr(nodes, '=');

	split(vms, &members);
	if (nodes && !labels)
		split(nodes, &hosts);
	event.policy.name = name;
	event.policy.by = "ann";
	event.policy.kind = kind;
	event.policy.soft = soft;
	event.policy.vms = &members;
	event.policy.nodes = &hosts;
	event.policy.selector = labels ? nodes : "";
	core_world_forget(world);
	core_world_step(world, &event);
	names_deinit(&members);
	names_deinit(&hosts);
	return core_world_reply(world);
}

const struct reply *policy_unsay(struct core_world *world, const char *name)
{
	struct event event = { .kind = EVENT_REMOVE_POLICY, .request = 9 };

	event.policy.name = name;
	event.policy.by = "ann";
	core_world_forget(world);
	core_world_step(world, &event);
	return core_world_reply(world);
}

void policy_must(struct core_world *world, const char *name, enum policy_kind kind, bool soft,
                 const char *vms, const char *nodes)
{
	const struct reply *reply = policy_say(world, name, kind, soft, vms, nodes);

	if (reply->kind != REPLY_POLICY)
		fail_msg("%s", reply->error.text);
	core_world_forget(world);
}

struct policy *policy_of(const struct core_world *world, const char *name)
{
	struct policy *policy = policy_find(world->fleet, name);

	assert_non_null(policy);
	return policy;
}

const char *policy_event(const struct core_world *world, const char *name)
{
	char subject[64];

	snprintf(subject, sizeof(subject), "policy/%.50s", name);
	for (size_t i = world->fleet->n_events; i > 0; i--) {
		const struct event_record *event = fleet_get_event(world->fleet, i - 1);

		if (strcmp(event->subject, subject) == 0)
			return event->text;
	}
	return "";
}

const char *policy_place(const struct core_world *world, const char *name)
{
	struct error err;
	struct vm *vm;

	if (fleet_get_vm(world->fleet, name, &vm, &err) < 0)
		fail_msg("%s", err.text);
	return vm->node ? vm->node->kept.name : "";
}
