/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs ask for: checked first, then stored, then answered. Private to core/. */
#pragma once

#include "coordinator/core/change.h"

void request_drain(struct fleet *fleet, const struct event *event);
void request_undrain(struct fleet *fleet, const struct event *event);
void request_cordon(struct fleet *fleet, const struct event *event);
void request_uncordon(struct fleet *fleet, const struct event *event);
void request_migrate(struct fleet *fleet, const struct event *event);
void request_cancel(struct fleet *fleet, const struct event *event);
void request_explain(struct fleet *fleet, const struct event *event);
