/* SPDX-License-Identifier: Apache-2.0 */
/* The way back of a node's guests, also as the last step of a rolling operation. */
#pragma once

#include "tools/drover/session.h"

/* Opens @node again and follows the guests that its drain had moved away or shut down until each is back,
 * has failed, or stays. Says what comes of each. @ret_off (may be NULL): how many were shut down there and
 * stay off, though nobody has decided otherwise; with it nothing is printed as JSON. EXIT_DONE, EXIT_PARTLY, EXIT_FAILED, EXIT_INTERRUPTED,
 * EXIT_TIMEOUT (they go on), or what the coordinator's refusal stands for. */
enum exit_code undrain_bring_back(struct session *s, const char *node, size_t *ret_off);
