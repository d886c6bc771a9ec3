/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and reports as JSON and back: what a store keeps in one column. Reading takes what is missing as
 * nothing, for earlier versions did not write it. Private to the SQLite store.
 */
#pragma once

#include "coordinator/core/record.h"

#include <jansson.h>

/* For json_decref. */
json_t *store_json_names_new(const struct names *names);
json_t *store_json_shutdowns_new(const struct drain_record *drain);
json_t *store_json_settings_new(const struct migration_settings *settings);
/* Without what the record itself has, and of its progress what was reached, not what was expected. */
json_t *store_json_prediction_new(const struct prediction *prediction);
json_t *store_json_report_new(const struct attempt_report *report);

void store_json_read_names(const json_t *list, struct names *ret);
/* -ERROR_INVALID: one of them makes no sense, and guessing could start a guest, or stop one. */
int store_json_read_shutdowns(const json_t *list, struct drain_record *ret);
void store_json_read_prediction(const json_t *object, struct prediction *ret);
void store_json_read_settings(const json_t *object, struct migration_settings *ret);
/* What the record @m has is taken from there. */
void store_json_read_report(const json_t *object, const struct migration_record *m,
                            struct attempt_report *ret);
