/* SPDX-License-Identifier: Apache-2.0 */
/* Private to probe.c, the near end, and probe_serve.c, the far one. See probe.h. */
#pragma once

#include "agent/link/path_probe.h"
#include "agent/link/probe.h"

/* Others' bytes on the migration interface, since when. */
struct probe_count {
	bool known;
	uint64_t at_ns, bytes;
};

struct probes {
	struct agent *agent;
	struct courier_pool *courier; /* its own: a probe blocks for up to three seconds */
	bool busy;                    /* one is under way, or being agreed on */
	atomic_bool stop;
	uint64_t last_ms;           /* when the last one began that took something; 0 = none yet */
	int direction;              /* of it: TRAFFIC_SENT at the near end */
	uint64_t usual_bytes_per_s; /* others', before it began */
	unsigned suffered;          /* windows in a row in which they got less than half */
	struct probe_count before, last;
	struct loop_timer watch;
	struct traffic_endpoint endpoint;
	bool endpoint_registered;
};

/* Whether one may begin now; else @err says what is in the way and until when. */
int probe_check(const struct probes *p, struct error *err);

/* What every probe does around its transfer. @peer and @port: what is counted apart from others. */
void probe_begin(struct probes *p, int direction, const char *peer, uint16_t port);
/* Others' rate since then; false: not measured. */
bool probe_end(struct probes *p, uint64_t *ret_others_bytes_per_s);

/* Where a probe listens: beside the migration ports, which firewalls open up to 49215. */
uint16_t probe_port(const struct agent *agent);
