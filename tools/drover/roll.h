/* SPDX-License-Identifier: Apache-2.0 */
/* What "drover roll" is made of: the steps of one host (roll_steps.c), the hook (roll_hook.c), who
 * has come how far, which is kept as labels of the hosts (roll_state.c), guests that are shut down
 * meanwhile (roll_guests.c), the dry run (roll_plan.c), and what is said of all that (roll_print.c). */
#pragma once

#include "tools/drover/session.h"

#include <sys/types.h>

/* How far a host is. The names are the values of its label; what is not there has not begun. */
enum roll_stage {
	ROLL_NOT_BEGUN,
	ROLL_DRAINING, /* it is being emptied, or was, and the hook has not ended well */
	ROLL_BACK,     /* the hook has; its guests come back once it is ready */
	ROLL_DONE,
	ROLL_STAGES
};

/* What a dry run says of a host's turn. */
struct roll_turn {
	unsigned number; /* from 1; 0: it has none any more */
	size_t moves, shut_down, no_place, given_up;
	char *refusal; /* owned; NULL: it would begin */
};

struct roll_host {
	const char *name; /* borrowed */
	enum roll_stage stage;
	bool begun;     /* by an earlier command of this operation: its drain is ours */
	pid_t hook;     /* 0 = none runs */
	bool hook_done; /* it has ended well */
	bool refused;   /* it has, but the coordinator does not take that */
	struct roll_turn turn;
};

struct roll {
	struct session *s;
	char label[40]; /* the key: "roll/1f0c2a3b" */
	const char *hook;
	uint64_t hook_timeout_ms, ready_timeout_ms;
	struct roll_host *hosts; /* owned; in the order of their names */
	size_t count;
	Drover__V1__NodeList *list; /* owned; as it was at the start */
	const char *failed_node;    /* where it stopped */
	char *shut_down[WORDS_MAX]; /* owned: the uuids of the guests that --shutdown names */
	FILE *steps;                /* private to roll_print.c, like the next three */
	char *steps_text;
	size_t steps_bytes, n_steps;
};

/* --- roll_print.c --- */

/* Tells: a line for people on stderr; with -o jsonl an object on stdout, with -o json one of the object at the
 * end. @event: "drained". @node: "", it is of all. */
void roll_tell(struct roll *roll, const char *node, const char *event, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* With -o jsonl: one object. @text: the same in words. */
void roll_print_turn(const struct roll *roll, const struct roll_host *host, const char *text);
/* The whole of it; @code: how it ended. */
void roll_print_json(struct roll *roll, enum exit_code code);
void roll_print_deinit(struct roll *roll);

/* --- roll_state.c --- */

/* Which hosts are meant, and how far each is. EXIT_DONE, or it has said what is wrong. */
enum exit_code roll_state_load(struct roll *roll, const struct word_list *words);
void roll_state_deinit(struct roll *roll);
const char *roll_stage_name(enum roll_stage stage);
/* ROLL_NOT_BEGUN takes the label away. */
enum exit_code roll_state_save(struct roll *roll, struct roll_host *host, enum roll_stage stage);
/* The hook of @host has ended well, which must not get lost: neither Ctrl-C nor --timeout ends the call,
 * and it outlasts @patience_ms without a coordinator. Says nothing; the host's stage is as before if it fails. */
int roll_state_save_hook(struct roll *roll, struct roll_host *host, uint64_t patience_ms,
                         struct error *err);
/* All are done: nothing is left to remember. */
enum exit_code roll_state_forget(struct roll *roll);

/* --- roll_steps.c --- */

/* Each takes the hosts of one group as far as it can, and says what comes of it. What fails sets
 * roll->failed_node. */
enum exit_code roll_drain(struct roll *roll, struct roll_host **group, size_t count);
/* Each host of the group that has not begun is ready as things are now: else somebody else is at work
 * there. */
enum exit_code roll_check_ready(struct roll *roll, struct roll_host **group, size_t count);
/* Each is in maintenance, and no guest is active there. */
enum exit_code roll_check_empty(struct roll *roll, struct roll_host **group, size_t count);
/* Of a drain that waits for something: since when nothing has come of it. A look now and then, each time with
 * how many of its guests have left. That each retry of a blocked guest leads through a moment in which
 * nothing is blocked is no progress. */
struct roll_patience {
	uint64_t stuck_since_ms; /* 0 = it is not */
	uint64_t free_since_ms;  /* not blocked since; 0 = it is */
	size_t left;
};
bool roll_is_stuck(struct roll_patience *p, bool blocked, size_t left, uint64_t now_ms);
enum exit_code roll_wait_ready(struct roll *roll, struct roll_host *host);

/* What a drain of the hosts of the group is asked for; else it has said what is wrong. */
enum exit_code roll_ask_drain(struct roll *roll, struct roll_host **group, size_t count,
                              bool dry_run, Drover__V1__DrainReply **ret_reply);

/* --- roll_plan.c --- */

/* The dry run: EXIT_DONE, or EXIT_REFUSED if one of the hosts would not become empty. */
enum exit_code roll_plan(struct roll *roll, size_t group_size);
/* Why the drain of a group is refused, with the guests in the way: may have several lines. Owned. */
char *roll_describe_refusal(const Drover__V1__DrainReply *reply);

/* --- roll_guests.c --- */

/* Finds whom --shutdown names, among the guests of these hosts. EXIT_DONE, or it has said what is wrong. */
enum exit_code roll_guests_load(struct roll *roll);
void roll_guests_deinit(struct roll *roll);
/* That each of them may be shut down, before anything is begun. */
enum exit_code roll_guests_check(struct roll *roll);
/* Those that are on a host of the group now. @ret: WORDS_MAX, borrowed from @roll. */
enum exit_code roll_guests_pick(struct roll *roll, struct roll_host **group, size_t count,
                                char **ret, size_t *ret_n);
/* The drains of the group, which have begun before this command, shut all of them down. */
enum exit_code roll_guests_check_drains(struct roll *roll, struct roll_host **group, size_t count);

/* --- roll_hook.c --- */

/* Runs the hook for each host of the group at the same time, and waits for all. Whose hook ends with 0 is
 * noted at once, as ROLL_BACK; else EXIT_FAILED, EXIT_INTERRUPTED or EXIT_TIMEOUT. */
enum exit_code roll_run_hooks(struct roll *roll, struct roll_host **group, size_t count);
