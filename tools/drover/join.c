/* SPDX-License-Identifier: Apache-2.0 */
/* drover join: this host becomes a node. What can be seen to be wrong here is refused before the token
 * is shown to anybody. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "pki/files.h"
#include "tools/drover/commands.h"
#include "tools/drover/setup.h"

#include <signal.h>
#include <string.h>

#define TIMEOUT_MS 15000

/* "-": the first line of stdin. */
static int read_token(const char *word, struct token *ret, struct error *err)
{
	char line[TOKEN_TEXT_BYTES + 64];
	int rc;

	if (strcmp(word, "-") != 0)
		return token_parse(word, ret, err);
	if (!fgets(line, sizeof(line), stdin))
		return error_set(err, ERROR_INVALID, "stdin has no token");
	line[strcspn(line, " \t\r\n")] = '\0';
	rc = token_parse(line, ret, err);
	certificate_forget(line, sizeof(line));
	return rc;
}

static int write_host(const struct host_paths *paths, const struct host_agent *agent,
                      const struct join_result *result, struct error *err)
{
	int rc = host_write_identity(paths, "agent", result, err);

	if (rc == 0 && paths->prefix[0])
		rc = files_make_directory(paths->run, 0755, err);
	if (rc == 0 && paths->prefix[0])
		rc = files_make_directory(paths->state, 0700, err);
	if (rc == 0)
		rc = host_write_qemu_tls(paths, result, err);
	if (rc == 0)
		rc = host_write_libvirt_tls(paths, result, err);
	/* Last: without it no agent starts. */
	return rc < 0 ? rc : host_write_agent_yaml(paths, agent, &result->grant, err);
}

/* Told once: it may be that somebody is about to start the coordinator. */
static void say_waiting(const struct error *why, void *context)
{
	session_say(context, "waiting    %s", why->text);
}

static enum exit_code fail_to_ask(struct session *s, const struct token *token,
                                  const struct error *err)
{
	enum exit_code code = setup_fail(s, "join", err);

	if (err->code == ERROR_UNREACHABLE || err->code == ERROR_TIMEOUT)
		fprintf(s->err.file,
		        "  next step  does drover-coordinator run on the coordinator's host, and "
		        "does "
		        "its firewall let %s through?\n",
		        token->address);
	return code;
}

static enum exit_code join(struct session *s, const struct host_paths *paths,
                           const struct host_agent *agent, const struct token *token)
{
	_cleanup_(join_result_deinit) struct join_result result = { 0 };
	const struct join_order order = { .name = agent->name,
		                          .address = agent->address,
		                          .migration_address = agent->migration_address,
		                          .timeout_ms = s->options->timeout_ms
		                                                ? s->options->timeout_ms
		                                                : TIMEOUT_MS,
		                          .waiting = say_waiting,
		                          .context = s };
	struct error err = { 0 };

	if (host_check_free(paths, "agent", &err) < 0)
		return setup_fail(s, "join", &err);
	if (join_ask(token, &order, &result, &err) < 0)
		return fail_to_ask(s, token, &err);
	if (write_host(paths, agent, &result, &err) < 0) {
		error_context(&err,
		              "the coordinator let this host join, but its files could not be "
		              "written; for another try, on the coordinator's host: drover token "
		              "create --node %s",
		              agent->name);
		return setup_fail(s, "join", &err);
	}
	session_say(s, "checked    the coordinator at %s is the one of the token", token->address);
	session_say(s, "joined     %s as %s; keys were made here and not sent",
	            result.grant.cluster, agent->name);
	session_say(s,
	            "addresses  %s for the coordinator and other agents, %s at %s for migrations",
	            agent->address, agent->migration_address, agent->migration_interface);
	setup_say_tls(s, paths);
	setup_say_next(s, paths->qemu_tls_is_new, "drover-agent");
	return EXIT_DONE;
}

enum exit_code join_run(const struct invocation *invocation)
{
	struct host_paths paths = { 0 };
	struct setup_node node;
	struct host_agent agent;
	struct token token;
	struct session s;
	struct error err = { 0 };
	enum exit_code code = setup_begin(&s, invocation, &paths);

	if (code != EXIT_DONE)
		return code;
	signal(SIGPIPE, SIG_IGN);
	if (read_token(invocation->words.items[0], &token, &err) < 0 ||
	    setup_read_node(&invocation->options, token.address, &node, &err) < 0) {
		code = setup_fail(&s, "join", &err);
	} else {
		agent = setup_agent_of(&node);
		code = join(&s, &paths, &agent, &token);
	}
	certificate_forget(&token, sizeof(token));
	host_paths_deinit(&paths);
	return code;
}
