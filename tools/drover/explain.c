/* SPDX-License-Identifier: Apache-2.0 */
/* "drover explain": finds out what a bare name means, asks, and prints. */
#include "tools/drover/commands.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/coordinator.ask.h"
#include "tools/drover/render.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <string.h>

static const char *const kinds[] = { "node", "vm", "migration", "drain", "policy", "plan" };

/* "vm/web1" -> kind "vm", name "web1". False for a bare name. */
static bool split(const char *word, const char **ret_kind, const char **ret_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t bytes = strlen(kinds[i]);

		if (strncmp(word, kinds[i], bytes) == 0 && word[bytes] == '/' && word[bytes + 1]) {
			*ret_kind = kinds[i];
			*ret_name = word + bytes + 1;
			return true;
		}
	}
	return false;
}

static enum exit_code ambiguous(struct session *s, const char *word, const char *a, const char *b)
{
	_cleanup_free_ char *shown = text_escape(word, s->err.ascii);

	fprintf(s->err.file, "drover: \"%s\" may mean %s/%s or %s/%s: say which\n", shown, a, shown,
	        b, shown);
	return EXIT_USAGE;
}

/* Which kind the bare @word is of. */
static enum exit_code find_kind(struct session *s, const char *word, const char **ret_kind)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeList *node_list = NULL;
	_cleanup_reply_ Drover__V1__VmList *vm_list = NULL;
	bool node = false, vm = false;
	enum exit_code code;
	struct error err;

	if (*word && strspn(word, "0123456789") == strlen(word))
		return ambiguous(s, word, "migration", "drain");
	code = session_ask_list_nodes(s, "listing the nodes", &request, &node_list);
	if (code == EXIT_DONE)
		code = session_ask_list_vms(s, "listing the guests", &request, &vm_list);
	if (code != EXIT_DONE)
		return code;
	for (size_t i = 0; i < node_list->n_nodes; i++)
		node |= strcmp(node_list->nodes[i]->name, word) == 0;
	for (size_t i = 0; i < vm_list->n_vms; i++)
		vm |= strcmp(vm_list->vms[i]->name, word) == 0 ||
		      strcmp(vm_list->vms[i]->uuid, word) == 0;
	if (node && vm)
		return ambiguous(s, word, "node", "vm");
	if (node || vm) {
		*ret_kind = node ? "node" : "vm";
		return EXIT_DONE;
	}
	error_set(&err, ERROR_NOT_FOUND, "there is no node and no guest of that name");
	return session_fail_object(s, word, "vm", word, &err);
}

/* What its interfaces carry. A coordinator that is older cannot say. */
static void print_links(struct session *s, const char *name)
{
	Drover__V1__LinksRequest request = DROVER__V1__LINKS_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__LinkList *links = NULL;
	struct error err;

	request.node = (char *)name;
	request.all = true;
	if (coordinator_ask_list_links(s->client, &request, &links, &err) < 0 || !links->n_links)
		return;
	fputc('\n', s->out.file);
	link_times_print(&s->out, links->links, links->n_links);
}

/* With what the lists know of a node: its numbers, and its guests. */
static void print_node(struct session *s, const char *name)
{
	Drover__V1__ListRequest request = DROVER__V1__LIST_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__NodeList *node_list = NULL;
	_cleanup_reply_ Drover__V1__VmList *vm_list = NULL;

	request.node = (char *)name;
	if (session_ask_list_nodes(s, "listing the nodes", &request, &node_list) != EXIT_DONE ||
	    session_ask_list_vms(s, "listing the guests", &request, &vm_list) != EXIT_DONE)
		return;
	for (size_t i = 0; i < node_list->n_nodes; i++) {
		if (strcmp(node_list->nodes[i]->name, name) != 0)
			continue;
		fputc('\n', s->out.file);
		nodes_print(&s->out, &node_list->nodes[i], 1);
		if (node_list->nodes[i]->host && node_list->nodes[i]->host->n_leases) {
			fputc('\n', s->out.file);
			leases_print(&s->out, node_list->nodes[i]->host->leases,
			             node_list->nodes[i]->host->n_leases);
		}
	}
	print_links(s, name);
	if (vm_list->n_vms) {
		fputc('\n', s->out.file);
		vms_print(&s->out, vm_list->vms, vm_list->n_vms);
	}
}

static void print(struct session *s, const char *kind, const char *name,
                  const Drover__V1__Explanation *explanation)
{
	_cleanup_free_ char *asked = xasprintf("%s/%s", kind, name);

	explanation_print(&s->out, asked, explanation);
	if (strcmp(kind, "node") == 0)
		print_node(s, name);
}

enum exit_code explain_run(const struct invocation *invocation)
{
	Drover__V1__ExplainRequest request = DROVER__V1__EXPLAIN_REQUEST__INIT;
	_cleanup_reply_ Drover__V1__Explanation *explanation = NULL;
	const char *word = invocation->words.items[0], *kind = NULL, *name = word;
	_cleanup_free_ char *what = xasprintf("explaining %s", word);
	struct error err = { 0 };
	struct session s;
	enum exit_code code;

	session_init(&s, invocation);
	if (split(word, &kind, &name)) {
		if ((strcmp(kind, "migration") == 0 || strcmp(kind, "drain") == 0) &&
		    session_number(&s, word, name) == 0)
			return EXIT_USAGE;
	} else if (strchr(word, '/')) {
		_cleanup_free_ char *shown = text_escape(word, s.err.ascii);

		fprintf(s.err.file,
		        "drover: \"%s\" is none of node/NAME, vm/NAME, migration/N, "
		        "drain/N, policy/NAME, plan/ID\n",
		        shown);
		return EXIT_USAGE;
	}
	code = session_open(&s, invocation);
	if (code == EXIT_DONE && !kind)
		code = find_kind(&s, word, &kind);
	if (code != EXIT_DONE) {
		session_close(&s);
		return code;
	}
	assert(kind);
	request.kind = (char *)kind;
	request.name = (char *)name;
	if (coordinator_ask_explain(s.client, &request, &explanation, &err) < 0)
		code = client_is_interrupted(s.client)
		               ? EXIT_INTERRUPTED
		               : session_fail_object(&s, what, kind, name, &err);
	else if (s.out.format == OUTPUT_JSON)
		output_message(&s.out, &explanation->base);
	else
		print(&s, kind, name, explanation);
	session_close(&s);
	return code;
}
