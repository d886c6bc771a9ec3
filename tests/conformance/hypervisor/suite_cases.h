/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of cases share: the stage, the guest of the case that runs, moves on a thread of their own.
 * Private to the suite. One case runs at a time; only run_move is on another thread, and touches its own
 * struct alone. */
#pragma once

#include "tests/conformance/hypervisor/suite.h"
#include "tests/conformance/hypervisor/suite_watch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UNKNOWN_UUID     "6c7f9a42-0000-4000-8000-000000000000"
#define SOON_S           20
#define MOVE_S           60
#define SLOW_BYTES_PER_S (2 * MIB)
#define VICTIM_BYTES     (64 * MIB)
#define DISK_BYTES       (16 * MIB)

extern const struct suite_stage *suite_stage;
extern struct suite_watch *suite_source_watch, *suite_target_watch;
extern struct error suite_err;
/* Of the case's guest. */
extern char suite_uuid[VM_UUID_BYTES];
extern char suite_guest_name[64];

#define assert_ok(expression)                                            \
	do {                                                             \
		error_clear(&suite_err);                                 \
		if ((expression) != 0)                                   \
			fail_msg("%s: %s", #expression, suite_err.text); \
	} while (0)

#define assert_error(expression, error_wanted)                                        \
	do {                                                                          \
		int result_;                                                          \
		error_clear(&suite_err);                                              \
		result_ = (expression);                                               \
		if (result_ != -(error_wanted) || suite_err.code != (error_wanted) || \
		    !suite_err.text[0])                                               \
			fail_msg("%s: %d \"%s\" (%s), not %s", #expression, result_,  \
			         suite_err.text, error_code_name(suite_err.code),     \
			         error_code_name(error_wanted));                      \
	} while (0)

/* A case: its guest is removed when it is over. */
#define SUITE_CASE(function)                                        \
	{                                                           \
#function, function, NULL, suite_remove_guest, NULL \
	}

/* The case's guest as that host sees it. */
struct vm_summary suite_find(struct hypervisor *h);
bool suite_find_by_name(struct hypervisor *h, const char *name, struct vm_summary *ret);
/* On the source; it is the case's from then on. The second: a small one without disks. */
void suite_add(const struct suite_guest *guest);
void suite_add_guest(const char *name, uint64_t dirty_bytes_per_s, bool persistent);
int suite_remove_guest(void **state);
void suite_expect_absent(struct hypervisor *h);
bool suite_is_gone_from_source(void *context);

struct suite_move {
	struct migrate_request request;
	pthread_t thread;
	int result;
	struct error error;
	uint64_t duration_ms;
};

struct migrate_request suite_request(void);
void suite_move_start(struct suite_move *move);
void suite_move_join(struct suite_move *move);
void suite_move_expect_success(struct suite_move *move);
/* More than so many bytes; @context is a uint64_t. */
bool suite_has_sent(void *context);
/* A move that is slow enough to be looked at, in its copy. */
void suite_move_start_slowly(struct suite_move *move);

/* The cases of one subject; how many failed. */
int suite_run_facts(void);
int suite_run_dirty(void);
int suite_run_move(void);
int suite_run_disks(void);
int suite_run_postcopy(void);
int suite_run_power(void);
int suite_run_lost(void);
