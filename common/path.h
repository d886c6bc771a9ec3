/* SPDX-License-Identifier: Apache-2.0 */
/* How much room there is on the migration network from one host to another: what agents tell, what the
 * coordinator plans with, and the arithmetic between. Pure.
 *
 *	capacity    what the path carries when nobody else uses it
 *	available   capacity less other traffic: what a move that takes what it gets will find
 *	usable      available less a reserve and what is promised already: what may be promised
 *
 * All rates are bytes on the wire (Ethernet frames without preamble and checksum), as a shaper, a switch
 * and drover's own counters have them; QEMU counts what is inside, some 95 % of it.
 *
 * No figure stands alone: how it was found, how old it is and how far it may be believed go with it, and
 * nothing is refused for a figure that is not believed (PATH_BELIEVED_PERCENT).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum path_method {
	PATH_NONE,       /* nothing is known */
	PATH_LINK_SPEED, /* what the devices or the settings say: nobody has tried */
	PATH_PROBE,      /* a short transfer between the two agents */
	PATH_HISTORY,    /* migrations on it which the network held back */
	PATH_METHODS
};

/* From here on a figure is good enough to say no with. */
#define PATH_BELIEVED_PERCENT 50
/* Of the capacity; for what begins between two looks. */
#define PATH_RESERVE_PERCENT 10
/* What is inside of TCP segments at MTU 1500 with time stamps, for 1000 bytes on the wire: 1448 / 1514. */
#define PATH_PAYLOAD_PERMILLE 956

struct path_estimate {
	enum path_method method;
	uint64_t capacity_bytes_per_s; /* 0 = unknown */
	/* The capacity as each end saw it when it was measured: what went through, and what others
	 * used of that end meanwhile. Whichever end it is that narrows the path, the right one of them
	 * is right, and the smaller remainder is available. far 0 = the other end is not known. */
	uint64_t near_bytes_per_s, far_bytes_per_s;
	uint64_t available_bytes_per_s; /* never above capacity; means nothing if that is unknown */
	uint64_t age_ms;
	uint32_t confidence_percent;
	char why[96]; /* why it is no more than that; "" = nothing to say */
};

const char *
path_method_name(enum path_method method); /* "history", "probe", "link-speed", "none" */
/* PATH_NONE for a word that is none of them. */
enum path_method path_method_parse(const char *name);

/* The smaller one of those that are known (not 0); 0 = neither is. */
uint64_t path_narrower(uint64_t a_bytes_per_s, uint64_t b_bytes_per_s);

/* What others leave of it now: near less what else the source sends, far less what else the destination
 * receives, the smaller one. */
uint64_t path_available(const struct path_estimate *e, uint64_t sent_by_others_bytes_per_s,
                        uint64_t received_by_others_bytes_per_s);
/* Nothing of it goes faster than @link_bytes_per_s; 0 = that is not known. available is left alone. */
void path_limit(struct path_estimate *e, uint64_t link_bytes_per_s);

/* What of it may be promised to one more. */
uint64_t path_usable(uint64_t available_bytes_per_s, uint64_t capacity_bytes_per_s,
                     uint64_t promised_bytes_per_s);

/* Of a figure that was worth @percent when it was new: whole for PATH_FRESH_MS, then half of it for each
 * PATH_HALF_LIFE_MS. */
#define PATH_FRESH_MS     ((uint64_t)600000)
#define PATH_HALF_LIFE_MS ((uint64_t)3600000)
uint32_t path_confidence_after(uint32_t percent, uint64_t age_ms);
