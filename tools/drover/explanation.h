/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of "drover explain" share. */
#pragma once

#include "tools/drover/render.h"

/* One line, escaped. */
void __attribute__((format(printf, 2, 3)))
explanation_say(const struct output *o, const char *format, ...);

/* "  guard         image lock"; nothing when there is nothing to say. */
void explanation_fact(const struct output *o, const char *name, const char *value);

void explanation_print_plan(const struct output *o, const Drover__V1__Plan *plan,
                            uint64_t now_wall_ms);

/* @over: the attempt has ended. */
void explanation_print_report(const struct output *o, const Drover__V1__AttemptReport *r,
                              bool over);
