/* SPDX-License-Identifier: Apache-2.0 */
/* One thing that a migration could leave behind, and what was found when it was looked for after the
 * end. Shared by the agent, which looks, and the coordinator, which keeps it; what is looked for is in
 * agent/kernel/remnants.h. The numbers of the verdicts are those of drover.v1.Remnant.Verdict.
 *
 * "Gone" is only said of what somebody has looked for: what could not be looked at says so. */
#pragma once

/* Both sides of one migration have fewer. */
#define REMNANTS_MAX       32
#define REMNANT_TEXT_BYTES 320

enum remnant_verdict {
	REMNANT_NOT_LOOKED, /* text: why */
	REMNANT_GONE,
	REMNANT_LEFT, /* text: what and why, remedy: what to do */
	REMNANT_VERDICTS
};

struct remnant {
	char thing[24]; /* "tunnel" */
	char node[128]; /* where it was looked for */
	enum remnant_verdict verdict;
	char text[REMNANT_TEXT_BYTES];
	char remedy[REMNANT_TEXT_BYTES];
};
