/* SPDX-License-Identifier: Apache-2.0 */
/* drover token create, list, revoke: on the authority's own host, on its files. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "proto/json.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

DEFINE_CLEANUP(struct table *, table_free);

/* One object, in the words of "token list": {"token":"drv1....","node":"","usesLeft":1,"ends":"..."}. */
static void print_token(const struct session *s, const char *text, uint64_t ends_ms, uint32_t uses)
{
	char when[CLOCK_TEXT_BYTES];

	fprintf(s->out.file, "{\"token\":\"%s\",\"node\":", text);
	json_write_string(s->out.file, s->options->node ? s->options->node : "");
	fprintf(s->out.file, ",\"usesLeft\":%u,\"ends\":\"%s\"}\n", uses,
	        clock_format_wall(ends_ms, when));
}

static void say_token(struct session *s, const char *network, uint64_t ends_ms, uint32_t uses)
{
	_cleanup_free_ char *whom = s->options->node ? xasprintf("for %s alone", s->options->node)
	                            : uses == 1      ? xstrdup("for one new host")
	                                             : xasprintf("for %u new hosts", uses);
	char when[CLOCK_TEXT_BYTES];

	session_say(s,
	            "Good %s, until %s (UTC). Take it back: drover token list, drover token "
	            "revoke ID",
	            whom, clock_format_wall(ends_ms, when));
	session_say(s, "On the new host: drover join TOKEN %s %s",
	            *network ? "--migration-network" : "--migration-address",
	            *network ? network : "IP");
}

enum exit_code token_create_run(const struct invocation *invocation)
{
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	_cleanup_free_ char *network = NULL;
	char text[TOKEN_TEXT_BYTES];
	struct session s;
	struct error err = { 0 };
	enum exit_code code = setup_begin(&s, invocation, &paths);
	uint64_t ends_ms;
	uint32_t uses;

	if (code != EXIT_DONE)
		return code;
	ends_ms = clock_wall_ms() + (s.options->ttl_ms ? s.options->ttl_ms : SETUP_TTL_MS);
	uses = s.options->uses ? (uint32_t)s.options->uses : 1;
	if (authority_read_network(paths.authority, &network, &err) < 0 ||
	    setup_create_token(s.options, &paths, text, &err) < 0)
		return setup_fail(&s, "making a token", &err);
	say_token(&s, network, ends_ms, uses);
	if (s.out.format == OUTPUT_JSON)
		print_token(&s, text, ends_ms, uses);
	else
		puts(text);
	certificate_forget(text, sizeof(text));
	return EXIT_DONE;
}

enum token_column { TOKEN_ID, TOKEN_STATE, TOKEN_FOR, TOKEN_ENDS, TOKEN_USED_BY, TOKEN_COLUMNS };

static const struct column token_columns[TOKEN_COLUMNS] = {
	[TOKEN_ID] = { "ID" },     [TOKEN_STATE] = { "STATE" },          [TOKEN_FOR] = { "FOR" },
	[TOKEN_ENDS] = { "ENDS" }, [TOKEN_USED_BY] = { "LAST USED BY" },
};

static void add_token(struct table *t, const struct books_token *k, uint64_t now_ms)
{
	char text[CLOCK_TEXT_BYTES];

	table_add_row(t);
	table_set(t, TOKEN_ID, "%s", token_format_id(k->id, text));
	if (k->uses_left == 0)
		table_set(t, TOKEN_STATE, "used");
	else if (k->expires_ms <= now_ms)
		table_set(t, TOKEN_STATE, "expired");
	else
		table_set(t, TOKEN_STATE, "good for %u", k->uses_left);
	table_set(t, TOKEN_FOR, "%s", k->node[0] ? k->node : "any new host");
	table_set(t, TOKEN_ENDS, "%s", clock_format_wall(k->expires_ms, text));
	table_set(t, TOKEN_USED_BY, "%s", k->used_by);
}

/* One object: {"tokens":[{"id":"6fff35ab",...}]}. A token of any host has no node. */
static void print_tokens(const struct session *s, const struct books *books, uint64_t now_ms)
{
	FILE *to = s->out.file;
	char text[CLOCK_TEXT_BYTES];

	fputs("{\"tokens\":[", to);
	for (size_t i = 0; i < books->n_tokens; i++) {
		const struct books_token *k = &books->tokens[i];

		fprintf(to, "%s{\"id\":\"%s\",", i ? "," : "", token_format_id(k->id, text));
		fprintf(to, "\"state\":\"%s\",\"usesLeft\":%u,\"node\":",
		        k->uses_left == 0         ? "used"
		        : k->expires_ms <= now_ms ? "expired"
		                                  : "good",
		        k->uses_left);
		json_write_string(to, k->node);
		fprintf(to,
		        ",\"ends\":\"%s\",\"lastUsedBy\":", clock_format_wall(k->expires_ms, text));
		json_write_string(to, k->used_by);
		fputc('}', to);
	}
	fputs("]}\n", to);
}

enum exit_code token_list_run(const struct invocation *invocation)
{
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	_cleanup_(books_deinit) struct books books = { 0 };
	_cleanup_(table_freep) struct table *t = NULL;
	struct session s;
	struct error err = { 0 };
	enum exit_code code = setup_begin(&s, invocation, &paths);

	if (code != EXIT_DONE)
		return code;
	if (authority_list(paths.authority, &books, &err) < 0)
		return setup_fail(&s, "listing the tokens", &err);
	if (s.out.format == OUTPUT_JSON) {
		print_tokens(&s, &books, clock_wall_ms());
		return EXIT_DONE;
	}
	t = table_new(&s.out, token_columns, TOKEN_COLUMNS);
	for (size_t i = 0; i < books.n_tokens; i++)
		add_token(t, &books.tokens[i], clock_wall_ms());
	table_print(t);
	return EXIT_DONE;
}

enum exit_code token_revoke_run(const struct invocation *invocation)
{
	_cleanup_(host_paths_deinit) struct host_paths paths = { 0 };
	const char *id = invocation->words.items[0];
	struct session s;
	struct error err = { 0 };
	enum exit_code code = setup_begin(&s, invocation, &paths);

	if (code != EXIT_DONE)
		return code;
	if (authority_revoke_token(paths.authority, id, &err) < 0)
		return setup_fail(&s, "revoking a token", &err);
	session_say(&s, "Token %s is revoked.", id);
	return EXIT_DONE;
}
