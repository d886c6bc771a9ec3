/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the command line's rendering share: a screen in memory, and the story of a drain
 * with three guests. */
#pragma once

#include "common/units.h"
#include "tools/drover/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_WALL_MS 1768229131000 /* 2026-01-12T14:45:31Z */

/* Output into memory, as into a pipe: no colours, no width. */
struct screen {
	struct output o;
	char *text;
	size_t bytes;
};

static inline void screen_init(struct screen *s)
{
	*s = (struct screen){ .o = { .headers = true } };
	s->o.file = open_memstream(&s->text, &s->bytes);
	assert_non_null(s->o.file);
}

static inline void screen_deinit(struct screen *s)
{
	fclose(s->o.file);
	free(s->text);
}

static inline void assert_screen(struct screen *s, const char *expected)
{
	fflush(s->o.file);
	assert_string_equal(s->text, expected);
}

#define S(text) ((char *)(text))

/* Three guests: one moved, one on its way, one that failed. */
struct story {
	Drover__V1__Check check[2];
	Drover__V1__Check *checks[2];
	Drover__V1__Progress progress;
	Drover__V1__AttemptReport report[3];
	Drover__V1__Migration migration[3];
	Drover__V1__Migration *migrations[3];
	Drover__V1__DrainVm vm[3];
	Drover__V1__DrainVm *vms[3];
	Drover__V1__Drain drain;
};

static inline void story_init(struct story *t)
{
	static const char *const names[] = { "web1", "db1", "cache1" };
	static const Drover__V1__MigrationState states[] = {
		DROVER__V1__MIGRATION_STATE__DONE,
		DROVER__V1__MIGRATION_STATE__RUNNING,
		DROVER__V1__MIGRATION_STATE__FAILED,
	};

	for (size_t i = 0; i < 2; i++) {
		drover__v1__check__init(&t->check[i]);
		t->check[i].verdict = DROVER__V1__CHECK__VERDICT__PASS;
		t->checks[i] = &t->check[i];
	}
	t->check[0].id = S("memory");
	t->check[0].measured = S("704 MiB free");
	t->check[0].required = S("320 MiB: 256 MiB RAM + 64 MiB overhead");
	t->check[1].id = S("guard");
	t->check[1].measured = S("image lock");
	drover__v1__progress__init(&t->progress);
	t->progress.percent = 61;
	t->progress.transfer_bytes_per_s = 975000000;
	t->progress.dirty_bytes_per_s = 262500000;
	t->progress.iteration = 3;
	t->progress.elapsed_ms = 57000;
	t->progress.eta_ms = 36000;
	t->progress.eta_known = true;
	drover__v1__drain__init(&t->drain);
	for (size_t i = 0; i < 3; i++) {
		drover__v1__attempt_report__init(&t->report[i]);
		drover__v1__migration__init(&t->migration[i]);
		drover__v1__drain_vm__init(&t->vm[i]);
		t->report[i].checks = t->checks;
		t->report[i].n_checks = 2;
		t->report[i].guard = DROVER__V1__GUARD__GUARD_IMAGE_LOCK;
		t->migration[i].report = &t->report[i];
		t->migration[i].number = 101 + i;
		t->migration[i].vm_name = S(names[i]);
		t->migration[i].source = S("host1");
		t->migration[i].target = S(i == 1 ? "host3" : "host2");
		t->migration[i].state = states[i];
		t->migration[i].drain_number = 7;
		t->migration[i].attempt_number = 1;
		t->migration[i].created_wall_ms = NOW_WALL_MS - 60000;
		t->migrations[i] = &t->migration[i];
		t->vm[i].uuid = S(names[i]);
		t->vm[i].name = S(names[i]);
		t->vm[i].target = t->migration[i].target;
		t->vm[i].migration_number = 101 + i;
		t->vm[i].memory_bytes = 256 * MIB;
		t->vms[i] = &t->vm[i];
	}
	t->report[0].state = t->migration[0].state;
	t->report[0].duration_ms = 11200;
	t->report[0].downtime_ms = 41;
	t->report[0].transferred_bytes = 300 * MIB;
	t->report[1].progress = &t->progress;
	t->report[2].duration_ms = 160000;
	t->report[2].transferred_bytes = 4 * GIB;
	t->migration[2].reason = S("did not converge");
	t->vm[0].state = S("moved");
	t->vm[1].state = S("moving");
	t->vm[2].state = S("left");
	t->vm[2].reason = S("did not converge");
	t->drain.number = 7;
	t->drain.node = S("host1");
	t->drain.state = S("running");
	t->drain.vms = t->vms;
	t->drain.n_vms = 3;
	t->drain.bytes_total = 768 * MIB;
	t->drain.bytes_done = 400 * MIB;
	t->drain.elapsed_ms = 61000;
	t->drain.eta_ms = 74000;
	t->drain.eta_known = true;
	t->drain.parallel = 2;
	t->drain.created_wall_ms = NOW_WALL_MS - 61000;
}
