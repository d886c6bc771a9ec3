/* SPDX-License-Identifier: Apache-2.0 */
/* Epochs of coordinators: each start takes the next one, so they are small numbers.
 *
 * What a peer claims is bounded before it is counted on: one above the largest number there is
 * would be zero, and a coordinator that followed it could never lead again.
 */
#pragma once

#include <stdint.h>

/* A start each second for 68 years. Revisions are epoch << 32, so it must fit 32 bits. */
#define EPOCH_MAX ((uint64_t)INT32_MAX)

/* An agent may know later epochs than a store that was lost or restored: as many as there were starts
 * since. Ten years with one every five minutes; a larger leap was never made by a coordinator. */
#define EPOCH_LEAP_MAX ((uint64_t)1000000)
