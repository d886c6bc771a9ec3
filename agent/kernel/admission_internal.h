/* SPDX-License-Identifier: Apache-2.0 */
/* Private to admission*.c: how a check is put into the list. */
#pragma once

#include "agent/kernel/admission.h"

/* A new check at the end of @list, failing until it is told otherwise. */
struct check *admission_add(struct check_list *list, const char *id);

void admission_measured(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void admission_required(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void admission_remedy(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The check fails because nobody could look. @why may be empty. */
void admission_not_measured(struct check *c, const char *why);

void admission_judge_limits(const struct admission_input *in, struct check_list *list);
void admission_judge_memory(const struct admission_input *in, struct check_list *list);
void admission_judge_hugepages(const struct admission_input *in, struct check_list *list);
void admission_judge_disks(const struct admission_input *in, struct check_list *list);
void admission_judge_slot(const struct admission_input *in, struct check_list *list);
void admission_judge_bandwidth(const struct admission_input *in, struct check_list *list);
void admission_judge_latency(const struct admission_input *in, struct check_list *list);
void admission_judge_guest(const struct admission_input *in, struct check_list *list);
void admission_judge_vcpus(const struct admission_input *in, struct check_list *list);
void admission_judge_tsc(const struct admission_input *in, struct check_list *list);
void admission_judge_version(const struct admission_input *in, struct check_list *list);
void admission_judge_firmware(const struct admission_input *in, struct check_list *list);
/* "graphics" and "serial". */
void admission_judge_places(const struct admission_input *in, struct check_list *list);
void admission_judge_networks(const struct admission_input *in, struct check_list *list);
void admission_judge_postcopy(const struct admission_input *in, struct check_list *list);
