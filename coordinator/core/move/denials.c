/* SPDX-License-Identifier: Apache-2.0 */
/* See denials.h. */
#include "coordinator/core/move/denials.h"

#include "common/alloc.h"
#include "coordinator/core/recall.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Kinds of guests that one host refuses, of all homes; more are asked anew. */
#define DENIALS_MAX 256

struct denial {
	char home[NODE_NAME_BYTES]; /* whose word the digest is */
	uint64_t digest;
	uint64_t until_ms;
	struct check check;
	struct denial *next;
};

/* Those that look at nothing else of the guest. */
static bool is_of_all(const struct check *check)
{
	return strcmp(check->id, "cpu") == 0 || strcmp(check->id, "machine") == 0 ||
	       strcmp(check->id, "tsc") == 0;
}

static const struct check *find_worst(const struct checks *checks)
{
	for (size_t i = 0; i < checks->count; i++) {
		if (checks->items[i].verdict >= CHECK_FAIL && is_of_all(&checks->items[i]))
			return &checks->items[i];
	}
	return NULL;
}

static struct denial *find(const struct node *node, const char *home, uint64_t digest)
{
	struct denial *denial;

	LL_FOREACH (node->denials, denial) {
		if (denial->digest == digest && strcmp(denial->home, home) == 0)
			return denial;
	}
	return NULL;
}

/* Those that have passed go. */
static size_t count(struct node *node, uint64_t now_ms)
{
	struct denial *denial, *next;
	size_t n = 0;

	LL_FOREACH_SAFE (node->denials, denial, next) {
		if (now_ms < denial->until_ms) {
			n++;
			continue;
		}
		LL_DELETE(node->denials, denial);
		free(denial);
	}
	return n;
}

static void keep(struct node *node, const char *home, uint64_t digest, const struct check *check,
                 uint64_t now_ms, uint64_t for_ms)
{
	struct denial *denial = find(node, home, digest);

	if (!denial) {
		if (count(node, now_ms) >= DENIALS_MAX)
			return;
		denial = xnew(struct denial);
		text_copy(denial->home, sizeof(denial->home), home);
		denial->digest = digest;
		LL_PREPEND(node->denials, denial);
	}
	denial->check = *check;
	denial->until_ms = now_ms + for_ms;
}

void denials_learn(struct node *node, const struct vm *vm, const struct checks *checks,
                   uint64_t now_ms)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	const struct check *worst = find_worst(checks);
	struct denial *denial;

	/* A guest whose CPU is its host's is told apart by the host; and nothing that could not be
	 * measured speaks for another guest. */
	if (!home || !home->state.needs.known || !checks->count)
		return;
	denial = find(node, home->node->kept.name, home->state.needs.digest);
	if (!worst) {
		if (denial) {
			LL_DELETE(node->denials, denial);
			free(denial);
		}
		return;
	}
	if (strncmp(worst->measured, "not measured", 12) == 0)
		return;
	keep(node, home->node->kept.name, home->state.needs.digest, worst, now_ms, DENIAL_MS);
}

const struct check *denials_find(const struct node *node, const struct sighting *home,
                                 uint64_t now_ms)
{
	const struct denial *denial = NULL;

	if (home->state.needs.known && node->denials)
		denial = find(node, home->node->kept.name, home->state.needs.digest);
	return denial && now_ms < denial->until_ms ? &denial->check : NULL;
}

static size_t place_of(const char *home, uint64_t digest)
{
	uint64_t h = digest;

	for (; *home; home++)
		h = (h ^ (unsigned char)*home) * 0x100000001b3u;
	return (size_t)(h >> 32 ^ h) % (64 * ARRAY_SIZE(((struct denied_kinds *)0)->bits));
}

void denials_collect(const struct node *node, uint64_t now_ms, struct denied_kinds *kinds)
{
	const struct denial *denial;

	LL_FOREACH (node->denials, denial) {
		size_t place = place_of(denial->home, denial->digest);

		if (now_ms < denial->until_ms)
			kinds->bits[place / 64] |= (uint64_t)1 << place % 64;
	}
}

bool denials_concern(const struct denied_kinds *kinds, const struct sighting *home)
{
	size_t place = place_of(home->node->kept.name, home->state.needs.digest);

	return home->state.needs.known && (kinds->bits[place / 64] >> place % 64 & 1);
}

size_t recall_list_denials(const struct node *node, uint64_t now_ms, struct recalled_denial **ret)
{
	const struct denial *denial;
	size_t n = 0;

	*ret = xcalloc(DENIALS_MAX + 1, sizeof(**ret));
	LL_FOREACH (node->denials, denial) {
		if (now_ms >= denial->until_ms || n == DENIALS_MAX)
			continue;
		(*ret)[n] = (struct recalled_denial){ .digest = denial->digest,
			                              .left_ms = denial->until_ms - now_ms,
			                              .check = denial->check };
		text_copy((*ret)[n].home, sizeof((*ret)[n].home), denial->home);
		n++;
	}
	return n;
}

void recall_denial(struct node *node, const struct recalled_denial *denial, uint64_t now_ms)
{
	keep(node, denial->home, denial->digest, &denial->check, now_ms,
	     denial->left_ms < DENIAL_MS ? denial->left_ms : DENIAL_MS);
}

void denials_forget(struct node *node)
{
	struct denial *denial, *next;

	LL_FOREACH_SAFE (node->denials, denial, next) {
		free(denial);
	}
	node->denials = NULL;
}
