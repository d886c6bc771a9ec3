/* SPDX-License-Identifier: Apache-2.0 */
/* Whether guests fit into rooms: answers and proofs against a checker that knows nothing of how they
 * were found. */
#include "coordinator/core/capacity/packing.h"

#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/proof_checker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define GUESTS_MAX 8
#define ROOMS_MAX  5

static uint64_t random_state = 42;

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 2685821657736338717ULL >> 11) % below;
}

static int falling(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : -(x > y);
}

struct world {
	uint64_t needs[GUESTS_MAX], rooms[ROOMS_MAX];
	bool barred[GUESTS_MAX][ROOMS_MAX];
	struct packing p;
};

static bool may_go(const void *context, size_t guest, size_t room)
{
	const struct world *w = context;

	return !w->barred[guest][room];
}

static void world_draw(struct world *w, bool choosy)
{
	*w = (struct world){ .p = { .needs = w->needs, .rooms = w->rooms, .context = w } };
	w->p.steps = 100000000;
	w->p.n_needs = draw(GUESTS_MAX + 1);
	w->p.n_rooms = draw(ROOMS_MAX + 1);
	w->p.may = choosy ? may_go : NULL;
	for (size_t g = 0; g < w->p.n_needs; g++)
		w->needs[g] = 1 + draw(12);
	for (size_t r = 0; r < w->p.n_rooms; r++)
		w->rooms[r] = draw(26);
	for (size_t g = 0; g < w->p.n_needs; g++) {
		for (size_t r = 0; r < w->p.n_rooms; r++)
			w->barred[g][r] = draw(4) == 0;
	}
	qsort(w->needs, w->p.n_needs, sizeof(w->needs[0]), falling);
}

/* With steps enough every answer is a yes with places or a no with a proof, each checked, and the
 * same as trying everything says. */
static void test_answers_and_proofs(void **state)
{
	unsigned seen[2] = { 0 }, proofs[PACKING_SEARCHED + 1] = { 0 };

	(void)state;
	for (int i = 0; i < 40000; i++) {
		struct packing_answer answer;
		size_t rooms[GUESTS_MAX];
		struct world w;
		const char *fault;
		bool fits;

		world_draw(&w, i % 3 == 0);
		answer = packing_solve(&w.p, rooms);
		fits = checker_fits(&w.p);
		fault = checker_find_fault(&w.p, &answer, rooms);
		if (fault)
			fail_msg("world %d: %s", i, fault);
		assert_int_equal(answer.verdict, fits ? PACKING_YES : PACKING_NO);
		seen[fits]++;
		proofs[answer.proof]++;
	}
	/* The worlds are of all kinds, else this has shown little. */
	assert_true(seen[0] > 5000 && seen[1] > 5000);
	for (int k = PACKING_NO_PLACE; k <= PACKING_SEARCHED; k++)
		assert_true(proofs[k] > 50);
}

/* Out of steps is neither yes nor no, at whatever step it happens. */
static void test_out_of_steps(void **state)
{
	unsigned unknown = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct packing_answer answer;
		size_t rooms[GUESTS_MAX];
		struct world w;

		world_draw(&w, i % 2);
		w.p.steps = draw(200);
		answer = packing_solve(&w.p, rooms);
		unknown += answer.verdict == PACKING_UNKNOWN;
		if (answer.verdict != PACKING_UNKNOWN)
			assert_int_equal(answer.verdict == PACKING_YES, checker_fits(&w.p));
		assert_null(checker_find_fault(&w.p, &answer, rooms));
	}
	assert_true(unknown > 100);
}

/* The checker itself can find a fault: a proof with a wrong figure, an overfull room. */
static void test_checker_finds_faults(void **state)
{
	uint64_t needs[] = { 8, 8, 8 }, rooms[] = { 10, 10 };
	struct packing p = {
		.needs = needs, .n_needs = 3, .rooms = rooms, .n_rooms = 2, .steps = 10000
	};
	size_t places[3] = { 0, 1, 1 };
	struct packing_answer answer = packing_solve(&p, places);

	(void)state;
	assert_int_equal(answer.proof, PACKING_TOO_MANY);
	assert_int_equal(answer.places, 2);
	assert_null(checker_find_fault(&p, &answer, places));
	answer.at_least = 5;
	assert_non_null(checker_find_fault(&p, &answer, places));
	answer = (struct packing_answer){ .verdict = PACKING_YES };
	places[0] = 0;
	places[1] = places[2] = 1;
	assert_string_equal(checker_find_fault(&p, &answer, places), "a room is overfull");
	answer = (struct packing_answer){ .verdict = PACKING_NO, .proof = PACKING_NO_PLACE };
	assert_non_null(checker_find_fault(&p, &answer, places));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_and_proofs),
		cmocka_unit_test(test_out_of_steps),
		cmocka_unit_test(test_checker_finds_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
