/* SPDX-License-Identifier: Apache-2.0 */
/* What may be removed by `drover gc`: only what provably belongs to an attempt that is over.
 *
 *	                        own attempt    own attempt   not of
 *	                        under way      that is over  this agent
 *	tunnel directory, out   needed         remove        remove     only this agent makes them here
 *	proof beside a disk     needed         remove        doubt      another host may share the directory
 *	half-made image         needed         doubt         doubt      likewise; its own are in the journal
 *
 *	                        reserved       not reserved
 *	tunnel directory, in    needed         remove
 *
 *	reservation             its migration  over, guest   over, guest
 *	                        is not over    runs or gone  stands still here
 *	                        needed         remove        doubt
 *
 * What is needed is not spoken of; what is in doubt is named with the reason, and stays. Guests,
 * definitions and files with a guest's data are on no line: nothing of them is ever removed by it. An
 * agent whose journal was damaged may not know its own: everything is in doubt. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum garbage_thing {
	GARBAGE_SOURCE_DIRECTORY, /* with the tunnel in it */
	GARBAGE_TARGET_DIRECTORY,
	GARBAGE_PROOF,
	GARBAGE_HALF_IMAGE, /* under the name that images have before they are published */
	GARBAGE_LEASE,
	GARBAGE_THINGS
};

enum garbage_owner { GARBAGE_UNDER_WAY, GARBAGE_OVER, GARBAGE_STRANGE, GARBAGE_OWNERS };

enum garbage_guest {
	GARBAGE_GUEST_UNKNOWN, /* libvirt does not answer */
	GARBAGE_GUEST_GONE,    /* or not active */
	GARBAGE_GUEST_RUNS,
	GARBAGE_GUEST_STILL, /* paused, or incomplete */
	GARBAGE_GUESTS
};

struct garbage_facts {
	enum garbage_thing thing;
	bool safe_mode;           /* the journal was damaged */
	enum garbage_owner owner; /* of the attempt, as far as this agent is its source */
	bool reserved;            /* the attempt has a reservation here */
	bool over;                /* LEASE: the coordinator has its end, by its source's own word */
	enum garbage_guest guest; /* LEASE: as libvirt here lists it */
};

enum garbage_verdict { GARBAGE_NEEDED, GARBAGE_REMOVE, GARBAGE_DOUBT };

/* @ret_why: in doubt, and why; static. */
enum garbage_verdict garbage_judge(const struct garbage_facts *f, const char **ret_why);

const char *garbage_thing_name(enum garbage_thing thing); /* "directory", as remnants are called */
