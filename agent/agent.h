/* SPDX-License-Identifier: Apache-2.0 */
/* The agent of one host: all its state, on one owner thread.
 *
 *	coordinator ---- mesh ----> service.c --> source.c   guests on their way out
 *	other agents -- mesh ---/             \-> target.c   guests on their way in
 *	libvirt ---- couriers ----> inventory, events
 *	eBPF ---- once a second --> bandwidth
 *	                    watchers.c --> what changed, to every coordinator that watches
 *
 * Private to the owner's own files (agent, service, source*, target, watchers, peers). The rest of
 * agent/ knows nothing of struct agent.
 */
#pragma once

#include "agent/host/dirty_rates.h"
#include "agent/host/inventory.h"
#include "agent/hypervisor/hypervisor.h"
#include "agent/journal_keeper.h"
#include "agent/kernel/reservations.h"
#include "agent/link/bandwidth.h"
#include "agent/settings.h"
#include "agent/tunnels.h"
#include "common/courier.h"
#include "common/loop.h"
#include "common/path.h"
#include "ebpf/traffic.h"
#include "proto/mesh/mesh.h"
#include "proto/types.pb-c.h"

struct source_attempt; /* agent/source/source.h */
struct inbound;        /* agent/target/target.c */
struct inspect;        /* agent/target/target.c */
struct watcher;        /* agent/watchers.c */
struct peer;           /* agent/peers.c */
struct link;           /* agent/coordinators.c */
struct credentials;    /* agent/credentials.c */
struct marking;        /* agent/mark.c */
struct power_order;    /* agent/host/power.c */
struct settlement;     /* agent/target/target_fence.c */
struct starting;       /* agent/target/target_lease.c */
struct image_set;      /* agent/target/target_images.c */
struct collection;     /* agent/garbage/garbage.c */
struct paths;          /* agent/link/paths.c */
struct probes;         /* agent/link/probe.c */
struct path_probe;     /* agent/link/path_estimate.h */
struct offers;         /* agent/host/offers.c */

struct agent {
	const struct agent_settings *settings;
	struct loop *loop;
	struct mesh *mesh;
	struct audit *audit; /* NULL: none is kept */
	struct hypervisor *hypervisor;
	struct courier_pool *couriers; /* short questions to libvirt and the file system */
	struct journal_keeper *journal;
	const struct tunnel_ops *tunnels;
	struct id boot_id;

	struct inventory inventory;
	bool inventory_was_valid; /* as watchers last heard */
	struct dirty_rates *dirty_rates;
	struct offers *offers; /* agent/host/offers.c */
	struct host_facts facts;
	bool facts_known;

	struct reservations *reservations;
	struct inbound *inbound;         /* list: tunnels and guards of reservations */
	struct starting *starting;       /* list: sources that ask whether they may start */
	struct inspect *acting;          /* list: commits and aborts under way */
	struct image_set *image_sets;    /* list: images that are still ours */
	struct source_attempt *attempts; /* list, newest first; some ended ones too */
	struct watcher *watchers;
	struct peer *peers;
	struct link *links;
	struct credentials *credentials; /* NULL: without TLS, in tests */

	struct traffic *traffic; /* NULL: not even rtnetlink */
	struct bandwidth bandwidth;
	struct connections *connections;
	struct paths *paths; /* the ways to other hosts, as far as they are known */
	struct probes *probes;
	uint64_t link_bytes_per_s; /* what the migration interface claims; 0 = nothing */

	char suspect[192];          /* why this host's figures are not believed; "" = they are */
	char pressure[192];         /* why no guest is taken until then */
	uint64_t pressure_until_ms; /* 0 = never was */
	uint64_t oom_kills_at_start;

	uint64_t highest_epoch;
	struct journal_drain_mark drain_mark;
	struct marking *markings; /* whose count of guests is awaited */
	struct courier_pool
		*power_couriers; /* what waits for guests' agents; NULL: nothing did yet */
	struct power_order
		*power_orders; /* list: guests asked to shut down, or started; newest first */
	char *start_block;     /* what the file says that libvirt's hook reads; NULL: no file */
	bool start_block_known, start_block_failed;
	struct fences fences;           /* hosts declared dead, as journaled */
	struct settlement *settlements; /* list: guests on their way here from such hosts */
	struct collection *collection;  /* `drover gc` is under way here; NULL: it is not */
	bool safe_mode; /* a damaged journal lies here: observe only until an operator removed it */
	struct error problem; /* why it only observes, and what to do */

	struct loop_timer second; /* bandwidth, leases, host state to watchers */
	unsigned seconds;
	bool draining; /* no new calls are taken */
	bool stopping;
};

/* Most calls to an agent take milliseconds, and its leases are renewed every few seconds: whoever
 * restarts it should not make others wait. */
#define AGENT_DRAIN_MS 3000

