/* SPDX-License-Identifier: Apache-2.0 */
/* An audit log in a folder of its own for the length of a test, and short words for what is written to it. */
#pragma once

#include "proto/audit/audit.h"
#include "proto/audit/audit_read.h"

#include <stddef.h>
#include <stdint.h>

extern char audit_world_path[96];

/* For cmocka. */
int audit_world_setup(void **state);
int audit_world_teardown(void **state);

/* A writer of that log; 0 is what an agent would have. */
struct audit *audit_world_start(uint64_t rotate_bytes, unsigned keep, size_t queue_lines);
void audit_world_call(struct audit *a, const char *who);
void audit_world_refuse(struct audit *a, const char *address);
/* A writer's whole life: calls of ann, bob and cem. */
void audit_world_write_three(void);

/* The test fails where the log cannot be read; what is wrong in it is the caller's to judge. */
struct audit_verdict audit_world_verify(void);
/* The caller frees it. */
char *audit_world_read(void);
void audit_world_put(const char *text, size_t bytes);
