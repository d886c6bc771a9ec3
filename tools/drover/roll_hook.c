/* SPDX-License-Identifier: Apache-2.0 */
/* The hook of a rolling operation: a command of this machine's shell, once for each host that is empty.
 *
 * Each is a process group of its own, so that its time-out ends all that it began; Ctrl-C is passed on,
 * as a shell's would be. What it prints goes to stderr: stdout is drover's.
 *
 * That a hook has ended well is noted before anything else happens, and Ctrl-C or --timeout do not stop
 * that: it must not run twice. */
#include "tools/drover/roll.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define LOOK_EVERY_MS 100
#define NOTE_MS       5000
/* Between asking a hook to end and ending it. */
#define KILL_AFTER_MS 10000

static const Drover__V1__Node *find_node(const struct roll *roll, const char *name)
{
	for (size_t i = 0; i < roll->list->n_nodes; i++) {
		if (strcmp(roll->list->nodes[i]->name, name) == 0)
			return roll->list->nodes[i];
	}
	return NULL;
}

#define VARIABLES 4

/* Ours and DROVER_...; the first VARIABLES are to be freed, and the list. */
static char **make_environment(const struct roll *roll, const struct roll_host *host)
{
	const Drover__V1__Node *node = find_node(roll, host->name);
	size_t n = 0, own = 0;
	char **list;

	while (environ[n])
		n++;
	list = xcalloc(n + VARIABLES + 1, sizeof(*list));
	list[own++] = xasprintf("DROVER_NODE=%s", host->name);
	list[own++] = xasprintf("DROVER_NODE_ADDRESS=%s",
	                        node && node->host ? node->host->mesh_address : "");
	list[own++] = xasprintf("DROVER_ROLL=%s", roll->label);
	list[own++] = xasprintf("DROVER_SERVER=%s",
	                        roll->s->options->server ? roll->s->options->server : "");
	for (size_t i = 0; i < n; i++) {
		if (strncmp(environ[i], "DROVER_NODE", 11) != 0 &&
		    strncmp(environ[i], "DROVER_ROLL=", 12) != 0 &&
		    strncmp(environ[i], "DROVER_SERVER=", 14) != 0)
			list[own++] = environ[i];
	}
	return list;
}

/* 0, or an errno. */
static int start(struct roll *roll, struct roll_host *host)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)roll->hook, NULL };
	char **environment = make_environment(roll, host);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	/* In the background of a terminal a read from it would stop the hook. */
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	/* This program has blocked the signals that it waits for. */
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
	                                              POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(&host->hook, argv[0], &actions, &attributes, argv, environment);
	if (rc != 0)
		host->hook = 0;
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	for (size_t i = 0; i < VARIABLES; i++)
		free(environment[i]);
	free(environment);
	return rc;
}

static void end(struct roll *roll, struct roll_host *host, int wait_status, uint64_t elapsed_ms)
{
	/* As a shell would say it. */
	int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
	                                    : 128 + WTERMSIG(wait_status);
	char text[OUTPUT_TEXT_BYTES];

	host->hook = 0;
	host->hook_done = status == 0;
	roll_tell(roll, host->name, "hook-ended", "the hook ended with status %d after %s", status,
	          output_duration(&roll->s->err, elapsed_ms, text));
}

static void signal_all(struct roll_host **group, size_t count, int signal_number)
{
	for (size_t i = 0; i < count; i++) {
		if (group[i]->hook)
			kill(-group[i]->hook, signal_number);
	}
}

static size_t count_running(struct roll_host **group, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += group[i]->hook != 0;
	return n;
}

static bool never(void *context)
{
	(void)context;
	return false;
}

/* --- noting that it has ended well --- */

/* While other hooks run they are to be looked after, too: a short try, if there is a connection. */
static void note(struct roll *roll, struct roll_host *host)
{
	struct error err = { 0 };

	if (!client_find_connection(roll->s->client) ||
	    roll_state_save_hook(roll, host, NOTE_MS, &err) == 0)
		return;
	host->refused = err.code != ERROR_UNREACHABLE && err.code != ERROR_TIMEOUT &&
	                err.code != ERROR_CANCELLED;
}

