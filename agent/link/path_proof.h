/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a migration's bytes really use the migration network: plain arithmetic on what was counted at
 * the source, no I/O, no clock.
 *
 *	bytes on each watched interface, what QEMU says that it sent, once a second
 *	                                  --> path_proof_update() --> proof
 *
 * A path is proved by bytes that were seen on the migration interface. It deviates
 *
 *	elsewhere   while another watched interface carries the bytes and the migration interface less
 *	            than half as many, for PATH_PROOF_ELSEWHERE_MS;
 *	missing     while QEMU sends, the migration interface carries less than half of it, and more bytes
 *	            than any buffer holds were seen nowhere, for PATH_PROOF_MISSING_MS: on an interface that
 *	            nobody watches.
 *
 * The interfaces of one path (a bond and its members) all see the same bytes, so half of what another one
 * has is enough, and shares are of what passed on the busiest. What cannot be counted (no eBPF, another
 * program blinds it, an agent that came later) is unknown, and nothing follows from unknown.
 *
 * Bytes that QEMU has handed over lie in the send buffers of its connections for a while: they are late,
 * not missing.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_PROOF_INTERFACES    16
#define PATH_PROOF_WINDOW_MIN_MS 500 /* less is joined with the next */
/* In a window; fewer prove nothing. A migration that sends less takes no harm from its path. */
#define PATH_PROOF_LEAST_BYTES  (64u << 10)
#define PATH_PROOF_ELSEWHERE_MS 2000
#define PATH_PROOF_MISSING_MS   3000
#define PATH_PROOF_GOOD_MS      3000 /* as long on the migration interface before a deviation is over */
/* What one connection's send buffer holds at most: net.ipv4.tcp_wmem is 4 MiB, and its bookkeeping as
 * much again. */
#define PATH_PROOF_BUFFER_BYTES (8u << 20)
#define PATH_PROOF_TEXT_BYTES   320

enum path_verdict { PATH_UNKNOWN, PATH_PROVED, PATH_ELSEWHERE, PATH_MISSING, PATH_VERDICTS };

/* What one interface has carried since the migration began: absolute counters. */
struct path_count {
	char name[IF_NAMESIZE];
	bool migration; /* the one of the migration network */
	bool counted;   /* by eBPF, which nothing blinds */
	uint64_t payload_bytes, wire_bytes;
	uint64_t memory_bytes; /* of the payload, that on the port of memory */
};

struct path_reading {
	uint64_t at_ms;
	bool measured;        /* the migration's ports are counted here */
	uint64_t qemu_bytes;  /* of memory, as QEMU counts; 0 = it does not say */
	unsigned connections; /* that carry it; 0 = not known */
	const char *route;    /* where the kernel would send it; NULL or "": not known */
	size_t n;
	struct path_count counts[PATH_PROOF_INTERFACES];
};

struct path_interface {
	char name[IF_NAMESIZE];
	bool migration;
	uint64_t wire_bytes;  /* of this migration, since it began */
	uint64_t bytes_per_s; /* on the wire, in the last window */
	unsigned percent;     /* of all that was seen of it */
};

struct path_proof {
	enum path_verdict verdict;
	bool deviated;                    /* it has, at some time */
	char text[PATH_PROOF_TEXT_BYTES]; /* what was measured where, or why nothing was */
	size_t n;
	struct path_interface
		interfaces[PATH_PROOF_INTERFACES]; /* that carried anything, and the migration's */

	/* For path_proof_update only. */
	bool began;
	struct path_reading last;
	uint64_t seen_wire_bytes;
	uint64_t unseen_bytes; /* that QEMU sent and no interface carried, buffers included */
	uint64_t elsewhere_ms, missing_ms, good_ms;
};

const char *path_verdict_name(enum path_verdict verdict); /* "proved" */

/* An all-zero struct path_proof is that of a migration that has not begun. */
void path_proof_update(struct path_proof *proof, const struct path_reading *reading);

static inline bool path_proof_deviates(const struct path_proof *proof)
{
	return proof->verdict == PATH_ELSEWHERE || proof->verdict == PATH_MISSING;
}

/* Whether policy ends the migration: only while there is a way back, and never for what is not known. */
bool path_proof_must_stop(const struct path_proof *proof, bool policy_stops, bool switched);
