/* SPDX-License-Identifier: Apache-2.0 */
/* "drover label": labels of a node, given and taken away. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

static void say(struct session *s, const Drover__V1__NodeReply *reply)
{
	const Drover__V1__Node *node = reply->node;
	_cleanup_free_ char *name = NULL;

	if (s->options->quiet || !node)
		return;
	name = text_escape(node->name, s->out.ascii);
	fprintf(s->out.file, "%s %s", name, node->n_labels ? "has" : "has no labels");
	for (size_t i = 0; i < node->n_labels; i++) {
		_cleanup_free_ char *label = text_escape(node->labels[i], s->out.ascii);

		fprintf(s->out.file, "%s%s", i ? "," : " ", label);
	}
	fprintf(s->out.file, "%s.\n", reply->changed ? "" : ", as before");
}

enum exit_code label_run(const struct invocation *invocation)
{
	Drover__V1__LabelRequest request = DROVER__V1__LABEL_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeReply *reply = NULL;
	_cleanup_free_ char *what = NULL;
	struct error err = { 0 };
	struct session s;
	const char *node;
	enum exit_code code;

	session_init(&s, invocation);
	node = session_name_of_kind(&s, "node", invocation->words.items[0]);
	if (!node)
		return EXIT_USAGE;
	code = session_open(&s, invocation);
	if (code != EXIT_DONE)
		return code;
	what = xasprintf("labelling %s", node);
	request.node = (char *)node;
	request.changes = (char **)&invocation->words.items[1];
	request.n_changes = invocation->words.count - 1;
	if (coordinator_ask_label(s.client, &request, &reply, &err) < 0)
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, what, "node", node, &err);
	else if (s.out.format == OUTPUT_JSON)
		output_message(&s.out, &reply->base);
	else
		say(&s, reply);
	session_close(&s);
	return code;
}
