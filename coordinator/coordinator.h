/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator: the pure core on an owner thread, with its edges around it.
 *
 *	agents, CLI -- mesh --> service.c, agents.c --> struct event
 *	                                                   |
 *	                             coordinator_step -> core_step -> actions
 *	                                                   |
 *	  store_thread <-- STORE    agents.c <-- START, CANCEL, PROBE, MARK, PREVIEW
 *	  requests.c   <-- REPLY    watchers.c <-- CHANGED
 *
 *	core/, planner/   pure: what should happen next, and why the rest waits
 *	service/          what calls are answered with
 *	view/             the fleet as messages and sentences, for readers
 *	store/            what outlives the process
 *
 * Private to the coordinator's own files. Owner thread only.
 */
#pragma once

#include "common/loop.h"
#include "coordinator/core/step.h"
#include "coordinator/settings.h"
#include "coordinator/store/store_thread.h"
#include "proto/mesh/mesh.h"

struct agent_link;  /* agents.c */
struct identity;    /* identity.c */
struct join_event;  /* pki/join_server.h */
struct join_server; /* the same */
struct rate_book;   /* links.c */
struct request;     /* requests.c */
struct watcher;     /* watchers.c */

struct coordinator {
	const struct coordinator_settings *settings;
	const char *settings_path; /* for "from" in explanations; borrowed */
	struct loop *loop;
	struct mesh *mesh;
	struct audit *audit; /* NULL: none is kept */
	struct fleet *fleet;
	struct store_thread *store;
	struct join_server *join;  /* NULL: nobody can join */
	struct identity *identity; /* NULL: the authority is not here */

	struct agent_link *agents; /* by node name */
	struct request *requests;  /* by number */
	uint64_t last_request;

	struct rate_book *rates; /* by node name */

	struct watcher *watchers;
	struct loop_timer pump; /* watchers are served at most every PUMP_MS */

	struct loop_timer tick;
	bool stepping; /* the core is not re-entered */
	bool draining; /* no new calls are taken; agents that go are not lost, it is us */
	bool stopping;
	struct error fatal; /* code ERROR_NONE: go on; else the process ends and says this */
};

/* Within it a call to an agent that answers is long over; and systemd waits for much longer. */
#define COORDINATOR_DRAIN_MS 5000

struct coordinator_options {
	const struct coordinator_settings *settings;
	const char *settings_path;
	struct loop *loop;
	struct store *store;                      /* taken; loaded already */
	const struct store_contents *contents;    /* borrowed for the call */
	const struct mesh_options *mesh_override; /* tests: NULL = TLS from the settings */
	bool audit;                               /* write settings->audit_file */
};

int coordinator_start(const struct coordinator_options *options, struct coordinator **ret,
                      struct error *err);
/* Takes no new calls, and calls @drained once those that are under way have ended, or after
 * COORDINATOR_DRAIN_MS; coordinator_stop is next. Once. */
void coordinator_drain(struct coordinator *c, void (*drained)(void *context), void *context);
void coordinator_stop(struct coordinator *c);

/* Gives one event to the core and carries out what it asks for. Never from inside an action. */
void coordinator_step(struct coordinator *c, struct event *event);

/* --- service/service.c --- */
extern const struct mesh_service coordinator_service;

/* --- service/health.c --- */
extern const struct mesh_service coordinator_health_service;

/* --- service/requests.c: who waits for which reply --- */

/* A number for the event; the reply goes to @in. */
uint64_t requests_add(struct coordinator *c, struct mesh_incoming *in);
/* The same, but the answer is @then's to send. @context is freed by free(): after that, or when nobody waits
 * any more. */
typedef void request_then(struct coordinator *c, struct mesh_incoming *in,
                          const struct reply *reply, void *context);
uint64_t requests_add_then(struct coordinator *c, struct mesh_incoming *in, request_then *then,
                           void *context);
/* What the answer is about: "vm/web1". */
void requests_set_subject(struct coordinator *c, uint64_t number, const char *kind,
                          const char *name);
/* Answers and forgets; quietly if nobody waits any more. */
void requests_reply(struct coordinator *c, const struct reply *reply);
void requests_stop(struct coordinator *c);

/* --- agents.c, agents_calls.c: connections to agents, and calls to them --- */
void agents_attached(struct coordinator *c, const char *node, struct mesh_connection *connection);
void agents_disconnected(struct coordinator *c, struct mesh_connection *connection);
/* After the core accepted it: open Agent.Watch. */
void agents_watch(struct coordinator *c, const char *node, uint64_t epoch);
/* Each becomes exactly one _OUTCOME event. */
void agents_carry_out(struct coordinator *c, const struct action *action);
/* @reply's node: its link is the one the core just accepted, or refused. */
struct mesh_connection *agents_find_connection(struct coordinator *c, const char *node);
/* Its agent said what is not its own to say. */
void agents_audit_refusal(struct coordinator *c, const struct foreign_claim *refusal);
size_t agents_count(const struct coordinator *c);
/* Tells all that are connected that there is something new of certificates. */
void agents_look_at_certificates(struct coordinator *c);
void agents_stop(struct coordinator *c);

/* --- identity.c: who joins; certificates of members, and our own, are renewed --- */
extern const struct mesh_service coordinator_pki_service;
/* Before anybody connects, and blocks: a certificate that ended while no coordinator ran, if the authority is
 * here to sign a new one. */
void identity_renew_ended(const struct coordinator_settings *settings);
void identity_start(struct coordinator *c);
/* Asks the authority nothing any more; the second when its answers have come home. */
void identity_stop(struct coordinator *c);
void identity_free(struct coordinator *c);
void identity_join_told(const struct join_event *event, void *coordinator);

/* --- service/links.c: what nodes' interfaces carry --- */
void links_take(struct coordinator *c, const char *node, const struct host_state *host,
                uint64_t now_ms);
void links_stop(struct coordinator *c);

/* --- service/watchers.c: Coordinator.Watch --- */
void watchers_add(struct coordinator *c, struct mesh_incoming *in, uint64_t since_revision,
                  const uint64_t *drains, size_t n_drains, uint64_t migration_number);
/* Something changed. */
void watchers_wake(struct coordinator *c);
void watchers_stop(struct coordinator *c);
