/* SPDX-License-Identifier: Apache-2.0 */
/* What an admission knows and promises of disks that are copied: the part of target_admit.c that a guest on
 * shared disks does without.
 *
 *	courier  target_copy_look        a place for each disk that is not shared, and its room
 *	owner    target_copy_judge       what others were promised, in the step that judges
 *	owner    target_copy_reserve     room and a port of its own, in the reservation
 *	owner    target_copy_make        the images, before the source hears of it
 */
#pragma once

#include "agent/target/target_images.h"
#include "proto/agent.pb-c.h"

struct target_copy {
	bool wanted;              /* asked for */
	struct transfer transfer; /* which of them, and how */
	bool needed;              /* and some disk is not the same here */
	uint16_t port;            /* reserved for their contents */
	struct image_finding images[VM_DISKS_MAX];
};

void target_copy_look(struct target_copy *c, const struct vm_description *vm,
                      const struct storage_finding *disks);

/* Fills what the judgement needs of it; @in has its disks already. */
void target_copy_judge(struct target_copy *c, const struct agent *agent,
                       struct admission_input *in);

void target_copy_reserve(const struct target_copy *c, const struct vm_description *vm,
                         const struct storage_finding *disks, uint16_t port,
                         struct reservation *want);

/* As target_images_make, for the disks that are copied. */
void target_copy_make(const struct target_copy *c, struct agent *agent,
                      const struct attempt_name *attempt, const struct vm_description *vm,
                      const struct storage_finding *disks,
                      void (*done)(int rc, const struct error *err, void *context), void *context);

/* The disks' names are allocated for @reply, and freed by target_copy_free_reply. */
void target_copy_fill_reply(const struct target_copy *c, const struct vm_description *vm,
                            const struct storage_finding *disks, Drover__V1__AdmitReply *reply);
void target_copy_free_reply(Drover__V1__AdmitReply *reply);
