/* SPDX-License-Identifier: Apache-2.0 */
/* The working set: pages that are rewritten round and round, each checked before it is. */
#pragma once

#include "port.h"

extern u32 memory_nonce;        /* set once at boot: mixed into what pages hold */
extern int memory_flush_wanted; /* see memory_flush_tlb() */

/* First byte after the machine's memory; the working set ends below it. */
void memory_set_top(u32 top);
/* As much of it as there is memory for. Begins anew: the first round checks nothing. */
void memory_set_working_set(u32 kib);
u32 memory_get_working_set_kib(void);
void memory_rewrite_pages(u32 count);
void memory_rewrite_all(void);
u32 memory_get_pages_written(void);
void memory_flush_tlb(void);
