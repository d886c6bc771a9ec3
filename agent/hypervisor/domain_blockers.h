/* SPDX-License-Identifier: Apache-2.0 */
/* What in a guest keeps it from moving, whatever the destination.
 *
 * Verdicts: CHECK_BLOCK for what cannot move as it is, on no node; CHECK_FAIL for what passes by
 * itself (a block job); CHECK_WARN for what moves, but somebody should know. The ids begin with
 * "guest/"; reasons are KubeVirt's words where one fits.
 */
#pragma once

#include "agent/kernel/reasons.h"
#include "common/check.h"

struct _xmlNode;

/* Appends what the domain at @root (the live XML's root element) tells. */
void domain_blockers_collect(struct _xmlNode *root, struct check_list *list);

/* Appends one. A list that is full keeps its last place for saying so: it blocks all the same. */
void domain_blockers_add(struct check_list *list, enum check_verdict verdict, const char *id,
                         enum reason reason, const char *remedy, const char *measured_format, ...)
	__attribute__((format(printf, 6, 7)));
