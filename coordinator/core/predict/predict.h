/* SPDX-License-Identifier: Apache-2.0 */
/* Predictions of this fleet's migrations: the facts that core/predict/prediction.h asks for, and what past
 * migrations make of its answer.
 *
 *	vm: memory in use, windows ----.
 *	path between the two hosts -----+--> prediction_make --> calibration_apply --> shown, kept
 *	settings, guard, copied disks --'                              ^
 *	                         a migration that is done: took ... ---'
 *
 * What is kept of experience is not stored: the records of migrations are, with what was predicted
 * of each and what it took, and from them it is made again when a coordinator starts. Owner thread. */
#pragma once

#include "coordinator/core/fleet.h"
#include "coordinator/core/predict/calibration.h"

#define PREDICT_TEXT_BYTES 256

struct predict_question {
	const struct node *source, *target; /* target NULL: not chosen yet */
	const struct migration_settings *settings;
	enum guard guard; /* GUARD_NONE: not known yet, or none */
	uint64_t copied_bytes;
	uint32_t beside; /* other moves that share the way */
};

/* Of @vm as it is known now. All zero: nothing can be said. */
void predict_vm(const struct fleet *fleet, const struct vm *vm, const struct predict_question *q,
                uint64_t now_ms, struct prediction *ret);

/* Of a migration that is about to begin, or has this moment: into its record. */
void predict_begin(struct fleet *fleet, struct migration *m);
/* It is done: what was predicted of it teaches us, unless somebody changed it on its way. */
void predict_learn(struct fleet *fleet, const struct migration_record *m);
void predict_forget_all(struct fleet *fleet);

/* What would help a guest that does not converge, by flag, and from which bandwidth it would; ""
 * for one that does. PREDICT_TEXT_BYTES. */
char *predict_help(const struct prediction *p, const struct migration_settings *settings,
                   char *ret_text);
/* What is not known, or old: "its dirty rate was not measured: ..."; "" if all is. */
char *predict_doubt(const struct vm *vm, const struct prediction *p, uint64_t now_ms,
                    char *ret_text);
