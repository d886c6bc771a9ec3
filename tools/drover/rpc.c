/* SPDX-License-Identifier: Apache-2.0 */
/* drover rpc: any method of any program of the mesh, by hand. What there is, and of what form, is asked
 * of the program itself, which may be of another version; a call needs the messages that this drover
 * was built with.
 *
 * Ctrl-C cancels a call, unlike elsewhere in drover: the other side is told. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/json.h"
#include "proto/methods.h"
#include "proto/reflection.rpc.h"
#include "tools/drover/commands.h"
#include "tools/drover/session.h"
#include "tools/drover/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 60000

DEFINE_CLEANUP(struct table *, table_free);

/* --- one call --- */

struct rpc {
	struct session *s;
	const char *method;
	bool done;
	enum mesh_status status;
	struct error error;
	/* What to do with an answer, as it comes. */
	void (*print)(struct output *o, const ProtobufCMessage *message);
};

static void answered(const ProtobufCMessage *message, void *context)
{
	struct rpc *rpc = context;

	rpc->print(&rpc->s->out, message);
	fflush(rpc->s->out.file);
}

static void ended(const struct mesh_result *result, void *context)
{
	struct rpc *rpc = context;

	if (result->message)
		answered(result->message, rpc);
	rpc->done = true;
	rpc->status = result->status;
	rpc->error = result->error;
}

static bool is_done(void *context)
{
	return ((struct rpc *)context)->done;
}

static enum exit_code failed(struct rpc *rpc)
{
	_cleanup_free_ char *what = xasprintf("%s: %s", rpc->method, mesh_status_name(rpc->status));

	if (rpc->error.code == ERROR_NONE)
		error_set(&rpc->error, mesh_status_to_error(rpc->status),
		          "the other side did not say why");
	return session_fail(rpc->s, what, &rpc->error);
}

static uint64_t timeout_of(const struct session *s)
{
	return s->options->timeout_ms ? s->options->timeout_ms : CALL_MS;
}

/* Waits for the end of what runs. */
static enum exit_code wait_for(struct rpc *rpc, struct mesh_call *running)
{
	struct client *client = rpc->s->client;

	while (!rpc->done && !client_is_interrupted(client) && !client_is_overdue(client))
		client_wait(client, 1000, is_done, rpc);
	if (!rpc->done && client_is_interrupted(client)) {
		mesh_call_cancel(running);
		client_settle(client, is_done, rpc);
		session_say(rpc->s, "%s: CANCELLED: interrupted; the other side was told",
		            rpc->method);
		return EXIT_INTERRUPTED;
	}
	/* The deadline is the mesh's, too: its END is on the way. */
	client_settle(client, is_done, rpc);
	return rpc->status == MESH_OK ? EXIT_DONE : failed(rpc);
}

/* To the program at the invocation's first word, whatever its role. */
static enum exit_code open_session(struct session *s, struct invocation *at,
                                   const struct invocation *invocation)
{
	struct error err = { 0 };

	*at = *invocation;
	at->options.server = invocation->words.items[0];
	session_init(s, at);
	if (command_check_address(&at->options, at->options.server, "a coordinator or an agent",
	                          &err) < 0)
		return session_fail(s, "ADDRESS", &err);
	return session_open_anybody(s, at);
}

static char *full_name(const char *name)
{
	return strncmp(name, "drover.", 7) == 0 ? xstrdup(name) : xasprintf("drover.v1.%s", name);
}

/* --- list --- */

enum { LIST_METHOD, LIST_REQUEST, LIST_REPLY, LIST_ROLES, LIST_COLUMNS };

static const struct column list_columns[LIST_COLUMNS] = {
	[LIST_METHOD] = { "METHOD" },
	[LIST_REQUEST] = { "REQUEST", COLUMN_WIDE },
	[LIST_REPLY] = { "REPLY" },
	[LIST_ROLES] = { "FOR" },
};

static const char *short_name(const char *name)
{
	return strncmp(name, "drover.v1.", 10) == 0 ? name + 10 : name;
}

static char *join_roles(const Drover__V1__Method *m)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < m->n_roles; i++) {
		char *longer = xasprintf("%s%s%s", text, i ? " " : "", m->roles[i]);

		free(text);
		text = longer;
	}
	return text;
}

