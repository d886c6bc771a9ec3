/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of agents.h. */
#pragma once

#include "tests/sim/agents.h"

/* Above the 15 s after which an outcome that stays unclear is reported as such. */
#define AGENTS_PATIENCE_MS 40000

extern const char *const agents_names[AGENTS];

extern const struct tunnel_ops agents_tunnels;

/* Keeps what is of the latest order in t->report. */
void agents_take_report(struct agents *t, const Drover__V1__AttemptReport *r);
