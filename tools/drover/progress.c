/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a watcher: the latest of every object it was told of. */
#include "tools/drover/progress_private.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/render.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* protobuf-c has no copy of its own: through bytes and back, which cannot fail for a message that
 * was just decoded. */
static void *copy_message(const ProtobufCMessage *message)
{
	size_t bytes = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *packed = xmalloc(bytes + 1);
	ProtobufCMessage *copy;

	protobuf_c_message_pack(message, packed);
	copy = protobuf_c_message_unpack(message->descriptor, NULL, bytes, packed);
	assert(copy);
	return copy;
}

static void free_message(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

struct progress *progress_new(uint64_t drain_number, uint64_t migration_number)
{
	struct progress *p = xnew(struct progress);

	p->drain_number = drain_number;
	p->migration_number = migration_number;
	p->left_most_ms = UINT64_MAX;
	return p;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	free_message(p->drain);
	for (size_t i = 0; i < p->n_migrations; i++)
		free_message(p->migrations[i]);
	free(p->migrations);
	free(p->migration_ms);
	free(p->shown);
	free(p);
}

size_t progress_index(const struct progress *p, uint64_t number)
{
	size_t i = 0;

	while (i < p->n_migrations && p->migrations[i]->number != number)
		i++;
	return i;
}

static void remember_shown(struct progress *p, size_t i)
{
	const Drover__V1__Migration *m = p->migrations[i];
	const Drover__V1__Progress *progress = m->report ? m->report->progress : NULL;
	struct shown *shown = &p->shown[i];

	/* Another attempt starts from nothing, and may say so. */
	if (shown->attempt != m->attempt_number) {
		shown->attempt = m->attempt_number;
		shown->percent = 0;
	}
	if (progress && progress->percent > shown->percent)
		shown->percent = progress->percent > 100 ? 100 : progress->percent;
}

static void apply_migration(struct progress *p, const Drover__V1__Migration *m,
                            const struct output *lines, uint64_t now_ms, uint64_t now_wall_ms)
{
	size_t i;

	if (p->migration_number ? m->number != p->migration_number
	                        : m->drain_number != p->drain_number)
		return;
	i = progress_index(p, m->number);
	if (lines)
		lines_migration(lines, i < p->n_migrations ? p->migrations[i] : NULL, m,
		                now_wall_ms);
	if (i == p->n_migrations) {
		size_t n = ++p->n_migrations;

		p->migrations = xreallocarray(p->migrations, n, sizeof(Drover__V1__Migration *));
		p->shown = xreallocarray(p->shown, n, sizeof(*p->shown));
		p->migration_ms = xreallocarray(p->migration_ms, n, sizeof(*p->migration_ms));
		p->shown[i] = (struct shown){ .number = m->number };
	} else {
		free_message(p->migrations[i]);
	}
	p->migrations[i] = copy_message(&m->base);
	p->migration_ms[i] = now_ms;
	remember_shown(p, i);
}

uint64_t progress_left_ms(const struct progress *p, uint64_t age_ms)
{
	uint64_t left_ms = p->drain->eta_ms > age_ms ? p->drain->eta_ms - age_ms : 0;

	return left_ms < p->left_most_ms ? left_ms : p->left_most_ms;
}

static void apply_drain(struct progress *p, const Drover__V1__Drain *d, const struct output *lines,
                        uint64_t now_ms, uint64_t now_wall_ms)
{
	uint64_t left_most_ms = p->drain && p->drain->eta_known
	                                ? progress_left_ms(p, now_ms - p->drain_ms)
	                                : p->left_most_ms;
	unsigned moved;

	if (!p->drain_number || d->number != p->drain_number)
		return;
	if (lines)
		lines_drain(lines, p->drain, d, now_wall_ms);
	free_message(p->drain);
	p->drain = copy_message(&d->base);
	p->left_most_ms = left_most_ms;
	p->drain_ms = now_ms;
	moved = drain_count(d).moved;
	if (moved > p->moved_max)
		p->moved_max = moved;
	if (d->bytes_done > p->bytes_done_max)
		p->bytes_done_max = d->bytes_done;
}

void progress_apply(struct progress *p, const Drover__V1__Change *change,
                    const struct output *lines, uint64_t now_ms, uint64_t now_wall_ms)
{
	/* After a reset everything is told again; what was shown is kept, so that no line is printed
	 * twice and no bar runs backwards. */
	switch (change->object_case) {
	case DROVER__V1__CHANGE__OBJECT_DRAIN:
		apply_drain(p, change->drain, lines, now_ms, now_wall_ms);
		break;
	case DROVER__V1__CHANGE__OBJECT_MIGRATION:
		apply_migration(p, change->migration, lines, now_ms, now_wall_ms);
		break;
	case DROVER__V1__CHANGE__OBJECT_EVENT:
		if (lines && p->caught_up)
			lines_event(lines, change->event);
		break;
	default:
		break;
	}
	/* A coordinator that lost its store counts from the beginning, and says so by a reset. */
	if (change->reset || change->revision > p->revision)
		p->revision = change->revision;
	if (change->caught_up)
		p->caught_up = true;
}

const Drover__V1__Drain *progress_find_drain(const struct progress *p)
{
	return p->drain;
}

const Drover__V1__Migration *progress_find_migration(const struct progress *p)
{
	size_t i = progress_index(p, p->migration_number);

	return i < p->n_migrations ? p->migrations[i] : NULL;
}

Drover__V1__Migration *const *progress_get_migrations(const struct progress *p, size_t *ret_count)
{
	*ret_count = p->n_migrations;
	return p->migrations;
}

uint64_t progress_get_revision(const struct progress *p)
{
	return p->revision;
}

bool progress_is_over(const struct progress *p)
{
	const Drover__V1__Migration *m;

	if (p->drain_number)
		return p->drain && drain_is_over(p->drain);
	m = progress_find_migration(p);
	return m && migration_is_over(m);
}

bool progress_is_caught_up(const struct progress *p)
{
	return p->caught_up;
}

bool progress_is_complete(const struct progress *p)
{
	if (!progress_is_over(p))
		return false;
	for (size_t i = 0; p->drain && i < p->drain->n_vms; i++) {
		const Drover__V1__DrainVm *vm = p->drain->vms[i];
		size_t index = progress_index(p, vm->migration_number);

		if (strcmp(vm->state, "moved") == 0 && vm->migration_number &&
		    (index == p->n_migrations || !migration_is_over(p->migrations[index])))
			return false;
	}
	return true;
}

void progress_end(const struct progress *p, const struct output *lines, uint64_t now_wall_ms)
{
	if (p->drain && drain_is_over(p->drain))
		lines_drain_end(lines, p->drain, now_wall_ms);
}
