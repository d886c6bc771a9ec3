/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts with their units, read and written.
 *
 * Units are where people get hurt (500 "Mbit/s" that a tool took for MiB/s), so drover never shows
 * a bare number and reads a bare one only as 0 or where the unit is fixed by the key. Memory is in
 * binary units, links in decimal bits, as the field writes them.
 *
 *	sizes      4096, 64KiB, 1.5GiB, 64Mi, 1G (= 10^9)     -> bytes
 *	rates      0, 1Gbit/s, 100Mbit, 64MiB/s, 64Mi/s       -> bytes per second
 *	durations  150s, 800, 1m30s, 250ms, 2h                -> milliseconds (bare: seconds)
 */
#pragma once

#include "common/error.h"

#include <stdint.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define UNITS_TEXT_BYTES 32

/* All parsers: 0, or -ERROR_INVALID with a text that shows the accepted forms. */
int units_parse_bytes(const char *text, uint64_t *ret_bytes, struct error *err);
int units_parse_rate(const char *text, uint64_t *ret_bytes_per_s, struct error *err);
int units_parse_duration(const char *text, uint64_t *ret_ms, struct error *err);

/* All formatters write into @ret_text (UNITS_TEXT_BYTES) and return it. */
char *units_format_bytes(uint64_t bytes, char *ret_text);      /* "1.5 GiB" */
char *units_format_rate(uint64_t bytes_per_s, char *ret_text); /* "7.8 Gbit/s" */
char *units_format_speed(uint64_t bytes_per_s,
                         char *ret_text); /* "8 MiB/s = 67.1 Mbit/s", "no limit" for 0 */
char *units_format_duration(uint64_t ms, char *ret_text); /* "41 ms", "11.2 s", "3 min 4 s" */