static void print_list(struct output *o, const ProtobufCMessage *message)
{
	const Drover__V1__MethodList *list = (const Drover__V1__MethodList *)message;
	_cleanup_(table_freep) struct table *t = NULL;

	if (o->format == OUTPUT_JSON) {
		output_message(o, message);
		return;
	}
	t = table_new(o, list_columns, LIST_COLUMNS);
	for (size_t i = 0; i < list->n_methods; i++) {
		const Drover__V1__Method *m = list->methods[i];
		_cleanup_free_ char *roles = join_roles(m);

		table_add_row(t);
		table_set(t, LIST_METHOD, "%s", short_name(m->name));
		table_set(t, LIST_REQUEST, "%s", short_name(m->input));
		table_set(t, LIST_REPLY, "%s%s", m->server_streaming ? "stream " : "",
		          short_name(m->output));
		table_set(t, LIST_ROLES, "%s", roles);
	}
	table_print(t);
}

static void listed(const struct mesh_result *result, const Drover__V1__MethodList *reply,
                   void *context)
{
	(void)reply; /* printed as any answer */
	ended(result, context);
}

enum exit_code rpc_list_run(const struct invocation *invocation)
{
	Drover__V1__ListMethodsRequest request = DROVER__V1__LIST_METHODS_REQUEST__INIT;
	struct rpc rpc = { .method = "drover.v1.Reflection/ListMethods", .print = print_list };
	struct invocation at;
	struct session s;
	enum exit_code code = open_session(&s, &at, invocation);

	rpc.s = &s;
	if (code == EXIT_DONE)
		code = wait_for(&rpc, reflection_call_list_methods(client_find_connection(s.client),
		                                                   &request, timeout_of(&s), listed,
		                                                   &rpc));
	session_close(&s);
	return code;
}

/* --- describe --- */

static void print_fields(const struct output *o, const Drover__V1__MessageDescription *m)
{
	bool in_oneof = false;

	for (size_t i = 0; i < m->n_fields; i++) {
		const Drover__V1__FieldDescription *f = m->fields[i];
		_cleanup_free_ char *type = text_escape(short_name(f->type), o->ascii);
		_cleanup_free_ char *name = text_escape(f->name, o->ascii);

		if (f->in_oneof != in_oneof)
			fputs(in_oneof ? "  }\n" : "  oneof {\n", o->file);
		in_oneof = f->in_oneof;
		fprintf(o->file, "  %s%s%s %s = %u;\n", in_oneof ? "  " : "",
		        f->repeated_field ? "repeated " : "", type, name, f->number);
	}
	if (in_oneof)
		fputs("  }\n", o->file);
}

static void print_description(struct output *o, const ProtobufCMessage *message)
{
	const Drover__V1__MethodDescription *d = (const Drover__V1__MethodDescription *)message;
	_cleanup_free_ char *roles = NULL, *head = NULL, *shown = NULL;

	if (o->format == OUTPUT_JSON || !d->method) {
		output_message(o, message);
		return;
	}
	roles = join_roles(d->method);
	head = xasprintf("// for %s%s\nrpc %s(%s) returns (%s%s);", roles,
	                 d->method->allowed ? "" : ": not for you", short_name(d->method->name),
	                 short_name(d->method->input), d->method->server_streaming ? "stream " : "",
	                 short_name(d->method->output));
	for (char *line = strtok(head, "\n"); line; line = strtok(NULL, "\n")) {
		free(shown);
		shown = text_escape(line, o->ascii);
		fprintf(o->file, "%s\n", shown);
	}
	for (size_t i = 0; i < d->n_messages; i++) {
		_cleanup_free_ char *name = text_escape(short_name(d->messages[i]->name), o->ascii);

		fprintf(o->file, "\nmessage %s {\n", name);
		print_fields(o, d->messages[i]);
		fputs("}\n", o->file);
	}
	for (size_t i = 0; i < d->n_enums; i++) {
		const Drover__V1__EnumDescription *e = d->enums[i];
		_cleanup_free_ char *name = text_escape(short_name(e->name), o->ascii);

		fprintf(o->file, "\nenum %s {\n", name);
		for (size_t k = 0; k < e->n_values; k++) {
			_cleanup_free_ char *value = text_escape(e->values[k]->name, o->ascii);

			fprintf(o->file, "  %s = %d;\n", value, e->values[k]->number);
		}
		fputs("}\n", o->file);
	}
}

static void described(const struct mesh_result *result, const Drover__V1__MethodDescription *reply,
                      void *context)
{
	(void)reply; /* printed as any answer */
	ended(result, context);
}

