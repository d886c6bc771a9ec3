/* SPDX-License-Identifier: Apache-2.0 */
/* Two clocks, never mixed.
 *
 * Decisions (leases, deadlines, retries) use clock_now_ms: CLOCK_BOOTTIME, which goes on while a
 * machine sleeps and cannot be set. Wall-clock time is for people's eyes only (invariant I13).
 * coordinator/core never includes this file: it is told the time.
 */
#pragma once

#include <stdint.h>

#define SECONDS_MS(n) ((uint64_t)(n)*1000)
#define MINUTES_MS(n) ((uint64_t)(n)*60 * 1000)

/* Milliseconds since boot. */
uint64_t clock_now_ms(void);

/* Nanoseconds since boot, for measuring short spans. */
uint64_t clock_now_ns(void);

/* Milliseconds since 1970, UTC. Display and history only. */
uint64_t clock_wall_ms(void);

#define CLOCK_TEXT_BYTES 32

/* "2026-01-12T14:45:31Z" into @ret_text (CLOCK_TEXT_BYTES); returns @ret_text. */
char *clock_format_wall(uint64_t wall_ms, char *ret_text);
