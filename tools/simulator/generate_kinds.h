/* SPDX-License-Identifier: Apache-2.0 */
/* What makes generated fleets different: kinds of hosts and of guests, and policies. Of each it is said in
 * --help how often it is drawn. Private to generate.c. */
#pragma once

#include "tools/simulator/world.h"

struct host_kind {
	bool ssd, newer, dmz; /* label disk=ssd; QEMU 8.2, too; a second bridge */
	unsigned cpu;
};

enum guest_kind { GUEST_PLAIN, GUEST_NEWER, GUEST_DMZ, GUEST_SEES_HOST };

void kinds_draw_host(struct world *random, struct host_kind *ret);
/* @percent of guests are not plain. */
enum guest_kind kinds_draw_guest(struct world *random, unsigned percent);
bool kinds_suit(enum guest_kind guest, const struct host_kind *host);

void kinds_fill_host(Drover__V1__HostState *host, size_t number, const struct host_kind *kind);
void kinds_fill_guest(Drover__V1__VmState *guest, enum guest_kind kind);

/* Of @percent of the guests; @host_of: where each is. Hard ones hold. */
void kinds_draw_policies(struct world *random, Drover__V1__FleetState *m, unsigned percent,
                         const size_t *host_of, const struct host_kind *hosts);
