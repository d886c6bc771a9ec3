/* SPDX-License-Identifier: Apache-2.0 */
/* See journal_state.h. The fold over the journal's records.
 *
 * There is one way into the state, journal_state_apply, for the past and for the present alike: so
 * what a restart reads back is what was known before, by construction.
 */
#include "agent/journal/journal_state.h"

#include "agent/journal/journal_codec.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define COMPACTION_MIN_BYTES (1024 * 1024)

void journal_state_deinit(struct journal_state *s)
{
	free(s->attempts);
	free(s->reservations);
	free(s->released);
	free(s->things);
	fences_deinit(&s->fences);
	memset(s, 0, sizeof(*s));
}

/* A place at the end of one of the arrays above. They grow by doubling. */
static void *grow(void *array, size_t count, size_t item_bytes)
{
	if (count & (count - 1))
		return array;
	return xreallocarray(array, count ? count * 2 : 1, item_bytes);
}

static void remove_at(void *array, size_t *count, size_t item_bytes, size_t at)
{
	uint8_t *place = (uint8_t *)array + at * item_bytes;

	memmove(place, place + item_bytes, (*count - at - 1) * item_bytes);
	(*count)--;
}

#define GROW(array, count)         ((array) = grow((array), (count), sizeof(*(array))))
#define REMOVE_AT(array, count, i) remove_at((array), &(count), sizeof(*(array)), (i))

static struct journal_attempt *find_attempt(const struct journal_state *s,
                                            const struct attempt_name *a)
{
	/* From the end: the latest are the ones asked for. */
	for (size_t i = s->n_attempts; i > 0; i--)
		if (attempt_name_equal(&s->attempts[i - 1].attempt, a))
			return &s->attempts[i - 1];
	return NULL;
}

const struct journal_attempt *journal_state_find_attempt(const struct journal_state *s,
                                                         const struct attempt_name *a)
{
	return find_attempt(s, a);
}

static void see_epoch(struct journal_state *s, uint64_t epoch)
{
	if (epoch > s->epoch)
		s->epoch = epoch;
}

/* Only what is over may be forgotten; as many as can be running are never that many. */
static void forget_oldest_attempt(struct journal_state *s)
{
	for (size_t i = 0; i < s->n_attempts; i++) {
		if (s->attempts[i].phase == JOURNAL_STARTED)
			continue;
		REMOVE_AT(s->attempts, s->n_attempts, i);
		return;
	}
}

static int apply_attempt(struct journal_state *s, const struct journal_record *r, struct error *err)
{
	struct journal_attempt a, *known;
	int rc = journal_decode_attempt(r, &a, err);

	if (rc < 0)
		return rc;
	see_epoch(s, a.attempt.epoch);
	known = find_attempt(s, &a.attempt);
	if (known) {
		*known = a;
		return 0;
	}
	if (s->n_attempts >= JOURNAL_ATTEMPTS_MAX)
		forget_oldest_attempt(s);
	GROW(s->attempts, s->n_attempts);
	s->attempts[s->n_attempts++] = a;
	return 0;
}

static void remove_reservation(struct journal_state *s, const struct attempt_name *a)
{
	for (size_t i = 0; i < s->n_reservations; i++) {
		if (!attempt_name_equal(&s->reservations[i].attempt, a))
			continue;
		REMOVE_AT(s->reservations, s->n_reservations, i);
		return;
	}
}

static int apply_taken(struct journal_state *s, const struct journal_record *r, struct error *err)
{
	struct reservation v;
	int rc = journal_decode_taken(r, &v, err);

	if (rc < 0)
		return rc;
	see_epoch(s, v.attempt.epoch);
	remove_reservation(s, &v.attempt);
	GROW(s->reservations, s->n_reservations);
	s->reservations[s->n_reservations++] = v;
	return 0;
}

static int apply_released(struct journal_state *s, const struct journal_record *r,
                          struct error *err)
{
	struct attempt_name a;
	int rc = journal_decode_released(r, &a, err);

	if (rc < 0)
		return rc;
	see_epoch(s, a.epoch);
	remove_reservation(s, &a);
	for (size_t i = 0; i < s->n_released; i++)
		if (attempt_name_equal(&s->released[i], &a))
			return 0;
	if (s->n_released >= RESERVATION_TOMBSTONES_MAX)
		REMOVE_AT(s->released, s->n_released, 0);
	GROW(s->released, s->n_released);
	s->released[s->n_released++] = a;
	return 0;
}

static bool thing_equal(const struct journal_thing *a, const struct journal_thing *b)
{
	return attempt_name_equal(&a->attempt, &b->attempt) && a->kind == b->kind &&
	       a->pid == b->pid && a->start_ticks == b->start_ticks &&
	       strcmp(a->path, b->path) == 0;
}