struct agent_options {
	const struct agent_settings *settings;
	struct loop *loop;
	struct hypervisor *hypervisor;    /* borrowed */
	const struct tunnel_ops *tunnels; /* NULL: processes */
	const struct mesh_options
		*mesh_override; /* tests: transport and identity; NULL = settings */
	bool audit;             /* write settings->audit_file */
};

/* Opens the journal, adopts what it finds, listens and dials. Where that fails @ret is what there is by then, or NULL:
 * agent_stop is next, and what it says about freeing holds. */
int agent_start(const struct agent_options *options, struct agent **ret, struct error *err);

/* Takes no new calls, and calls @drained once those that are under way have ended, or after
 * AGENT_DRAIN_MS. What migrates goes on meanwhile. agent_stop is next. Once. */
void agent_drain(struct agent *agent, void (*drained)(void *context), void *context);
/* Before agent_stop, or before the process is ended without it: what was audited is written, and nothing keeps
 * guests from starting on a host without an agent. */
void agent_leave(struct agent *agent);
/* Leaves running migrations and tunnels alone: the next agent adopts them. False: a question to libvirt has
 * not come back, and is not waited for; what it uses (hypervisor, loop) must not be freed: end the
 * process. Of NULL there is nothing to wait for. */
bool agent_stop(struct agent *agent);

/* Takes note of a coordinator's epoch: -ERROR_STALE if a higher one was seen (invariant I5). A
 * higher one is journaled. */
int agent_see_epoch(struct agent *agent, uint64_t epoch, struct error *err);

/* Only the coordinator may name any node; an agent may only speak for itself (invariant I12). */
int agent_check_speaker(const struct mesh_incoming *in, const char *node, struct error *err);

/* Takes in the counters now; once a second it happens by itself. */
void agent_read_traffic(struct agent *agent);

/* --- service.c --- */
extern const struct mesh_service agent_service;

/* --- health.c --- */
extern const struct mesh_service agent_health_service;

/* --- coordinators.c: connections to coordinators --- */
void coordinators_start(struct agent *agent);
void coordinators_stop(struct agent *agent);
void coordinators_connected(struct agent *agent, struct mesh_connection *c);
/* Any of them that is there; NULL: none. */
struct mesh_connection *coordinators_find_connection(struct agent *agent);

/* --- credentials.c: our certificates stay valid --- */
void credentials_start(struct agent *agent);
/* There is news of certificates: asks for it now. */
void credentials_hurry(struct agent *agent);
void credentials_stop(struct agent *agent);
void credentials_free(struct agent *agent); /* when no courier and no call is out any more */

/* --- peers.c: connections to other agents, dialled when needed --- */

/* How often somebody who waits looks at the dialer; a dial takes a few ms. */
#define PEERS_POLL_MS 50

/* Calls back once with a connection, or NULL and the reason after at most @timeout_ms. */
void peers_with_connection(struct agent *agent, const char *node, const char *address,
                           uint64_t timeout_ms,
                           void (*ready)(struct mesh_connection *c, const struct error *err,
                                         void *context),
                           void *context);
void peers_stop(struct agent *agent);

/* --- paths.c: the room on the migration network --- */
struct paths *paths_new(void);
void paths_free(struct paths *paths);
/* Each second, after agent_read_traffic and source_traffic_tick. */
void paths_tick(struct agent *agent);
/* A migration to @node was held back by the network alone in the last second. */
void paths_saturated(struct agent *agent, const char *node);
/* What a probe has shown; or that it could not be had, and why. */
void paths_probed(struct agent *agent, const char *node, const struct path_probe *probe);
void paths_not_probed(struct agent *agent, const char *node, const struct error *why);
/* Whether nothing is known of the way there that is to be relied upon, and a probe may help. */
bool paths_is_stale(const struct agent *agent, const char *node);
void paths_estimate(const struct agent *agent, const char *node, struct path_estimate *ret);
/* A source's word on the way to here, with what this end knows. */
void paths_complete(const struct agent *agent, struct path_estimate *e);
/* A probe came in here at so much on the wire, others' traffic meanwhile included. */
void paths_received(const struct agent *agent, uint64_t bytes_per_s);
/* The most of them; 0 if there was none. */
uint64_t paths_get_received(const struct agent *agent);
/* p95 of the last minute, on the wire; 0 if nobody counts. */
uint64_t paths_get_others_sent(const struct agent *agent);
/* Whether drover's own bytes are told from others' now: all of them are counted. */
bool paths_see_others(const struct agent *agent);
void paths_fill_host(const struct agent *agent, Drover__V1__HostState *to);

/* --- watchers.c --- */
void watchers_add(struct agent *agent, struct mesh_incoming *in);
void watchers_host(struct agent *agent);
void watchers_vm(struct agent *agent, const struct inventory_vm *vm);
void watchers_vm_gone(struct agent *agent, const char *uuid);
void watchers_attempt(struct agent *agent, const struct source_attempt *a);
/* A whole snapshot to everybody. */
void watchers_reset(struct agent *agent);
void watchers_stop(struct agent *agent);
