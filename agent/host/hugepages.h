/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's pools of huge pages, per size and NUMA node, from /sys. A few small files: couriers. */
#pragma once

#include "agent/kernel/admission.h"

/* @root: "" or, for tests, a directory with a sys/ in it. A size that this kernel does not have is an
 * empty pool; what cannot be read stays not measured. @page_bytes 0: only which NUMA nodes there are. */
void hugepages_measure(const char *root, uint64_t page_bytes, struct hugepage_finding *ret);

/* Every size that this kernel has, as hugepages_measure counts it; promised_bytes stays 0. False: it
 * cannot be told. A kernel without huge pages has none. */
bool hugepages_list(const char *root, struct hugepage_pool ret[HOST_POOLS_MAX], size_t *ret_count);
