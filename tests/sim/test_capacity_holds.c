/* SPDX-License-Identifier: Apache-2.0 */
/* What capacity says of a drain, and what comes of it when the same core does it: over random fleets. */
#include "coordinator/core/capacity/capacity.h"

#include "tools/simulator/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sanitizers make it ten to thirty times as slow, and need no numbers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FLEETS 24
#else
#define FLEETS 240
#endif

/* Slots and ports are a matter of time, and time is not what is asked for here. */
#define PLENTY 500

struct trial {
	enum packing_verdict verdict;
	bool by_hand;
	size_t n_remedies;
	struct capacity_remedy remedies[3];
	char reason[REASON_BYTES];
};

static void free_message(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

static Drover__V1__FleetState *fleet_of(unsigned seed)
{
	static const unsigned fills[] = { 50, 70, 80, 88, 94, 98 };
	Drover__V1__FleetState *state = NULL;
	struct error err;
	char text[120];

	snprintf(text, sizeof(text), "hosts=%u,vms=%u,seed=%u,fill=%u,kinds=0,policies=0",
	         3 + seed % 4, 12 + seed * 7 % 40, seed, fills[seed % 6]);
	assert_int_equal(generate(text, &state, &err), 0);
	for (size_t i = 0; i < state->n_nodes; i++)
		state->nodes[i]->host->port_pool = PLENTY;
	/* Some nodes are closed, some guests cannot move. */
	if (seed % 3 == 0) {
		free(state->nodes[2]->state);
		state->nodes[2]->state = strdup("cordoned");
	}
	return state;
}

/* Builds it and lets it run with these drains. */
static void run(struct world *w, const Drover__V1__FleetState *state, const char *const *drains,
                size_t count)
{
	struct world_options options = { .seed = 1, .caps = { PLENTY, PLENTY, PLENTY } };
	struct error err = { 0 };
	char **notes;
	size_t n_notes;

	world_init(w, &options);
	if (world_build(w, state, &notes, &n_notes, &err) < 0 ||
	    world_run(w, drains, count, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < n_notes; i++)
		free(notes[i]);
	free(notes);
}

/* From what the hosts themselves have free, not from what the core makes of it. */
static void check_places(const struct world *w, const struct capacity_answer *answer, size_t count)
{
	uint64_t used[16] = { 0 };

	for (size_t i = 0; i < answer->n_guests; i++) {
		size_t host = world_find_host(w, answer->guests[i].target->kept.name);

		assert_in_range(host, count, w->n_hosts - 1);
		assert_false(answer->guests[i].target->kept.cordoned);
		used[host] += answer->guests[i].need_bytes;
		assert_true(used[host] <= agents_free_bytes(w, host));
	}
}

static struct trial foretell(const Drover__V1__FleetState *state, size_t count)
{
	struct capacity_remedy *remedies;
	struct capacity_answer answer;
	struct trial trial = { 0 };
	const struct node *nodes[2];
	struct capacity c;
	struct world w;

	run(&w, state, NULL, 0);
	nodes[0] = fleet_find_node(w.fleet, "host00001");
	nodes[1] = fleet_find_node(w.fleet, "host00002");
	capacity_init(&c, w.fleet, w.now_ms, CAPACITY_STEPS);
	answer = capacity_ask_drain(&c, nodes, count);
	trial.verdict = answer.verdict;
	trial.by_hand = answer.by_hand;
	if (answer.verdict == PACKING_YES)
		check_places(&w, &answer, count);
	text_copy(trial.reason, sizeof(trial.reason), answer.reason);
	trial.n_remedies = capacity_find_remedies(&c, &answer, 3, &remedies);
	memcpy(trial.remedies, remedies, trial.n_remedies * sizeof(*remedies));
	free(remedies);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	world_deinit(&w);
	return trial;
}

static bool drain_all(const Drover__V1__FleetState *state, size_t count)
{
	static const char *const names[] = { "host00001", "host00002" };
	struct world w;
	bool empty;

	run(&w, state, names, count);
	empty = !w.refused;
	for (size_t i = 0; i < w.n_guests; i++)
		empty &= w.guests[i].host >= count;
	world_deinit(&w);
	return empty;
}

/* Does what @remedy says to the document. */
static void help(Drover__V1__FleetState *state, const struct capacity_remedy *remedy)
{
	for (size_t i = 0; i < state->n_nodes; i++) {
		Drover__V1__Node *node = state->nodes[i];

		if (strcmp(node->name, remedy->node) != 0)
			continue;
		if (remedy->kind == CAPACITY_OPEN) {
			free(node->state);
			node->state = strdup("ready");
		} else {
			node->host->memory_capacity_bytes += remedy->bytes;
		}
	}
}

static bool is_promised(const struct trial *trial)
{
	return trial->verdict == PACKING_YES && !trial->by_hand;
}

/* A no is never emptied; a yes has places that hold, and is emptied, if drover is to find them by itself;
 * and what is said to help makes a yes of a no. Of one host and of two together. */
static void test_capacity_is_what_happens(void **state)
{
	unsigned seen[3] = { 0 }, hands = 0, helped = 0;

	(void)state;
	for (unsigned seed = 1; seed <= FLEETS; seed++) {
		size_t count = 1 + seed % 2;
		Drover__V1__FleetState *fleet = fleet_of(seed);
		struct trial trial = foretell(fleet, count);
		bool emptied = drain_all(fleet, count);

		seen[trial.verdict]++;
		hands += trial.by_hand;
		if (trial.verdict == PACKING_NO && emptied)
			fail_msg("seed %u: emptied, though: %s", seed, trial.reason);
		if (is_promised(&trial) && !emptied)
			fail_msg("seed %u: not emptied, though it can be", seed);
		for (size_t i = 0; i < trial.n_remedies; i++) {
			Drover__V1__FleetState *better = fleet_of(seed);
			struct trial after;

			if (trial.remedies[i].kind > CAPACITY_FREE) {
				free_message(better);
				continue;
			}
			help(better, &trial.remedies[i]);
			after = foretell(better, count);
			/* Where it was found with this help, it need not be found again in as many
			 * steps; a no would be wrong. */
			if (after.verdict == PACKING_NO)
				fail_msg("seed %u: \"%s\" does not help: %s", seed,
				         trial.remedies[i].text, after.reason);
			if (is_promised(&after) && !drain_all(better, count))
				fail_msg("seed %u: not emptied after \"%s\" (%llu MiB)", seed,
				         trial.remedies[i].text,
				         (unsigned long long)(trial.remedies[i].bytes / MIB));
			helped += after.verdict == PACKING_YES;
			free_message(better);
		}
		free_message(fleet);
	}
	print_message("%u yes (%u by hand), %u no, %u unknown; %u remedies\n", seen[PACKING_YES],
	              hands, seen[PACKING_NO], seen[PACKING_UNKNOWN], helped);
	assert_true(seen[PACKING_YES] - hands > FLEETS / 6 && seen[PACKING_NO] > FLEETS / 6 &&
	            helped > FLEETS / 6);
	assert_true(seen[PACKING_UNKNOWN] < 10);
}

/* 3,000 hosts: every question has an answer or is said to be open, within the steps that are allowed. */
static void test_large_fleet_is_bounded(void **state)
{
	Drover__V1__FleetState *fleet = NULL;
	struct capacity_largest largest;
	unsigned seen[3] = { 0 };
	struct capacity c;
	struct error err;
	struct world w;

	(void)state;
	assert_int_equal(
		generate("hosts=3000,vms=45000,seed=1,fill=70,kinds=0,policies=0", &fleet, &err),
		0);
	run(&w, fleet, NULL, 0);
	capacity_init(&c, w.fleet, w.now_ms, CAPACITY_STEPS);
	for (const struct node *node = w.fleet->nodes; node; node = node->hh.next) {
		struct capacity_answer answer = capacity_ask_drain(&c, &node, 1);

		seen[answer.verdict]++;
		capacity_answer_deinit(&answer);
	}
	print_message("%u yes, %u no, %u unknown; %llu steps left\n", seen[PACKING_YES],
	              seen[PACKING_NO], seen[PACKING_UNKNOWN], (unsigned long long)c.steps);
	assert_true(seen[PACKING_YES] > 2900);
	largest = capacity_find_largest(&c);
	print_message("largest: %zu, at most %zu; %llu steps left\n", largest.answer.n_nodes,
	              largest.at_most, (unsigned long long)c.steps);
	assert_true(largest.answer.n_nodes > 100);
	assert_int_equal(largest.answer.verdict, PACKING_YES);
	assert_true(largest.at_most >= largest.answer.n_nodes);
	capacity_answer_deinit(&largest.answer);
	capacity_deinit(&c);
	world_deinit(&w);
	free_message(fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capacity_is_what_happens),
		cmocka_unit_test(test_large_fleet_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
