/* SPDX-License-Identifier: Apache-2.0 */
/* What this host has for any guest, for those who plan: machine types, networks and its processor, which
 * seldom change, and what is left of vCPUs and huge pages, which does.
 *
 * Asked for every OFFERS_SECONDS on a courier, and kept. The first is told to coordinators with each
 * snapshot and when it has changed, the second each second. Nothing is admitted by it: admission measures
 * anew. Owner thread only. */
#pragma once

#include "agent/agent.h"

#define OFFERS_SECONDS 10

struct offers;

struct offers *offers_new(void);
void offers_free(struct offers *offers);

/* Once a second. */
void offers_tick(struct agent *agent);

/* @whole: also what was told before and has not changed since. */
void offers_fill_host(struct agent *agent, bool whole, Drover__V1__HostState *h);
/* What has changed was told to all. */
void offers_told(struct agent *agent);
