/* SPDX-License-Identifier: Apache-2.0 */
/* "drover why-not VM NODE": asks, and says by its exit status whether the guest could go there. What
 * is printed is made in why_not_print.c. Nothing is reserved by asking. */
#include "tools/drover/commands.h"

#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"

#include <string.h>

/* Which of the two names nobody knows. */
static const char *unknown_kind(struct session *s, const char *node)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeList *nodes = NULL;
	struct error err;

	if (coordinator_ask_list_nodes(s->client, &request, &nodes, &err) < 0)
		return "vm";
	for (size_t i = 0; i < nodes->n_nodes; i++) {
		if (strcmp(nodes->nodes[i]->name, node) == 0)
			return "vm";
	}
	return "node";
}

static enum exit_code ask(struct session *s, const char *vm, const char *node)
{
	Drover__V1__ExplainRequest request = DROVER__V1__EXPLAIN_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__Explanation *explanation = NULL;
	const char *kind;
	struct error err;

	request.kind = (char *)"vm";
	request.name = (char *)vm;
	request.node = (char *)node;
	if (coordinator_ask_explain(s->client, &request, &explanation, &err) < 0) {
		if (client_is_interrupted(s->client))
			return EXIT_INTERRUPTED;
		kind = err.code == ERROR_NOT_FOUND ? unknown_kind(s, node) : "vm";
		return session_fail_object(s, "asking", kind, strcmp(kind, "vm") == 0 ? vm : node,
		                           &err);
	}
	if (s->out.format == OUTPUT_JSON)
		output_message(&s->out, &explanation->base);
	else
		why_not_print(&s->out, vm, node, explanation);
	return explanation->n_targets == 0 || explanation->targets[0]->fits ? EXIT_DONE
	                                                                    : EXIT_REFUSED;
}

enum exit_code why_not_run(const struct invocation *invocation)
{
	struct session s;
	const char *vm, *node;
	enum exit_code code;

	session_init(&s, invocation);
	vm = session_name_of_kind(&s, "vm", invocation->words.items[0]);
	node = session_name_of_kind(&s, "node", invocation->words.items[1]);
	if (!vm || !node)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code == EXIT_DONE)
		code = ask(&s, vm, node);
	session_close(&s);
	return code;
}