static void remove_thing(struct journal_state *s, const struct journal_thing *t)
{
	for (size_t i = 0; i < s->n_things; i++) {
		if (!thing_equal(&s->things[i], t))
			continue;
		REMOVE_AT(s->things, s->n_things, i);
		return;
	}
}

static int apply_thing(struct journal_state *s, const struct journal_record *r, struct error *err)
{
	struct journal_thing t;
	int rc = journal_decode_thing(r, &t, err);

	if (rc < 0)
		return rc;
	remove_thing(s, &t);
	if (r->type == JOURNAL_TYPE_REMOVED)
		return 0;
	GROW(s->things, s->n_things);
	s->things[s->n_things++] = t;
	return 0;
}

static int apply_epoch(struct journal_state *s, const struct journal_record *r, struct error *err)
{
	uint64_t epoch;
	int rc = journal_decode_epoch(r, &epoch, err);

	if (rc < 0)
		return rc;
	see_epoch(s, epoch);
	return 0;
}

static int apply_drain_mark(struct journal_state *s, const struct journal_record *r,
                            struct error *err)
{
	int rc = journal_decode_drain_mark(r, &s->drain_mark, err);

	if (rc < 0)
		return rc;
	see_epoch(s, s->drain_mark.epoch);
	return 0;
}

static int apply_fence(struct journal_state *s, const struct journal_record *r, struct error *err)
{
	struct fence f;
	int rc = journal_decode_fence(r, &f, err);

	if (rc == 0)
		(void)fences_raise(&s->fences, &f);
	return rc;
}

int journal_state_apply(const struct journal_record *r, void *context, struct error *err)
{
	struct journal_state *s = context;

	switch (r->type) {
	case JOURNAL_TYPE_ATTEMPT:
		return apply_attempt(s, r, err);
	case JOURNAL_TYPE_TAKEN:
		return apply_taken(s, r, err);
	case JOURNAL_TYPE_RELEASED:
		return apply_released(s, r, err);
	case JOURNAL_TYPE_MADE:
	case JOURNAL_TYPE_REMOVED:
		return apply_thing(s, r, err);
	case JOURNAL_TYPE_EPOCH:
		return apply_epoch(s, r, err);
	case JOURNAL_TYPE_DRAIN_MARK:
		return apply_drain_mark(s, r, err);
	case JOURNAL_TYPE_FENCE:
		return apply_fence(s, r, err);
	default:
		return error_set(err, ERROR_UNSUPPORTED,
		                 "its type %u is not known to this version of drover", r->type);
	}
}

/* Takes @payload. To the disk first, then into the state. */
static int write_record(struct journal_state *s, struct journal *j, uint32_t type, uint8_t *payload,
                        size_t bytes, struct error *err)
{
	_cleanup_free_ uint8_t *owner = payload;
	struct journal_record r = { type, owner, bytes };
	struct journal_state trial = { 0 };
	int rc;

	/* What could not be read back must not be written: it would be damage after a restart. */
	rc = journal_state_apply(&r, &trial, err);
	journal_state_deinit(&trial);
	if (rc < 0)
		return error_context(err, "journal record of type %u", type);
	rc = journal_append(j, type, owner, bytes, err);
	if (rc < 0)
		return rc;
	rc = journal_state_apply(&r, s, err);
	assert(rc == 0);
	return 0;
}

int journal_state_write_attempt(struct journal_state *s, struct journal *j,
                                const struct journal_attempt *a, struct error *err)
{
	size_t bytes;
	uint8_t *payload = journal_encode_attempt(a, &bytes);

	return write_record(s, j, JOURNAL_TYPE_ATTEMPT, payload, bytes, err);
}

int journal_state_write_taken(struct journal_state *s, struct journal *j,
                              const struct reservation *r, struct error *err)
{
	size_t bytes;
	uint8_t *payload = journal_encode_taken(r, &bytes);

	return write_record(s, j, JOURNAL_TYPE_TAKEN, payload, bytes, err);
}

int journal_state_write_released(struct journal_state *s, struct journal *j,
                                 const struct attempt_name *a, struct error *err)
{
	size_t bytes;
	uint8_t *payload = journal_encode_released(a, &bytes);

	return write_record(s, j, JOURNAL_TYPE_RELEASED, payload, bytes, err);
}

int journal_state_write_made(struct journal_state *s, struct journal *j,
                             const struct journal_thing *t, struct error *err)
{
	size_t bytes;
	uint8_t *payload;

	/* Only of an image is there a record before there is a thing. What has been made already is written
	 * down however much there is: else it would be forgotten. */
	if (s->n_things >= JOURNAL_THINGS_MAX && t->kind == JOURNAL_IMAGE && !t->inode)
		return error_set(err, ERROR_NO_SPACE,
		                 "%d things of earlier attempts still wait to be removed",
		                 JOURNAL_THINGS_MAX);
	payload = journal_encode_thing(t, &bytes);
	return write_record(s, j, JOURNAL_TYPE_MADE, payload, bytes, err);
}

