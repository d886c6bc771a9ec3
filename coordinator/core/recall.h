/* SPDX-License-Identifier: Apache-2.0 */
/* What a coordinator has learned and does not store: for a document of the fleet, and from one into a
 * coordinator that is simulated.
 *
 *	denials      what a host refuses all guests of a kind and home (denials.h)
 *	refusals     what it refuses one guest; in struct vm, read directly
 *	rates        how fast a host sent; in struct node, likewise
 *	experience   what migrations say of predictions (predict.h)
 *
 * Owner thread only. What is recalled is said of nodes and guests that are there, outside of a step. */
#pragma once

#include "coordinator/core/fleet.h"
#include "coordinator/core/predict/calibration.h"

struct recalled_denial {
	char home[NODE_NAME_BYTES]; /* of the guests it speaks for */
	uint64_t digest, left_ms;
	struct check check;
};

/* Those that have not passed; free(*ret). */
size_t recall_list_denials(const struct node *node, uint64_t now_ms, struct recalled_denial **ret);
void recall_denial(struct node *node, const struct recalled_denial *denial, uint64_t now_ms);

struct recalled_refusal {
	const char *why;
	bool fault;
	uint64_t left_ms;            /* until it is asked again */
	const struct checks *checks; /* of one that lasts, known for known_ms; else NULL */
	uint64_t known_ms;
};

void recall_refusal(struct vm *vm, const struct node *node, const struct recalled_refusal *refusal,
                    uint64_t now_ms);

struct recalled_experience {
	/* Both empty: of all pairs. */
	char source[NODE_NAME_BYTES], target[NODE_NAME_BYTES];
	struct calibration sums;
};

/* By the order in which they were first made; free(*ret). */
size_t recall_list_experience(const struct fleet *fleet, struct recalled_experience **ret);
void recall_experience(struct fleet *fleet, const struct recalled_experience *experience);
