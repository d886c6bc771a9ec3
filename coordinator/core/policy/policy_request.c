/* SPDX-License-Identifier: Apache-2.0 */
/* Policies as people say them: checked, and against each other, before anything is changed. See policy.h.
 *
 * Two hard ones that cannot both hold would block every drain of their guests, for ever and with a
 * reason far from its cause: so the second is refused when it is said, with the name of the first.
 */
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/policy/policy_conflict.h"
#include "coordinator/core/requests.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- what was said --- */

static int check_name(const char *name, struct error *err)
{
	bool good = isalnum((unsigned char)name[0]) && strlen(name) < POLICY_NAME_BYTES;

	for (size_t i = 0; good && name[i]; i++)
		good = isalnum((unsigned char)name[i]) || strchr("-_.", name[i]);
	if (good)
		return 0;
	return error_set(err, ERROR_INVALID,
	                 "\"%.60s\" is no name for a policy: letters, digits and - _ . of them, at "
	                 "most %d, the first a letter or a digit",
	                 name, POLICY_NAME_BYTES - 1);
}

/* One that it names already is known, though no host lists it now. */
static bool find_member(const struct policy *known, const char *name, const char **ret_uuid)
{
	for (size_t i = 0; known && i < known->kept.vms.count; i++) {
		if (strcmp(known->kept.vms.items[i], name) != 0 &&
		    strcmp(known->kept.vm_names.items[i], name) != 0)
			continue;
		*ret_uuid = known->kept.vms.items[i];
		return true;
	}
	return false;
}

static int take_vm(const struct fleet *fleet, const char *name, const struct policy *known,
                   struct policy_record *kept, struct error *err)
{
	const char *uuid = NULL, *called = name;
	struct vm *vm;

	if (fleet_get_vm(fleet, name, &vm, err) == 0) {
		uuid = vm->uuid;
		called = vm->name;
	} else if (err->code != ERROR_NOT_FOUND || !find_member(known, name, &uuid)) {
		return -(int)err->code;
	}
	if (names_contain(&kept->vms, uuid))
		return 0;
	names_add(&kept->vms, uuid);
	names_add(&kept->vm_names, called);
	return 0;
}

static int take_hosts(const struct fleet *fleet, const struct event *event,
                      struct policy_record *kept, struct error *err)
{
	const struct names *nodes = event->policy.nodes;
	const char *selector = event->policy.selector;
	struct node *node;
	bool any = false;

	if (kept->kind != POLICY_ON)
		return nodes->count || selector[0]
		               ? error_set(err, ERROR_INVALID,
		                           "only a policy \"on\" names hosts; this one is \"%s\"",
		                           policy_kind_name(kept->kind))
		               : 0;
	if (!nodes->count == !selector[0])
		return error_set(
			err, ERROR_INVALID,
			"where may they be? Either names of hosts (--nodes host1,host2) or "
			"labels of hosts (-l rack=a)");
	for (size_t i = 0; i < nodes->count; i++) {
		if (fleet_get_node(fleet, nodes->items[i], &node, err) < 0)
			return -(int)err->code;
		if (!names_contain(&kept->nodes, nodes->items[i]))
			names_add(&kept->nodes, nodes->items[i]);
	}
	if (!selector[0])
		return 0;
	if (selector_check(selector, err) < 0)
		return -(int)err->code;
	text_copy(kept->selector, sizeof(kept->selector), selector);
	for (node = fleet->nodes; node && !any; node = node->hh.next)
		any = node_is_selected(node, selector);
	return any ? 0
	           : error_set(err, ERROR_NOT_FOUND,
	                       "no host has the labels %.200s; to give them: drover label NODE "
	                       "KEY=VALUE",
	                       selector);
}

static int read_request(const struct fleet *fleet, const struct event *event,
                        struct policy_record *kept, struct error *err)
{
	const struct policy *known = policy_find(fleet, event->policy.name);
	size_t least = event->policy.kind == POLICY_ON ? 1 : 2;

	if (check_name(event->policy.name, err) < 0)
		return -ERROR_INVALID;
	text_copy(kept->name, sizeof(kept->name), event->policy.name);
	text_copy(kept->by, sizeof(kept->by), event->policy.by);
	kept->kind = event->policy.kind;
	kept->soft = event->policy.soft;
	for (size_t i = 0; i < event->policy.vms->count; i++) {
		if (take_vm(fleet, event->policy.vms->items[i], known, kept, err) < 0)
			return -(int)err->code;
	}
	if (kept->vms.count < least)
		return error_set(err, ERROR_INVALID, "a policy \"%s\" has at least %zu guest%s",
		                 policy_kind_name(kept->kind), least,
		                 least == 1 ? "" : "s, two different ones");
	if (take_hosts(fleet, event, kept, err) < 0)
		return -(int)err->code;
	return kept->soft ? 0 : policy_check_conflicts(fleet, kept, err);
}

