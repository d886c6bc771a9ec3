/* SPDX-License-Identifier: Apache-2.0 */
/* "drover policy" and "drover policies": what is wanted about where guests are. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <string.h>

/* --- set --- */

static void say_set(struct session *s, const Drover__V1__PolicyReply *reply)
{
	const Drover__V1__Policy *policy = reply->policy;
	_cleanup_free_ char *reason = NULL;

	if (s->options->quiet || !policy)
		return;
	reason = text_escape(policy->reason, s->out.ascii);
	fprintf(s->out.file, "policy/%s %s", policy->name,
	        !reply->changed    ? "is so already"
	        : reply->n_changes ? "is changed"
	                           : "is set");
	for (size_t i = 0; i < reply->n_changes; i++) {
		_cleanup_free_ char *change = text_escape(reply->changes[i], s->out.ascii);

		fprintf(s->out.file, "%s %s", i ? "," : ":", change);
	}
	if (strcmp(policy->state, "violated") != 0) {
		fprintf(s->out.file, ".%s\n",
		        strcmp(policy->state, "holds") == 0 ? " It holds." : "");
		return;
	}
	fprintf(s->out.file, ". It does not hold: %s.\n", reason);
	for (size_t i = 0; i < policy->n_helps; i++) {
		_cleanup_free_ char *help = text_escape(policy->helps[i], s->out.ascii);

		fprintf(s->out.file, "  to repair it   %s\n", help);
	}
}

/* Which of the words it is that there is not. */
static enum exit_code fail(struct session *s, const char *what, const Drover__V1__PolicyRequest *r,
                           const struct error *err)
{
	if (client_is_interrupted(s->client))
		return EXIT_INTERRUPTED;
	for (size_t i = 0; err->code == ERROR_NOT_FOUND && i < r->n_nodes; i++) {
		if (strstr(err->text, "no node") && strstr(err->text, r->nodes[i]))
			return session_fail_object(s, what, "node", r->nodes[i], err);
	}
	for (size_t i = 0; err->code == ERROR_NOT_FOUND && i < r->n_vms; i++) {
		if (strstr(err->text, "a guest") && strstr(err->text, r->vms[i]))
			return session_fail_object(s, what, "vm", r->vms[i], err);
	}
	return session_fail(s, what, err);
}

#define NODES_MOST 256

/* "host1,host2": the commas become ends. */
static size_t split(char *text, char **ret_items)
{
	char *state = NULL;
	size_t n = 0;

	for (char *item = strtok_r(text, ",", &state); item && n < NODES_MOST;
	     item = strtok_r(NULL, ",", &state))
		ret_items[n++] = item;
	return n;
}

static enum exit_code set(const struct invocation *invocation, const char *kind)
{
	Drover__V1__PolicyRequest request = DROVER__V1__POLICY_REQUEST__INIT;
	_cleanup_free_ char *nodes = xstrdup(invocation->options.nodes ? invocation->options.nodes
	                                                               : "");
	_cleanup_reply_ Drover__V1__PolicyReply *reply = NULL;
	_cleanup_free_ char *what = NULL;
	char *items[NODES_MOST], *vms[WORDS_MAX];
	struct error err = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	request.name = (char *)session_name_of_kind(&s, "policy", invocation->words.items[0]);
	for (size_t i = 1; i < invocation->words.count; i++) {
		vms[i - 1] = (char *)session_name_of_kind(&s, "vm", invocation->words.items[i]);
		if (!vms[i - 1])
			return EXIT_USAGE;
	}
	if (!request.name)
		return EXIT_USAGE;
	request.kind = (char *)kind;
	request.soft = invocation->options.soft;
	request.vms = vms;
	request.n_vms = invocation->words.count - 1;
	request.nodes = items;
	request.n_nodes = split(nodes, items);
	if (invocation->options.selector)
		request.selector = (char *)invocation->options.selector;
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	what = xasprintf("setting policy %s", request.name);
	if (coordinator_ask_set_policy(s.client, &request, &reply, &err) < 0)
		code = fail(&s, what, &request, &err);
	else if (s.out.format == OUTPUT_JSON)
		output_message(&s.out, &reply->base);
	else
		say_set(&s, reply);
	session_close(&s);
	return code;
}

enum exit_code policy_apart_run(const struct invocation *invocation)
{
	return set(invocation, "apart");
}

enum exit_code policy_together_run(const struct invocation *invocation)
{
	return set(invocation, "together");
}

enum exit_code policy_on_run(const struct invocation *invocation)
{
	return set(invocation, "on");
}

/* --- remove, list --- */

enum exit_code policy_remove_run(const struct invocation *invocation)
{
	Drover__V1__PolicyRequest request = DROVER__V1__POLICY_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__PolicyReply *reply = NULL;
	_cleanup_free_ char *what = NULL;
	struct error err = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	request.name = (char *)session_name_of_kind(&s, "policy", invocation->words.items[0]);
	if (!request.name)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	what = xasprintf("removing policy %s", request.name);
	if (coordinator_ask_remove_policy(s.client, &request, &reply, &err) < 0)
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, what, "policy", request.name, &err);
	else if (s.out.format == OUTPUT_JSON)
		output_message(&s.out, &reply->base);
	else if (!s.options->quiet)
		fprintf(s.out.file, "policy/%s is removed.\n", request.name);
	session_close(&s);
	return code;
}

static void print_list(struct session *s, const Drover__V1__PolicyList *list)
{
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &list->base);
	for (size_t i = 0; s->out.format == OUTPUT_JSONL && i < list->n_policies; i++)
		output_message(&s->out, &list->policies[i]->base);
	if (s->out.format == OUTPUT_JSON || s->out.format == OUTPUT_JSONL)
		return;
	policies_print(&s->out, list->policies, list->n_policies, clock_wall_ms());
	if (list->n_policies == 0 && s->out.format != OUTPUT_NAME)
		session_say(s, "There are no policies. To set one: drover help policy apart");
}

enum exit_code policies_run(const struct invocation *invocation)
{
	Drover__V1__PoliciesRequest request = DROVER__V1__POLICIES_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__PolicyList *list = NULL;
	const char *name = "";
	struct error err = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	if (invocation->words.count)
		name = session_name_of_kind(&s, "policy", invocation->words.items[0]);
	if (!name)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	request.name = (char *)name;
	if (coordinator_ask_list_policies(s.client, &request, &list, &err) < 0)
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, "listing the policies", "policy", name,
		                                     &err);
	else
		print_list(&s, list);
	session_close(&s);
	return code;
}
