/* SPDX-License-Identifier: Apache-2.0 */
/* What this process must be permitted for counting by eBPF, and what of it it is not.
 *
 *	CAP_BPF        loads the programs and makes their maps
 *	CAP_PERFMON    lets them look at packets at an offset that the packet itself tells
 *	CAP_NET_ADMIN  attaches them to an interface
 *
 * CAP_SYS_ADMIN stands for the first two, as it did before Linux 5.8. Nothing else is needed: neither the
 * kernel's BTF nor bpffs nor tracefs, and for the kernel's own counters of links nothing at all.
 */
#pragma once

#include "common/error.h"

#include <stdint.h>

#define PERMISSION_TEXT_BYTES 64

/* "CAP_BPF, CAP_PERFMON": those that are not in @effective, a set of capabilities; "" = all are there. */
char *permission_missing_of(uint64_t effective, char ret_text[static PERMISSION_TEXT_BYTES]);

/* Why the kernel has refused eBPF to this process, in one line: -ERROR_PERMISSION. @refusal: what it said. */
int permission_explain(const char *refusal, struct error *err);