/* --- what is different --- */

static void say(struct names *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct names *ret, const char *format, ...)
{
	char text[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	names_add(ret, text);
}

static void compare_lists(const struct names *was, const struct names *is,
                          const struct names *shown, const char *verb, struct names *ret)
{
	for (size_t i = 0; i < is->count; i++) {
		if (!names_contain(was, is->items[i]))
			say(ret, "%.200s %s", shown->items[i], verb);
	}
}

static void compare(const struct policy_record *was, const struct policy_record *is,
                    struct names *ret)
{
	if (was->kind != is->kind)
		say(ret, "\"%s\" instead of \"%s\"", policy_kind_name(is->kind),
		    policy_kind_name(was->kind));
	if (was->soft != is->soft)
		say(ret, "%s instead of %s", is->soft ? "soft" : "hard",
		    was->soft ? "soft" : "hard");
	compare_lists(&was->vms, &is->vms, &is->vm_names, "added", ret);
	compare_lists(&is->vms, &was->vms, &was->vm_names, "taken away", ret);
	compare_lists(&was->nodes, &is->nodes, &is->nodes, "added", ret);
	compare_lists(&is->nodes, &was->nodes, &was->nodes, "taken away", ret);
	if (strcmp(was->selector, is->selector) != 0)
		say(ret, "labels \"%.200s\" instead of \"%.200s\"", is->selector, was->selector);
}

static void tell(struct fleet *fleet, const struct policy *policy, const struct names *changes)
{
	const struct policy_record *kept = &policy->kept;
	char text[REASON_BYTES] = "";
	size_t used = 0;

	for (size_t i = 0; changes->count && i < changes->count && used < REASON_BYTES / 2; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.100s",
		                         i ? ", " : ": ", changes->items[i]);
	for (size_t i = 0; !changes->count && i < kept->vms.count && used < REASON_BYTES / 2; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.100s",
		                         i ? ", " : ": ", kept->vm_names.items[i]);
	change_tell(fleet, SEVERITY_INFO, "policy", kept->name, "%s \"%s\", %s, by %s%s",
	            changes->count ? "changed to" : "set to", policy_kind_name(kept->kind),
	            kept->soft ? "soft" : "hard", kept->by, text);
}

/* The guests that @policy names are listed with it, or no longer. */
static void change_guests(struct fleet *fleet, const struct policy *policy)
{
	for (size_t i = 0; policy && i < policy->kept.vms.count; i++) {
		struct vm *vm = fleet_find_vm(fleet, policy->kept.vms.items[i]);

		if (vm)
			change_vm(fleet, vm);
	}
}

/* --- the requests --- */

static struct reply *reply_of(const struct event *event)
{
	struct reply *reply = reply_new(REPLY_POLICY, event->request);

	text_copy(reply->policy, sizeof(reply->policy), event->policy.name);
	return reply;
}

void request_set_policy(struct fleet *fleet, const struct event *event)
{
	struct policy *known = policy_find(fleet, event->policy.name);
	struct policy_record kept = { 0 };
	struct error err = { 0 };
	struct reply *reply;

	if (read_request(fleet, event, &kept, &err) < 0) {
		policy_record_deinit(&kept);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	reply = reply_of(event);
	if (known)
		compare(&known->kept, &kept, &reply->effects);
	reply->changed = !known || reply->effects.count;
	if (reply->changed) {
		kept.wall_ms = fleet->step->wall_ms;
		kept.violated_wall_ms = known ? known->kept.violated_wall_ms : 0;
		change_guests(fleet, known);
		known = policy_add(fleet, &kept);
		change_guests(fleet, known);
		policy_save(known);
		tell(fleet, known, &reply->effects);
		/* What was blocked may have a place now. */
		fleet->reconcile_wanted = true;
	}
	policy_record_deinit(&kept);
	reply_send_stored(fleet, reply);
}

void request_remove_policy(struct fleet *fleet, const struct event *event)
{
	struct policy *policy = policy_find(fleet, event->policy.name);
	struct error err = { 0 };
	struct reply *reply;

	if (!policy) {
		error_set(&err, ERROR_NOT_FOUND,
		          "no policy %.60s; `drover policies` shows those there are",
		          event->policy.name);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	change_guests(fleet, policy);
	policy_remove(fleet, policy);
	fleet->reconcile_wanted = true;
	change_tell(fleet, SEVERITY_INFO, "policy", policy->kept.name, "removed by %s",
	            event->policy.by);
	reply = reply_of(event);
	reply->changed = true;
	reply_send_stored(fleet, reply);
}