enum exit_code rpc_describe_run(const struct invocation *invocation)
{
	Drover__V1__DescribeMethodRequest request = DROVER__V1__DESCRIBE_METHOD_REQUEST__INIT;
	_cleanup_free_ char *name = full_name(invocation->words.items[1]);
	struct rpc rpc = { .method = "drover.v1.Reflection/DescribeMethod",
		           .print = print_description };
	struct invocation at;
	struct session s;
	enum exit_code code = open_session(&s, &at, invocation);

	rpc.s = &s;
	request.name = name;
	if (code == EXIT_DONE)
		code = wait_for(&rpc, reflection_call_describe_method(
					      client_find_connection(s.client), &request,
					      timeout_of(&s), described, &rpc));
	session_close(&s);
	return code;
}

/* --- call --- */

static void print_object(struct output *o, const ProtobufCMessage *message)
{
	output_message(o, message);
}

/* The words of the command, or standard input for "-". One byte more than is read is enough to see
 * that it is too much. */
static int read_text(const char *word, char **ret, struct error *err)
{
	size_t bytes;

	if (!word || strcmp(word, "-") != 0) {
		*ret = xstrdup(word ? word : "{}");
		return 0;
	}
	*ret = xcalloc(JSON_READ_MAX_BYTES + 2, 1);
	bytes = fread(*ret, 1, JSON_READ_MAX_BYTES + 1, stdin);
	if (ferror(stdin))
		return error_set_errno(err, ERROR_SYSTEM, errno, "reading standard input");
	if (strlen(*ret) != bytes)
		return error_set(err, ERROR_INVALID, "not JSON: it has a byte of value 0");
	return 0;
}

/* Before anything is connected: what is wrong with the words. */
static enum exit_code read_request(const struct invocation *invocation, const char *name,
                                   const struct method **ret_method, ProtobufCMessage **ret)
{
	const struct word_list *words = &invocation->words;
	const struct method *method = method_find(name);
	_cleanup_free_ char *text = NULL;
	struct error err = { 0 };
	struct session s;

	session_init(&s, invocation);
	if (!method) {
		_cleanup_free_ char *shown = text_escape(name, s.err.ascii);

		fprintf(s.err.file,
		        "drover: this drover knows no method \"%s\"\n"
		        "  next step  see which there are: drover rpc list ADDRESS\n",
		        shown);
		return EXIT_USAGE;
	}
	if (read_text(words->count > 2 ? words->items[2] : NULL, &text, &err) < 0 ||
	    json_read(text, method->input, ret, &err) < 0) {
		_cleanup_free_ char *why = text_escape(err.text, s.err.ascii);

		fprintf(s.err.file,
		        "drover: the request: %s\n"
		        "  next step  see its form: drover rpc describe ADDRESS %s\n",
		        why, short_name(method->name));
		return EXIT_USAGE;
	}
	*ret_method = method;
	return EXIT_DONE;
}

/* By its name, which is what this command is for. A stream has no deadline but that of --timeout. */
static struct mesh_call *start(struct rpc *rpc, bool streams, const ProtobufCMessage *request)
{
	struct mesh_call_options options = { .timeout_ms = timeout_of(rpc->s) };

	if (streams) {
		options.timeout_ms = rpc->s->options->timeout_ms;
		options.message = answered;
	}
	return mesh_call_with(client_find_connection(rpc->s->client), rpc->method, request,
	                      &options, ended, rpc);
}

enum exit_code rpc_call_run(const struct invocation *invocation)
{
	_cleanup_free_ char *name = full_name(invocation->words.items[1]);
	_cleanup_reply_ ProtobufCMessage *request = NULL;
	struct rpc rpc = { .print = print_object };
	const struct method *method = NULL;
	struct invocation at;
	struct session s;
	enum exit_code code = read_request(invocation, name, &method, &request);

	if (code != EXIT_DONE)
		return code;
	code = open_session(&s, &at, invocation);
	rpc.s = &s;
	rpc.method = method->name;
	/* A stream's messages are a line each; one answer is for people, unless they say otherwise. */
	s.out.format = method->server_streaming || at.options.format == OUTPUT_JSONL ? OUTPUT_JSONL
	                                                                             : OUTPUT_JSON;
	if (code == EXIT_DONE)
		code = wait_for(&rpc, start(&rpc, method->server_streaming, request));
	session_close(&s);
	return code;
}
