/* SPDX-License-Identifier: Apache-2.0 */
/* See audit_repeat.h. 257 places are looked through for each refusal: a microsecond, beside the
 * handshake of a millisecond that each costs. */
#include "proto/audit/audit_repeat.h"

#include <stdio.h>
#include <string.h>

void audit_repeat_address(const char *from, char ret_address[AUDIT_REPEAT_ADDRESS_BYTES])
{
	char *colon;

	snprintf(ret_address, AUDIT_REPEAT_ADDRESS_BYTES, "%s", from);
	colon = strrchr(ret_address, ':');
	if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1))
		*colon = '\0';
	if (!ret_address[0])
		snprintf(ret_address, AUDIT_REPEAT_ADDRESS_BYTES, "unknown address");
}

static bool is_over(const struct audit_repeat_place *p, uint64_t now_ms)
{
	return now_ms >= p->begin_ms + AUDIT_REPEAT_MS;
}

static struct audit_repeat_place *find_place(struct audit_repeat *r, const char *address,
                                             uint64_t now_ms)
{
	struct audit_repeat_place *others = &r->places[AUDIT_REPEAT_ADDRESSES], *free_place = NULL;

	for (struct audit_repeat_place *p = r->places; p < others; p++) {
		if (strcmp(p->address, address) == 0)
			return p;
		if (!free_place && (!p->address[0] || (is_over(p, now_ms) && p->counted == 0)))
			free_place = p;
	}
	if (!free_place) {
		snprintf(others->address, sizeof(others->address), "other addresses");
		return others;
	}
	*free_place = (struct audit_repeat_place){ .begin_ms = now_ms };
	snprintf(free_place->address, sizeof(free_place->address), "%s", address);
	return free_place;
}

/* FNV-1a: among so few names of ours, no two are equal (test_audit_repeat.c). */
static uint64_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return h;
}

/* Whether it was not seen yet, and there is room to remember it. */
static bool is_first(struct audit_repeat_place *p, const char *kind)
{
	uint64_t h;

	if (!kind)
		return false;
	h = hash(kind);
	for (size_t i = 0; i < p->n_kinds; i++) {
		if (p->kinds[i] == h)
			return false;
	}
	if (p->n_kinds == AUDIT_REPEAT_KINDS)
		return false;
	p->kinds[p->n_kinds++] = h;
	return true;
}

static void begin(struct audit_repeat_place *p, uint64_t now_ms)
{
	p->begin_ms = now_ms;
	p->written = 0;
	p->n_kinds = 0;
}

bool audit_repeat_may_write(struct audit_repeat *r, const char *from, const char *kind,
                            uint64_t now_ms)
{
	char address[AUDIT_REPEAT_ADDRESS_BYTES];
	struct audit_repeat_place *p;

	audit_repeat_address(from, address);
	p = find_place(r, address, now_ms);
	/* What is counted is told before a new time begins. */
	if (is_over(p, now_ms) && p->counted == 0)
		begin(p, now_ms);
	/* Both are counted: the kind is remembered also where the burst had room for it. */
	if (is_first(p, kind) | (p->written < AUDIT_REPEAT_BURST)) {
		p->written++;
		return true;
	}
	p->counted++;
	return false;
}

bool audit_repeat_take(struct audit_repeat *r, uint64_t now_ms, bool all,
                       char ret_address[AUDIT_REPEAT_ADDRESS_BYTES], uint64_t *ret_count)
{
	for (size_t i = 0; i <= AUDIT_REPEAT_ADDRESSES; i++) {
		struct audit_repeat_place *p = &r->places[i];

		if (p->counted == 0 || (!all && !is_over(p, now_ms)))
			continue;
		memcpy(ret_address, p->address, AUDIT_REPEAT_ADDRESS_BYTES);
		*ret_count = p->counted;
		p->counted = 0;
		begin(p, now_ms);
		return true;
	}
	return false;
}
