/* SPDX-License-Identifier: Apache-2.0 */
/* When the way to another host is measured, and what becomes of it: the owner's side of path_probe.h.
 *
 *	source					destination
 *	probe_path -- MeasurePath ------------> probe_serve: may it? listen
 *	           <------------------ opened --  courier receives
 *	courier sends  ===== migration network ====>
 *	           <----------------- arrived --  what came, and others' traffic meanwhile
 *	paths_probed: a record of that path
 *
 * One at a time on a host, whichever end it is, and one in PROBE_EVERY_MS: 300 ms at full rate are then half
 * a percent of a link in a minute. Not while a guest moves from or to here, and when one is about to
 * move, or others' traffic breaks down beside it, it stops (probe_yield) and gives no figure. A move
 * never waits for more than that, and never fails for it. Owner thread only. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.rpc.h"

#define PROBE_EVERY_MS ((uint64_t)60000)

struct probes;

struct probes *probes_new(struct agent *agent);
/* Ends what is under way; before the loop's last turn. */
void probes_stop(struct agent *agent);
void probes_free(struct probes *probes);

/* What it took, and what came of it. */
struct probe_result {
	struct error error; /* code ERROR_NONE: the path's record is new */
	uint64_t bytes, took_ms;
};

/* Measures the way to @node, whose agent is at @address. Calls back once, maybe from inside. */
void probe_path(struct agent *agent, const char *node, const char *address,
                void (*done)(const struct probe_result *result, void *context), void *context);
/* The same if nothing recent is known and the settings permit it; else calls back at once. */
void probe_path_if_stale(struct agent *agent, const char *node, const char *address,
                         void (*done)(const struct probe_result *result, void *context),
                         void *context);

/* A guest is about to move: what is being measured stops. */
void probe_yield(struct agent *agent);

/* Handlers. */
void probe_serve(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__MeasurePathRequest *request);
void probe_order(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__ProbePathRequest *request);
