/* SPDX-License-Identifier: Apache-2.0 */
/* What every command that asks the coordinator begins and ends with: outputs, connection, and
 * errors that say what failed, why, and what to do. */
#pragma once

#include "proto/coordinator.pb-c.h"
#include "tools/drover/client.h"
#include "tools/drover/command.h"
#include "tools/drover/output.h"

struct session {
	const struct invocation *invocation; /* borrowed */
	const struct options *options;       /* of it */
	struct output out;                   /* data */
	struct output err;                   /* messages, progress */
	bool anybody;                        /* the command itself names the program to ask */
	struct client *client;               /* owned */
};

/* Returns EXIT_DONE, or what to exit with: it has said why. */
enum exit_code session_open(struct session *s, const struct invocation *invocation);
/* As session_open, to a program of any role, also an agent. */
enum exit_code session_open_anybody(struct session *s, const struct invocation *invocation);
void session_close(struct session *s);

/* As session_open without connecting: for tests of what is printed. */
void session_init(struct session *s, const struct invocation *invocation);

/* Calls and, if that fails, says "drover: @what: why". Those who know the method when they are compiled
 * have session_ask_list_nodes and so on, of "tools/drover/coordinator.ask.h", with types. */
enum exit_code session_call(struct session *s, const char *what, const char *method,
                            const ProtobufCMessage *request, ProtobufCMessage **ret_reply);

/* Whether there is one of that name now, of a guest also of that uuid. */
bool session_knows(struct session *s, const char *kind, const char *name);

/* Says what failed and the next step; returns the exit status for it. */
enum exit_code session_fail(struct session *s, const char *what, const struct error *err);

/* As session_fail for an object that may not exist: then shows which there are. @kind "node", "vm",
 * "migration", "drain". */
enum exit_code session_fail_object(struct session *s, const char *what, const char *kind,
                                   const char *name, const struct error *err);

/* A message for people, on stderr, unless --quiet. */
void session_say(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "node/host1" or "host1" -> "host1" for @kind "node"; NULL, and an explanation was printed, for
 * "vm/web1". */
const char *session_name_of_kind(struct session *s, const char *kind, const char *word);

/* --shutdown-timeout is for guests that --shutdown names; false, and an explanation was printed. */
bool session_check_shutdown(struct session *s);

/* "migration/42" -> 42; 0, and an explanation was printed, if it is no number. */
uint64_t session_number(struct session *s, const char *word, const char *digits);

/* Frees a reply of whatever type, of session_call and its like; @reply points to the pointer. */
static inline void session_free_reply(void *reply)
{
	ProtobufCMessage *message = *(ProtobufCMessage **)reply;

	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}
#define _cleanup_reply_ __attribute__((cleanup(session_free_reply)))
