/* SPDX-License-Identifier: Apache-2.0 */
/* The migration network as TCP sees it: does it carry packets, and the end of connections over it that
 * carry none any more. No state; both block for a moment: couriers. */
#pragma once

#include "common/error.h"

#include <stdint.h>

/* An answer is awaited for so long. */
#define MIGRATION_LINK_PROBE_MS 2000

/* Whether @to answers at @port, asked from our address @from. Nobody is to listen there just now: what
 * comes back is a refusal, which proves the way there and back as well as a connection would, and it
 * is the one port that a firewall must let through. -ERROR_UNREACHABLE. */
int migration_link_probe(const char *from, const char *to, uint16_t port, struct error *err);

/* Breaks every connection of this host at @address and @port, whoever has it. Its program sees an error
 * at once, where TCP would have kept it waiting for minutes. @ret_cut: how many. */
int migration_link_cut(const char *address, uint16_t port, unsigned *ret_cut, struct error *err);
