/* SPDX-License-Identifier: Apache-2.0 */
/* What a process that counted traffic on our end of the veth pair leaves behind when it is killed. */
#pragma once

#include "ebpf/traffic.h"

#include <stdbool.h>

/* Programs at our end in one direction (TX, RX of traffic_fixture.h). */
unsigned int left_count_tcx(int direction);
int left_count_clsact(int direction);

/* One program in each direction. */
bool left_is_at_tcx(void);
bool left_is_at_clsact(void);
/* As left_is_at_tcx within five seconds: the programs of a dead process go a moment after its parent knows
 * of its death. */
bool left_has_come_to_tcx(void);

/* A process that watches our end, of which @checks must be true, and is then killed in the hardest way. */
void left_by_killed(enum traffic_source best, bool checks(void));
