/* SPDX-License-Identifier: Apache-2.0 */
/* One admission check as a value: what was measured, what is required, what to do.
 *
 * Plain and fixed-size like struct error, so that it travels by copy from the agent that measured
 * to the screen. The wire form is drover.v1.Check; the verdicts have the same numbers there.
 */
#pragma once

#include <stddef.h>

enum check_verdict {
	CHECK_UNSPECIFIED,
	CHECK_PASS,
	CHECK_WARN,  /* goes on, but somebody should know */
	CHECK_FAIL,  /* not now or not here; waiting or another node may help */
	CHECK_BLOCK, /* cannot move as it is, on no node */
};

struct check {
	char id[64]; /* "memory", "disk/vda" */
	enum check_verdict verdict;
	char measured[192]; /* with units */
	char required[128];
	char remedy[192]; /* empty when it passes */
	char reason[48];  /* KubeVirt's reason word where one fits */
};

/* Enough for every check of a guest with CHECKS_MAX - 16 disks and interfaces; admission refuses
 * guests that need more, naming the limit. */
#define CHECKS_MAX 96

struct check_list {
	struct check items[CHECKS_MAX];
	size_t count;
};
