/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs ask for: checked first, then stored, then answered. Private to core/. */
#pragma once

#include "coordinator/core/change.h"

void request_drain(struct fleet *fleet, const struct event *event);
void request_undrain(struct fleet *fleet, const struct event *event);
void request_cordon(struct fleet *fleet, const struct event *event);
void request_uncordon(struct fleet *fleet, const struct event *event);
void request_label(struct fleet *fleet, const struct event *event);
void request_set_policy(struct fleet *fleet, const struct event *event);
void request_remove_policy(struct fleet *fleet, const struct event *event);
void request_migrate(struct fleet *fleet, const struct event *event);
void request_cancel(struct fleet *fleet, const struct event *event);
void request_tune(struct fleet *fleet, const struct event *event);
/* EVENT_TUNE_OUTCOME */
void tune_take_outcome(struct fleet *fleet, const struct event *event);
/* What the latest report says was changed goes into the record. */
void tune_take_report(struct fleet *fleet, struct migration *m);
/* What is kept for the next migration of a guest, and when that is done. */
void tune_apply_kept(const struct vm *vm, struct migration_settings *s);
void tune_forget_kept(struct fleet *fleet, struct vm *vm);
void request_explain(struct fleet *fleet, const struct event *event);
void request_explain_plan(struct fleet *fleet, const struct event *event);
