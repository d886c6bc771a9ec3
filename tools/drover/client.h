/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the coordinator, for a program that asks one thing after another.
 *
 * The mesh runs on a loop; client_call turns it into an ordinary function with a deadline. All of
 * our requests may be repeated (those that start something carry a random request id), so a call
 * whose connection broke is made again over the next one. Ctrl-C and SIGTERM are taken as wishes to
 * stop waiting, never to cancel what runs. One thread, but for the mesh's own couriers.
 */
#pragma once

#include "common/error.h"
#include "common/loop.h"
#include "proto/mesh/mesh.h"
#include "tools/drover/command.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

struct client;

/* Connects to somebody of role @expect; MESH_ROLE_NONE: whoever is there. -ERROR_UNREACHABLE,
 * -ERROR_IDENTITY, -ERROR_TIMEOUT, -ERROR_INVALID (certificate files). @options is borrowed. */
int client_open(const struct options *options, enum mesh_role expect, struct client **ret_client,
                struct error *err);
void client_free(struct client *client);

/* Calls @method, "drover.v1.Coordinator/Drain", and waits for the answer: *ret_reply is to be freed with
 * protobuf_c_message_free_unpacked. -ERROR_CANCELLED when interrupted. */
int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
                ProtobufCMessage **ret_reply, struct error *err);

/* Lets things happen for @budget_ms, or until something did that is worth looking at: @done says so,
 * the user interrupts, or the deadline of --timeout passes. */
void client_wait(struct client *client, uint64_t budget_ms, bool (*done)(void *context),
                 void *context);

/* From now on neither Ctrl-C nor --timeout ends a call or a wait, and a call outlasts @ms without a
 * coordinator: for what must not get lost. 0: no more so. Both are still seen by the two below. */
void client_set_patience(struct client *client, uint64_t ms);

/* Runs until @done, whatever the user or the clock says: for what ends by itself at once. */
void client_settle(struct client *client, bool (*done)(void *context), void *context);

bool client_is_interrupted(const struct client *client);
bool client_is_overdue(const struct client *client); /* --timeout has passed */

/* NULL while there is none; and why. */
struct mesh_connection *client_find_connection(struct client *client);
const struct error *client_get_error(const struct client *client);