/* The last tries: a hook may have taken the coordinator down with its host. Whether it is noted. */
static bool note_at_last(struct roll *roll, struct roll_host *host)
{
	struct error err = { 0 };

	if (host->stage == ROLL_BACK)
		return true;
	if (!client_find_connection(roll->s->client))
		roll_tell(roll, host->name, "noting",
		          "waits for the coordinator, to note that the hook has ended well; Ctrl-C "
		          "does not end this");
	if (roll_state_save_hook(roll, host, roll->ready_timeout_ms, &err) == 0)
		return true;
	roll_tell(
		roll, host->name, "failed",
		"the hook has ended well, and that could not be noted: %s. Before the same command "
		"once more: drover label %s %s=back; else the hook runs again",
		err.text, host->name, roll->label);
	return false;
}

/* --- the wait --- */

static void look_at(struct roll *roll, struct roll_host *host, uint64_t elapsed_ms)
{
	int status, rc;

	if (host->hook) {
		rc = waitpid(host->hook, &status, WNOHANG);
		if (rc > 0) {
			end(roll, host, status, elapsed_ms);
		} else if (rc < 0) {
			roll_tell(roll, host->name, "failed", "how the hook ended is not known: %s",
			          strerror(errno));
			host->hook = 0;
		}
	}
	if (host->hook_done && host->stage != ROLL_BACK && !host->refused)
		note(roll, host);
}

/* They are asked to end. */
static void stop_all(struct roll *roll, struct roll_host **group, size_t count, bool interrupted)
{
	bool overdue = client_is_overdue(roll->s->client);
	char text[OUTPUT_TEXT_BYTES];

	for (size_t i = 0; i < count && !interrupted; i++) {
		if (group[i]->hook)
			roll_tell(roll, group[i]->name, "hook-timeout",
			          "the hook has not ended in time (%s %s) and is asked to end",
			          overdue ? "--timeout" : "--hook-timeout",
			          output_duration(&roll->s->err,
			                          overdue ? roll->s->options->timeout_ms
			                                  : roll->hook_timeout_ms,
			                          text));
	}
	signal_all(group, count, interrupted ? SIGINT : SIGTERM);
}

static void wait_for_all(struct roll *roll, struct roll_host **group, size_t count)
{
	uint64_t begun_ms = clock_now_ms(), asked_ms = 0;

	while (count_running(group, count)) {
		uint64_t now_ms = clock_now_ms();
		bool interrupted = client_is_interrupted(roll->s->client);

		for (size_t i = 0; i < count; i++)
			look_at(roll, group[i], now_ms - begun_ms);
		if (!asked_ms && (interrupted || client_is_overdue(roll->s->client) ||
		                  now_ms - begun_ms > roll->hook_timeout_ms)) {
			asked_ms = now_ms;
			stop_all(roll, group, count, interrupted);
		} else if (asked_ms && now_ms - asked_ms > KILL_AFTER_MS) {
			signal_all(group, count, SIGKILL);
		}
		/* Else it would return at once when interrupted or overdue. */
		client_set_patience(roll->s->client, LOOK_EVERY_MS);
		client_wait(roll->s->client, LOOK_EVERY_MS, never, NULL);
		client_set_patience(roll->s->client, 0);
	}
}

static enum exit_code why_failed(const struct roll *roll)
{
	if (client_is_interrupted(roll->s->client))
		return EXIT_INTERRUPTED;
	return client_is_overdue(roll->s->client) ? EXIT_TIMEOUT : EXIT_FAILED;
}

enum exit_code roll_run_hooks(struct roll *roll, struct roll_host **group, size_t count)
{
	enum exit_code code = EXIT_DONE;

	fflush(roll->s->out.file);
	/* Who has started us may have left it ignored: then no child's end would be told. */
	signal(SIGCHLD, SIG_DFL);
	for (size_t i = 0; i < count; i++) {
		int rc;

		roll_tell(roll, group[i]->name, "hook-started", "runs: %s", roll->hook);
		rc = start(roll, group[i]);
		if (rc == 0)
			continue;
		roll_tell(roll, group[i]->name, "failed", "the hook cannot be started: %s",
		          strerror(rc));
	}
	wait_for_all(roll, group, count);
	for (size_t i = 0; i < count; i++) {
		if (group[i]->hook_done && note_at_last(roll, group[i]))
			continue;
		if (code == EXIT_DONE)
			roll->failed_node = group[i]->name;
		code = why_failed(roll);
	}
	return code;
}
