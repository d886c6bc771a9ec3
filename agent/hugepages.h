/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's pools of huge pages, per size and NUMA node, from /sys. A few small files: couriers. */
#pragma once

#include "agent/kernel/admission.h"

/* @root: "" or, for tests, a directory with a sys/ in it. A size that this kernel does not have is an
 * empty pool; what cannot be read stays not measured. @page_bytes 0: only which NUMA nodes there are. */
void hugepages_measure(const char *root, uint64_t page_bytes, struct hugepage_finding *ret);
