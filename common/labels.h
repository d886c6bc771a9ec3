/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of hosts, "rack=a", and selectors of them, "rack=a,ssd".
 *
 * A set of labels is one text: "rack=a,ssd=" with its keys in order, each once, so that two sets are
 * equal where their texts are. A host's own come from its agent.yaml; those that an operator has given
 * it by `drover label` are kept by the coordinator, and win where both have the key.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define LABEL_BYTES  128 /* "key=value" with its 0: a key and a value of up to 63 characters each */
#define LABELS_BYTES 512

/* "key=value", or "key", which has the empty value. Keys: letters, digits and . _ - / ; values the same
 * or nothing. -ERROR_INVALID with what is wrong. */
int label_check(const char *label, struct error *err);

/* Applies "key=value" (or "key") to @labels (LABELS_BYTES), or takes "key-" away. @ret_changed: it was
 * not so already. -ERROR_INVALID; -ERROR_TOO_LARGE when there are too many. Untouched on failure. */
int labels_change(char *labels, const char *change, bool *ret_changed, struct error *err);

/* @own, then @given over it. @ret has LABELS_BYTES; what does not fit is left out. */
void labels_merge(const char *own, const char *given, char *ret);

/* The value of @key, "" where it has none; false: no such label. @ret (LABEL_BYTES) may be NULL. */
bool labels_get(const char *labels, const char *key, char *ret);

/* "KEY=VALUE", "KEY!=VALUE" (also where there is no such key), "KEY" (whatever its value), "!KEY",
 * several with commas, all of which must hold. */
int selector_check(const char *selector, struct error *err);
/* @selector has been checked. */
bool selector_matches(const char *selector, const char *labels);