int journal_state_write_removed(struct journal_state *s, struct journal *j,
                                const struct journal_thing *t, struct error *err)
{
	size_t bytes;
	uint8_t *payload = journal_encode_thing(t, &bytes);

	return write_record(s, j, JOURNAL_TYPE_REMOVED, payload, bytes, err);
}

int journal_state_write_epoch(struct journal_state *s, struct journal *j, uint64_t epoch,
                              struct error *err)
{
	uint8_t *payload;
	size_t bytes;

	if (epoch <= s->epoch)
		return 0;
	payload = journal_encode_epoch(epoch, &bytes);
	return write_record(s, j, JOURNAL_TYPE_EPOCH, payload, bytes, err);
}

int journal_state_write_drain_mark(struct journal_state *s, struct journal *j,
                                   const struct journal_drain_mark *m, struct error *err)
{
	uint8_t *payload;
	size_t bytes;

	if (m->n_leave > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_INVALID, "a drain that leaves %zu guests, at most %d",
		                 m->n_leave, JOURNAL_LEAVE_MAX);
	if (m->n_shut_down > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_INVALID,
		                 "a drain that shuts down %zu guests, at most %d", m->n_shut_down,
		                 JOURNAL_LEAVE_MAX);
	payload = journal_encode_drain_mark(m, &bytes);
	return write_record(s, j, JOURNAL_TYPE_DRAIN_MARK, payload, bytes, err);
}

int journal_state_write_fence(struct journal_state *s, struct journal *j, const struct fence *f,
                              struct error *err)
{
	uint8_t *payload;
	size_t bytes;

	/* One that is known takes no more room than before. */
	if (s->fences.count >= FENCES_MAX && !fences_cover(&s->fences, f->node, 0))
		return error_set(err, ERROR_NO_SPACE, "%d hosts were declared dead already",
		                 FENCES_MAX);
	payload = journal_encode_fence(f, &bytes);
	return write_record(s, j, JOURNAL_TYPE_FENCE, payload, bytes, err);
}

/* About what the fold would take as a file. What may be long counts as it is: an estimate far below the
 * truth would have the file written anew with each record. */
static size_t live_bytes(const struct journal_state *s)
{
	size_t bytes = 4096 + 300 * (s->n_attempts + s->n_reservations + s->n_things) +
	               64 * s->n_released + 64 * s->fences.count;

	for (size_t i = 0; i < s->n_attempts; i++) {
		const struct journal_attempt *a = &s->attempts[i];

		bytes += strlen(a->reason) + strlen(a->decisions) + strlen(a->verification) +
		         strlen(a->copied);
	}
	for (size_t i = 0; i < s->n_things; i++)
		bytes += strlen(s->things[i].path);
	return bytes;
}

bool journal_state_wants_compaction(const struct journal_state *s, const struct journal *j)
{
	return journal_get_bytes(j) > COMPACTION_MIN_BYTES &&
	       journal_get_bytes(j) > 2 * live_bytes(s);
}

int journal_state_compact(struct journal_state *s, struct journal *j, struct error *err)
{
	size_t most = 2 + s->n_attempts + s->n_reservations + s->n_released + s->n_things +
	              s->fences.count;
	_cleanup_free_ struct journal_record *records = xcalloc(most, sizeof(*records));
	size_t n = 0;
	int rc;

#define PUT(record_type, encode)                 \
	do {                                     \
		records[n].type = (record_type); \
		records[n].payload = (encode);   \
		n++;                             \
	} while (0)
	PUT(JOURNAL_TYPE_EPOCH, journal_encode_epoch(s->epoch, &records[n].bytes));
	PUT(JOURNAL_TYPE_DRAIN_MARK, journal_encode_drain_mark(&s->drain_mark, &records[n].bytes));
	for (size_t i = 0; i < s->n_attempts; i++)
		PUT(JOURNAL_TYPE_ATTEMPT,
		    journal_encode_attempt(&s->attempts[i], &records[n].bytes));
	for (size_t i = 0; i < s->n_released; i++)
		PUT(JOURNAL_TYPE_RELEASED,
		    journal_encode_released(&s->released[i], &records[n].bytes));
	for (size_t i = 0; i < s->n_reservations; i++)
		PUT(JOURNAL_TYPE_TAKEN,
		    journal_encode_taken(&s->reservations[i], &records[n].bytes));
	for (size_t i = 0; i < s->n_things; i++)
		PUT(JOURNAL_TYPE_MADE, journal_encode_thing(&s->things[i], &records[n].bytes));
	for (size_t i = 0; i < s->fences.count; i++)
		PUT(JOURNAL_TYPE_FENCE,
		    journal_encode_fence(&s->fences.items[i], &records[n].bytes));
#undef PUT
	assert(n == most);
	rc = journal_compact(j, records, n, err);
	for (size_t i = 0; i < n; i++)
		free((void *)records[i].payload);
	return rc;
}
