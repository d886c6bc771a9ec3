/* SPDX-License-Identifier: Apache-2.0 */
/* See rotation.h. */
#include "pki/rotation.h"

#include <inttypes.h>
#include <stdio.h>

enum rotation_stage rotation_get_stage(const struct rotation *r)
{
	if (r->other == 0)
		return ROTATION_NONE;
	return r->other > r->signs ? ROTATION_SPREAD : ROTATION_RENEW;
}

const char *rotation_describe(const struct rotation *r)
{
	switch (rotation_get_stage(r)) {
	case ROTATION_SPREAD:
		return "stage 1 of 2: everybody is to trust the new authority, too";
	case ROTATION_RENEW:
		return "stage 2 of 2: everybody is to get a certificate of the new authority";
	default:
		return "the authority is not being replaced";
	}
}

struct rotation rotation_get_next(const struct rotation *r, uint64_t now_ms)
{
	switch (rotation_get_stage(r)) {
	case ROTATION_SPREAD:
		return (struct rotation){ .signs = r->other,
			                  .other = r->signs,
			                  .since_ms = now_ms };
	case ROTATION_RENEW:
		return (struct rotation){ .signs = r->signs, .since_ms = now_ms };
	default:
		return (struct rotation){ .signs = r->signs,
			                  .other = r->signs + 1,
			                  .since_ms = now_ms };
	}
}

static bool has(const unsigned trusts[2], unsigned generation)
{
	return trusts[0] == generation || trusts[1] == generation;
}

static const char *const purposes[ROTATION_KINDS] = { "", " for QEMU's TLS",
	                                              " for libvirt's remote connection" };

bool rotation_waits_for(const struct rotation *r, const struct rotation_member *m,
                        struct error *ret_why)
{
	enum rotation_stage stage = rotation_get_stage(r);

	for (size_t i = 0; stage != ROTATION_NONE && i < ROTATION_KINDS; i++) {
		const struct rotation_held *h = &m->held[i];

		if (!h->there)
			continue;
		if (stage == ROTATION_SPREAD && !has(h->trusts, r->other)) {
			error_set(ret_why, ERROR_REFUSED, "does not trust the new authority%s yet",
			          purposes[i]);
			return true;
		}
		if (stage == ROTATION_RENEW && h->signer != r->signs) {
			error_set(ret_why, ERROR_REFUSED,
			          "has no certificate of the new authority%s yet", purposes[i]);
			return true;
		}
	}
	return false;
}

void rotation_format_member(const struct rotation_member *m, char ret_text[ROTATION_MEMBER_BYTES])
{
	int used = snprintf(ret_text, ROTATION_MEMBER_BYTES, "%" PRIu64, m->until_ms);

	for (size_t i = 0; i < ROTATION_KINDS; i++) {
		const struct rotation_held *h = &m->held[i];

		used += snprintf(ret_text + used, ROTATION_MEMBER_BYTES - (size_t)used,
		                 " %d %u %u %u", h->there, h->trusts[0], h->trusts[1], h->signer);
	}
}

int rotation_parse_member(const char *text, struct rotation_member *ret, struct error *err)
{
	struct rotation_member m = { 0 };
	int used = 0;
	bool good = sscanf(text, "%" SCNu64 "%n", &m.until_ms, &used) == 1;

	for (size_t i = 0; good && i < ROTATION_KINDS; i++) {
		struct rotation_held *h = &m.held[i];
		unsigned there;

		text += used;
		good = sscanf(text, " %1u %9u %9u %9u%n", &there, &h->trusts[0], &h->trusts[1],
		              &h->signer, &used) == 4;
		h->there = good && there;
	}
	if (!good || text[used] != '\0')
		return error_set(err, ERROR_INVALID, "what a member holds cannot be understood");
	*ret = m;
	return 0;
}
