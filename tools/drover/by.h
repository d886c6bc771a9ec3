/* SPDX-License-Identifier: Apache-2.0 */
/* A time as people name it: "--by 02:30", "--by 45m". Pure but for the time zone. */
#pragma once

#include "common/error.h"

#include <stdint.h>

/* "02:30" or "02:30:00": the next time that local clocks show that; "45m", "90s": from now;
 * "2026-11-22 02:30" (or with a T): local time, which must be to come. -ERROR_INVALID with what is
 * wrong. */
int by_parse(const char *text, uint64_t now_wall_ms, uint64_t *ret_wall_ms, struct error *err);

#define BY_TEXT_BYTES 40
/* "02:30" of today or tomorrow, else with its date; local time. */
char *by_format(uint64_t wall_ms, uint64_t now_wall_ms, char *ret_text);
