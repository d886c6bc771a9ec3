/* SPDX-License-Identifier: Apache-2.0 */
/* Which refusals are written one by one, and which are only counted. Pure: now is passed in.
 *
 * An address that is refused again and again would fill the log and push other lines out of the
 * queue. So of each address AUDIT_REPEAT_BURST refusals in AUDIT_REPEAT_MS are written, and what is
 * more is told as one number when that time is over. The first refusal of a kind is written all the
 * same: who wants to hide an order that was refused need not only be refused something harmless five
 * times. There is no end to kinds that a peer can make up, so they are ours (a method's name, an
 * outcome), and AUDIT_REPEAT_KINDS at most are told apart. AUDIT_REPEAT_ADDRESSES are remembered;
 * those of a flood from more of them share one place, "other addresses". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_REPEAT_ADDRESSES     256
#define AUDIT_REPEAT_BURST         5
#define AUDIT_REPEAT_KINDS         64 /* the methods that change something are fewer */
#define AUDIT_REPEAT_MS            10000
#define AUDIT_REPEAT_ADDRESS_BYTES 128

struct audit_repeat_place {
	char address[AUDIT_REPEAT_ADDRESS_BYTES]; /* "": free */
	uint64_t begin_ms;
	uint64_t written, counted;
	uint64_t kinds[AUDIT_REPEAT_KINDS]; /* hashes of those that were written */
	size_t n_kinds;
};

struct audit_repeat {
	struct audit_repeat_place places[AUDIT_REPEAT_ADDRESSES + 1]; /* the last: all others */
};

/* @from without its port: "10.0.0.1:4711" and "[fe80::1]:4711" are an address with one, "uid 0" is
 * one without. */
void audit_repeat_address(const char *from, char ret_address[AUDIT_REPEAT_ADDRESS_BYTES]);

/* A refusal of @from: true: write it; false: it was counted. @kind, NULL for none, is never a peer's
 * own words. */
bool audit_repeat_may_write(struct audit_repeat *r, const char *from, const char *kind,
                            uint64_t now_ms);

/* The next address whose time is over (with @all: any) and of which more was counted than written;
 * its count is taken. False: there is none. */
bool audit_repeat_take(struct audit_repeat *r, uint64_t now_ms, bool all,
                       char ret_address[AUDIT_REPEAT_ADDRESS_BYTES], uint64_t *ret_count);
